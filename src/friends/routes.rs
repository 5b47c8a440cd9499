//! The REST door of friends.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use entity::AccountId;
use serde::Serialize;

use super::{
    Acquaintance, Direction,
    relation::{Action, Change},
};
use crate::{
    app::App,
    auth::Caller,
    clock::rfc3339,
    error::Result,
    http::{Answer, Body, Paging, PathId, page::Paged},
    people::{self, Closeness, PublicView},
};

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new()
        .route("/accounts/friend", get(list))
        .route("/accounts/friend/request", get(received))
        .route("/accounts/friend/request/receive", get(received))
        .route("/accounts/friend/request/send", get(sent))
        .route("/accounts/friend/{id}", post(toggle).delete(remove))
        .route("/accounts/friend/{id}/accept", post(accept))
        .route("/accounts/friend/{id}/reject", post(reject))
}

#[derive(Debug, Serialize)]
struct FriendsView {
    friends: Vec<FriendRow>,
}

#[derive(Debug, Serialize)]
struct FriendRow {
    #[serde(flatten)]
    person: PublicView,
    online: bool,
    /// Online since, or offline since; null before the first visit.
    since: Option<String>,
}

/// One of the two names is there, as the direction says.
#[derive(Debug, Serialize)]
struct RequestRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<PublicView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<PublicView>,
    created_at: String,
}

/// What became of it, in the words of the original API.
#[derive(Debug, Serialize)]
pub struct StatusView {
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

async fn list(State(app): State<App>, caller: Caller) -> Result<Answer<FriendsView>> {
    let friends = super::list(&app, caller.account).await?;
    let row = |friend: Acquaintance| FriendRow {
        person: people::public(&friend.account, Closeness::Close, friend.state),
        online: friend.online.is_some(),
        since: friend.online.or(friend.account.seen_at).map(rfc3339),
    };
    Ok(Answer::new(FriendsView { friends: friends.into_iter().map(row).collect() }))
}

async fn received(State(app): State<App>, caller: Caller, paging: Paging) -> Result<Paged<RequestRow>> {
    requests(app, caller, paging, Direction::Received).await
}

async fn sent(State(app): State<App>, caller: Caller, paging: Paging) -> Result<Paged<RequestRow>> {
    requests(app, caller, paging, Direction::Sent).await
}

async fn requests(app: App, caller: Caller, paging: Paging, direction: Direction) -> Result<Paged<RequestRow>> {
    let page = paging.page(20)?;
    let (rows, total) = super::requests(&app, caller.account, direction, &page).await?;
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

async fn accept(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
) -> Result<Answer<StatusView>> {
    act(app, caller, other, Action::Accept).await
}

async fn reject(
    State(app): State<App>,
    caller: Caller,
    PathId(other): PathId<AccountId>,
) -> Result<Answer<StatusView>> {
    act(app, caller, other, Action::Reject).await
}

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
