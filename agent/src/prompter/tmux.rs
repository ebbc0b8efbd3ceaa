// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A popup over the person's tmux, in which `stile approve` asks: for whom there is only a
//! terminal. What runs in the panes is left as it is.
//!
//! The popup's own `stile approve` talks to the daemon, so no code passes through here.

use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::children::{Output, Program, Running};
use super::question::line;
use super::{Deed, Environment, Place, Question};
use crate::ids::Uid;

/// The popup, in characters; tmux makes it smaller where the terminal is.
const WIDTH: &str = "78";
const HEIGHT: &str = "20";
/// Servers that are looked at. A person has one, or some for as many projects.
const MAX_SERVERS: usize = 16;
/// How much tmux may say: 10,000 panes fit.
const MAX_OUTPUT: usize = 1 << 20;
/// How long tmux may take to say what it has, and to open or close a popup.
const PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of the popup's command, whatever `stile approve` says: tmux passes it on, and
/// says 0 itself where another popup keeps ours from being shown.
const SHOWN: i32 = 86;

/// The popup of one person's tmux.
#[derive(Clone, Debug)]
pub struct Tmux {
    program: Program,
    stile: Program,
    environment: Environment,
    uid: Uid,
    /// The terminal of the process that waits, as `pts/3`; or empty.
    terminal: String,
    /// Whether a tmux that doesn't show that terminal is as good.
    anywhere: bool,
}

impl Tmux {
    /// The tmux of this user, if it is installed and they have a server.
    ///
    /// The popup opens where `terminal` (as `pts/3`) is a pane; with `anywhere` else where the
    /// person was last active.
    #[must_use]
    pub fn find(
        environment: &Environment,
        uid: Uid,
        terminal: &str,
        anywhere: bool,
    ) -> Option<Self> {
        let found = Self {
            program: Program::find("tmux")?,
            stile: Program::find("stile")?,
            environment: environment.clone(),
            uid,
            terminal: terminal.to_owned(),
            anywhere,
        };
        found
            .sockets()
            .is_ok_and(|all| !all.is_empty())
            .then_some(found)
    }

    /// The sockets of the user's servers (tmux(1), `-L`). The directory must be theirs alone.
    fn sockets(&self) -> io::Result<Vec<PathBuf>> {
        let directory = self
            .environment
            .tmux_dir()
            .join(format!("tmux-{}", self.uid));
        let found = directory.symlink_metadata()?;
        if !found.is_dir() || found.uid() != self.uid.0 || found.mode() & 0o077 != 0 {
            return Ok(Vec::new());
        }
        let is_theirs = |entry: &DirEntry| {
            entry
                .metadata()
                .is_ok_and(|found| found.file_type().is_socket() && found.uid() == self.uid.0)
        };
        Ok(directory
            .read_dir()?
            .flatten()
            .filter(is_theirs)
            .take(MAX_SERVERS)
            .map(|entry| entry.path())
            .collect())
    }

    /// The client to show the popup at.
    async fn choose(&self) -> Result<Client, String> {
        let sockets = self.sockets().map_err(|error| format!("tmux: {error}"))?;
        let mut clients = Vec::new();
        for socket in sockets {
            // A server that has ended leaves its socket.
            clients.extend(self.clients(&socket).await.unwrap_or_default());
        }
        let best = clients
            .into_iter()
            .filter(|client| client.shows || self.anywhere)
            .max_by_key(|client| (client.shows, client.active));
        let client = best.ok_or("tmux: nobody is attached to it")?;
        if client.version < Version(3, 2) {
            return Err("tmux: it is older than 3.2 and has no popups".to_owned());
        }
        Ok(client)
    }

    /// The clients of the server behind this socket.
    async fn clients(&self, socket: &Path) -> Option<Vec<Client>> {
        let panes = self
            .run(socket, &["list-panes", "-a", "-F", PANE_FORMAT])
            .await?;
        let sessions = sessions_of(&panes.out, &self.terminal);
        let clients = self
            .run(socket, &["list-clients", "-F", CLIENT_FORMAT])
            .await?;
        Some(
            String::from_utf8_lossy(&clients.out)
                .lines()
                .filter_map(|said| Client::parse(said, socket, &sessions))
                .collect(),
        )
    }

    /// What tmux says to a command that it carries out at once.
    async fn run(&self, socket: &Path, command: &[&str]) -> Option<Output> {
        let mut running = self.start(socket, command).ok()?;
        let output = timeout(PATIENCE, running.output(MAX_OUTPUT))
            .await
            .ok()?
            .ok()?;
        (output.code == Some(0)).then_some(output)
    }

    fn start(&self, socket: &Path, command: &[&str]) -> io::Result<Running> {
        // Neither a list nor a popup starts a server (tmux(1), CMD_STARTSERVER in its source).
        let arguments = [Path::new("-S").as_os_str(), socket.as_os_str()];
        let arguments = arguments.into_iter().chain(
            command
                .iter()
                .map(|argument| Path::new(argument).as_os_str()),
        );
        Running::start(&self.program, arguments, &self.environment, Stdio::piped())
    }

    /// Shows the popup and waits until it is closed.
    async fn show(&self, question: &Question, client: &Client) -> Deed {
        let command = format!(
            "{} approve {}; exit {SHOWN}",
            self.stile.path().display(),
            question.id
        );
        let mut arguments = vec![
            "display-popup",
            "-c",
            &client.name,
            "-w",
            WIDTH,
            "-h",
            HEIGHT,
        ];
        if client.version >= Version(3, 3) {
            arguments.extend(["-T", " stile "]);
        }
        arguments.extend(["-E", &command]);
        let popup = match self.start(&client.socket, &arguments) {
            Ok(running) => Popup {
                running: Some(running),
                tmux: self.clone(),
                client: client.clone(),
            },
            Err(error) => return Deed::Unable(format!("tmux: {error}")),
        };
        match popup.closed().await {
            Ok(output) => judge(client.version, &output),
            Err(error) => Deed::Unable(format!("tmux: {error}")),
        }
    }
}

impl Place for Tmux {
    fn name(&self) -> &'static str {
        "tmux"
    }

    async fn ask(&self, question: &Question) -> Deed {
        let deadline = Instant::from_std(question.deadline);
        let asking = async {
            match self.choose().await {
                Ok(client) => self.show(question, &client).await,
                Err(why) => Deed::Unable(why),
            }
        };
        timeout_at(deadline, asking).await.unwrap_or(Deed::Silent)
    }
}

/// What became of a popup, from how the tmux that showed it ended.
fn judge(version: Version, output: &Output) -> Deed {
    // What the popup's command says goes to the popup; this is tmux itself.
    let said = String::from_utf8_lossy(&output.err);
    let said = said.trim();
    if !said.is_empty() {
        return Deed::Unable(format!("tmux: {}", line(said, 100)));
    }
    match output.code {
        // Before 3.3 the exit code tells nothing.
        _ if version < Version(3, 3) => Deed::Silent,
        Some(0) => Deed::Unable("tmux: another popup is open".to_owned()),
        // What a shell says that can't start a program (POSIX, sh, EXIT STATUS).
        Some(126 | 127) => Deed::Unable("tmux: its shell can't start stile".to_owned()),
        _ => Deed::Silent,
    }
}

/// A popup that is shown. Dropping it closes it.
struct Popup {
    running: Option<Running>,
    tmux: Tmux,
    client: Client,
}

impl Popup {
    /// How it was closed: by the person, or because its command has ended.
    async fn closed(mut self) -> io::Result<Output> {
        let Some(running) = self.running.as_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let output = running.output(MAX_OUTPUT).await?;
        self.running = None;
        Ok(output)
    }
}

impl Drop for Popup {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let (tmux, client) = (self.tmux.clone(), self.client.clone());
        let close = async move {
            let _ = tmux
                .run(&client.socket, &["display-popup", "-C", "-c", &client.name])
                .await;
            // Only now, so that it is this popup that was closed.
            drop(running);
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(close);
        }
    }
}

/// A version of tmux: `3.3a` is 3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// From `3.3a`, `next-3.4` or `3.4-rc`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("next-").unwrap_or(text);
        let (major, minor) = text.split_once('.')?;
        let digits = minor.find(|c: char| !c.is_ascii_digit());
        let minor = &minor[..digits.unwrap_or(minor.len())];
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// A terminal at which the person looks at tmux.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    socket: PathBuf,
    name: String,
    /// When it was last used, in seconds since 1970.
    active: u64,
    version: Version,
    /// Whether its session has the pane of the process that waits.
    shows: bool,
}

/// What tmux is asked to say of a client: the server's version, whether it is a program that
/// draws for itself, when it was last used, its session and its name. Between them are spaces, which
/// none but the last has: without a locale of UTF-8 tmux writes an underscore for a tab.
const CLIENT_FORMAT: &str =
    "#{version} #{client_control_mode} #{client_activity} #{session_id} #{client_name}";
/// Of a pane: its terminal and its session.
const PANE_FORMAT: &str = "#{pane_tty} #{session_id}";

impl Client {
    fn parse(said: &str, socket: &Path, sessions: &[String]) -> Option<Self> {
        let mut fields = said.splitn(5, ' ');
        let version = Version::parse(fields.next()?)?;
        if fields.next()? != "0" {
            return None;
        }
        let active = fields.next()?.parse().ok()?;
        let session = fields.next()?;
        Some(Self {
            socket: socket.to_owned(),
            version,
            active,
            shows: sessions.iter().any(|one| one == session),
            name: fields.next()?.to_owned(),
        })
    }
}

/// The sessions that have this terminal, as `pts/3`.
fn sessions_of(panes: &[u8], terminal: &str) -> Vec<String> {
    if terminal.is_empty() {
        return Vec::new();
    }
    let path = format!("/dev/{terminal}");
    String::from_utf8_lossy(panes)
        .lines()
        .filter_map(|pane| pane.split_once(' '))
        .filter(|(tty, _)| *tty == path)
        .map(|(_, session)| session.to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
