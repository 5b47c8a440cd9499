//! Whom one finds, in which order.
//!
//! Promises that an unknown value is refused instead of guessed at. Who stands where on a board is study's to say.

use entity::{AccountId, account};
use sea_orm::{ColumnTrait, sea_query::IntoCondition};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{profile::Circle, store};
use crate::{
    app::{App, PeopleAsked, PeopleList},
    clock::rfc3339,
    error::{Error, ErrorCode, FieldError, Result},
    http::{
        Paging,
        body::check_visible,
        page::{Page, Paged},
    },
    people::{self, PublicView},
    runs,
    study::{
        self, Period,
        board::{Asked, Place, Scope},
    },
};

/// No name is longer, in any order.
const KEYWORD: usize = 254;

/// What the query may say.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Search` reads")]
pub struct SearchQuery {
    /// Part of a name, in either order, or a whole e-mail.
    #[param(max_length = 254, example = "수미")]
    kw: Option<String>,
    /// `point` is a board.
    #[param(pattern = "^(id|name|point)$", default = "id")]
    order_by: Option<String>,
    /// Which points count, on a board.
    #[param(pattern = "^(day|week|month|all)$", default = "all")]
    period: Option<String>,
    /// Who is on the board.
    #[param(pattern = "^(everyone|friends|room)$", default = "everyone")]
    scope: Option<String>,
}

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
    /// Most points first, among those of a scope.
    Point(Period, Scope),
}

impl Search {
    /// Reads `kw`, `order_by`, `period` and `scope`.
    pub fn read(query: &Paging) -> Result<Self> {
        let keyword = query.parameter("kw").map(super::email::key);
        if let Some(keyword) = &keyword {
            check_visible("kw", keyword, KEYWORD).map_err(|error| Error::fields(vec![error]))?;
        }
        let (period, scope) = (query.parameter("period"), query.parameter("scope"));
        let order = match query.parameter("order_by") {
            None | Some("id") => Order::Id,
            Some("name") => Order::Name,
            Some("point") => Order::Point(
                choose("period", period, &Period::NAMES)?.unwrap_or_default(),
                choose("scope", scope, &Scope::NAMES)?.unwrap_or_default(),
            ),
            Some(_) => return Err(invalid("order_by", "point, name, id")),
        };
        // Without points there is but one period, and another would be silently ignored.
        let board = matches!(order, Order::Point(..));
        if !board && period.is_some_and(|name| name != "all") {
            return Err(invalid("period", "all"));
        }
        if !board && scope.is_some_and(|name| name != "everyone") {
            return Err(invalid("scope", "everyone"));
        }
        Ok(Self { keyword, order })
    }
}

fn choose<T: Copy>(field: &'static str, name: Option<&str>, choices: &[(&str, T)]) -> Result<Option<T>> {
    let Some(name) = name else { return Ok(None) };
    let found = choices.iter().find(|(known, _)| *known == name);
    let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map(|(_, choice)| Some(*choice)).ok_or_else(|| invalid(field, &names()))
}

fn invalid(field: &'static str, choices: &str) -> Error {
    Error::fields(vec![FieldError::new(field, ErrorCode::InvalidChoice).with("choices", choices)])
}

/// One row of the list.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct RowView {
    #[serde(flatten)]
    pub person: PublicView,
    pub point: i64,
    /// Only on a board; nobody hidden has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rank: Option<u64>,
}

/// What stands beside the rows of a board.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct BoardView {
    /// The window's beginning, which belongs to it; null for all time.
    #[schema(required, format = DateTime)]
    pub from: Option<String>,
    /// The window's end, which doesn't.
    #[schema(required, format = DateTime)]
    pub to: Option<String>,
    #[schema(example = "Asia/Seoul")]
    pub zone: String,
    pub me: RowView,
    /// The nearest with points, best first.
    pub neighbours: NeighboursView,
}

/// Who stands next to the caller.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct NeighboursView {
    pub above: Vec<RowView>,
    pub below: Vec<RowView>,
}

/// The siblings of a list: a board's, or none.
#[derive(Debug, Serialize, ToSchema)]
pub struct BesideView {
    #[serde(flatten)]
    board: Option<BoardView>,
}

/// Those whom `viewer` finds.
pub async fn list(app: &App, viewer: AccountId, search: Search, page: Page) -> Result<Paged<RowView, BesideView>> {
    let circle = Circle::of(app, &*app.db, viewer).await?;
    if let Order::Point(period, scope) = search.order {
        return board(app, &circle, Asked { viewer, period, scope }, search.keyword.as_deref(), page).await;
    }
    let asked = (search.keyword, search.order == Order::Name, page.span());
    let found = app.people_lists.ask_one(asked, async |asked| read(app, asked).await).await?;
    let point = |account: &account::Model| found.points.get(&account.id).copied().unwrap_or(0);
    let row = |account| RowView { person: circle.public(account, &found.standings), point: point(account), rank: None };
    let rows = found.accounts.iter().map(row).collect();
    Ok(page.with(rows, found.total).beside(BesideView { board: None }))
}

async fn read(app: &App, (keyword, by_name, span): PeopleAsked) -> Result<PeopleList> {
    let (accounts, total) = store::list(&*app.db, keyword.as_deref(), by_name, span).await?;
    let ids = || accounts.iter().map(|account| account.id);
    let points = study::all_time(&*app.db, ids()).await?;
    let standings = runs::standings(&*app.db, app.clock.now(), ids()).await?;
    Ok(PeopleList { accounts, total, points, standings })
}

async fn board(
    app: &App,
    circle: &Circle,
    asked: Asked,
    keyword: Option<&str>,
    page: Page,
) -> Result<Paged<RowView, BesideView>> {
    let filter = match keyword {
        Some(keyword) => Some(account::Column::Id.in_subquery(store::named(&*app.db, keyword).await?).into_condition()),
        None => None,
    };
    let read = study::board::read(app, asked, filter, page.span()).await?;
    let (above, below) = &read.neighbours;
    let everybody = [&read.rows, above, below].into_iter().flatten().chain([&read.me]);
    let people = people::list(&*app.db, everybody.map(|place| place.account)).await?;
    let standings = runs::standings(&*app.db, read.now, people.keys().copied()).await?;
    // Who was deleted in between is left out.
    let row = |place: &Place| {
        let person = circle.public(people.get(&place.account)?, &standings);
        Some(RowView { person, point: place.points, rank: place.rank })
    };
    let rows = |places: &[Place]| places.iter().filter_map(row).collect::<Vec<_>>();
    let (from, to) = asked.period.window(read.now, &app.zone)?.unzip();
    let board = BoardView {
        from: from.map(rfc3339),
        to: to.map(rfc3339),
        zone: app.config.board.zone.clone(),
        me: row(&read.me).ok_or(ErrorCode::SessionEnded)?,
        neighbours: NeighboursView { above: rows(above), below: rows(below) },
    };
    Ok(page.with(rows(&read.rows), read.total).beside(BesideView { board: Some(board) }))
}
