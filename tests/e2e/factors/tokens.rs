// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hardware tokens whose secret an administrator takes over.

use std::process::Command;

use stile_tests::{ALICE, Authenticator, Host, ROOT, Said, cannot_run, missing};

use crate::scene::{SECRET, SECRET_32, SECRET_64, is_wrong, names, opens};

#[track_caller]
fn import(host: &Host, secret: &str, arguments: &[&str]) -> Said {
    let fixed = ["factor", "import", "--user", "alice", "--stdin"];
    let arguments: Vec<_> = fixed.iter().chain(arguments).copied().collect();
    host.stile_typing(ROOT, &arguments, secret)
}

#[test]
fn a_token_with_another_hash_more_digits_and_longer_steps_opens() {
    let host = Host::start_usual();
    let slow = [
        "--algorithm=sha256",
        "--digits=8",
        "--period=60",
        "--name=slow",
    ];
    // As people have it on paper.
    let spaced = format!("{} {}", &SECRET_32[..24].to_lowercase(), &SECRET_32[24..]);
    let said = import(&host, &spaced, &slow);
    assert!(said.succeeded().stdout.contains("as device 1"), "{said:?}");
    let said = import(
        &host,
        SECRET_64,
        &["--algorithm=sha512", "--digits=8", "--json"],
    );
    assert_eq!(said.succeeded().json()["id"], 2);
    let slow = Authenticator::token(SECRET_32, "sha256", 8, 60);
    let long = Authenticator::token(SECRET_64, "sha512", 8, 30);
    opens(&host, &slow.fresh_code());
    opens(&host, &long.fresh_code());
    let parameters: Vec<_> = host
        .factors(ALICE)
        .iter()
        .map(|it| it["parameters"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        parameters,
        ["sha256, 8 digits, 60 s", "sha512, 8 digits, 30 s"]
    );
    // The same secret, read in the usual way, makes other codes.
    is_wrong(&host, &Authenticator::new(SECRET_32).fresh_code());
    let records = host.audit().records();
    let imported = records.of("factor-changed")[0];
    assert_eq!(imported["change"], "imported");
    assert_eq!(imported["name"], "slow");
    assert_eq!(imported["device"], 1);
    assert_eq!(imported["by"], 0);
}

#[test]
fn codes_of_another_program_open_too() {
    if let Some(program) = missing(&["oathtool"]) {
        cannot_run(&format!("{program} isn't installed"));
        return;
    }
    let host = Host::start_usual();
    import(
        &host,
        SECRET_32,
        &["--algorithm=sha256", "--digits=8", "--period=60"],
    )
    .succeeded();
    let output = Command::new("oathtool")
        .args([
            "--totp=sha256",
            "--digits=8",
            "--time-step-size=60s",
            "--base32",
            SECRET_32,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    opens(&host, String::from_utf8(output.stdout).unwrap().trim());
}

#[test]
fn a_token_that_can_not_be_is_refused() {
    let host = Host::start_usual();
    import(&host, SECRET, &["--digits=9"]).failed(2, "9");
    import(&host, SECRET, &["--period=600"]).failed(2, "600");
    import(&host, SECRET, &["--algorithm=md5"]).failed(2, "md5");
    import(&host, "GEZDGNBVGY3TQOJQ", &[]).failed(1, "16 to 128 bytes");
    import(&host, "not-base-32-at-all!", &[]).failed(1, "no base 32");
    import(&host, "", &[]).failed(1, "no secret");
    let long = "A".repeat(600);
    import(&host, &long, &[]).failed(1, "at most 128 bytes, which are 208 letters");
    assert!(names(&host, ALICE).is_empty());
}
