// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prompters on a real bus: who may be one, what they are asked, and what their answers do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stile::bus::{AgentClient, Heard, NAME, PATH};
use stile::ids::{ChallengeId, Uid};
use stile::service::{Answer, Caller, ChallengeView, News, Refusal, Request};
use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::{Connection, OwnedVariant, Variant, interface};

use crate::support::{Bus, NOBODY, agent, challenge, status};

type Dict = HashMap<String, OwnedVariant>;

/// What a prompter does with the challenges that it is shown, one after the other.
#[derive(Clone, Debug)]
enum Deed {
    Code(&'static str),
    Denied,
    Unable,
    Silent,
    /// Waits until it is told that the challenge is over.
    Wait,
}

/// What a prompter has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Prompt { id: u64, wrong: bool },
    Cancel { id: u64, outcome: String },
    Tell(String),
}

struct FakePrompter {
    deeds: Mutex<Vec<Deed>>,
    heard: mpsc::UnboundedSender<Told>,
    over: Arc<tokio::sync::Notify>,
}

fn text(dict: &Dict, key: &str) -> Option<String> {
    dict.get(key)?.try_clone().ok()?.try_into().ok()
}

#[interface(name = "org.stile.Prompter1")]
impl FakePrompter {
    async fn prompt(&self, challenge: Dict, attempt: Dict) -> HashMap<&'static str, Variant<'_>> {
        let id = challenge["id"].try_clone().unwrap();
        let id: u64 = id.try_into().unwrap();
        let wrong = attempt.contains_key("wrong");
        let _ = self.heard.send(Told::Prompt { id, wrong });
        let deed = self.deeds.lock().unwrap().remove(0);
        match deed {
            Deed::Code(code) => HashMap::from([
                ("outcome", Variant::from("code")),
                ("code", Variant::from(code)),
            ]),
            Deed::Denied => HashMap::from([("outcome", Variant::from("denied"))]),
            Deed::Unable => HashMap::from([("outcome", Variant::from("unable"))]),
            Deed::Silent => HashMap::from([("outcome", Variant::from("silent"))]),
            Deed::Wait => {
                self.over.notified().await;
                HashMap::from([("outcome", Variant::from("silent"))])
            }
        }
    }

    fn cancel(&self, id: u64, outcome: String) {
        let _ = self.heard.send(Told::Cancel { id, outcome });
        self.over.notify_one();
    }

    fn tell(&self, news: Dict) {
        let kind = text(&news, "kind").unwrap();
        let _ = self.heard.send(Told::Tell(kind));
    }
}

/// A prompter on the bus, registered; and what it hears.
async fn prompter(bus: &Bus, deeds: &[Deed]) -> (Connection, mpsc::UnboundedReceiver<Told>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let object = FakePrompter {
        deeds: Mutex::new(deeds.to_vec()),
        heard,
        over: Arc::default(),
    };
    let connection = Builder::address(bus.address.as_str())
        .serve_at("/org/stile/Prompter1", object)
        .build()
        .await
        .unwrap();
    register(&connection).await.unwrap();
    (connection, hears)
}

async fn register(connection: &Connection) -> zbus::Result<()> {
    let about: HashMap<&str, Variant<'_>> = HashMap::from([
        ("session", Variant::from("")),
        ("places", Variant::from(vec!["pinentry"])),
        ("language", Variant::from("de")),
    ]);
    connection
        .call_method(Some(NAME), PATH, Some(NAME), "RegisterPrompter", &about)
        .await?;
    Ok(())
}

/// A pipeline that knows one code, and one challenge that is pending from the start if there is
/// one. It tells each answer and refusal.
fn pipeline(
    mut requests: mpsc::Receiver<Request>,
    pending: Option<ChallengeView>,
) -> mpsc::UnboundedReceiver<String> {
    let (said, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Status(_, reply) => drop(reply.send(Ok(status()))),
                Request::Pending(_, reply) => {
                    drop(reply.send(Ok(pending.clone().into_iter().collect())));
                }
                Request::Answer(caller, id, code, reply) => {
                    let _ = said.send(format!("{} answers {id}: {}", caller.uid, *code));
                    drop(reply.send(match code.as_str() {
                        "123456" => Ok(Answer::Accepted {
                            until_seconds: 900,
                            released: 1,
                        }),
                        "" => Err(Refusal::NoSuchChallenge),
                        _ => Ok(Answer::Wrong { tries_left: 2 }),
                    }));
                }
                Request::Deny(caller, id, reply) => {
                    let _ = said.send(format!("{} denies {id}", caller.uid));
                    drop(reply.send(Ok(())));
                }
                other => drop(said.send(format!("{other:?}"))),
            }
        }
    });
    hears
}

/// An agent with its news, at work.
async fn at_work(
    bus: &Bus,
    pending: Option<ChallengeView>,
) -> (mpsc::Sender<News>, mpsc::UnboundedReceiver<String>) {
    let (service, requests) = agent(bus).await;
    let said = pipeline(requests, pending);
    let (sender, mut news) = mpsc::channel(16);
    tokio::spawn(async move { service.work(&mut news).await });
    (sender, said)
}

fn raised(id: u64) -> News {
    News::Raised(Box::new(view(id)))
}

fn view(id: u64) -> ChallengeView {
    ChallengeView {
        id: ChallengeId(id),
        ..challenge(Caller::user(Uid(0)))
    }
}

fn ended(id: u64, outcome: &'static str) -> News {
    News::Ended {
        id: ChallengeId(id),
        uid: Uid(0),
        outcome,
    }
}

async fn next<T>(hears: &mut mpsc::UnboundedReceiver<T>) -> T {
    let heard = tokio::time::timeout(Duration::from_secs(20), hears.recv()).await;
    heard.expect("nothing is heard").expect("it has ended")
}

fn prompt(id: u64) -> Told {
    Told::Prompt { id, wrong: false }
}

#[tokio::test]
async fn a_code_from_a_prompter_is_an_answer_of_its_user() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let (_prompter, mut hears) =
        prompter(&bus, &[Deed::Code("123 456"), Deed::Code("123456")]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut hears).await, prompt(7));
    assert_eq!(next(&mut said).await, "0 answers 7: 123 456");
    assert_eq!(next(&mut hears).await, Told::Prompt { id: 7, wrong: true });
    assert_eq!(next(&mut said).await, "0 answers 7: 123456");
}

#[tokio::test]
async fn a_code_without_end_is_only_a_wrong_one() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let long: &'static str = Box::leak("1".repeat(100_000).into_boxed_str());
    let (_prompter, _hears) = prompter(&bus, &[Deed::Code(long)]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut said).await, "0 answers 7: ");
}

#[tokio::test]
async fn a_prompter_can_refuse() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let (_prompter, _hears) = prompter(&bus, &[Deed::Denied]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut said).await, "0 denies 7");
}

#[tokio::test]
async fn what_is_over_is_taken_away_and_nothing_is_said_for_its_user() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let (_prompter, mut hears) = prompter(&bus, &[Deed::Wait, Deed::Denied]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut hears).await, prompt(7));
    news.send(ended(7, "approved")).await.unwrap();
    let outcome = "approved".to_owned();
    assert_eq!(next(&mut hears).await, Told::Cancel { id: 7, outcome });
    news.send(raised(8)).await.unwrap();
    assert_eq!(next(&mut hears).await, prompt(8));
    assert_eq!(next(&mut said).await, "0 denies 8");
}

#[tokio::test]
async fn whose_question_has_expired_is_told_so() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let (_prompter, mut hears) = prompter(&bus, &[Deed::Wait]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut hears).await, prompt(7));
    news.send(ended(7, "timed-out")).await.unwrap();
    let outcome = "timed-out".to_owned();
    assert_eq!(next(&mut hears).await, Told::Cancel { id: 7, outcome });
    assert_eq!(next(&mut hears).await, Told::Tell("expired".to_owned()));
}

#[tokio::test]
async fn who_lets_the_time_run_out_is_told_so_and_whose_program_leaves_is_not() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let (_prompter, mut hears) = prompter(&bus, &[Deed::Silent, Deed::Silent]).await;
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    for (id, outcome) in [(7, "withdrawn"), (8, "timed-out")] {
        let view = ChallengeView {
            seconds_left: 1,
            ..view(id)
        };
        news.send(News::Raised(Box::new(view))).await.unwrap();
        assert_eq!(next(&mut hears).await, prompt(id));
        // Its own clock runs out before the agent's.
        while client.prompters().await.unwrap()[0].showing > 0 {}
        news.send(ended(id, outcome)).await.unwrap();
    }
    assert_eq!(next(&mut hears).await, Told::Tell("expired".to_owned()));
    assert!(hears.try_recv().is_err());
}

#[tokio::test]
async fn one_that_comes_late_is_shown_what_is_pending() {
    let bus = Bus::start();
    let (_news, mut said) = at_work(&bus, Some(view(9))).await;
    let (_prompter, mut hears) = prompter(&bus, &[Deed::Denied]).await;
    assert_eq!(next(&mut hears).await, prompt(9));
    assert_eq!(next(&mut said).await, "0 denies 9");
}

#[tokio::test]
async fn where_one_cannot_show_it_the_next_one_does() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let (_unable, mut first) = prompter(&bus, &[Deed::Unable]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut first).await, prompt(7));
    let (_able, mut second) = prompter(&bus, &[Deed::Denied]).await;
    assert_eq!(next(&mut second).await, prompt(7));
    assert_eq!(next(&mut said).await, "0 denies 7");
}

#[tokio::test]
async fn one_that_dies_with_a_prompt_open_leaves_it_to_the_next() {
    let bus = Bus::start();
    let (news, mut said) = at_work(&bus, None).await;
    let (dying, mut first) = prompter(&bus, &[Deed::Wait]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut first).await, prompt(7));
    dying.close().await.unwrap();
    let (_able, mut second) = prompter(&bus, &[Deed::Denied]).await;
    assert_eq!(next(&mut second).await, prompt(7));
    assert_eq!(next(&mut said).await, "0 denies 7");
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    assert_eq!(client.prompters().await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_one_prompter_shows_a_challenge() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let (_first, mut first) = prompter(&bus, &[Deed::Wait]).await;
    let (_second, mut second) = prompter(&bus, &[Deed::Wait]).await;
    news.send(raised(7)).await.unwrap();
    assert_eq!(next(&mut first).await, prompt(7));
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let prompters = client.prompters().await.unwrap();
    let showing: Vec<_> = prompters.iter().map(|view| view.showing).collect();
    assert_eq!(showing, [1, 0]);
    news.send(ended(7, "denied")).await.unwrap();
    assert!(matches!(next(&mut first).await, Told::Cancel { .. }));
    assert!(second.try_recv().is_err());
}

#[tokio::test]
async fn who_has_nothing_to_answer_with_is_told_and_not_asked() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let (_prompter, mut hears) = prompter(&bus, &[]).await;
    let view = ChallengeView {
        factors: Vec::new(),
        ..view(7)
    };
    news.send(News::Raised(Box::new(view))).await.unwrap();
    assert_eq!(
        next(&mut hears).await,
        Told::Tell("not-enrolled".to_owned())
    );
}

#[tokio::test]
async fn a_program_that_is_not_of_the_prompters_group_is_no_prompter() {
    let bus = Bus::start();
    let (_news, _said) = at_work(&bus, None).await;
    let address = bus.address.clone();
    // This thread alone becomes somebody else.
    let refused = std::thread::spawn(move || {
        use std::os::unix::process::CommandExt as _;
        let mut busctl = std::process::Command::new("busctl");
        busctl
            .arg(format!("--address={address}"))
            .args(["call", NAME, PATH, NAME, "RegisterPrompter", "a{sv}", "0"])
            .uid(NOBODY)
            .gid(NOBODY);
        busctl.output().unwrap()
    });
    let output = tokio::task::spawn_blocking(|| refused.join().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("only stile-prompt can be a prompter"),
        "{said}"
    );
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    assert_eq!(client.prompters().await.unwrap(), []);
}

#[tokio::test]
async fn nobody_but_root_calls_a_prompter() {
    let bus = Bus::start();
    let (_news, _said) = at_work(&bus, None).await;
    let (prompter, mut hears) = prompter(&bus, &[]).await;
    let address = bus.address.clone();
    let name = prompter.unique_name().unwrap().to_string();
    let output = tokio::task::spawn_blocking(move || {
        use std::os::unix::process::CommandExt as _;
        let mut busctl = std::process::Command::new("busctl");
        busctl
            .arg(format!("--address={address}"))
            .args(["call", &name, "/org/stile/Prompter1", "org.stile.Prompter1"])
            .args(["Cancel", "ts", "7", "approved"])
            .uid(NOBODY)
            .gid(NOBODY);
        busctl.output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Access denied"), "{said}");
    assert!(hears.try_recv().is_err());
}

#[tokio::test]
async fn those_who_watch_hear_the_agent_and_nobody_else() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let mut watch = client.watch().await.unwrap();
    let liar = Builder::address(bus.address.as_str())
        .build()
        .await
        .unwrap();
    let daemon = zbus::fdo::DBusProxy::new(&liar).await.unwrap();
    for name in daemon.list_names().await.unwrap() {
        if name.starts_with(':') {
            let body = (7_u64, "approved");
            liar.emit_signal(Some(name.as_str()), PATH, NAME, "ChallengeEnded", &body)
                .await
                .unwrap();
        }
    }
    // Once this is answered, what was sent before it has been delivered.
    daemon.list_names().await.unwrap();
    client.status().await.unwrap();
    news.send(ended(8, "denied")).await.unwrap();
    let heard = watch.next_within(Duration::from_secs(20)).await;
    let expected = Heard::Ended(ChallengeId(8), "denied".to_owned());
    assert_eq!(heard, Some(expected));
}

#[tokio::test]
async fn news_goes_to_its_user_and_to_root() {
    let bus = Bus::start();
    let (news, _said) = at_work(&bus, None).await;
    let client = AgentClient::connect_to(&bus.address).await.unwrap();
    let mut watch = client.watch().await.unwrap();
    let theirs = News::Ended {
        id: ChallengeId(8),
        uid: Uid(NOBODY),
        outcome: "denied",
    };
    news.send(theirs).await.unwrap();
    let heard = watch.next_within(Duration::from_secs(20)).await;
    assert_eq!(
        heard,
        Some(Heard::Ended(ChallengeId(8), "denied".to_owned()))
    );
}
