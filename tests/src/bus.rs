// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A system bus of our own, with the policy that we package.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::Running;

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/dbus-1/org.stile.Agent1.conf"
);

/// A dbus-daemon of type "system".
#[derive(Debug)]
pub(crate) struct Bus {
    _daemon: Running,
}

impl Bus {
    /// The address of the one whose socket lies in `dir`, running or not.
    pub(crate) fn address(dir: &Path) -> String {
        format!("unix:path={}/bus", dir.display())
    }

    /// Starts it; its socket lies in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let config = dir.join("system.conf");
        fs::write(&config, system_conf(dir)).unwrap();
        let mut command = Command::new("dbus-daemon");
        command
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut daemon = Running::new(&mut command);
        // It says where it listens once it does.
        let mut address = String::new();
        BufReader::new(daemon.child().stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        assert!(address.starts_with("unix:"), "no address: {address:?}");
        Self { _daemon: daemon }
    }
}

/// What a distribution's system.conf says, as far as it matters here.
fn system_conf(dir: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{POLICY}</include>
</busconfig>
"#,
        dir.display()
    )
}
