// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes of everything that a `stile-pam` could do, with scripts in its place. How the real
//! one speaks with PAM is tried in its own crate.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::message::shown;
use super::protocol::{MAX_ANSWER, MAX_LINE, MAX_MESSAGES, MAX_TEXT};
use super::*;
use crate::sys::pidfd::PidFd;

/// Long, for a busy machine: only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What only the tests of time-outs wait for.
const SHORT: Duration = Duration::from_millis(300);
const PASSED: &str = r#"echo '{"passed":{}}'"#;
const ASK: &str = r#"echo '{"ask":{"text":"Password: ","secret":true}}'"#;

/// A host with a service, and with a script as `stile-pam`.
struct Pam {
    folder: TempDir,
    runs: PamRuns,
}

impl Pam {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let helper = folder.path().join("stile-pam");
        let text = folder.path().join("script");
        fs::write(&text, format!("#!/bin/sh\nexec 2>/dev/null\n{script}\n")).unwrap();
        // By another process: while this one has a program open to write, and forks, nobody can
        // run it (ETXTBSY).
        let mut install = std::process::Command::new("install");
        let installed = install.args(["-m", "0755"]).args([&text, &helper]).status();
        assert!(installed.unwrap().success());
        let services = folder.path().join("pam.d");
        fs::create_dir(&services).unwrap();
        fs::write(services.join("stile-test"), "auth required pam_deny.so\n").unwrap();
        fs::set_permissions(&services, PermissionsExt::from_mode(0o755)).unwrap();
        let runs = PamRuns::new(&helper, &services);
        Self { folder, runs }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("pam.d/stile-test")
    }

    fn start(&self, user: &str, limit: Duration) -> Result<PamRun, StartError> {
        self.runs.start(&service(), user, limit)
    }

    fn run(&self) -> PamRun {
        self.start("alice", PATIENCE).unwrap()
    }
}

fn service() -> PamService {
    PamService::new("stile-test").unwrap()
}

fn asks() -> PamStep {
    PamStep::Ask {
        text: "Password:".to_owned(),
        secret: true,
    }
}

/// How a run ends that asks nothing.
async fn end_of(script: &str) -> PamStep {
    let pam = Pam::new(script);
    let mut run = pam.run();
    loop {
        match run.next().await {
            PamStep::Tell { .. } => {}
            last => return last,
        }
    }
}

async fn failure_of(script: &str) -> PamFailure {
    match end_of(script).await {
        PamStep::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// A process that a script has started, once it has said which.
async fn told_process(run: &mut PamRun) -> PidFd {
    let PamStep::Tell { text, .. } = run.next().await else {
        panic!("no process was told");
    };
    PidFd::open(text.parse().unwrap()).unwrap()
}

async fn ends(process: &PidFd) {
    let ended = tokio::time::timeout(PATIENCE, process.exited()).await;
    ended.expect("the process was not ended").unwrap();
}

#[tokio::test]
async fn a_yes_and_a_good_end_are_the_proof() {
    let pam = Pam::new(&format!(
        "{ASK}; read -r a; [ \"$a\" = '{{\"answer\":\"se\\\"cret\"}}' ] && \
         [ \"$1 $2 $#\" = 'stile-test alice 2' ] && {PASSED}"
    ));
    let mut run = pam.run();
    assert_eq!(run.next().await, asks());
    run.respond(Zeroizing::new("se\"cret".to_owned()))
        .await
        .unwrap();
    let PamStep::Passed(passed) = run.next().await else {
        panic!("it didn't pass");
    };
    assert_eq!((passed.user(), passed.service()), ("alice", &service()));
    assert_eq!(run.next().await, PamStep::Failed(PamFailure::Over));
}

#[tokio::test]
async fn a_yes_counts_only_with_nothing_after_it() {
    for (script, what) in [
        (format!("{PASSED}; exit 1"), "ended badly (exit status: 1)"),
        (
            format!("{PASSED}; kill -SEGV $$"),
            "ended badly (signal: 11 (SIGSEGV) (core dumped))",
        ),
        (format!("{PASSED}; {PASSED}"), "said more"),
        (format!("{PASSED}; printf x"), "said more"),
    ] {
        let failure = failure_of(&script).await;
        let PamFailure::Unconfirmed { what: found } = failure else {
            panic!("{script}: {failure:?}");
        };
        assert_eq!(
            found.replace(" (core dumped)", ""),
            what.replace(" (core dumped)", "")
        );
    }
}

#[tokio::test]
async fn without_a_yes_nobody_passes() {
    assert_eq!(failure_of("true").await, PamFailure::NoVerdict { code: 0 });
    assert_eq!(
        failure_of("exit 7").await,
        PamFailure::NoVerdict { code: 7 }
    );
    assert_eq!(failure_of("exit 2").await, PamFailure::Unable);
    assert_eq!(
        failure_of("kill -SEGV $$").await,
        PamFailure::Crashed { signal: 11 }
    );
    let refused = r#"echo '{"failed":{"kind":"unavailable","text":"no\u001b[2J reader"}}'"#;
    assert_eq!(
        failure_of(refused).await,
        PamFailure::Unavailable {
            text: "no\\x1b[2J reader".to_owned()
        }
    );
}

#[tokio::test]
async fn what_is_no_message_ends_the_run() {
    let long = MAX_LINE + 10_000;
    let text = MAX_TEXT + 1;
    for (script, what) in [
        ("echo hello".to_owned(), "not of the protocol"),
        (
            r#"echo '{"passed":{},"x":1}'"#.to_owned(),
            "not of the protocol",
        ),
        (r#"echo '"passed"'"#.to_owned(), "not of the protocol"),
        (r#"printf '{"passed":{}}'"#.to_owned(), "half a line"),
        (format!("head -c {long} /dev/zero"), "a line without an end"),
        (
            format!(
                r#"printf '{{"tell":{{"error":false,"text":"'; head -c {text} /dev/zero | tr '\0' x; echo '"}}}}'"#
            ),
            "a text that is too long",
        ),
    ] {
        let script = format!("{script}; {PASSED}; read a");
        let failure = failure_of(&script).await;
        if what == "half a line" {
            // Two messages in one line.
            assert!(matches!(failure, PamFailure::Garbled { .. }), "{failure:?}");
        } else {
            assert_eq!(failure, PamFailure::Garbled { what }, "{script}");
        }
    }
}

#[tokio::test]
async fn a_module_that_talks_without_end_is_stopped() {
    let talk = r#"echo '{"tell":{"text":"x","error":false}}'"#;
    let enough = format!("for i in $(seq {MAX_MESSAGES}); do {talk}; done; {PASSED}");
    assert!(matches!(end_of(&enough).await, PamStep::Passed(_)));
    let pam = Pam::new(&format!("while :; do {talk}; done"));
    let mut run = pam.run();
    for _ in 0..=MAX_MESSAGES {
        let told = run.next().await;
        assert!(matches!(told, PamStep::Tell { .. }), "{told:?}");
    }
    assert_eq!(run.next().await, PamStep::Failed(PamFailure::TooMuch));
}

#[tokio::test]
async fn a_helper_that_goes_while_the_person_thinks_fails_the_run() {
    let pam = Pam::new(&format!("{ASK}; kill -KILL $$"));
    let mut run = pam.run();
    assert_eq!(run.next().await, asks());
    let crashed = PamStep::Failed(PamFailure::Crashed { signal: 9 });
    assert_eq!(run.next().await, crashed);

    let pam = Pam::new(&format!("{ASK}; {PASSED}; read a"));
    let mut run = pam.run();
    assert_eq!(run.next().await, asks());
    let what = "more before its question was answered";
    assert_eq!(
        run.next().await,
        PamStep::Failed(PamFailure::Garbled { what })
    );
}

#[tokio::test]
async fn only_a_question_takes_an_answer_and_only_what_pam_can_take() {
    let pam = Pam::new(&format!("{ASK}; read a; {PASSED}"));
    let mut run = pam.run();
    let answer = |text: &str| Zeroizing::new(text.to_owned());
    let early = run.respond(answer("a")).await;
    assert_eq!(early, Err(RespondError::NothingAsked));
    assert_eq!(run.next().await, asks());
    let with_nul = run.respond(answer("a\0b")).await;
    assert_eq!(with_nul, Err(RespondError::NoAnswer));
    let long = run.respond(answer(&"x".repeat(MAX_ANSWER + 1))).await;
    assert_eq!(long, Err(RespondError::NoAnswer));
    run.respond(answer(&"\u{1}".repeat(MAX_ANSWER)))
        .await
        .unwrap();
    let twice = run.respond(answer("a")).await;
    assert_eq!(twice, Err(RespondError::NothingAsked));
    assert!(matches!(run.next().await, PamStep::Passed(_)));
}

/// A script that starts a program which ignores its end, tells which, and hangs. The program has
/// none of its pipes, whose end would end some.
const FAMILY: &str = r#"sh -c 'trap "" TERM HUP; exec sleep 1000' >/dev/null &
    echo '{"tell":{"text":"'$!'","error":false}}'; wait"#;

#[tokio::test]
async fn at_the_deadline_all_that_runs_is_ended_though_nobody_waits() {
    let pam = Pam::new(FAMILY);
    let mut run = pam.start("alice", SHORT).unwrap();
    let grandchild = told_process(&mut run).await;
    // Nobody asks the run for anything.
    ends(&grandchild).await;
    let late = PamStep::Failed(PamFailure::TimedOut { limit: SHORT });
    assert_eq!(run.next().await, late);
}

#[tokio::test]
async fn a_dropped_run_ends_all_that_it_has_started() {
    let pam = Pam::new(FAMILY);
    let mut run = pam.run();
    let grandchild = told_process(&mut run).await;
    drop(run);
    ends(&grandchild).await;
}

#[tokio::test]
async fn what_a_module_leaves_behind_ends_with_the_verdict_and_cannot_hold_it_up() {
    // It keeps the pipe open.
    let pam = Pam::new(&format!(
        r#"sleep 1000 & echo '{{"tell":{{"text":"'$!'","error":false}}}}'; {PASSED}"#
    ));
    let mut run = pam.run();
    let left = told_process(&mut run).await;
    assert!(matches!(run.next().await, PamStep::Passed(_)));
    ends(&left).await;
}

#[tokio::test]
async fn the_helper_has_a_clean_environment_and_leads_a_session() {
    let tell = r#"echo '{"tell":{"text":"'$(env | grep -v ^_= | grep -v ^SHLVL= | grep -v ^OLDPWD= | sort | tr '\n' ' ')'","error":false}}'"#;
    let ids = r#"echo '{"tell":{"text":"'$$ $(cut -d' ' -f5,6 /proc/$$/stat)'","error":false}}'"#;
    let pam = Pam::new(&format!("{tell}; {ids}"));
    let mut run = pam.run();
    let PamStep::Tell { text, .. } = run.next().await else {
        panic!("it told nothing");
    };
    assert_eq!(text, "PATH=/usr/sbin:/usr/bin:/sbin:/bin PWD=/");
    let PamStep::Tell { text, .. } = run.next().await else {
        panic!("it told nothing");
    };
    let ids: Vec<&str> = text.split(' ').collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{text}");
}

#[tokio::test]
async fn a_user_is_asked_once_at_a_time_and_sixteen_in_all() {
    let pam = Pam::new("sleep 1000");
    let first = pam.run();
    let again = pam.start("alice", PATIENCE).unwrap_err();
    assert!(matches!(again, StartError::Busy), "{again}");
    let others: Vec<PamRun> = (1..MAX_RUNS)
        .map(|n| pam.start(&format!("user{n}"), PATIENCE).unwrap())
        .collect();
    let full = pam.start("bob", PATIENCE).unwrap_err();
    assert!(matches!(full, StartError::Full), "{full}");
    drop(first);
    drop(pam.start("bob", PATIENCE).unwrap());
    drop(others);
}

#[tokio::test]
async fn a_hang_of_one_user_delays_nobody_else() {
    let pam = Pam::new(&format!("[ $2 = bob ] || sleep 1000; {PASSED}"));
    let _hangs = pam.run();
    let mut run = pam.start("bob", PATIENCE).unwrap();
    assert!(matches!(run.next().await, PamStep::Passed(_)));
}

#[tokio::test]
async fn a_service_file_that_is_missing_or_not_roots_alone_is_refused() {
    let pam = Pam::new(PASSED);
    let refused = |what: &str| {
        let error = pam.start("alice", PATIENCE).unwrap_err();
        assert!(matches!(error, StartError::Service(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    let file = pam.file();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let chown = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None).unwrap();
    drop(pam.run());

    for writable in [0o664, 0o646] {
        mode(&file, writable);
        refused("chmod go-w");
    }
    mode(&file, 0o644);
    chown(&file, 42001);
    refused("chown root");
    chown(&file, 0);
    let folder = file.parent().unwrap();
    mode(folder, 0o777);
    refused("pam.d, so it");
    mode(folder, 0o755);
    drop(pam.run());

    let other = folder.join("stile-other");
    fs::rename(&file, &other).unwrap();
    refused("would take its service");
    symlink(&other, &file).unwrap();
    refused("no regular file");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("no regular file");
}

#[tokio::test]
async fn a_name_that_is_a_path_or_an_option_is_nobodys() {
    let pam = Pam::new(PASSED);
    for user in ["", ".", "..", "a/b", "-x", "a\nb", "a\0b", &"x".repeat(257)] {
        let error = pam.start(user, PATIENCE).unwrap_err();
        assert!(matches!(error, StartError::User(_)), "{user:?}: {error}");
    }
    for user in ["alice", "EXAMPLE\\alice", "alice@example.org", "müller"] {
        drop(pam.start(user, PATIENCE).unwrap());
    }
}

#[tokio::test]
async fn a_helper_that_is_not_installed_is_named() {
    let pam = Pam::new(PASSED);
    fs::remove_file(pam.folder.path().join("stile-pam")).unwrap();
    let error = pam.start("alice", PATIENCE).unwrap_err().to_string();
    assert!(error.contains("stile-pam: No such file"), "{error}");
    // It has kept no place.
    let error = pam.start("alice", PATIENCE).unwrap_err();
    assert!(matches!(error, StartError::Start { .. }), "{error}");
}

#[test]
fn only_a_service_that_was_made_for_stile_is_one() {
    for name in ["stile", "stile-stepup", "stile-u2f.v2", "stile-a_1"] {
        assert_eq!(PamService::new(name).unwrap().to_string(), name);
    }
    for name in [
        "..",
        "other",
        "login",
        "sudo",
        "common-auth",
        "stiled",
        "stile-",
        "stile.",
    ] {
        assert_eq!(
            PamService::new(name),
            Err(ServiceNameError::NotOwn),
            "{name}"
        );
    }
    let long = format!("stile-{}", "x".repeat(250));
    for name in [
        "",
        "/",
        "stile-/x",
        "stile-../x",
        "stile-X",
        "stile-ü",
        "stile-\n",
        &long,
    ] {
        assert_eq!(
            PamService::new(name),
            Err(ServiceNameError::NotAName),
            "{name:?}"
        );
    }
}

#[test]
fn people_see_the_lines_of_a_text_and_nothing_that_moves_a_cursor() {
    assert_eq!(shown("  Password: \n"), "Password:");
    assert_eq!(
        shown("a\r\n\n\tb \u{1b}[2J\u{202e}c"),
        "a\n\n b \\x1b[2J\\u{202e}c"
    );
    assert_eq!(shown(&"x\n".repeat(100)).lines().count(), 40);
    assert_eq!(shown(&"x".repeat(4000)).chars().count(), 400);
}
