//! The REST door of the ledger and of what it comes to.

use axum::{extract::State, response::IntoResponse};
use entity::{AccountId, RunId, segment};
use jiff::{ToSpan, civil::Date};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ledger::MINUTE,
    period,
    statistics::{self, Range, Statistics},
};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::{Error, ErrorCode, FieldError, Result},
    http::{Answer, Body, Paging, PathId, page::PageQuery},
};

/// Rows of a page of the ledger, unless the caller says otherwise.
const PAGE: u64 = 20;

/// Most days of one answer: a year, also a leap year.
const DAYS: i64 = 366;

/// Paths of this feature.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ledger)).routes(routes!(correct)).routes(routes!(study))
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `correct` reads")]
struct CorrectBody {
    #[schema(minimum = 1)]
    run: i64,
    /// RFC 3339, or milliseconds since 1970; without it, all of the run is taken off.
    #[schema(format = DateTime)]
    until: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SegmentView {
    id: i64,
    run: i64,
    #[schema(required)]
    room: Option<i64>,
    phase: i64,
    /// `work` or `break`.
    kind: &'static str,
    /// `timer`, or `correction`, which takes off.
    source: &'static str,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Of the board's zone.
    #[schema(format = Date)]
    day: String,
    points: i32,
}

#[derive(Serialize, ToSchema)]
struct RemainingView {
    run: i64,
    minutes: i64,
    points: i64,
}

#[derive(Serialize, ToSchema)]
struct DayView {
    #[schema(format = Date)]
    day: String,
    minutes: i64,
    points: i32,
}

#[derive(Serialize, ToSchema)]
struct StreakView {
    current: u32,
    longest: u32,
}

#[derive(Serialize, ToSchema)]
struct StudyView {
    #[schema(format = Date)]
    from: String,
    #[schema(format = Date)]
    to: String,
    /// Those with work.
    days: Vec<DayView>,
    /// Minutes by hour of the day.
    #[schema(min_items = 24, max_items = 24)]
    hours: Vec<i64>,
    streak: StreakView,
    zone: String,
}

fn date(day: i32) -> String {
    period::date_of(day).map(|date| date.to_string()).unwrap_or_default()
}

fn segment_view(segment: &segment::Model) -> SegmentView {
    SegmentView {
        id: segment.id.0,
        run: segment.run_id.0,
        room: segment.room_id.map(|room| room.0),
        phase: segment.phase,
        kind: if segment.kind == 0 { "work" } else { "break" },
        source: if segment.source == 0 { "timer" } else { "correction" },
        from: rfc3339(segment.from_at),
        to: rfc3339(segment.to_at),
        day: date(segment.day),
        points: segment.points,
    }
}

/// Every stretch that was studied, the newest first: what each point comes from.
#[utoipa::path(
    get, path = "/accounts/ledger", tag = "study", params(PageQuery),
    responses((status = 200, body = [SegmentView])),
)]
async fn ledger(State(app): State<App>, caller: Caller, query: Paging) -> Result<impl IntoResponse> {
    let page = query.page(PAGE)?;
    let (segments, total) = super::page(&app, caller.account, page.span()).await?;
    Ok(page.with(segments.iter().map(segment_view).collect(), total))
}

/// Takes a run off, or what came after `until`, within a day of its end.
#[utoipa::path(
    post, path = "/accounts/ledger/correct", tag = "study", request_body = CorrectBody,
    responses((status = 200, description = "What is left of the run", body = RemainingView)),
    extensions(("x-errors" = json!("required out_of_range run_not_found too_late account_not_found"))),
)]
async fn correct(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<RemainingView>> {
    let mut fields = body.fields();
    let run = RunId(fields.required_int("run", 1, i64::MAX));
    let until = fields.instant("until");
    fields.finish()?;
    let left = match until {
        Some(until) => super::trim(&app, caller.account, run, until).await?,
        None => super::discard(&app, caller.account, run).await?,
    };
    Ok(Answer::new(RemainingView { run: run.0, minutes: left.work_ms / MINUTE, points: left.points }))
}

/// Days, hours of the day and streaks: one's own, or a friend's who shares them.
#[utoipa::path(
    get, path = "/accounts/{id}/study", tag = "study",
    params(
        ("id" = i64, Path, description = "Whose", minimum = 1, example = 7),
        ("from" = Option<String>, Query, description = "The first day; a year before the last, unless it is said", format = Date),
        ("to" = Option<String>, Query, description = "The last day; today, unless it is said", format = Date),
    ),
    responses((status = 200, body = StudyView)),
    extensions(("x-errors" = json!("account_not_found not_yourself invalid_date out_of_range"))),
)]
async fn study(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<AccountId>,
    query: Paging,
) -> Result<Answer<StudyView>> {
    let range = range(&query, period::today(app.clock.now(), &app.zone)?)?;
    let statistics = statistics::read(&app, caller.account, id, range).await?;
    Ok(Answer::new(study_view(range, statistics, &app.config.board.zone)))
}

/// The last year, unless the caller says otherwise.
fn range(query: &Paging, today: Date) -> Result<Range> {
    let to = day(query, "to")?.unwrap_or(today);
    let from = day(query, "from")?.unwrap_or(to.saturating_sub((DAYS - 2).days()));
    let first = to.saturating_sub((DAYS - 1).days());
    if from < first || from > to {
        let error = FieldError::new("from", ErrorCode::OutOfRange);
        return Err(Error::fields(vec![error.with("min", first.to_string()).with("max", to.to_string())]));
    }
    Ok(Range { from, to })
}

/// `YYYY-MM-DD` of a year that a clock may show.
fn day(query: &Paging, field: &'static str) -> Result<Option<Date>> {
    let Some(text) = query.parameter(field) else { return Ok(None) };
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = text.parse::<Date>().ok().filter(|date| shape && (1970..9999).contains(&date.year()));
    date.map(Some).ok_or_else(|| Error::field(field, ErrorCode::InvalidDate))
}

fn study_view(range: Range, statistics: Statistics, zone: &str) -> StudyView {
    let day = |day: &entity::day_total::Model| DayView {
        day: date(day.day),
        minutes: day.work_ms / MINUTE,
        points: day.points,
    };
    StudyView {
        from: range.from.to_string(),
        to: range.to.to_string(),
        days: statistics.days.iter().map(day).collect(),
        hours: statistics.hours.iter().map(|ms| ms / MINUTE).collect(),
        streak: StreakView { current: statistics.streak.current, longest: statistics.streak.longest },
        zone: zone.to_owned(),
    }
}
