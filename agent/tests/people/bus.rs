// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's interface on the bus, from both ends.

use stile::bus::{AgentClient, BusError, ClientError, PATH, Refused, serve_at};
use stile::ids::{ChallengeId, GrantId, Uid};
use stile::service::{Answer, Caller, Refusal, Request};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::support::{Bus, NOBODY, POLICY, agent, challenge, fake_pipeline, settings, status};

fn code(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[tokio::test]
async fn each_method_reaches_the_pipeline_and_its_answer_comes_back() {
    let bus = Bus::start();
    let (_service, requests) = agent(&bus).await;
    tokio::spawn(fake_pipeline(requests));
    let client = AgentClient::connect_to(&bus.address).await.unwrap();

    assert_eq!(client.status().await.unwrap(), status());
    let root = Caller::user(Uid(0));
    assert_eq!(client.pending().await.unwrap(), [challenge(root)]);
    let id = ChallengeId(7);
    assert_eq!(
        client.answer(id, &code("123456")).await.unwrap(),
        Answer::Accepted {
            until_seconds: 900,
            released: 1
        }
    );
    assert_eq!(
        client.answer(id, &code("654321")).await.unwrap(),
        Answer::Wrong { tries_left: 2 }
    );
    client.deny(id).await.unwrap();
    assert_eq!(client.grants().await.unwrap(), []);
    assert_eq!(client.revoke(Some(GrantId(3))).await.unwrap(), 1);
    assert_eq!(client.revoke(None).await.unwrap(), 5);
    assert_eq!(client.revoke_of(Uid(77), None).await.unwrap(), 77);
    let refused = client.reload().await;
    let Err(ClientError::Refused(Refused::BadPolicy(text))) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.contains("a.toml:1:1 odd"), "{text}");
    assert_eq!(client.prompters().await.unwrap(), []);
    let enrollment = client.enroll_begin(Uid(0)).await.unwrap();
    assert_eq!(*enrollment.secret, "GEZDGNBV");
    assert_eq!(
        client.enroll_confirm(Uid(0), &code("1")).await.unwrap(),
        Answer::Throttled { retry_seconds: 30 }
    );
}

#[tokio::test]
async fn a_refusal_keeps_its_name_and_its_words() {
    let bus = Bus::start();
    let (_service, requests) = agent(&bus).await;
    tokio::spawn(fake_pipeline(requests));
    let client = AgentClient::connect_to(&bus.address).await.unwrap();

    let refused = client.answer(ChallengeId(8), &code("123456")).await;
    let Err(ClientError::Refused(Refused::NoSuchChallenge(text))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(text, Refusal::NoSuchChallenge.to_string());
    let refused = client.enroll_begin(Uid(4)).await;
    let Err(ClientError::Refused(Refused::AlreadyEnrolled(text))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(text, Refusal::AlreadyEnrolled(Uid(4)).to_string());
}

#[tokio::test]
async fn a_code_longer_than_any_code_never_reaches_the_pipeline() {
    let bus = Bus::start();
    let (_service, mut requests) = agent(&bus).await;
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    for refused in [
        client.answer(ChallengeId(7), &code(&"1".repeat(65))).await,
        client.enroll_confirm(Uid(0), &code(&"1".repeat(65))).await,
    ] {
        assert!(
            matches!(refused, Err(ClientError::Refused(Refused::BadArgument(_)))),
            "{refused:?}"
        );
    }
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn the_caller_is_who_the_bus_says_it_is() {
    let bus = Bus::start();
    let (_service, requests) = agent(&bus).await;
    tokio::spawn(fake_pipeline(requests));
    let enroll = async |uid| {
        let call = [
            "--dest=org.stile.Agent1",
            PATH,
            "org.stile.Agent1.EnrollBegin",
            uid,
        ];
        bus.call_as(NOBODY, &call).await
    };
    let reply = enroll("uint32:65534").await.unwrap();
    assert!(reply.contains("otpauth://totp/65534"), "{reply}");
    // The uid in the message is 0; the caller isn't.
    let refused = enroll("uint32:0").await.unwrap_err();
    assert!(refused.contains("Error.NotPermitted"), "{refused}");
}

#[tokio::test]
async fn nobody_but_root_can_be_the_agent() {
    let bus = Bus::start();
    let refused = bus
        .call_as(
            NOBODY,
            &[
                "--dest=org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus.RequestName",
                "string:org.stile.Agent1",
                "uint32:4",
            ],
        )
        .await
        .unwrap_err();
    assert!(
        refused.contains("org.freedesktop.DBus.Error.AccessDenied"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_bus_lets_no_other_call_through() {
    let bus = Bus::start();
    let (_service, requests) = agent(&bus).await;
    tokio::spawn(fake_pipeline(requests));
    for member in ["org.stile.Agent1.Shutdown", "org.stile.Agent2.Status"] {
        let refused = bus
            .call_as(NOBODY, &["--dest=org.stile.Agent1", PATH, member])
            .await
            .unwrap_err();
        assert!(
            refused.contains("org.freedesktop.DBus.Error.AccessDenied"),
            "{member}: {refused}"
        );
    }
}

#[tokio::test]
async fn the_bus_lets_every_method_through_that_the_interface_has() {
    let bus = Bus::start();
    let (_service, _requests) = agent(&bus).await;
    let xml = bus
        .call_as(
            NOBODY,
            &[
                "--dest=org.stile.Agent1",
                PATH,
                "org.freedesktop.DBus.Introspectable.Introspect",
            ],
        )
        .await
        .unwrap();
    let policy = std::fs::read_to_string(POLICY).unwrap();
    for (interface, least) in [
        ("org.stile.Agent1", 8),
        ("org.stile.Factors1", 8),
        ("org.stile.Proofs1", 3),
    ] {
        let opening = format!(r#"<interface name="{interface}">"#);
        let ours = xml
            .split_once(&opening)
            .and_then(|(_, rest)| rest.split_once("</interface>"))
            .unwrap()
            .0;
        let mut methods = names(ours, r#"<method name=""#);
        let opening = format!(r#"send_interface="{interface}" send_member=""#);
        let mut allowed = names(&policy, &opening);
        methods.sort_unstable();
        allowed.sort_unstable();
        assert!(methods.len() >= least, "{ours}");
        assert_eq!(methods, allowed);
    }
}

/// What stands between each of these openings and the next quote.
fn names<'a>(text: &'a str, opening: &str) -> Vec<&'a str> {
    text.split(opening)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[tokio::test]
async fn a_second_agent_is_told_so() {
    let bus = Bus::start();
    let (first, _requests) = agent(&bus).await;
    let (sender, _receiver) = mpsc::channel(1);
    let second = serve_at(&bus.address, &settings(), sender).await;
    assert!(matches!(second, Err(BusError::NameTaken)), "{second:?}");
    drop(first);
}

#[tokio::test]
async fn an_agent_that_leaves_can_come_back() {
    let bus = Bus::start();
    let (first, requests) = agent(&bus).await;
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    drop((first, requests));
    // The bus notices a moment later; until then the old one has the name.
    let requests = loop {
        let (sender, receiver) = mpsc::channel(4);
        match serve_at(&bus.address, &settings(), sender).await {
            Ok(service) => break (service, receiver),
            Err(BusError::NameTaken) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    let (_second, requests) = requests;
    tokio::spawn(fake_pipeline(requests));
    assert_eq!(client.status().await.unwrap(), status());
}

#[tokio::test]
async fn a_lost_bus_is_noticed() {
    let mut bus = Bus::start();
    let (service, _requests) = agent(&bus).await;
    bus.end();
    let (_sender, mut news) = mpsc::channel(1);
    service.work(&mut news).await;
}

#[tokio::test]
async fn a_missing_bus_and_a_missing_agent_are_told_apart() {
    let (sender, _receiver) = mpsc::channel(1);
    let nowhere = "unix:path=/nonexistent/socket";
    let error = serve_at(nowhere, &settings(), sender).await.unwrap_err();
    assert!(matches!(error, BusError::NoBus { .. }), "{error:?}");
    let error = AgentClient::connect_to(nowhere).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no D-Bus system bus at unix:path=/nonexistent/socket: \
         No such file or directory (os error 2). Is dbus running?"
    );

    let bus = Bus::start();
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NoAgent), "{error:?}");
}

#[tokio::test]
async fn an_agent_about_to_end_says_so() {
    let bus = Bus::start();
    let (_service, requests) = agent(&bus).await;
    drop(requests);
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let refused = client.status().await;
    assert!(
        matches!(refused, Err(ClientError::Refused(Refused::Stopping(_)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    let bus = Bus::start();
    let (sender, _receiver) = mpsc::channel(1);
    let (reply, _answer) = oneshot::channel();
    let blocker = Request::Status(Caller::user(Uid(0)), reply);
    sender.try_send(blocker).unwrap();
    let _service = serve_at(&bus.address, &settings(), sender).await.unwrap();
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let refused = client.status().await;
    assert!(
        matches!(refused, Err(ClientError::Refused(Refused::Busy(_)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_user_has_sixteen_calls_under_way_and_the_next_is_refused() {
    let bus = Bus::start();
    let (sender, mut requests) = mpsc::channel(64);
    let _service = serve_at(&bus.address, &settings(), sender).await.unwrap();
    // Two connections of one user, so that the user is what counts.
    let first = AgentClient::connect_to(&bus.address).await.unwrap();
    let second = AgentClient::connect_to(&bus.address).await.unwrap();
    let mut replies = Vec::new();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let client = first.clone();
        calls.spawn(async move { client.status().await });
        let Some(Request::Status(_, reply)) = requests.recv().await else {
            panic!("another request");
        };
        replies.push(reply);
    }
    let refused = second.status().await;
    assert!(
        matches!(refused, Err(ClientError::Refused(Refused::Busy(_)))),
        "{refused:?}"
    );
    // Another user isn't kept out.
    let other = bus.call_as(
        NOBODY,
        &["--dest=org.stile.Agent1", PATH, "org.stile.Agent1.Status"],
    );
    let served = async {
        let Some(Request::Status(caller, reply)) = requests.recv().await else {
            panic!("another request");
        };
        assert_eq!(caller.uid, Uid(NOBODY));
        reply.send(Ok(status())).unwrap();
    };
    tokio::join!(other, served).0.unwrap();

    for reply in replies {
        reply.send(Ok(status())).unwrap();
    }
    while let Some(answer) = calls.join_next().await {
        assert!(answer.unwrap().is_ok());
    }
    let served = async {
        let Some(Request::Status(_, reply)) = requests.recv().await else {
            panic!("another request");
        };
        reply.send(Ok(status())).unwrap();
    };
    let (again, ()) = tokio::join!(second.status(), served);
    assert!(again.is_ok());
}
