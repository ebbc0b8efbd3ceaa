// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs in users' sessions that show challenges, and which of them is to show one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use zbus::Connection;
use zbus::names::OwnedUniqueName;

use super::logind::{Presence, presence};
use super::wire::AboutDict;
use crate::ids::Uid;
use crate::service::{ChallengeView, PrompterView};

/// Most prompters of one user: a desktop, and some logins beside it.
const MAX_PER_USER: usize = 8;
/// Most prompters of all users together.
const MAX_ALL: usize = 4096;
/// Longest text of what a prompter says of itself.
const MAX_TEXT: usize = 64;
/// Most places that a prompter names.
const MAX_PLACES: usize = 8;
/// How long a prompter that could not show a challenge is not asked for it again.
const UNABLE: Duration = Duration::from_secs(5);

/// One prompter.
#[derive(Clone, Debug)]
pub(super) struct Prompter {
    pub(super) name: OwnedUniqueName,
    pub(super) uid: Uid,
    session: String,
    places: Vec<String>,
    language: String,
    showing: u32,
}

/// Why a program may not be a prompter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPrompter {
    #[error("you have {MAX_PER_USER} prompters already; end one of them")]
    TooMany,
    #[error("too many prompters of all users")]
    Full,
    #[error("its description is too long, or has characters that don't belong there")]
    Odd,
}

/// All prompters, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Prompters {
    all: Arc<Mutex<Vec<Prompter>>>,
    changed: Arc<Notify>,
}

impl Prompters {
    /// Takes one in, or changes what it says of itself.
    pub(super) fn register(
        &self,
        name: OwnedUniqueName,
        uid: Uid,
        about: AboutDict,
    ) -> Result<(), NoPrompter> {
        let session = about.session.unwrap_or_default();
        let places = about.places.unwrap_or_default();
        let language = about.language.unwrap_or_default();
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
            text.len() <= MAX_TEXT && text.chars().all(allowed)
        };
        let texts = [&session, &language].into_iter().chain(&places);
        if places.len() > MAX_PLACES || !texts.into_iter().all(|text| plain(text)) {
            return Err(NoPrompter::Odd);
        }
        let mut all = self.lock();
        let known = all.iter_mut().find(|known| known.name == name);
        if let Some(known) = known {
            (known.session, known.places, known.language) = (session, places, language);
        } else {
            if all.iter().filter(|known| known.uid == uid).count() >= MAX_PER_USER {
                return Err(NoPrompter::TooMany);
            }
            if all.len() >= MAX_ALL {
                return Err(NoPrompter::Full);
            }
            all.push(Prompter {
                name,
                uid,
                session,
                places,
                language,
                showing: 0,
            });
        }
        drop(all);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Forgets one, if it is there.
    pub(super) fn forget(&self, name: &str) {
        self.lock().retain(|known| known.name.as_str() != name);
    }

    /// Those of a user; of everybody with `None`.
    pub(super) fn views(&self, uid: Option<Uid>) -> Vec<PrompterView> {
        let all = self.lock();
        let wanted = all.iter().filter(|it| uid.is_none_or(|uid| it.uid == uid));
        wanted
            .map(|it| PrompterView {
                name: it.name.to_string(),
                uid: it.uid,
                session: it.session.clone(),
                places: it.places.clone(),
                language: it.language.clone(),
                showing: it.showing,
            })
            .collect()
    }

    /// Waits until one comes, or until something else may have changed, such as that a user has
    /// unlocked the screen.
    pub(super) async fn change(&self) {
        const LOOK: Duration = Duration::from_secs(1);
        let _ = tokio::time::timeout(LOOK, self.changed.notified()).await;
    }

    /// Counts that a prompter shows one challenge more, until the result is dropped.
    pub(super) fn showing(&self, name: &OwnedUniqueName) -> Showing {
        self.count(name, |showing| showing + 1);
        Showing {
            prompters: self.clone(),
            name: name.clone(),
        }
    }

    fn count(&self, name: &OwnedUniqueName, change: impl FnOnce(u32) -> u32) {
        let mut all = self.lock();
        if let Some(known) = all.iter_mut().find(|known| known.name == *name) {
            known.showing = change(known.showing);
        }
    }

    fn of(&self, uid: Uid) -> Vec<Prompter> {
        let all = self.lock();
        all.iter().filter(|it| it.uid == uid).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Prompter>> {
        // Nothing panics while this is held, and each step leaves it whole.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is to show a challenge, if there is one that its user would see.
    pub(super) async fn best(
        &self,
        bus: &Connection,
        view: &ChallengeView,
        unable: &HashMap<OwnedUniqueName, Instant>,
    ) -> Option<(Prompter, Seen)> {
        let mut best: Option<(Rank, Prompter)> = None;
        for prompter in self.of(view.uid) {
            let refused = unable.get(&prompter.name);
            if refused.is_some_and(|at| at.elapsed() < UNABLE) {
                continue;
            }
            let presence = presence(bus, &prompter.session, prompter.uid).await;
            let rank = Rank::of(&prompter, view, presence);
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, prompter));
            }
        }
        best.map(|(rank, prompter)| (prompter, Seen(rank.seen)))
    }
}

/// A challenge that a prompter shows.
#[derive(Debug)]
pub(super) struct Showing {
    prompters: Prompters,
    name: OwnedUniqueName,
}

impl Drop for Showing {
    fn drop(&mut self) {
        let name = self.name.clone();
        self.prompters
            .count(&name, |showing| showing.saturating_sub(1));
    }
}

/// How likely the user sees what a prompter shows, the more the likelier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    same_session: bool,
    /// A desktop for who sits at it, a terminal for who came from elsewhere.
    fits: bool,
    /// Whether its user sees the screen.
    seen: bool,
}

/// Whether a prompter's user sees the screen of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(pub(super) bool);

impl Rank {
    fn of(prompter: &Prompter, view: &ChallengeView, presence: Presence) -> Self {
        let has = |place: &str| prompter.places.iter().any(|it| it == place);
        let desktop = has("gnome") || has("pinentry") || has("notification");
        let remote = !view.from.is_empty();
        let seen = presence.sees_desktop();
        Self {
            same_session: !view.session.is_empty() && view.session == prompter.session,
            fits: if remote { has("tmux") } else { desktop && seen },
            seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChallengeId;

    fn name(number: u32) -> OwnedUniqueName {
        OwnedUniqueName::try_from(format!(":1.{number}")).unwrap()
    }

    fn about(session: &str, places: &[&str]) -> AboutDict {
        AboutDict {
            session: Some(session.to_owned()),
            places: Some(places.iter().map(|place| (*place).to_owned()).collect()),
            language: None,
        }
    }

    fn prompter(session: &str, places: &[&str]) -> Prompter {
        Prompter {
            name: name(1),
            uid: Uid(1000),
            session: session.to_owned(),
            places: places.iter().map(|place| (*place).to_owned()).collect(),
            language: String::new(),
            showing: 0,
        }
    }

    fn challenge(session: &str, from: &str) -> ChallengeView {
        ChallengeView {
            session: session.to_owned(),
            from: from.to_owned(),
            ..crate::service::testing::challenge(ChallengeId(7), Uid(1000))
        }
    }

    #[test]
    fn the_session_of_the_process_comes_first() {
        let view = challenge("3", "192.0.2.7");
        let here = Rank::of(&prompter("3", &["tmux"]), &view, Presence::Unknown);
        let desk = Rank::of(&prompter("1", &["gnome"]), &view, Presence::Active);
        assert!(here > desk);
    }

    #[test]
    fn who_came_from_elsewhere_is_asked_in_a_terminal() {
        let view = challenge("", "192.0.2.7");
        let terminal = Rank::of(&prompter("", &["tmux"]), &view, Presence::Unknown);
        let desk = Rank::of(&prompter("", &["gnome"]), &view, Presence::Active);
        assert!(terminal > desk);
        let view = challenge("", "");
        let terminal = Rank::of(&prompter("", &["tmux"]), &view, Presence::Unknown);
        let desk = Rank::of(&prompter("", &["gnome"]), &view, Presence::Active);
        assert!(desk > terminal);
    }

    #[test]
    fn a_screen_that_its_user_does_not_see_comes_last() {
        let view = challenge("", "");
        let seen = Rank::of(&prompter("1", &["gnome"]), &view, Presence::Unknown);
        assert!(seen.seen);
        for presence in [Presence::Locked, Presence::Away] {
            let rank = Rank::of(&prompter("1", &["gnome"]), &view, presence);
            assert!(!rank.seen && rank < seen);
        }
    }

    #[test]
    fn a_user_has_so_many_prompters_and_no_more() {
        let prompters = Prompters::default();
        for number in 0..8 {
            let about = about("", &["tmux"]);
            prompters.register(name(number), Uid(1000), about).unwrap();
        }
        let another = || about("", &["tmux"]);
        let refused = prompters.register(name(8), Uid(1000), another());
        assert_eq!(refused, Err(NoPrompter::TooMany));
        prompters.register(name(8), Uid(1001), another()).unwrap();
        // One that is known may change.
        prompters.register(name(0), Uid(1000), another()).unwrap();
        prompters.forget(":1.3");
        prompters.register(name(9), Uid(1000), another()).unwrap();
        assert_eq!(prompters.views(Some(Uid(1000))).len(), 8);
        assert_eq!(prompters.views(None).len(), 9);
    }

    #[test]
    fn what_a_prompter_says_of_itself_is_plain_and_short() {
        let prompters = Prompters::default();
        for odd in ["\u{1b}[2J", "a b", &"x".repeat(65)] {
            let refused = prompters.register(name(1), Uid(1000), about(odd, &[]));
            assert_eq!(refused, Err(NoPrompter::Odd), "{odd:?}");
            let refused = prompters.register(name(1), Uid(1000), about("", &[odd]));
            assert_eq!(refused, Err(NoPrompter::Odd), "{odd:?}");
        }
    }
}
