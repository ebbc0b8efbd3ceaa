// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the hosts of an endpoint: addresses and networks, each in the one form that the
//! kernel program looks up.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{HostName, HostNameError};

/// NAT64's well-known prefix (RFC 6052, 2.1). The gate looks up the address inside.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostError {
    #[error("{0:?} is neither an address nor a network")]
    NoAddress(String),
    #[error("{text:?} is neither an address nor the name of a host")]
    NoHost { text: String, why: HostNameError },
    #[error("the name {0:?} is too wide")]
    Wide(String),
    #[error("the name {0:?} is every host's own")]
    OwnName(String),
    #[error("{0:?} names a port")]
    Port(String),
    #[error("{text:?} has no valid prefix length")]
    PrefixLength { text: String, longest: u8 },
    #[error("{text:?} has bits set to the right of its prefix")]
    HostBits { text: String, network: IpNet },
    #[error("{text:?} is an IPv4 address in an IPv6 form, which is looked up as IPv4")]
    Embedded { text: String, plain: IpNet },
    #[error("{text:?} would protect every address")]
    Everything { text: String },
    #[error("{text:?} is the address of no host")]
    Unspecified { text: String, loopback: IpAddr },
}

impl HostError {
    /// What to write instead.
    pub(super) fn help(&self) -> String {
        match self {
            Self::NoAddress(_) => "write an address, a network like \"10.20.0.0/16\", a name like \
                                   \"db1.example.com\" or, for all below it, \"*.db.example.com\""
                .to_owned(),
            Self::NoHost { why, .. } => why.to_string(),
            Self::Wide(_) => {
                "name at least a domain of two parts, as in \"*.example.com\"".to_owned()
            }
            Self::OwnName(_) => {
                "write \"127.0.0.1\" and \"::1\" to protect a service of this host".to_owned()
            }
            Self::Port(_) => "write the address alone; ports have a key of their own".to_owned(),
            Self::PrefixLength { longest, .. } => format!("write a number from 1 to {longest}"),
            Self::HostBits { network, text } => {
                let address = text.split('/').next().unwrap_or(text);
                format!("write \"{network}\" for the network, or \"{address}\" for the one host")
            }
            Self::Embedded { plain, .. } => format!("write \"{}\"", show(plain)),
            Self::Everything { .. } => "name the networks in which the protected hosts lie; \
                                        all else that this host does would have to wait, too"
                .to_owned(),
            Self::Unspecified { loopback, .. } => {
                format!("write \"{loopback}\" to protect a service of this host")
            }
        }
    }
}

/// Reads a host name; none if the text is meant for something else.
pub(super) fn parse_name(text: &str) -> Option<Result<HostName, HostError>> {
    let is_other = text.contains([':', '/', '%']) || text.parse::<IpAddr>().is_ok();
    if is_other {
        return None;
    }
    let owned = || text.to_owned();
    Some(match HostName::new(text) {
        Err(why) => Err(HostError::NoHost { text: owned(), why }),
        Ok(HostName::Below(suffix)) if !suffix[1..].contains('.') => Err(HostError::Wide(owned())),
        Ok(HostName::Exact(name)) if *name == *"localhost" || name.ends_with(".localhost") => {
            Err(HostError::OwnName(owned()))
        }
        Ok(name) => Ok(name),
    })
}

/// Reads an address or a network.
pub(super) fn parse_host(text: &str) -> Result<IpNet, HostError> {
    let owned = || text.to_owned();
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        let with_port = text.parse::<SocketAddr>().is_ok();
        return Err(if with_port {
            HostError::Port(owned())
        } else {
            HostError::NoAddress(owned())
        });
    };
    let net = match length {
        None => IpNet::from(address),
        Some(length) => network(text, address, length)?,
    };
    refuse_senseless(text, net)
}

fn network(text: &str, address: IpAddr, length: &str) -> Result<IpNet, HostError> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let net = digits
        .then(|| length.parse().ok())
        .flatten()
        .and_then(|length| IpNet::new(address, length).ok())
        .ok_or_else(|| HostError::PrefixLength {
            text: text.to_owned(),
            longest,
        })?;
    Ok(net)
}

fn refuse_senseless(text: &str, net: IpNet) -> Result<IpNet, HostError> {
    let text = text.to_owned();
    if net.prefix_len() == 0 {
        return Err(HostError::Everything { text });
    }
    if let IpNet::V6(v6) = net
        && let Some(plain) = embedded(v6)
    {
        let plain = IpNet::V4(plain.trunc());
        return Err(HostError::Embedded { text, plain });
    }
    if net.trunc() != net {
        let network = net.trunc();
        return Err(HostError::HostBits { text, network });
    }
    if net.addr().is_unspecified() && net.prefix_len() == net.max_prefix_len() {
        let loopback = match net {
            IpNet::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        return Err(HostError::Unspecified { text, loopback });
    }
    Ok(net)
}

/// The IPv4 network inside a v4-mapped (RFC 4291, 2.5.5.2) or NAT64 one.
fn embedded(net: Ipv6Net) -> Option<Ipv4Net> {
    let length = net.prefix_len().checked_sub(96)?;
    let address = net.addr();
    let inside = address.segments()[..6] == NAT64;
    let [.., a, b, c, d] = address.octets();
    let plain = address
        .to_ipv4_mapped()
        .or_else(|| inside.then(|| [a, b, c, d].into()))?;
    Ipv4Net::new(plain, length).ok()
}

/// A network of one is shown as its address.
fn show(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let error = parse_host(text).unwrap_err();
        format!("{error}; {}", error.help())
    }

    #[test]
    fn addresses_and_networks_are_read() {
        for (text, net) in [
            ("10.20.0.1", "10.20.0.1/32"),
            ("10.20.0.0/16", "10.20.0.0/16"),
            ("fd00:20::/64", "fd00:20::/64"),
            ("FD00::1", "fd00::1/128"),
            ("0.0.0.0/8", "0.0.0.0/8"),
            ("::/64", "::/64"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(parse_host(text).unwrap().to_string(), net);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "10.0.0", "010.0.0.1", "fe80::1%eth0", " 10.0.0.1"] {
            assert!(
                complaint(text).contains("neither an address nor a network"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_port_is_refused() {
        assert!(complaint("10.0.0.1:5432").contains("names a port"));
        assert!(complaint("[fd00::1]:5432").contains("names a port"));
    }

    #[test]
    fn a_bad_prefix_length_is_refused() {
        for text in [
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "::/129",
        ] {
            assert!(complaint(text).contains("no valid prefix length"), "{text}");
        }
        assert!(complaint("10.0.0.0/33").contains("1 to 32"));
    }

    #[test]
    fn host_bits_are_answered_with_the_network() {
        let shown = complaint("10.20.1.5/16");
        assert!(
            shown.contains("\"10.20.0.0/16\"") && shown.contains("\"10.20.1.5\""),
            "{shown}"
        );
    }

    #[test]
    fn ipv4_inside_ipv6_is_answered_with_ipv4() {
        for (text, plain) in [
            ("::ffff:10.1.2.3", "\"10.1.2.3\""),
            ("::ffff:10.1.0.0/112", "\"10.1.0.0/16\""),
            ("::ffff:10.1.2.3/112", "\"10.1.0.0/16\""),
            ("64:ff9b::10.1.2.3", "\"10.1.2.3\""),
        ] {
            assert!(
                complaint(text).ends_with(&format!("write {plain}")),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_and_nothing_are_refused() {
        assert!(complaint("0.0.0.0/0").contains("would protect every address"));
        assert!(complaint("::/0").contains("would protect every address"));
        assert!(complaint("0.0.0.0").contains("127.0.0.1"));
        assert!(complaint("::").contains("::1"));
    }
}
