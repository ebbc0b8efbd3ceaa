// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy explain`: what a policy does with a connection, and why.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use anstyle::Style;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stile_common::protocol;

use super::diff::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{print, print_json};
use crate::cli::policy_args::PolicyExplain;
use crate::cli::text::{BAD, GOOD, HEAD, escape, styled};
use crate::explain::case::{destination, endpoint_of, not_looked_up, time};
use crate::explain::{Explanation, Given, GivenNames, Outcome};
use crate::policy::{Endpoint, Policy};

/// How wide a line may be before it is broken.
const COLUMNS: usize = 80;

/// Runs the command.
pub(in crate::cli) fn explain(args: &PolicyExplain) -> Result<Exit, Failure> {
    let usage = |error: String| Failure::new(Exit::Usage, error);
    let at = match &args.at {
        None => Timestamp::now(),
        Some(text) => {
            time(text, args.tz.clone().unwrap_or_else(TimeZone::system)).ok_or_else(|| {
                usage(format!(
                    "{text:?} is no time; write it as in 2026-01-05T03:00"
                ))
            })?
        }
    };
    let (host, port) = destination(&args.to).ok_or_else(|| {
        let help = "write it as in db1.example.com:5432 or [fd00::1]:5432";
        usage(format!("{:?} is no destination; {help}", args.to))
    })?;
    let policy = load(&args.policy)?;
    let names = GivenNames::here(&args.user, &args.groups)
        .map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
    let number = if args.udp {
        protocol::UDP
    } else {
        protocol::TCP
    };
    let endpoint = endpoint_at(&policy, &host, port, number).map_err(usage)?;
    let given = given(args, at);
    let mut explanation = Explanation::new(&policy, &names, &given, names.uid(), endpoint);
    explanation.not_looked_up = not_looked_up(&policy, &host, port, number);
    if args.format.json {
        print_json(&explanation)?;
        return Ok(Exit::Ok);
    }
    if names.is_made_up() {
        print(&format!(
            "{:?} has no account here: it is taken for somebody in the groups that are given",
            escape(&args.user)
        ))?;
    }
    print(&painted(&explanation))?;
    Ok(Exit::Ok)
}

/// The text in lines that fit, with its conclusion marked.
fn painted(explanation: &Explanation) -> String {
    let conclusion = explanation.conclusion();
    let style: Style = match explanation.outcome {
        Outcome::Deny => BAD,
        Outcome::Allow | Outcome::Observe | Outcome::Unprotected => GOOD,
        Outcome::StepUp => HEAD,
    };
    let text = explanation.to_string();
    let lines = text.lines().map(|line| {
        let filled = filled(&escape(line));
        if line == conclusion {
            styled(style, &filled)
        } else {
            filled
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The line, broken between words where it is too long. What follows is indented further.
fn filled(line: &str) -> String {
    let text = line.trim_start();
    let indent = line.len() - text.len();
    let mut filled = " ".repeat(indent);
    let mut column = indent;
    for (at, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > COLUMNS {
            filled.push('\n');
            filled.push_str(&" ".repeat(indent + 4));
            column = indent + 4;
        } else if at > 0 {
            filled.push(' ');
            column += 1;
        }
        filled.push_str(word);
        column += width;
    }
    filled
}

fn given(args: &PolicyExplain, at: Timestamp) -> Given {
    Given {
        program: args.program.clone(),
        sha256: args.sha256,
        remote: either(args.remote, args.local),
        from: args.from,
        session: args.session,
        seat: args.seat.clone(),
        tty: either(args.tty, args.no_tty),
        unit: args.unit.clone(),
        new_program: either(args.new_program, args.known_program),
        new_destination: either(args.new_destination, args.known_destination),
        new_address: either(args.new_address, args.known_address),
        unusual_hour: either(args.unusual_hour, args.usual_hour),
        failures: args.failures,
        connections: args.connections,
        ..Given::at(at)
    }
}

fn either(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

/// The endpoint of a destination: by its address, by its name, or by the addresses that this host
/// knows for the name.
fn endpoint_at<'p>(
    policy: &'p Policy,
    host: &str,
    port: u16,
    number: u8,
) -> Result<Option<&'p Endpoint>, String> {
    let known = endpoint_of(policy, host, port, number);
    if known.is_some() || host.parse::<IpAddr>().is_ok() {
        return Ok(known);
    }
    let addresses = (host, port).to_socket_addrs();
    let addresses: Vec<SocketAddr> = addresses
        .map_err(|error| format!("{host:?} can't be resolved: {error}; write an address"))?
        .collect();
    let at = |address: &SocketAddr| policy.endpoint_at(address.ip(), port, number);
    let first = addresses.first().and_then(at);
    let alike = |address: &SocketAddr| at(address).map(|one| one.id) == first.map(|one| one.id);
    if addresses.iter().all(alike) {
        return Ok(first);
    }
    let addresses: Vec<_> = addresses.iter().map(|one| one.ip().to_string()).collect();
    Err(format!(
        "the addresses of {host:?} don't belong to one endpoint; write one of {}",
        addresses.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_their_rest_is_indented() {
        let line = format!("  ✓ {}", "word ".repeat(40).trim_end());
        let filled = filled(&line);
        assert!(filled.lines().count() > 1);
        for (at, part) in filled.lines().enumerate() {
            assert!(part.chars().count() <= COLUMNS, "{part}");
            assert!(at == 0 || part.starts_with("      word"), "{part}");
        }
        assert_eq!(filled.split_whitespace().count(), 41);
    }
}
