// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of the Assuan protocol that a pinentry needs: lines of commands, and lines of
//! answers (libassuan's manual, "Client requests" and "Server responses").

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::{Zeroize, Zeroizing};

/// The longest line, in bytes, without its end (libassuan, `ASSUAN_LINELENGTH` less CR LF).
const MAX_LINE: usize = 1000;
/// The most data that one answer may have. A code has some ten bytes, and what a person pastes
/// by mistake fits in one line.
const MAX_DATA: usize = MAX_LINE;
/// How many status lines, comments and pieces of data one answer may have.
const MAX_LINES: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AssuanError {
    /// The pipe is broken.
    #[error("{0}")]
    Pipe(#[from] io::Error),
    /// It ended.
    #[error("it ended without an answer")]
    Ended,
    /// It said what no pinentry says.
    #[error("it answered with {0}")]
    Garbled(&'static str),
}

/// What the other end said to a command.
pub enum Answer {
    /// `OK`, and the data that came before it.
    Done(Zeroizing<Vec<u8>>),
    /// `ERR`: the code of libgpg-error, with its source in the upper byte, and the text.
    Failed {
        /// The code.
        code: u32,
        /// What it means, in words of the other end.
        text: String,
    },
}

/// A conversation.
pub struct Client<R, W> {
    input: Lines<R>,
    output: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Client<R, W> {
    /// Waits for the other end's greeting.
    ///
    /// # Errors
    /// If it says something else.
    pub async fn greeted(input: R, output: W) -> Result<Self, AssuanError> {
        let mut client = Self {
            input: Lines::new(input),
            output,
        };
        match client.answer().await? {
            Answer::Done(_) => Ok(client),
            Answer::Failed { .. } => Err(AssuanError::Garbled("an error instead of a greeting")),
        }
    }

    /// Sends a command without an argument or with text, which is cut to fit into a line, and
    /// waits for the answer.
    ///
    /// # Errors
    /// If there is none, or none that can be understood.
    pub async fn command(&mut self, name: &str, text: &str) -> Result<Answer, AssuanError> {
        self.output
            .write_all(request(name, text).as_bytes())
            .await?;
        self.output.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, AssuanError> {
        let mut data = Zeroizing::new(Vec::with_capacity(MAX_DATA));
        for _ in 0..MAX_LINES {
            let line = self.input.next().await?;
            let (keyword, rest) = split(&line);
            match keyword {
                b"OK" => return Ok(Answer::Done(data)),
                b"ERR" => return failed(rest),
                b"D" => unescape(rest, &mut data)?,
                b"S" => {}
                _ if line.starts_with(b"#") => {}
                _ => return Err(AssuanError::Garbled("what is no answer")),
            }
        }
        Err(AssuanError::Garbled("too many lines"))
    }
}

/// The keyword of a line, and what follows its space.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[]),
    }
}

fn failed(rest: &[u8]) -> Result<Answer, AssuanError> {
    let rest = String::from_utf8_lossy(rest);
    let (code, text) = rest.split_once(' ').unwrap_or((&rest, ""));
    let code = code
        .parse()
        .map_err(|_| AssuanError::Garbled("an error without a number"))?;
    Ok(Answer::Failed {
        code,
        text: super::question::line(text, 100),
    })
}

/// A line that asks: the name, a space, the text with `%`, CR and LF escaped, and LF.
///
/// The text is cut to what a line takes, never within an escape or a character; `…` says so.
fn request(name: &str, text: &str) -> String {
    const ELLIPSIS: &str = "…";
    let mut line = String::from(name);
    if !text.is_empty() {
        line.push(' ');
    }
    let mut cut_at = line.len();
    for character in text.chars() {
        push_escaped(&mut line, character);
        if line.len() > MAX_LINE {
            line.truncate(cut_at);
            line.push_str(ELLIPSIS);
            break;
        }
        if line.len() + ELLIPSIS.len() <= MAX_LINE {
            cut_at = line.len();
        }
    }
    line.push('\n');
    line
}

fn push_escaped(line: &mut String, character: char) {
    match character {
        '%' => line.push_str("%25"),
        '\n' => line.push_str("%0A"),
        '\r' => line.push_str("%0D"),
        // It would end the text in C.
        '\0' => line.push(' '),
        other => line.push(other),
    }
}

/// Appends what escaped data says.
fn unescape(escaped: &[u8], data: &mut Vec<u8>) -> Result<(), AssuanError> {
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        if data.len() == MAX_DATA {
            return Err(AssuanError::Garbled("more than a code has"));
        }
        data.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or(AssuanError::Garbled("a broken escape"))?
            }
            plain => *plain,
        });
    }
    Ok(())
}

/// Lines of at most [`MAX_LINE`] bytes. What was read is wiped.
struct Lines<R> {
    input: R,
    /// Never grows, so that nothing of it is left elsewhere in memory.
    buffer: Zeroizing<[u8; MAX_LINE + 2]>,
    filled: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            buffer: Zeroizing::new([0; MAX_LINE + 2]),
            filled: 0,
        }
    }

    /// The next line without its end.
    async fn next(&mut self) -> Result<Zeroizing<Vec<u8>>, AssuanError> {
        loop {
            let read = &self.buffer[..self.filled];
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                return Ok(self.take(end));
            }
            if self.filled == self.buffer.len() {
                return Err(AssuanError::Garbled("a line that is too long"));
            }
            match self.input.read(&mut self.buffer[self.filled..]).await? {
                0 => return Err(AssuanError::Ended),
                more => self.filled += more,
            }
        }
    }

    /// Takes the line that ends there out of the buffer.
    fn take(&mut self, end: usize) -> Zeroizing<Vec<u8>> {
        let line = &self.buffer[..end];
        let line = Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        self.buffer.copy_within(end + 1..self.filled, 0);
        let left = self.filled - end - 1;
        self.buffer[left..self.filled].zeroize();
        self.filled = left;
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client makes of these bytes, sent after a greeting.
    async fn answer_to(said: &[u8]) -> Result<Answer, AssuanError> {
        let all = [b"OK Pleased to meet you\n", said].concat();
        let mut client = Client::greeted(all.as_slice(), tokio::io::sink()).await?;
        client.command("GETPIN", "").await
    }

    fn garbled(said: &[u8]) -> &'static str {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        match runtime.block_on(answer_to(said)) {
            Err(AssuanError::Garbled(how)) => how,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("understood"),
        }
    }

    #[tokio::test]
    async fn a_code_comes_as_data_between_status_lines() {
        let said = b"# hello\nS PASSWORD_FROM_CACHE\nD 492%20817%25\r\nD -\nOK closing\n";
        let Answer::Done(data) = answer_to(said).await.unwrap() else {
            panic!("an error");
        };
        assert_eq!(data.as_slice(), b"492 817%-");
    }

    #[tokio::test]
    async fn an_error_has_a_number_and_bounded_text() {
        let said = b"ERR 83886179 Operation\x1b cancelled <Pinentry>\n";
        let Answer::Failed { code, text } = answer_to(said).await.unwrap() else {
            panic!("no error");
        };
        assert_eq!(code, 83_886_179);
        assert_eq!(text, "Operation  cancelled <Pinentry>");
    }

    #[tokio::test]
    async fn an_end_in_the_middle_is_no_answer() {
        for said in ["", "D 12", "D 12\n", "OK"] {
            let answer = answer_to(said.as_bytes()).await;
            assert!(matches!(answer, Err(AssuanError::Ended)), "{said}");
        }
    }

    #[test]
    fn nonsense_is_no_answer() {
        assert_eq!(garbled(b"hello\n"), "what is no answer");
        assert_eq!(garbled(b"OKAY\n"), "what is no answer");
        assert_eq!(garbled(b"ERR x\n"), "an error without a number");
        assert_eq!(garbled(b"D 1%2\nOK\n"), "a broken escape");
        assert_eq!(garbled(b"D %zz\nOK\n"), "a broken escape");
        assert_eq!(garbled(&b"S x\n".repeat(100)), "too many lines");
        assert_eq!(
            garbled(format!("D {}\nOK\n", "1".repeat(2000)).as_bytes()),
            "a line that is too long"
        );
        let line = format!("D {}\n", "1".repeat(900));
        assert_eq!(garbled(line.repeat(2).as_bytes()), "more than a code has");
    }

    #[test]
    fn a_command_without_text_is_its_name() {
        assert_eq!(request("GETPIN", ""), "GETPIN\n");
        assert_eq!(request("SETDESC", "50 %\nof\r"), "SETDESC 50 %25%0Aof%0D\n");
    }

    #[test]
    fn a_text_that_just_fits_is_not_cut() {
        let fits = "x".repeat(MAX_LINE - "SETDESC ".len());
        assert_eq!(request("SETDESC", &fits), format!("SETDESC {fits}\n"));
        let cut = request("SETDESC", &format!("{fits}x"));
        assert!(cut.ends_with("x…\n"));
        assert_eq!(cut.len(), MAX_LINE + 1);
    }

    proptest! {
        #[test]
        fn no_text_becomes_a_second_command(text in "(\\PC|[%\r\n\0]){0,400}") {
            let line = request("SETDESC", &text);
            prop_assert!(line.len() <= MAX_LINE + 1);
            prop_assert_eq!(line.find(['\n', '\r', '\0']), Some(line.len() - 1));
        }

        #[test]
        fn a_text_that_fits_arrives_as_it_is(text in "(\\PC|[%\r\n]){1,200}") {
            let line = request("SETDESC", &text);
            prop_assume!(!line.ends_with("…\n"));
            let escaped = line.strip_prefix("SETDESC ").unwrap().strip_suffix('\n').unwrap();
            let mut data = Vec::new();
            unescape(escaped.as_bytes(), &mut data).unwrap();
            prop_assert_eq!(String::from_utf8(data).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(
            said in prop::collection::vec(any::<u8>(), 0..3000)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(Answer::Done(data)) = runtime.block_on(answer_to(&said)) {
                prop_assert!(data.len() <= MAX_DATA);
            }
        }
    }
}
