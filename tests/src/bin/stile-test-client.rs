// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client as any program is one: makes a socket, connects and waits, knows nothing of stile.
//!
//! `stile-test-client tcp|udp|udp-bound ADDRESS:PORT` connects (or, `udp-bound`, only takes that
//! address for its own) and prints `connected MICROSECONDS` or
//! `error ERRNO MICROSECONDS`. Then it obeys lines from stdin, each with one line as answer:
//! `say TEXT` sends a line and prints `heard TEXT`; `listen` waits for the peer. Both print
//! `end` at the end of the stream, or `error ERRNO`. `again` connects with a new socket.
//! `shout TEXT` is `say` with little patience: `error 11` (EAGAIN) if nothing comes back;
//! `hush` is `listen` with as little.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long nothing has to come back to be taken for nothing: the server answers within
/// microseconds.
const SILENCE: Duration = Duration::from_millis(500);

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, address] = arguments.as_slice() else {
        return usage();
    };
    let Ok(address) = address.parse() else {
        return usage();
    };
    let mut socket = connect(protocol, address);
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match (line.split_once(' '), line.as_str(), &mut socket) {
            (_, "again", _) => socket = connect(protocol, address),
            (Some(("say", text)), _, Some(socket)) => answer(say(socket, text)),
            (Some(("shout", text)), _, Some(socket)) => answer(shout(socket, text)),
            (_, "listen", Some(socket)) => answer(listen(socket)),
            (_, "hush", Some(socket)) => answer(impatient(socket).and_then(|()| listen(socket))),
            _ => return usage(),
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: stile-test-client tcp|udp|udp-bound ADDRESS:PORT");
    ExitCode::from(2)
}

fn connect(protocol: &str, address: SocketAddr) -> Option<Socket> {
    let began = Instant::now();
    let made = match protocol {
        "udp" => udp(address).map(Socket::Udp),
        "udp-bound" => UdpSocket::bind(address).map(Socket::Udp),
        _ => TcpStream::connect(address).map(Socket::Tcp),
    };
    let took = began.elapsed().as_micros();
    match made {
        Ok(socket) => {
            println!("connected {took}");
            Some(socket)
        }
        Err(error) => {
            println!("error {} {took}", number(&error));
            None
        }
    }
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

fn say(socket: &mut Socket, text: &str) -> io::Result<Option<String>> {
    match socket {
        Socket::Tcp(stream) => stream.write_all(format!("{text}\n").as_bytes())?,
        Socket::Udp(socket) => drop(socket.send(format!("{text}\n").as_bytes())?),
    }
    listen(socket)
}

fn impatient(socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Tcp(stream) => stream.set_read_timeout(Some(SILENCE)),
        Socket::Udp(socket) => socket.set_read_timeout(Some(SILENCE)),
    }
}

fn shout(socket: &mut Socket, text: &str) -> io::Result<Option<String>> {
    impatient(socket)?;
    say(socket, text)
}

/// One piece of what the peer sends; none at the end of the stream.
fn listen(socket: &mut Socket) -> io::Result<Option<String>> {
    let mut buffer = [0; 4096];
    let length = match socket {
        Socket::Tcp(stream) => stream.read(&mut buffer)?,
        Socket::Udp(socket) => socket.recv(&mut buffer)?,
    };
    let text = String::from_utf8_lossy(&buffer[..length]);
    Ok((length > 0).then(|| text.trim_end().to_owned()))
}

fn answer(heard: io::Result<Option<String>>) {
    match heard {
        Ok(Some(text)) => println!("heard {text}"),
        Ok(None) => println!("end"),
        Err(error) => println!("error {}", number(&error)),
    }
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
