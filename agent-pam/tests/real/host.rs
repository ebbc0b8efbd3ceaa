// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A host with PAM services of its own, for one test.
//!
//! libpam and its modules are the real ones; pam_wrapper only tells libpam another folder of
//! services. The script that loads it is what the agent takes for `stile-pam`. pam_wrapper
//! leaves a folder in /tmp if it is killed, so each has a /tmp of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stile::verify::pam::{PamFailure, PamRun, PamRuns, PamService, PamStep};
use stile_tests::cannot_run;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Long, for a busy machine: only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

pub(crate) struct Host {
    folder: TempDir,
    libraries: PathBuf,
    runs: PamRuns,
}

impl Host {
    /// `None` where pam_wrapper isn't installed, which is then said.
    pub(crate) fn new() -> Option<Self> {
        let is_there = |folder: &&&str| Path::new(folder).join("libpam_wrapper.so").exists();
        let Some(libraries) = LIBRARIES.iter().find(is_there) else {
            cannot_run("libpam-wrapper isn't installed");
            return None;
        };
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let services = folder.path().join("pam.d");
        fs::create_dir(&services).unwrap();
        fs::set_permissions(&services, PermissionsExt::from_mode(0o755)).unwrap();
        let script = folder.path().join("script");
        let text = format!(
            r#"#!/bin/sh
            exec 7</dev/null 2>>'{folder}/log'
            exec unshare --mount sh -c 'mount -t tmpfs tmpfs /tmp || exit 2
                export LD_PRELOAD={libraries}/libpam_wrapper.so PAM_WRAPPER=1
                export PAM_WRAPPER_SERVICE_DIR="{folder}/pam.d"
                exec "{stile_pam}" "$@"' sh "$@""#,
            folder = folder.path().display(),
            stile_pam = env!("CARGO_BIN_EXE_stile-pam"),
        );
        fs::write(&script, text).unwrap();
        // By another process: while this one has a program open to write, and forks, nobody can
        // run it (ETXTBSY).
        let helper = folder.path().join("stile-pam");
        let mut install = Command::new("install");
        let installed = install
            .args(["-m", "0755"])
            .args([&script, &helper])
            .status();
        assert!(installed.unwrap().success());
        let runs = PamRuns::new(&helper, &services);
        Some(Self {
            folder,
            libraries: libraries.into(),
            runs,
        })
    }

    /// A path in the folder of this host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a service with these lines.
    pub(crate) fn service(&self, name: &str, lines: &str) -> PamService {
        let path = self.folder.path().join("pam.d").join(name);
        fs::write(&path, format!("{lines}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        PamService::new(name).unwrap()
    }

    /// A service that asks for the password of `alice`, which is `secret`, with pam_matrix.
    pub(crate) fn password(&self, options: &str) -> PamService {
        let passwords = self.folder.path().join("passwords");
        fs::write(&passwords, "alice:secret:stile-test\ncarol:secret:sshd\n").unwrap();
        let matrix = self.libraries.join("pam_wrapper/pam_matrix.so");
        let line = format!(
            "{} passdb={} {options}",
            matrix.display(),
            passwords.display()
        );
        let lines = format!("auth required {line}\naccount required {line}");
        self.service("stile-test", &lines)
    }

    /// The line of a service file that gives the module of these tests an order.
    pub(crate) fn module(&self, order: &str) -> String {
        let module = self.folder.path().join("module.so");
        if !module.exists() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/module.c");
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]);
            let built = cc.arg(&module).arg(source).status();
            assert!(built.unwrap().success(), "the module was not built");
        }
        format!("{} {order}", module.display())
    }

    /// A service whose only modules are that of these tests, with these orders.
    pub(crate) fn ordered(&self, auth: &str, account: &str) -> PamService {
        let (auth, account) = (self.module(auth), self.module(account));
        let lines = format!("auth required {auth}\naccount required {account}");
        self.service("stile-test", &lines)
    }

    pub(crate) fn ask(&self, service: &PamService, user: &str) -> PamRun {
        self.start(service, user, PATIENCE)
    }

    pub(crate) fn start(&self, service: &PamService, user: &str, limit: Duration) -> PamRun {
        self.runs.start(service, user, limit).unwrap()
    }

    /// What a run that asks nothing told, and why it failed; `None` if it passed.
    pub(crate) async fn told(&self, service: &PamService) -> (Vec<String>, Option<PamFailure>) {
        let mut run = self.ask(service, "alice");
        let mut told = Vec::new();
        loop {
            match run.next().await {
                PamStep::Tell { text, .. } => told.push(text),
                PamStep::Ask { text, .. } => panic!("it asked {text:?}"),
                PamStep::Passed(_) => return (told, None),
                PamStep::Failed(failure) => return (told, Some(failure)),
            }
        }
    }

    /// Why a run failed that asks nothing.
    pub(crate) async fn refused(&self, service: &PamService) -> PamFailure {
        self.told(service).await.1.expect("it passed")
    }
}

/// Answers the question that comes next.
pub(crate) async fn answer(run: &mut PamRun, answer: &str) -> PamStep {
    let asked = run.next().await;
    assert!(matches!(asked, PamStep::Ask { .. }), "{asked:?}");
    let answered = run.respond(Zeroizing::new(answer.to_owned())).await;
    answered.unwrap();
    asked
}
