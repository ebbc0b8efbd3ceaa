// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;

use super::*;

fn load(text: &str) -> Result<Settings, Diagnostics> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stile.toml");
    fs::write(&path, text).unwrap();
    Settings::load_as(&path, Trust::Anyone)
}

fn mistakes(text: &str) -> Vec<String> {
    let views = load(text).unwrap_err().views();
    views
        .into_iter()
        .map(|one| {
            let place = format!("{}:{}", one.line.unwrap_or(0), one.column.unwrap_or(0));
            format!("{place} {}", one.message)
        })
        .collect()
}

#[test]
fn a_missing_file_means_the_defaults() {
    let settings = Settings::load(Path::new("/nonexistent/stile.toml")).unwrap();
    assert_eq!(settings, load("").unwrap());
    assert_eq!(settings.bpffs, Path::new("/sys/fs/bpf/stile"));
    assert_eq!(settings.state_dir, Path::new("/var/lib/stile"));
    assert_eq!(settings.cgroup, None);
    assert!(settings.self_enroll && settings.terminal_notice);
    assert!(settings.issuer.starts_with("stile"), "{}", settings.issuer);
    assert_eq!(settings.gated_uids.len(), 1);
    assert_eq!(settings.nat64, ["64:ff9b::/96".parse().unwrap()]);
}

#[test]
fn a_nat64_prefix_is_one_that_the_standard_knows() {
    for text in [
        "64:ff9b::/95",
        "64:ff9b::1/96",
        "10.0.0.0/32",
        "64:ff9b::",
        "",
    ] {
        assert_eq!(
            mistakes(&format!("nat64 = [{text:?}]")),
            [format!("1:10 {text:?} is no NAT64 prefix")]
        );
    }
    assert_eq!(
        mistakes("nat64 = []"),
        ["1:9 the list is empty: addresses behind NAT64 would not be recognized"]
    );
    let many = ["\"64:ff9b::/96\""; MAX_NAT64_PREFIXES + 1].join(", ");
    assert_eq!(
        mistakes(&format!("nat64 = [{many}]")),
        ["1:9 5 prefixes, but at most 4 can be recognized"]
    );
}

#[test]
fn a_full_file_is_read() {
    let settings = load(
        r#"
gated_uids = ["1000-60000", 70000, "80000"]
cgroup = "/sys/fs/cgroup/unified"
bpffs = "/run/bpf"
state_dir = "/srv/stile"
self_enroll = false
terminal_notice = false
issuer = "Example"
nat64 = ["64:ff9b::/96", "2001:db8:64::/48"]
lock_after = 10
pam_helper = "/opt/stile-pam"

[[pam]]
service = "stile-fingerprint"
assurance = 2
timeout = "30s"

[[pam]]
service = "stile-stepup"
"#,
    )
    .unwrap();
    let range = |first, last| UidRange { first, last };
    assert_eq!(
        settings.gated_uids,
        [range(1000, 60000), range(70000, 70000), range(80000, 80000)]
    );
    assert_eq!(
        settings.cgroup.as_deref(),
        Some(Path::new("/sys/fs/cgroup/unified"))
    );
    assert!(!settings.self_enroll && !settings.terminal_notice);
    assert_eq!(settings.issuer, "Example");
    assert_eq!(settings.lock_after, 10);
    assert_eq!(settings.pam_helper, Path::new("/opt/stile-pam"));
    let services: Vec<_> = settings
        .pam
        .iter()
        .map(|it| {
            (
                it.service.as_str(),
                it.assurance.level(),
                it.timeout.as_secs(),
            )
        })
        .collect();
    assert_eq!(
        services,
        [("stile-fingerprint", 2, 30), ("stile-stepup", 1, 45)]
    );
    let prefixes = ["64:ff9b::/96", "2001:db8:64::/48"].map(|text| text.parse().unwrap());
    assert_eq!(settings.nat64, prefixes);
}

#[test]
fn a_service_of_pam_is_one_of_its_own_with_a_level_and_a_time() {
    let refused = |text: &str| load(text).unwrap_err().to_string();
    let with = |line: &str| refused(&format!("[[pam]]\nservice = \"stile-stepup\"\n{line}\n"));
    assert!(with("assurance = 4").contains("must lie in 1..=3"));
    assert!(with("timeout = \"1h\"").contains("out of range"));
    assert!(with("level = 2").contains("assurance"));
    assert!(refused("[[pam]]\nassurance = 1\n").contains("needs the key `service`"));
    for name in ["other", "common-auth", "login", "../passwd", ""] {
        let text = refused(&format!("[[pam]]\nservice = {name:?}\n"));
        assert!(text.contains("no service that can be asked"), "{text}");
    }
    let twice = "[[pam]]\nservice = \"stile\"\n[[pam]]\nservice = \"stile\"\n";
    assert!(refused(twice).contains("there twice"));
    assert!(refused("lock_after = 101").contains("5..=100"));
    assert!(refused("lock_after = 4").contains("5..=100"));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = r#"gated_uids = ["60000-1000", "10x", -1]
bpffs = "sys/fs/bpf"
self_enrol = true
terminal_notice = "yes"
issuer = ""
"#;
    assert_eq!(
        mistakes(text),
        [
            "1:15 \"60000-1000\" is no range of uids",
            "1:29 \"10x\" is no range of uids",
            "1:36 -1 is no uid: it must lie in 0..=4294967293",
            "2:9 \"sys/fs/bpf\" is no absolute path",
            "3:1 unknown key `self_enrol`",
            "4:19 expected true or false, found a string",
            "5:10 \"\" is no issuer",
        ]
    );
}

#[test]
fn uids_that_stand_for_nobody_cannot_be_gated() {
    for text in [
        "\"4294967295\"",
        "4294967294",
        "\"0-4294967294\"",
        "\"+1-5\"",
        "\"-\"",
    ] {
        assert_eq!(
            mistakes(&format!("gated_uids = [{text}]")).len(),
            1,
            "{text}"
        );
    }
}

#[test]
fn an_empty_list_or_one_too_long_is_refused() {
    assert_eq!(
        mistakes("gated_uids = []"),
        ["1:14 the list is empty: nobody would be gated"]
    );
    let many = vec!["1000"; MAX_UID_RANGES + 1].join(", ");
    assert_eq!(
        mistakes(&format!("gated_uids = [{many}]")),
        ["1:14 17 ranges, but at most 16 can be gated"]
    );
}

#[test]
fn a_misspelt_key_is_answered_with_the_right_one() {
    let views = load("self_enrol = true\nuids = [1]\n").unwrap_err().views();
    let helps: Vec<_> = views.iter().filter_map(|one| one.help.as_deref()).collect();
    assert_eq!(helps, ["did you mean `self_enroll`?", "write `gated_uids`"]);
}

fn from_login_defs(text: &str) -> Result<UidRange, Diagnostics> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("login.defs");
    fs::write(&path, text).unwrap();
    let mut findings = Findings::new(Path::new("stile.toml"));
    let range = login_uids(&path, &mut findings);
    findings.finish(range).map(|(range, _)| range)
}

#[test]
fn login_uids_come_from_login_defs() {
    let range = from_login_defs("# UID_MIN 5\nUID_MIN\t\t 500\nUID_MAX 70000\nSYS_UID_MIN 1\n");
    assert_eq!(
        range.unwrap(),
        UidRange {
            first: 500,
            last: 70000
        }
    );
    let usual = UidRange {
        first: 1000,
        last: 60000,
    };
    assert_eq!(from_login_defs("").unwrap(), usual);
    let missing = login_uids(
        Path::new("/nonexistent"),
        &mut Findings::new(Path::new("x")),
    );
    assert_eq!(missing, Some(usual));
}

#[test]
fn login_defs_that_make_no_sense_are_not_replaced_by_a_default() {
    assert!(from_login_defs("UID_MIN abc\n").is_err());
    assert!(from_login_defs("UID_MIN 70000\n").is_err());
}

#[test]
fn the_settings_that_are_shipped_load() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/stile.toml");
    Settings::load_as(Path::new(path), Trust::Anyone).unwrap();
}
