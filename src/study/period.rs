//! Days of the board's zone, and the windows over which points are counted.
//!
//! Promises that days follow each other without gap or overlap, whatever a zone does with its clocks: a day begins at the
//! first instant that bears its date and lasts until the next one begins, so that an hour which a clock repeats across
//! midnight belongs to the later day, and a date which a zone skipped is a day without length. A week begins on Monday,
//! as ISO 8601 has it. A window holds its beginning and not its end.

use anyhow::Context;
use entity::Millis;
use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, date},
    tz::{AmbiguousOffset, TimeZone},
};

const EPOCH: Date = date(1970, 1, 1);

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
        let length: Span = match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::All => return Ok(None),
        };
        let first = self.first_date(today(now, zone)?)?;
        Ok(Some((begins_at(first, zone)?, begins_at(first.checked_add(length)?, zone)?)))
    }

    /// The first day of the window that `day` lies in; 0 for all time.
    pub fn first_day(self, day: i32) -> anyhow::Result<i32> {
        if self == Self::All {
            return Ok(0);
        }
        number_of(self.first_date(date_of(day)?)?)
    }

    fn first_date(self, day: Date) -> anyhow::Result<Date> {
        Ok(match self {
            Self::Day => day,
            Self::Week => day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days())?,
            Self::Month => day.first_of_month(),
            Self::All => EPOCH,
        })
    }

    /// The number under which scores are kept.
    pub fn code(self) -> i16 {
        match self {
            Self::Day => 0,
            Self::Week => 1,
            Self::Month => 2,
            Self::All => 3,
        }
    }
}

/// The day of `zone` that `now` lies in.
pub fn today(now: Millis, zone: &TimeZone) -> anyhow::Result<Date> {
    let at = Timestamp::from_millisecond(now.0)?;
    let mut day = zone.to_datetime(at).date();
    // Clocks that were set back across midnight show yesterday's date once more.
    while let Ok(next) = day.tomorrow()
        && begins_at(next, zone)? <= now
    {
        day = next;
    }
    Ok(day)
}

/// The first instant of `day`.
pub fn begins_at(day: Date, zone: &TimeZone) -> anyhow::Result<Millis> {
    let ambiguous = zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
    let gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let at = if gap {
        // Midnight was skipped: the day begins where the clocks jump, which is not where midnight would have been.
        let before = ambiguous.earlier()?;
        zone.following(before).next().context("a gap without a transition")?.timestamp()
    } else {
        ambiguous.compatible()?
    };
    Ok(Millis(at.as_millisecond()))
}

/// Days from 1970-01-01 to `day`.
pub fn number_of(day: Date) -> anyhow::Result<i32> {
    Ok(i32::try_from(day.duration_since(EPOCH).as_hours() / 24)?)
}

/// The date of a day's number.
pub fn date_of(day: i32) -> anyhow::Result<Date> {
    Ok(EPOCH.checked_add(i64::from(day).days())?)
}

/// Whether nothing lies between the days `earlier` and `later`, other than dates that the zone skipped.
pub fn follows(earlier: i32, later: i32, zone: &TimeZone) -> bool {
    let skipped = |day: i32| {
        let begins = |day| begins_at(date_of(day)?, zone);
        begins(day).ok().zip(begins(day + 1).ok()).is_some_and(|(from, to)| from == to)
    };
    later == earlier + 1 || (later == earlier + 2 && skipped(earlier + 1))
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
        let sunday = number_of(today(now, &seoul).unwrap()).unwrap();
        let firsts = Period::NAMES.map(|(_, period)| period.first_day(sunday).unwrap());
        assert_eq!(firsts, [20_513, 20_507, 20_513, 0]);
        assert_eq!(date_of(20_513).unwrap().to_string(), "2026-03-01");
    }

    fn hours(zone: &str, day: Date) -> f64 {
        let zone = TimeZone::get(zone).unwrap();
        let (from, to) = (begins_at(day, &zone).unwrap(), begins_at(day.tomorrow().unwrap(), &zone).unwrap());
        (to.0 - from.0) as f64 / 3_600_000.0
    }

    #[test]
    fn days_are_as_long_as_the_zone_makes_them() {
        for (zone, day, expected) in [
            ("Asia/Seoul", date(2026, 3, 1), 24.0),
            // The clocks jump over midnight, and are set back to the day before.
            ("America/Sao_Paulo", date(2018, 11, 3), 24.0),
            ("America/Sao_Paulo", date(2018, 11, 4), 23.0),
            ("America/Sao_Paulo", date(2018, 2, 17), 25.0),
            ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
            ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
            // A day that never was.
            ("Pacific/Apia", date(2011, 12, 29), 24.0),
            ("Pacific/Apia", date(2011, 12, 30), 0.0),
            ("Pacific/Apia", date(2011, 12, 31), 24.0),
            // Until 2011 the clocks were set back one minute after midnight.
            ("America/St_Johns", date(2010, 11, 6), 24.0),
            ("America/St_Johns", date(2010, 11, 7), 25.0),
        ] {
            assert_eq!(hours(zone, day), expected, "{zone} {day}");
        }
    }

    #[test]
    fn a_repeated_hour_before_midnight_belongs_to_the_day_that_had_begun() {
        let zone = TimeZone::get("America/St_Johns").unwrap();
        let begins = begins_at(date(2010, 11, 7), &zone).unwrap();
        for minutes in [0, 1, 30, 61] {
            let at = Millis(begins.0 + minutes * 60_000);
            assert_eq!(today(at, &zone).unwrap(), date(2010, 11, 7), "{minutes} minutes later");
        }
    }

    #[test]
    fn a_skipped_date_stands_between_no_days() {
        let apia = TimeZone::get("Pacific/Apia").unwrap();
        let day = |month, day| number_of(date(2011, month, day)).unwrap();
        assert!(follows(day(12, 29), day(12, 31), &apia) && follows(day(12, 28), day(12, 29), &apia));
        assert!(!follows(day(12, 27), day(12, 29), &apia));
    }
}
