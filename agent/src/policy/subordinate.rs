// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose processes are gated: the uids of the settings, and the subordinate uids of those users
//! (subuid(5)), as which any program of theirs can run in a user namespace.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use stile_common::UidRange;
use tracing::warn;

use super::names::Names;
use crate::config::MAX_UID;

/// Where they begin (`SUB_UID_MIN` of login.defs(5)).
const FIRST_SUBORDINATE: u32 = 100_000;

/// Where subordinate uids are given to users.
pub const SUBUID: &str = "/etc/subuid";

/// All gated uids, in at most `most` ranges. If there are more, the ones that lie closest are
/// joined, and what lies between them is gated, too.
#[must_use]
pub fn gated_uids(
    settings: &[UidRange],
    subuid: &Path,
    names: &impl Names,
    most: usize,
) -> Vec<UidRange> {
    let mut ranges = settings.to_vec();
    let text = match fs::read_to_string(subuid) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            let path = subuid.display();
            warn!("all uids from {FIRST_SUBORDINATE} on are gated: {path}: {error}");
            ranges.push(UidRange {
                first: FIRST_SUBORDINATE,
                last: MAX_UID,
            });
            String::new()
        }
    };
    ranges.extend(text.lines().filter_map(|line| {
        let (owner, range) = parse(line)?;
        is_gated(owner, settings, names).then_some(range)
    }));
    join(ranges, most)
}

/// `owner:first:count`, the owner by name or number.
fn parse(line: &str) -> Option<(&str, UidRange)> {
    let mut fields = line.trim().split(':');
    let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
    let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
    let last = first.checked_add(count.checked_sub(1)?)?.min(MAX_UID);
    (first <= last).then_some((owner, UidRange { first, last }))
}

/// Where the name services fail, it is taken for somebody's who is gated.
fn is_gated(owner: &str, gated: &[UidRange], names: &impl Names) -> bool {
    let uid = match owner.parse() {
        Ok(uid) => uid,
        Err(_) => match names.uid_of(owner) {
            Ok(Some(uid)) => uid.0,
            Ok(None) => return false,
            Err(_) => return true,
        },
    };
    gated
        .iter()
        .any(|range| (range.first..=range.last).contains(&uid))
}

fn join(mut ranges: Vec<UidRange>, most: usize) -> Vec<UidRange> {
    ranges.sort_by_key(|range| range.first);
    let mut joined: Vec<UidRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    while joined.len() > most.max(1) {
        let gap = |at: &usize| joined[at + 1].first - joined[*at].last;
        let Some(at) = (0..joined.len() - 1).min_by_key(gap) else {
            break;
        };
        joined[at].last = joined[at + 1].last;
        joined.remove(at + 1);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::FakeNames;

    fn range(first: u32, last: u32) -> UidRange {
        UidRange { first, last }
    }

    #[test]
    fn subordinate_uids_of_gated_users_are_gated_and_no_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "1000:100000:65536\n1001:165536:65536\n5:300000:10\nnonsense\n1000:x:1\n\
                    1000:4294967290:65536\n1000:7:0\n";
        fs::write(file.path(), text).unwrap();
        let gated = gated_uids(&[range(1000, 2000)], file.path(), &FakeNames::default(), 16);
        assert_eq!(gated, [range(1000, 2000), range(100_000, 231_071)]);
        let missing = Path::new("/nonexistent/subuid");
        let gated = gated_uids(&[range(1000, 2000)], missing, &FakeNames::default(), 16);
        assert_eq!(gated, [range(1000, 2000)]);
        // A folder can't be read.
        let gated = gated_uids(
            &[range(1000, 2000)],
            Path::new("/"),
            &FakeNames::default(),
            16,
        );
        assert_eq!(gated, [range(1000, 2000), range(100_000, MAX_UID)]);
    }

    #[test]
    fn too_many_ranges_are_joined_where_they_lie_closest() {
        let ranges = vec![range(1, 2), range(10, 11), range(13, 14), range(100, 200)];
        assert_eq!(
            join(ranges.clone(), 3),
            [range(1, 2), range(10, 14), range(100, 200)]
        );
        assert_eq!(join(ranges, 1), [range(1, 200)]);
        assert_eq!(join(Vec::new(), 4), []);
    }
}
