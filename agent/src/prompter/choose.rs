// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which places there are in a session, and in which order they are tried.

use super::notification::Notification;
use super::pinentry::Pinentry;
use super::system_prompter::SystemPrompter;
use super::tmux::Tmux;
use super::{Deed, Environment, Place, Question};
use crate::ids::Uid;

/// The places that a session may have, as the daemon names them.
const NAMES: [&str; 4] = ["gnome", "pinentry", "tmux", "notification"];

/// The session that is asked in.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the session tells its programs.
    pub environment: Environment,
    /// The address of its bus. [`Environment::session_bus`] finds it; nothing else is used.
    pub bus: Option<String>,
    /// Whose it is.
    pub uid: Uid,
}

impl Session {
    /// The same without what is drawn on its screen: only a terminal is left.
    #[must_use]
    pub fn without_screen(&self) -> Self {
        Self {
            environment: self.environment.without_display(),
            bus: None,
            uid: self.uid,
        }
    }
}

/// Where the process waits that wants to connect.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Its terminal, as `pts/3`; or empty.
    pub terminal: String,
    /// Whether its session came over the network: then the person looks at that terminal,
    /// rather than at this computer's screen.
    pub remote: bool,
}

/// A place of any kind.
enum AnyPlace {
    Gnome(SystemPrompter),
    Pinentry(Pinentry),
    Tmux(Tmux),
    Notification(Notification),
}

impl AnyPlace {
    fn name(&self) -> &'static str {
        match self {
            Self::Gnome(place) => place.name(),
            Self::Pinentry(place) => place.name(),
            Self::Tmux(place) => place.name(),
            Self::Notification(place) => place.name(),
        }
    }

    async fn ask(&self, question: &Question) -> Deed {
        match self {
            Self::Gnome(place) => place.ask(question).await,
            Self::Pinentry(place) => place.ask(question).await,
            Self::Tmux(place) => place.ask(question).await,
            Self::Notification(place) => place.ask(question).await,
        }
    }
}

/// The places to ask one question at, best first.
pub struct Places(Vec<AnyPlace>);

impl Places {
    /// Those of this session for a process that waits there. `hint` says in a notification how
    /// to answer, as ``Run `stile approve 12` in a terminal.``
    #[must_use]
    pub fn of(session: &Session, origin: &Origin, hint: &str) -> Self {
        let bus = session.bus.as_ref();
        let environment = session
            .environment
            .with_session_bus(bus.map(String::as_str));
        let tmux = |anywhere| {
            Tmux::find(&environment, session.uid, &origin.terminal, anywhere).map(AnyPlace::Tmux)
        };
        // Where the person looks, if that is known.
        let nearest = (origin.remote && !origin.terminal.is_empty())
            .then(|| tmux(false))
            .flatten();
        let display = environment.has_display();
        let gnome = bus
            .filter(|_| display)
            .map(|bus| AnyPlace::Gnome(SystemPrompter::new(bus.clone())));
        let pinentry = Pinentry::find(&environment).map(AnyPlace::Pinentry);
        // GNOME Shell draws over everything. On other desktops its prompter is a window as
        // pinentry's is, and labels its field "Password".
        let dialogs = if environment.is_desktop("GNOME") {
            [gnome, pinentry]
        } else {
            [pinentry, gnome]
        };
        let notification =
            bus.map(|bus| AnyPlace::Notification(Notification::new(bus.clone(), hint.to_owned())));
        Self(
            [nearest]
                .into_iter()
                .chain(dialogs)
                .chain([tmux(true), notification])
                .flatten()
                .collect(),
        )
    }

    /// What there is, each once, as the daemon names it.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let has = |name: &str| self.0.iter().any(|place| place.name() == name);
        NAMES.into_iter().filter(|name| has(name)).collect()
    }

    /// Asks at the first place that can show the question. Dropping the future takes the
    /// dialog away at once.
    pub async fn ask(&self, question: &Question) -> Deed {
        let mut reasons = Vec::new();
        for place in &self.0 {
            match place.ask(question).await {
                Deed::Unable(why) => {
                    tracing::info!(place = place.name(), why, "can't ask here");
                    reasons.push(why);
                }
                deed => return deed,
            }
        }
        if reasons.is_empty() {
            reasons.push("there is neither a display nor a tmux nor a session bus".to_owned());
        }
        Deed::Unable(reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::question::tests::question;
    use super::*;

    fn names(variables: &[(&str, &str)], bus: Option<&str>) -> Vec<&'static str> {
        places(variables, bus)
            .0
            .iter()
            .map(AnyPlace::name)
            .collect()
    }

    fn places(variables: &[(&str, &str)], bus: Option<&str>) -> Places {
        let session = Session {
            environment: Environment::new(variables.iter().copied()),
            bus: bus.map(str::to_owned),
            // Nobody's, so that there is no tmux.
            uid: Uid(3_999_999_999),
        };
        Places::of(&session, &Origin::default(), "Run `stile approve 12`.")
    }

    #[test]
    fn without_a_display_there_are_no_dialogs() {
        let bus = Some("unix:path=/nowhere");
        assert_eq!(names(&[], bus), ["notification"]);
        assert_eq!(
            names(&[("XDG_CURRENT_DESKTOP", "GNOME")], bus),
            ["notification"]
        );
        assert!(names(&[], None).is_empty());
    }

    #[test]
    fn gnome_asks_itself_first_and_other_desktops_last() {
        let order = |desktop| {
            let mut names = names(
                &[("DISPLAY", ":0"), ("XDG_CURRENT_DESKTOP", desktop)],
                Some("unix:path=/nowhere"),
            );
            // A pinentry may be installed or not.
            names.retain(|name| *name != "pinentry");
            names
        };
        assert_eq!(order("ubuntu:GNOME"), ["gnome", "notification"]);
        assert_eq!(order("KDE"), ["gnome", "notification"]);
    }

    #[tokio::test]
    async fn what_cannot_be_shown_anywhere_is_said_for_each_place() {
        let nowhere = places(&[], None);
        let asked = question(Duration::from_secs(60));
        match nowhere.ask(&asked).await {
            Deed::Unable(why) => assert!(why.contains("neither a display"), "{why}"),
            other => panic!("{other:?}"),
        }
        let no_bus = places(&[], Some("unix:path=/nowhere"));
        match no_bus.ask(&asked).await {
            Deed::Unable(why) => assert!(why.contains("no notifications"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
