// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A service that says what a test wants to hear. Real ones are driven elsewhere.

use tokio::sync::mpsc;
use zbus::interface;

use super::super::question::tests::question;
use super::super::session_bus::tests::{Bus, name_of};
use super::*;

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The id of every notification.
const ID: u32 = 7;

/// What the service was told.
#[derive(Debug)]
enum Told {
    Notify {
        asker: OwnedUniqueName,
        summary: String,
        body: String,
        actions: Vec<String>,
        expire: i32,
    },
    Close(u32),
}

struct FakeService {
    can: &'static [&'static str],
    told: mpsc::Sender<Told>,
}

#[interface(name = "org.freedesktop.Notifications")]
impl FakeService {
    async fn get_capabilities(&self) -> Vec<String> {
        self.can.iter().map(|one| (*one).to_owned()).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the interface has so many")]
    async fn notify(
        &self,
        #[zbus(header)] header: zbus::message::Header<'_>,
        _app_name: String,
        _replaces_id: u32,
        _app_icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        _hints: HashMap<String, zbus::OwnedVariant>,
        expire: i32,
    ) -> u32 {
        let asker = header.sender().unwrap().to_owned().into();
        let told = Told::Notify {
            asker,
            summary,
            body,
            actions,
            expire,
        };
        self.told.send(told).await.unwrap();
        ID
    }

    async fn close_notification(&self, id: u32) {
        self.told.send(Told::Close(id)).await.unwrap();
    }
}

/// A service on a bus.
struct Scene {
    bus: Bus,
    service: Connection,
    told: mpsc::Receiver<Told>,
}

impl Scene {
    async fn open(can: &'static [&'static str]) -> Self {
        let bus = Bus::start();
        let service = bus.peer().await;
        let (sender, told) = mpsc::channel(16);
        let fake = FakeService { can, told: sender };
        let path = "/org/freedesktop/Notifications";
        assert!(
            service
                .object_server()
                .at(path, fake)
                .await
                .unwrap()
                .is_none()
        );
        service.request_name(NAME).await.unwrap();
        Self { bus, service, told }
    }

    /// Asks at it.
    fn ask(&self, question: Question) -> tokio::task::JoinHandle<Deed> {
        let place = Notification::new(self.bus.address.clone(), "Run `stile approve`.".into());
        tokio::spawn(async move { place.ask(&question).await })
    }

    async fn closed(&mut self) {
        let told = self.told.recv().await.unwrap();
        assert!(matches!(told, Told::Close(ID)), "{told:?}");
    }
}

/// Presses a button of the notification with this id, as this peer.
async fn press(peer: &Connection, whom: Option<OwnedUniqueName>, id: u32, key: &str) {
    let path = "/org/freedesktop/Notifications";
    peer.emit_signal(whom, path, NAME, "ActionInvoked", &(id, key))
        .await
        .unwrap();
}

#[tokio::test]
async fn there_is_a_button_to_refuse_and_none_to_approve() {
    let mut scene = Scene::open(&["actions", "body"]).await;
    let asking = scene.ask(question(PATIENCE));
    let Told::Notify {
        actions, expire, ..
    } = scene.told.recv().await.unwrap()
    else {
        panic!("closed");
    };
    assert_eq!(actions, ["deny", "Deny"]);
    assert!((1..=60_000).contains(&expire), "{expire}");
    // Keys that were not offered, and another notification's.
    for key in ["approve", "default", "enter-code"] {
        press(&scene.service, None, ID, key).await;
    }
    press(&scene.service, None, ID + 1, "deny").await;
    press(&scene.service, None, ID, "deny").await;
    scene.closed().await;
    let deed = asking.await.unwrap();
    assert!(matches!(deed, Deed::Denied), "{deed:?}");
}

#[tokio::test]
async fn nobody_but_the_service_presses_buttons() {
    let mut scene = Scene::open(&["actions"]).await;
    let asking = scene.ask(question(PATIENCE));
    let Told::Notify { asker, .. } = scene.told.recv().await.unwrap() else {
        panic!("closed");
    };
    let liar = scene.bus.peer().await;
    press(&liar, None, ID, "deny").await;
    press(&liar, Some(asker), ID, "deny").await;
    // The bus keeps the order of what one peer sends, not that of two. So the liar's last word
    // comes back to it before the service speaks.
    let _ = name_of(&liar);
    zbus::fdo::DBusProxy::new(&liar)
        .await
        .unwrap()
        .get_id()
        .await
        .unwrap();
    let path = "/org/freedesktop/Notifications";
    scene
        .service
        .emit_signal(None::<&str>, path, NAME, "NotificationClosed", &(ID, 2_u32))
        .await
        .unwrap();
    let deed = asking.await.unwrap();
    assert!(matches!(deed, Deed::Silent), "{deed:?}");
}

#[tokio::test]
async fn markup_of_a_process_is_shown_as_it_is() {
    for (can, expected) in [
        (&["body-markup"][..], "&lt;b&gt;&amp;amp;"),
        (&["body"][..], "<b>&amp;"),
    ] {
        let mut scene = Scene::open(can).await;
        let mut asked = question(PATIENCE);
        asked.heading = "<b>".into();
        asked.details = vec![("Program".into(), "<b>&amp;".into())];
        let _asking = scene.ask(asked);
        let Told::Notify {
            summary,
            body,
            actions,
            ..
        } = scene.told.recv().await.unwrap()
        else {
            panic!("closed");
        };
        // A summary is never markup.
        assert_eq!(summary, "<b>");
        assert!(body.contains(&format!("Program: {expected}")), "{body}");
        // This service has no buttons, so it gets none.
        assert!(actions.is_empty());
    }
}

#[tokio::test]
async fn a_dropped_question_and_one_that_is_over_are_closed() {
    let mut scene = Scene::open(&["actions"]).await;
    let asking = scene.ask(question(PATIENCE));
    let _shown = scene.told.recv().await.unwrap();
    asking.abort();
    scene.closed().await;
    // A slow machine may need more time until it is shown.
    for patience in [1, 4, 16, 64] {
        let mut asking = scene.ask(question(Duration::from_secs(patience)));
        tokio::select! {
            _shown = scene.told.recv() => {}
            _ = &mut asking => continue,
        }
        scene.closed().await;
        let deed = asking.await.unwrap();
        assert!(matches!(deed, Deed::Silent), "{deed:?}");
        return;
    }
    panic!("never shown");
}

#[tokio::test]
async fn a_service_that_ends_leads_to_the_next_place() {
    let mut scene = Scene::open(&["actions"]).await;
    let asking = scene.ask(question(PATIENCE));
    let _shown = scene.told.recv().await.unwrap();
    drop(scene.service);
    let deed = asking.await.unwrap();
    assert!(matches!(deed, Deed::Unable(_)), "{deed:?}");
}

#[tokio::test]
async fn a_code_can_be_asked_for_where_there_is_a_place_for_it() {
    let mut scene = Scene::open(&["actions"]).await;
    let notifier = Notifier::join(&scene.bus.address).await.unwrap();
    let note = Note {
        summary: "Approve on your phone".into(),
        body: "The number is 42.".into(),
        urgency: Urgency::Normal,
        deny: Some("Deny".into()),
        enter_code: Some("Enter a code".into()),
    };
    let asking = tokio::spawn(async move {
        let deadline = Instant::now() + PATIENCE;
        notifier.ask(&note, 0, deadline).await
    });
    let Told::Notify { actions, .. } = scene.told.recv().await.unwrap() else {
        panic!("closed");
    };
    assert_eq!(actions, ["deny", "Deny", "enter-code", "Enter a code"]);
    press(&scene.service, None, ID, "enter-code").await;
    assert_eq!(asking.await.unwrap().unwrap(), Pressed::EnterCode);
}

#[test]
fn a_body_is_bounded() {
    let body = bounded_lines(&"line\n".repeat(10_000));
    assert!(body.chars().count() <= MAX_BODY);
    assert_eq!(bounded_lines("a\nb"), "a\nb");
}
