// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::sync::Arc;

use super::super::testing::{ALICE, BOB, challenge, decision, grant, seen};
use super::*;

fn watching(me: Uid, snapshot: Snapshot) -> Model {
    let mut model = Model::new(me, Arc::new(Texts::english()));
    assert_eq!(model.on(Event::Seen(snapshot)), None);
    model
}

fn usual() -> Model {
    watching(
        ALICE,
        seen(
            vec![challenge(7), challenge(8)],
            vec![grant(3)],
            vec![decision(10, "challenge")],
        ),
    )
}

/// Types these keys, and returns the last order.
fn types(model: &mut Model, keys: &str) -> Option<Order> {
    keys.chars().fold(None, |_, key| {
        model.on(Event::Key(match key {
            '\r' => Key::Enter,
            '\t' => Key::Tab,
            '\x1b' => Key::Escape,
            '\x08' => Key::Backspace,
            key => Key::Char(key),
        }))
    })
}

fn said(model: &Model) -> &str {
    model.said.as_ref().map_or("", |said| said.text.as_str())
}

fn code(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[test]
fn a_code_goes_to_the_chosen_challenge() {
    let mut model = usual();
    let order = types(&mut model, "ja12345\x086\r");
    assert_eq!(order, Some(Order::Answer(ChallengeId(8), code("12346"))));
    assert_eq!(model.mode, Mode::Watching);
}

#[test]
fn nothing_is_sent_for_an_empty_line_or_after_escape() {
    let mut model = usual();
    assert_eq!(types(&mut model, "a\r"), None);
    assert_eq!(types(&mut model, "a123\x1b"), None);
    assert_eq!(model.mode, Mode::Watching);
    // What was typed is gone: the next line begins anew.
    let order = types(&mut model, "a456\r");
    assert_eq!(order, Some(Order::Answer(ChallengeId(7), code("456"))));
}

#[test]
fn keys_that_are_typed_into_a_code_do_nothing_else() {
    let mut model = usual();
    assert_eq!(types(&mut model, "aqdrR?"), None);
    assert!(matches!(&model.mode, Mode::Code { typed, .. } if **typed == "qdrR?"));
}

#[test]
fn a_code_has_an_end() {
    let mut model = usual();
    types(&mut model, "a");
    types(&mut model, &"1".repeat(1_000));
    assert!(matches!(&model.mode, Mode::Code { typed, .. } if typed.len() == MAX_CODE));
}

#[test]
fn only_y_denies_and_revokes() {
    for no in ["n", "\r", "q", "Y", "d", "\x1b"] {
        let mut model = usual();
        assert_eq!(types(&mut model, &format!("d{no}")), None, "{no:?}");
        assert_eq!(types(&mut model, &format!("r{no}")), None, "{no:?}");
        assert_eq!(types(&mut model, &format!("R{no}")), None, "{no:?}");
        assert_eq!(model.mode, Mode::Watching);
    }
    let mut model = usual();
    let deny = types(&mut model, "dy");
    assert_eq!(deny, Some(Order::Deny(ChallengeId(7))));
    let revoke = types(&mut model, "ry");
    assert_eq!(revoke, Some(Order::Revoke(Some(GrantId(3)))));
    assert_eq!(types(&mut model, "Ry"), Some(Order::Revoke(None)));
}

#[test]
fn what_is_chosen_stays_chosen_when_the_list_moves() {
    let mut model = usual();
    types(&mut model, "j");
    assert_eq!(model.chosen(Pane::Pending), Some(1));
    let moved = vec![challenge(5), challenge(6), challenge(7), challenge(8)];
    model.on(Event::Seen(seen(moved, vec![], vec![])));
    assert_eq!(model.chosen(Pane::Pending), Some(3));
    let order = types(&mut model, "dy");
    assert_eq!(order, Some(Order::Deny(ChallengeId(8))));
}

/// The first one too, though nobody has moved to it.
#[test]
fn the_first_one_stays_chosen_when_another_comes_before_it() {
    let mut model = usual();
    model.on(Event::Seen(seen(
        vec![challenge(6), challenge(7)],
        vec![],
        vec![],
    )));
    assert_eq!(types(&mut model, "dy"), Some(Order::Deny(ChallengeId(7))));
}

#[test]
fn a_question_about_what_is_over_goes_away() {
    for begun in ["a123", "d"] {
        let mut model = usual();
        types(&mut model, begun);
        model.on(Event::Seen(seen(vec![challenge(8)], vec![], vec![])));
        assert_eq!(model.mode, Mode::Watching, "{begun}");
        assert_eq!(said(&model), "that is over");
        // The rest of the code that is still being typed says nothing to the next one.
        assert_eq!(types(&mut model, "456\r"), None);
    }
    let mut model = usual();
    types(&mut model, "r");
    model.on(Event::Seen(seen(vec![challenge(7)], vec![], vec![])));
    assert_eq!(types(&mut model, "y"), None);
}

#[test]
fn a_question_outlives_a_look() {
    let mut model = usual();
    types(&mut model, "a12");
    let same = model.seen.clone();
    model.on(Event::Seen(same));
    let order = types(&mut model, "3\r");
    assert_eq!(order, Some(Order::Answer(ChallengeId(7), code("123"))));
}

#[test]
fn a_wrong_code_is_asked_for_again_and_a_right_one_is_not() {
    let mut model = usual();
    types(&mut model, "a1\r");
    model.on(Event::Answered(
        ChallengeId(7),
        Ok(Answer::Wrong { tries_left: 2 }),
    ));
    assert_eq!(said(&model), "wrong code; 2 tries are left");
    assert!(matches!(model.mode, Mode::Code { .. }));
    types(&mut model, "2\r");
    model.on(Event::Answered(
        ChallengeId(7),
        Ok(Answer::Accepted {
            until_seconds: 900,
            released: 2,
        }),
    ));
    assert_eq!(said(&model), "approved for 15m 00s, 2 connections go on");
    assert_eq!(model.mode, Mode::Watching);

    types(&mut model, "a1\r");
    model.on(Event::Answered(
        ChallengeId(7),
        Ok(Answer::Throttled { retry_seconds: 5 }),
    ));
    assert_eq!(model.mode, Mode::Watching);
}

#[test]
fn an_agent_that_is_away_is_said_to_be_and_comes_back() {
    let mut model = usual();
    types(&mut model, "a12");
    model.on(Event::Unreachable("stiled isn't running".to_owned()));
    assert_eq!(model.trouble.as_deref(), Some("stiled isn't running"));
    assert_eq!(model.seen, Snapshot::default());
    assert_eq!(model.mode, Mode::Watching);
    model.on(Event::Seen(seen(vec![challenge(7)], vec![], vec![])));
    assert_eq!(model.trouble, None);
}

#[test]
fn root_answers_for_nobody_else_but_ends_everything() {
    let others = challenge(7);
    let mut model = watching(Uid(0), seen(vec![others], vec![grant(3)], vec![]));
    assert_eq!(types(&mut model, "a"), None);
    assert_eq!(said(&model), "only alice can answer that");
    assert_eq!(types(&mut model, "dy"), Some(Order::Deny(ChallengeId(7))));
    types(&mut model, "R");
    assert!(
        matches!(&model.mode, Mode::Sure(_, text) if text.ends_with("1 grant of everybody")),
        "{:?}",
        model.mode
    );
    assert_ne!(ALICE, BOB);
}

#[test]
fn there_is_nothing_to_do_where_there_is_nothing() {
    let mut model = watching(ALICE, Snapshot::default());
    for key in ["a", "d", "r", "R"] {
        assert_eq!(types(&mut model, &format!("{key}y")), None, "{key}");
        assert_eq!(model.mode, Mode::Watching);
    }
    types(&mut model, "a");
    assert_eq!(said(&model), "nothing is pending");
}

#[test]
fn tab_goes_around_and_choosing_stays_within_the_list() {
    let mut model = usual();
    for pane in [Pane::Grants, Pane::Recent, Pane::Pending] {
        types(&mut model, "\t");
        assert_eq!(model.pane, pane);
    }
    model.on(Event::Key(Key::BackTab));
    assert_eq!(model.pane, Pane::Recent);
    model.on(Event::Key(Key::Tab));
    types(&mut model, "jjjjj");
    assert_eq!(model.chosen(Pane::Pending), Some(1));
    types(&mut model, "kkkkk");
    assert_eq!(model.chosen(Pane::Pending), Some(0));
}

#[test]
fn q_and_the_help_do_what_they_say() {
    let mut model = usual();
    types(&mut model, "?");
    assert_eq!(model.mode, Mode::Help);
    assert_eq!(types(&mut model, "q"), None);
    assert_eq!(types(&mut model, "q"), Some(Order::Quit));
}

#[test]
fn times_run_down_by_themselves_and_stop_at_nothing() {
    let mut short = challenge(8);
    short.seconds_left = 1;
    let mut model = watching(
        ALICE,
        seen(vec![challenge(7), short], vec![grant(3)], vec![]),
    );
    for _ in 0..2 {
        assert_eq!(model.on(Event::Second), None);
    }
    let left: Vec<_> = model
        .seen
        .pending
        .iter()
        .map(|it| it.seconds_left)
        .collect();
    assert_eq!(left, [56, 0]);
    assert_eq!(model.seen.grants[0].seconds_left, 752);
    let again = seen(vec![challenge(7)], vec![], vec![]);
    model.on(Event::Seen(again));
    assert_eq!(model.seen.pending[0].seconds_left, 58);
}
