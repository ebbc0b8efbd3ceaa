// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

#[test]
fn a_line_cut_short_is_moved_aside_and_reported() {
    let whole = Fixture::with(&story()).lines();
    let last = whole.last().unwrap();
    for kept in [1, 30, 100, last.len() - 1] {
        let fixture = Fixture::with(&story()[..29]);
        let torn = &last[..kept];
        fixture.append_raw(torn);
        let (mut log, opened) = fixture.open();
        assert_eq!(opened.repaired_bytes, kept as u64);
        assert_eq!(opened.last, Some(Seq(30)));
        let saved = fixture.audit().join("audit.torn.31");
        assert_eq!(fs::read(&saved).unwrap(), torn);
        let mode = fs::metadata(&saved).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        log.append(&fault_event("after")).unwrap();
        log.commit().unwrap();
        assert_eq!(verify_file(&fixture.path()).unwrap().records, 31);
    }
}

#[test]
fn a_log_whose_first_record_was_cut_short_begins_anew() {
    let fixture = Fixture::with(&[]);
    let bytes = fixture.bytes();
    fs::write(fixture.path(), &bytes[..50]).unwrap();
    let (_, opened) = fixture.open();
    assert!(opened.fresh);
    assert_eq!(opened.repaired_bytes, 50);
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 1);
}

#[test]
fn a_log_whose_last_record_was_changed_is_refused_with_a_remedy() {
    let fixture = Fixture::with(&story());
    let mut bytes = fixture.bytes();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(fixture.path(), &bytes).unwrap();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("stile audit verify"), "{error}");
    assert_eq!(fixture.bytes(), bytes, "the evidence is left alone");

    fs::write(fixture.path(), vec![b'x'; 3 * MAX_LINE]).unwrap();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::Damaged { .. }), "{error}");
}

#[test]
fn a_second_writer_is_refused() {
    let fixture = Fixture::new();
    let _log = fixture.open();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::InUse { .. }), "{error}");
}

#[test]
fn a_log_that_others_can_read_is_refused() {
    let fixture = Fixture::with(&[]);
    fs::set_permissions(fixture.path(), Permissions::from_mode(0o640)).unwrap();
    let error = fixture.open_error();
    assert!(
        matches!(error, AuditError::NotPrivate(PrivateError::Mode { .. })),
        "{error}"
    );
}
