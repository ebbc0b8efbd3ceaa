// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads an `[[endpoint]]`.

use ipnet::IpNet;

use super::{Located, each, or_default};
use crate::config::{Findings, Spot, Table, Value};
use crate::ids::EndpointId;
use crate::policy::host::parse_host;
use crate::policy::{Endpoint, EndpointName, Existing, PortSpan, Protocol};

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("any", Protocol::Any),
];

const EXISTING: [(&str, Existing); 2] = [("close", Existing::Close), ("keep", Existing::Keep)];

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
    /// Its hosts, those that are ones.
    pub(in crate::policy) hosts: Vec<Located<IpNet>>,
    /// The endpoint, if nothing was wrong with it.
    pub(in crate::policy) endpoint: Option<Endpoint>,
}

impl EndpointDraft {
    pub(super) fn read(mut table: Table<'_>, findings: &mut Findings) -> Self {
        let written = table.require("name", findings);
        let name = written.and_then(|value| name(&value, findings));
        let hosts = table.require("hosts", findings);
        let hosts = hosts.and_then(|value| hosts_of(&value, findings));
        let ports = table.require("ports", findings);
        let ports = ports.and_then(|value| ports_of(&value, findings));
        let protocol = or_default(table.take("protocol"), Protocol::Tcp, |value| {
            value.word(&PROTOCOLS, findings)
        });
        let existing = or_default(table.take("existing"), Existing::Close, |value| {
            value.word(&EXISTING, findings)
        });
        let spot = table.spot().clone();
        table.finish(&RENAMED, findings);
        Self {
            spot,
            name: written.and_then(located_text),
            hosts: hosts.clone().unwrap_or_default(),
            endpoint: complete(name, hosts, ports, protocol, existing),
        }
    }
}

fn complete(
    name: Option<EndpointName>,
    hosts: Option<Vec<Located<IpNet>>>,
    ports: Option<Vec<PortSpan>>,
    protocol: Option<Protocol>,
    existing: Option<Existing>,
) -> Option<Endpoint> {
    let name = name?;
    Some(Endpoint {
        id: EndpointId::from_name(name.as_str()),
        name,
        hosts: hosts?.into_iter().map(|host| host.value).collect(),
        names: Vec::new(),
        resolved: Vec::new(),
        ports: ports?,
        protocol: protocol?,
        existing: existing?,
    })
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

fn hosts_of(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Located<IpNet>>> {
    let nothing = "nothing would be protected";
    let items = value.list("a list of addresses", nothing, findings)?;
    each(items, |item| {
        let text = item.text("an address or a network", findings)?;
        let spot = item.spot();
        match parse_host(text) {
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
