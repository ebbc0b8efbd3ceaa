// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client of HTTP/1.1 that is as small as it can be: its own time must not be what is measured.

use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// How many requests are not counted.
const WARM_UP: usize = 100;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// The longest answer that it takes.
const LONGEST: usize = 4096;

/// Times requests, one after the other.
pub(super) fn requests(socket: &OwnedFd, count: usize, times: &mut Vec<f64>) -> Result<()> {
    let mut buffer = [0; LONGEST];
    for turn in 0..WARM_UP + count {
        let start = Instant::now();
        send(socket, REQUEST, SendFlags::NOSIGNAL).context("send")?;
        receive(socket, &mut buffer)?;
        let elapsed = start.elapsed();
        if turn >= WARM_UP {
            times.push(elapsed.as_nanos() as f64);
        }
    }
    Ok(())
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    loop {
        ensure!(filled < buffer.len(), "an answer is too long");
        let (length, _) = recv(socket, &mut buffer[filled..], RecvFlags::empty())?;
        ensure!(length > 0, "the server has ended the connection");
        filled += length;
        if is_whole(&buffer[..filled])? {
            return Ok(());
        }
    }
}

/// Whether this is a whole answer: its head, and as many bytes as that tells (RFC 9112, 6.2).
fn is_whole(answer: &[u8]) -> Result<bool> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = answer.windows(END.len()).position(|bytes| bytes == END) else {
        return Ok(false);
    };
    let (head, body) = (&answer[..head], &answer[head + END.len()..]);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        bail!("the server answers {}", String::from_utf8_lossy(head));
    }
    let length = head.split(|byte| *byte == b'\n').find_map(length);
    Ok(body.len() == length.context("an answer without content-length")?)
}

/// The value, if this line is the header that we need.
fn length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
        assert!(is_whole(answer).unwrap());
        for length in 0..answer.len() {
            assert!(!is_whole(&answer[..length]).unwrap(), "{length}");
        }
    }

    #[test]
    fn an_answer_that_is_not_ok_is_an_error() {
        assert!(is_whole(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
