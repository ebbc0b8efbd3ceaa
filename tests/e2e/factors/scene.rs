// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tests of factors have in common.

use serde_json::Value;
use stile_tests::{
    ALICE, Authenticator, BOB, Client, Host, ROOT, Running, Said, User, cannot_run, missing,
};

/// Secrets of tokens, in base 32: 20, 32 and 64 bytes (RFC 6238 appendix B).
pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub(crate) const SECRET_32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
pub(crate) const SECRET_64: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                                    GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA";

/// Has root take a token over for alice. It uses up no code.
#[track_caller]
pub(crate) fn import(host: &Host, name: &str) -> Authenticator {
    let arguments = [
        "factor", "import", "--user", "alice", "--name", name, "--stdin",
    ];
    host.stile_typing(ROOT, &arguments, SECRET).succeeded();
    Authenticator::new(SECRET)
}

/// A host on which alice has a token, of which no code was used.
pub(crate) fn with_token() -> (Host, Authenticator) {
    let host = Host::start_usual();
    let token = import(&host, "token");
    (host, token)
}

/// A connection of alice's that waits.
#[track_caller]
pub(crate) fn waiting(host: &Host) -> Client {
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client
}

/// Asserts that this code opens a connection of alice's, and takes that back.
#[track_caller]
pub(crate) fn opens(host: &Host, code: &str) {
    let mut client = waiting(host);
    host.answer(ALICE, None, code).succeeded();
    client.connected();
    client.talks();
    host.stile(ALICE, &["revoke"]).succeeded();
}

/// Asserts that this code opens nothing: it is wrong.
#[track_caller]
pub(crate) fn is_wrong(host: &Host, code: &str) -> Value {
    let client = waiting(host);
    let said = host.answer(ALICE, None, code);
    said.failed(1, "wrong code");
    gives_up(host, client);
    said.json()
}

/// Asserts that this connection of alice's, her only one, still waits, and ends it.
#[track_caller]
pub(crate) fn gives_up(host: &Host, client: Client) {
    client.still_waits();
    client.kill();
    host.wait_for_challenges(ALICE, 0);
}

/// Fresh recovery codes of alice's, from root.
#[track_caller]
pub(crate) fn recovery_codes(host: &Host) -> Vec<String> {
    let said = host.stile(ROOT, &["factor", "recovery", "--user", "alice", "--json"]);
    codes_in(&said)
}

/// The recovery codes that were printed.
#[track_caller]
pub(crate) fn codes_in(said: &Said) -> Vec<String> {
    let json = said.succeeded().json();
    let codes = json["codes"].as_array().unwrap();
    assert_eq!(codes.len(), 10, "{json}");
    let text = |code: &Value| code.as_str().unwrap().to_owned();
    codes.iter().map(text).collect()
}

/// Names of a user's factors.
#[track_caller]
pub(crate) fn names(host: &Host, user: User) -> Vec<String> {
    let factors = host.factors(user);
    let name = |factor: &Value| factor["name"].as_str().unwrap().to_owned();
    factors.iter().map(name).collect()
}

/// What the log says of codes.
pub(crate) fn outcomes(host: &Host) -> Vec<String> {
    let records = host.audit().records();
    let outcome = |record: &Value| record["outcome"].as_str().unwrap().to_owned();
    records.of("factor").into_iter().map(outcome).collect()
}

/// The alarms in the log.
pub(crate) fn alarms(host: &Host) -> Vec<String> {
    let records = host.audit().records();
    let alarm = |record: &Value| record["alarm"].as_str().unwrap().to_owned();
    records.of("alarm").into_iter().map(alarm).collect()
}

/// Asserts that nobody but administrators may do what these arguments say.
#[track_caller]
pub(crate) fn only_for_admins(host: &Host, arguments: &[&str]) {
    for user in [ALICE, BOB] {
        host.stile_typing(user, arguments, SECRET)
            .failed(1, "only an administrator may do this");
    }
}

/// Calls a method of the agent's with values as GVariant writes them: dbus-send has no
/// word for dictionaries of variants.
pub(crate) fn gdbus(host: &Host, user: User, method: &str, arguments: &[&str]) -> Option<Said> {
    if let Some(program) = missing(&["gdbus"]) {
        cannot_run(&format!("{program} isn't installed"));
        return None;
    }
    let mut command = host.as_user(user, "/usr/bin/gdbus");
    command
        .args(["call", "--system", "--dest=org.stile.Agent1"])
        .args(["--object-path=/org/stile/Agent1", "--method"])
        .arg(method)
        .args(arguments);
    Some(Running::start(&mut command).output().into())
}
