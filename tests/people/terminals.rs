// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The line on the terminal of a process that waits: where it comes, and where it must not.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use stile_tests::{
    ALICE, BOB, Client, Host, Login, ROOT, Running, Sshd, Terminal, cannot_run, client_program,
    program, until,
};

/// What comes where no line may.
const BELL: &str = "\u{7}";
/// Where alice sits when she comes over ssh.
const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

/// Alice's client on this terminal, run by a shell command of hers that has the terminal as 3.
fn client_by(host: &Host, terminal: &Terminal, command: &str) -> Client {
    let mut shell = host.on_terminal(terminal, ALICE, Path::new("/bin/sh"));
    shell
        .args(["-c", command])
        .arg(client_program())
        .arg(host.server().address().to_string());
    Client::start(&mut shell)
}

/// Waits until the agent has written down what became of a line.
fn wait_for_notice(host: &Host, outcome: &str) {
    until(&format!("a notice has become {outcome}"), || {
        let log = host.log();
        let mut notices = log.lines().filter(|line| line.contains("terminal notice"));
        notices.any(|line| line.contains(outcome)).then_some(())
    });
}

/// What a shell on this terminal does, whose keyboard and screen it is.
fn on(host: &Host, terminal: &Terminal, line: &[String]) -> Running {
    let mut command: Command = host.on_terminal(terminal, ROOT, Path::new("/bin/sh"));
    command
        .args(["-c", r#"exec "$@" <&3 >&3 2>&3"#, "sh"])
        .args(line);
    Running::start(&mut command)
}

#[test]
fn who_came_over_ssh_sees_the_line_and_answers_over_another_ssh() {
    let host = Host::start_usual();
    let login = Login::from(ALICE, DESK);
    let Some(sshd) = Sshd::on_host(&host, &login) else {
        return cannot_run("OpenSSH is not installed");
    };
    let authenticator = host.enroll(ALICE);
    let over_ssh = |terminal: &Terminal, command: String| {
        let mut line = sshd.client(ALICE, DESK);
        line.push(command);
        on(&host, terminal, &line)
    };
    let mut first = Terminal::of(ALICE);
    let (client, address) = (client_program(), host.server().address());
    let connect = format!("tty; exec {} tcp {address}", client.display());
    let _first = over_ssh(&first, connect);
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["from"], DESK.to_string());
    let id = login.cgroup();
    let id = id.rsplit('/').next().unwrap();
    let session = challenge["session"].as_str().unwrap();
    assert_eq!(format!("session-{session}.scope"), id);
    let terminal = challenge["terminal"].as_str().unwrap();
    // sshd's terminal, not that of the client.
    first.shows(&format!("/dev/{terminal}"));
    assert_ne!(Path::new("/dev").join(terminal), first.path());
    let id = challenge["id"].as_u64().unwrap();
    first.shows(&format!("needs approval. Run: stile approve {id} "));

    let mut second = Terminal::of(ALICE);
    let bus = format!("DBUS_SYSTEM_BUS_ADDRESS={}", host.bus());
    let stile = program("stile");
    let approve = format!("env {bus} {} approve {id}", stile.display());
    let _second = over_ssh(&second, approve);
    second.type_at("code:", &authenticator.fresh_code());
    first.shows("connected ");
}

#[test]
fn a_terminal_with_mesg_n_gets_the_bell_and_no_line() {
    let host = Host::builder().max_hold("3s").build();
    let mut terminal = Terminal::of(ALICE);
    let client = client_by(&host, &terminal, r#"mesg n <&3; exec "$0" tcp "$1""#);
    wait_for_notice(&host, "Rang");
    assert_eq!(terminal.shows(BELL), BELL);
    client.refused();
    // Another one for the end, and that was all.
    let two = BELL.repeat(2);
    assert_eq!(terminal.shows(&two), two);
}

#[test]
fn a_line_that_a_stopped_terminal_does_not_take_keeps_nobody_waiting() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut terminal = Terminal::of(ALICE);
    let client = client_by(
        &host,
        &terminal,
        r#"printf 'there\n' >&3; read line <&3; exec "$0" tcp "$1""#,
    );
    // Ctrl-S, which stops what is written, and then a line that is read all the same.
    terminal.type_at("there", "\u{13}");
    wait_for_notice(&host, "Busy");
    host.approve(ALICE, &authenticator);
    client.connected();
}

#[test]
fn who_outlives_their_terminal_still_waits_and_nobody_waits_for_it() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut terminal = Terminal::of(ALICE);
    let mut client = client_by(&host, &terminal, r#"exec nohup "$0" tcp "$1""#);
    let challenge = host.wait_for_challenge(ALICE);
    terminal.shows("needs approval");
    drop(terminal);
    // What bob gives up shows that the agent has looked who still waits.
    let mut given_up = host.crowd(BOB, host.server().address());
    assert_eq!(given_up.begin(1), 1);
    host.wait_for_waiting(BOB, 1);
    given_up.leave();
    host.wait_for_challenges(BOB, 0);
    client.still_waits();
    assert_eq!(host.wait_for_challenge(ALICE)["id"], challenge["id"]);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();

    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    client.again();
    assert_eq!(host.wait_for_challenge(ALICE)["terminal"], "");
    // Another one's line comes at once.
    let mut other = Terminal::of(BOB);
    let bobs = Client::start(&mut host.client_on(&other, BOB));
    other.shows("needs approval");
    bobs.still_waits();
    wait_for_notice(&host, "NoTerminal");
}

#[test]
fn a_line_for_a_terminal_that_is_gone_comes_to_no_other_one() {
    let host = Host::builder().max_hold("3s").build();
    let mut terminal = Terminal::of(ALICE);
    let client = client_by(&host, &terminal, r#"exec nohup "$0" tcp "$1""#);
    terminal.shows("needs approval");
    drop(terminal);
    // It gets the number that has become free, unless somebody else has it by now.
    let mut next = Terminal::of(ALICE);
    client.refused();
    wait_for_notice(&host, "NoTerminal");
    assert_eq!(next.shows(""), "");
}

#[test]
fn who_ends_with_their_terminal_is_asked_no_more() {
    let host = Host::start_usual();
    let mut terminal = Terminal::of(ALICE);
    let _client = client_by(&host, &terminal, r#"exec "$0" tcp "$1""#);
    host.wait_for_challenge(ALICE);
    terminal.shows("needs approval");
    drop(terminal);
    let records = host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "withdrawn");
    assert!(host.pending(ALICE).is_empty());
}
