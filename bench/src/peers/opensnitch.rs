// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OpenSnitch, the firewall that asks its user about each new connection; here a rule answers.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use serde_json::json;

use super::nfqueue::{ensure_queued, is_read};
use super::{Process, Tool, folder, write};
use crate::lane::Lane;
use crate::machine::quiet_cpu;

/// Its name in the tables.
pub(crate) const NAME: &str = "OpenSnitch";

/// Where it looks for its configuration of the firewall, whatever it is told.
const HOME: &str = "/etc/opensnitchd";

/// Shows it its files there, and becomes it.
const BECOME: &str =
    r#"mkdir -p /etc/opensnitchd && mount --bind "$0" /etc/opensnitchd && exec "$@""#;

/// How long it may take to write its rules after it reads its queue.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets it watch the lane's network, with one rule that allows what a regular expression matches,
/// and rejects everything else.
///
/// It looks processes up in /proc, as it does where its kernel programs don't load, and makes its
/// rules with iptables: where it uses nftables and the kernel lacks NFT_QUEUE, it makes none and lets
/// everything pass.
///
/// # Errors
/// If it is missing, doesn't start, or doesn't queue new connections.
pub(crate) fn watch(mut lane: Lane) -> Result<Lane> {
    // The sandbox's own /etc, unless its kernel has no overlays.
    ensure!(
        statfs("/etc").is_ok_and(|etc| etc.filesystem_type() == OVERLAYFS_SUPER_MAGIC),
        "its files can't be shown to it alone: the kernel has no overlayfs"
    );
    let tool = Tool::find_in("opensnitch", "opensnitchd")?;
    let iptables = Tool::find("iptables")?;
    let files = folder()?;
    let root = tool.root.as_ref().context("it was not unpacked")?;
    std::fs::copy(
        root.join("etc/opensnitchd/system-fw.json"),
        files.path().join("system-fw.json"),
    )
    .context("it has no system-fw.json")?;
    write(&files.path().join("default-config.json"), configuration())?;
    std::fs::create_dir(files.path().join("rules"))?;
    write(&files.path().join("rules/allow.json"), rule())?;

    let mut command = lane.network.command("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "/bin/sh",
            "-c",
            BECOME,
        ])
        .arg(files.path())
        .args(["taskset", "--cpu-list"])
        .arg(quiet_cpu().to_string())
        .arg(&tool.path)
        .args(["-process-monitor-method", "proc", "-ui-socket"])
        .arg(format!("unix://{HOME}/nobody.sock"));
    // It starts iptables by that name.
    let folder = iptables.path.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path)))?;
    let libraries = [iptables.libraries(), tool.libraries()];
    let libraries = std::env::join_paths(libraries.into_iter().flatten())?;
    iptables.furnish(&mut command);
    command.env("LD_LIBRARY_PATH", libraries).env("PATH", path);
    let mut process = Process::start(&mut command, || is_read(&lane.network)).context(NAME)?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = ensure_queued(&lane.network) {
        if Instant::now() > deadline {
            return Err(error.context(format!("{NAME} says {}", process.written())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    lane.who = NAME;
    lane.keeps.push(Box::new((process, files)));
    Ok(lane)
}

fn configuration() -> String {
    json!({
        "Server": { "Address": format!("unix://{HOME}/nobody.sock"), "LogFile": "/dev/stdout" },
        "DefaultAction": "reject",
        "DefaultDuration": "once",
        "InterceptUnknown": false,
        "ProcMonitorMethod": "proc",
        "LogLevel": 2,
        "Firewall": "iptables",
        "Stats": { "MaxEvents": 150, "MaxStats": 25, "Workers": 6 },
    })
    .to_string()
}

fn rule() -> String {
    json!({
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
        "name": "allow",
        "enabled": true,
        "precedence": false,
        "action": "allow",
        "duration": "always",
        "operator": {
            "type": "regexp",
            "operand": "process.path",
            "sensitive": false,
            "data": "^/.*$",
            "list": [],
        },
    })
    .to_string()
}
