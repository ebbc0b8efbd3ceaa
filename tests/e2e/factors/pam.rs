// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Services of PAM, with the real libpam: what they are worth, and what rules ask for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stile_tests::{ALICE, BOB, Host, Running, Said, Terminal, cannot_run, program, until};

use crate::pam_failures::failed_once;
use crate::scene::{alarms, gdbus, import, outcomes, waiting};

const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// A service of a test's own. It asks for a password, which is not what a second factor should be,
/// but what a test can type.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) factor: String,
}

impl Service {
    /// `None` where pam_matrix isn't installed, which is then said.
    pub(crate) fn new(number: u32) -> Option<Self> {
        let module = |folder: &&str| Path::new(folder).join("pam_wrapper/pam_matrix.so");
        let mut modules = FOLDERS.iter().map(module);
        let Some(matrix) = modules.find(|path| path.exists()) else {
            cannot_run("libpam-wrapper isn't installed");
            return None;
        };
        let name = format!("stile-e2e-{number}");
        let passwords = Path::new("/etc").join(format!("{name}-passwords"));
        fs::write(&passwords, format!("alice:sesame:{name}\n")).unwrap();
        let line = format!(
            "required {} passdb={}",
            matrix.display(),
            passwords.display()
        );
        let factor = format!("pam:{name}");
        let service = Self { name, factor };
        service.write(&format!("auth {line}\naccount {line}\n"));
        Some(service)
    }

    /// Writes the service's file; `/etc` is the sandbox's own.
    pub(crate) fn write(&self, lines: &str) {
        let path = Path::new("/etc/pam.d").join(&self.name);
        fs::write(&path, lines).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// A host that has it, with this in its settings, and whose rule says this of proof; `PAM`
    /// stands for the factor.
    pub(crate) fn host(&self, proof: &str, setting: &str) -> Host {
        self.host_with(&program("stile-pam"), proof, setting)
    }

    /// The same, whose agent asks PAM by this program.
    pub(crate) fn host_with(&self, helper: &Path, proof: &str, setting: &str) -> Host {
        let proof = proof.replace("PAM", &self.factor);
        let policy = format!(
            r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
ttl = "15m"
{proof}
"#
        );
        let settings = format!(
            "lock_after = 5\npam_helper = {:?}\n\n[[pam]]\nservice = {:?}\n{setting}\n",
            helper, self.name,
        );
        Host::builder().policy(&policy).settings(&settings).build()
    }

    /// Answers the only challenge of alice's with what PAM asks.
    #[track_caller]
    pub(crate) fn answer(&self, host: &Host, password: &str) -> Said {
        let arguments = ["approve", "--stdin", "--json", "--factor", &self.factor];
        host.stile_typing(ALICE, &arguments, password)
    }
}

#[test]
fn what_pam_takes_opens_a_connection_and_what_it_refuses_counts() {
    let proof = "factors = [\"PAM\"]";
    let Some(service) = Service::new(1) else {
        return;
    };
    let host = service.host(proof, "assurance = 2");
    let mut client = waiting(&host);
    service.answer(&host, "wrong").failed(1, "wrong code");
    client.still_waits();
    let said = service.answer(&host, "sesame");
    assert_eq!(said.succeeded().json()["released"], 1);
    client.connected();
    client.talks();
    assert_eq!(outcomes(&host), ["wrong", "accepted"]);
    let grant = &host.grants(ALICE)[0];
    assert_eq!(grant["factor"], service.factor);
    let audit = fs::read_to_string(host.audit().path()).unwrap();
    assert!(!audit.contains("sesame") && !host.log().contains("sesame"));
}

#[test]
fn where_no_code_will_do_the_terminal_is_asked_what_pam_asks() {
    let proof = "factors = [\"PAM\"]";
    let Some(service) = Service::new(2) else {
        return;
    };
    let host = service.host(proof, "assurance = 2");
    let client = waiting(&host);
    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &program("stile"));
    let approving = Running::start(command.arg("approve"));
    terminal.type_at_nth(1, "Password:", "sesame");
    assert!(approving.output().status.success());
    client.connected();
    let shown = terminal.shows("Password:");
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn two_factors_are_each_asked_for_and_neither_is_enough() {
    let proof = "all = [\"totp\", \"PAM\"]";
    let Some(service) = Service::new(3) else {
        return;
    };
    let host = service.host(proof, "assurance = 2");
    let token = import(&host, "token");
    let mut client = waiting(&host);
    let said = host.answer(ALICE, None, &token.fresh_code());
    said.failed(1, "also asks for");
    assert_eq!(said.json()["factors"][0], service.factor);
    client.still_waits();
    assert!(host.grants(ALICE).is_empty());
    // A further code is no other factor, and isn't used up.
    code(&host, &token.fresh_code()).failed(1, "doesn't help here");
    client.still_waits();
    service.answer(&host, "sesame").succeeded();
    client.connected();
    client.talks();
    assert_eq!(outcomes(&host), ["accepted", "accepted"]);
}

#[test]
fn in_the_other_order_two_factors_are_as_good_and_the_terminal_asks_for_both() {
    let proof = "all = [\"totp\", \"PAM\"]";
    let Some(service) = Service::new(4) else {
        return;
    };
    let host = service.host(proof, "");
    let token = import(&host, "token");
    let client = waiting(&host);
    service
        .answer(&host, "sesame")
        .failed(1, "also asks for totp");
    client.still_waits();
    host.answer(ALICE, None, &token.fresh_code()).succeeded();
    client.connected();
}

#[test]
fn a_level_takes_what_is_worth_so_much_and_no_code() {
    let Some(service) = Service::new(5) else {
        return;
    };
    let host = service.host("assurance = 2", "assurance = 2");
    let token = import(&host, "token");
    let client = waiting(&host);
    let pending = &host.pending(ALICE)[0];
    assert_eq!(
        pending["factors"],
        serde_json::json!([service.factor.as_str()])
    );
    code(&host, &token.fresh_code()).failed(1, "totp doesn't help here");
    client.still_waits();
    service.answer(&host, "sesame").succeeded();
    client.connected();
}

#[test]
fn a_factor_that_is_worth_no_more_is_not_taken_for_another() {
    let Some(service) = Service::new(6) else {
        return;
    };
    let host = service.host("factors = [\"totp\"]", "assurance = 1");
    let client = waiting(&host);
    service
        .answer(&host, "sesame")
        .failed(1, "doesn't help here");
    client.still_waits();
}

#[test]
fn a_stronger_factor_meets_a_weaker_rule_and_ends_a_lock_out() {
    let Some(service) = Service::new(7) else {
        return;
    };
    let host = service.host("factors = [\"totp\"]", "assurance = 2");
    let token = import(&host, "token");
    let client = waiting(&host);
    for _ in 0..3 {
        host.answer(ALICE, None, &token.wrong_code())
            .failed(1, "wrong code");
    }
    host.answer(ALICE, None, &token.fresh_code())
        .failed(1, "too many wrong");
    service.answer(&host, "sesame").succeeded();
    client.connected();
    let factors = host.factors(ALICE);
    assert_eq!(factors[0]["failures"], 0);
}

#[test]
fn wrong_answers_are_throttled_and_locked_out_by_themselves() {
    let proof = "factors = [\"totp\", \"PAM\"]";
    let Some(service) = Service::new(8) else {
        return;
    };
    let host = service.host(proof, "");
    let token = import(&host, "token");
    let client = waiting(&host);
    for _ in 0..3 {
        service.answer(&host, "wrong").failed(1, "wrong code");
    }
    service.answer(&host, "sesame").failed(1, "too many wrong");
    client.still_waits();
    assert!(alarms(&host).is_empty());
    host.answer(ALICE, None, &token.fresh_code()).succeeded();
    client.connected();
}

#[test]
fn a_proof_is_given_beforehand_by_pam_as_well() {
    let proof = "all = [\"totp\", \"PAM\"]\nrealm = \"prod\"";
    let Some(service) = Service::new(9) else {
        return;
    };
    let host = service.host(proof, "assurance = 2");
    let token = import(&host, "token");
    let arguments = ["elevate", "prod", "--stdin", "--json"];
    let said = host.stile_typing(ALICE, &arguments, &token.fresh_code());
    said.failed(1, "also asks for");
    let arguments = [
        "elevate",
        "prod",
        "--stdin",
        "--json",
        "--factor",
        &service.factor,
    ];
    host.stile_typing(ALICE, &arguments, "sesame").succeeded();
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
}

#[test]
fn a_module_that_hangs_keeps_nobody_else_waiting_and_is_ended() {
    let proof = "factors = [\"totp\", \"PAM\"]";
    let Some(service) = Service::new(10) else {
        return;
    };
    let host = service.host(proof, "timeout = \"5s\"");
    // No other process of this machine sleeps so long.
    let sleep = format!("sleep 1000.{}", std::process::id());
    let hanging = Path::new("/etc/stile-e2e-hang");
    fs::write(hanging, format!("#!/bin/sh\nexec {sleep}\n")).unwrap();
    fs::set_permissions(hanging, PermissionsExt::from_mode(0o755)).unwrap();
    service.write(&format!(
        "auth required pam_exec.so {}\naccount required pam_permit.so\n",
        hanging.display()
    ));
    let token = host.enroll(BOB);
    let client = waiting(&host);
    let other = host.connect(BOB);
    host.wait_for_challenge(BOB);
    let mut command = host.as_user(ALICE, program("stile"));
    command.args(["approve", "--stdin", "--factor", &service.factor]);
    let mut asking = Running::start(command.stdin(std::process::Stdio::piped()));
    until("the module hangs", || is_running(&sleep).then_some(()));
    host.approve(BOB, &token);
    other.connected();
    assert!(asking.child().try_wait().unwrap().is_none());
    let said = Said::from(asking.output());
    said.failed(1, "had not answered after 5 s");
    until("the module has ended", || {
        (!is_running(&sleep)).then_some(())
    });
    client.still_waits();
    failed_once(&host, &service, "timed-out", "had not answered after 5 s");
}

#[test]
fn where_a_service_is_not_set_up_its_rule_refuses_at_once() {
    let Some(service) = Service::new(11) else {
        return;
    };
    let host = service.host("factors = [\"pam:stile-e2e-absent\"]", "");
    let client = host.connect(ALICE);
    client.refused();
    let records = host.audit().records();
    let decision = records.of("decision")[0];
    let reason = decision["reason"].as_str().unwrap();
    assert!(reason.contains("this host has no factor"), "{decision}");
    assert!(host.pending(ALICE).is_empty());
}

#[test]
fn without_its_file_a_service_is_not_asked() {
    let Some(service) = Service::new(13) else {
        return;
    };
    let host = service.host("factors = [\"PAM\"]", "");
    let client = waiting(&host);
    fs::remove_file(Path::new("/etc/pam.d").join(&service.name)).unwrap();
    let said = service.answer(&host, "sesame");
    said.failed(1, "can't use the PAM service file");
    client.still_waits();
    failed_once(&host, &service, "service-file", &service.name);
}

#[test]
fn nobody_else_goes_on_with_a_conversation() {
    let proof = "factors = [\"PAM\"]";
    let Some(service) = Service::new(12) else {
        return;
    };
    let host = service.host(proof, "");
    let client = waiting(&host);
    let challenge = host.pending(ALICE)[0]["id"].as_u64().unwrap();
    let what = format!("{{'challenge': <uint64 {challenge}>}}");
    let begin = |user| {
        let arguments = [what.as_str(), service.factor.as_str()];
        gdbus(&host, user, "org.stile.Proofs1.Begin", &arguments)
    };
    let Some(begun) = begin(BOB) else { return };
    begun.failed(1, "no such challenge");
    let Some(begun) = begin(ALICE) else { return };
    assert!(begun.succeeded().stdout.contains("Password"), "{begun:?}");
    let arguments = ["1", "sesame"];
    let answered = gdbus(&host, BOB, "org.stile.Proofs1.Respond", &arguments);
    answered.unwrap().failed(1, "no such conversation");
    client.still_waits();
}

/// Answers the only challenge of alice's with a code, whatever it asks for.
#[track_caller]
fn code(host: &Host, code: &str) -> Said {
    let arguments = ["approve", "--stdin", "--json", "--factor", "totp"];
    host.stile_typing(ALICE, &arguments, code)
}

/// True if a process of this machine runs this.
fn is_running(line: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|words| String::from_utf8_lossy(&words).replace('\0', " ").trim() == line)
}
