//! The REST door of rooms.

use axum::{Router, extract::State, routing::get};
use entity::{AccountId, RoomId};
use serde::Serialize;
use std::collections::HashSet;

use super::{Detail, NewRoom};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::{Error, ErrorCode, FieldError, Result},
    friends,
    http::{Answer, Body, Context, Paging, PathId, body, page::Paged},
    people::{self, Closeness, PublicView},
    realtime::protocol::events::CountView,
    runs::row::RunRow,
};

/// Most characters of a room's name.
const NAME: usize = 100;

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new()
        .route("/rooms", get(list).post(create))
        .route("/rooms/check", get(check))
        .route("/rooms/{id}", get(show).post(toggle).delete(leave))
}

#[derive(Debug, Serialize)]
struct RoomRow {
    id: i64,
    name: String,
    description: String,
    has_password: bool,
    member_num: u64,
    online_num: u64,
    created_at: String,
    /// Left out where the caller may not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<MemberRow>>,
}

#[derive(Debug, Serialize)]
struct MemberRow {
    #[serde(flatten)]
    person: PublicView,
    online: bool,
    /// Online since, or offline since; null before the first visit.
    since: Option<String>,
    /// The running timer, with its anchor and next boundaries.
    timer: Option<RunRow>,
}

impl RoomRow {
    fn new(room: entity::room::Model, member_num: u64, online_num: u64, members: Option<Vec<MemberRow>>) -> Self {
        Self {
            id: room.id.0,
            name: room.name,
            description: room.description,
            has_password: room.password_hash.is_some(),
            member_num,
            online_num,
            created_at: rfc3339(room.created_at),
            members,
        }
    }
}

async fn list(State(app): State<App>, _: Caller, paging: Paging) -> Result<Paged<RoomRow>> {
    let keyword = paging.parameter("keyword").map(body::visible);
    if let Some(keyword) = &keyword {
        // No name has what is refused here; databases choke on some of it, a NUL or a pattern without end.
        body::check_visible("keyword", keyword, NAME).map_err(|error| Error::fields(vec![error]))?;
    }
    let page = paging.page(6)?;
    let (rooms, total) = super::list(&app, keyword.as_deref(), &page).await?;
    let row = |(room, counts): (_, CountView)| RoomRow::new(room, counts.member_num, counts.online_num, None);
    Ok(page.with(rooms.into_iter().map(row).collect(), total))
}

async fn create(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<RoomRow>> {
    let mut fields = body.fields();
    let new = NewRoom {
        name: fields.required_visible("name", NAME),
        description: fields.visible_lines("description", 300).unwrap_or_default(),
        password: password(&mut fields),
    };
    fields.finish()?;
    let room = super::create(&app, caller.account, new).await?;
    show_to(&app, caller.account, room).await
}

/// A room's password; nothing and the empty text mean none.
fn password(fields: &mut crate::http::Fields) -> Option<String> {
    let password = fields.text("password").filter(|password| !password.is_empty())?;
    if password.chars().count() > 128 {
        fields.refuse(FieldError::new("password", ErrorCode::TooLong).with("max", 128));
    }
    Some(password)
}

async fn show(State(app): State<App>, caller: Caller, PathId(room): PathId<RoomId>) -> Result<Answer<RoomRow>> {
    let detail = super::detail(&app, room).await?;
    if detail.room.closed_at.is_some() {
        return Err(ErrorCode::RoomNotFound.into());
    }
    answer(&app, caller.account, detail).await
}

async fn check(State(app): State<App>, caller: Caller) -> Result<Answer<Option<RoomRow>>> {
    let Some(room) = super::current(&*app.db, caller.account).await? else { return Ok(Answer::new(None)) };
    let detail = super::detail(&app, room).await?;
    Ok(Answer::new(Some(view(&app, caller.account, detail, true).await?)))
}

/// Enter, leave, or whichever of both is not the case yet.
async fn toggle(
    State(app): State<App>,
    caller: Caller,
    context: Context,
    PathId(room): PathId<RoomId>,
    body: Body,
) -> Result<Answer<RoomRow>> {
    let mut fields = body.fields();
    let action = fields.text("action");
    let password = password(&mut fields);
    fields.finish()?;
    let sits_here = super::current(&*app.db, caller.account).await? == Some(room);
    let enters = match action.as_deref() {
        None | Some("") => !sits_here,
        Some("enter") => true,
        Some("leave") => false,
        Some(_) => {
            let error = FieldError::new("action", ErrorCode::InvalidChoice).with("choices", "enter, leave");
            return Err(Error::fields(vec![error]));
        }
    };
    if enters {
        super::enter(&app, caller.account, room, password, context.peer).await?;
    } else if sits_here {
        return leave(State(app), caller, PathId(room)).await;
    }
    show_to(&app, caller.account, room).await
}

async fn leave(State(app): State<App>, caller: Caller, PathId(room): PathId<RoomId>) -> Result<Answer<RoomRow>> {
    super::leave(&app, caller.account, Some(room)).await?;
    // Whoever sat there a moment ago may see who still does.
    let detail = super::detail(&app, room).await?;
    Ok(Answer::new(view(&app, caller.account, detail, true).await?))
}

async fn show_to(app: &App, viewer: AccountId, room: RoomId) -> Result<Answer<RoomRow>> {
    answer(app, viewer, super::detail(app, room).await?).await
}

async fn answer(app: &App, viewer: AccountId, detail: Detail) -> Result<Answer<RoomRow>> {
    Ok(Answer::new(view(app, viewer, detail, false).await?))
}

/// A room as `viewer` may see it: who sits behind a password is shown to its members only.
async fn view(app: &App, viewer: AccountId, detail: Detail, was_member: bool) -> Result<RoomRow> {
    let Detail { room, members, standings } = detail;
    let is_member = was_member || members.iter().any(|(account, _)| account.id == viewer);
    let close: HashSet<_> = friends::ids(&*app.db, viewer).await?.into_iter().chain([viewer]).collect();
    let stranger = Closeness::Stranger(app.config.accounts.show_email);
    let rows = members.iter().map(|(account, online)| MemberRow {
        person: {
            let closeness = if close.contains(&account.id) { Closeness::Close } else { stranger };
            people::public(account, closeness, standings.state(account.id))
        },
        online: online.is_some(),
        since: online.or(account.seen_at).map(rfc3339),
        timer: standings.view(account.id).map(RunRow::from),
    });
    let shown = (is_member || room.password_hash.is_none()).then(|| rows.collect());
    let online_num = members.iter().filter(|(_, online)| online.is_some()).count() as u64;
    Ok(RoomRow::new(room, members.len() as u64, online_num, shown))
}
