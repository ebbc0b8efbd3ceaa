// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What alice has the host's sshd connect for her, from another machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use stile_tests::{ALICE, Host, ROOT, Running, Server, cannot_run, wait_for_listener};
use tempfile::TempDir;

use crate::places::{SERVICE, protected_host};
use crate::relays::{door, is_there, relay_is_held_as};

/// A /run of its own, where sshd wants a folder; its files stay in view at another place.
const START: &str = r#"mount --bind "$0" /mnt && mount -t tmpfs tmpfs /run &&
    mkdir -m 755 /run/sshd && exec "$1" -D -e -f /mnt/sshd_config"#;

/// A real sshd, as root starts it, where alice may log in with a key.
struct Sshd {
    folder: TempDir,
    at: SocketAddr,
    _process: Running,
}

impl Sshd {
    fn start(host: &Host, server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = SocketAddr::new(server.address().ip(), 7022);
        for key in ["host_key", "key"] {
            let mut command = Command::new("ssh-keygen");
            command
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key));
            assert!(command.status().expect("OpenSSH").success());
        }
        let config = format!(
            "ListenAddress {at}\nHostKey /mnt/host_key\nAuthorizedKeysFile /mnt/key.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\n"
        );
        fs::write(folder.path().join("sshd_config"), config).expect("a folder of ours");
        // Read by sshd as alice.
        open(folder.path(), 0o755);
        open(&folder.path().join("key.pub"), 0o644);
        let mut command = host.in_cgroup("system.slice/ssh.service", ROOT, "unshare");
        command
            .args(["--mount", "/bin/sh", "-c", START])
            .arg(folder.path())
            .arg(sshd_program().expect("looked for before"));
        let process = Running::start(&mut command);
        wait_for_listener(at);
        Self {
            folder,
            at,
            _process: process,
        }
    }

    /// Alice's client. What it runs on is not this host's business: a service of root's.
    fn client(&self, host: &Host, arguments: &[&str]) -> Command {
        let mut command = host.in_cgroup(SERVICE, ROOT, "ssh");
        command
            .args(["-F", "none", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
            .args([
                "-o",
                "ExitOnForwardFailure=yes",
                "-o",
                "LogLevel=ERROR",
                "-i",
            ])
            .arg(self.folder.path().join("key"))
            .args(["-p", &self.at.port().to_string()])
            .args(arguments)
            .arg(format!("alice@{}", self.at.ip()))
            .stdin(Stdio::piped());
        command
    }
}

fn open(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(path, mode).expect("a file of ours");
}

/// In root's part of PATH, which an ordinary user doesn't have.
fn sshd_program() -> Option<&'static str> {
    let places = ["/usr/sbin/sshd", "/usr/bin/sshd"];
    places.into_iter().find(|path| Path::new(path).is_file())
}

#[test]
fn what_sshd_forwards_for_alice_with_dash_l_is_hers() {
    if sshd_program().is_none() {
        return cannot_run("openssh-server is not installed");
    }
    let (mut host, server) = protected_host();
    let sshd = Sshd::start(&host, &server);
    let forward = format!("{}:{}", door(&server), server.address());
    let _client = Running::start(&mut sshd.client(&host, &["-N", "-L", &forward]));
    wait_for_listener(door(&server));
    relay_is_held_as(ALICE, (&mut host, &server), |host| {
        host.probe(ROOT, "tcp", &[door(&server)])
    });
}

#[test]
fn what_sshd_forwards_for_alice_with_dash_d_is_hers() {
    if sshd_program().is_none() {
        return cannot_run("openssh-server is not installed");
    }
    if !is_there("socat") {
        return cannot_run("socat is not installed");
    }
    let (mut host, server) = protected_host();
    let sshd = Sshd::start(&host, &server);
    let at = door(&server);
    let _client = Running::start(&mut sshd.client(&host, &["-N", "-D", &at.to_string()]));
    wait_for_listener(at);
    relay_is_held_as(ALICE, (&mut host, &server), |host| {
        let to = server.address();
        let mut socks = host.in_cgroup(SERVICE, ROOT, "socat");
        socks.arg("SYSTEM:echo secret; cat").arg(format!(
            "SOCKS4:{}:{to},socksport={}",
            at.ip(),
            at.port()
        ));
        socks
    });
}

/// Also what `ssh -J` does on the host that it jumps over.
#[test]
fn what_sshd_forwards_for_alice_with_dash_w_is_hers() {
    if sshd_program().is_none() {
        return cannot_run("openssh-server is not installed");
    }
    let (mut host, server) = protected_host();
    let sshd = Sshd::start(&host, &server);
    let said = sshd.folder.path().join("said");
    fs::write(&said, "secret\n").expect("a folder of ours");
    relay_is_held_as(ALICE, (&mut host, &server), |host| {
        let mut client = sshd.client(host, &["-W", &server.address().to_string()]);
        client.stdin(fs::File::open(&said).expect("a file of ours"));
        client
    });
}
