// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many hardware tokens from one file: all of them, or none.

use std::fs;

use data_encoding::{BASE32_NOPAD, BASE64};
use stile_tests::{ALICE, Authenticator, BOB, Host, ROOT, Said};

use crate::scene::{SECRET, SECRET_32, SECRET_64, gdbus, import, names, opens};

/// A key package of a token that makes 8 digits every 60 s with SHA-256.
fn package(serial: &str, user: &str, secret: &str) -> String {
    let secret = BASE64.encode(&BASE32_NOPAD.decode(secret.as_bytes()).unwrap());
    let user = match user {
        "" => String::new(),
        user => format!("<UserId>{user}</UserId>"),
    };
    format!(
        r#"<KeyPackage>
<DeviceInfo><Manufacturer>Example</Manufacturer><SerialNo>{serial}</SerialNo></DeviceInfo>
<Key Id="{serial}" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
<AlgorithmParameters><Suite>HMAC-SHA256</Suite><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><PlainValue>{secret}</PlainValue></Secret><TimeInterval><PlainValue>60</PlainValue></TimeInterval></Data>
{user}</Key></KeyPackage>
"#
    )
}

fn container(packages: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<KeyContainer Version=\"1.0\" \
         xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n{packages}</KeyContainer>\n"
    )
}

/// Has root import this file.
pub(crate) fn importing(host: &Host, text: &str, arguments: &[&str]) -> Said {
    let path = host.state().with_file_name("tokens");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let arguments = [&["factor", "import", "--file", path], arguments].concat();
    host.stile(ROOT, &arguments)
}

fn imports_recorded(host: &Host) -> usize {
    let records = host.audit().records();
    let changed = records.of("factor-changed").into_iter();
    changed.filter(|it| it["change"] == "imported").count()
}

#[test]
fn all_tokens_of_a_container_are_taken_over_and_make_codes_that_open() {
    let host = Host::start_usual();
    let text = container(
        &(package("4711", "UID=alice,DC=example", SECRET_32) + &package("4712", "", SECRET_64)),
    );
    let tried = importing(&host, &text, &["--map", "4712=bob", "--dry-run"]);
    assert!(
        tried
            .succeeded()
            .stdout
            .contains("2 tokens can be taken over"),
        "{tried:?}"
    );
    assert!(names(&host, ALICE).is_empty() && names(&host, BOB).is_empty());
    assert_eq!(imports_recorded(&host), 0);
    let said = importing(&host, &text, &["--map", "4712=bob", "--json"]);
    let json = said.succeeded().json();
    assert_eq!(json["tokens"][0]["serial"], "4711", "{json}");
    assert_eq!(json["tokens"][1]["uid"], BOB.uid, "{json}");
    assert_ne!(json["tokens"][0]["id"], json["tokens"][1]["id"], "{json}");
    assert_eq!(names(&host, ALICE), ["4711"]);
    assert_eq!(names(&host, BOB), ["4712"]);
    assert_eq!(imports_recorded(&host), 2);
    opens(
        &host,
        &Authenticator::token(SECRET_32, "sha256", 8, 60).fresh_code(),
    );
}

#[test]
fn addresses_are_taken_over_and_a_map_of_many_serial_numbers_is_read() {
    let host = Host::start_usual();
    let text = format!(
        "# from the old server\notpauth://totp/Old:alice?secret={SECRET}\n\
         alice otpauth://totp/Old:anna?secret={SECRET_32}&algorithm=SHA256\n"
    );
    let said = importing(&host, &text, &[]);
    assert!(said.succeeded().stderr.contains("shred -u"), "{said:?}");
    assert_eq!(names(&host, ALICE), ["authenticator", "authenticator 2"]);
    opens(&host, &Authenticator::new(SECRET).fresh_code());
    let owners = host.state().with_file_name("owners.csv");
    fs::write(&owners, "serial,user\n4711,alice\n4712,bob\n").unwrap();
    let text = container(&package("4712", "somebody else", SECRET_64));
    let arguments = ["--map-file", owners.to_str().unwrap()];
    importing(&host, &text, &arguments).succeeded();
    assert_eq!(names(&host, BOB), ["4712"]);
}

#[test]
fn one_mistake_and_nothing_is_imported_and_all_mistakes_are_told() {
    let host = Host::start_usual();
    let good = format!("otpauth://totp/Old:alice?secret={SECRET}\n");
    let bad = "otpauth://totp/Old:nobody-here?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGA\nalice\n";
    let said = importing(&host, &(good.clone() + bad), &[]);
    said.failed(1, "nothing was imported");
    assert!(
        said.stderr.contains("tokens:2: ") && said.stderr.contains("tokens:3: "),
        "{said:?}"
    );
    assert!(!said.stderr.contains("GEZD"), "{said:?}");
    let json = importing(&host, &(good + bad), &["--json"]).json();
    assert_eq!(json["mistakes"][1]["line"], 3, "{json}");
    assert!(names(&host, ALICE).is_empty());
}

#[test]
fn what_only_the_agent_knows_is_a_mistake_as_well_and_undoes_the_others() {
    let host = Host::start_usual();
    import(&host, "4712");
    // Alice's six tokens are one too many, and one of them has a name that is taken.
    let secret = |last: char| format!("{}{last}", &SECRET_32[..51]);
    let packages = ["4711", "4712", "4713", "4714", "4715", "4716"].into_iter();
    let packages = packages.zip(["A", "I", "Q", "Y", "E", "M"]);
    let letters = packages.map(|(serial, letter)| {
        let secret = secret('A').replacen("GEZ", &format!("{letter}EZ"), 1);
        package(serial, "alice", &secret)
    });
    let text = container(&letters.collect::<String>());
    for arguments in [&["--dry-run"][..], &[]] {
        let said = importing(&host, &text, arguments);
        said.failed(1, "nothing was imported");
        // The place of a token is that of its key.
        for mistake in [
            "tokens:11: there is a device called \"4712\" already",
            "tokens:35: there are 5 devices already",
        ] {
            assert!(said.stderr.contains(mistake), "{said:?}");
        }
        assert_eq!(names(&host, ALICE), ["4712"]);
    }
    assert_eq!(imports_recorded(&host), 1);
}

#[test]
fn encrypted_containers_are_refused_and_only_administrators_import() {
    let host = Host::start_usual();
    let text = container("<EncryptionKey/>");
    importing(&host, &text, &[]).failed(1, "pskctool --decrypt");
    let text = format!("otpauth://totp/Old:alice?secret={SECRET}\n");
    for user in [ALICE, BOB] {
        let tokens = format!("[(uint32 {}, {{'secret': <'{SECRET}'>}})]", ALICE.uid);
        for only_tried in ["true", "false"] {
            let arguments = [tokens.as_str(), only_tried];
            let method = "org.stile.Factors1.ImportAll";
            let Some(said) = gdbus(&host, user, method, &arguments) else {
                return;
            };
            said.failed(1, "only an administrator may do this");
        }
    }
    assert!(names(&host, ALICE).is_empty());
    let both = ["--user", "alice"];
    importing(&host, &text, &both).failed(2, "--file");
}
