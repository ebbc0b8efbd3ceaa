// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the memory of the running daemon holds of secrets once they were used.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use stile_tests::{ALICE, Host, ROOT};

use crate::pam::Service;
use crate::scene::{SECRET_32, codes_in, opens, waiting};

/// What is looked at at once.
const PAGE: usize = 4096;
/// What is read at once: whole pages.
const CHUNK: usize = 256 * PAGE;

/// Which of these are in the daemon's memory, and in which of its mappings, as the kernel tells
/// them.
fn found(host: &Host, wanted: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let process = format!("/proc/{}", host.pid());
    let memory = File::open(format!("{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
    let longest = wanted.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        // What can't be written to has only what the program's files have.
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        for at in (start..end).step_by(CHUNK) {
            let length = usize::try_from(end - at).unwrap().min(CHUNK + longest);
            let mut chunk = vec![0; length];
            // Mappings of devices can't be read this way, and nothing of ours lies there.
            let read = memory.read_at(&mut chunk, at).unwrap_or(0);
            let hits = search(&chunk[..read], longest, wanted);
            found.extend(hits.map(|what| (what.to_owned(), line.to_owned())));
        }
    }
    found
}

/// Which of these begin in the first bytes of the chunk; what begins later is in the next one.
fn search<'a>(
    chunk: &'a [u8],
    longest: usize,
    wanted: &'a [(&'a str, &'a [u8])],
) -> impl Iterator<Item = &'a str> {
    let mut starts = [false; 256];
    for (_, bytes) in wanted {
        starts[usize::from(bytes[0])] = true;
    }
    let pages = chunk.len().min(CHUNK).div_ceil(PAGE);
    let pages = (0..pages).map(|page| page * PAGE);
    // Most of them were never used.
    let used = pages.filter(|at| {
        let page = &chunk[*at..chunk.len().min(at + PAGE)];
        page != &[0; PAGE][..page.len()]
    });
    used.flat_map(move |at| {
        let page = &chunk[at..chunk.len().min(at + PAGE + longest)];
        let places = (0..page.len().min(PAGE)).filter(move |it| starts[usize::from(page[*it])]);
        places.flat_map(move |place| {
            let hits = wanted
                .iter()
                .filter(move |(_, bytes)| page[place..].starts_with(bytes));
            hits.map(|(what, _)| *what)
        })
    })
}

/// Asserts that none of these are there, though what the daemon does know is.
#[track_caller]
fn holds_none(host: &Host, when: &str, secrets: &[(&str, &[u8])]) {
    const KNOWN: &str = "what the daemon does know";
    let known = host.state().display().to_string();
    let mut wanted = secrets.to_vec();
    wanted.push((KNOWN, known.as_bytes()));
    let found = found(host, &wanted);
    assert!(
        found.iter().any(|(what, _)| what == KNOWN),
        "{when}: it isn't searched"
    );
    let held: Vec<_> = found.iter().filter(|(what, _)| what != KNOWN).collect();
    assert!(held.is_empty(), "{when}: {held:#?}");
}

#[test]
fn the_secret_of_a_device_is_in_memory_only_until_it_is_confirmed() {
    let host = Host::start_usual();
    let enrolling = host.begin_enrolling(ALICE);
    let secret = enrolling.authenticator.secret_bytes();
    let base32 = enrolling.authenticator.secret().to_owned();
    let code = enrolling.authenticator.fresh_code();
    let pending = found(&host, &[("bytes", &secret)]);
    assert!(!pending.is_empty(), "it waits for its first code");
    let (said, phone) = enrolling.confirm(&code);
    said.succeeded();
    let secrets = [("bytes", &*secret), ("base32", base32.as_bytes())];
    holds_none(&host, "enrolled", &secrets);
    opens(&host, &phone.fresh_code());
    holds_none(&host, "after a proof", &secrets);
    host.stile(ROOT, &["ledger", "check"]).succeeded();
    host.stile(ROOT, &["secrets", "rotate"]).succeeded();
    holds_none(&host, "sealed anew", &secrets);
}

#[test]
fn the_secret_of_a_token_is_not_in_memory_once_it_was_taken_over() {
    let host = Host::start_usual();
    let import = [
        "factor",
        "import",
        "--user",
        "alice",
        "--algorithm=sha256",
        "--stdin",
    ];
    host.stile_typing(ROOT, &import, SECRET_32).succeeded();
    let token = stile_tests::Authenticator::token(SECRET_32, "sha256", 6, 30);
    let bytes = token.secret_bytes();
    let secrets = [("bytes", &*bytes), ("base32", SECRET_32.as_bytes())];
    holds_none(&host, "imported", &secrets);
    opens(&host, &token.fresh_code());
    holds_none(&host, "after a proof", &secrets);
}

#[test]
fn recovery_codes_are_not_in_memory_once_they_were_told_or_used() {
    let host = Host::start_usual();
    let said = host.stile(ROOT, &["factor", "recovery", "--user", "alice", "--json"]);
    let codes = codes_in(&said);
    let plain: Vec<_> = codes.iter().map(|code| code.replace('-', "")).collect();
    let forms: Vec<_> = codes.iter().chain(&plain).collect();
    let secrets: Vec<_> = forms
        .iter()
        .map(|it| (it.as_str(), it.as_bytes()))
        .collect();
    holds_none(&host, "made", &secrets);
    opens(&host, &codes[3]);
    holds_none(&host, "used", &secrets);
}

#[test]
fn an_answer_to_pam_is_not_in_memory_once_it_was_given() {
    let Some(service) = Service::new(19) else {
        return;
    };
    let host = service.host("factors = [\"PAM\"]", "");
    let client = waiting(&host);
    let wrong = "an answer that is wrong and long enough to be found";
    service.answer(&host, wrong).failed(1, "wrong code");
    holds_none(&host, "refused", &[("answer", wrong.as_bytes())]);
    service.answer(&host, "sesame").succeeded();
    holds_none(&host, "accepted", &[("answer", b"sesame")]);
    client.connected();
}
