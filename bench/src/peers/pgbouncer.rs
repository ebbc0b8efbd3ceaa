// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PgBouncer, which keeps sessions with the database and lends them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use stile_tests::POSTGRES;

use super::{Process, Tool, folder, write};
use crate::lane::Lane;
use crate::machine::quiet_cpu;

/// Its name in the tables.
pub(crate) const NAME: &str = "pgbouncer";

const PORT: u16 = 6432;

/// Lets it stand before a PostgreSQL of the lane's network. It pools sessions: a client has its
/// own for as long as it is connected.
///
/// # Errors
/// If it is missing or doesn't start.
pub(crate) fn pool(mut lane: Lane, to: SocketAddr) -> Result<Lane> {
    let tool = Tool::find("pgbouncer")?;
    let files = folder()?;
    let configuration = files.path().join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host={} port={} user=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {PORT}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = session\nmax_client_conn = 500\n\
         log_connections = 0\nlog_disconnections = 0\n",
        to.ip(),
        to.port()
    );
    write(&configuration, text)?;
    let mut command = lane.network.command("setpriv");
    // It refuses to be root.
    command
        .arg(format!("--reuid={}", POSTGRES.uid))
        .arg(format!("--regid={}", POSTGRES.uid))
        .args(["--clear-groups", "--", "taskset", "--cpu-list"])
        .arg(quiet_cpu().to_string())
        .arg(&tool.path)
        .arg(&configuration);
    tool.furnish(&mut command);
    let process =
        Process::start(&mut command, || lane.network.has_listener(PORT)).context("pgbouncer")?;
    lane.who = NAME;
    lane.door = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
    lane.keeps.push(Box::new((process, files)));
    Ok(lane)
}
