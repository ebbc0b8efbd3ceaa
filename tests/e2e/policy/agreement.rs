// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `stile policy explain` says is what the agent does.

use stile_tests::{ALICE, BOB, Host, User};

/// Rules whose order, users and actions matter, drawn from a seed: the same on each run.
fn drawn(seed: u64) -> String {
    let mut state = seed;
    let mut next = |bound: u64| {
        // Numbers of Knuth's MMIX generator; their high bits are good enough here.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    const USERS: [&str; 6] = [
        "\"alice\"",
        "\"bob\"",
        "\"*\"",
        "\"*\", \"!bob\"",
        "42001",
        "\"42002-42010\"",
    ];
    const WHEN: [&str; 4] = [
        "",
        "when = { tty = false }\n",
        "when = { tty = true }\n",
        "when = [{ remote = true }, { days = [\"mon..sun\"] }]\n",
    ];
    const ACTIONS: [&str; 4] = [
        "action = \"allow\"\nttl = \"1h\"\n",
        "action = \"deny\"\n",
        "action = \"step-up\"\nfirst = \"reject\"\n",
        "action = \"observe\"\n",
    ];
    let mut rules = String::new();
    for number in 0..1 + next(4) {
        let users = USERS[next(6) as usize];
        rules += &format!(
            "[[rule]]\nname = \"r{number}\"\nendpoints = [\"db\"]\nusers = [{users}]\n{}{}",
            WHEN[next(4) as usize],
            ACTIONS[next(4) as usize]
        );
    }
    rules
}

fn explained(host: &Host, user: User) -> String {
    let to = host.server().address().to_string();
    let policy = host.policy().display().to_string();
    let mut arguments = vec!["policy", "explain", "--json", "--policy", &policy];
    arguments.extend(["--user", user.name, "--to", &to, "--no-tty"]);
    let said = host.stile(stile_tests::ROOT, &arguments).succeeded().json();
    said["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn the_agent_does_what_explain_says_for_policies_drawn_at_random() {
    let mut host = super::host(&drawn(0));
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..40 {
        host.write_policy(&super::protecting(&drawn(seed)));
        host.reload();
        for user in [ALICE, BOB] {
            let passes = host.connect(user).outcome().result.is_ok();
            let said = explained(&host, user);
            let expected = matches!(said.as_str(), "allow" | "observe");
            assert_eq!(passes, expected, "{}: {said}\n{}", user.name, drawn(seed));
            *seen.entry(said).or_insert(0) += 1;
        }
    }
    for outcome in ["allow", "deny", "step-up", "observe"] {
        assert!(
            seen.get(outcome).is_some_and(|count| *count >= 5),
            "{seen:?}"
        );
    }
}
