// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

/// As systemd 252 sends it, for a name that is another name of a host with two addresses.
const CHAIN: &str = r#"{"parameters":{"state":"success","question":[{"class":1,"type":1,"name":"c.db.example.com"},{"class":1,"type":28,"name":"c.db.example.com"}],"answer":[{"rr":{"key":{"class":1,"type":5,"name":"c.db.example.com"},"name":"target.other.example"},"raw":"AWMCZGIHZXhhbXBsZQNjb20AAAUAAQAAAAAAFgZ0YXJnZXQFb3RoZXIHZXhhbXBsZQA="},{"rr":{"key":{"class":1,"type":1,"name":"target.other.example"},"address":[10,9,9,10]},"raw":"BnRhcmdldAVvdGhlcgdleGFtcGxlAAABAAEAAAAeAAQKCQkK"},{"rr":{"key":{"class":1,"type":28,"name":"target.other.example"},"address":[253,0,0,0,0,0,0,0,0,0,0,0,0,0,0,9]},"raw":"BnRhcmdldAVvdGhlcgdleGFtcGxlAAAcAAEAAAAeABD9AAAAAAAAAAAAAAAAAAAJ"}]},"continues":true}"#;

fn answer(message: &str) -> Observed {
    match read(message.as_bytes()).unwrap() {
        Message::Answer(observed) => observed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_has_the_names_of_its_chain_and_its_ttl() {
    let seen = answer(CHAIN);
    assert_eq!(seen.name(), "c.db.example.com");
    assert!(seen.names.contains(&"target.other.example".to_owned()));
    let addresses: Vec<IpAddr> = ["10.9.9.10", "fd00::9"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    assert_eq!(seen.addresses, addresses);
    assert_eq!(seen.ttl, Duration::from_secs(30));
}

#[test]
fn what_was_asked_on_the_way_counts_too() {
    let collected = CHAIN.replacen(
        "\"answer\"",
        "\"collectedQuestions\":[{\"class\":1,\"type\":1,\"name\":\"Between.Example.\"}],\"answer\"",
        1,
    );
    assert!(
        answer(&collected)
            .names
            .contains(&"between.example".to_owned())
    );
}

#[test]
fn messages_without_addresses_are_told_apart() {
    for (message, meaning) in [
        (
            r#"{"parameters":{"ready":true},"continues":true}"#,
            Message::Ready,
        ),
        (
            r#"{"parameters":{"state":"rcode-failure","rcode":5,"question":[{"class":1,"type":28,"name":"a.db.example.com"}]},"continues":true}"#,
            Message::Other,
        ),
        (
            r#"{"parameters":{"state":"success","question":[{"name":"a"}],"answer":[]}}"#,
            Message::Other,
        ),
        (
            r#"{"parameters":{"state":"success","answer":[{"raw":"AAAB"}]}}"#,
            Message::Other,
        ),
        (r"{}", Message::Other),
        (
            r#"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"x"}}"#,
            Message::Error("org.varlink.service.MethodNotFound".to_owned()),
        ),
    ] {
        assert_eq!(read(message.as_bytes()).unwrap(), meaning, "{message}");
    }
}

#[test]
fn a_ttl_that_can_not_be_read_is_none() {
    // Not base64; cut off in the name; cut off in the TTL; a pointer, which a record alone
    // can't have.
    for raw in ["%", "AWM=", "AAABAAEAAAA=", "wAwAAQABAAAAHgAECgkJCg=="] {
        let message = format!(
            r#"{{"parameters":{{"state":"success","question":[{{"name":"a.example"}}],"answer":[{{"rr":{{"key":{{"name":"a.example"}},"address":[10,0,0,1]}},"raw":"{raw}"}}]}}}}"#
        );
        assert_eq!(answer(&message).ttl, Duration::ZERO, "{raw}");
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    for message in ["", "{", "[]", r#"{"parameters":{"answer":7}}"#, "\u{0}"] {
        assert!(read(message.as_bytes()).is_err(), "{message}");
    }
}
