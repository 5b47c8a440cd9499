//! Finding rows by any part of their name, without looking at each of them.
//!
//! Promises that both databases find what `LIKE '%keyword%'` finds, literally and to the character, by an index: the runs
//! of one, two and three characters of every name lie in a table of their own, written with the row. A keyword of up to
//! three characters, as most Korean names are, is such a run; a longer one is looked for among those that have its first
//! few runs in common. A count is exact up to [`MOST`], and stops there: counting a million namesakes helps nobody.
//!
//! Trigram indexes of the database don't serve: two syllables are too short for them, and in the C locale they see no
//! letters but English ones.

use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait, DbErr,
    sea_query::{Expr, ExprTrait, JoinType, LikeExpr, OnConflict, Order, Query, SelectStatement, UnionType},
};

use crate::{db::Tx, error::Result, http::page::Span};

/// Characters of the longest run.
const LONGEST: usize = 3;

/// A count goes no further.
pub const MOST: u64 = 10_000;

/// What a query calls the table when it asks for further runs: few names share four of them and not the keyword.
const OTHERS: [&str; 3] = ["second", "third", "fourth"];

/// Rows of one statement, far below what SQLite binds.
const ROWS: usize = 5000;

/// The grams of a table that has a `search_name`: lines, none of which a keyword runs across.
#[derive(Clone, Copy, Debug)]
pub struct Grams {
    table: &'static str,
    of: &'static str,
}

/// People's names.
pub const PEOPLE: Grams = Grams { table: "account_gram", of: "account" };

/// Names of open rooms.
pub const ROOMS: Grams = Grams { table: "room_gram", of: "room" };

/// The runs of `text`.
fn of(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| (1..=LONGEST).flat_map(|length| runs(line, length))).collect()
}

/// The runs of `length` characters of a line.
fn runs(line: &str, length: usize) -> impl Iterator<Item = &str> {
    let starts = line.char_indices().map(|(at, _)| at);
    let ends = line.char_indices().map(|(at, _)| at).skip(length).chain([line.len()]);
    // Where the line is shorter than the run, there would be one end too many.
    let whole = line.chars().nth(length - 1).is_some();
    starts.zip(ends).filter(move |_| whole).filter_map(|(start, end)| line.get(start..end))
}

impl Grams {
    /// Writes down the names of new rows.
    pub async fn insert<'a>(self, tx: &Tx, names: impl IntoIterator<Item = (i64, &'a str)>) -> Result<()> {
        let rows: Vec<_> =
            names.into_iter().flat_map(|(id, name)| of(name).into_iter().map(move |gram| (gram, id))).collect();
        for rows in rows.chunks(ROWS) {
            let mut insert = Query::insert();
            insert.into_table(self.table).columns(["gram", "id"]);
            for (gram, id) in rows {
                insert.values_panic([(*gram).into(), (*id).into()]);
            }
            insert.on_conflict(OnConflict::columns(["gram", "id"]).do_nothing().to_owned());
            tx.execute(&insert).await?;
        }
        Ok(())
    }

    /// Row `id` has another name; an empty one for none.
    pub async fn update(self, tx: &Tx, id: i64, before: &str, after: &str) -> Result<()> {
        if before == after {
            return Ok(());
        }
        let delete = Query::delete()
            .from_table(self.table)
            .and_where(Expr::col("gram").is_in(of(before)))
            .and_where(Expr::col("id").eq(id))
            .to_owned();
        tx.execute(&delete).await?;
        self.insert(tx, [(id, after)]).await
    }

    /// A query of the `id`s whose name has `keyword` in it, which is lower-case and not empty.
    pub fn hits(self, keyword: &str) -> SelectStatement {
        let mut hits = Query::select();
        hits.column((self.table, "id")).from(self.table);
        let mut runs = cover(keyword);
        hits.and_where(Expr::col((self.table, "gram")).eq(runs.next().unwrap_or(keyword)));
        if keyword.chars().nth(LONGEST).is_none() {
            return hits;
        }
        for (run, alias) in runs.zip(OTHERS) {
            hits.join_as(JoinType::InnerJoin, self.table, alias, Expr::col((alias, "id")).equals((self.table, "id")))
                .and_where(Expr::col((alias, "gram")).eq(run));
        }
        let pattern = LikeExpr::new(crate::db::like_contains(keyword)).escape('\\');
        hits.inner_join(self.of, Expr::col((self.of, "id")).equals((self.table, "id")))
            .and_where(Expr::col((self.of, "search_name")).like(pattern));
        hits
    }
}

/// Runs that together are `keyword`, one behind the other; the last may overlap the one before it.
fn cover(keyword: &str) -> impl Iterator<Item = &str> {
    let last = keyword.chars().count().saturating_sub(LONGEST);
    runs(keyword, LONGEST).enumerate().filter(move |(at, _)| at % LONGEST == 0 || *at == last).map(|(_, run)| run)
}

/// `hits` and one row more, if it isn't among them.
pub fn with(mut hits: SelectStatement, id: i64) -> SelectStatement {
    hits.union(UnionType::Distinct, Query::select().expr(Expr::val(id)).to_owned()).take()
}

/// One page of `hits` by id, and how many there are.
pub async fn page(
    connection: &impl ConnectionTrait,
    hits: SelectStatement,
    order: Order,
    page: Span,
) -> Result<(Vec<i64>, u64)> {
    let total = count_up_to(connection, hits.clone(), MOST).await?;
    let rows = Query::select()
        .column("id")
        .from_subquery(hits, "hits")
        .order_by("id", order)
        .offset(page.offset)
        .limit(page.limit)
        .to_owned();
    let rows = connection.query_all(&rows).await?;
    let ids = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, DbErr>>()?;
    Ok((ids, total))
}

/// How many rows `query` has, or `most` if there are more.
pub async fn count_up_to(connection: &impl ConnectionTrait, mut query: SelectStatement, most: u64) -> Result<u64> {
    let count = Query::select().expr(Expr::cust("COUNT(*)")).from_subquery(query.limit(most).take(), "some").to_owned();
    let row = connection.query_one(&count).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_name_are_those_of_its_lines() {
        let expected = ["김", "김수", "김수미", "미", "수", "수미", "수미김", "미김"];
        assert_eq!(of("김수미\n수미김"), BTreeSet::from(expected));
        assert_eq!(of("a%"), BTreeSet::from(["a", "%", "a%"]));
        assert!(of("").is_empty() && of("\n").is_empty());
    }

    #[test]
    fn a_keyword_is_covered_by_its_runs() {
        let covers = [
            ("수미 김", vec!["수미 ", "미 김"]),
            ("abcdef", vec!["abc", "def"]),
            ("abcdefg", vec!["abc", "def", "efg"]),
        ];
        for (keyword, expected) in covers {
            assert_eq!(cover(keyword).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn every_part_of_up_to_three_characters_is_a_run() {
        let name = "kim sumi\nsumi kim\n수미 k";
        let grams = of(name);
        for line in name.lines() {
            let characters: Vec<_> = line.chars().collect();
            for length in 1..=LONGEST {
                for part in characters.windows(length) {
                    assert!(grams.contains(part.iter().collect::<String>().as_str()), "{part:?}");
                }
            }
        }
        assert!(grams.iter().all(|gram| gram.chars().count() <= LONGEST && name.contains(gram)));
    }
}
