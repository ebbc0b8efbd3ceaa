// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a contender works: a network of its own, a cgroup, a user, and what stands between its
//! client and the server there.

use std::any::Any;
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use stile_tests::{Host, User};

/// Who the agent is in the tables.
pub(crate) const STILE: &str = "stile";
/// Who does without one.
pub(crate) const NO_AGENT: &str = "no agent";

/// Where clients find a server that nothing stands before.
pub(crate) const DOOR: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 7100);

/// Everything that belongs to one contender. Its clients, servers and relays run in the network
/// namespace `network`; only the clients run in `cgroup` and as `user`.
pub(crate) struct Lane {
    /// The contender's name in the tables: `stile`, `no agent`, `nftables`.
    pub(crate) who: &'static str,
    /// The network; lanes that share a server share it.
    pub(crate) network: Rc<Network>,
    /// The cgroup of the clients; the gate, if there is one, is on it or above it.
    pub(crate) cgroup: PathBuf,
    /// Whose the clients are.
    pub(crate) user: User,
    /// Where clients connect to reach the server: a relay's door, or the server itself.
    pub(crate) door: SocketAddr,
    /// Processes and rules that end with the lane.
    pub(crate) keeps: Vec<Box<dyn Any>>,
}

/// A network namespace with nothing but a loopback, on which every unicast address is local.
/// It lives as long as the process that holds it open.
pub(crate) struct Network {
    holder: Child,
    path: PathBuf,
}

/// Makes every address local to the loopback, and lets it take thousands of connections.
const FURNISH: &str = "ip link set lo up && \
    ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo && \
    for s in core/somaxconn=65535 ipv4/tcp_max_syn_backlog=65535 ipv4/tcp_no_metrics_save=1 \
        ipv4/conf/all/rp_filter=0 ipv4/conf/lo/rp_filter=0; do \
        echo ${s#*=} > /proc/sys/net/${s%%=*} || exit 1; done && \
    echo '1024 65535' > /proc/sys/net/ipv4/ip_local_port_range && echo ready && exec cat";

impl Lane {
    /// One without an agent: the baseline.
    ///
    /// # Errors
    /// If its network or cgroup can't be made.
    pub(crate) fn free(who: &'static str, user: User) -> Result<Self> {
        let cgroup = Cgroup::new()?;
        Ok(Self {
            who,
            network: Rc::new(Network::new()?),
            // As deep as that of a gated client.
            cgroup: cgroup.child("session")?,
            user,
            door: DOOR,
            keeps: vec![Box::new(cgroup)],
        })
    }

    /// One with the real agent. The host has to outlive it.
    ///
    /// # Errors
    /// If its network or cgroup can't be made.
    pub(crate) fn gated(host: &Host, user: User) -> Result<Self> {
        let cgroup = host.cgroup().join("session");
        fs::create_dir_all(&cgroup).with_context(|| format!("{}", cgroup.display()))?;
        Ok(Self {
            who: STILE,
            network: Rc::new(Network::new()?),
            cgroup,
            user,
            door: DOOR,
            keeps: Vec::new(),
        })
    }

    /// A client's program on this processor, as the lane's user in its cgroup and its network.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, cpu: usize) -> Command {
        let mut command = self.network.command("/bin/sh");
        command
            .args(["-c", BECOME])
            .arg(&self.cgroup)
            .arg("setpriv")
            .arg(format!("--reuid={}", self.user.uid))
            .arg(format!("--regid={}", self.user.uid))
            .args(["--clear-groups", "--", "taskset", "--cpu-list"])
            .arg(cpu.to_string())
            .arg(program)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

/// Joins the cgroup, and then becomes the program.
const BECOME: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// A cgroup of the sandbox that no agent is on. It has to be empty when this is dropped.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one.
    ///
    /// # Errors
    /// If the kernel refuses, or outside of the sandbox.
    pub(crate) fn new() -> Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let sandbox = std::env::var_os("STILE_TEST_CGROUP").context("not in a sandbox")?;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(sandbox).join(format!("lane-{number}"));
        fs::create_dir(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Self(path))
    }

    /// One below it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn child(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What stays, the sandbox removes.
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// If the kernel refuses, or iproute2 is missing.
    pub(crate) fn new() -> Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "/bin/sh", "-c", FURNISH])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start unshare; install util-linux")?;
        let mut said = String::new();
        if let Some(output) = holder.stdout.as_mut() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said)?;
        }
        let path = PathBuf::from(format!("/proc/{}/ns/net", holder.id()));
        let network = Self { holder, path };
        ensure!(
            said == "ready\n",
            "the network namespace can't be furnished"
        );
        Ok(network)
    }

    /// Its file, for `nsenter --net=` and setns(2).
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel tells of this network in a file of /proc/net, as `tcp`; nothing if it
    /// doesn't have that file.
    pub(crate) fn table(&self, name: &str) -> String {
        let path = format!("/proc/{}/net/{name}", self.holder.id());
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Whether somebody listens on this TCP port over IPv4: a socket in state 0A, as
    /// Documentation/networking/proc_net_tcp.rst has it.
    pub(crate) fn has_listener(&self, port: u16) -> bool {
        let end = format!(":{port:04X}");
        self.table("tcp").lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let local = words.next().is_some_and(|local| local.ends_with(&end));
            local && words.nth(1) == Some("0A")
        })
    }

    /// A program that will run as root in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path.display()))
            .arg("--")
            .arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It ends by itself when its input closes; killing it is quicker.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
