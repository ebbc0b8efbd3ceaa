// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People who come to a machine over ssh.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Machine, Shell};
use crate::host::Host;
use crate::sandbox::User;
use crate::sockets::wait_for_listener;

/// A real sshd of the machine's, with its PAM, where users may log in with a key. It ends with
/// the machine.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    at: SocketAddr,
}

/// The port of a machine's sshd, on the address of its host's server.
const PORT: u16 = 7022;

impl Machine {
    /// Starts it. `None` if OpenSSH isn't installed.
    #[track_caller]
    #[must_use]
    pub fn sshd(&self, host: &Host) -> Option<Sshd> {
        if crate::missing(&["sshd", "ssh", "ssh-keygen"]).is_some() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = SocketAddr::new(host.server().address().ip(), PORT);
        let etc = self.root().join("etc/stile-sshd");
        fs::create_dir(&etc).unwrap();
        for key in [etc.join("host_key"), folder.path().join("key")] {
            let mut command = Command::new("ssh-keygen");
            command
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(key);
            assert!(command.status().unwrap().success());
        }
        fs::copy(folder.path().join("key.pub"), etc.join("keys")).unwrap();
        // sshd reads it as the user.
        open(&etc, 0o755);
        open(&etc.join("keys"), 0o644);
        let config = format!(
            "ListenAddress {at}\nHostKey /etc/stile-sshd/host_key\n\
             AuthorizedKeysFile /etc/stile-sshd/keys\nUsePAM yes\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        );
        fs::write(etc.join("config"), config).unwrap();
        let start = ["systemd-run", "--property=RuntimeDirectory=sshd", "--"];
        let sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/stile-sshd/config"];
        self.run(&[&start[..], &sshd].concat()).succeeded();
        wait_for_listener(at);
        Some(Sshd { folder, at })
    }

    /// Logs a user in over ssh from this address, with a terminal.
    #[track_caller]
    #[must_use]
    pub fn login_over(&self, sshd: &Sshd, user: User, from: IpAddr) -> Shell {
        self.shell(user, &mut sshd.client(user, from))
    }
}

impl Sshd {
    /// The client, which runs on what is another computer to the machine.
    fn client(&self, user: User, from: IpAddr) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-tt", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
            .args(["-o", "LogLevel=ERROR", "-i"])
            .arg(self.folder.path().join("key"))
            .args(["-b", &from.to_string(), "-p", &self.at.port().to_string()])
            .arg(format!("{}@{}", user.name, self.at.ip()));
        command
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
