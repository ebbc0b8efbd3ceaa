// SPDX-License-Identifier: Apache-2.0 OR MIT
//! nftables: the kernel's packet filter with a set of prefixes. It can only refuse; it asks nobody.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Tool, done, folder, write};
use crate::lane::{Lane, Network};

/// Its name in the tables.
pub(crate) const NAME: &str = "nftables";

const TABLE: &str = "stile_bench";

/// Sets of at least this many are seen in the memory of a whole machine that does other things.
const VISIBLE: usize = 1_000_000;

/// What a set took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// From the start of `nft` until the kernel has the set.
    pub(crate) time: Duration,
    /// The kernel's memory for it, in bytes; `None` where others' can't be told from it.
    pub(crate) bytes: Option<u64>,
}

/// Lets it match each new TCP connection of the lane's network against these prefixes, and reset
/// those that match.
///
/// # Errors
/// If `nft` is missing or the kernel refuses.
pub(crate) fn filter(mut lane: Lane, prefixes: &[(IpAddr, u8)]) -> Result<Lane> {
    load(&lane.network, prefixes)?;
    lane.who = NAME;
    Ok(lane)
}

/// Loads such a filter into a network. A million prefixes take `nft` most of a minute.
///
/// # Errors
/// If `nft` is missing or the kernel refuses.
pub(crate) fn load(network: &Network, prefixes: &[(IpAddr, u8)]) -> Result<Loaded> {
    let files = folder()?;
    let path = files.path().join("rules.nft");
    write(&path, rules(prefixes)?)?;
    let memory = Memory::now();
    let time = run_file(network, &path)?;
    let bytes = Memory::now().since(&memory, prefixes.len());
    Ok(Loaded { time, bytes })
}

/// Adds one prefix to what [`load`] has loaded, as an administrator does: how long `nft` takes.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn add(network: &Network, prefix: (IpAddr, u8)) -> Result<Duration> {
    let files = folder()?;
    let path = files.path().join("one.nft");
    let set = set(prefix.0.is_ipv4());
    let (address, length) = prefix;
    write(
        &path,
        format!("add element inet {TABLE} {set} {{ {address}/{length} }}\n"),
    )?;
    run_file(network, &path)
}

fn run_file(network: &Network, path: &Path) -> Result<Duration> {
    let mut command = Tool::find("nft")?.command(network);
    let start = Instant::now();
    done(command.arg("-f").arg(path))?;
    Ok(start.elapsed())
}

fn set(is_v4: bool) -> &'static str {
    if is_v4 { "protected4" } else { "protected6" }
}

/// The cheapest filter that does it: no look-up of the connection's state, which alone would cost
/// more than the set.
fn rules(prefixes: &[(IpAddr, u8)]) -> Result<String> {
    let mut text = format!("table inet {TABLE} {{\n");
    for (is_v4, kind) in [(true, "ipv4_addr"), (false, "ipv6_addr")] {
        writeln!(text, "set {} {{ type {kind}; flags interval;", set(is_v4))?;
        let mut own = prefixes
            .iter()
            .filter(|(at, _)| at.is_ipv4() == is_v4)
            .peekable();
        // An empty list of elements is no list.
        if own.peek().is_some() {
            text += "elements = {\n";
            for (address, length) in own {
                writeln!(text, "{address}/{length},")?;
            }
            text += "}\n";
        }
        text += "}\n";
    }
    write!(
        text,
        "chain out {{\ntype filter hook output priority filter; policy accept;\n\
         tcp flags & (syn | ack) == syn ip daddr @{} reject with tcp reset\n\
         tcp flags & (syn | ack) == syn ip6 daddr @{} reject with tcp reset\n}}\n}}\n",
        set(true),
        set(false)
    )?;
    Ok(text)
}

/// The kernel's unreclaimable memory: of the sandbox where memory is counted for each cgroup,
/// else of the machine.
struct Memory {
    bytes: u64,
    is_own: bool,
}

impl Memory {
    fn now() -> Self {
        let cgroup = std::env::var_os("STILE_TEST_CGROUP").unwrap_or_default();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let own = read(&Path::new(&cgroup).join("memory.stat"));
        if let Some(bytes) = number(&own, "slab_unreclaimable ") {
            return Self {
                bytes,
                is_own: true,
            };
        }
        let kib = number(&read(Path::new("/proc/meminfo")), "SUnreclaim:").unwrap_or(0);
        Self {
            bytes: kib * 1024,
            is_own: false,
        }
    }

    /// How much more it is for so many prefixes, if that can be told.
    fn since(&self, before: &Self, prefixes: usize) -> Option<u64> {
        let is_visible = self.is_own || prefixes >= VISIBLE;
        is_visible.then(|| self.bytes.saturating_sub(before.bytes))
    }
}

fn number(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_without_elements_has_no_list_of_them() {
        let text = rules(&[("192.0.2.0".parse().unwrap(), 24)]).unwrap();
        assert_eq!(text.matches("elements").count(), 1, "{text}");
        assert!(text.contains("192.0.2.0/24,"), "{text}");
    }

    #[test]
    fn a_number_is_the_first_word_after_its_key() {
        assert_eq!(number("a 1\nSUnreclaim:  12 kB\n", "SUnreclaim:"), Some(12));
        assert_eq!(number("a 1\n", "b "), None);
    }
}
