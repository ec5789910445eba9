//! A time of the wall clock as text, without a library for calendars.

use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;
/// The end of the year 9999: what follows has no such text.
const LAST: u64 = 253_402_300_799;

/// A time of the wall clock, given as the time since the beginning of 1970, in RFC 3339 and UTC with milliseconds.
/// What lies beyond the year 9999 is shown as its last second.
///
/// ```
/// use std::time::Duration;
///
/// let wall = Duration::from_millis(1_767_225_600_042);
/// assert_eq!(baokit_service::audit::rfc3339(wall), "2026-01-01T00:00:00.042Z");
/// ```
#[must_use]
pub fn rfc3339(wall: Duration) -> String {
    let seconds = wall.as_secs().min(LAST);
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", wall.subsec_millis())
}

/// Year, month and day, from days since the beginning of 1970: Howard Hinnant's `civil_from_days`, in which a year
/// begins in March, so that the leap day is its last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
