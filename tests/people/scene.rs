// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Alice at a desktop, with a prompter in her session.

use stile_tests::{
    ALICE, Authenticator, Desktop, Host, Installed, Running, cannot_run, missing, until,
};

use super::{policy, step_up};

/// The title of the dialog's window.
pub(crate) const DIALOG: &str = "stile";

/// A desktop of alice's, and her prompter on it.
pub(crate) struct Asked {
    pub(crate) host: Host,
    pub(crate) installed: Installed,
    pub(crate) desktop: Desktop,
    pub(crate) authenticator: Authenticator,
    pub(crate) prompter: Running,
}

/// Where this program shows the dialogs of a desktop of this name. `None`, having said so, where
/// it can't run.
pub(crate) fn asked_by(program: &str, desktop: &str, more: &[(&str, &str)]) -> Option<Asked> {
    let rule = step_up("dba step-up", "db", "realm = \"prod\"\nttl = \"15m\"");
    let host = Host::builder().policy(&policy(&rule)).build();
    asked_at(host, program, desktop, more)
}

/// The same on this host.
pub(crate) fn asked_at(
    host: Host,
    program: &str,
    desktop: &str,
    more: &[(&str, &str)],
) -> Option<Asked> {
    if let Some(program) = missing(&[program]) {
        cannot_run(&format!("there is no {program}"));
        return None;
    }
    let screen = Desktop::of(&host, ALICE)?;
    let mut variables = vec![("XDG_CURRENT_DESKTOP", desktop)];
    variables.extend(more);
    let variables = screen.variables(&variables);
    Some(Asked::with(host, screen, &variables))
}

/// Where pinentry-qt does.
pub(crate) fn asked() -> Option<Asked> {
    asked_by("pinentry-qt", "KDE", &[])
}

impl Asked {
    /// With a prompter that finds this in its environment.
    pub(crate) fn with(host: Host, desktop: Desktop, variables: &[(String, String)]) -> Self {
        Self::with_installed(host, Installed::new(), desktop, variables)
    }

    /// The same with these programs.
    pub(crate) fn with_installed(
        host: Host,
        installed: Installed,
        desktop: Desktop,
        variables: &[(String, String)],
    ) -> Self {
        let authenticator = host.enroll(ALICE);
        let prompter = host.prompter(&installed, ALICE, variables);
        Self {
            host,
            installed,
            desktop,
            authenticator,
            prompter,
        }
    }

    /// Types this into the dialog, and sends it.
    pub(crate) fn types(&self, text: &str) {
        self.desktop.types(text);
        self.desktop.presses("Return");
    }

    /// What tells the dialog that is shown from another one: pinentry is another process each time,
    /// GNOME's prompter has another window, and each of the two numbers may come again.
    pub(crate) fn dialog(&self) -> (Option<String>, Vec<String>) {
        (
            self.desktop.process_of(DIALOG),
            self.desktop.windows(DIALOG),
        )
    }

    /// Waits for another dialog than this.
    #[track_caller]
    pub(crate) fn wait_for_other_dialog(&self, first: &(Option<String>, Vec<String>)) {
        until("another dialog", || {
            let now = self.dialog();
            (now.0.is_some() && now != *first).then_some(())
        });
        self.desktop.wait_for_window(DIALOG);
    }

    pub(crate) fn types_a_code(&self) {
        self.types(&self.authenticator.fresh_code());
    }
}
