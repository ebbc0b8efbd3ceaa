// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile factor` as people use it: on a terminal, which shows no code.

use std::io::{BufRead as _, BufReader};

use stile_tests::{ALICE, Authenticator, Host, ROOT, Running, Said, Terminal, User, program};

use crate::scene::{SECRET, names, opens, with_token};

/// Starts `stile` on a terminal of this user's.
fn stile_on(host: &Host, terminal: &Terminal, user: User, arguments: &[&str]) -> Running {
    let mut command = host.on_terminal(terminal, user, &program("stile"));
    Running::start(command.args(arguments))
}

#[test]
fn a_device_is_added_by_typing_and_a_wrong_code_may_be_corrected() {
    let (host, token) = with_token();
    let mut terminal = Terminal::of(ALICE);
    let proof = token.fresh_code();
    // Its stdin isn't the terminal, which `factor add` asks for: the shell gives it that.
    let mut command = host.on_terminal(&terminal, ALICE, "/bin/sh".as_ref());
    let line = format!(
        "exec {} factor add --name tablet <&3",
        program("stile").display()
    );
    let mut adding = Running::start(command.args(["-c", &line]));
    terminal.shows("to show that this is you");
    terminal.type_at_nth(1, "code: ", &token.wrong_code());
    terminal.shows("wrong code; 2 tries left");
    terminal.type_at_nth(2, "code: ", &proof);
    let shown = BufReader::new(adding.child().stdout.as_mut().unwrap()).lines();
    let mut shown = shown.map(Result::unwrap);
    shown
        .find(|line| line.starts_with("or type this secret"))
        .unwrap();
    let secret = shown
        .find(|line| !line.is_empty())
        .unwrap()
        .replace(' ', "");
    let tablet = Authenticator::new(&secret);
    terminal.type_at_nth(3, "code: ", &tablet.wrong_code());
    terminal.type_at_nth(4, "code: ", &tablet.fresh_code());
    assert!(shown.any(|line| line.contains("enrolled: alice")));
    drop(shown);
    assert!(adding.wait().success());
    assert!(!terminal.shows("code: ").contains(&proof));
    assert_eq!(names(&host, ALICE), ["token", "tablet"]);
    opens(&host, &tablet.fresh_code());
}

#[test]
fn a_device_is_removed_by_typing_its_own_last_code() {
    let (host, token) = with_token();
    let mut terminal = Terminal::of(ALICE);
    let removing = stile_on(&host, &terminal, ALICE, &["factor", "remove", "1"]);
    terminal.type_at_nth(1, "code: ", &token.wrong_code());
    terminal.shows("wrong code; 2 tries left");
    terminal.type_at_nth(2, "code: ", &token.fresh_code());
    let said = Said::from(removing.output());
    assert!(
        said.succeeded().stdout.contains("doesn't count any more"),
        "{said:?}"
    );
    assert!(names(&host, ALICE).is_empty());
}

#[test]
fn a_device_is_tested_by_typing() {
    let (host, token) = with_token();
    let mut terminal = Terminal::of(ALICE);
    let testing = stile_on(&host, &terminal, ALICE, &["factor", "test"]);
    terminal.shows("A code that your device shows now (it is used up):");
    terminal.type_at("code: ", &token.fresh_code());
    let said = Said::from(testing.output());
    assert!(said.succeeded().stdout.contains("token: "), "{said:?}");
}

#[test]
fn recovery_codes_are_made_and_a_token_is_taken_over_by_typing() {
    let host = Host::start_usual();
    let mut terminal = Terminal::of(ROOT);
    let import = ["factor", "import", "--user", "alice", "--name", "token"];
    let importing = stile_on(&host, &terminal, ROOT, &import);
    terminal.shows("in base 32:");
    terminal.type_at("secret: ", SECRET);
    Said::from(importing.output()).succeeded();
    assert!(!terminal.shows("base 32").contains(SECRET));

    let token = Authenticator::new(SECRET);
    let mut terminal = Terminal::of(ALICE);
    let making = stile_on(&host, &terminal, ALICE, &["factor", "recovery"]);
    terminal.type_at("code: ", &token.fresh_code());
    let said = Said::from(making.output());
    let code = said
        .succeeded()
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("  10  "));
    opens(&host, code.unwrap());
}
