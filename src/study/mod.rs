//! What was studied: the ledger, and what it comes to.
//!
//! Promises that every point comes from a line of the ledger, that lines are written once and never changed, and that
//! writing one again changes nothing. Totals of days and windows are a cache of the ledger, changed with it in one
//! transaction. When somebody studies is the timer's to say.

pub mod ledger;
pub mod period;
pub mod totals;

mod store;

use jiff::tz::TimeZone;

use crate::{db::Tx, error::Result};

use ledger::Line;
pub use ledger::Stretch;
pub use period::Period;
use store::Source;
use totals::capped;

/// Writes what was studied. `tx` holds the locks of the accounts that the stretches belong to.
pub async fn record(tx: &Tx, zone: &TimeZone, stretches: &[Stretch]) -> Result<()> {
    let mut lines = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        lines.extend(ledger::cut(stretch, zone)?);
    }
    lines.sort_by_key(|line| (line.stretch.account, line.stretch.run, line.stretch.from));
    write(tx, &lines, Source::Timer).await
}

/// Writes lines that are not there yet, and lets the totals follow.
async fn write(tx: &Tx, lines: &[Line], source: Source) -> Result<()> {
    let new = store::insert_lines(tx, lines, source).await?;
    let mut days = totals::days_of(&new);
    if source == Source::Correction {
        for sum in days.values_mut() {
            (sum.work_ms, sum.points) = (-sum.work_ms, -sum.points);
        }
    }
    let mut changes = Vec::with_capacity(days.len());
    for (day, points) in store::add_to_days(tx, &days).await? {
        let added = days.get(&day).map_or(0, |sum| sum.points);
        changes.push((day, capped(points) - capped(points - added)));
    }
    store::add_to_scores(tx, &totals::scores_of(changes)?).await?;
    Ok(())
}
