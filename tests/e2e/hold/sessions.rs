// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules that ask where a user sits.

use std::net::IpAddr;

use stile_tests::{ALICE, Host, Login};

const POLICY: &str = r#"
[[endpoint]]
name = "db"
hosts = ["{address}"]
ports = [{port}]

[[rule]]
name = "at the machine"
endpoints = ["db"]
users = ["*"]
when = { remote = false }
action = "allow"
ttl = "1h"

[[rule]]
name = "from the office"
endpoints = ["db"]
users = ["*"]
when = { remote_address = ["198.51.100.0/24"] }
action = "allow"
ttl = "1h"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#;

fn ssh_from(address: [u8; 4]) -> Login {
    Login::from(ALICE, IpAddr::from(address))
}

#[test]
fn who_sits_at_the_machine_or_in_the_office_is_let_through() {
    let host = Host::builder().policy(POLICY).build();
    let desktop = Login::at_seat(ALICE);
    host.connect_in(&desktop.cgroup(), ALICE).connected();
    let office = ssh_from([198, 51, 100, 7]);
    host.connect_in(&office.cgroup(), ALICE).connected();
}

#[test]
fn who_comes_from_elsewhere_or_from_this_host_is_asked() {
    let host = Host::builder().policy(POLICY).build();
    for address in [[203, 0, 113, 7], [127, 0, 0, 1]] {
        let login = ssh_from(address);
        let client = host.connect_in(&login.cgroup(), ALICE);
        host.wait_for_challenge(ALICE);
        client.still_waits();
        client.kill();
    }
}

/// The desktop goes on: its file and its scope are there.
#[test]
fn what_a_users_own_service_manager_starts_is_asked_whatever_it_is_called() {
    let host = Host::builder().policy(POLICY).build();
    let desktop = Login::at_seat(ALICE);
    let scope = desktop.cgroup();
    let scope = scope.rsplit('/').next().unwrap();
    let uid = ALICE.uid;
    let manager = format!("user.slice/user-{uid}.slice/user@{uid}.service");
    for below in [format!("app.slice/{scope}"), scope.to_owned()] {
        let client = host.connect_in(&format!("{manager}/{below}"), ALICE);
        host.wait_for_challenge(ALICE);
        client.still_waits();
        client.kill();
    }
}
