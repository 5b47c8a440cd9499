//! Lines of the ledger: pure arithmetic over stretches of time and the board's zone.
//!
//! Promises that the lines of a stretch partition it, each within one day, and that a point belongs to the line in which
//! a whole minute of its phase ends: no pause and no midnight costs any. What a day may count at most is not known here.

use entity::{AccountId, Millis, RoomId, RunId};
use jiff::tz::TimeZone;

use super::period;

/// A point is a whole minute of a work phase.
pub const MINUTE: i64 = 60_000;

/// A stretch of one phase of one run, uninterrupted by a pause: what the timer hands over to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Of which run.
    pub run: RunId,
    /// Whose.
    pub account: AccountId,
    /// Where its owner sits.
    pub room: Option<RoomId>,
    /// Which phase of the run, from 0.
    pub phase: i64,
    /// Work earns points, breaks don't.
    pub is_work: bool,
    /// Since when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// Milliseconds of the phase that went before, pauses not counted: a minute begun before a pause ends after it.
    pub offset: i64,
}

/// A stretch, or the part of one that lies in one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was studied.
    pub stretch: Stretch,
    /// Days since 1970-01-01 in the zone of the board.
    pub day: i32,
    /// Minutes of the phase that end in it.
    pub points: i32,
}

impl Stretch {
    /// How long it lasts.
    pub fn length(&self) -> i64 {
        (self.to.0 - self.from.0).max(0)
    }

    /// Minutes of the phase that end in it.
    pub fn points(&self) -> i32 {
        if !self.is_work {
            return 0;
        }
        let whole = |active: i64| active.div_euclid(MINUTE);
        let points = whole(self.offset + self.length()) - whole(self.offset);
        i32::try_from(points).unwrap_or(i32::MAX)
    }

    /// The part of it from `from` until `to`, which lie in it.
    pub fn part(&self, from: Millis, to: Millis) -> Self {
        Self { from, to, offset: self.offset + (from.0 - self.from.0), ..*self }
    }
}

/// Cuts a stretch at every midnight of `zone`. It fails only where the calendar ends.
pub fn cut(stretch: &Stretch, zone: &TimeZone) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut cursor = stretch.from;
    while cursor < stretch.to {
        let date = period::today(cursor, zone)?;
        let midnight = period::begins_at(date.tomorrow()?, zone)?;
        let part = stretch.part(cursor, midnight.min(stretch.to));
        lines.push(Line { day: period::number_of(date)?, points: part.points(), stretch: part });
        cursor = part.to;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, civil::date};
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 5] =
        ["Asia/Seoul", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"];

    fn at(text: &str) -> Millis {
        Millis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn work(from: Millis, to: Millis, offset: i64) -> Stretch {
        Stretch { run: RunId(1), account: AccountId(1), room: None, phase: 0, is_work: true, from, to, offset }
    }

    #[test]
    fn a_line_ends_at_midnight_of_the_zone() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let stretch = work(at("2026-03-01T14:30:30Z"), at("2026-03-01T15:29:30Z"), 0);
        let lines = cut(&stretch, &seoul).unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.stretch.to, line.day, line.points)).collect();
        let first = period::number_of(date(2026, 3, 1)).unwrap();
        // The minute that midnight cuts through ends on the second day.
        assert_eq!(seen, [(at("2026-03-01T15:00:00Z"), first, 29), (stretch.to, first + 1, 30)]);
    }

    #[test]
    fn a_minute_begun_before_a_pause_ends_after_it() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let start = at("2026-03-01T03:00:00Z").0;
        let points =
            |from, to, offset| cut(&work(Millis(start + from), Millis(start + to), offset), &seoul).unwrap()[0].points;
        assert_eq!((points(0, 59_999, 0), points(90_000, 90_001, 59_999)), (0, 1));
        assert_eq!(points(0, 60_000, 0), 1);
    }

    #[test]
    fn breaks_and_nothing_earn_nothing() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let hour = work(at("2026-03-01T03:00:00Z"), at("2026-03-01T04:00:00Z"), 0);
        let lines = cut(&Stretch { is_work: false, ..hour }, &seoul).unwrap();
        assert_eq!((lines.len(), lines[0].points), (1, 0));
        assert!(cut(&Stretch { to: hour.from, ..hour }, &seoul).unwrap().is_empty());
    }

    #[test]
    fn a_skipped_day_has_no_line() {
        let apia = TimeZone::get("Pacific/Apia").unwrap();
        let days: Vec<_> = cut(&work(at("2011-12-29T12:00:00Z"), at("2011-12-31T12:00:00Z"), 0), &apia)
            .unwrap()
            .iter()
            .map(|line| period::date_of(line.day).unwrap().day())
            .collect();
        assert_eq!(days, [29, 31, 1]);
    }

    /// Around the days on which these zones changed their clocks, and anywhere.
    fn instants() -> impl Strategy<Value = i64> {
        let near = |text: &str| {
            let middle = at(text).0;
            middle - 3 * 86_400_000..middle + 3 * 86_400_000
        };
        prop_oneof![
            near("2018-11-04T03:00:00Z"),
            near("2018-02-18T02:00:00Z"),
            near("2026-04-04T15:00:00Z"),
            near("2026-10-03T15:30:00Z"),
            near("2011-12-30T10:00:00Z"),
            near("2010-11-07T02:31:00Z"),
            0..at("2037-01-01T00:00:00Z").0,
        ]
    }

    proptest! {
        #[test]
        fn lines_partition_a_stretch(zone in 0..ZONES.len(), from in instants(), length in 1_i64..5 * 86_400_000,
            offset in 0_i64..1_000_000) {
            let zone = TimeZone::get(ZONES[zone]).unwrap();
            let stretch = work(Millis(from), Millis(from + length), offset);
            let lines = cut(&stretch, &zone).unwrap();
            prop_assert_eq!((lines[0].stretch.from, lines[lines.len() - 1].stretch.to), (stretch.from, stretch.to));
            for pair in lines.windows(2) {
                prop_assert_eq!(pair[0].stretch.to, pair[1].stretch.from);
                prop_assert!(pair[0].day < pair[1].day);
            }
            for line in &lines {
                let day = period::date_of(line.day).unwrap();
                let (begins, ends) =
                    (period::begins_at(day, &zone).unwrap(), period::begins_at(day.tomorrow().unwrap(), &zone).unwrap());
                prop_assert!(begins <= line.stretch.from && line.stretch.to <= ends);
                prop_assert!(line.stretch.length() <= ends.0 - begins.0);
            }
        }

        #[test]
        fn points_do_not_depend_on_where_a_stretch_is_cut(zone in 0..ZONES.len(), from in instants(),
            lengths in prop::collection::vec((1_i64..7_200_000, 0_i64..50_000_000), 1..12)) {
            let zone = TimeZone::get(ZONES[zone]).unwrap();
            // Pieces with pauses between them.
            let (mut points, mut cursor, mut offset) = (0, from, 0);
            for (length, pause) in lengths {
                let stretch = work(Millis(cursor), Millis(cursor + length), offset);
                points += cut(&stretch, &zone).unwrap().iter().map(|line| i64::from(line.points)).sum::<i64>();
                offset += length;
                cursor += length + pause;
            }
            prop_assert_eq!(points, offset / MINUTE);
        }
    }
}
