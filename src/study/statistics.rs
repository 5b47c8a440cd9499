//! What somebody's days come to: minutes a day and an hour of the day, and how long they have kept going.
//!
//! Promises that everything is derived from the ledger and the days it comes to; nothing of it is stored. Days without
//! work are left out.

use entity::{AccountId, Millis, day_total, segment};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    ledger::MINUTE,
    period::{self, begins_at, follows, number_of},
    store,
    totals::capped,
};
use crate::{
    app::App,
    error::{ErrorCode, Result},
    friends, people,
};

/// Hours on the face of a day's clock.
const HOURS: usize = 24;

/// Days from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
}

/// What somebody's days come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Days with work, in order.
    pub days: Vec<day_total::Model>,
    /// Milliseconds of work by hour of the day.
    pub hours: [i64; HOURS],
    /// Over all days, not only those asked for.
    pub streak: Streak,
}

/// Days in a row with at least one point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The one that ends today or yesterday.
    pub current: u32,
    /// The longest ever.
    pub longest: u32,
}

/// Reads the statistics of `whose`, which are open to themselves, and to friends unless they keep them.
pub async fn read(app: &App, viewer: AccountId, whose: AccountId, range: Range) -> Result<Statistics> {
    let account = people::get(&*app.db, whose).await?;
    let allowed = viewer == whose || (account.share_study && friends::are_friends(&*app.db, viewer, whose).await?);
    if !allowed {
        return Err(ErrorCode::NotYourself.into());
    }
    let (first, last) = (number_of(range.from)?, number_of(range.to)?);
    let mut days = store::list_days(&*app.db, whose, first, last).await?;
    for day in &mut days {
        day.points = i32::try_from(capped(day.points.into())).unwrap_or_default();
    }
    let window = (begins_at(range.from, &app.zone)?, begins_at(range.to.tomorrow().unwrap_or(Date::MAX), &app.zone)?);
    let hours = hours(&store::list_work(&*app.db, whose, window).await?, &app.zone)?;
    let today = number_of(period::today(app.clock.now(), &app.zone)?)?;
    let streak = streak(&store::list_days_with_points(&*app.db, whose).await?, today, &app.zone);
    Ok(Statistics { days, hours, streak })
}

/// Milliseconds of work by the hour that clocks of `zone` show.
fn hours(segments: &[segment::Model], zone: &TimeZone) -> Result<[i64; HOURS]> {
    let mut hours = [0; HOURS];
    for segment in segments {
        let sign = if segment.source == 0 { 1 } else { -1 };
        let mut cursor = segment.from_at;
        while cursor < segment.to_at {
            let (hour, end) = hour_at(cursor, zone)?;
            let end = end.min(segment.to_at);
            if let Some(hour) = hours.get_mut(hour) {
                *hour += sign * (end.0 - cursor.0);
            }
            cursor = end;
        }
    }
    Ok(hours)
}

/// The hour that clocks show at `at`, and until when they do: its end, or a change of the clocks before.
fn hour_at(at: Millis, zone: &TimeZone) -> anyhow::Result<(usize, Millis)> {
    let instant = Timestamp::from_millisecond(at.0)?;
    let shown = zone.to_datetime(instant).time();
    let into = i64::from(shown.minute()) * MINUTE + i64::from(shown.second()) * 1000 + i64::from(shown.millisecond());
    let full = Millis(at.0 + 60 * MINUTE - into);
    let change = zone.following(instant).next().map(|change| Millis(change.timestamp().as_millisecond()));
    let end = change.filter(|change| *change > at).map_or(full, |change| change.min(full));
    Ok((usize::try_from(shown.hour())?, end))
}

/// `days`, in order, are those with a point.
fn streak(days: &[i32], today: i32, zone: &TimeZone) -> Streak {
    let mut streak = Streak::default();
    let mut last = None;
    let mut length = 0;
    for day in days {
        length = if last.is_some_and(|last| follows(last, *day, zone)) { length + 1 } else { 1 };
        streak.longest = streak.longest.max(length);
        last = Some(*day);
    }
    if last.is_some_and(|last| last == today || follows(last, today, zone)) {
        streak.current = length;
    }
    streak
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_streak_lasts_until_a_day_has_passed_without() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let days = [1, 2, 3, 7, 8];
        for (today, current) in [(8, 2), (9, 2), (10, 0)] {
            assert_eq!(streak(&days, today, &seoul), Streak { current, longest: 3 });
        }
        assert_eq!(streak(&[], 5, &seoul), Streak::default());
        let apia = TimeZone::get("Pacific/Apia").unwrap();
        let day = |day| number_of(date(2011, 12, day)).unwrap();
        assert_eq!(streak(&[day(28), day(29), day(31)], day(31), &apia), Streak { current: 3, longest: 3 });
    }

    #[test]
    fn hours_are_those_that_clocks_show() {
        let lord_howe = TimeZone::get("Australia/Lord_Howe").unwrap();
        // At 02:00 the clocks go back to 01:30.
        let at = |text: &str| Millis(text.parse::<Timestamp>().unwrap().as_millisecond());
        let (from, to) = (at("2026-04-04T14:30:00Z"), at("2026-04-04T16:00:00Z"));
        let segment = segment::Model {
            id: entity::SegmentId(1),
            run_id: entity::RunId(1),
            account_id: AccountId(1),
            room_id: None,
            phase: 0,
            kind: 0,
            source: 0,
            from_at: from,
            to_at: to,
            day: 0,
            points: 90,
        };
        let shown = hours(std::slice::from_ref(&segment), &lord_howe).unwrap();
        let minutes: Vec<_> = shown.iter().map(|ms| ms / MINUTE).take(4).collect();
        assert_eq!(minutes, [0, 60, 30, 0]);
        let correction = segment::Model { source: 1, ..segment.clone() };
        assert_eq!(hours(&[segment, correction], &lord_howe).unwrap(), [0; HOURS]);
    }
}
