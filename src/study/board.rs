//! Who stands where: ranks over the points of a window.
//!
//! Promises one picture: everything in an answer is read in one snapshot. Equal points share a rank, and the next one
//! counts them all (1, 1, 3). Who is hidden or gone stands on no board and moves nobody's rank: such scores are not
//! listed, and the board's index doesn't hold them. Who has no points comes after all who have, by id, and shares the
//! rank behind them. Neighbours are people with points: behind those everybody is next to everybody.
//!
//! The board of everyone is read by its index, beginning in the bucket where the page lies, and those without points by
//! id, beginning in the block where it lies; a rank is a sum over buckets and a count within one. Friends and a room are
//! few: theirs is sorted here.

use entity::{AccountId, Millis};
use sea_orm::{AccessMode, Condition, DatabaseTransaction, IsolationLevel, TransactionOptions, TransactionTrait};

use super::{Period, board_store as store, period};
use crate::{
    app::App,
    db::is_postgres,
    error::Result,
    friends,
    http::page::Span,
    people, rooms,
    tally::{
        self, Group, Window,
        buckets::{Tally, bucket_of},
    },
};

/// Neighbours on each side.
const NEAR: u64 = 2;

/// Who is on a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All who don't hide.
    #[default]
    Everyone,
    /// The viewer and the viewer's friends.
    Friends,
    /// Those who sit in the viewer's room.
    Room,
}

impl Scope {
    /// Every scope with its name on the wire.
    pub const NAMES: [(&'static str, Self); 3] =
        [("everyone", Self::Everyone), ("friends", Self::Friends), ("room", Self::Room)];
}

/// Which board is asked for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Asked {
    pub viewer: AccountId,
    pub period: Period,
    pub scope: Scope,
}

/// One row of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who.
    pub account: AccountId,
    /// In the window.
    pub points: i64,
    /// None for whoever is hidden.
    pub rank: Option<u64>,
}

/// One page of a board.
#[derive(Debug)]
pub struct Board {
    /// The page's rows.
    pub rows: Vec<Place>,
    /// How many rows there are on all pages.
    pub total: u64,
    /// The viewer's own row.
    pub me: Place,
    /// The nearest above and below the viewer, best first.
    pub neighbours: (Vec<Place>, Vec<Place>),
    /// When it was read, which decides the window.
    pub now: Millis,
}

/// Points of an account, before its rank is known.
pub(super) type Scored = (AccountId, i64);

/// Reads a page of a board, of those whom `filter` lets through; ranks don't depend on the filter.
pub async fn read(app: &App, asked: Asked, filter: Option<Condition>, page: Span) -> Result<Board> {
    let now = app.clock.now();
    let today = period::number_of(period::today(now, &app.zone)?)?;
    let window = (asked.period.code(), asked.period.first_day(today)?);
    let tx = snapshot(app).await?;
    let board = match asked.scope {
        Scope::Everyone => everyone(&tx, asked.viewer, window, filter, page, now).await,
        Scope::Friends => {
            let ids = friends::ids(&tx, asked.viewer).await?;
            few(&tx, asked.viewer, ids, window, filter, page, now).await
        }
        Scope::Room => {
            let ids = match rooms::current(&tx, asked.viewer).await? {
                Some(room) => rooms::seats(&tx, room).await?,
                None => Vec::new(),
            };
            few(&tx, asked.viewer, ids, window, filter, page, now).await
        }
    };
    tx.rollback().await?;
    board
}

/// SQLite's readers see one picture by themselves; PostgreSQL's have to ask.
async fn snapshot(app: &App) -> Result<DatabaseTransaction> {
    let mut options = TransactionOptions::default();
    if is_postgres(&*app.db) {
        options.isolation_level = Some(IsolationLevel::RepeatableRead);
        options.access_mode = Some(AccessMode::ReadOnly);
    }
    Ok(app.db.pool().begin_with_options(options).await?)
}

/// The board of everyone, seen in one snapshot.
struct Everyone<'a> {
    tx: &'a DatabaseTransaction,
    window: Window,
    tally: Tally,
}

async fn everyone(
    tx: &DatabaseTransaction,
    viewer: AccountId,
    window: Window,
    filter: Option<Condition>,
    page: Span,
    now: Millis,
) -> Result<Board> {
    let board = Everyone { tx, window, tally: tally::read(tx, window).await? };
    let (rows, total) = match filter {
        None => {
            let total = tally::total(tx, Group::Listed).await?;
            (board.rows(page).await?, unsigned(total))
        }
        Some(filter) => {
            let (rows, total) = store::list_filtered(tx, window, filter, page).await?;
            (board.ranked(rows).await?, total)
        }
    };
    let me = (viewer, store::get_points(tx, window, viewer).await?);
    let listed = !people::get(tx, viewer).await?.hidden;
    let neighbours = if listed { board.neighbours(me).await? } else { Default::default() };
    let rank = if listed { Some(board.rank(me.1).await?) } else { None };
    Ok(Board { rows, total, me: Place { account: me.0, points: me.1, rank }, neighbours, now })
}

impl Everyone<'_> {
    async fn rows(&self, page: Span) -> Result<Vec<Place>> {
        let (offset, limit) = (signed(page.offset), page.limit);
        let mut scored = match self.tally.locate(offset) {
            Some((bucket, above)) => {
                store::list_from(self.tx, self.window, bucket, unsigned(offset - above), limit).await?
            }
            None => Vec::new(),
        };
        let rest = limit - (scored.len() as u64).min(limit);
        if rest > 0 {
            let skip = (offset - self.tally.total()).max(0);
            let scorers = tally::blocks(self.tx, Group::Scorers(self.window)).await?;
            let others = tally::blocks(self.tx, Group::Listed).await?.without(&scorers);
            if let Some((first, before)) = others.locate(skip) {
                let last = others.locate(skip + signed(rest) - 1).map_or(i32::MAX, |(last, _)| last);
                let skip = unsigned(skip - before);
                scored.extend(store::list_without(self.tx, self.window, (first, last), skip, rest).await?);
            }
        }
        self.placed(scored, offset).await
    }

    /// Ranks of rows that follow each other from the place `offset`: only the first has to be looked up.
    async fn placed(&self, scored: Vec<Scored>, offset: i64) -> Result<Vec<Place>> {
        let mut rows: Vec<Place> = Vec::with_capacity(scored.len());
        for ((account, points), place) in scored.into_iter().zip(offset..) {
            let rank = match rows.last() {
                Some(last) if last.points == points => last.rank,
                Some(_) if points > 0 => Some(unsigned(place) + 1),
                _ => Some(self.rank(points).await?),
            };
            rows.push(Place { account, points, rank });
        }
        Ok(rows)
    }

    /// Ranks of any rows, in descending order of points.
    async fn ranked(&self, scored: Vec<Scored>) -> Result<Vec<Place>> {
        let mut rows: Vec<Place> = Vec::with_capacity(scored.len());
        for (account, points) in scored {
            let rank = match rows.last() {
                Some(last) if last.points == points => last.rank,
                _ => Some(self.rank(points).await?),
            };
            rows.push(Place { account, points, rank });
        }
        Ok(rows)
    }

    async fn rank(&self, points: i64) -> Result<u64> {
        let better = if points > 0 {
            let bucket = bucket_of(points);
            self.tally.above(bucket) + store::count_better(self.tx, self.window, points, bucket).await?
        } else {
            self.tally.total()
        };
        Ok(unsigned(better) + 1)
    }

    async fn neighbours(&self, me: Scored) -> Result<(Vec<Place>, Vec<Place>)> {
        let mut above = store::list_above(self.tx, self.window, me, NEAR).await?;
        above.reverse();
        let below = store::list_below(self.tx, self.window, me, NEAR).await?;
        Ok((self.ranked(above).await?, self.ranked(below).await?))
    }
}

/// The board of a handful of people.
async fn few(
    tx: &DatabaseTransaction,
    viewer: AccountId,
    mut ids: Vec<AccountId>,
    window: Window,
    filter: Option<Condition>,
    page: Span,
    now: Millis,
) -> Result<Board> {
    ids.push(viewer);
    let board = ranks(store::list_of(tx, window, &ids, None).await?);
    let shown = match filter {
        None => board.clone(),
        Some(filter) => {
            let found = store::list_of(tx, window, &ids, Some(filter)).await?;
            let found = |row: &&Place| found.iter().any(|(account, _)| *account == row.account);
            board.iter().filter(found).copied().collect()
        }
    };
    let mine = board.iter().position(|row| row.account == viewer);
    let me = match mine.and_then(|index| board.get(index)) {
        Some(me) => *me,
        None => Place { account: viewer, points: store::get_points(tx, window, viewer).await?, rank: None },
    };
    let neighbours = mine.map(|index| near(&board, index)).unwrap_or_default();
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let rows = shown.iter().skip(skip).take(take).copied().collect();
    Ok(Board { rows, total: shown.len() as u64, me, neighbours, now })
}

/// Ranks of a whole board, best first.
fn ranks(mut scored: Vec<Scored>) -> Vec<Place> {
    scored.sort_by_key(|(account, points)| (-points, *account));
    let mut rows: Vec<Place> = Vec::with_capacity(scored.len());
    for ((account, points), place) in scored.into_iter().zip(1..) {
        let rank = rows.last().filter(|last| last.points == points).map_or(Some(place), |last| last.rank);
        rows.push(Place { account, points, rank });
    }
    rows
}

fn near(board: &[Place], index: usize) -> (Vec<Place>, Vec<Place>) {
    let most = usize::try_from(NEAR).unwrap_or_default();
    let scored = |row: &&Place| row.points > 0;
    let mut above: Vec<_> = board.iter().take(index).rev().filter(scored).take(most).copied().collect();
    above.reverse();
    (above, board.iter().skip(index + 1).filter(scored).take(most).copied().collect())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_a_rank_and_the_next_counts_them() {
        let board =
            ranks([(4, 0), (1, 30), (3, 50), (2, 50), (5, 0)].map(|(id, points)| (AccountId(id), points)).into());
        let seen: Vec<_> = board.iter().map(|row| (row.account.0, row.rank)).collect();
        assert_eq!(seen, [(2, Some(1)), (3, Some(1)), (1, Some(3)), (4, Some(4)), (5, Some(4))]);
        let (above, below) = near(&board, 2);
        assert_eq!(above.iter().map(|row| row.account.0).collect::<Vec<_>>(), [2, 3]);
        assert!(below.is_empty(), "who has no points is nobody's neighbour");
    }
}
