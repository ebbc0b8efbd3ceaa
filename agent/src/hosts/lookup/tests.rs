// SPDX-License-Identifier: Apache-2.0 OR MIT
use tempfile::TempDir;

use super::super::testing::{NameServer, Says};
use super::*;

/// A resolver of a name server and a hosts file of its own.
struct Scene {
    server: NameServer,
    dir: TempDir,
    resolver: SystemResolver,
}

impl Scene {
    fn new() -> Self {
        let server = NameServer::start();
        let dir = tempfile::tempdir().unwrap();
        let (resolv_conf, hosts) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
        fs::write(
            &resolv_conf,
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        fs::write(&hosts, "").unwrap();
        let resolver = SystemResolver::new(resolv_conf, hosts, server.address.port());
        Self {
            server,
            dir,
            resolver,
        }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join(file), text).unwrap();
    }

    fn look_up(&mut self, name: &str) -> Lookup {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { self.resolver.asking().addresses(name).await })
    }
}

fn found(addresses: &[&str], ttl: u64) -> Result<Answer, Failed> {
    Ok(Answer {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: Duration::from_secs(ttl),
    })
}

#[test]
fn a_name_has_all_the_addresses_of_both_families() {
    let mut scene = Scene::new();
    scene
        .server
        .has("db1.example.com", &["10.0.0.1", "10.0.0.2", "fd00::1"], 77);
    let lookup = scene.look_up("db1.example.com");
    assert_eq!(lookup.v4, found(&["10.0.0.1", "10.0.0.2"], 77));
    assert_eq!(lookup.v6, found(&["fd00::1"], 77));
}

#[test]
fn another_name_is_followed() {
    let mut scene = Scene::new();
    let addresses = vec![IpAddr::from([10, 0, 0, 9])];
    let says = Says::Alias("lb.other.example", addresses, 20);
    scene.server.says("db1.example.com", says);
    assert_eq!(
        scene.look_up("db1.example.com").v4,
        found(&["10.0.0.9"], 20)
    );
}

#[test]
fn a_name_that_does_not_exist_is_told_from_servers_that_fail() {
    let mut scene = Scene::new();
    let nothing = scene.look_up("none.example.com");
    assert!(nothing.is_nothing() && nothing.v4.is_ok(), "{nothing:?}");
    for says in [Says::Failure, Says::Silence] {
        scene.server.says("db1.example.com", says);
        let failed = scene.look_up("db1.example.com");
        assert!(matches!(failed.v4, Err(Failed::Servers(_))), "{failed:?}");
    }
}

#[test]
fn no_search_list_is_put_to_a_name() {
    let mut scene = Scene::new();
    scene.write("resolv.conf", "nameserver 127.0.0.1\nsearch evil.example\n");
    scene.server.has("db1.evil.example", &["10.0.0.66"], 60);
    assert!(scene.look_up("db1").is_nothing());
}

#[test]
fn what_the_hosts_file_knows_is_not_asked_of_servers() {
    let mut scene = Scene::new();
    scene
        .server
        .has("db1.example.com", &["10.0.0.1", "fd00::1"], 60);
    scene.write(
        "hosts",
        "10.0.0.5 DB1.example.com db1 # ours\n10.0.0.6 db1.example.com\n",
    );
    let lookup = scene.look_up("db1.example.com");
    assert_eq!(lookup.v4, found(&["10.0.0.5", "10.0.0.6"], 60));
    assert_eq!(lookup.v6, Ok(Answer::default()));
}

#[test]
fn a_change_of_the_files_is_followed() {
    let mut scene = Scene::new();
    scene.server.has("db1.example.com", &["10.0.0.1"], 60);
    assert_eq!(
        scene.look_up("db1.example.com").v4,
        found(&["10.0.0.1"], 60)
    );
    scene.write("hosts", "10.0.0.5 db1.example.com\n");
    assert_eq!(
        scene.look_up("db1.example.com").v4,
        found(&["10.0.0.5"], 60)
    );
    scene.write("hosts", "");
    scene.write("resolv.conf", "# no servers\n");
    let failed = scene.look_up("db1.example.com").v4.unwrap_err();
    assert!(failed.to_string().contains("resolv.conf"), "{failed}");
}
