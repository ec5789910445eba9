//! Points in time as OpenBao writes them: RFC 3339 in UTC, such as `2026-01-01T00:00:00.5Z`.

use std::time::Duration;

/// The time since the Unix epoch. The fraction of a second is left out, so that what ends then ends no later.
///
/// None where it is written in another way, lies before the epoch, or names no day of the calendar.
pub(super) fn since_epoch(text: &str) -> Option<Duration> {
    let (whole, rest) = text.strip_suffix('Z')?.split_at_checked("2026-01-01T00:00:00".len())?;
    let fraction = if rest.is_empty() { "0" } else { rest.strip_prefix('.')? };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if !is_number(fraction) || !marks.iter().all(|(at, mark)| whole.get(*at..=*at) == Some(mark)) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to).filter(|digits| is_number(digits))?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = year >= 1970 && (1..=12).contains(&month) && day >= 1 && day <= length(month);
    // A leap second is the first of the next minute.
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let days = years + (1..month).map(length).sum::<u64>() + day - 1;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_openbao_s_is_read_and_its_fraction_left_out() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2026-11-27T20:34:50.043836936Z", 1_795_811_690),
            ("2000-02-29T23:59:59.9Z", 951_868_799),
            ("2024-12-31T23:59:60Z", 1_735_689_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(since_epoch(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_no_time() {
        for text in [
            "",
            "Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1.2Z",
            "2026-01-01T00:00:00-1Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00-00-00Z",
            "+026-01-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "1969-12-31T23:59:59Z",
            "äää6-01-01T00:00:00Z",
        ] {
            assert_eq!(since_epoch(text), None, "{text}");
        }
    }
}
