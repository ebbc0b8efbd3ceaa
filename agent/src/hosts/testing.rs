// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A name server and a monitor of systemd-resolved, as small as tests need them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What a name server says.
#[derive(Clone, Debug)]
pub(super) enum Says {
    /// Addresses of both families, and their TTL in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// Another name for this one, with its addresses.
    Alias(&'static str, Vec<IpAddr>, u32),
    Failure,
    /// Nothing at all.
    Silence,
}

/// A name server on the loopback, over UDP. What it doesn't know doesn't exist.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Says>>>,
}

impl NameServer {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(HashMap::new()));
        let known = Arc::clone(&zone);
        // Ends with the test's process.
        thread::spawn(move || serve(&socket, &known));
        Self { address, zone }
    }

    pub(super) fn says(&self, name: &str, says: Says) {
        self.zone.lock().unwrap().insert(name.to_owned(), says);
    }

    pub(super) fn has(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        self.says(name, Says::Addresses(addresses.collect(), ttl));
    }
}

fn serve(socket: &UdpSocket, zone: &Mutex<HashMap<String, Says>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let asked = Message::from_vec(&buffer[..length]).unwrap();
        let query = asked.queries[0].clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        let says = zone.lock().unwrap().get(&name).cloned();
        let mut reply = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        reply.add_query(query.clone());
        let mut add = |owner: Name, addresses: Vec<IpAddr>, ttl: u32| {
            for address in addresses {
                if address.is_ipv4() == (query.query_type() == RecordType::A) {
                    reply.add_answer(Record::from_rdata(owner.clone(), ttl, address.into()));
                }
            }
        };
        match says {
            None => reply.metadata.response_code = ResponseCode::NXDomain,
            Some(Says::Failure) => reply.metadata.response_code = ResponseCode::ServFail,
            Some(Says::Silence) => continue,
            Some(Says::Addresses(addresses, ttl)) => add(query.name().clone(), addresses, ttl),
            Some(Says::Alias(target, addresses, ttl)) => {
                let target = Name::from_ascii(format!("{target}.")).unwrap();
                add(target.clone(), addresses, ttl);
                let alias = RData::CNAME(CNAME(target));
                let record = Record::from_rdata(query.name().clone(), ttl, alias);
                reply.answers.insert(0, record);
            }
        }
        socket.send_to(&reply.to_vec().unwrap(), from).unwrap();
    }
}

/// The monitor of systemd-resolved, for one who subscribes.
pub(super) struct Monitor {
    stream: UnixStream,
}

impl Monitor {
    /// Waits at a socket for somebody to subscribe.
    pub(super) fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let mut call = Vec::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reader.read_until(0, &mut call).unwrap();
        let call = String::from_utf8(call).unwrap();
        assert!(call.contains("SubscribeQueryResults"), "{call}");
        assert!(call.contains("\"more\":true"), "{call}");
        let mut monitor = Self { stream };
        monitor.send(r#"{"parameters":{"ready":true},"continues":true}"#);
        monitor
    }

    pub(super) fn listen(path: &Path) -> UnixListener {
        UnixListener::bind(path).unwrap()
    }

    pub(super) fn send(&mut self, message: &str) {
        self.stream.write_all(message.as_bytes()).unwrap();
        self.stream.write_all(&[0]).unwrap();
    }

    /// That somebody has asked for a name, and got an address.
    pub(super) fn answers(&mut self, name: &str, address: [u8; 4]) {
        self.send(&format!(
            r#"{{"parameters":{{"state":"success","question":[{{"class":1,"type":1,"name":"{name}"}}],"answer":[{{"rr":{{"key":{{"class":1,"type":1,"name":"{name}"}},"address":{address:?}}}}}]}},"continues":true}}"#
        ));
    }
}
