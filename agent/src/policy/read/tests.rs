// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::time::Duration;

use crate::ids::Uid;
use crate::policy::testing::{ENDPOINT, endpoint_mistake, mistakes, only, rule_mistake, texts};
use crate::policy::{
    Action, EndpointSelector, First, OnExpiry, PortSpan, Proof, Protocol, Scope, UserSelector,
};

#[test]
fn what_a_rule_does_not_say_has_a_default() {
    let rule = "[[rule]]\nname = \"r\"\nendpoints = [\"*\"]\nusers = [5]\naction = ";
    let policy = |action: &str| {
        texts(&[ENDPOINT, &format!("{rule}{action}\n")])
            .unwrap()
            .policy
    };
    let Action::StepUp {
        terms,
        first,
        proof,
        realm,
    } = policy("\"step-up\"").rules[0].clone().action
    else {
        panic!("no step-up rule");
    };
    assert_eq!(
        (terms.scope, terms.ttl),
        (Scope::User, Duration::from_secs(900))
    );
    assert_eq!(realm.as_str(), "r", "each rule is a realm of its own");
    assert_eq!(
        first,
        First::Hold {
            max_hold: Duration::from_secs(60)
        }
    );
    assert_eq!(proof, Proof::default());
    let allow = policy("\"allow\"\nscope = \"socket\"").rules[0].clone();
    assert_eq!(
        allow.action.terms().unwrap().ttl,
        Duration::from_secs(86_400)
    );
    assert_eq!(allow.users, [UserSelector::Uid(Uid(5))]);
    let deny = policy("\"deny\"").rules[0].clone();
    assert_eq!(
        (deny.action, deny.endpoints),
        (Action::Deny, EndpointSelector::All)
    );
    assert_eq!(
        texts(&[ENDPOINT]).unwrap().policy.endpoints[0].protocol,
        Protocol::Tcp
    );
}

#[test]
fn bad_names_of_endpoints_are_refused() {
    let rest = "hosts = [\"10.0.0.1\"]\nports = [1]";
    let long = "x".repeat(65);
    for name in ["", "prod db", "büro", long.as_str()] {
        let mistake = endpoint_mistake(&format!("name = {name:?}\n{rest}"));
        assert!(
            mistake.contains("is no name of an endpoint; 1 to 64"),
            "{mistake}"
        );
    }
    assert_eq!(
        endpoint_mistake(rest),
        "1.toml:1:1 an endpoint needs the key `name`"
    );
    assert_eq!(
        endpoint_mistake(&format!("name = 5\n{rest}")),
        "1.toml:2:8 expected a name, found an integer"
    );
}

#[test]
fn bad_hosts_are_refused() {
    let with = |hosts: &str| endpoint_mistake(&format!("name = \"x\"\nports = [1]\n{hosts}"));
    assert!(with("hosts = []").ends_with("the list is empty: nothing would be protected"));
    assert!(with("hosts = [\"db example\"]").contains("neither an address nor the name of a host"));
    assert!(with("hosts = [\"localhost\"]").ends_with("to protect a service of this host"));
    for part in ["*", "db*.example.com", "*.*.example.com"] {
        assert!(
            with(&format!("hosts = [{part:?}]")).contains("'*' can only be"),
            "{part}"
        );
    }
    for wide in ["*.com", "*.internal."] {
        assert!(
            with(&format!("hosts = [{wide:?}]")).contains("is too wide"),
            "{wide}"
        );
    }
    assert!(with("hosts = [\"::ffff:10.0.0.1\"]").ends_with("write \"10.0.0.1\""));
    assert!(with("hosts = [\"0.0.0.0/0\"]").contains("would protect every address"));
    assert!(
        with("hosts = \"10.0.0.1\"")
            .contains("expected a list of addresses and names, found a string")
    );
    assert!(
        with("hosts = [5]")
            .contains("expected an address, a network or a host name, found an integer")
    );
    assert!(with("").contains("needs the key `hosts`"));
    assert!(with("host = [\"10.0.0.1\"]\nhosts = [\"10.0.0.1\"]").ends_with("write `hosts`"));
}

#[test]
fn bad_ports_are_refused() {
    let head = "name = \"x\"\nhosts = [\"10.0.0.1\"]\n";
    let with = |ports: &str| endpoint_mistake(&format!("{head}ports = {ports}"));
    assert!(with("[]").contains("the list is empty"));
    for port in [
        "0",
        "-1",
        "65536",
        "99999999999999999999999999999999999999999999",
    ] {
        let mistake = with(&format!("[{port}]"));
        assert!(
            mistake.contains("is no port: it must lie in 1..=65535"),
            "{mistake}"
        );
    }
    for range in ["0-5", "6-5", "1-65536", "+1-5", "a", "", "-", "1-2-3"] {
        let mistake = with(&format!("[\"{range}\"]"));
        assert!(mistake.contains("is no range of ports"), "{mistake}");
    }
    assert!(with("[\"5432\"]").ends_with("write a single port as a number: 5432"));
    assert!(
        with("[1]\nprotocol = \"tpc\"")
            .ends_with("unknown word \"tpc\"; write one of \"tcp\", \"udp\", \"any\"")
    );
}

#[test]
fn bad_users_are_refused() {
    let with = |users: &str| {
        rule_mistake(&format!(
            "endpoints = [\"db\"]\naction = \"deny\"\nusers = {users}"
        ))
    };
    assert!(with("[]").ends_with("the list is empty: write \"*\" for everybody"));
    assert!(with("[\"*\", \"bob\"]").contains("\"*\" already means everybody"));
    assert!(with("[\"1000\"]").ends_with("write a uid as a number: 1000"));
    assert!(with("[\"!bob\"]").ends_with("write \"*\" first to mean everybody else"));
    assert!(with("[\"*\", \"!*\"]").ends_with("that would except everybody"));
    assert!(with("[\"*\", \"!@dba\"]").contains("a role can't be excepted"));
    assert!(with("[\"2000-1000\"]").contains("write the lower uid first"));
    assert!(with("[\"@dba\"]").contains("there is no role \"dba\""));
    assert!(with("[\"b*\"]").contains("patterns are not taken"));
    assert!(with("[4294967295]").contains("is no uid"));
    assert!(with("[-1]").contains("is no uid"));
    for user in ["", "%", "%%x", " bob", "a:b", "%#50"] {
        assert!(
            with(&format!("[{user:?}]")).contains("is no user or group"),
            "{user}"
        );
    }
}

#[test]
fn keys_that_mean_nothing_for_the_action_are_refused() {
    let head = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = ";
    let with = |rest: &str| rule_mistake(&format!("{head}{rest}"));
    for key in [
        "ttl = \"1m\"",
        "factors = [\"totp\"]",
        "scope = \"user\"",
        "first = \"hold\"",
        "max_hold = \"1m\"",
        "on_expiry = \"keep\"",
        "warn = \"1m\"",
    ] {
        let mistake = with(&format!("\"deny\"\n{key}"));
        assert!(
            mistake.contains("means nothing here: a deny rule"),
            "{mistake}"
        );
        assert!(mistake.starts_with("2.toml:6:1 "), "{mistake}");
    }
    assert!(with("\"allow\"\nttl = \"1m\"\nfactors = [\"totp\"]").contains("asks for no proof"));
    assert!(with("\"step-up\"\nfirst = \"reject\"\nmax_hold = \"1m\"").contains("nothing is held"));
    assert!(
        with("\"step-up\"\nscope = \"socket\"\nfirst = \"reject\"").contains("connection is over")
    );
}

#[test]
fn bad_values_of_rules_are_refused() {
    let head = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = ";
    let with = |rest: &str| rule_mistake(&format!("{head}{rest}"));
    assert!(with("\"allow\"").contains("needs the key `ttl`"));
    assert!(with("\"step_up\"").ends_with("did you mean \"step-up\"?"));
    assert!(with("\"log\"").contains("write one of \"allow\", \"step-up\", \"deny\", \"observe\""));
    assert!(with("\"observe\"\nttl = \"1m\"").contains("means nothing here: an observing rule"));
    for ttl in ["0s", "24h1s"] {
        let mistake = with(&format!("\"step-up\"\nttl = {ttl:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 24h"), "{mistake}");
    }
    for warn in ["15m", "1h"] {
        let mistake = with(&format!("\"step-up\"\nttl = \"15m\"\nwarn = {warn:?}"));
        assert!(
            mistake.contains("`warn` must be shorter than `ttl`"),
            "{mistake}"
        );
    }
    assert!(with("\"step-up\"\nwarn = \"0s\"").contains("is out of range"));
    assert!(with("\"step-up\"\nttl = 15").contains("expected a duration"));
    for hold in ["0s", "11m"] {
        let mistake = with(&format!("\"step-up\"\nmax_hold = {hold:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 10m"), "{mistake}");
    }
    assert!(with("\"step-up\"\nfactors = []").ends_with("nothing would be proof"));
    assert!(with("\"step-up\"\nfactors = [\"push\"]").contains("is not supported yet"));
    assert!(with("\"step-up\"\nfactors = [\"hotp\"]").contains("did you mean \"totp\"?"));
    assert!(with("\"step-up\"\nscope = \"host\"").contains("\"socket\", \"process\", \"unit\""));
    assert!(with("\"step-up\"\ntimeout = \"5m\"").ends_with("write `max_hold`"));
    assert!(with("\"step-up\"\nprograms = []").contains("no program would fit"));
    for path in [
        "psql",
        "/usr/../bin/psql",
        "/usr//bin/psql",
        "/usr/**/psql",
        "/",
    ] {
        let mistake = with(&format!("\"step-up\"\nprograms = [{path:?}]"));
        assert!(
            mistake.contains("is no absolute path of a program"),
            "{mistake}"
        );
    }
    let short = "\"step-up\"\nprograms = [{ path = \"/usr/bin/psql\", sha256 = \"00\" }]";
    assert!(with(short).ends_with("that sha256sum(1) prints"));
}

#[test]
fn bad_names_of_rules_are_refused() {
    let rest = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = \"deny\"";
    for name in ["", " x", "a\\nb", "a\\u202Eb"] {
        let rule = format!("[[rule]]\nname = \"{name}\"\n{rest}");
        let mistake = only(mistakes(&[ENDPOINT, &rule]));
        assert!(mistake.contains("is no name of a rule"), "{mistake}");
    }
}

#[test]
fn a_single_table_is_answered_with_two_brackets() {
    let mistake = only(mistakes(&[&ENDPOINT.replace("[[endpoint]]", "[endpoint]")]));
    assert!(
        mistake.contains("expected tables, each headed [[endpoint]], found a table"),
        "{mistake}"
    );
    assert!(only(mistakes(&[&format!("{ENDPOINT}[rules]\n")])).ends_with("write `rule`"));
}

/// The only mistake of a policy with a sound endpoint and a rule under this condition.
#[track_caller]
fn when_mistake(when: &str) -> String {
    rule_mistake(&format!(
        "endpoints = [\"db\"]\nusers = [\"*\"]\naction = \"deny\"\nwhen = {when}"
    ))
}

#[test]
fn bad_conditions_are_refused() {
    for (when, mistake) in [
        ("{}", "the condition is empty: it would always hold"),
        ("[]", "the list is empty"),
        ("5", "expected a table of conditions, or a list of tables"),
        ("{ remot = true }", "did you mean `remote`?"),
        (
            "{ remote = \"yes\" }",
            "expected true or false, found a string",
        ),
        ("{ hours = \"8-19\" }", "write it as in \"08:00-19:00\""),
        (
            "{ hours = \"08:00-08:00\" }",
            "leave `hours` out for all day",
        ),
        ("{ hours = \"08:00-24:01\" }", "are no hours of a day"),
        ("{ hours = \"24:00-08:00\" }", "are no hours of a day"),
        ("{ days = [\"monday\"] }", "write mon, tue"),
        ("{ days = [] }", "no day would fit"),
        (
            "{ tz = \"Europe/Berlin\" }",
            "means nothing without `hours` or `days`",
        ),
        (
            "{ hours = \"08:00-19:00\", tz = \"Europe/Berlim\" }",
            "there is no time zone",
        ),
        (
            "{ remote_address = [\"192.0.2.1/24\"] }",
            "write \"192.0.2.0/24\"",
        ),
        ("{ session = [\"ssh\"] }", "unknown word \"ssh\""),
        ("{ unit = [\"a b\"] }", "is no name of one"),
        (
            "{ recent_failures = 3 }",
            "expected a table, found an integer",
        ),
        (
            "{ recent_failures = { at_least = 0, within = \"1m\" } }",
            "is no count",
        ),
        (
            "{ connections = { at_least = 3 } }",
            "needs the key `within`",
        ),
        (
            "{ connections = { at_least = 3, within = \"25h\" } }",
            "is out of range",
        ),
    ] {
        let found = when_mistake(when);
        assert!(found.contains(mistake), "{when}: {found}");
    }
}

#[test]
fn conditions_are_read() {
    let policy = |when: &str| {
        let rule = format!(
            "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"deny\"\nwhen = {when}"
        );
        texts(&[ENDPOINT, &rule]).unwrap().policy.rules[0].clone()
    };
    for (when, shown) in [
        (
            "{ hours = [\"22:00-06:00\", \"12:00-24:00\"], days = [\"fri..mon\", \"wed\"], tz = \"UTC\" }",
            "hours = [\"22:00-06:00\", \"12:00-24:00\"], days = [\"mon\", \"wed\", \"fri\", \"sat\", \"sun\"], tz = \"UTC\"",
        ),
        ("{ remote = false }", "remote = false"),
        (
            "{ session = [\"x11\", \"tty\"] }",
            "session = [\"x11\", \"tty\"]",
        ),
        (
            "{ unit = [\"session-*.scope\"] }",
            "unit = [\"session-*.scope\"]",
        ),
        (
            "{ connections = { at_least = 20, within = \"60s\" } }",
            "connections = { at_least = 20, within = \"1m\" }",
        ),
    ] {
        let rule = policy(when);
        assert_eq!(rule.when[0].0[0].to_string(), shown);
    }
    let two = policy("[{ remote = true, tty = true }, { seat = [\"seat0\"] }]");
    assert_eq!((two.when.len(), two.when[0].0.len()), (2, 2));
}

#[test]
fn defaults_count_where_a_rule_says_nothing_and_in_files_before_them() {
    let rule =
        "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"step-up\"\n";
    let own = "[[rule]]\nname = \"s\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"step-up\"\nttl = \"1m\"\n";
    let defaults = "[defaults]\nttl = \"2h\"\nscope = \"unit\"\non_expiry = \"keep\"\nmax_hold = \"10s\"\nwarn = \"5m\"\nmode = \"observe\"\n";
    let policy = texts(&[ENDPOINT, rule, own, defaults]).unwrap().policy;
    let terms = policy.rules[0].action.terms().unwrap();
    assert_eq!(
        (terms.ttl, terms.scope),
        (Duration::from_secs(7200), Scope::Unit)
    );
    assert_eq!(
        (terms.on_expiry, terms.warn),
        (OnExpiry::Keep, Some(Duration::from_secs(300)))
    );
    let max_hold = Duration::from_secs(10);
    assert_eq!(
        policy.rules[0].action.first(),
        Some(First::Hold { max_hold })
    );
    let terms = policy.rules[1].action.terms().unwrap();
    assert_eq!((terms.ttl, terms.warn), (Duration::from_secs(60), None));
    assert_eq!(policy.mode, crate::policy::Mode::Observe);
    let twice = only(mistakes(&[
        ENDPOINT,
        defaults,
        "[defaults]\nttl = \"1m\"\n",
    ]));
    assert_eq!(
        twice,
        "3.toml:1:1 the defaults are written twice; write them once in the whole policy"
    );
}

#[test]
fn a_rule_with_roles_is_one_for_each_of_them() {
    let roles = "[[role]]\nname = \"senior\"\nusers = [\"%dba-senior\", \"!carol\"]\nttl = \"8h\"\n\
                 [[role]]\nname = \"junior\"\nusers = [\"%dba\"]\n";
    let rule = |more: &str| {
        format!(
            "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"@senior\", \"bob\", 7, \"@junior\", \"!%out\"]\n{more}"
        )
    };
    let policy = texts(&[ENDPOINT, roles, &rule("action = \"step-up\"\n")])
        .unwrap()
        .policy;
    let shape: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| {
            let role = rule.role.as_ref().map_or("", |role| role.as_str());
            let ttl = rule.action.terms().unwrap().ttl.as_secs();
            (role, rule.users.len(), rule.except.len(), ttl)
        })
        .collect();
    assert_eq!(
        shape,
        [
            ("senior", 1, 2, 28_800),
            ("", 2, 1, 900),
            ("junior", 1, 1, 900)
        ]
    );
    let own = rule("action = \"step-up\"\nttl = \"1m\"\n");
    let policy = texts(&[ENDPOINT, roles, &own]).unwrap().policy;
    assert!(
        policy
            .rules
            .iter()
            .all(|rule| rule.action.terms().unwrap().ttl.as_secs() == 60)
    );
    let lacking = mistakes(&[ENDPOINT, roles, &rule("action = \"allow\"\n")]);
    assert_eq!(lacking.len(), 2, "{lacking:#?}");
    assert!(
        lacking[1].contains("needs the key `ttl` for the role \"junior\""),
        "{lacking:#?}"
    );
}

#[test]
fn risks_and_thresholds_are_read_in_the_order_of_their_points() {
    let text = "[[risk]]\nname = \"far\"\npoints = 40\nwhen = { remote = true }\n\
                [[threshold]]\npoints = 90\naction = \"deny\"\n\
                [[threshold]]\npoints = 40\nttl = \"5m\"\n";
    let policy = texts(&[ENDPOINT, text]).unwrap().policy;
    assert_eq!(policy.risks[0].points, 40);
    let points: Vec<_> = policy.thresholds.iter().map(|one| one.points).collect();
    assert_eq!(points, [40, 90]);
    for (risk, mistake) in [
        (
            "name = \"x\"\npoints = 0\nwhen = { remote = true }",
            "is no number of points",
        ),
        ("name = \"x\"\npoints = 5", "needs the key `when`"),
        (
            "name = \"x\"\npoints = 5\nwhen = { remote = true }\nttl = \"1m\"",
            "unknown key `ttl`",
        ),
    ] {
        let text = format!("[[threshold]]\npoints = 1\n[[risk]]\n{risk}\n");
        let found = only(mistakes(&[ENDPOINT, &text]));
        assert!(found.contains(mistake), "{found}");
    }
}

#[test]
fn a_service_brings_its_ports() {
    let endpoint = |keys: &str| format!("[[endpoint]]\nname = \"x\"\n{keys}");
    let read = |keys: &str| texts(&[&endpoint(keys)]).unwrap().policy.endpoints[0].clone();
    let db = read("hosts = [\"10.0.0.1\"]\nservice = \"postgresql\"");
    assert_eq!(db.ports, [PortSpan::new(5432, 5432).unwrap()]);
    let metadata = read("service = \"cloud-metadata\"");
    assert_eq!(metadata.hosts.len(), 2);
    let with =
        |keys: &str| endpoint_mistake(&format!("name = \"x\"\nhosts = [\"10.0.0.1\"]\n{keys}"));
    assert!(with("service = \"postgres\"").ends_with("did you mean \"postgresql\"?"));
    assert!(with("service = \"ssh\"\nports = [22]").contains("`ports` means nothing here"));
}

#[test]
fn host_names_are_read() {
    let text = "[[endpoint]]\nname = \"x\"\nports = [1]\nhosts = [\"DB1.Example.com.\", \"10.0.0.1\", \"*.db.example.com\"]";
    let endpoint = texts(&[text]).unwrap().policy.endpoints[0].clone();
    let names: Vec<_> = endpoint.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["db1.example.com", "*.db.example.com"]);
    assert_eq!(endpoint.hosts.len(), 1);
}

#[test]
fn what_is_asked_of_single_connections_needs_tcp() {
    let udp = ENDPOINT.replace("ports = [5432]", "ports = [53]\nprotocol = \"udp\"");
    for (keys, place) in [
        (
            "programs = [\"/usr/bin/dig\"]",
            "this is asked of each connection by itself",
        ),
        (
            "when = { remote = true }",
            "this is asked of each connection by itself",
        ),
        ("scope = \"process\"", "scope \"process\" means nothing"),
    ] {
        let rule = format!(
            "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"step-up\"\n{keys}\n"
        );
        let found = only(mistakes(&[&udp, &rule]));
        assert!(found.contains(place), "{found}");
    }
    let risk = "[[threshold]]\npoints = 1\n[[risk]]\nname = \"far\"\npoints = 1\nwhen = { remote = true }\n";
    let found = only(mistakes(&[&udp, risk]));
    assert!(
        found.contains("this is asked of each connection by itself"),
        "{found}"
    );
    let hours = "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"step-up\"\nwhen = { hours = \"08:00-19:00\" }\n";
    assert!(
        texts(&[&udp, hours]).is_ok(),
        "the time is the same for all connections"
    );
}
