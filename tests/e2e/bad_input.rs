// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stile is given may be wrong, missing or hostile: it says so clearly, and stays shut.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use stile_tests::{
    ALICE, Fate, Host, Probe, ROOT, Running, Said, Terminal, client_program, wait_for_no_connect,
};

/// Five mistakes, and what is said of each.
const FIVE_MISTAKES: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.300"]
ports = [0]
colour = "red"

[[rule]]
name = "step-up"
endpoints = ["bd"]
users = []
action = "step-up"
"#;
const SAID: [&str; 5] = [
    "\"10.0.0.300\"",
    "0 is no port",
    "`colour`",
    "\"bd\"",
    "users",
];

/// Runs a daemon that won't start, by this program and its arguments.
#[track_caller]
fn refused(host: &Host, runner: &[&str]) -> String {
    let output = Running::start(&mut host.stiled(runner)).output();
    let said = Said::from(output);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.stdout, "", "{said:?}");
    assert!(!said.stderr.contains("panicked"), "{said:?}");
    said.stderr
}

/// Asserts that a daemon which wouldn't start has left nothing behind.
#[track_caller]
fn nothing_is_attached(host: &Host) {
    let pins = fs::read_dir(host.pins()).map_or(0, Iterator::count);
    assert_eq!(pins, 0, "there are pins");
    host.connect(ALICE).connected();
}

/// A host whose daemon isn't started.
fn stopped() -> Host {
    Host::builder().stopped().build()
}

/// Asserts that a daemon run like this says why it can't start, and what to do.
#[track_caller]
fn says_on_this_machine(runner: &[&str], why: &str, remedy: &str) {
    let host = stopped();
    let said = refused(&host, runner);
    assert!(said.contains(why), "{said}");
    assert!(said.contains(remedy), "{said}");
    nothing_is_attached(&host);
}

#[test]
fn every_mistake_of_a_policy_is_said_at_once() {
    let host = Host::builder().policy(FIVE_MISTAKES).stopped().build();
    let daemon = refused(&host, &[]);
    for mistake in SAID {
        assert!(daemon.contains(mistake), "{mistake} in {daemon}");
    }
    assert_eq!(daemon.matches("error: ").count(), 5, "{daemon}");
    nothing_is_attached(&host);

    let [policy, config] = [host.policy(), host.settings()].map(|path| path.display().to_string());
    let check = ["policy", "check", "--policy", &policy, "--config", &config];
    let said = host.stile(ROOT, &check);
    said.failed(5, "5 findings");
    // The same text, after the daemon's own name.
    let mistakes = daemon.trim_end().strip_prefix("stiled: ");
    assert_eq!(Some(said.stdout.trim_end()), mistakes);

    let json = host.stile(ROOT, &[&check[..], &["--json"]].concat()).json();
    assert_eq!(json["sound"], false);
    let findings = json["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 5, "{json}");
    for finding in findings {
        assert!(finding["line"].is_u64(), "{finding}");
    }
}

#[test]
fn whoever_is_not_root_is_told_so() {
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    says_on_this_machine(&nobody, "lacks CAP_BPF", "run stiled as root");
}

#[test]
fn a_root_without_the_capabilities_is_told_which() {
    let bounded = "--bounding-set=-bpf,-sys_admin";
    says_on_this_machine(&["setpriv", bounded], "lacks CAP_BPF", "its systemd unit");
}

/// In a private mount namespace without the file systems of this type.
fn without(kind: &str) -> Vec<String> {
    let script = format!("umount -a -l -t {kind} && exec \"$@\"");
    ["unshare", "--mount", "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .into()
}

#[track_caller]
fn says_without(kind: &str, why: &str, remedy: &str) {
    let runner = without(kind);
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    says_on_this_machine(&runner, why, remedy);
}

#[test]
fn a_machine_without_cgroup2_is_told_to_mount_it() {
    says_without("cgroup2", "no cgroup v2 hierarchy", "mount -t cgroup2");
}

#[test]
fn a_machine_without_bpffs_is_told_to_mount_it() {
    says_without("bpf", "no bpffs is mounted", "mount -t bpf bpf");
}

#[test]
fn a_daemon_in_a_pid_namespace_of_its_own_is_refused() {
    let runner = ["unshare", "--pid", "--fork", "--mount-proc"];
    says_on_this_machine(&runner, "pid namespace of its own", "outside of containers");
}

#[test]
fn a_second_daemon_is_refused_and_does_not_disturb_the_first() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let said = refused(&host, &[]);
    assert!(
        said.contains("is in use; stop the stiled that runs already"),
        "{said}"
    );
    held.still_waits();
    host.approve(ALICE, &authenticator);
    held.connected();
    held.talks();
}

#[test]
fn a_policy_that_others_may_write_is_refused() {
    let host = stopped();
    let file = host.policy().join("10-test.toml");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).expect("ours");
    let said = refused(&host, &[]);
    assert!(said.contains(&file.display().to_string()), "{said}");
    assert!(said.contains("chmod"), "{said}");
    nothing_is_attached(&host);
}

#[test]
fn a_state_directory_that_others_may_read_is_refused() {
    let host = stopped();
    fs::create_dir(host.state()).expect("ours");
    fs::set_permissions(host.state(), PermissionsExt::from_mode(0o755)).expect("ours");
    let said = refused(&host, &[]);
    let remedy = format!("chmod 700 {}", host.state().display());
    assert!(said.contains(&remedy), "{said}");
    nothing_is_attached(&host);
}

/// Escape codes, a bell, a line end, a carriage return, and what isn't UTF-8.
const EVIL: &str = "a\x1b[2J\x07\n\r\u{9b}1m\u{202e}";

/// The tests' client under an evil name, in this folder.
fn evil_client(folder: &Path) -> PathBuf {
    let path = folder.join(EVIL);
    fs::copy(client_program(), &path).expect("ours");
    path
}

/// Asserts that text has no control characters but line ends, and nothing that turns it.
#[track_caller]
fn is_plain(what: &str, text: &str) {
    let odd = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
    assert_eq!(text.chars().find(odd), None, "{what}: {text:?}");
}

#[test]
fn what_a_process_calls_itself_cannot_steer_a_terminal_or_forge_a_record() {
    let host = Host::start_usual();
    let folder = tempfile::Builder::new()
        .permissions(PermissionsExt::from_mode(0o755))
        .prefix("")
        .rand_bytes(4)
        // Short: the notice shows 32 characters of the path.
        .tempdir_in("/tmp")
        .expect("a folder");
    let program = evil_client(folder.path());
    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &program);
    command.args(["tcp", &host.server().address().to_string()]);
    let mut held = Running::start(&mut command);
    host.wait_for_challenge(ALICE);

    let pending = host.stile(ALICE, &["pending"]);
    is_plain("stile pending", &pending.stdout);
    assert!(pending.stdout.contains("x1b[2J"), "{pending:?}");
    assert_eq!(pending.stdout.lines().count(), 2, "{pending:?}");
    let json = host.stile(ALICE, &["pending", "--json"]);
    is_plain("stile pending --json", &json.stdout);
    let program = json.json()[0]["program"].as_str().map(str::to_owned);
    is_plain("its program", &program.expect("text"));

    let log = fs::read_to_string(host.audit().path()).expect("the log");
    is_plain("the audit log", &log);
    let attempt = host.audit().records().the("attempt").clone();
    for name in ["exe", "comm"] {
        let text = attempt["process"][name].as_str().expect("text");
        is_plain(name, text);
        assert!(text.contains("\\x1b[2J"), "{name}: {text}");
    }
    host.verify_audit(host.audit().path()).succeeded();

    // The terminal makes \r\n of \n.
    let notice = terminal.shows("s left)").replace("\r\r\n", "\n");
    assert!(notice.contains("x1b[2J"), "{notice}");
    // It rings once, at its end.
    is_plain("the notice", &notice.replacen('\x07', "", 1));
    assert_eq!(held.ended(), None);
}

#[test]
fn a_process_that_is_gone_when_it_is_looked_at_is_never_let_through() {
    let host = Host::start_usual();
    let address = host.server().address();
    host.signal(Signal::SIGSTOP);
    let mut orphan = Probe::start(&mut host.probe(ALICE, "tcp-orphan", &[address]));
    assert_eq!(orphan.fate(), Fate::Sent);
    orphan.wait();
    host.signal(Signal::SIGCONT);
    let challenge = host.wait_for_challenge(ALICE);
    let warnings = serde_json::json!(["the process that connected has ended"]);
    assert_eq!(challenge["warnings"], warnings);
    assert_eq!(host.server().accepted(), 0);
    let decision = host.audit().records().the("decision").clone();
    assert_eq!(decision["outcome"], "challenge");
    host.stile(ALICE, &["deny", &challenge["id"].to_string()])
        .succeeded();
    wait_for_no_connect(address);
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_code_that_is_no_code_is_refused_and_the_connection_waits_on() {
    let host = Host::start_usual();
    let _authenticator = host.enroll(ALICE);
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    for code in [
        "",
        "12345",
        "1234567",
        "abcdef",
        "１２３４５６",
        "12 34 56 78",
    ] {
        let said = host.answer(ALICE, None, code);
        assert_ne!(said.code, 0, "{code:?}: {said:?}");
        assert!(!said.stderr.contains("panicked"), "{said:?}");
    }
    held.still_waits();
    assert_eq!(host.server().accepted(), 0);
    let challenge = host.wait_for_challenge(ALICE);
    host.stile(ALICE, &["deny", &challenge["id"].to_string()])
        .succeeded();
    assert_eq!(held.refused().0, Errno::ECONNABORTED);
}
