// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's hot paths, each done so many times and nothing else, for callgrind to count the
//! instructions of ([`crate::sections`], `instructions`). Everything that could differ between
//! two runs is given: the clock, the names, the policy.

mod gate;
mod names;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;

use anyhow::{Result, anyhow, ensure};
use jiff::Timestamp;
use stile::audit::{Attempt, AuditLog, Destination, Event, Flow, ProcessFacts, Record, Subject};
use stile::clock::{BootTime, Now, WallTime};
use stile::decide::{Bound, Decision, Holder, Known, Question, decide};
use stile::ids::{EndpointId, SocketCookie, Uid};
use stile::ledger::{
    BootId, Ledger, NewDevice, NewElevation, StepOutcome, TotpParameters, TotpSecret, TotpStep,
};
use stile::policy::{Assurance, Factor, OnlyTime, Policy, load_texts};

use self::names::OneGroup;

/// What to do, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The path.
    path: Path,
    /// How often.
    #[arg(long)]
    count: u64,
}

/// A hot path.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Path {
    /// The gate's judgement of an attempt.
    Judge,
    /// The policy's decision, by the last of its rules.
    Decide,
    /// A record of the audit log, hashed and formatted.
    Audit,
    /// The elevations of a user, read from the ledger.
    Ledger,
}

impl Path {
    /// All of them, with what one operation is.
    pub(crate) const ALL: [(Self, &str); 4] = [
        (Self::Judge, "an attempt judged as the gate does"),
        (Self::Decide, "a decision by the last of 20 rules"),
        (Self::Audit, "an audit record, formatted and hashed"),
        (Self::Ledger, "a user's elevations read from the ledger"),
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Decide => "decide",
            Self::Audit => "audit",
            Self::Ledger => "ledger",
        }
    }
}

/// How many endpoints and rules the policy has.
const ENDPOINTS: u8 = 20;
/// Who connects.
const USER: u32 = 42_001;
/// When.
const NOW: Now = Now {
    boot: BootTime(5_000_000_000),
    wall: WallTime(1_700_000_000_000_000_000),
};

/// Does it.
///
/// # Errors
/// If it doesn't end as it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    match options.path {
        Path::Judge => gate::judge(&policy()?, options.count),
        Path::Decide => decisions(options.count),
        Path::Audit => records(options.count),
        Path::Ledger => elevations(options.count),
    }
}

/// A policy of databases, each with a rule for a group of its own.
fn policy() -> Result<Policy> {
    let mut text = String::new();
    for number in 1..=ENDPOINTS {
        write!(
            text,
            "[[endpoint]]\nname = \"db-{number}\"\nhosts = [\"192.0.2.{number}\"]\n\
             ports = [5432]\n[[rule]]\nname = \"dba-{number}\"\nendpoints = [\"*\"]\n\
             users = [\"%dba-{number}\"]\naction = \"step-up\"\n"
        )?;
    }
    let loaded = load_texts(&[(PathBuf::from("hot.toml"), text)]);
    loaded
        .map(|loaded| loaded.policy)
        .map_err(|_| anyhow!("the policy is refused"))
}

fn decisions(count: u64) -> Result<()> {
    let policy = policy()?;
    let names = OneGroup(format!("dba-{ENDPOINTS}"));
    let question = Question {
        subject: Uid(USER),
        endpoint: EndpointId::from_name("db-1"),
    };
    let holder = Holder::default();
    for _ in 0..count {
        let known = Known {
            facts: &OnlyTime(Timestamp::UNIX_EPOCH),
            holder: &holder,
        };
        let decided = decide(&policy, &names, black_box(question), known, [], NOW.boot);
        let asks = matches!(decided.decision, Decision::Challenge(_));
        ensure!(asks, "the decision was {:?}", decided.decision);
    }
    Ok(())
}

fn records(count: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut log, _) = AuditLog::open(&dir.path().join("audit"), NOW)?;
    let record = Record::new(NOW, Event::Attempt(attempt()));
    for _ in 0..count {
        log.append(black_box(&record))?;
    }
    Ok(log.commit()?)
}

fn attempt() -> Attempt {
    Attempt {
        flow: Flow {
            socket: SocketCookie(4711),
            subject: Subject {
                uid: Uid(USER),
                user: Some("alice".to_owned()),
            },
            process: ProcessFacts {
                pid: 4711,
                uid: Uid(USER),
                exe: Some("/usr/lib/postgresql/17/bin/psql".to_owned()),
                comm: "psql".to_owned(),
                parent_pid: Some(4700),
                parent_exe: Some("/usr/bin/bash".to_owned()),
                cgroup: Some("/user.slice/user-42001.slice/session-4.scope".to_owned()),
            },
            destination: Destination {
                address: "192.0.2.1".to_owned(),
                port: 5432,
                protocol: "tcp".to_owned(),
                endpoint: "db-1".to_owned(),
            },
        },
        seen_boot_ns: NOW.boot,
        disposition: "held".to_owned(),
    }
}

fn elevations(count: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ledger = Ledger::open(&dir.path().join("state"))?;
    let boot = BootId::from("00000000-0000-4000-8000-000000000000".to_owned());
    let secret = TotpSecret::new(&[7; 20]);
    let print = secret.print();
    let phone = NewDevice {
        name: "phone".to_owned(),
        secret,
        parameters: TotpParameters::default(),
    };
    ledger.enroll(Uid(USER), &phone, Some(TotpStep(1)), NOW.wall, false)?;
    let new = NewElevation {
        uid: Uid(USER),
        realm: "dba-1".to_owned(),
        bound: Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: NOW,
        boot: boot.clone(),
        until: None,
        reason: None,
    };
    let outcome = ledger.consume_step(&print, TotpStep(2), &new, &[])?;
    ensure!(
        matches!(outcome, StepOutcome::Consumed { .. }),
        "a fresh step was used before"
    );
    for _ in 0..count {
        let found = ledger.elevations(black_box(Uid(USER)), &boot)?;
        ensure!(found.len() == 1, "{} elevations", found.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_path_can_be_done() {
        for (path, what) in Path::ALL {
            run(&Options { path, count: 3 }).expect(what);
        }
    }

    #[test]
    fn every_path_has_its_name_on_the_command_line() {
        for (path, _) in Path::ALL {
            let value = path.to_possible_value().unwrap();
            assert_eq!(value.get_name(), path.name());
        }
    }
}
