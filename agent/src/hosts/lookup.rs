// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks for the addresses of a name, as the host's own resolver does: `/etc/hosts`, then the name
//! servers of `/etc/resolv.conf`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ResolveHosts, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver, TokioResolver};

use super::answer::Answer;
use super::known::Family;

/// The longest that one question may take: two name servers, each asked twice for 5 s, which is
/// what resolv.conf(5) says by itself, with some to spare.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long an answer from `/etc/hosts` holds; then the file is looked at again.
const HOSTS_TTL: Duration = Duration::from_secs(60);
/// The most that is read of resolv.conf and of hosts: lists that block advertisements have a few
/// million bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// Why a lookup said nothing about a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    /// There is no such name, or it has no address.
    #[error("there is no such host")]
    Nothing,
    /// The name servers failed, or none answered.
    #[error("the name servers failed: {0}")]
    Servers(String),
    /// The host's own configuration.
    #[error("{path}: {why}", path = path.display())]
    Config { path: PathBuf, why: String },
}

/// What was found out about a name, for each family by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) v4: Result<Answer, Failed>,
    pub(super) v6: Result<Answer, Failed>,
}

impl Lookup {
    pub(super) fn failed(why: Failed) -> Self {
        Self {
            v4: Err(why.clone()),
            v6: Err(why),
        }
    }

    /// True if the name has no address at all, as far as was told.
    pub(super) fn is_nothing(&self) -> bool {
        let has_none = |found: &Result<Answer, Failed>| match found {
            Ok(answer) => answer.addresses.is_empty(),
            Err(_) => true,
        };
        has_none(&self.v4) && has_none(&self.v6)
    }

    pub(super) fn families(self) -> [(Family, Result<Answer, Failed>); 2] {
        [(Family::V4, self.v4), (Family::V6, self.v6)]
    }
}

/// The host's resolver. It follows its files.
pub(super) struct SystemResolver {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    port: u16,
    made: Option<Made>,
}

struct Made {
    of: (Stamp, Stamp),
    with: Asking,
}

/// What one lookup needs; cheap to clone.
#[derive(Clone)]
pub(super) struct Asking {
    resolver: Result<TokioResolver, Failed>,
    hosts: Arc<Hosts>,
}

/// What a file looks like from outside when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.and_then(|found| Some((found.modified().ok()?, found.len()))))
    }
}

impl SystemResolver {
    /// A resolver of these files. Its name servers are asked at this port.
    pub(super) fn new(resolv_conf: PathBuf, hosts: PathBuf, port: u16) -> Self {
        let made = None;
        Self {
            resolv_conf,
            hosts,
            port,
            made,
        }
    }

    /// What to ask with now.
    pub(super) fn asking(&mut self) -> Asking {
        let of = (Stamp::of(&self.resolv_conf), Stamp::of(&self.hosts));
        match &self.made {
            Some(made) if made.of == of => made.with.clone(),
            _ => {
                let with = self.make();
                self.made = Some(Made {
                    of,
                    with: with.clone(),
                });
                with
            }
        }
    }

    fn make(&self) -> Asking {
        let mut hosts = Hosts::default();
        // A host may do without the file, and what is read of a broken one counts.
        if let Ok(text) = read(&self.hosts) {
            let _ = hosts.read_hosts_conf(text.as_slice());
        }
        let resolver = self.resolver().map_err(|error| Failed::Config {
            path: self.resolv_conf.clone(),
            why: error.to_string(),
        });
        Asking {
            resolver,
            hosts: Arc::new(hosts),
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let (config, mut options) = parse_resolv_conf(read(&self.resolv_conf)?)?;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        // When to ask again is decided elsewhere.
        options.cache_size = 0;
        let (_, _, mut servers) = config.into_parts();
        for connection in servers.iter_mut().flat_map(|one| &mut one.connections) {
            connection.port = self.port;
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let provider = TokioRuntimeProvider::default();
        let builder = Resolver::builder_with_config(config, provider);
        builder.with_options(options).build()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_CONFIG).read_to_end(&mut text)?;
    Ok(text)
}

impl Asking {
    /// The addresses of a name, which is a whole one: no search list is put to it.
    pub(super) async fn addresses(self, name: &str) -> Lookup {
        let Ok(mut name) = Name::from_ascii(name) else {
            return Lookup::failed(Failed::Nothing);
        };
        name.set_fqdn(true);
        let of_hosts = [RecordType::A, RecordType::AAAA].map(|kind| self.in_hosts(&name, kind));
        if of_hosts.iter().any(Option::is_some) {
            // As the system's resolver does: what the file knows isn't asked of servers.
            let [v4, v6] = of_hosts.map(|found| Ok(found.unwrap_or_default()));
            return Lookup { v4, v6 };
        }
        let (v4, v6) = tokio::join!(
            self.ask(name.clone(), RecordType::A),
            self.ask(name.clone(), RecordType::AAAA),
        );
        Lookup { v4, v6 }
    }

    fn in_hosts(&self, name: &Name, kind: RecordType) -> Option<Answer> {
        let query = Query::query(name.clone(), kind);
        let found = self.hosts.lookup_static_host(&query)?;
        let addresses = found.answers().iter();
        Some(Answer {
            addresses: addresses.filter_map(|one| one.data.ip_addr()).collect(),
            ttl: HOSTS_TTL,
        })
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Answer, Failed> {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        let asked = tokio::time::timeout(PATIENCE, resolver.lookup(name, kind));
        match asked.await.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => {
                let records = found.answers();
                let addresses: Vec<IpAddr> = records
                    .iter()
                    .filter_map(|one| one.data.ip_addr())
                    .collect();
                let ttl = records.iter().map(|one| one.ttl).min().unwrap_or(0);
                let ttl = Duration::from_secs(ttl.into());
                Ok(Answer { addresses, ttl })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) if is_denial(none.response_code) => {
                Ok(Answer::default())
            }
            Err(error) => Err(Failed::Servers(error.to_string())),
        }
    }
}

/// True if a server has said that there is nothing, and not that it can't tell.
fn is_denial(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

#[cfg(test)]
mod tests;
