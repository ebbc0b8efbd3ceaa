// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::sync::Arc;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

use super::super::model::{Event, Key, Snapshot};
use super::super::testing::{ALICE, BOB, challenge, decision, grant, seen};
use super::*;
use crate::ids::Uid;
use crate::texts::Texts;

/// The documentation, with a picture.
const PAGE: &str = include_str!("../../../../../docs/top.md");

fn look(colours: bool) -> Look {
    Look {
        zone: TimeZone::UTC,
        colours,
    }
}

fn buffer(model: &Model, width: u16, height: u16, colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(model, &look(colours), frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The lines of the picture, without the blanks at their ends.
fn picture(model: &Model, width: u16, height: u16) -> String {
    let buffer = buffer(model, width, height, true);
    let mut text = String::new();
    for y in 0..height {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(symbol.width()).unwrap().max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn usual() -> Snapshot {
    let mut second = challenge(8);
    second.endpoint = "vault".into();
    second.destination = "[2001:db8::20]:8200".into();
    second.program = "/opt/hashicorp/bin/vault".into();
    second.seconds_left = 9;
    let mut denied = decision(70, "deny");
    denied.endpoint = "billing".into();
    denied.program = "/usr/bin/curl".into();
    denied.reason = "no rule allows it".into();
    let mut approved = decision(12, "approved");
    approved.endpoint = "staging-db".into();
    approved.reason = "with proof".into();
    seen(
        vec![challenge(7), second],
        vec![grant(3)],
        vec![
            denied,
            decision(62, "challenge"),
            approved,
            decision(1, "challenge"),
        ],
    )
}

fn model(me: Uid, snapshot: Snapshot) -> Model {
    let mut model = Model::new(me, Arc::new(Texts::english()));
    model.on(Event::Seen(snapshot));
    model
}

fn types(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        model.on(Event::Key(Key::Char(key)));
    }
}

#[test]
fn the_documentation_shows_what_is_shown() {
    let shown = picture(&model(ALICE, usual()), 80, 24);
    let (_, rest) = PAGE.split_once("```text\n").unwrap();
    let (picture, _) = rest.split_once("```").unwrap();
    assert_eq!(shown.trim_end(), picture.trim_end(), "\n{shown}");
}

#[test]
fn a_code_is_asked_for_below_what_it_is_for_and_is_not_shown() {
    let mut model = model(ALICE, usual());
    types(&mut model, "a123456");
    let shown = picture(&model, 80, 24);
    let asked: Vec<_> = shown.lines().skip(16).collect();
    assert_eq!(
        asked,
        [
            "Challenge 7: 58s left",
            "Destination   10.20.0.1:5432",
            "Program       /usr/bin/psql (pid 4242)",
            "Started by    bash on pts/3",
            "Rule          dba step-up",
            "A code gives  prod-db for 15 minutes, all your programs",
            "Waiting       1 connection",
            "code: ******    Enter sends it, Esc leaves",
        ],
        "\n{shown}"
    );
}

#[test]
fn the_screen_speaks_the_language_of_its_person() {
    let mut model = Model::new(ALICE, Arc::new(crate::texts::german()));
    model.on(Event::Seen(usual()));
    let shown = picture(&model, 80, 24);
    for text in [
        "Ihre eigenen",
        "? Hilfe",
        "Warten auf Antwort (2)",
        "NOCH",
        "GRUND",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    types(&mut model, "a");
    let shown = picture(&model, 80, 24);
    assert!(shown.contains("Anfrage 7: noch 58s"), "{shown}");
    assert!(shown.contains("bash auf pts/3"), "{shown}");
}

#[test]
fn forty_by_ten_is_enough() {
    let mut model = model(ALICE, usual());
    assert_eq!(
        picture(&model, 40, 10),
        "\
stile top  your own       ? help  q quit
▸ Waiting for an answer (2) ────────────
> 58s   prod-db   /usr/bin/psql
  9s    vault     …t/hashicorp/bin/vault
  Grants (1) ───────────────────────────
  12m 34s  staging-db  user
  Last decisions (1-2 of 4) ────────────
  14:01  deny       billing
  14:01  challenge  prod-db

"
    );
    types(&mut model, "a1");
    let shown = picture(&model, 40, 10);
    let asked: Vec<_> = shown.lines().skip(7).collect();
    assert_eq!(asked, ["/usr/bin/psql", "to prod-db", "code: *"], "{shown}");
}

#[test]
fn the_help_and_every_question_fit_into_forty_by_ten() {
    let mut help = model(ALICE, usual());
    types(&mut help, "?");
    let shown = picture(&help, 40, 10);
    assert!(shown.contains("q Ctrl-C   quit"), "{shown}");
    for (key, question) in [("d", "Deny? y/n"), ("r", "Revoke? y/n"), ("R", "all? y/n")] {
        let mut model = model(ALICE, usual());
        types(&mut model, key);
        let shown = picture(&model, 40, 10);
        assert!(shown.contains(question), "{shown}");
    }
}

#[test]
fn root_sees_whose_it_is() {
    let mut snapshot = usual();
    snapshot.pending[1].uid = BOB;
    let all = picture(&model(Uid(0), snapshot.clone()), 80, 24);
    assert!(all.contains("USER") && all.contains("bob"), "{all}");
    let own = picture(&model(ALICE, snapshot), 80, 24);
    assert!(!own.contains("USER"), "{own}");
}

#[test]
fn an_agent_that_is_away_shows_and_nothing_is_said_to_be_known() {
    let mut model = model(ALICE, usual());
    model.on(Event::Unreachable("stiled isn't running. Start it".into()));
    let shown = picture(&model, 80, 24);
    assert!(shown.contains("stiled isn't running"), "{shown}");
    assert!(!shown.contains("nothing is pending"), "{shown}");
    assert!(!shown.contains("prod-db"), "{shown}");
}

#[test]
fn a_long_list_follows_what_is_chosen() {
    let many = (1..=50).map(challenge).collect();
    let mut model = model(ALICE, seen(many, vec![], vec![]));
    types(&mut model, &"j".repeat(30));
    let shown = picture(&model, 80, 24);
    assert!(shown.contains("-31 of 50)"), "{shown}");
    assert_eq!(shown.matches("\n> ").count(), 1, "{shown}");
    // The others keep their place.
    assert!(shown.contains("Last decisions (0)"), "{shown}");
    assert!(shown.contains("nothing was decided yet"), "{shown}");
}

#[test]
fn colours_mean_something_and_can_be_left_out() {
    let coloured = |colours: bool| {
        let buffer = buffer(&model(ALICE, usual()), 80, 24, colours);
        let cells = buffer.content().iter();
        cells.filter(|cell| cell.fg != Color::Reset).count()
    };
    assert!(coloured(true) > 0);
    assert_eq!(coloured(false), 0);
}

#[test]
fn a_program_can_not_draw_outside_of_its_place() {
    let mut snapshot = usual();
    snapshot.pending[0].program = "/tmp/\x1b[2J\x1b[1;1Hnothing is pending".into();
    snapshot.pending[0].parent = "\u{202e}hsab".into();
    snapshot.recent[0].reason = "a\nb\u{9b}31m".into();
    let mut model = model(ALICE, snapshot);
    types(&mut model, "a");
    let shown = picture(&model, 100, 30);
    assert!(shown.contains("\\u{1b}[2J"), "{shown}");
    assert!(shown.contains("\\u{202e}hsab"), "{shown}");
    assert!(shown.contains("a\\u{a}b\\u{9b}31m"), "{shown}");
}

proptest! {
    #[test]
    fn no_name_breaks_a_screen_of_any_size(
        name in "\\PC{0,80}|.{0,80}|[数\u{301}\u{1b}\n]{0,80}",
        width in 1..120u16,
        height in 1..40u16,
        keys in "[adrR?jk1\t]{0,6}",
        root: bool,
    ) {
        let mut snapshot = usual();
        let view = &mut snapshot.pending[0];
        view.program = name.clone();
        view.endpoint = name.clone();
        view.parent = name.clone();
        snapshot.grants[0].rule = name.clone();
        snapshot.recent[0].reason = name;
        let mut model = model(if root { Uid(0) } else { ALICE }, snapshot);
        types(&mut model, &keys);
        let buffer = buffer(&model, width, height, true);
        for cell in buffer.content() {
            prop_assert!(!cell.symbol().chars().any(char::is_control));
        }
    }
}
