//! Wall times as text.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Microseconds since 1970 as `YYYY-MM-DDThh:mm:ss.sssZ`, always so wide, so that texts compare as
/// times do (decisions 5).
#[must_use]
pub fn to_millis(time_us: i64) -> String {
    spell(time_us, MILLIS)
}

/// The same with six digits of a second.
#[must_use]
pub fn to_micros(time_us: i64) -> String {
    spell(time_us, MICROS)
}

/// Years past 9999 have no such text, and no clock shows them.
fn spell(time_us: i64, form: &[BorrowedFormatItem<'_>]) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_us) * 1_000);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_width() {
        assert_eq!(to_millis(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(to_millis(1_763_856_000_123_999), "2025-11-23T00:00:00.123Z");
        assert_eq!(to_micros(1_763_856_000_123_999), "2025-11-23T00:00:00.123999Z");
        assert_eq!(to_millis(i64::MAX).len(), 24);
    }
}
