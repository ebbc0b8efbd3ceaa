// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PAM that can't tell who somebody is: that speaks against the host, and is written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stile_tests::{ALICE, Host, program};

use crate::pam::Service;
use crate::scene::waiting;

const PROOF: &str = "factors = [\"PAM\"]";

/// Asserts that the only thing that the log has of this service is that it could not tell, for
/// this reason; that it was counted; and that it was no try.
#[track_caller]
pub(crate) fn failed_once(host: &Host, service: &Service, fault: &str, why: &str) {
    let records = host.audit().records();
    let [record] = records.of("factor-failed")[..] else {
        panic!("one failure: {:?}", records.of("factor-failed"));
    };
    assert_eq!(record["fault"], fault, "{record}");
    assert_eq!(record["service"], service.name, "{record}");
    assert_eq!(record["factor"], service.factor, "{record}");
    assert_eq!(record["subject"]["user"], "alice", "{record}");
    assert!(record["challenge"].is_u64(), "{record}");
    assert!(record["why"].as_str().unwrap().contains(why), "{record}");
    assert_eq!(host.faults(&["factor-failed"]), 1);
    let tried = records.of("factor").into_iter();
    assert_eq!(tried.filter(|it| it["factor"] == service.factor).count(), 0);
    assert!(host.grants(ALICE).is_empty());
}

#[test]
fn a_module_that_crashes_is_written_down_and_is_no_try() {
    let Some(service) = Service::new(14) else {
        return;
    };
    let host = service.host(PROOF, "");
    let crashing = Path::new("/etc/stile-e2e-crash");
    // What pam_exec starts is a child of the process that has the modules.
    fs::write(crashing, "#!/bin/sh\nkill -ABRT $PPID\n").unwrap();
    fs::set_permissions(crashing, PermissionsExt::from_mode(0o755)).unwrap();
    service.write(&format!(
        "auth required pam_exec.so {}\naccount required pam_permit.so\n",
        crashing.display()
    ));
    let client = waiting(&host);
    let said = service.answer(&host, "sesame");
    said.failed(1, "a PAM module crashed (signal 6)");
    client.still_waits();
    failed_once(&host, &service, "crashed", "signal 6");
}

#[test]
fn a_module_that_is_not_installed_is_written_down() {
    let Some(service) = Service::new(15) else {
        return;
    };
    let host = service.host(PROOF, "");
    service.write("auth required pam_absent.so\naccount required pam_permit.so\n");
    let client = waiting(&host);
    service
        .answer(&host, "sesame")
        .failed(1, "PAM can't answer");
    client.still_waits();
    failed_once(&host, &service, "broken", "mend the service file");
}

#[test]
fn without_the_program_that_asks_pam_that_is_written_down() {
    let Some(service) = Service::new(16) else {
        return;
    };
    let absent = program("stile-pam").with_file_name("stile-pam-absent");
    let host = service.host_with(&absent, PROOF, "");
    let client = waiting(&host);
    service.answer(&host, "sesame").failed(1, "is it installed");
    client.still_waits();
    failed_once(&host, &service, "not-started", "stile-pam-absent");
}

#[test]
fn a_reader_that_is_away_is_written_down_also_when_asked_beforehand() {
    let Some(service) = Service::new(17) else {
        return;
    };
    let proof = format!("{PROOF}\nrealm = \"prod\"");
    let host = service.host(&proof, "");
    service.write(
        "auth required pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n",
    );
    let arguments = ["elevate", "prod", "--stdin", "--factor", &service.factor];
    let said = host.stile_typing(ALICE, &arguments, "sesame");
    said.failed(1, "can't be reached");
    let records = host.audit().records();
    let failed = records.of("factor-failed")[0];
    assert_eq!(failed["fault"], "unavailable", "{failed}");
    assert!(failed["challenge"].is_null(), "{failed}");
}

#[test]
fn wrong_answers_are_no_failures_of_the_host() {
    let Some(service) = Service::new(18) else {
        return;
    };
    let host = service.host(PROOF, "");
    let _client = waiting(&host);
    service.answer(&host, "wrong").failed(1, "wrong code");
    assert!(host.audit().records().of("factor-failed").is_empty());
    assert_eq!(host.faults(&["factor-failed"]), 0);
}
