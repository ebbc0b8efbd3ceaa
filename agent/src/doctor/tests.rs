// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::kernel::Weight;

/// A machine that answers one question otherwise than all the others.
struct Fake {
    about: Option<Feature>,
    says: Found,
}

impl Machine for Fake {
    fn kernel(&self) -> String {
        "6.1.0-test".to_owned()
    }
    fn look(&self, feature: Feature) -> Found {
        if self.about == Some(feature) {
            self.says.clone()
        } else {
            Found::Has("there".to_owned())
        }
    }
}

fn whole() -> Report {
    examine(&Fake {
        about: None,
        says: Found::Has(String::new()),
    })
}

fn with(feature: Feature, says: Found) -> Check {
    let report = examine(&Fake {
        about: Some(feature),
        says,
    });
    let mut odd = report
        .checks
        .into_iter()
        .filter(|check| check.state != State::Ok);
    let check = odd.next().unwrap();
    assert_eq!(odd.next(), None);
    check
}

fn lacking(feature: Feature) -> Check {
    with(feature, Found::Lacks("gone".to_owned()))
}

#[test]
fn a_machine_that_has_everything_can_hold_the_gate() {
    let report = whole();
    assert!(report.stands());
    assert_eq!(report.count(State::Ok), report.checks.len());
    assert!(
        report
            .checks
            .iter()
            .all(|check| check.lost.is_empty() && check.remedy.is_empty())
    );
}

#[test]
fn each_question_has_a_name_of_its_own() {
    let report = whole();
    let names: HashSet<_> = report.checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), report.checks.len());
    let features: HashSet<_> = NEEDS.iter().map(|need| need.feature).collect();
    assert_eq!(features.len(), NEEDS.len());
    for name in names {
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{name}"
        );
    }
}

#[test]
fn what_the_gate_cannot_stand_without_is_missing_and_the_rest_only_degrades() {
    for need in NEEDS {
        let fake = Fake {
            about: Some(need.feature),
            says: Found::Lacks("gone".to_owned()),
        };
        let vital = need.weight == Weight::Vital;
        assert_eq!(examine(&fake).stands(), !vital, "{}", need.name);
        let check = lacking(need.feature);
        assert_eq!(
            check.state,
            if vital {
                State::Missing
            } else {
                State::Degraded
            }
        );
        assert_eq!((check.name, &*check.detail), (need.name, "gone"));
    }
}

/// What a person reads of each lack: what is lost, and what to do.
#[test]
fn each_lack_says_what_is_lost_by_it_and_what_to_do() {
    for (feature, lost, remedy) in [
        (
            Feature::Kernel,
            "ring buffers and socket storage",
            "Linux 5.10",
        ),
        (
            Feature::Capabilities,
            "takes the gate from nobody else",
            "as root",
        ),
        (
            Feature::PidNamespace,
            "name other processes",
            "outside of containers",
        ),
        (Feature::Cgroup2, "nothing to attach to", "mount -t cgroup2"),
        (Feature::Bpffs, "end with the daemon", "mount -t bpf"),
        (Feature::Btf, "can't remember", "CONFIG_DEBUG_INFO_BTF"),
        (Feature::RingBuffer, "can't report", "5.8"),
        (
            Feature::LpmTrie,
            "can't look addresses up",
            "CONFIG_BPF_SYSCALL",
        ),
        (Feature::SocketStorage, "can't remember", "5.2"),
        (
            Feature::ProgramArray,
            "daemon has ended",
            "CONFIG_BPF_SYSCALL",
        ),
        (Feature::ConnectHook, "can't be held", "CONFIG_CGROUP_BPF"),
        (Feature::PacketHook, "can't be cut", "CONFIG_CGROUP_BPF"),
        (Feature::Links, "end with the daemon", "5.7"),
        (Feature::Programs, "verifier refuses it", "report it"),
        (Feature::RawSockets, "next retransmission", "CAP_NET_RAW"),
        (
            Feature::DestroyTcp,
            "wait for a timeout",
            "CONFIG_INET_TCP_DIAG",
        ),
        (Feature::DestroyUdp, "go silent", "CONFIG_INET_UDP_DIAG"),
        (Feature::BpfJit, "costs more time", "bpf_jit_enable=1"),
        (Feature::Lockdown, "how far", "securityfs"),
        (Feature::Lsms, "can't be told", "securityfs"),
        (
            Feature::Sctp,
            "dropped, never held",
            "install sctp /bin/false",
        ),
        (
            Feature::Dccp,
            "dropped, never held",
            "install dccp /bin/false",
        ),
        (Feature::BootClock, "would not end in time", "report it"),
        (Feature::WallClock, "one-time codes", "timedatectl"),
        (Feature::Pins, "another version's gate", "stile detach"),
        (
            Feature::Daemon,
            "nobody can answer",
            "systemctl start stiled",
        ),
    ] {
        let check = lacking(feature);
        assert!(check.lost.contains(lost), "{check:?}");
        assert!(check.remedy.contains(remedy), "{check:?}");
    }
}

#[test]
fn what_only_root_may_look_at_is_no_lack_and_says_so() {
    let check = with(Feature::RingBuffer, Found::NeedsRoot);
    assert_eq!(check.state, State::Unknown);
    assert_eq!(check.detail, "not checked: needs root");
    assert_eq!(
        (check.lost, check.remedy),
        ("", "run `stile doctor` as root")
    );
    let fake = Fake {
        about: Some(Feature::RingBuffer),
        says: Found::NeedsRoot,
    };
    assert!(examine(&fake).stands());
}

#[test]
fn what_cannot_be_seen_says_how_it_can() {
    let check = with(Feature::Lsms, Found::Unseen("no securityfs".to_owned()));
    assert_eq!(
        (check.state, &*check.detail),
        (State::Unknown, "no securityfs")
    );
    assert!(
        check.lost.is_empty() && check.remedy.contains("mount"),
        "{check:?}"
    );
}

#[test]
fn the_json_is_flat_and_names_each_state() {
    let fake = Fake {
        about: Some(Feature::Btf),
        says: Found::Lacks("no BTF".to_owned()),
    };
    let json = serde_json::to_value(examine(&fake)).unwrap();
    assert_eq!(json["kernel"], "6.1.0-test");
    let checks = json["checks"].as_array().unwrap();
    let btf = checks.iter().find(|check| check["name"] == "btf").unwrap();
    assert_eq!(
        btf,
        &serde_json::json!({
            "name": "btf", "state": "missing", "detail": "no BTF",
            "lost": "the gate can't remember what it decided for a socket",
            "remedy": "run a kernel with CONFIG_DEBUG_INFO_BTF=y",
        })
    );
    assert_eq!(checks[0]["state"], "ok");
}

fn look_at(pins: &Path, feature: Feature) -> Found {
    System::new(pins, Err("nobody".to_owned())).look(feature)
}

fn has(text: &str) -> Found {
    Found::Has(text.to_owned())
}

#[test]
fn pins_are_told_apart_by_version() {
    let dir = tempfile::tempdir().unwrap();
    let pins = dir.path().join("stile");
    assert_eq!(look_at(&pins, Feature::Pins), has("no gate is pinned"));
    let own = format!("v{}", stile_common::ABI_VERSION);
    std::fs::create_dir_all(pins.join(&own)).unwrap();
    let text = format!("a gate of this version, {own}");
    assert_eq!(look_at(&pins, Feature::Pins), Found::Has(text));
    std::fs::create_dir(pins.join("v999")).unwrap();
    let Found::Lacks(text) = look_at(&pins, Feature::Pins) else {
        panic!("another version was taken");
    };
    assert!(text.contains("\"v999\""), "{text}");
}

#[test]
fn a_gate_of_which_a_part_is_attached_lacks_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let own = format!("v{}", stile_common::ABI_VERSION);
    let links = dir.path().join(own).join("links-0");
    let attached = || look_at(dir.path(), Feature::Attached);
    assert_eq!(attached(), has("no gate is pinned"));
    std::fs::create_dir_all(&links).unwrap();
    for name in ["stile_egress", "stile_ingress", "stile_connect4"] {
        std::fs::write(links.join(name), "").unwrap();
    }
    let text = "3 of 6 programs, to the cgroup with the id 0";
    assert_eq!(attached(), Found::Lacks(text.to_owned()));
    for name in ["stile_connect6", "stile_sendmsg4", "stile_sendmsg6"] {
        std::fs::write(links.join(name), "").unwrap();
    }
    assert_eq!(
        attached(),
        has("6 of 6 programs, to the cgroup with the id 0")
    );
}

#[test]
fn the_clocks_of_this_machine_are_sane() {
    let system = System::new(Path::new("/nonexistent"), Err("nobody".to_owned()));
    for feature in [Feature::BootClock, Feature::WallClock] {
        assert!(matches!(system.look(feature), Found::Has(_)), "{feature:?}");
    }
}
