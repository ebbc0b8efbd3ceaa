// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as the files of /proc, and any record as an attempt.

use std::path::Path;

use stile_common::{Attempt, UID_ANY, UID_UNKNOWN};

pub(crate) use super::login::fuzz as fuzz_login;
use super::procfs::{parse_stat, parse_uids};
use super::programs::fuzz_mounts;
use super::session::{cgroup_path, unit_of};
use super::{Classifier, ProcFs, Subject};
use crate::clock::BootTime;
use crate::sys::cgroup::cgroup2_mounts;

/// The same bytes as `stat`, `status`, `cgroup` and `mountinfo`.
pub(crate) fn fuzz(data: &[u8]) {
    if let Some(stat) = parse_stat(data) {
        assert_is_shown_safely(&stat.comm, 64);
    }
    let _ = parse_uids(data);
    if let Some(cgroup) = cgroup_path(data) {
        assert!(cgroup.is_absolute());
        if let Some(unit) = unit_of(&cgroup) {
            assert_is_shown_safely(&unit, 255);
        }
        let subject = Subject::new(UID_UNKNOWN, Some(&cgroup), Path::new("/user.slice"));
        assert!(!matches!(subject, Subject::Known(_)), "nobody knew");
        if let Subject::Learned { uid, slice } = subject {
            assert!(uid.0 != UID_ANY && uid.0 != UID_UNKNOWN);
            assert_eq!(slice, Path::new(&format!("/user.slice/user-{uid}.slice")));
            assert!(cgroup.starts_with(slice));
        }
    }
    for id in 0..64 {
        let _ = fuzz_mounts(data, id);
    }
    for mount in cgroup2_mounts(data) {
        let _ = mount;
    }
}

/// An attempt of a process that isn't there.
pub(crate) fn fuzz_attempt(attempt: &Attempt) {
    let mut classifier = Classifier::new(ProcFs::at("/nonexistent"), "/user.slice");
    let classified = classifier.classify(attempt, BootTime(attempt.boot_ns));
    assert!(classified.process().is_none());
    assert_is_shown_safely(&classified.comm(), 64);
    assert_eq!(classified.destination.port(), attempt.port);
    if attempt.subject == UID_ANY || attempt.subject == UID_UNKNOWN {
        assert_eq!(
            classified.subject.uid(),
            None,
            "somebody is asked for nobody's attempt"
        );
    }
}

fn assert_is_shown_safely(text: &str, max_chars: usize) {
    assert!(text.chars().count() <= max_chars, "{text:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
