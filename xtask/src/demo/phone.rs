// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The phone that the demo has not got: an authenticator app for one secret.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Color, Style};
use anyhow::{Context, Result};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use totp_rs::Totp;

/// RFC 6238: a new code every 30 seconds.
const PERIOD: u64 = 30;

/// An authenticator app, which knows that each code counts once only.
pub(super) struct Phone {
    totp: Totp,
    last_step: u64,
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phone(REDACTED)")
    }
}

impl Phone {
    /// Scans the QR code, so to say.
    pub(super) fn scan(url: &str) -> Result<Self> {
        Ok(Self {
            totp: Totp::from_url(url).context("the agent's otpauth address can't be read")?,
            last_step: 0,
        })
    }

    /// What [`print_code`] reads.
    pub(super) fn file(&self, url: &str) -> String {
        format!("{url}\n{}\n", self.last_step)
    }

    /// A code that was not used before. The agent takes the next one up to 30 seconds early
    /// (RFC 6238 5.2 allows for clocks that differ), so this waits for that long at most.
    pub(super) fn fresh_code(&mut self) -> Result<String> {
        let mut step = (unix_seconds()? / PERIOD).max(self.last_step + 1);
        let early = (step - 1) * PERIOD;
        let now = unix_seconds()?;
        if early > now {
            // Nothing happens that could be waited for but time itself.
            std::thread::sleep(Duration::from_secs(early - now + 1));
            step = step.max(unix_seconds()? / PERIOD);
        }
        self.last_step = step;
        Ok(self.totp.generate(step * PERIOD).to_string())
    }
}

/// The QR code for a real phone, black on white whatever the terminal's colours are.
pub(super) fn qr(url: &str) -> Result<String> {
    const COLOURS: Style = Style::new()
        .fg_color(Some(Color::Ansi(AnsiColor::Black)))
        .bg_color(Some(Color::Ansi(AnsiColor::BrightWhite)));
    let code = QrCode::with_error_correction_level(url, EcLevel::L)
        .context("the otpauth address doesn't fit into a QR code")?;
    let plain = code.render::<Dense1x2>().quiet_zone(true).build();
    Ok(plain
        .lines()
        .map(|line| format!("{COLOURS}{line}{COLOURS:#}\n"))
        .collect())
}

/// Prints what a phone would show now, for the status line of tmux. The file has the otpauth
/// address, and the step whose code confirmed it: as that one is used up, the next is shown
/// in its place.
pub(super) fn print_code(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("could not read {}", file.display()))?;
    let (url, used) = text.split_once('\n').context("the file has one line")?;
    let phone = Phone::scan(url)?;
    let now = unix_seconds()?;
    let step = (now / PERIOD).max(used.trim().parse::<u64>()? + 1);
    let code = phone.totp.generate(step * PERIOD);
    println!("{code} (for {} s)", (step + 1) * PERIOD - now);
    Ok(())
}

fn unix_seconds() -> Result<u64> {
    Ok(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str =
        "otpauth://totp/stile:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=stile";

    #[test]
    fn two_codes_in_a_row_differ() {
        let mut phone = Phone::scan(URL).unwrap();
        assert_ne!(phone.fresh_code().unwrap(), phone.fresh_code().unwrap());
    }

    #[test]
    fn the_vector_of_rfc_6238_comes_out() {
        let phone = Phone::scan(URL).unwrap();
        assert_eq!(phone.totp.generate(59).to_string(), "287082");
    }
}
