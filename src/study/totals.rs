//! What lines of the ledger come to, day by day and window by window: pure sums.
//!
//! Promises that a day counts for at most sixteen hours on any board, and that sums are in ascending order of account,
//! in which rows are locked.

use std::collections::BTreeMap;

use entity::AccountId;

use super::{ledger::Line, period::Period};
use crate::tally::Window;

/// Most points of one day: sixteen hours.
pub const MOST: i64 = 960;

/// What a day counts for.
pub fn capped(points: i64) -> i64 {
    points.clamp(0, MOST)
}

/// What is added to a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Milliseconds of work.
    pub work_ms: i64,
    /// Points before the cap.
    pub points: i64,
}

/// Sums of days.
pub type Days = BTreeMap<(AccountId, i32), Sum>;

/// Points of accounts in windows.
pub type Scores = BTreeMap<(AccountId, Window), i64>;

/// What `lines` add to days. Breaks add nothing.
pub fn days_of<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Days {
    let mut days = Days::new();
    for line in lines.into_iter().filter(|line| line.stretch.is_work) {
        let sum = days.entry((line.stretch.account, line.day)).or_default();
        sum.work_ms += line.stretch.length();
        sum.points += i64::from(line.points);
    }
    days
}

/// The windows that a day counts in.
pub fn windows_of(day: i32) -> anyhow::Result<[Window; 4]> {
    let window = |period: Period| Ok::<_, anyhow::Error>((period.code(), period.first_day(day)?));
    Ok([window(Period::Day)?, window(Period::Week)?, window(Period::Month)?, window(Period::All)?])
}

/// What changes of days, in capped points, add to windows. What adds nothing is left out.
pub fn scores_of(changes: impl IntoIterator<Item = ((AccountId, i32), i64)>) -> anyhow::Result<Scores> {
    let mut scores = Scores::new();
    for ((account, day), change) in changes {
        for window in windows_of(day)? {
            *scores.entry((account, window)).or_default() += change;
        }
    }
    scores.retain(|_, points| *points != 0);
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_for_sixteen_hours() {
        assert_eq!([-5, 0, 959, 960, 1440].map(capped), [0, 0, 959, 960, 960]);
    }

    #[test]
    fn a_day_counts_in_its_week_month_and_for_all_time() {
        // Sunday, 2026-03-01, and the Monday after it.
        let someone = AccountId(7);
        let scores =
            scores_of([((someone, 20_513), 30), ((someone, 20_514), 12), ((AccountId(8), 20_514), 0)]).unwrap();
        let expected = [
            ((0, 20_513), 30),
            ((0, 20_514), 12),
            ((1, 20_507), 30),
            ((1, 20_514), 12),
            ((2, 20_513), 42),
            ((3, 0), 42),
        ];
        assert_eq!(scores, expected.map(|(window, points)| ((someone, window), points)).into());
    }
}
