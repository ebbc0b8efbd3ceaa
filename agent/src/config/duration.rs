// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Durations as people write them: `90s`, `15m`, `1h30m`.

use std::time::Duration;

const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number without its unit: seconds and minutes are not told apart by guessing.
    #[error("a unit is missing: s, m or h")]
    NoUnit,
    /// A unit twice, or a larger one after a smaller one.
    #[error("the units must come in the order h, m, s, each at most once")]
    Order,
    /// Anything else.
    #[error("not a duration")]
    Malformed,
    /// More than can be counted.
    #[error("too long")]
    TooLong,
}

/// Reads `1h30m`: whole numbers, each with its unit, the largest unit first.
///
/// # Errors
/// Where the text is anything else. Zero is read; whether it means something is for the
/// caller to say.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    let (mut rest, mut seconds, mut units) = (text, 0_u64, &UNITS[..]);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let unit = tail.chars().next().ok_or(DurationError::NoUnit)?;
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::Malformed);
        }
        let at = units.iter().position(|(name, _)| *name == unit);
        let at = at.ok_or(DurationError::Order)?;
        seconds = number
            .checked_mul(units[at].1)
            .and_then(|part| seconds.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        units = &units[at + 1..];
        rest = &tail[1..];
    }
    Ok(Duration::from_secs(seconds))
}

/// Writes a duration as [`parse_duration`] reads it, in whole seconds.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (name, length) in UNITS {
        if seconds >= length {
            text.push_str(&format!("{}{name}", seconds / length));
            seconds %= length;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1h1s", 3601)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "24h");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        use DurationError::{Malformed, NoUnit, Order, TooLong};
        for (text, error) in [
            ("", Malformed),
            ("15", NoUnit),
            ("1h30", NoUnit),
            ("m", Malformed),
            ("15 m", Malformed),
            ("-15m", Malformed),
            ("1.5h", Malformed),
            ("15min", Malformed),
            ("2d", Malformed),
            ("15é", Malformed),
            ("5m1h", Order),
            ("1m1m", Order),
            ("99999999999999999999s", TooLong),
            ("99999999999999999h", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text:?}");
        }
    }
}
