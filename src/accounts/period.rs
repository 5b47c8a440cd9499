//! The windows over which points are counted.
//!
//! Promises windows that begin at midnight of the board's zone: a week begins on Monday, as ISO 8601 has it. A window
//! holds its beginning and not its end.

use entity::Millis;
use jiff::{Span, Timestamp, ToSpan, civil::Date, tz::TimeZone};

/// Which points count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Period {
    /// Today's.
    Day,
    /// This week's.
    Week,
    /// This month's.
    Month,
    /// All.
    #[default]
    All,
}

impl Period {
    /// Every period with its name on the wire.
    pub const NAMES: [(&'static str, Self); 4] =
        [("day", Self::Day), ("week", Self::Week), ("month", Self::Month), ("all", Self::All)];

    /// Beginning and end of the window that `now` lies in; [`Period::All`] has none.
    pub fn window(self, now: Millis, zone: &TimeZone) -> anyhow::Result<Option<(Millis, Millis)>> {
        let today = today(now, zone)?;
        let (first, length): (Date, Span) = match self {
            Self::Day => (today, 1.day()),
            Self::Week => (today.checked_sub(i64::from(today.weekday().to_monday_zero_offset()).days())?, 1.week()),
            Self::Month => (today.first_of_month(), 1.month()),
            Self::All => return Ok(None),
        };
        Ok(Some((midnight(first, zone)?, midnight(first.checked_add(length)?, zone)?)))
    }
}

/// The day of `zone` that `now` lies in.
pub fn today(now: Millis, zone: &TimeZone) -> anyhow::Result<Date> {
    Ok(zone.to_datetime(Timestamp::from_millisecond(now.0)?).date())
}

fn midnight(day: Date, zone: &TimeZone) -> anyhow::Result<Millis> {
    Ok(Millis(day.to_zoned_datetime(zone.clone())?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn windows_begin_at_midnight_of_the_zone() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        // Sunday, 2026-03-01, 00:30 in Seoul, still February in UTC.
        let now = Millis("2026-02-28T15:30:00Z".parse::<Timestamp>().unwrap().as_millisecond());
        for (period, from, to) in [
            (Period::Day, "2026-02-28T15:00:00.000Z", "2026-03-01T15:00:00.000Z"),
            (Period::Week, "2026-02-22T15:00:00.000Z", "2026-03-01T15:00:00.000Z"),
            (Period::Month, "2026-02-28T15:00:00.000Z", "2026-03-31T15:00:00.000Z"),
        ] {
            let window = period.window(now, &seoul).unwrap().unwrap();
            assert_eq!((rfc3339(window.0).as_str(), rfc3339(window.1).as_str()), (from, to), "{period:?}");
        }
        assert_eq!(Period::All.window(now, &seoul).unwrap(), None);
    }
}
