// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

/// A private directory, and the path of the file there.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = dir.path().join(FILE_NAME);
    (dir, path)
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn learned() -> Learned {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Learned::from([
        (
            HostName::Exact("db1.example.com".into()),
            addresses(&["10.0.0.1", "fd00::1"]),
        ),
        (
            HostName::Below(".db.example.com".into()),
            addresses(&["10.0.0.2"]),
        ),
    ])
}

#[test]
fn what_was_written_is_read() {
    let (dir, path) = place();
    assert_eq!(read(dir.path()).unwrap(), Learned::new());
    write(dir.path(), &learned()).unwrap();
    assert_eq!(read(dir.path()).unwrap(), learned());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    write(dir.path(), &Learned::new()).unwrap();
    assert_eq!(read(dir.path()).unwrap(), Learned::new());
}

#[test]
fn what_a_crash_left_half_written_is_in_nobodys_way() {
    let (dir, path) = place();
    write(dir.path(), &learned()).unwrap();
    put(&path.with_file_name("hosts.json.new"), &"x".repeat(10_000));
    assert_eq!(read(dir.path()).unwrap(), learned());
    write(dir.path(), &learned()).unwrap();
    assert_eq!(read(dir.path()).unwrap(), learned());
}

#[test]
fn a_broken_file_is_reported_and_written_anew() {
    for (text, why) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "invalid"),
        ("{\"version\":2,\"hosts\":{}}", "version is 2"),
        ("{\"version\":1,\"hosts\":{\"db\":[\"10.0.0.300\"]}}", "IP"),
        ("{\"version\":1,\"hosts\":{},\"more\":1}", "more"),
    ] {
        let (dir, path) = place();
        put(&path, text);
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("not used") && error.contains(why), "{error}");
        write(dir.path(), &learned()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), learned());
    }
}

#[test]
fn a_file_that_others_can_write_is_not_used() {
    let (dir, path) = place();
    write(dir.path(), &learned()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("lets others in"), "{error}");
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let (dir, path) = place();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(read(dir.path()).is_err());
    write(dir.path(), &learned()).unwrap();
    assert_eq!(read(dir.path()).unwrap(), learned());
}

#[test]
fn addresses_that_no_name_may_have_are_not_read() {
    let (dir, path) = place();
    put(
        &path,
        "{\"version\":1,\"hosts\":{\"db\":[\"127.0.0.1\",\"10.0.0.1\",\"::\"]}}",
    );
    let known = read(dir.path()).unwrap();
    let db = &known[&HostName::Exact("db".into())];
    assert_eq!(
        db.iter().collect::<Vec<_>>(),
        [&IpAddr::from([10, 0, 0, 1])]
    );
}
