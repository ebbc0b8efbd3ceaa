// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn pskc(keys: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<KeyContainer Version=\"1.0\" \
         xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n{keys}</KeyContainer>\n"
    )
}

/// A key on three lines, whose secret is that of RFC 6238.
fn key(serial: &str, user: &str, parameters: &str, data: &str) -> String {
    format!(
        "<KeyPackage><DeviceInfo><SerialNo>{serial}</SerialNo></DeviceInfo>\n\
         <Key Id=\"k\" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:totp\">{user}\
         <AlgorithmParameters>{parameters}</AlgorithmParameters><Data>{data}</Data>\n\
         </Key></KeyPackage>\n"
    )
}

const SECRET: &str = "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>";

fn usual(serial: &str, user: &str) -> String {
    let user = format!("<UserId>{user}</UserId>");
    key(
        serial,
        &user,
        "<ResponseFormat Length=\"8\" Encoding=\"DECIMAL\"/>",
        SECRET,
    )
}

#[track_caller]
fn mistakes(text: &str, owners: &Owners) -> Vec<(usize, String)> {
    let mistakes = read(text, owners).unwrap_err();
    let text = format!("{mistakes:?}");
    assert!(!text.contains("MTIz") && !text.contains("GEZD"), "{text}");
    mistakes
        .into_iter()
        .map(|it| (it.line, it.message))
        .collect()
}

#[test]
fn a_container_is_read_with_all_that_its_keys_say() {
    let other = "<Suite>HMAC-SHA256</Suite><ResponseFormat Length=\"6\" Encoding=\"DECIMAL\"/>";
    let data = "<Secret><PlainValue>\n MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n\
                </PlainValue></Secret><Time><PlainValue>0</PlainValue></Time>\
                <TimeInterval><PlainValue>60</PlainValue></TimeInterval>";
    let text = pskc(&(usual("4711", "UID=root,DC=example,DC=net") + &key("4712", "", other, data)));
    let owners = Owners::typed(&["4712=0".to_owned()]).unwrap();
    let tokens = read(&text, &owners).unwrap();
    let [first, second] = tokens.as_slice() else {
        panic!("{tokens:?}");
    };
    assert_eq!(
        (first.user, first.line, first.serial.as_str()),
        (Uid(0), 4, "4711")
    );
    assert_eq!(
        first.token.secret.as_str(),
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    );
    assert_eq!((first.token.digits, first.token.period), (8, 30));
    assert_eq!(first.token.name.as_deref(), Some("4711"));
    assert_eq!(second.token.algorithm, "sha256");
    assert_eq!((second.token.digits, second.token.period), (6, 60));
}

#[test]
fn all_mistakes_of_a_container_are_told_with_their_lines() {
    let encrypted = "<Secret><EncryptedValue>x</EncryptedValue></Secret>";
    let text = usual("1", "no-such-user")
        + &key("2", "<UserId>root</UserId>", "", encrypted)
        + &key(
            "3",
            "",
            "<ResponseFormat Length=\"9\" Encoding=\"DECIMAL\"/>",
            SECRET,
        )
        + &key(
            "4",
            "<UserId>root</UserId>",
            "<Suite>MD5</Suite>",
            "<Secret/>",
        );
    let text = pskc(&text.replace("pskc:totp\"><UserId>root", "pskc:hotp\"><UserId>root"));
    let found = mistakes(&text, &Owners::default());
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [4, 7, 10, 10, 10, 13], "{found:#?}");
    let all = format!("{found:#?}");
    for wanted in [
        "no user \\\"no-such-user\\\"",
        "is \\\"hotp\\\"",
        "9 digits",
        "same secret as the one on line 4",
        "--map 3=USER",
    ] {
        assert!(all.contains(wanted), "{wanted}: {all}");
    }
}

#[test]
fn what_is_encrypted_or_no_container_is_refused_with_a_remedy() {
    let none = Owners::default();
    let text = pskc("<EncryptionKey/><KeyPackage/>");
    let [(3, why)] = &mistakes(&text, &none)[..] else {
        panic!("one mistake");
    };
    assert!(why.contains("pskctool --decrypt"), "{why}");
    let encrypted = "<Secret><EncryptedValue/></Secret>";
    let text = pskc(&key("2", "<UserId>root</UserId>", "", encrypted));
    assert!(mistakes(&text, &none)[0].1.contains("pskctool --decrypt"));
    assert!(mistakes("<html/>", &none)[0].1.contains("no PSKC file"));
    assert!(
        mistakes("<KeyContainer>\n<Key", &none)[0]
            .1
            .contains("no XML")
    );
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><KeyContainer>&a;</KeyContainer>";
    assert!(mistakes(bomb, &none)[0].1.contains("no XML"));
    assert!(mistakes("", &none)[0].1.contains("no token"));
    assert!(mistakes(&pskc(""), &none)[0].1.contains("no token"));
}

#[test]
fn codes_that_stile_could_not_check_are_refused() {
    let user = "<UserId>root</UserId>";
    let of = |parameters: &str| {
        mistakes(
            &pskc(&key("1", user, parameters, SECRET)),
            &Owners::default(),
        )
    };
    assert!(
        of("<ResponseFormat Length=\"6\" Encoding=\"HEXADECIMAL\"/>")[0]
            .1
            .contains("decimal")
    );
    let check = "<ResponseFormat Length=\"6\" Encoding=\"DECIMAL\" CheckDigits=\"true\"/>";
    assert!(of(check)[0].1.contains("check digit"));
    assert!(
        of("<ResponseFormat Length=\"six\"/>")[0]
            .1
            .contains("no number")
    );
    let pin = "<Policy><PINPolicy PINUsageMode=\"Append\"/></Policy>";
    let text = pskc(&key("1", &format!("{user}{pin}"), "", SECRET));
    assert!(mistakes(&text, &Owners::default())[0].1.contains("a PIN"));
}

#[test]
fn addresses_are_read_with_the_user_before_them_or_in_them() {
    let text = "# of the old server\n\n\
                otpauth://totp/Old:root?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\
                0 otpauth://totp/Old:x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA&digits=8\
                &algorithm=SHA512&period=60\n";
    let tokens = read(text, &Owners::default()).unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!((tokens[0].user, tokens[0].line), (Uid(0), 3));
    assert_eq!(tokens[1].user, Uid(0));
    assert_eq!(tokens[1].token.algorithm, "sha512");
    assert_eq!((tokens[1].token.digits, tokens[1].token.period), (8, 60));
    assert_eq!(tokens[1].token.name, None);
}

#[test]
fn all_mistakes_of_addresses_are_told_with_their_lines() {
    let text = "otpauth://hotp/x:root?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\
                root GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\
                otpauth://totp/x:root?secret=GEZD\n\
                otpauth://totp/x:nobody-here?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=600\n\
                root otpauth://totp/x?secret=0000000000000000000000000000\n";
    let found = mistakes(text, &Owners::default());
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 4, 5], "{found:#?}");
    let text = "otpauth://totp/x:root?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=%1b[2J";
    let [(1, shown)] = &mistakes(text, &Owners::default())[..] else {
        panic!("one mistake");
    };
    assert!(
        shown.contains("u{1b}[2J") && !shown.contains('\u{1b}'),
        "{shown}"
    );
}

#[test]
fn a_map_says_whose_a_token_is_and_a_serial_number_that_is_none_is_a_mistake() {
    let text = pskc(&usual("4711", "no-such-user"));
    let mut owners = Owners::default();
    let wrong = owners.read("Serial No,User\n\"4711\";root\n4712,somebody\n# x\n,\na,b,c\n");
    let lines: Vec<usize> = wrong.iter().map(|it| it.line).collect();
    assert_eq!(lines, [5, 6]);
    assert_eq!(read(&text, &owners).unwrap()[0].user, Uid(0));
    let typed = Owners::typed(&["4711=root".to_owned(), "4799=root".to_owned()]).unwrap();
    assert!(mistakes(&text, &typed)[0].1.contains("4799"));
    assert!(Owners::typed(&["4711".to_owned()]).is_err());
    assert!(Owners::typed(&["a=x".to_owned(), "a=y".to_owned()]).is_err());
}
