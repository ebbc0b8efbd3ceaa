// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole way, with a program that everybody knows and that knows nothing of stile.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use stile_tests::{ALICE, Host, Postgres, Running, cannot_run, has_postgres};

/// S1, S2, S3, S6.
#[test]
fn an_unmodified_psql_waits_for_a_code_then_gets_its_rows_until_the_grant_runs_out() {
    if !has_postgres() {
        return cannot_run("there is no PostgreSQL");
    }
    let postgres = Postgres::start();
    let host = Host::builder().ttl("8s").build();
    let authenticator = host.enroll(ALICE);
    let mut psql = host.psql(ALICE, "whole-way");
    psql.stdin(Stdio::piped());
    let mut psql = Running::start(&mut psql);
    let mut input = psql.child().stdin.take().unwrap();
    writeln!(input, "select 'row ' || n from generate_series(1, 2) n;").unwrap();

    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["pid"], psql.pid());
    assert!(challenge["program"].as_str().unwrap().ends_with("/psql"));
    assert!(psql.ended().is_none());
    assert_eq!(postgres.sessions_of("whole-way"), 0);
    assert_eq!(host.approve(ALICE, &authenticator)["released"], 1);

    let mut rows = BufReader::new(psql.child().stdout.take().unwrap()).lines();
    assert_eq!(rows.next().unwrap().unwrap(), "row 1");
    assert_eq!(rows.next().unwrap().unwrap(), "row 2");
    assert_eq!(postgres.sessions_of("whole-way"), 1);

    let _ = host.audit().wait_for("grant-expired", 1);
    writeln!(input, "select 'too late';").unwrap();
    drop(input);
    assert!(rows.next().is_none(), "a row came over a dead connection");
    let output = psql.output();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // psql tries to connect anew by itself; that is another connection, and another question.
    assert_eq!(postgres.sessions_of("whole-way"), 1);

    let records = host.audit().records();
    let story = records.story();
    assert_eq!(
        story[..8],
        [
            "attempt",
            "decision",
            "challenge",
            "factor",
            "challenge-ended",
            "grant",
            "connection",
            "grant-expired"
        ],
        "{story:?}"
    );
    let connection = records.the("connection");
    assert_eq!(connection["passage"], "released");
    assert_eq!(connection["process"]["pid"], challenge["pid"]);
    assert_eq!(records.the("grant")["ttl_seconds"], 8);
    assert_eq!(records.the("grant-expired")["connections"], 1);
    host.verify_audit(host.audit().path()).succeeded();
}
