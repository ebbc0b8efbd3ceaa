// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile detach` leaves the machine as it was before (promise S8).

use std::collections::BTreeSet;

use aya::programs::{loaded_links, loaded_programs};
use stile_tests::{ALICE, ROOT, until};

use crate::{SESSION, booted, machine};

/// The ids of all links in the kernel. One that goes while they are listed is none.
fn links() -> BTreeSet<u32> {
    let links = loaded_links().filter_map(Result::ok);
    links.map(|link| link.id()).collect()
}

/// The ids of all programs in the kernel, likewise.
fn programs() -> BTreeSet<u32> {
    let programs = loaded_programs().filter_map(Result::ok);
    programs.map(|program| program.id()).collect()
}

#[test]
fn detach_leaves_nothing_and_everything_flows_again() {
    let Some(_alone) = machine() else { return };
    // Some of it may be an earlier test's, on its way out.
    let (links_before, programs_before) = (links(), programs());
    let mut host = booted();
    assert!(!links().is_subset(&links_before));
    let held = host.connect_in(SESSION, ALICE);
    host.wait_for_challenge(ALICE);
    host.stop();
    // The gate outlives its daemon.
    assert!(host.connect_in(SESSION, ROOT).outcome().result.is_err());
    held.still_waits();

    let pins = host.pins().to_str().expect("a path").to_owned();
    host.stile(ROOT, &["detach", "--bpffs", &pins]).succeeded();
    assert!(!host.pins().exists());
    until("the kernel has let go of everything", || {
        let links_are_gone = links().is_subset(&links_before);
        (links_are_gone && programs().is_subset(&programs_before)).then_some(())
    });
    // What was parked goes on with its next SYN.
    held.connected();
    let mut client = host.connect_in(SESSION, ALICE);
    client.connected();
    client.talks();
}
