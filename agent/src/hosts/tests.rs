// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use tempfile::TempDir;

use super::testing::{Monitor, NameServer, Says};
use super::*;

/// A name server, the files of a host, and a state directory.
struct Scene {
    server: NameServer,
    dir: TempDir,
}

/// A running stage.
struct Stage {
    hosts: Hosts,
    news: watch::Receiver<News>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let text = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        fs::write(dir.path().join("resolv.conf"), text).unwrap();
        let server = NameServer::start();
        Self { server, dir }
    }

    fn sources(&self) -> Sources {
        let dir = self.dir.path();
        Sources {
            resolv_conf: dir.join("resolv.conf"),
            hosts: dir.join("hosts"),
            monitor: dir.join("monitor"),
            port: self.server.address.port(),
        }
    }

    fn monitor(&self) -> UnixListener {
        Monitor::listen(&self.sources().monitor)
    }

    fn start(&self, names: &[HostName]) -> Stage {
        let state = self.dir.path().join("state");
        let remembered = read(&state).unwrap_or_default();
        let names = names.iter().cloned().collect();
        let (hosts, news) = spawn(self.sources(), state, names, remembered).unwrap();
        Stage { hosts, news }
    }
}

impl Stage {
    /// Waits for news that are like this.
    fn until(&mut self, what: &str, fits: impl FnMut(&News) -> bool) -> News {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let found = runtime.block_on(async {
            let waited = self.news.wait_for(fits);
            let waited = tokio::time::timeout(Duration::from_secs(60), waited).await;
            waited.map(|news| news.unwrap().clone())
        });
        found.unwrap_or_else(|_| panic!("no news that {what}: {:?}", self.news.borrow()))
    }

    /// Waits until a name has these addresses.
    fn until_has(&mut self, name: &HostName, addresses: &[&str]) -> News {
        let addresses: BTreeSet<IpAddr> =
            addresses.iter().map(|text| text.parse().unwrap()).collect();
        let what = format!("{name} has {addresses:?}");
        self.until(&what, |news| news.learned.get(name) == Some(&addresses))
    }

    fn until_says(&mut self, what: &str) -> News {
        let says = |news: &News| news.problems.iter().any(|problem| problem.contains(what));
        self.until(what, says)
    }
}

fn exact(name: &str) -> HostName {
    HostName::Exact(name.into())
}

fn below(suffix: &str) -> HostName {
    HostName::Below(suffix.into())
}

#[test]
fn a_name_is_looked_up_and_followed_when_its_address_changes() {
    let scene = Scene::new();
    let db = exact("db1.example.com");
    scene.server.has("db1.example.com", &["10.0.0.1"], 1);
    let mut stage = scene.start(std::slice::from_ref(&db));
    let news = stage.until_has(&db, &["10.0.0.1"]);
    assert_eq!(news.problems, Vec::<String>::new());
    scene.server.has("db1.example.com", &["10.0.0.2"], 1);
    // The old one stays for a while.
    stage.until_has(&db, &["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn a_name_that_has_no_address_yet_is_told_until_it_has_one() {
    let scene = Scene::new();
    let db = exact("db1.example.com");
    let mut stage = scene.start(std::slice::from_ref(&db));
    stage.until_says("never been resolved: it is NOT protected yet (there is no such host)");
    scene.server.has("db1.example.com", &["10.0.0.1"], 60);
    let news = stage.until_has(&db, &["10.0.0.1"]);
    assert_eq!(news.problems, Vec::<String>::new());
}

#[test]
fn the_next_daemon_knows_what_this_one_knew_though_no_server_answers() {
    let scene = Scene::new();
    let db = exact("db1.example.com");
    scene
        .server
        .has("db1.example.com", &["10.0.0.1", "fd00::1"], 60);
    let mut stage = scene.start(std::slice::from_ref(&db));
    stage.until_has(&db, &["10.0.0.1", "fd00::1"]);
    let state = scene.dir.path().join("state");
    // What is told is on disk a moment later.
    stage
        .hosts
        .look_after(BTreeSet::from([db.clone(), exact("other.example.com")]));
    stage.until_says("other.example.com");
    let known = read(&state).unwrap();
    assert_eq!(known[&db].len(), 2);
    drop(stage);
    scene.server.says("db1.example.com", Says::Silence);
    let mut stage = scene.start(std::slice::from_ref(&db));
    stage.until_has(&db, &["10.0.0.1", "fd00::1"]);
    let news = stage.until_says("2 known addresses stay protected");
    assert_eq!(news.learned[&db].len(), 2);
}

#[test]
fn a_refused_answer_is_told_and_changes_nothing() {
    let scene = Scene::new();
    let db = exact("db1.example.com");
    scene.server.has("db1.example.com", &["10.0.0.1"], 1);
    let mut stage = scene.start(std::slice::from_ref(&db));
    stage.until_has(&db, &["10.0.0.1"]);
    scene.server.has("db1.example.com", &["127.0.0.1"], 1);
    let news = stage.until_says("127.0.0.1 is this host's loopback");
    assert_eq!(news.learned[&db], BTreeSet::from([[10, 0, 0, 1].into()]));
}

#[test]
fn names_come_and_go_with_the_policy() {
    let scene = Scene::new();
    let (one, other) = (exact("db1.example.com"), exact("db2.example.com"));
    scene.server.has("db1.example.com", &["10.0.0.1"], 60);
    scene.server.has("db2.example.com", &["10.0.0.2"], 60);
    let mut stage = scene.start(std::slice::from_ref(&one));
    stage.until_has(&one, &["10.0.0.1"]);
    stage.hosts.look_after(BTreeSet::from([other.clone()]));
    let news = stage.until_has(&other, &["10.0.0.2"]);
    assert!(!news.learned.contains_key(&one));
}

#[test]
fn names_below_a_suffix_are_learned_from_the_answers_of_resolved() {
    let scene = Scene::new();
    let wild = below(".db.example.com");
    let listener = scene.monitor();
    let mut stage = scene.start(std::slice::from_ref(&wild));
    let mut monitor = Monitor::accept(&listener);
    monitor.send("what is this?");
    monitor.answers("db.example.com", [10, 0, 0, 1]);
    monitor.answers("evildb.example.com", [10, 0, 0, 2]);
    monitor.answers("a.db.example.com.evil.example", [10, 0, 0, 3]);
    monitor.answers("A.DB.example.com", [10, 0, 0, 4]);
    let news = stage.until_has(&wild, &["10.0.0.4"]);
    assert!(news.problems[0].contains("was not understood"), "{news:?}");
    // Remembered for the next daemon.
    drop(monitor);
    stage.until_says("wildcards catch nothing on this host");
    drop(stage);
    let mut stage = scene.start(std::slice::from_ref(&wild));
    stage.until_has(&wild, &["10.0.0.4"]);
}

#[test]
fn without_resolved_wildcards_are_told_to_catch_nothing_until_it_is_there() {
    let scene = Scene::new();
    let wild = below(".db.example.com");
    let mut stage = scene.start(std::slice::from_ref(&wild));
    let news = stage.until_says("wildcards catch nothing on this host");
    assert!(news.problems[0].starts_with("*.db.example.com"), "{news:?}");
    let listener = scene.monitor();
    let mut monitor = Monitor::accept(&listener);
    stage.until("nothing is wrong", |news| news.problems.is_empty());
    monitor.answers("a.db.example.com", [10, 0, 0, 4]);
    stage.until_has(&wild, &["10.0.0.4"]);
}

#[test]
fn the_stage_ends_with_its_handle() {
    let scene = Scene::new();
    let Stage { hosts, mut news } = scene.start(&[exact("db1.example.com")]);
    drop(hosts);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { while news.changed().await.is_ok() {} });
}
