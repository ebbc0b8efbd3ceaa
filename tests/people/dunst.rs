// SPDX-License-Identifier: Apache-2.0 OR MIT
//! dunst on a desktop: what it shows, and how a person uses it.

use serde_json::Value;
use stile_tests::{ALICE, Desktop, Host, Running, Said, cannot_run, missing, until};

/// The title of its window.
pub(crate) const WINDOW: &str = "Dunst";

/// dunst, which shows what programs of this desktop notify of.
pub(crate) struct Dunst<'a> {
    host: &'a Host,
    desktop: &'a Desktop,
    _running: Running,
}

impl<'a> Dunst<'a> {
    /// Starts it. `None`, having said so, where it can't run.
    pub(crate) fn start(host: &'a Host, desktop: &'a Desktop) -> Option<Self> {
        if let Some(program) = missing(&["dunst", "dunstctl", "busctl"]) {
            cannot_run(&format!("there is no {program}"));
            return None;
        }
        let mut command = host.as_user(ALICE, "/usr/bin/dunst");
        command.envs(desktop.variables(&[]));
        let dunst = Self {
            host,
            desktop,
            _running: Running::start(&mut command),
        };
        until("dunst is there", || {
            (dunst.said(&["count", "displayed"]).code == 0).then_some(())
        });
        Some(dunst)
    }

    fn said(&self, arguments: &[&str]) -> Said {
        let mut command = self.host.as_user(ALICE, "/usr/bin/dunstctl");
        command.envs(self.desktop.variables(&[])).args(arguments);
        Running::start(&mut command).output().into()
    }

    /// Does what this command of dunstctl(1) says.
    #[track_caller]
    pub(crate) fn ctl(&self, command: &str) {
        self.said(&[command]).succeeded();
    }

    /// Waits until so many notifications are on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, count: usize) {
        until(&format!("{count} notifications"), || {
            let said = self.said(&["count", "displayed"]);
            (said.succeeded().stdout.trim() == count.to_string()).then_some(())
        });
    }

    /// Closes all notifications, and returns the summaries and bodies of all that there were,
    /// newest first.
    #[track_caller]
    pub(crate) fn closed(&self) -> Vec<(String, String)> {
        self.ctl("close-all");
        let history = self.said(&["history"]).succeeded().json();
        let text = |of: &Value, key: &str| of[key]["data"].as_str().unwrap().to_owned();
        let all = history["data"][0].as_array().unwrap().iter();
        all.map(|one| (text(one, "summary"), text(one, "body")))
            .collect()
    }
}
