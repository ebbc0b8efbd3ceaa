// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A prompter that does what a test wants, because the real ones do no wrong. Those are driven
//! elsewhere.

use tokio::sync::mpsc;
use zbus::interface;
use zbus::message::Header;

use super::super::question::tests::question;
use super::super::session_bus::tests::{Bus, name_of};
use super::exchange::tests::answer;
use super::*;

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the prompter was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Begin(OwnedUniqueName),
    /// The exchange.
    Perform(String),
    Stop,
}

struct FakePrompter(mpsc::Sender<Told>);

#[interface(name = "org.gnome.keyring.internal.Prompter")]
impl FakePrompter {
    async fn begin_prompting(
        &self,
        #[zbus(header)] header: Header<'_>,
        _callback: zbus::OwnedObjectPath,
    ) {
        let caller = header.sender().unwrap().to_owned().into();
        self.0.send(Told::Begin(caller)).await.unwrap();
    }

    async fn perform_prompt(
        &self,
        _callback: zbus::OwnedObjectPath,
        kind: String,
        _properties: HashMap<String, zbus::OwnedVariant>,
        exchange: String,
    ) {
        assert_eq!(kind, "password");
        self.0.send(Told::Perform(exchange)).await.unwrap();
    }

    async fn stop_prompting(&self, _callback: zbus::OwnedObjectPath) {
        self.0.send(Told::Stop).await.unwrap();
    }
}

/// A question that is being asked.
struct Scene {
    bus: Bus,
    prompter: Connection,
    told: mpsc::Receiver<Told>,
    asking: tokio::task::JoinHandle<Result<Deed, PrompterError>>,
    /// Who asks.
    asker: OwnedUniqueName,
}

impl Scene {
    async fn open() -> Self {
        let bus = Bus::start();
        let prompter = bus.peer().await;
        let (sender, mut told) = mpsc::channel(16);
        let path = "/org/gnome/keyring/Prompter";
        let served = prompter.object_server().at(path, FakePrompter(sender));
        assert!(served.await.unwrap().is_none());
        let (us, name) = (bus.peer().await, name_of(&prompter));
        let asking = tokio::spawn(async move {
            SystemPrompter::converse_with(&us, name, &question(PATIENCE)).await
        });
        let Told::Begin(asker) = told.recv().await.unwrap() else {
            panic!("no beginning");
        };
        Self {
            bus,
            prompter,
            told,
            asking,
            asker,
        }
    }

    /// Calls back as this peer.
    async fn ready(&self, peer: &Connection, reply: &str, exchange: &str) -> zbus::Result<()> {
        let none: HashMap<&str, Variant<'_>> = HashMap::new();
        peer.call_method(
            Some(self.asker.clone()),
            CALLBACK,
            Some("org.gnome.keyring.internal.Prompter.Callback"),
            "PromptReady",
            &(reply, none, exchange),
        )
        .await
        .map(drop)
    }

    /// Gives it its turn, and tells the exchange that it shows its question with.
    async fn turn(&mut self) -> String {
        self.ready(&self.prompter.clone(), "", "").await.unwrap();
        self.shown().await
    }

    async fn shown(&mut self) -> String {
        match self.told.recv().await.unwrap() {
            Told::Perform(exchange) => exchange,
            other => panic!("{other:?}"),
        }
    }

    async fn stopped(&mut self) {
        assert_eq!(self.told.recv().await.unwrap(), Told::Stop);
    }
}

#[tokio::test]
async fn a_code_is_read_and_the_prompt_is_over() {
    let mut scene = Scene::open().await;
    let exchange = scene.turn().await;
    let message = answer(&exchange, b"492 817");
    scene.ready(&scene.prompter, "yes", &message).await.unwrap();
    scene.stopped().await;
    match scene.asking.await.unwrap().unwrap() {
        Deed::Code(code) => assert_eq!(*code, "492 817"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_empty_field_is_asked_for_again_with_the_same_exchange() {
    let mut scene = Scene::open().await;
    let exchange = scene.turn().await;
    let message = answer(&exchange, b"");
    scene.ready(&scene.prompter, "yes", &message).await.unwrap();
    assert_eq!(scene.shown().await, exchange);
}

#[tokio::test]
async fn cancel_is_a_refusal() {
    let mut scene = Scene::open().await;
    scene.turn().await;
    scene.ready(&scene.prompter, "no", "").await.unwrap();
    scene.stopped().await;
    let deed = scene.asking.await.unwrap().unwrap();
    assert!(matches!(deed, Deed::Denied), "{deed:?}");
}

#[tokio::test]
async fn nobody_but_the_prompter_answers() {
    let mut scene = Scene::open().await;
    let exchange = scene.turn().await;
    let liar = scene.bus.peer().await;
    for (reply, message) in [("yes", answer(&exchange, b"666666")), ("no", String::new())] {
        let refused = scene.ready(&liar, reply, &message).await.unwrap_err();
        assert!(
            refused.to_string().contains("not the prompter"),
            "{refused}"
        );
    }
    let message = answer(&exchange, b"492817");
    scene.ready(&scene.prompter, "yes", &message).await.unwrap();
    match scene.asking.await.unwrap().unwrap() {
        Deed::Code(code) => assert_eq!(*code, "492817"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dropped_question_is_taken_back_whether_it_is_shown_or_waits_its_turn() {
    for shown in [true, false] {
        let mut scene = Scene::open().await;
        if shown {
            scene.turn().await;
        }
        scene.asking.abort();
        scene.stopped().await;
    }
}

#[tokio::test]
async fn a_prompter_that_ends_leads_to_the_next_place() {
    let mut scene = Scene::open().await;
    scene.turn().await;
    drop(scene.prompter);
    let ended = scene.asking.await.unwrap();
    assert!(matches!(ended, Err(PrompterError::Ended)));
}

#[tokio::test]
async fn a_garbled_answer_is_no_code() {
    let mut scene = Scene::open().await;
    scene.turn().await;
    scene
        .ready(&scene.prompter, "yes", "garbage")
        .await
        .unwrap();
    scene.stopped().await;
    let garbled = scene.asking.await.unwrap();
    assert!(matches!(garbled, Err(PrompterError::Exchange(_))));
}

#[tokio::test]
async fn whoever_takes_the_name_is_not_asked() {
    let bus = Bus::start();
    let impostor = bus.peer().await;
    impostor
        .request_name("org.gnome.keyring.SystemPrompter")
        .await
        .unwrap();
    let deed = SystemPrompter::new(bus.address.clone())
        .ask(&question(PATIENCE))
        .await;
    match deed {
        Deed::Unable(why) => assert!(why.contains("poses as the GNOME prompter"), "{why}"),
        other => panic!("{other:?}"),
    }
}
