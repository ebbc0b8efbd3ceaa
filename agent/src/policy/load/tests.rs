// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use std::os::unix::fs::symlink;

use super::*;
use crate::policy::testing::{ENDPOINT, findings, mistakes, only, rule_mistake, texts};
use crate::policy::{EndpointSelector, OnExpiry, Scope, UserSelector};

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

/// A folder that root alone may write, with this in a file.
fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    dir
}

#[test]
fn folders_of_drop_ins_are_read_in_the_place_of_their_names() {
    let rule = |name: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nendpoints = [\"db\"]\nusers = [\"{name}\"]\naction = \"deny\"\n"
        )
    };
    let dir = folder("10-a.toml", ENDPOINT);
    fs::write(dir.path().join("30-c.toml"), rule("c")).unwrap();
    for (place, name) in [("20-team.d", "b"), (".hidden.d", "no"), ("25-other", "no")] {
        fs::create_dir(dir.path().join(place)).unwrap();
        fs::write(dir.path().join(place).join("x.toml"), rule(name)).unwrap();
    }
    fs::write(dir.path().join("20-team.d/README"), "no TOML").unwrap();
    let policy = load_as(dir.path(), Trust::Anyone).unwrap().policy;
    let names: Vec<_> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn a_folder_of_drop_ins_that_others_may_write_is_refused() {
    let dir = folder("10-a.toml", ENDPOINT);
    let inner = dir.path().join("20-team.d");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("x.toml"), "").unwrap();
    fs::set_permissions(&inner, Permissions::from_mode(0o775)).unwrap();
    let all = findings(load(dir.path()).unwrap_err().iter().cloned());
    assert!(
        all.iter()
            .any(|one| one.contains("20-team.d can be written by others")),
        "{all:#?}"
    );
}

#[test]
fn a_link_to_where_others_may_write_is_refused_with_the_place() {
    let elsewhere = folder("policy.toml", ENDPOINT);
    let dir = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("policy.toml");
    symlink(&target, dir.path().join("10-a.toml")).unwrap();
    fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o777)).unwrap();
    let all = findings(load(dir.path()).unwrap_err().iter().cloned());
    let place = format!(
        "lies in {}, where others than root",
        elsewhere.path().display()
    );
    assert!(all.iter().any(|one| one.contains(&place)), "{all:#?}");
    assert!(
        load_as(dir.path(), Trust::Anyone).is_ok(),
        "for a check it may"
    );

    fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&target, Permissions::from_mode(0o666)).unwrap();
    let all = findings(load(dir.path()).unwrap_err().iter().cloned());
    assert!(
        all.iter()
            .any(|one| one.contains("can be written by others")),
        "{all:#?}"
    );
}

#[test]
fn files_that_are_too_large_are_refused_alone_and_together() {
    let dir = folder("10-a.toml", ENDPOINT);
    let huge = fs::File::create(dir.path().join("20-b.toml")).unwrap();
    huge.set_len(100 * 1024 * 1024).unwrap();
    let all = findings(
        load_as(dir.path(), Trust::Anyone)
            .unwrap_err()
            .iter()
            .cloned(),
    );
    assert!(
        all.iter().any(|one| one.contains("is larger than 16 MiB")),
        "{all:#?}"
    );

    let dir = folder("10-a.toml", ENDPOINT);
    let comment = format!("# {}\n", "x".repeat(15 * 1024 * 1024));
    for number in 0..5 {
        fs::write(dir.path().join(format!("2{number}.toml")), &comment).unwrap();
    }
    let all = findings(
        load_as(dir.path(), Trust::Anyone)
            .unwrap_err()
            .iter()
            .cloned(),
    );
    assert!(
        all.iter()
            .any(|one| one.contains("is larger than 64 MiB in all")),
        "{all:#?}"
    );
}
