//! The REST door of friends.

use axum::{extract::State, routing::get};
use entity::AccountId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Acquaintance, Direction,
    relation::{Action, Change},
};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::Result,
    http::{
        Answer, Body, Paging, PathId,
        page::{PageQuery, Paged},
    },
    people::{self, Closeness, PublicView},
};

/// Paths of this feature.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(received))
        .route("/accounts/friend/request/receive", get(received))
        .routes(routes!(sent))
        .routes(routes!(toggle, remove))
        .routes(routes!(accept))
        .routes(routes!(reject))
}

#[derive(Debug, Serialize, ToSchema)]
struct FriendsView {
    friends: Vec<FriendRow>,
}

#[derive(Debug, Serialize, ToSchema)]
struct FriendRow {
    #[serde(flatten)]
    person: PublicView,
    online: bool,
    /// Online since, or offline since; null before the first visit.
    #[schema(required, format = DateTime)]
    since: Option<String>,
}

/// Which way.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `toggle` reads")]
struct ToggleRequestBody {
    /// `true` asks, `false` takes back; without it, whichever is not the case yet.
    flag: Option<bool>,
}

/// One of the two names is there, as the direction says.
#[derive(Debug, Serialize, ToSchema)]
struct RequestRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sender: Option<PublicView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receiver: Option<PublicView>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// What became of it, in the words of the original API.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusView {
    #[schema(pattern = "^(ADD|DELETE|ACCEPT)$", example = "ADD")]
    status: &'static str,
}

impl From<Change> for StatusView {
    fn from(change: Change) -> Self {
        let status = match change {
            Change::Ask | Change::Nothing { asking: true } => "ADD",
            Change::TakeBack | Change::TurnDown | Change::Part | Change::Nothing { asking: false } => "DELETE",
            Change::Befriend => "ACCEPT",
        };
        Self { status }
    }
}

/// Friends, and who of them is online.
#[utoipa::path(get, path = "/accounts/friend", tag = "friends", responses((status = 200, body = FriendsView)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Answer<FriendsView>> {
    let friends = super::list(&app, caller.account).await?;
    let row = |friend: Acquaintance| FriendRow {
        person: people::public(&friend.account, Closeness::Close, friend.state),
        online: friend.online.is_some(),
        since: friend.online.or(friend.account.seen_at).map(rfc3339),
    };
    Ok(Answer::new(FriendsView { friends: friends.into_iter().map(row).collect() }))
}

/// Requests that wait for one's answer, with `sender`.
#[utoipa::path(
    get, path = "/accounts/friend/request", tag = "friends", params(PageQuery),
    responses((status = 200, body = [RequestRow])),
    extensions(("x-also" = json!("/accounts/friend/request/receive"))),
)]
async fn received(State(app): State<App>, caller: Caller, paging: Paging) -> Result<Paged<RequestRow>> {
    requests(app, caller, paging, Direction::Received).await
}

/// One's own requests that wait for an answer, with `receiver`.
#[utoipa::path(
    get, path = "/accounts/friend/request/send", tag = "friends", params(PageQuery),
    responses((status = 200, body = [RequestRow])),
)]
async fn sent(State(app): State<App>, caller: Caller, paging: Paging) -> Result<Paged<RequestRow>> {
    requests(app, caller, paging, Direction::Sent).await
}

async fn requests(app: App, caller: Caller, paging: Paging, direction: Direction) -> Result<Paged<RequestRow>> {
    let page = paging.page(20)?;
    let (rows, total) = super::requests(&app, caller.account, direction, page.span()).await?;
    let stranger = Closeness::Stranger(app.config.accounts.show_email);
    let rows = rows.into_iter().map(|other| {
        let view = Some(people::public(&other.account, stranger, other.state));
        let (sender, receiver) = match direction {
            Direction::Received => (view, None),
            Direction::Sent => (None, view),
        };
        RequestRow { sender, receiver, created_at: rfc3339(other.since) }
    });
    Ok(page.with(rows.collect(), total))
}

/// Asks for friendship, or takes one's request back. Asking back accepts.
#[utoipa::path(
    post, path = "/accounts/friend/{id}", tag = "friends", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)), request_body = ToggleRequestBody,
    responses((status = 200, description = "ADD, DELETE or ACCEPT", body = StatusView)),
    extensions(("x-errors" = json!("account_not_found request_to_oneself already_friends"))),
)]
async fn toggle(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
    body: Body,
) -> Result<Answer<StatusView>> {
    let mut fields = body.fields();
    let action = match fields.flag("flag") {
        None => Action::Toggle,
        Some(true) => Action::Request,
        Some(false) => Action::Cancel,
    };
    fields.finish()?;
    act(app, caller, other, action).await
}

/// Accepts a request.
#[utoipa::path(
    post, path = "/accounts/friend/{id}/accept", tag = "friends", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = StatusView)),
    extensions(("x-errors" = json!("account_not_found request_not_found already_friends"))),
)]
async fn accept(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
) -> Result<Answer<StatusView>> {
    act(app, caller, other, Action::Accept).await
}

/// Turns a request down.
#[utoipa::path(
    post, path = "/accounts/friend/{id}/reject", tag = "friends", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = StatusView)),
    extensions(("x-errors" = json!("account_not_found request_not_found"))),
)]
async fn reject(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
) -> Result<Answer<StatusView>> {
    act(app, caller, other, Action::Reject).await
}

/// Ends a friendship.
#[utoipa::path(
    delete, path = "/accounts/friend/{id}", tag = "friends", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = StatusView)),
    extensions(("x-errors" = json!("account_not_found not_friends"))),
)]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
) -> Result<Answer<StatusView>> {
    act(app, caller, other, Action::Remove).await
}

async fn act(app: App, caller: Caller, other: AccountId, action: Action) -> Result<Answer<StatusView>> {
    let change = super::act(&app, caller.account, other, action).await?;
    Ok(Answer::new(change.into()))
}
