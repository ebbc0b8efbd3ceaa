// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a fuzzer is let loose on: everything that reads bytes of the kernel, of /proc, of the
//! network, of files and of callers. Each body takes any bytes, and panics where a promise
//! about them is broken.
//!
//! The targets in `fuzz/` call these; the test below runs the committed corpus through them,
//! so that what a fuzzer once found is found again without one. The reader of packets is the
//! gate's, and so is its target.

mod bus;
mod files;
mod kernel;

use crate::{audit, classify, cli, hosts, sys, verify};

/// A target's name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the agent.
pub const TARGETS: [Target; 12] = [
    ("audit", audit::fuzz),
    ("hosts", hosts::fuzz),
    ("login", classify::fuzz_login),
    ("netlink", sys::sock_diag::fuzz),
    ("pam", verify::pam::fuzz),
    ("policy", files::policy),
    ("procfs", classify::fuzz),
    ("record", kernel::record),
    ("request", bus::request),
    ("settings", files::settings),
    ("syn", kernel::syn),
    ("tokens", cli::fuzz_tokens),
];

/// Runs the body of a target.
///
/// # Panics
/// If there is no such target, or where the target has found something.
pub fn run(target: &str, data: &[u8]) {
    let body = TARGETS.iter().find(|(name, _)| *name == target);
    assert!(body.is_some(), "there is no target {target}");
    if let Some((_, body)) = body {
        body(data);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_corpus_breaks_no_promise() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut broken = Vec::new();
        for (target, body) in TARGETS {
            let seeds: Vec<_> = std::fs::read_dir(corpus.join(target)).unwrap().collect();
            assert!(!seeds.is_empty(), "{target} has no corpus");
            for seed in seeds {
                let path = seed.unwrap().path();
                let data = std::fs::read(&path).unwrap();
                if std::panic::catch_unwind(|| body(&data)).is_err() {
                    broken.push(path);
                }
            }
        }
        assert!(broken.is_empty(), "these break a promise: {broken:?}");
    }

    /// A corpus that no parser takes shows nothing.
    #[test]
    fn the_committed_corpus_reaches_what_is_behind_the_parsers() {
        let seed = |path: &str| {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
            std::fs::read(corpus.join(path)).unwrap()
        };
        for record in [
            "record/attempt-v4",
            "record/syn-v4",
            "record/syn-v6",
            "record/cut",
        ] {
            assert!(crate::kernel::decode(&seed(record)).is_ok(), "{record}");
        }
        for syn in ["syn/v4", "syn/v4-fast-open", "syn/v6", "syn/v6-mptcp"] {
            assert!(sys::replay::SynPacket::parse(&seed(syn)).is_ok(), "{syn}");
        }
        let log = audit::verify(&*seed("audit/log")).unwrap();
        assert_eq!(log.records, 4);
    }
}
