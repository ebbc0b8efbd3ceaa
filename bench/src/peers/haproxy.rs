// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HAProxy: as a relay of TCP, as two of them with TLS between, which is the shape of an access
//! proxy, and as the web server behind relays.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Process, Tool, done, folder, write};
use crate::lane::{Lane, Network};

/// Its name in the tables as one hop.
pub(crate) const NAME: &str = "HAProxy";
/// As two hops.
pub(crate) const TLS_NAME: &str = "two-hop TLS";

/// Where its doors are, on the loopback.
const DOOR: u16 = 8001;
const TLS_DOOR: u16 = 8002;
/// The second hop of the two.
const GATEWAY: u16 = 8003;

/// Nothing is closed because nobody spoke while others had their turn.
const BEGINNING: &str = "global\n  maxconn 4000\n  nbthread 1\n\
    defaults\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n";

/// Lets it stand before a server of the lane's network, with one hop.
///
/// # Errors
/// If it is missing or doesn't start.
pub(crate) fn relay(lane: Lane, to: SocketAddr) -> Result<Lane> {
    let text = format!(
        "{BEGINNING}  mode tcp\n\
         listen door\n  bind 127.0.0.1:{DOOR}\n  server s {to}\n"
    );
    before(lane, NAME, DOOR, &text, folder()?)
}

/// Lets two of its frontends stand before a server of the lane's network: the one that clients
/// meet speaks mutual TLS with the other one. Each connection has a full handshake of its own, as
/// those of programs that keep no sessions.
///
/// # Errors
/// If it or openssl is missing, or if it doesn't start.
pub(crate) fn tls_relay(lane: Lane, to: SocketAddr) -> Result<Lane> {
    let files = folder()?;
    certify(files.path())?;
    let at = files.path().display();
    let text = format!(
        "{BEGINNING}  mode tcp\n\
         listen agent\n  bind 127.0.0.1:{TLS_DOOR}\n  server gateway 127.0.0.1:{GATEWAY} ssl \
         no-ssl-reuse verify required ca-file {at}/ca.pem crt {at}/client.pem\n\
         listen gateway\n  bind 127.0.0.1:{GATEWAY} ssl crt {at}/server.pem ca-file {at}/ca.pem \
         verify required\n  server s {to}\n"
    );
    before(lane, TLS_NAME, TLS_DOOR, &text, files)
}

/// A web server that answers each request with a few bytes.
///
/// # Errors
/// If it is missing or doesn't start.
pub(crate) fn web_server(network: &Network, port: u16) -> Result<Served> {
    let text = format!(
        "{BEGINNING}  mode http\n  timeout http-keep-alive 1h\n  timeout http-request 1h\n\
         frontend web\n  bind :{port}\n  \
         http-request return status 200 content-type text/plain string \"it works\"\n"
    );
    serve(network, port, &text, folder()?)
}

/// A running one, with the files that it reads.
#[derive(Debug)]
pub(crate) struct Served {
    _process: Process,
    _files: TempDir,
}

fn before(
    mut lane: Lane,
    who: &'static str,
    door: u16,
    text: &str,
    files: TempDir,
) -> Result<Lane> {
    let served = serve(&lane.network, door, text, files)?;
    lane.who = who;
    lane.door = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), door);
    lane.keeps.push(Box::new(served));
    Ok(lane)
}

fn serve(network: &Network, port: u16, text: &str, files: TempDir) -> Result<Served> {
    let configuration = files.path().join("haproxy.cfg");
    write(&configuration, text)?;
    let mut command = Tool::find("haproxy")?.command(network);
    command.arg("-db").arg("-f").arg(&configuration);
    let process = Process::start(&mut command, || network.has_listener(port)).context("HAProxy")?;
    Ok(Served {
        _process: process,
        _files: files,
    })
}

/// Makes an authority, and certificates of it for both ends of a hop.
fn certify(at: &Path) -> Result<()> {
    let openssl = Tool::find("openssl")?;
    let run = |words: &str| {
        let mut command = openssl.offline();
        done(command.args(words.split(' ')).current_dir(at))
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 7 -subj /CN=ca"
    ))?;
    write(&at.join("names"), "subjectAltName=IP:127.0.0.1")?;
    for name in ["server", "client"] {
        run(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ))?;
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 \
             -out {name}.crt -extfile names"
        ))?;
        // It wants a certificate and its key in one file.
        let mut pair = read(&at.join(format!("{name}.crt")))?;
        pair += &read(&at.join(format!("{name}.key")))?;
        write(&at.join(format!("{name}.pem")), pair)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}
