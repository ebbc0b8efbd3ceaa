// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QR codes on a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// Black on white, from the part of the 256 colours that themes leave alone. Dark modules have
/// to look dark whatever the terminal's colours are, or scanners don't find the code.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The text as a QR code with the quiet zone of 4 modules that ISO/IEC 18004 asks for, two
/// modules in one character. `terminal` adds the colours: they are part of the code and no
/// decoration.
pub(super) fn render(text: &str, terminal: bool) -> Result<Zeroizing<String>, QrError> {
    // Least correction: nothing covers a screen, and the code stays small.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let plain = Zeroizing::new(code.render::<Dense1x2>().quiet_zone(true).build());
    if !terminal {
        return Ok(plain);
    }
    let mut coloured = Zeroizing::new(String::with_capacity(plain.len() * 2));
    for line in plain.lines() {
        for part in [BLACK_ON_WHITE, line, RESET, "\n"] {
            coloured.push_str(part);
        }
    }
    Ok(coloured)
}

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;

    const URL: &str = "otpauth://totp/host:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=h";

    /// The modules that these lines show, dark ones as true.
    fn modules(lines: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in lines.lines() {
            rows.push(line.chars().map(|c| matches!(c, '▀' | '█')).collect());
            rows.push(line.chars().map(|c| matches!(c, '▄' | '█')).collect());
        }
        rows
    }

    #[test]
    fn it_shows_the_modules_of_the_code_within_a_quiet_zone_of_four() {
        let code = QrCode::with_error_correction_level(URL, EcLevel::L).unwrap();
        let width = code.width();
        let rows = modules(&render(URL, false).unwrap());
        for (y, row) in rows.iter().enumerate() {
            assert_eq!(row.len(), width + 8);
            for (x, &dark) in row.iter().enumerate() {
                let inside = (4..width + 4).contains(&x) && (4..width + 4).contains(&y);
                let expected = inside && code[(x - 4, y - 4)] == Color::Dark;
                assert_eq!(dark, expected, "module {x}, {y}");
            }
        }
        assert!(rows.len() >= width + 8);
    }

    #[test]
    fn on_a_terminal_every_line_is_black_on_white_and_ends_so() {
        let text = render(URL, true).unwrap();
        for line in text.lines() {
            assert!(line.starts_with(BLACK_ON_WHITE) && line.ends_with(RESET));
        }
        assert_eq!(
            anstream::adapter::strip_str(&text)
                .to_string()
                .trim_end_matches('\n'),
            render(URL, false).unwrap().as_str()
        );
    }

    #[test]
    fn it_fits_on_a_terminal_of_eighty_columns() {
        let text = render(URL, false).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }
}
