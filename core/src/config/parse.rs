//! The text of settings into types. Each refuses what it does not understand; none has a default.

use std::time::Duration;

/// Reads `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, in any case.
pub fn boolean(text: &str) -> Result<bool, &'static str> {
    const TRUE: [&str; 4] = ["true", "1", "yes", "on"];
    const FALSE: [&str; 4] = ["false", "0", "no", "off"];
    let among = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match (among(TRUE), among(FALSE)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err("a boolean is true or false, 1 or 0, yes or no, on or off"),
    }
}

/// Reads a whole number: decimal digits without sign or leading zeros.
pub fn whole(text: &str) -> Result<usize, &'static str> {
    let number = if is_whole(text) { text.parse().ok() } else { None };
    number.ok_or("a whole number is written in decimal digits, without sign, blanks or leading zeros")
}

/// Reads seconds: a whole number, or one with up to nine decimals.
pub fn seconds(text: &str) -> Result<Duration, &'static str> {
    const REASON: &str = "seconds are a decimal number such as 30 or 2.5, without sign, unit, blanks or leading zeros";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let legal = is_whole(whole) && (1..=9).contains(&decimals.len()) && is_digits(decimals);
    let seconds = if legal { whole.parse().ok() } else { None };
    let nanoseconds = format!("{decimals:0<9}").parse().ok();
    seconds.zip(nanoseconds).map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds)).ok_or(REASON)
}

/// Splits a comma-separated list; blanks around an entry do not count, an empty entry is refused.
pub fn list(text: &str) -> Result<Vec<&str>, &'static str> {
    let entries: Vec<_> = text.split(',').map(|entry| entry.trim_matches([' ', '\t'])).collect();
    if entries.contains(&"") {
        return Err("an empty entry in the list: a comma too many, or nothing but blanks");
    }
    Ok(entries)
}

fn is_whole(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
