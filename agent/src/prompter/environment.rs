// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a session tells its programs through the environment, as far as asking needs it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is taken over, and passed to children. Everything else is left out: what makes a
/// program load code of somebody's choice (`LD_*`, `GTK_MODULES`, `GTK_PATH`,
/// `QT_PLUGIN_PATH`, `QT_QPA_PLATFORM_PLUGIN_PATH`, `PATH`), and what dialogs don't need.
const KEPT: [&str; 28] = [
    // Which display, and who may draw on it.
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "GDK_BACKEND",
    "QT_QPA_PLATFORM",
    // Which desktop: chooses the dialog, and the toolkits their look.
    "XDG_CURRENT_DESKTOP",
    "KDE_FULL_SESSION",
    "KDE_SESSION_VERSION",
    // Where pinentry-gnome3 finds its prompter.
    "DBUS_SESSION_BUS_ADDRESS",
    // The language of what the dialog itself says, and how text is encoded.
    "LANG",
    "LANGUAGE",
    // Where themes and fonts are set: large print and high contrast are set there, too.
    "HOME",
    "GTK_THEME",
    // How large it is on a display of many dots.
    "GDK_SCALE",
    "GDK_DPI_SCALE",
    "QT_SCALE_FACTOR",
    "QT_SCREEN_SCALE_FACTORS",
    "QT_AUTO_SCREEN_SCALE_FACTOR",
    "QT_FONT_DPI",
    // Screen readers.
    "AT_SPI_BUS_ADDRESS",
    "NO_AT_BRIDGE",
    "GTK_A11Y",
    "QT_ACCESSIBILITY",
    "QT_LINUX_ACCESSIBILITY_ALWAYS_ON",
    // tmux: where its sockets are, and what it draws on.
    "TMUX_TMPDIR",
    "TERM",
];
/// Beginnings of names that are kept: `LC_MESSAGES`, `LC_CTYPE` and so on.
const KEPT_FAMILY: &[u8] = b"LC_";
/// The longest value that is kept, in bytes; lists of bus addresses are the longest.
const MAX_VALUE: usize = 4096;
/// How many variables may begin with [`KEPT_FAMILY`]: locale(7) knows 13.
const MAX_FAMILY: usize = 16;

/// A snapshot of the session's environment: only what is on the list above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// That of this process, now.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// What is kept of these variables.
    #[must_use]
    pub fn new<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut family = 0;
        let kept = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, value): &(OsString, OsString)| {
                if value.is_empty() || value.len() > MAX_VALUE {
                    return false;
                }
                let of_family = name.as_bytes().starts_with(KEPT_FAMILY);
                family += usize::from(of_family);
                (of_family && family <= MAX_FAMILY) || KEPT.iter().any(|kept| name == kept)
            })
            .collect();
        Self(kept)
    }

    /// The same with this session bus, or without one.
    #[must_use]
    pub(super) fn with_session_bus(&self, address: Option<&str>) -> Self {
        const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
        let others = self.0.iter().filter(|(name, _)| name != BUS).cloned();
        let bus = address.map(|address| (BUS.into(), address.into()));
        Self(others.chain(bus).collect())
    }

    /// The value of a variable that is kept and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// All of them, for a child.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The same without a display, and without what leads to one.
    #[must_use]
    pub(super) fn without_display(&self) -> Self {
        let leads = ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"];
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !leads.iter().any(|it| name == it));
        Self(kept.cloned().collect())
    }

    /// True if there is a display to draw on.
    #[must_use]
    pub fn has_display(&self) -> bool {
        self.get("DISPLAY").is_some() || self.get("WAYLAND_DISPLAY").is_some()
    }

    /// True if the session says that it runs this desktop (Desktop Entry Specification,
    /// `XDG_CURRENT_DESKTOP`: names between colons, as `ubuntu:GNOME`).
    #[must_use]
    pub fn is_desktop(&self, name: &str) -> bool {
        self.get("XDG_CURRENT_DESKTOP")
            .and_then(OsStr::to_str)
            .is_some_and(|list| list.split(':').any(|one| one.eq_ignore_ascii_case(name)))
    }

    /// The address of the session bus: what the session says, or where systemd puts it.
    #[must_use]
    pub fn session_bus(&self) -> Option<String> {
        if let Some(address) = self.get("DBUS_SESSION_BUS_ADDRESS") {
            return address.to_str().map(str::to_owned);
        }
        let socket = Path::new(self.get("XDG_RUNTIME_DIR")?).join("bus");
        let path = socket.to_str().filter(|_| socket.exists())?;
        // Characters outside of this set must be escaped in an address (D-Bus specification,
        // "Server Addresses"); no runtime directory has them.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
        path.chars().all(plain).then(|| format!("unix:path={path}"))
    }

    /// Below which directory tmux keeps its sockets (tmux(1), `TMUX_TMPDIR`).
    #[must_use]
    pub fn tmux_dir(&self) -> PathBuf {
        self.get("TMUX_TMPDIR")
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// The locale for this category, as `LC_MESSAGES` (locale(7): `LC_ALL`, then the
    /// category, then `LANG`).
    pub(super) fn locale(&self, category: &str) -> Option<&str> {
        ["LC_ALL", category, "LANG"]
            .into_iter()
            .find_map(|name| self.get(name))
            .and_then(OsStr::to_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_code_is_left_out_and_what_shows_a_dialog_stays() {
        let environment = Environment::new([
            ("LD_PRELOAD", "/tmp/evil.so"),
            ("LD_LIBRARY_PATH", "/tmp"),
            ("GTK_MODULES", "evil"),
            ("GTK_PATH", "/tmp"),
            ("QT_PLUGIN_PATH", "/tmp"),
            ("QT_QPA_PLATFORM_PLUGIN_PATH", "/tmp"),
            ("PATH", "/tmp"),
            ("PINENTRY_BINARY", "/tmp/evil"),
            ("DISPLAY", ":0"),
            ("LC_MESSAGES", "de_DE.UTF-8"),
            ("WAYLAND_DISPLAY", ""),
        ]);
        let names: Vec<_> = environment.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["DISPLAY", "LC_MESSAGES"]);
        assert!(environment.has_display());
        assert_eq!(environment.get("WAYLAND_DISPLAY"), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = (0..100).map(|n| (format!("LC_{n}"), "C".to_owned()));
        assert_eq!(Environment::new(many).iter().count(), MAX_FAMILY);
        let long = Environment::new([("HOME", "x".repeat(MAX_VALUE + 1))]);
        assert_eq!(long, Environment::default());
    }

    #[test]
    fn a_desktop_may_be_one_of_several() {
        let environment = Environment::new([("XDG_CURRENT_DESKTOP", "ubuntu:GNOME")]);
        assert!(environment.is_desktop("gnome"));
        assert!(!environment.is_desktop("KDE"));
        assert!(!Environment::default().is_desktop(""));
    }

    #[test]
    fn the_session_bus_is_the_one_named_or_the_one_in_the_runtime_directory() {
        let named = Environment::new([("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x")]);
        assert_eq!(named.session_bus().as_deref(), Some("unix:path=/x"));
        let dir = tempfile::tempdir().unwrap();
        let runtime = Environment::new([("XDG_RUNTIME_DIR", dir.path())]);
        assert_eq!(runtime.session_bus(), None);
        std::fs::write(dir.path().join("bus"), "").unwrap();
        let expected = format!("unix:path={}/bus", dir.path().display());
        assert_eq!(runtime.session_bus(), Some(expected));
        assert_eq!(Environment::default().session_bus(), None);
    }
}
