// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What modules ask, and what comes of the answer.

use stile::verify::pam::{PamFailure, PamStep};

use crate::host::{Host, answer};

fn asks(text: &str, secret: bool) -> PamStep {
    let text = text.to_owned();
    PamStep::Ask { text, secret }
}

#[tokio::test]
async fn the_right_password_passes_and_names_user_and_service() {
    let Some(host) = Host::new() else { return };
    let service = host.password("");
    let mut run = host.ask(&service, "alice");
    let asked = answer(&mut run, "secret").await;
    assert_eq!(asked, asks("Password:", true));
    let PamStep::Passed(passed) = run.next().await else {
        panic!("it didn't pass");
    };
    assert_eq!((passed.user(), passed.service()), ("alice", &service));
}

#[tokio::test]
async fn a_wrong_password_or_an_unknown_user_fails_and_counts() {
    let Some(host) = Host::new() else { return };
    let service = host.password("");
    for (user, password) in [("alice", "wrong"), ("alice", ""), ("bob", "secret")] {
        let mut run = host.ask(&service, user);
        let _ = answer(&mut run, password).await;
        let PamStep::Failed(failure) = run.next().await else {
            panic!("{user} passed with {password:?}");
        };
        assert!(matches!(failure, PamFailure::Wrong { .. }), "{failure}");
        assert!(failure.is_wrong_answer());
    }
}

#[tokio::test]
async fn a_right_password_is_not_enough_for_an_account_that_may_not() {
    let Some(host) = Host::new() else { return };
    let service = host.password("");
    let mut run = host.ask(&service, "carol");
    let _ = answer(&mut run, "secret").await;
    let PamStep::Failed(failure) = run.next().await else {
        panic!("carol passed");
    };
    assert!(matches!(failure, PamFailure::Account { .. }), "{failure}");
    assert!(!failure.is_wrong_answer());
}

#[tokio::test]
async fn two_questions_are_put_one_after_the_other() {
    let Some(host) = Host::new() else { return };
    // The first shows what is typed, the second doesn't.
    let first = host.password("echo");
    let lines = std::fs::read_to_string(host.path(&format!("pam.d/{first}"))).unwrap();
    let (auth, account) = lines.split_once('\n').unwrap();
    let second = auth.replace(" echo", "");
    let service = host.service("stile-test", &format!("{auth}\n{second}\n{account}"));
    for (password, passes) in [("secret", true), ("wrong", false)] {
        let mut run = host.ask(&service, "alice");
        assert_eq!(answer(&mut run, "secret").await, asks("Password:", false));
        assert_eq!(answer(&mut run, password).await, asks("Password:", true));
        let last = run.next().await;
        assert_eq!(matches!(last, PamStep::Passed(_)), passes, "{last:?}");
    }
}

#[tokio::test]
async fn what_a_program_of_pam_exec_prints_is_told_and_is_no_verdict() {
    let Some(host) = Host::new() else { return };
    let program = host.path("program");
    let line = r#"{"passed":{}}"#;
    std::fs::write(&program, format!("echo '{line}'; exit 1\n")).unwrap();
    let exec = format!("pam_exec.so quiet stdout /bin/sh {}", program.display());
    let service = host.service("stile-test", &format!("auth required {exec}"));
    let (told, failure) = host.told(&service).await;
    assert_eq!(told, [line]);
    assert!(
        matches!(failure, Some(PamFailure::Broken { .. })),
        "{failure:?}"
    );
}

/// What PAM itself does without a file, which the agent asks for before.
#[tokio::test]
async fn a_service_without_account_modules_does_not_let_anybody_in() {
    let Some(host) = Host::new() else { return };
    let auth = host.module("pass");
    let service = host.service("stile-test", &format!("auth required {auth}"));
    assert!(host.told(&service).await.1.is_some());
}

/// It denies until an administrator has chosen.
#[tokio::test]
async fn the_example_of_a_service_file_lets_nobody_in() {
    let Some(host) = Host::new() else { return };
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/pam.d/stile-stepup"
    );
    let lines = std::fs::read_to_string(example).unwrap();
    let service = host.service("stile-stepup", &lines);
    let failure = host.refused(&service).await;
    assert!(matches!(failure, PamFailure::Wrong { .. }), "{failure}");
}
