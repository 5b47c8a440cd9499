//! Whom one finds, in which order.
//!
//! Promises that an unknown value is refused instead of guessed at, and that hidden people stand on nobody's board.
//! Points come from elsewhere: until then everybody has none, and shares the first rank.

use entity::{AccountId, account};
use serde::Serialize;

use super::{profile::Circle, store};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, ErrorCode, FieldError, Result},
    http::{
        Paging,
        body::check_visible,
        page::{Page, Paged},
    },
    people::{self, PublicView},
    study::Period,
};

/// No name is longer, in any order.
const KEYWORD: usize = 254;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Part of a name or a whole e-mail, as both are compared.
    pub keyword: Option<String>,
    /// In which order.
    pub order: Order,
}

/// Orders of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest account first.
    Id,
    /// By name.
    Name,
    /// Most points first.
    Point(Period),
}

impl Search {
    /// Reads `kw`, `order_by` and `period`.
    pub fn read(query: &Paging) -> Result<Self> {
        let keyword = query.parameter("kw").map(super::email::key);
        if let Some(keyword) = &keyword {
            check_visible("kw", keyword, KEYWORD).map_err(|error| Error::fields(vec![error]))?;
        }
        let period = query.parameter("period");
        let order = match query.parameter("order_by") {
            None | Some("id") => Order::Id,
            Some("name") => Order::Name,
            Some("point") => Order::Point(period.map_or(Ok(Period::default()), choose_period)?),
            Some(_) => return Err(invalid("order_by", "point, name, id")),
        };
        // Without points there is but one period, and another would be silently ignored.
        if !matches!(order, Order::Point(_)) && period.is_some_and(|name| name != "all") {
            return Err(invalid("period", "all"));
        }
        Ok(Self { keyword, order })
    }
}

fn choose_period(name: &str) -> Result<Period> {
    let found = Period::NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, period)| *period).ok_or_else(|| invalid("period", &Period::NAMES.map(|(name, _)| name).join(", ")))
}

fn invalid(field: &'static str, choices: &str) -> Error {
    Error::fields(vec![FieldError::new(field, ErrorCode::InvalidChoice).with("choices", choices)])
}

/// One row of the list.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct RowView {
    #[serde(flatten)]
    pub person: PublicView,
    pub point: u64,
    /// Only on a board; nobody hidden has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
}

/// What stands beside the rows of a board.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct BoardView {
    /// The window's beginning, which belongs to it; null for all time.
    pub from: Option<String>,
    /// The window's end, which doesn't.
    pub to: Option<String>,
    pub zone: String,
    pub me: RowView,
}

/// The siblings of a list: a board's, or none.
#[derive(Debug, Serialize)]
pub struct BesideView {
    #[serde(flatten)]
    board: Option<BoardView>,
}

/// Those whom `viewer` finds.
pub async fn list(app: &App, viewer: AccountId, search: Search, page: Page) -> Result<Paged<RowView, BesideView>> {
    let circle = Circle::of(app, &*app.db, viewer).await?;
    let (rows, total) = store::list(&*app.db, &search, &page).await?;
    let ranked = matches!(search.order, Order::Point(_));
    let rows = rows.iter().map(|row| row_of(&circle, row, ranked)).collect();
    let board = match search.order {
        Order::Point(period) => Some(board(app, &circle, viewer, period).await?),
        Order::Id | Order::Name => None,
    };
    Ok(page.with(rows, total).beside(BesideView { board }))
}

fn row_of(circle: &Circle, account: &account::Model, ranked: bool) -> RowView {
    RowView { person: circle.public(account), point: 0, rank: (ranked && !account.hidden).then_some(1) }
}

async fn board(app: &App, circle: &Circle, viewer: AccountId, period: Period) -> Result<BoardView> {
    let me = people::get(&*app.db, viewer).await?;
    let (from, to) = period.window(app.clock.now(), &app.zone)?.unzip();
    Ok(BoardView {
        from: from.map(rfc3339),
        to: to.map(rfc3339),
        zone: app.config.board.zone.clone(),
        me: row_of(circle, &me, true),
    })
}
