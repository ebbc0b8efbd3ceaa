// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Modules that don't behave.

use std::time::Duration;

use stile::sys::pidfd::PidFd;
use stile::verify::pam::{PamFailure, PamRun, PamStep};

use crate::host::{Host, PATIENCE, answer};

const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_module_that_passes_or_fails_is_what_pam_says() {
    let Some(host) = Host::new() else { return };
    assert_eq!(host.told(&host.ordered("pass", "pass")).await.1, None);
    type Is = fn(&PamFailure) -> bool;
    let refusals: [(&str, &str, Is); 8] = [
        ("deny", "pass", |f| matches!(f, PamFailure::Wrong { .. })),
        ("null", "pass", |f| matches!(f, PamFailure::Wrong { .. })),
        ("max-tries", "pass", |f| {
            matches!(f, PamFailure::MaxTries { .. })
        }),
        ("unavailable", "pass", |f| {
            matches!(f, PamFailure::Unavailable { .. })
        }),
        ("radio", "pass", |f| {
            matches!(f, PamFailure::Conversation { .. })
        }),
        ("pass", "deny", |f| matches!(f, PamFailure::Account { .. })),
        ("pass", "expired", |f| {
            matches!(f, PamFailure::Account { .. })
        }),
        ("pass", "new-password", |f| {
            matches!(f, PamFailure::Account { .. })
        }),
    ];
    for (auth, account, is_right) in refusals {
        let failure = host.refused(&host.ordered(auth, account)).await;
        assert!(is_right(&failure), "{auth}, {account}: {failure:?}");
    }
}

#[tokio::test]
async fn a_module_that_goes_on_about_somebody_else_proves_nothing() {
    let Some(host) = Host::new() else { return };
    for (auth, account) in [("change-user", "pass"), ("pass", "change-user")] {
        let failure = host.refused(&host.ordered(auth, account)).await;
        let PamFailure::OtherUser { text } = &failure else {
            panic!("{auth}, {account}: {failure:?}");
        };
        assert!(text.contains("alice") && text.contains("root"), "{text}");
    }
}

#[tokio::test]
async fn a_module_that_crashes_or_ends_the_process_fails() {
    let Some(host) = Host::new() else { return };
    let crashed = host.refused(&host.ordered("crash", "pass")).await;
    assert_eq!(crashed, PamFailure::Crashed { signal: 11 });
    let ended = host.refused(&host.ordered("exit", "pass")).await;
    assert_eq!(ended, PamFailure::NoVerdict { code: 0 });
}

#[tokio::test]
async fn a_module_that_is_not_there_fails() {
    let Some(host) = Host::new() else { return };
    let service = host.service("stile-test", "auth required /nowhere/pam_fprintd.so");
    let failure = host.refused(&service).await;
    assert!(matches!(failure, PamFailure::Broken { .. }), "{failure:?}");
}

#[tokio::test]
async fn what_a_module_or_its_programs_print_is_never_a_verdict() {
    let Some(host) = Host::new() else { return };
    let failure = host.refused(&host.ordered("forge", "pass")).await;
    assert!(matches!(failure, PamFailure::Wrong { .. }), "{failure:?}");
}

#[tokio::test]
async fn a_module_that_talks_without_end_is_cut_short() {
    let Some(host) = Host::new() else { return };
    let (told, failure) = host.told(&host.ordered("chatter", "pass")).await;
    assert_eq!(told.len(), 32);
    assert!(
        matches!(failure, Some(PamFailure::Wrong { .. })),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_text_of_a_module_is_cut_and_moves_no_cursor() {
    let Some(host) = Host::new() else { return };
    let (told, failure) = host.told(&host.ordered("long", "pass")).await;
    assert_eq!(failure, None);
    let (first, second) = told[0].split_once('\n').unwrap();
    assert_eq!(first, "a\\x1b[2J\u{fffd}");
    assert!(
        second.starts_with("xxx") && second.chars().count() == 400,
        "{second}"
    );
}

#[tokio::test]
async fn a_module_finds_itself_bounded_and_alone() {
    let Some(host) = Host::new() else { return };
    let (told, failure) = host.told(&host.ordered("look", "pass")).await;
    assert_eq!(failure, None);
    let right = "core 0 cpu 30 files 1024 dumpable 0 inherited 0 read 0 leads 1";
    assert_eq!(told, [right]);
}

async fn told_process(run: &mut PamRun) -> PidFd {
    let PamStep::Tell { text, .. } = run.next().await else {
        panic!("no process was told");
    };
    PidFd::open(text.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_module_that_hangs_is_ended_at_the_deadline_with_what_it_has_started() {
    let Some(host) = Host::new() else { return };
    let service = host.ordered("hang", "pass");
    let mut run = host.start(&service, "alice", SHORT);
    let grandchild = told_process(&mut run).await;
    let late = PamStep::Failed(PamFailure::TimedOut { limit: SHORT });
    assert_eq!(run.next().await, late);
    let ended = tokio::time::timeout(PATIENCE, grandchild.exited()).await;
    ended.expect("it still runs").unwrap();
}

#[tokio::test]
async fn a_module_that_hangs_for_one_user_keeps_nobody_else_waiting() {
    let Some(host) = Host::new() else { return };
    let hang = host.module("hang");
    let hangs = host.service("stile-hang", &format!("auth required {hang}"));
    let mut hanging = host.ask(&hangs, "bob");
    let grandchild = told_process(&mut hanging).await;
    let mut run = host.ask(&host.password(""), "alice");
    let _ = answer(&mut run, "secret").await;
    assert!(matches!(run.next().await, PamStep::Passed(_)));
    assert!(grandchild.is_alive());
}
