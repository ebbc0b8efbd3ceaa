// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recovery codes: ten, told once, each good once.

use std::process::Stdio;

use stile_tests::{ALICE, BOB, Host, ROOT, Running, Terminal, program};

use crate::scene::{
    alarms, codes_in, is_wrong, opens, outcomes, recovery_codes, waiting, with_token,
};

const MINE: [&str; 4] = ["factor", "recovery", "--stdin", "--json"];

#[test]
fn each_opens_once_also_after_a_kill_and_raises_an_alarm() {
    let (mut host, token) = with_token();
    let codes = codes_in(&host.stile_typing(ALICE, &MINE, &token.fresh_code()));
    opens(&host, &codes[0]);
    is_wrong(&host, &codes[0]);
    host.kill9();
    host.start();
    is_wrong(&host, &codes[0]);
    opens(&host, &codes[9]);
    assert_eq!(
        outcomes(&host),
        ["accepted", "accepted", "wrong", "wrong", "accepted"]
    );
    assert_eq!(alarms(&host), ["recovery-code-used", "recovery-code-used"]);
    let records = host.audit().records();
    let alarm = records.of("alarm")[1];
    assert_eq!(alarm["user"], "alice");
    assert_eq!(alarm["detail"], "8 left");
    let proof = records.of("factor")[4];
    assert_eq!(proof["factor"], "recovery");
    let listed = host.factors(ALICE);
    assert_eq!(
        (&listed[1]["factor"], &listed[1]["left"]),
        (&"recovery".into(), &8.into())
    );
}

#[test]
fn it_takes_a_code_of_a_factor_that_is_there_to_get_some() {
    let (host, token) = with_token();
    host.stile_typing(ALICE, &MINE, &token.wrong_code())
        .failed(1, "wrong code");
    host.stile_typing(ALICE, &MINE, "").failed(1, "no code");
    let codes = codes_in(&host.stile_typing(ALICE, &MINE, &token.fresh_code()));
    // One of them is such a code, too, and is used up by it.
    let new = codes_in(&host.stile_typing(ALICE, &MINE, &codes[3]));
    assert!(new.iter().all(|code| !codes.contains(code)));
    is_wrong(&host, &codes[3]);
    is_wrong(&host, &codes[4]);
    opens(&host, &new[4]);
    assert_eq!(alarms(&host), ["recovery-code-used"; 2]);
}

#[test]
fn they_are_told_once_and_nowhere_else() {
    let host = Host::start_usual();
    let said = host.stile(ROOT, &["factor", "recovery", "--user", "alice"]);
    assert!(
        said.succeeded().stdout.contains("aren't shown again"),
        "{said:?}"
    );
    let codes: Vec<&str> = said
        .stdout
        .split_whitespace()
        .filter(|word| word.len() == 14 && word.matches('-').count() == 2)
        .collect();
    assert_eq!(codes.len(), 10, "{said:?}");
    let list = host.stile(ALICE, &["factor", "list"]);
    assert!(list.succeeded().stdout.contains("10 left"), "{list:?}");
    let audit = std::fs::read_to_string(host.audit().path()).unwrap();
    for code in codes {
        assert!(!list.stdout.contains(code) && !audit.contains(code) && !host.log().contains(code));
    }
}

/// From paper: in capitals, with spaces, and with letters for digits that look like them.
#[test]
fn they_are_read_as_people_write_them() {
    let host = Host::start_usual();
    let codes = recovery_codes(&host);
    opens(&host, &codes[0].to_uppercase().replace('-', "  "));
    opens(&host, &codes[1].replace('-', ""));
    let odd: Vec<&String> = codes[2..]
        .iter()
        .filter(|code| code.contains(['0', '1']))
        .collect();
    for code in odd.into_iter().take(2) {
        opens(&host, &code.replace('0', "O").replace('1', "l"));
    }
}

#[test]
fn one_opens_on_a_terminal() {
    let host = Host::start_usual();
    let codes = recovery_codes(&host);
    let client = waiting(&host);
    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &program("stile"));
    let mut approving = Running::start(command.arg("approve"));
    terminal.type_at("code: ", &codes[5].to_uppercase());
    client.connected();
    assert!(approving.wait().success());
    assert!(
        !terminal
            .shows("code: ")
            .contains(codes[5].to_uppercase().as_str())
    );
}

#[test]
fn wrong_ones_are_slowed_down_and_leave_one_time_codes_alone() {
    let (host, token) = with_token();
    let codes = recovery_codes(&host);
    let client = waiting(&host);
    for tries_left in [2, 1, 0] {
        let said = host.answer(ALICE, None, "0000-0000-0000");
        said.failed(1, "wrong code");
        assert_eq!(said.json()["tries_left"], tries_left);
    }
    host.answer(ALICE, None, &codes[0])
        .failed(1, "too many wrong codes");
    client.still_waits();
    assert_eq!(outcomes(&host), ["wrong", "wrong", "wrong", "throttled"]);
    host.approve(ALICE, &token);
    let listed = host.factors(ALICE);
    assert_eq!(listed[1]["failures"], 3);
    assert_eq!(listed[1]["left"], 10);
}

#[test]
fn removed_ones_open_nothing() {
    let (host, token) = with_token();
    let codes = recovery_codes(&host);
    let remove = ["factor", "remove", "recovery", "--stdin"];
    host.stile_typing(ALICE, &remove, &token.fresh_code())
        .succeeded();
    let client = waiting(&host);
    host.answer(ALICE, None, &codes[0])
        .failed(1, "no recovery codes");
    client.still_waits();
    assert_eq!(host.factors(ALICE).len(), 1);
}

/// Making codes takes a good part of a second, also where it comes to nothing.
#[test]
fn somebody_who_asks_for_some_all_the_time_keeps_nobody_from_them() {
    let (host, token) = with_token();
    let busy = format!(
        "while :; do dbus-send --system --print-reply --dest=org.stile.Agent1 /org/stile/Agent1 \
         org.stile.Factors1.MakeRecoveryCodes uint32:{} string:123456; done",
        BOB.uid
    );
    let _asking: Vec<_> = (0..4)
        .map(|_| {
            let mut shell = host.as_user(BOB, "/bin/sh");
            shell.args(["-c", &busy]);
            Running::new(shell.stdout(Stdio::null()).stderr(Stdio::null()))
        })
        .collect();
    let _ = host.audit().wait_for("factor", 3);
    codes_in(&host.stile_typing(ALICE, &MINE, &token.fresh_code()));
}
