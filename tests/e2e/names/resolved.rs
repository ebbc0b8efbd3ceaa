// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Wildcards, with the real systemd-resolved, which runs without systemd here.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use stile_tests::{ALICE, Host, Running, measured, until};

use super::scene::{Zone, cover, learned};

/// Where resolved has its sockets.
const PLACE: &str = "/run/systemd/resolve";
pub(crate) const MONITOR: &str = "/run/systemd/resolve/io.systemd.Resolve.Monitor";
/// Its stub, which programs ask.
const STUB: &str = "127.0.0.53:53";
/// Its user, whom only the suite knows.
const USER: u32 = 942;

/// There is one place for resolved's sockets, and one of these tests at a time. In the suite's own
/// mount namespace it is empty.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static EMPTY: Once = Once::new();
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    EMPTY.call_once(|| {
        fs::create_dir_all("/run/systemd").unwrap();
        let (none, flags) = (None::<&str>, MsFlags::MS_NOSUID);
        mount(Some("tmpfs"), "/run/systemd", Some("tmpfs"), flags, none).unwrap();
        fs::create_dir(PLACE).unwrap();
    });
    guard
}

/// The program: the machine's, or one that was only unpacked.
fn program() -> Option<PathBuf> {
    let unpacked = std::env::var_os("STILE_TEST_RESOLVED").map(PathBuf::from);
    let installed = [
        "/usr/lib/systemd/systemd-resolved",
        "/lib/systemd/systemd-resolved",
    ];
    let all = unpacked.into_iter().chain(installed.map(PathBuf::from));
    // One that was only unpacked may lack a library.
    let starts = |path: &PathBuf| {
        let mut command = Command::new(path);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    all.into_iter().find(starts)
}

/// Starts it, with this name server, on the host's bus.
fn start(program: &Path, host: &Host, server: &str) -> Running {
    let group = |file: &str, line: String| {
        let ours = std::env::temp_dir().join(file.replace('/', "-"));
        let text = fs::read_to_string(file).unwrap();
        fs::write(&ours, text + &line).unwrap();
        cover(Path::new(file), &ours);
    };
    group(
        "/etc/passwd",
        format!("systemd-resolve:x:{USER}:{USER}::/:/bin/false\n"),
    );
    group("/etc/group", format!("systemd-resolve:x:{USER}:\n"));
    chown(PLACE, Some(USER), Some(USER)).unwrap();
    let settings = Path::new("/run/systemd/resolved.conf.d");
    fs::create_dir_all(settings).unwrap();
    let text = format!("[Resolve]\nDNS={server}\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\nCache=no\n");
    fs::write(settings.join("test.conf"), text).unwrap();
    // It asks nobody as long as it sees no network.
    for line in [
        "link add to-dns type veth peer name from-dns",
        "link set from-dns up",
        "link set to-dns up",
        "address add 192.0.2.5/24 dev to-dns",
        "route add default via 192.0.2.1",
    ] {
        let status = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    }
    let mut command = Command::new(program);
    command
        .env("DBUS_SYSTEM_BUS_ADDRESS", host.bus())
        .stdin(Stdio::null());
    let mut running = Running::start(&mut command);
    until("resolved has its monitor", || {
        assert!(running.ended().is_none(), "it ended");
        Path::new(MONITOR).exists().then_some(())
    });
    running
}

/// Asks the stub for the address of a name, as a resolver without a library does.
fn look_up(name: &str) {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(stile_tests::patience()))
        .unwrap();
    socket.send_to(&query, STUB).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert!(length > query.len() && answer[3] & 15 == 0, "no answer");
}

#[test]
fn what_systemd_resolved_answers_below_a_wildcard_is_protected() {
    let Some(mut zone) = Zone::new() else { return };
    let Some(program) = program() else {
        return stile_tests::cannot_run("there is no systemd-resolved");
    };
    let _alone = alone();
    let _server = zone.echo(1);
    zone.serve(&[("db", zone.address(1))]);
    let wild = format!("*{}", zone.name(""));
    let host = zone.builder(&[&wild]).build();
    let _ = fs::remove_file(MONITOR);
    let _resolved = start(&program, &host, "127.0.0.1");
    until("the daemon observes", || {
        let status = host.stile(stile_tests::ROOT, &["status"]);
        (!status.stdout.contains("wildcards catch nothing")).then_some(())
    });
    look_up(&zone.name("db"));
    // How long a first connect may go ahead of its protection.
    let (answered, answered_at) = (Instant::now(), stile::clock::now().boot);
    let mut earliest = host.connect_to(ALICE, zone.at(1));
    learned(&host, &wild, zone.address(1));
    let took = answered.elapsed();
    let was_first = earliest
        .try_outcome()
        .is_some_and(|outcome| outcome.result.is_ok());
    let heard = host.audit().records();
    let heard = heard.the("host-learned")["boot_ns"].as_u64().unwrap();
    let heard = heard.saturating_sub(answered_at.0) / 1000;
    measured(&format!(
        "heard of {heard} us after the answer, protected at the latest {} ms after the answer; a connect right after it was {}",
        took.as_millis(),
        if was_first {
            "first, and closed"
        } else {
            "held"
        }
    ));
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
    if was_first {
        earliest.listen();
        assert_eq!(earliest.heard(), Err(Errno::ECONNABORTED));
    } else {
        earliest.still_waits();
    }
}
