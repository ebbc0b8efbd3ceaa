// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Name servers, and hosts that ask them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock};

use nix::mount::{MsFlags, mount};
use stile_tests::{Builder, Host, ROOT, Running, Server, is_throwaway_machine, until};
use tempfile::TempDir;

/// The name server of the whole suite, which asks that of each test.
const FRONT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TESTS: u8 = 32;

/// The port of the servers behind names.
pub(crate) const PORT: u16 = 7100;

/// A domain of one test's own, and its name server.
pub(crate) struct Zone {
    number: u8,
    dir: TempDir,
    server: Option<Running>,
}

impl Zone {
    /// A domain whose server isn't up yet; `None` where there is no dnsmasq, which is said.
    pub(crate) fn new() -> Option<Self> {
        static NUMBERS: AtomicU8 = AtomicU8::new(1);
        if !prepare() {
            stile_tests::cannot_run("there is no dnsmasq, or no /etc/resolv.conf to cover");
            return None;
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        assert!(number <= TESTS);
        Some(Self {
            number,
            dir: tempfile::tempdir().unwrap(),
            server: None,
        })
    }

    /// A name below this domain.
    pub(crate) fn name(&self, host: &str) -> String {
        format!("{host}.{}", domain(self.number))
    }

    /// An address that no other test uses. It is this machine's, but not its loopback.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 83, self.number, last)
    }

    /// An echo server at one of these addresses.
    pub(crate) fn echo(&self, last: u8) -> Server {
        Server::start(IpAddr::V4(self.address(last)), PORT)
    }

    /// Where that is.
    pub(crate) fn at(&self, last: u8) -> SocketAddr {
        (self.address(last), PORT).into()
    }

    /// The name server says this from now on, and with a TTL of a second.
    pub(crate) fn serve(&mut self, hosts: &[(&str, Ipv4Addr)]) {
        self.fall_silent();
        let file = self.dir.path().join("hosts");
        let line = |(host, address): &(&str, Ipv4Addr)| format!("{address} {}\n", self.name(host));
        fs::write(&file, hosts.iter().map(line).collect::<String>()).unwrap();
        let address = server_of(self.number);
        self.server = Some(dnsmasq(
            address,
            &[
                format!("--addn-hosts={}", file.display()),
                format!("--local=/{}/", domain(self.number)),
                "--local-ttl=1".to_owned(),
            ],
        ));
    }

    /// The name server is gone.
    pub(crate) fn fall_silent(&mut self) {
        self.server = None;
    }

    /// A policy that protects these hosts.
    pub(crate) fn policy(&self, hosts: &[&str]) -> String {
        format!(
            r#"
[[endpoint]]
name = "db"
hosts = {hosts:?}
ports = [{PORT}]

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
        )
    }

    /// A host with such a policy.
    pub(crate) fn builder(&self, hosts: &[&str]) -> Builder {
        Host::builder().policy(&self.policy(hosts))
    }
}

fn domain(number: u8) -> String {
    format!("t{number}.example")
}

fn server_of(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

/// Waits until the log says that a name has got this address.
#[track_caller]
pub(crate) fn learned(host: &Host, name: &str, address: Ipv4Addr) {
    let address = address.to_string();
    until(&format!("{name} is known to have {address}"), || {
        let records = host.audit().records();
        let of_name = |record: &&serde_json::Value| record["host"] == name;
        let mut learned = records.of("host-learned").into_iter().filter(of_name);
        let adds = |record: &serde_json::Value| {
            let added = record["added"].as_array().unwrap().iter();
            added.into_iter().any(|one| one == address.as_str())
        };
        learned.any(adds).then_some(())
    });
}

/// Waits until `stile status` shows a problem with this text.
#[track_caller]
pub(crate) fn told(host: &Host, text: &str) {
    until(text, || {
        let status = host.stile(ROOT, &["status"]);
        status.stdout.contains(text).then_some(())
    });
}

/// Makes what all tests share: addresses, a resolv.conf, and a name server that knows of every
/// test's.
fn prepare() -> bool {
    static FRONT_SERVER: OnceLock<Option<Mutex<Running>>> = OnceLock::new();
    let made = FRONT_SERVER.get_or_init(|| {
        let resolv_conf = Path::new("/etc/resolv.conf");
        program()?;
        if !resolv_conf.exists() {
            // The suite's own /etc, or a machine of its own.
            let mounts = fs::read_to_string("/proc/mounts").unwrap();
            if !is_throwaway_machine() && !mounts.contains(" /etc overlay ") {
                return None;
            }
            fs::write(resolv_conf, "").unwrap();
        }
        let ours = std::env::temp_dir().join("resolv.conf");
        fs::write(
            &ours,
            format!("nameserver {FRONT}\noptions timeout:1 attempts:1\n"),
        )
        .unwrap();
        cover(resolv_conf, &ours);
        let mut ip = Command::new("ip");
        ip.args(["route", "add", "local", "10.83.0.0/16", "dev", "lo"]);
        assert!(ip.status().unwrap().success());
        let zone = |number| format!("--server=/{}/{}", domain(number), server_of(number));
        let zones: Vec<_> = (1..=TESTS).map(zone).collect();
        Some(Mutex::new(dnsmasq(FRONT, &zones)))
    });
    made.is_some()
}

/// Lays a file over another one, which only the suite sees.
pub(crate) fn cover(file: &Path, with: &Path) {
    let (none, flags) = (None::<&str>, MsFlags::MS_BIND);
    mount(Some(with), file, none, flags, none).unwrap();
}

fn program() -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin"];
    let programs = folders.map(|folder| Path::new(folder).join("dnsmasq"));
    programs.into_iter().find(|path| path.is_file())
}

/// A name server at this address, which answers by now.
fn dnsmasq(address: Ipv4Addr, options: &[String]) -> Running {
    let mut command = Command::new(program().unwrap());
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file=",
        ])
        .args(["--no-resolv", "--no-hosts", "--no-poll", "--cache-size=0"])
        .args(["--bind-interfaces", &format!("--listen-address={address}")])
        .args(options)
        .stdin(Stdio::null());
    let server = Running::start(&mut command);
    until("a name server is up", || {
        TcpStream::connect((address, 53)).ok()
    });
    server
}
