// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

#[test]
fn text_is_safe_for_a_terminal_and_reads_back_as_it_was() {
    let nasty = "a\x1b[31m\u{7f}\u{9b}31m\u{202e}txt.exe\u{2066}\u{2028}\u{feff}\u{e0041}é✓\"\\";
    let fixture = Fixture::with(&[fault_event(nasty)]);
    let text = String::from_utf8(fixture.bytes()).unwrap();
    let expected = concat!(
        r#""what":"a\u001b[31m\u007f\u009b31m\u202etxt.exe\u2066\u2028\ufeff\udb40\udc41"#,
        r#"é✓\"\\""#
    );
    assert!(text.contains(expected), "{text}");
    assert_eq!(tail(&fixture.path(), 1).unwrap()[0]["what"], nasty);
}

#[test]
fn no_process_can_make_its_record_too_long() {
    let longest = "\u{202e}".repeat(100_000);
    let mut flow = flow(&longest);
    flow.process.comm.clone_from(&longest);
    flow.process.parent_exe = Some(longest.clone());
    flow.process.cgroup = Some(longest.clone());
    flow.subject.user = Some(longest.clone());
    flow.destination.address.clone_from(&longest);
    flow.destination.protocol.clone_from(&longest);
    flow.destination.endpoint.clone_from(&longest);
    let decision = Event::Decision(Decision {
        flow,
        outcome: DecisionOutcome::Deny,
        rule: Some(longest.clone()),
        reason: longest.clone(),
        elevation: None,
        instead: None,
        risk: Vec::new(),
        doubts: Vec::new(),
    });
    let refused = Event::policy_refused(&vec![longest; 5000]);
    let fixture = Fixture::with(&[Record::new(now(1), decision), Record::new(now(1), refused)]);
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 3);
    let records = tail(&fixture.path(), 2).unwrap();
    let exe = records[0]["process"]["exe"].as_str().unwrap();
    assert!(exe.ends_with(&format!("…+{}", 600_000 - 4092)), "{exe:?}");
    assert_eq!(records[1]["errors"].as_array().unwrap().len(), 20);
    assert_eq!(records[1]["more"], 4980);
}

#[test]
fn a_record_that_fits_into_no_line_is_refused_and_the_log_goes_on() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open();
    let event = Event::PolicyRefused {
        errors: vec!["x".repeat(100); 20_000],
        more: 0,
    };
    let error = log.append(&Record::new(now(1), event)).unwrap_err();
    assert!(matches!(error, AuditError::Record { .. }), "{error}");
    assert_eq!(log.append(&fault_event("next")).unwrap(), Seq(2));
    log.commit().unwrap();
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 2);
}

proptest! {
    #[test]
    fn any_text_makes_a_line_that_verifies_and_reads_back(what: String) {
        let (line, _) = line::encode(Seq(1), Hash::ZERO, &fault_event(&what)).unwrap();
        prop_assert!(line::parse(&line).is_ok());
        prop_assert!(!line[..line.len() - 1].contains(&b'\n'));
        let value: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(value["what"].as_str().unwrap(), what);
        for control in std::str::from_utf8(&line).unwrap().trim_end().chars() {
            prop_assert!(!control.is_control());
        }
    }

    #[test]
    fn no_line_makes_the_reader_fail(bytes: Vec<u8>) {
        prop_assert!(line::parse(&bytes).is_err());
        prop_assert!(verify(bytes.as_slice()).is_err());
    }
}
