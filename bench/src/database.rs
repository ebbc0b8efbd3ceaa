// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A real PostgreSQL in a network, with what pgbench reads in it.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use stile_tests::{POSTGRES, postgres_bin};
use tempfile::TempDir;

use crate::lane::Network;
use crate::machine::quiet_cpu;
use crate::peers::{Process, done};

/// Its port, at every address.
pub(crate) const PORT: u16 = 5432;

/// The name of the database.
pub(crate) const DATABASE: &str = "bench";

/// The files of a database, without a server.
#[derive(Debug)]
pub(crate) struct Data(TempDir);

/// A server, and the files that it serves. It is kept on the clients' processor.
#[derive(Debug)]
pub(crate) struct Database {
    _server: Process,
    _data: Data,
}

impl Data {
    /// Makes one with the tables of pgbench, at its smallest scale: everything stays in memory.
    ///
    /// # Errors
    /// If PostgreSQL or its pgbench is missing.
    pub(crate) fn new() -> Result<Self> {
        let data = Self::empty()?;
        let mut command = as_postgres(Command::new("setpriv"), "initdb");
        command.arg("-D").arg(data.path());
        command.args(["-U", "postgres", "--auth=trust", "--no-sync", "--no-locale"]);
        done(&mut command)?;
        // A network of the bench has every address; initdb trusts those of the loopback only.
        let access = data.path().join("pg_hba.conf");
        std::fs::write(&access, "host all all all trust\n").context("pg_hba.conf")?;
        let network = Network::new()?;
        let server = serve(&network, &data)?;
        let to_server = |name: &str| {
            let mut command = network.command(postgres_bin(name));
            command.args(["-h", "127.0.0.1", "-U", "postgres"]);
            command
        };
        done(to_server("createdb").arg(DATABASE))?;
        done(to_server("pgbench").args(["-i", "-q", "-s", "1", DATABASE]))?;
        drop(server);
        Ok(data)
    }

    /// The same once more.
    ///
    /// # Errors
    /// If it can't be copied.
    pub(crate) fn copy(&self) -> Result<Self> {
        let copy = Self::empty()?;
        let mut command = Command::new("cp");
        done(command.arg("-aT").arg(self.path()).arg(copy.path()))?;
        Ok(copy)
    }

    /// Serves it in this network.
    ///
    /// # Errors
    /// If the server doesn't start.
    pub(crate) fn serve(self, network: &Network) -> Result<Database> {
        Ok(Database {
            _server: serve(network, &self)?,
            _data: self,
        })
    }

    fn empty() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("database-").tempdir()?;
        chown(folder.path(), Some(POSTGRES.uid), Some(POSTGRES.uid))?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Starts a server that keeps nothing outside of its folder and of its own IPC namespace: also
/// after a kill nothing of it is left.
fn serve(network: &Network, data: &Data) -> Result<Process> {
    let mut command = network.command("taskset");
    command
        .arg("--cpu-list")
        .arg(quiet_cpu().to_string())
        .args(["unshare", "--ipc", "--", "setpriv"]);
    let mut command = as_postgres(command, "postgres");
    command
        .arg("-D")
        .arg(data.path())
        .args(["-p", &PORT.to_string(), "-k", ""])
        .args(["-c", "listen_addresses=0.0.0.0", "-c", "fsync=off"])
        .args(["-c", "max_connections=50", "-c", "autovacuum=off"])
        .args(["-c", "dynamic_shared_memory_type=mmap"])
        .current_dir(data.path());
    // A fast shutdown: what was loaded is written.
    Process::stopped_by(Signal::SIGINT, &mut command, || {
        network.has_listener(PORT) && is_ready(data)
    })
    .context("PostgreSQL")
}

/// It says so in its lock file, on line 8 (src/include/utils/pidfile.h).
fn is_ready(data: &Data) -> bool {
    let text = std::fs::read_to_string(data.path().join("postmaster.pid")).unwrap_or_default();
    text.lines()
        .nth(7)
        .is_some_and(|status| status.trim() == "ready")
}

fn as_postgres(mut command: Command, program: &str) -> Command {
    command
        .arg(format!("--reuid={}", POSTGRES.uid))
        .arg(format!("--regid={}", POSTGRES.uid))
        .args(["--clear-groups", "--"])
        .arg(postgres_bin(program));
    command
}
