// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A real PostgreSQL.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::process::Running;
use crate::sandbox::{POSTGRES, postgres_bin};
use crate::wait::until;

/// Its port.
const PORT: u16 = 5432;
static SHARED: OnceLock<Postgres> = OnceLock::new();

/// A database server that listens on all loopback addresses, as the system user `postgres`.
/// It trusts everybody: whether somebody gets there is what is tested.
#[derive(Debug)]
pub struct Postgres {
    _server: Running,
    log: &'static Mutex<String>,
}

impl Postgres {
    /// Starts it, once for all tests of the binary. It ends with the sandbox.
    pub fn start() -> &'static Self {
        SHARED.get_or_init(Self::initialise)
    }

    /// How many sessions this `application_name` has opened so far.
    #[must_use]
    pub fn sessions_of(&self, application: &str) -> usize {
        let log = self.log.lock().unwrap();
        let opened = |line: &&str| {
            line.contains("connection authorized")
                && line.contains(&format!("application_name={application}"))
        };
        log.lines().filter(opened).count()
    }

    fn initialise() -> Self {
        let directory = std::env::temp_dir().join("postgres");
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(POSTGRES.uid), Some(POSTGRES.uid)).unwrap();
        let made = as_postgres("initdb", &directory)
            .args(["-U", "postgres", "--auth=trust", "--no-sync", "--no-locale"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut server = Running::new(
            as_postgres("postgres", &directory)
                .args(["-p", &PORT.to_string(), "-k", ""])
                .args(["-c", "listen_addresses=0.0.0.0"])
                .args(["-c", "fsync=off", "-c", "log_connections=on"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
        );
        let log: &'static Mutex<String> = Box::leak(Box::default());
        let lines = BufReader::new(server.child().stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        until("PostgreSQL is ready", || {
            let log = log.lock().unwrap();
            if let Some(status) = server.ended() {
                panic!("postgres ended with {status}:\n{log}");
            }
            log.contains("ready to accept connections").then_some(())
        });
        Self {
            _server: server,
            log,
        }
    }
}

fn as_postgres(program: &str, data: &PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", POSTGRES.uid))
        .arg(format!("--regid={}", POSTGRES.uid))
        .args(["--init-groups", "--"])
        .arg(postgres_bin(program))
        .arg("-D")
        .arg(data)
        .current_dir(data);
    command
}
