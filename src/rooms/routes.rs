//! The REST door of rooms.

use axum::extract::State;
use entity::{AccountId, RoomId};
use serde::Serialize;
use std::collections::HashSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Detail, NewRoom};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::{Error, ErrorCode, FieldError, Result},
    friends,
    http::{
        Answer, Body, Context, Paging, PathId, body,
        page::{PageQuery, Paged},
    },
    people::{self, Closeness, PublicView},
    realtime::protocol::events::CountView,
    runs::row::RunRow,
};

/// Most characters of a room's name.
const NAME: usize = 100;

/// Paths of this feature.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(check)).routes(routes!(show, toggle, leave))
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `create` reads")]
struct NewRoomBody {
    #[schema(min_length = 1, max_length = 100, example = "새벽반")]
    name: String,
    #[schema(max_length = 300, example = "Six to eight, every day")]
    description: Option<String>,
    /// Without one, or with an empty one, everybody may enter.
    #[schema(max_length = 128)]
    password: Option<String>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `toggle` reads")]
struct ToggleSeatBody {
    /// `enter` or `leave`; without it, whichever is not the case yet.
    #[schema(pattern = "^(enter|leave|)$", example = "enter")]
    action: Option<String>,
    /// Where the room has one.
    #[schema(max_length = 128)]
    password: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RoomRow {
    #[schema(example = 42)]
    id: i64,
    #[schema(example = "새벽반")]
    name: String,
    description: String,
    has_password: bool,
    member_num: u64,
    online_num: u64,
    #[schema(format = DateTime)]
    created_at: String,
    /// Left out where the caller may not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    members: Option<Vec<MemberRow>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MemberRow {
    #[serde(flatten)]
    person: PublicView,
    online: bool,
    /// Online since, or offline since; null before the first visit.
    #[schema(required, format = DateTime)]
    since: Option<String>,
    /// The running timer, with its anchor and next boundaries.
    #[schema(required)]
    timer: Option<RunRow>,
}

impl RoomRow {
    fn new(room: &entity::room::Model, member_num: u64, online_num: u64, members: Option<Vec<MemberRow>>) -> Self {
        Self {
            id: room.id.0,
            name: room.name.clone(),
            description: room.description.clone(),
            has_password: room.password_hash.is_some(),
            member_num,
            online_num,
            created_at: rfc3339(room.created_at),
            members,
        }
    }
}

/// Rooms, the newest first.
#[utoipa::path(
    get, path = "/rooms", tag = "rooms",
    params(PageQuery, ("keyword" = Option<String>, Query, description = "Part of the name", max_length = 100, example = "새벽")),
    responses((status = 200, body = [RoomRow])),
    extensions(("x-errors" = json!("too_long invalid_characters"))),
)]
async fn list(State(app): State<App>, _: Caller, paging: Paging) -> Result<Paged<RoomRow>> {
    let keyword = paging.parameter("keyword").map(body::visible);
    if let Some(keyword) = &keyword {
        // No name has what is refused here; databases choke on some of it, a NUL or a pattern without end.
        body::check_visible("keyword", keyword, NAME).map_err(|error| Error::fields(vec![error]))?;
    }
    let page = paging.page(6)?;
    let found = super::list(&app, keyword.as_deref(), page.span()).await?;
    let row = |(room, counts): &(_, CountView)| RoomRow::new(room, counts.member_num, counts.online_num, None);
    Ok(page.with(found.rooms.iter().map(row).collect(), found.total))
}

/// Makes a room and sits down in it.
#[utoipa::path(
    post, path = "/rooms", tag = "rooms", request_body = NewRoomBody,
    responses((status = 200, description = "The room, with its members", body = RoomRow)),
    extensions(("x-errors" = json!("required too_long invalid_characters 400:already_in_room overloaded"))),
)]
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

/// A room. Who sits behind a password is shown to members only.
#[utoipa::path(
    get, path = "/rooms/{id}", tag = "rooms", params(("id" = i64, Path, description = "Which room", minimum = 1, example = 42)),
    responses((status = 200, body = RoomRow)),
    extensions(("x-errors" = json!("room_not_found"))),
)]
async fn show(State(app): State<App>, caller: Caller, PathId(room): PathId<RoomId>) -> Result<Answer<RoomRow>> {
    let detail = super::detail(&app, room).await?;
    if detail.room.closed_at.is_some() {
        return Err(ErrorCode::RoomNotFound.into());
    }
    answer(&app, caller.account, detail).await
}

/// The room in which one sits, or null.
#[utoipa::path(get, path = "/rooms/check", tag = "rooms", responses((status = 200, body = Option<RoomRow>)))]
async fn check(State(app): State<App>, caller: Caller) -> Result<Answer<Option<RoomRow>>> {
    let Some(room) = super::current(&*app.db, caller.account).await? else { return Ok(Answer::new(None)) };
    let detail = super::detail(&app, room).await?;
    Ok(Answer::new(Some(view(&app, caller.account, detail, true).await?)))
}

/// Enters or leaves, whichever is not the case yet.
#[utoipa::path(
    post, path = "/rooms/{id}", tag = "rooms", params(("id" = i64, Path, description = "Which room", minimum = 1, example = 42)), request_body = ToggleSeatBody,
    responses((status = 200, description = "The room, with its members", body = RoomRow)),
    extensions(("x-errors" = json!("room_not_found wrong_password already_in_room room_full not_a_member too_long \
        invalid_choice too_many_requests overloaded"))),
)]
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

/// Leaves. Whoever was last closes the room.
#[utoipa::path(
    delete, path = "/rooms/{id}", tag = "rooms", params(("id" = i64, Path, description = "Which room", minimum = 1, example = 42)),
    responses((status = 200, description = "The room as it is now", body = RoomRow)),
    extensions(("x-errors" = json!("room_not_found not_a_member"))),
)]
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
    Ok(RoomRow::new(&room, members.len() as u64, online_num, shown))
}
