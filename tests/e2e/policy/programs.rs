// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules that speak of programs are decided for each connection.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use stile_tests::{ALICE, Client, Host, client_program};

use super::{challenges, host, rule};

/// The client under another name, in a directory that only root may write.
struct Copy {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/usr/lib")
            .unwrap();
        let path = dir.path().join(name);
        fs::copy(client_program(), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { _dir: dir, path }
    }
}

fn run(host: &Host, program: &Path) -> Client {
    let mut command = host.as_user(ALICE, program);
    command.arg("tcp").arg(host.server().address().to_string());
    Client::start(&mut command)
}

fn only(program: &Path, keys: &str) -> String {
    rule(
        "one program",
        &format!("programs = [{:?}]\n{keys}", program.display().to_string()),
    )
}

#[test]
fn a_program_that_a_rule_allows_opens_nothing_for_another_one() {
    let psql = Copy::new("psql");
    let host = host(&only(&psql.path, "action = \"allow\"\nttl = \"1h\""));
    let mut allowed = run(&host, &psql.path);
    allowed.connected();
    allowed.talks();
    let other = host.connect(ALICE);
    other.refused();
    allowed.talks();
    let records = host.audit().records();
    let decisions = records.of("decision");
    assert_eq!(decisions[0]["outcome"], "allow");
    assert_eq!(decisions[1]["outcome"], "deny");
}

#[test]
fn a_proof_for_one_program_is_shared_by_its_connections_and_by_no_other_program() {
    let psql = Copy::new("psql");
    let rules = only(&psql.path, "action = \"step-up\"") + &rule("rest", "action = \"step-up\"");
    let host = host(&rules);
    let authenticator = host.enroll(ALICE);
    let mut first = run(&host, &psql.path);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    first.connected();
    first.talks();
    let mut second = run(&host, &psql.path);
    second.connected();
    second.talks();
    assert_eq!(challenges(&host, ALICE), 1);
    let other = host.connect(ALICE);
    assert_eq!(host.wait_for_challenge(ALICE)["rule"], "rest");
    other.still_waits();
    first.talks();
}

#[test]
fn a_program_that_its_user_could_have_written_is_not_the_one_that_a_rule_allows() {
    let copy = Copy::new("psql");
    fs::set_permissions(&copy.path, fs::Permissions::from_mode(0o777)).unwrap();
    let host = host(&only(&copy.path, "action = \"allow\"\nttl = \"1h\""));
    run(&host, &copy.path).refused();
    let records = host.audit().records();
    let doubts = records.the("decision")["doubts"].to_string();
    assert!(doubts.contains("one program: "), "{doubts}");
}

#[test]
fn a_program_is_told_by_its_content_where_a_rule_says_which() {
    let copy = Copy::new("psql");
    let sum = std::process::Command::new("sha256sum")
        .arg(&copy.path)
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split_whitespace().next().unwrap();
    let named = |sum: &str| {
        rule(
            "one program",
            &format!(
                "programs = [{{ path = {:?}, sha256 = \"{sum}\" }}]\naction = \"allow\"\nttl = \"1h\"",
                copy.path.display().to_string()
            ),
        )
    };
    let right = host(&named(sum));
    run(&right, &copy.path).connected();
    let wrong = host(&named(&"0".repeat(64)));
    run(&wrong, &copy.path).refused();
}

#[test]
fn a_connection_that_was_let_through_by_itself_outlives_a_restart_and_is_still_revocable() {
    let psql = Copy::new("psql");
    let mut host = host(&only(&psql.path, "action = \"allow\"\nttl = \"1h\""));
    let mut client = run(&host, &psql.path);
    client.connected();
    client.talks();
    host.restart();
    client.talks();
    host.reload();
    client.talks();
    assert_eq!(host.grants(ALICE).len(), 1);
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(client.say("still there?"), Err(Errno::ECONNABORTED));
}

#[test]
fn the_grant_of_a_single_connection_ends_with_it() {
    let psql = Copy::new("psql");
    let host = host(&only(&psql.path, "action = \"allow\"\nttl = \"1h\""));
    let client = run(&host, &psql.path);
    client.connected();
    assert_eq!(host.grants(ALICE).len(), 1);
    client.kill();
    let _ = host.audit().wait_for("grant-spent", 1);
    assert_eq!(host.grants(ALICE).len(), 0);
}

#[test]
fn a_reload_ends_a_connection_whose_program_is_allowed_no_more() {
    let psql = Copy::new("psql");
    let mut host = host(&only(&psql.path, "action = \"allow\"\nttl = \"1h\""));
    let mut client = run(&host, &psql.path);
    client.connected();
    client.talks();
    let other = only(
        Path::new("/usr/bin/other"),
        "action = \"allow\"\nttl = \"1h\"",
    );
    host.write_policy(&super::protecting(&other));
    host.reload();
    assert_eq!(client.say("still there?"), Err(Errno::ECONNABORTED));
}
