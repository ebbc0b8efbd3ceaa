// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads an `[[endpoint]]`.

use ipnet::IpNet;

use super::{Defaults, Located, each, or_default};
use crate::config::{Findings, Spot, Table, Value, closest};
use crate::ids::EndpointId;
use crate::policy::host::{parse_host, parse_name};
use crate::policy::service::{SERVICES, Service, service};
use crate::policy::{Endpoint, EndpointName, Existing, HostName, PortSpan, Protocol};

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("any", Protocol::Any),
];

pub(super) const EXISTING: [(&str, Existing); 2] =
    [("close", Existing::Close), ("keep", Existing::Keep)];

/// Keys that are easily mistaken.
const RENAMED: [(&str, &str); 6] = [
    ("host", "hosts"),
    ("address", "hosts"),
    ("addresses", "hosts"),
    ("networks", "hosts"),
    ("port", "ports"),
    ("protocols", "protocol"),
];

/// An endpoint as far as it could be read.
pub(in crate::policy) struct EndpointDraft {
    /// Where it begins.
    pub(in crate::policy) spot: Spot,
    /// What is written as its name, whether or not it is one.
    pub(in crate::policy) name: Option<Located<String>>,
    /// Its networks, those that are ones.
    pub(in crate::policy) hosts: Vec<Located<IpNet>>,
    /// The endpoint, if nothing was wrong with it.
    pub(in crate::policy) endpoint: Option<Endpoint>,
}

impl EndpointDraft {
    pub(super) fn read(mut table: Table<'_>, defaults: &Defaults, findings: &mut Findings) -> Self {
        let written = table.require("name", findings);
        let name = written.and_then(|value| name(&value, findings));
        let service = match table.take("service") {
            Some(value) => service_of(&value, findings).map(Some),
            None => Some(None),
        };
        let preset = service.flatten();
        let always = preset.is_some_and(|preset| !preset.hosts.is_empty());
        let hosts = if always {
            table.take("hosts")
        } else {
            table.require("hosts", findings)
        };
        let hosts = match (hosts, preset) {
            (Some(value), _) => hosts_of(&value, findings),
            (None, Some(preset)) if always => Some(hosts_of_service(preset, table.spot())),
            (None, _) => None,
        };
        let (ports, protocol) = match (service, preset) {
            (_, Some(preset)) => {
                for key in ["ports", "protocol"] {
                    let why = format!("the service {:?} has its own", preset.name);
                    table.refuse(key, &why, findings);
                }
                (Some(preset.spans().collect()), Some(preset.protocol))
            }
            (None, _) => (None, None),
            (Some(_), None) => {
                let ports = table.require("ports", findings);
                let protocol = or_default(table.take("protocol"), Protocol::Tcp, |value| {
                    value.word(&PROTOCOLS, findings)
                });
                (ports.and_then(|value| ports_of(&value, findings)), protocol)
            }
        };
        let existing = defaults.existing.unwrap_or(Existing::Close);
        let existing = or_default(table.take("existing"), existing, |value| {
            value.word(&EXISTING, findings)
        });
        let spot = table.spot().clone();
        table.know(&["ports", "protocol"]);
        table.finish(&RENAMED, findings);
        Self {
            spot,
            name: written.and_then(located_text),
            hosts: nets(hosts.iter().flatten()),
            endpoint: complete(name, hosts, ports, protocol, existing),
        }
    }
}

/// A host as it is written.
#[derive(Clone, Debug)]
enum Host {
    Net(IpNet),
    Name(HostName),
}

fn nets<'h>(hosts: impl Iterator<Item = &'h Located<Host>>) -> Vec<Located<IpNet>> {
    let nets = hosts.filter_map(|host| match &host.value {
        Host::Net(net) => Some(Located {
            value: *net,
            spot: host.spot.clone(),
        }),
        Host::Name(_) => None,
    });
    nets.collect()
}

fn complete(
    name: Option<EndpointName>,
    hosts: Option<Vec<Located<Host>>>,
    ports: Option<Vec<PortSpan>>,
    protocol: Option<Protocol>,
    existing: Option<Existing>,
) -> Option<Endpoint> {
    let (name, hosts) = (name?, hosts?);
    let names = hosts.iter().filter_map(|host| match &host.value {
        Host::Name(name) => Some(name.clone()),
        Host::Net(_) => None,
    });
    Some(Endpoint {
        id: EndpointId::from_name(name.as_str()),
        name,
        names: names.collect(),
        hosts: nets(hosts.iter())
            .into_iter()
            .map(|host| host.value)
            .collect(),
        resolved: Vec::new(),
        ports: ports?,
        protocol: protocol?,
        existing: existing?,
    })
}

fn service_of(value: &Value<'_>, findings: &mut Findings) -> Option<&'static Service> {
    let text = value.text("the name of a service", findings)?;
    let found = service(text);
    if found.is_none() {
        let names = || SERVICES.iter().map(|service| service.name);
        let help = match closest(text, names()) {
            Some(name) => format!("did you mean {name:?}?"),
            None => format!(
                "write `ports`, or one of {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        findings
            .error(&value.spot(), format!("unknown service {text:?}"))
            .help(help);
    }
    found
}

fn hosts_of_service(service: &Service, spot: &Spot) -> Vec<Located<Host>> {
    let nets = service
        .hosts
        .iter()
        .filter_map(|host| parse_host(host).ok());
    let located = nets.map(|net| Located {
        value: Host::Net(net),
        spot: spot.clone(),
    });
    located.collect()
}

fn located_text(value: Value<'_>) -> Option<Located<String>> {
    Some(Located {
        value: value.as_text()?.to_owned(),
        spot: value.spot(),
    })
}

fn name(value: &Value<'_>, findings: &mut Findings) -> Option<EndpointName> {
    let text = value.text("a name", findings)?;
    EndpointName::new(text)
        .map_err(|refused| {
            findings
                .error(&value.spot(), format!("{text:?} is no name of an endpoint"))
                .help(refused.to_string());
        })
        .ok()
}

fn hosts_of(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Located<Host>>> {
    let nothing = "nothing would be protected";
    let items = value.list("a list of addresses and names", nothing, findings)?;
    each(items, |item| {
        let text = item.text("an address, a network or a host name", findings)?;
        let spot = item.spot();
        let host = match parse_name(text) {
            Some(name) => name.map(Host::Name),
            None => parse_host(text).map(Host::Net),
        };
        match host {
            Ok(value) => Some(Located { value, spot }),
            Err(error) => {
                findings.error(&spot, error.to_string()).help(error.help());
                None
            }
        }
    })
}

fn ports_of(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<PortSpan>> {
    let nothing = "nothing would be protected; \"1-65535\" means every port";
    let items = value.list("a list of ports", nothing, findings)?;
    each(items, |item| port_span(&item, findings))
}

fn port_span(value: &Value<'_>, findings: &mut Findings) -> Option<PortSpan> {
    if value.as_integer().is_some() {
        let port = value.integer_in(1..=u16::MAX, "port", findings)?;
        return PortSpan::new(port, port);
    }
    let text = value.text("a port or a range like \"6432-6439\"", findings)?;
    let span = text
        .split_once('-')
        .and_then(|(first, last)| PortSpan::new(parse_port(first)?, parse_port(last)?));
    if span.is_none() {
        let help = match parse_port(text) {
            Some(port) => format!("write a single port as a number: {port}"),
            None => "write the lower port first, as in \"6432-6439\", both in 1..=65535".to_owned(),
        };
        findings
            .error(&value.spot(), format!("{text:?} is no range of ports"))
            .help(help);
    }
    span
}

/// Digits only: no sign, no space.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
