// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent on a real bus: a dbus-daemon of our own, of type "system", with the policy that
//! we package. It needs root, to call as somebody else; without root each test fails.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{AgentClient, BusError, BusService, ClientError, PATH, Refused, serve_at};
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{Answer, Caller, ChallengeView, Enrollment, Refusal, Request, StatusView};

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/dbus-1/org.stile.Agent1.conf"
);
/// A user who isn't root, and needs no entry in the user database.
const NOBODY: u32 = 65534;

/// A bus of our own. It ends with the test.
struct Bus {
    daemon: Child,
    address: String,
    _dir: TempDir,
}

impl Bus {
    fn start() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test calls the bus as two users and so needs root: run `cargo xtask test`"
        );
        let dir = tempfile::tempdir().unwrap();
        // Another user has to reach the socket.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let config = dir.path().join("system.conf");
        std::fs::write(&config, system_conf(dir.path())).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts; is it installed?");
        // It says where it listens once it does.
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        assert!(address.starts_with("unix:"), "no address: {address:?}");
        Self {
            daemon,
            address: address.trim().to_owned(),
            _dir: dir,
        }
    }

    /// Calls a method as another user, with a program that is no part of stile.
    async fn call_as(&self, uid: u32, call: &[&str]) -> Result<String, String> {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={uid}"))
            .args(["--clear-groups", "dbus-send", "--print-reply"])
            .arg(format!("--bus={}", self.address))
            .args(call);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .expect("setpriv and dbus-send start; are they installed?");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    fn end(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// What a distribution's system.conf says, as far as it matters here.
fn system_conf(dir: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}/socket</listen>
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

/// The agent on this bus, and the requests that it passes on.
async fn agent(bus: &Bus) -> (BusService, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(4);
    let service = serve_at(&bus.address, sender).await.unwrap();
    (service, receiver)
}

/// A pipeline that knows one code, and says the caller's uid wherever it can.
async fn fake_pipeline(mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Status(_, reply) => drop(reply.send(Ok(status()))),
            Request::Pending(caller, reply) => drop(reply.send(Ok(vec![challenge(caller)]))),
            Request::Answer(_, ChallengeId(7), code, reply) => {
                let answer = match code.as_str() {
                    "123456" => Answer::Accepted {
                        until_seconds: 900,
                        released: 1,
                    },
                    _ => Answer::Wrong { tries_left: 2 },
                };
                drop(reply.send(Ok(answer)));
            }
            Request::Answer(_, _, _, reply) => {
                drop(reply.send(Err(Refusal::NoSuchChallenge)));
            }
            Request::Deny(_, _, reply) => drop(reply.send(Ok(()))),
            Request::Grants(_, reply) => drop(reply.send(Ok(Vec::new()))),
            Request::Revoke(_, which, reply) => {
                drop(reply.send(Ok(if which.is_none() { 5 } else { 1 })));
            }
            Request::EnrollBegin(caller, uid, reply) => {
                drop(reply.send(enrollment(caller, uid)));
            }
            Request::EnrollConfirm(_, _, _, reply) => {
                drop(reply.send(Ok(Answer::Throttled { retry_seconds: 30 })));
            }
        }
    }
}

fn status() -> StatusView {
    StatusView {
        version: "0.1.0".into(),
        state: "enforcing".into(),
        cgroup: "/sys/fs/cgroup".into(),
        policy: "0123456789abcdef".into(),
        endpoints: 1,
        rules: 1,
        pending: 0,
        grants: 0,
        enrolled: false,
        problems: vec!["a disk is full".into()],
        faults: vec![("ring-full".into(), 3)],
    }
}

fn challenge(caller: Caller) -> ChallengeView {
    ChallengeView {
        id: ChallengeId(7),
        uid: caller.uid,
        endpoint: "prod-db".into(),
        destination: "10.0.0.1:5432".into(),
        rule: "dba".into(),
        program: "/usr/bin/psql".into(),
        pid: 4,
        parent: "bash on pts/3".into(),
        waiting: 1,
        grants: "prod-db for 15m".into(),
        seconds_left: 60,
    }
}

fn enrollment(caller: Caller, uid: Uid) -> Result<Enrollment, Refusal> {
    if uid == Uid(4) {
        return Err(Refusal::AlreadyEnrolled(uid));
    }
    Ok(Enrollment {
        url: Zeroizing::new(format!("otpauth://totp/{}", caller.uid)),
        secret: Zeroizing::new("GEZDGNBV".into()),
        confirm_seconds: 300,
    })
}

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
    let root = Caller { uid: Uid(0) };
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
    let reply = bus
        .call_as(
            NOBODY,
            &[
                "--dest=org.stile.Agent1",
                PATH,
                "org.stile.Agent1.EnrollBegin",
                "uint32:0",
            ],
        )
        .await
        .unwrap();
    // The uid in the message is 0; the caller isn't.
    assert!(reply.contains("otpauth://totp/65534"), "{reply}");
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
    let ours = xml
        .split_once(r#"<interface name="org.stile.Agent1">"#)
        .and_then(|(_, rest)| rest.split_once("</interface>"))
        .unwrap()
        .0;
    let policy = std::fs::read_to_string(POLICY).unwrap();
    let mut methods = names(ours, r#"<method name=""#);
    let mut allowed = names(&policy, r#"send_member=""#);
    methods.sort_unstable();
    allowed.sort_unstable();
    assert_eq!(methods.len(), 8, "{ours}");
    assert_eq!(methods, allowed);
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
    let second = serve_at(&bus.address, sender).await;
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
        match serve_at(&bus.address, sender).await {
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
    service.closed().await;
}

#[tokio::test]
async fn a_missing_bus_and_a_missing_agent_are_told_apart() {
    let (sender, _receiver) = mpsc::channel(1);
    let nowhere = "unix:path=/nonexistent/socket";
    let error = serve_at(nowhere, sender).await.unwrap_err();
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
    let blocker = Request::Status(Caller { uid: Uid(0) }, reply);
    sender.try_send(blocker).unwrap();
    let _service = serve_at(&bus.address, sender).await.unwrap();
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
    let _service = serve_at(&bus.address, sender).await.unwrap();
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
