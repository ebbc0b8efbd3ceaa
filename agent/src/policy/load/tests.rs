// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::ids::Uid;
use crate::policy::{Action, EndpointSelector, First, OnExpiry, Protocol, Scope, UserSelector};

const ENDPOINT: &str = "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.1\"]\nports = [5432]\n";

fn texts(texts: &[&str]) -> Result<Loaded, Diagnostics> {
    let name = |at: usize| PathBuf::from(format!("{}.toml", at + 1));
    let texts: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| (name(at), (*text).to_owned()))
        .collect();
    load_texts(&texts)
}

/// `file:line:column message; help` of each finding.
fn findings(all: impl IntoIterator<Item = Diagnostic>) -> Vec<String> {
    let views = all.into_iter().map(|one| one.view());
    views
        .map(|one| {
            let place = one.line.zip(one.column);
            let place = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
            let help = one.help.map_or(String::new(), |help| format!("; {help}"));
            format!("{}{place} {}{help}", one.file, one.message)
        })
        .collect()
}

fn mistakes(files: &[&str]) -> Vec<String> {
    findings(texts(files).unwrap_err().iter().cloned())
}

/// The only mistake of a policy with a sound endpoint "db" and this rule.
fn rule_mistake(rule: &str) -> String {
    let rule = format!("[[rule]]\nname = \"r\"\n{rule}");
    only(mistakes(&[ENDPOINT, &rule]))
}

fn endpoint_mistake(endpoint: &str) -> String {
    only(mistakes(&[&format!("[[endpoint]]\n{endpoint}")]))
}

fn only(mut list: Vec<String>) -> String {
    assert_eq!(list.len(), 1, "{list:#?}");
    list.remove(0)
}

#[test]
fn a_broken_policy_lists_every_mistake_with_its_place() {
    let first = r#"[[endpoint]]
name = "db"
hosts = ["10.20.1.5/16"]
ports = [5432, "6439-6432"]
protcol = "tcp"

[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba"]
action = = "step-up"
"#;
    let second = r#"[[rule]]
name = "ops"
endpoints = ["*"]
users = []
action = "allow"
ttl = "90"
"#;
    let expected = r#"error: "10.20.1.5/16" has bits set to the right of its prefix
 --> 1.toml:3:10
  |
3 | hosts = ["10.20.1.5/16"]
  |          ^^^^^^^^^^^^^^
  |
  = help: write "10.20.0.0/16" for the network, or "10.20.1.5" for the one host

error: "6439-6432" is no range of ports
 --> 1.toml:4:16
  |
4 | ports = [5432, "6439-6432"]
  |                ^^^^^^^^^^^
  |
  = help: write the lower port first, as in "6432-6439", both in 1..=65535

error: unknown key `protcol`
 --> 1.toml:5:1
  |
5 | protcol = "tcp"
  | ^^^^^^^
  |
  = help: did you mean `protocol`?

error: extra `=`, expected nothing
  --> 1.toml:11:10
   |
11 | action = = "step-up"
   |          ^

error: the list is empty: write "*" for everybody
 --> 2.toml:4:9
  |
4 | users = []
  |         ^^

error: "90" is no duration: a unit is missing: s, m or h
 --> 2.toml:6:7
  |
6 | ttl = "90"
  |       ^^^^
  |
  = help: write it as in "90s", "15m" or "1h30m""#;
    let all = texts(&[first, second]).unwrap_err();
    assert_eq!(all.render(false), expected);
    assert_eq!(all.len(), 6);
}

#[test]
fn a_full_policy_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/policy.d");
    let loaded = load_as(Path::new(path), Trust::Anyone).unwrap();
    assert_eq!(findings(loaded.warnings), [""; 0]);
    let policy = loaded.policy;
    assert_eq!(policy.endpoints.len(), 3);
    let at = |address: &str, port, protocol| {
        let address: IpAddr = address.parse().unwrap();
        policy
            .endpoint_at(address, port, protocol)
            .map(|one| one.name.as_str())
    };
    assert_eq!(at("10.20.3.4", 6435, 6), Some("prod-db"));
    assert_eq!(at("::ffff:10.20.3.4", 22, 6), Some("prod-ssh"));
    assert_eq!(at("fd00:20::1", 5432, 6), Some("prod-db"));
    assert_eq!(at("10.20.3.4", 5432, 17), None);
    let rule = &policy.rules[1];
    assert_eq!(rule.name.as_str(), "dba step-up");
    let (group, user) = ("dba".to_owned(), "dbadmin".to_owned());
    assert_eq!(
        rule.users,
        [UserSelector::Group(group), UserSelector::User(user)]
    );
    let terms = rule.action.terms().unwrap();
    assert_eq!(
        (terms.scope, terms.on_expiry),
        (Scope::User, OnExpiry::Close)
    );
    assert_eq!(terms.ttl, Duration::from_secs(900));
    assert_eq!(policy.rules[2].action.terms().unwrap().scope, Scope::Socket);
    assert_eq!(
        policy.rules[3].endpoints,
        EndpointSelector::These(vec![policy.endpoints[2].id])
    );
}

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
        factors,
    } = policy("\"step-up\"").rules.remove(0).action
    else {
        panic!("no step-up rule");
    };
    assert_eq!(
        (terms.scope, terms.ttl),
        (Scope::User, Duration::from_secs(900))
    );
    assert_eq!(
        first,
        First::Hold {
            max_hold: Duration::from_secs(60)
        }
    );
    assert_eq!(factors, [crate::policy::Factor::Totp]);
    let allow = policy("\"allow\"\nscope = \"socket\"").rules.remove(0);
    assert_eq!(
        allow.action.terms().unwrap().ttl,
        Duration::from_secs(86_400)
    );
    assert_eq!(allow.users, [UserSelector::Uid(Uid(5))]);
    let deny = policy("\"deny\"").rules.remove(0);
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
    assert!(with("hosts = [\"db.example.com\"]").contains("host names are not taken"));
    assert!(with("hosts = [\"::ffff:10.0.0.1\"]").ends_with("write \"10.0.0.1\""));
    assert!(with("hosts = [\"0.0.0.0/0\"]").contains("would protect every address"));
    assert!(with("hosts = \"10.0.0.1\"").contains("expected a list of addresses, found a string"));
    assert!(with("hosts = [5]").contains("expected an address or a network, found an integer"));
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
    assert!(with("[\"!bob\"]").contains("put a deny rule"));
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
    assert!(with("\"observe\"").ends_with("write one of \"allow\", \"step-up\", \"deny\""));
    for ttl in ["0s", "24h1s"] {
        let mistake = with(&format!("\"step-up\"\nttl = {ttl:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 24h"), "{mistake}");
    }
    assert!(with("\"step-up\"\nttl = 15").contains("expected a duration"));
    for hold in ["0s", "11m"] {
        let mistake = with(&format!("\"step-up\"\nmax_hold = {hold:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 10m"), "{mistake}");
    }
    assert!(with("\"step-up\"\nfactors = []").ends_with("nothing would be proof"));
    assert!(with("\"step-up\"\nfactors = [\"push\"]").contains("is not supported yet"));
    assert!(with("\"step-up\"\nfactors = [\"hotp\"]").contains("did you mean \"totp\"?"));
    assert!(with("\"step-up\"\nscope = \"unit\"").contains("\"socket\", \"user\""));
    assert!(with("\"step-up\"\ntimeout = \"5m\"").ends_with("write `max_hold`"));
    assert!(
        with("\"step-up\"\nprograms = []").contains("unknown key `programs`; a rule takes name")
    );
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
fn names_that_are_used_twice_are_refused_and_the_first_one_is_shown() {
    let all = texts(&[ENDPOINT, ENDPOINT]).unwrap_err();
    let shown = all.render(false);
    assert_eq!(all.len(), 1, "{shown}");
    assert!(
        shown.contains("2.toml:2:8") && shown.contains("1.toml:2:8"),
        "{shown}"
    );
    let rule = "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [5]\naction = \"deny\"\n";
    let mistake = only(mistakes(&[ENDPOINT, rule, rule]));
    assert!(
        mistake.starts_with("3.toml:2:8 there is another rule \"r\""),
        "{mistake}"
    );
}

#[test]
fn names_of_one_id_are_refused() {
    // Their SHA-256 share the first four bytes.
    let endpoint = |name: &str| ENDPOINT.replace("db", name);
    let mistake = only(mistakes(&[&endpoint("e10732"), &endpoint("e52101")]));
    assert_eq!(
        mistake,
        "2.toml:2:8 the names \"e52101\" and \"e10732\" have the same id in the kernel; \
         change one of them a little"
    );
}

#[test]
fn unknown_endpoints_are_answered_with_known_ones() {
    let rest = "users = [\"*\"]\naction = \"deny\"\nendpoints = ";
    assert_eq!(
        rule_mistake(&format!("{rest}[\"bd1\"]")),
        "2.toml:5:14 there is no endpoint \"bd1\"; name an [[endpoint]] of this policy"
    );
    assert!(rule_mistake(&format!("{rest}[\"DB\"]")).ends_with("did you mean \"db\"?"));
    assert!(rule_mistake(&format!("{rest}[\"*\", \"db\"]")).contains("already means all"));
    assert!(rule_mistake(&format!("{rest}[]")).contains("the list is empty"));
}

#[test]
fn a_mistake_in_an_endpoint_is_not_held_against_its_rules() {
    let endpoint = ENDPOINT.replace("\"db\"", "\"my db\"");
    let rule = "[[rule]]\nname = \"r\"\nendpoints = [\"my db\"]\nusers = [5]\naction = \"deny\"\n";
    assert!(only(mistakes(&[&endpoint, rule])).starts_with("1.toml:2:8"));
    let unreadable = ENDPOINT.replace("name = \"db\"", "name = db");
    let rule = rule.replace("my db", "db");
    assert!(only(mistakes(&[&unreadable, &rule])).starts_with("1.toml:2:8"));
}

#[test]
fn one_connection_cannot_be_held_unless_it_is_tcp() {
    let rule = "[[rule]]\nname = \"r\"\nusers = [5]\naction = \"step-up\"\nscope = \"socket\"\n";
    for protocol in ["udp", "any"] {
        let endpoint = format!("{ENDPOINT}protocol = {protocol:?}\n");
        for targets in ["endpoints = [\"db\"]", "endpoints = [\"*\"]"] {
            let mistake = only(mistakes(&[&endpoint, &format!("{rule}{targets}")]));
            assert!(
                mistake.starts_with("2.toml:5:9 scope \"socket\" means nothing"),
                "{mistake}"
            );
        }
    }
}

#[test]
fn more_ranges_than_the_kernel_takes_are_refused() {
    let ports = |first: usize, count: usize| {
        let ports: Vec<_> = (first..first + count)
            .map(|port| port.to_string())
            .collect();
        ports.join(", ")
    };
    let endpoint = |name: &str, host: &str, ports: String| {
        format!("[[endpoint]]\nname = {name:?}\nhosts = [{host:?}]\nports = [{ports}]\n")
    };
    let wide = endpoint("wide", "10.0.0.0/8", ports(1, 20));
    assert!(texts(&[&wide, &endpoint("host", "10.1.1.1", ports(100, 12))]).is_ok());
    let mistake = only(mistakes(&[
        &wide,
        &endpoint("host", "10.1.1.1", ports(100, 13)),
    ]));
    assert!(
        mistake.starts_with(
            "2.toml:3:10 10.1.1.1/32 has 33 ranges of ports, of the endpoints wide, host"
        ),
        "{mistake}"
    );
}

#[test]
fn a_rule_that_can_never_match_is_doubted() {
    let rules = r#"
[[rule]]
name = "all"
endpoints = ["*"]
users = ["*"]
action = "step-up"
[[rule]]
name = "late"
endpoints = ["db"]
users = ["%dba"]
action = "deny"
"#;
    let loaded = texts(&[ENDPOINT, rules]).unwrap();
    let warning = only(findings(loaded.warnings));
    assert!(
        warning.starts_with("2.toml:8:8 the rule \"late\" can never match"),
        "{warning}"
    );
}

#[test]
fn an_endpoint_without_a_rule_is_doubted() {
    let warning = only(findings(texts(&[ENDPOINT]).unwrap().warnings));
    assert!(
        warning.starts_with("1.toml:2:8 no rule speaks of \"db\""),
        "{warning}"
    );
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

#[test]
fn a_policy_that_protects_nothing_is_refused() {
    assert!(only(mistakes(&[""])).contains("nothing would be protected"));
    let dir = tempfile::tempdir().unwrap();
    let load = |dir: &Path| findings(load_as(dir, Trust::Anyone).unwrap_err().iter().cloned());
    assert!(load(dir.path())[0].contains("no *.toml file: nothing would be protected"));
    assert!(load(&dir.path().join("none"))[0].contains("nothing would be protected"));
}

#[test]
fn files_are_read_in_the_order_of_their_names_and_others_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("20-b.toml", &ENDPOINT.replace("db", "second"));
    write("10-a.toml", &ENDPOINT.replace("db", "first"));
    for other in [".30-c.toml", "30-c.toml~", "30-c.toml.rpmsave", "README"] {
        write(other, "no policy");
    }
    let policy = load_as(dir.path(), Trust::Anyone).unwrap().policy;
    let names: Vec<_> = policy
        .endpoints
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_directory_or_file_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    fs::write(&file, ENDPOINT).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o775)).unwrap();
    let refused = load(dir.path()).unwrap_err();
    let helps: Vec<_> = refused
        .views()
        .into_iter()
        .filter_map(|one| one.help)
        .collect();
    for path in [dir.path(), &file] {
        assert!(
            helps.contains(&format!("chmod go-w {}", path.display())),
            "{helps:?}"
        );
    }
}

#[test]
fn the_version_is_the_hash_of_the_files() {
    let version = |files: &[&str]| texts(files).unwrap().policy.version;
    // printf '[[endpoint]]…' | sha256sum
    let expected = hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(ENDPOINT)[..8]);
    assert_eq!(version(&[ENDPOINT]).as_str(), expected);
    assert_ne!(version(&[ENDPOINT]), version(&[&format!("{ENDPOINT}\n")]));
}

#[test]
fn one_syntax_error_gives_one_mistake() {
    for broken in [
        "hosts = [\"10.0.0.1\"",
        "hosts = [\"10.0.0.1\" \"10.0.0.2\"]",
        "hosts = \"10.0.0.1",
        "hosts",
        "hosts = ",
        "= 5",
        "hosts = [10.0.0.1]",
        "[[endpoint]",
        "a b = 5",
        "name = \"\\q\"",
    ] {
        let list = mistakes(&[&format!(
            "{ENDPOINT}\n[[endpoint]]\nname = \"x\"\n{broken}\n"
        )]);
        assert_eq!(list.len(), 1, "{broken}: {list:#?}");
    }
}

proptest::proptest! {
    /// Whatever stands in a file, it is read to the end; and each mistake has its place.
    #[test]
    fn any_text_is_read_to_the_end(
        cuts in proptest::collection::vec((0..3000usize, 0..6usize, "[\\[\\]\"=#\n.,a5é*%-]{0,3}"), 0..5),
    ) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/policy.d/10-example.toml");
        let mut text = fs::read_to_string(path).unwrap();
        for (at, length, new) in cuts {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &new);
        }
        if let Err(all) = texts(&[&text]) {
            let lines = text.lines().count() + 1;
            for view in all.views() {
                proptest::prop_assert!(view.line.is_none_or(|line| (1..=lines).contains(&line)));
            }
            proptest::prop_assert!(!all.render(true).is_empty());
        }
    }
}
