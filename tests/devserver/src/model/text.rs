//! Times and durations as text: RFC 3339 as Go writes it, and Go's durations both ways.

use std::time::Duration;

/// A moment (since 1970) as RFC 3339 in UTC, with as many decimals as are needed, at most nine.
pub(crate) fn rfc3339(at: Duration) -> String {
    let seconds = at.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if at.subsec_nanos() > 0 {
        let nanos = format!(".{:09}", at.subsec_nanos());
        text.push_str(nanos.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Whether Go counts a character as printable: the plain space is, other white space, control and format
/// characters and private ones are not.
pub(crate) fn is_printable(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    c == ' ' || !(c.is_control() || c.is_whitespace() || hidden)
}

/// Days since 1970 to year, month and day, counting years from March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Seconds as Go prints a duration: `1h30m5s`, `30m0s`, `0s`.
pub(crate) fn go_duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, _) => format!("{sign}{minutes}m{rest}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

/// The same without trailing zero parts, as the server's warnings have it: `9999h`, `30m`.
pub(crate) fn short_duration(seconds: i64) -> String {
    let full = go_duration(seconds);
    let cut = full.strip_suffix("m0s").map_or(full.clone(), |head| format!("{head}m"));
    cut.strip_suffix("h0m").map_or(cut.clone(), |head| format!("{head}h"))
}

/// Text to seconds: whole seconds (`90`), days (`1d`), or Go's form (`1h30m5.5s`), cut to the second.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text.is_empty() {
        return Ok(0);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    if let Some(days) = text.strip_suffix('d') {
        let days = days.parse::<i64>().map_err(|_| invalid())?;
        return days.checked_mul(86_400).ok_or_else(invalid);
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(invalid)?;
        let amount = number.parse::<f64>().map_err(|_| invalid())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(unit_end).ok_or_else(invalid)?;
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        seconds += amount * factor;
        rest = next;
    }
    // Go counts nanoseconds in 63 bits; what does not fit is invalid. The cut to whole seconds is meant.
    if seconds > 9.2e9 {
        return Err(invalid());
    }
    let whole = seconds as i64;
    Ok(if negative { -whole } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc3339_nano() {
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Duration::new(951_782_400, 120_000_000)), "2000-02-29T00:00:00.12Z");
        assert_eq!(rfc3339(Duration::new(1_795_484_439, 5)), "2026-11-24T01:40:39.000000005Z");
        assert_eq!(rfc3339(Duration::new(4_102_444_799, 0)), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, seconds, full, short) in [
            ("90", 90, "1m30s", "1m30s"),
            ("1d", 86_400, "24h0m0s", "24h"),
            ("1h30m5.5s", 5405, "1h30m5s", "1h30m5s"),
            ("30m", 1800, "30m0s", "30m"),
            ("", 0, "0s", "0s"),
            ("-1s", -1, "-1s", "-1s"),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
            assert_eq!(go_duration(seconds), full);
            assert_eq!(short_duration(seconds), short);
        }
        assert_eq!(parse_duration("x").unwrap_err(), "time: invalid duration \"x\"");
        assert_eq!(parse_duration("5x").unwrap_err(), "time: unknown unit \"x\" in duration \"5x\"");
    }
}
