//! One person as others see them, and as they see themselves.
//!
//! Promises that what is only for the person is a type of its own, filled in at one place.

use entity::{AccountId, Millis, account};
use sea_orm::{ActiveValue::Set, ConnectionTrait};
use serde::Serialize;
use utoipa::ToSchema;

use super::store;
use crate::{
    app::App,
    error::{ErrorCode, Result},
    friends, grams,
    people::{self, Closeness, PublicView, search_name},
    rooms,
    runs::{self, Standings},
    study,
    timer::{self, PlanView},
};

/// A profile. What the viewer may not see is left out.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct ProfileView {
    #[serde(flatten)]
    pub person: PublicView,
    pub point: study::PointsView,
    #[schema(required)]
    pub room: Option<i64>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friends: Option<Vec<PublicView>>,
    #[serde(flatten)]
    pub own: Option<OwnView>,
}

/// What nobody but the person sees.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct OwnView {
    /// 0 man, 1 woman.
    #[schema(minimum = 0, maximum = 1)]
    pub gender: i16,
    #[schema(format = Date, example = "2001-02-03")]
    pub birth_date: String,
    pub hidden: bool,
    pub share_study: bool,
    #[schema(required)]
    pub time_setting: Option<PlanView>,
}

/// What a person changes of themselves; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are the account's")]
pub struct Change {
    pub last_name: Option<String>,
    pub first_name: Option<String>,
    pub gender: Option<i16>,
    pub birth_date: Option<String>,
    /// `Some(None)` removes the picture.
    pub image: Option<Option<String>>,
    pub hidden: Option<bool>,
    pub share_study: Option<bool>,
}

/// `id` as `viewer` sees them.
pub async fn get(app: &App, viewer: AccountId, id: AccountId) -> Result<ProfileView> {
    let account = people::get(&*app.db, id).await?;
    if id == viewer {
        return own(app, &*app.db, &account).await;
    }
    let close = friends::are_friends(&*app.db, viewer, id).await?;
    view(app, &*app.db, viewer, &account, close).await
}

/// `account` as they see themselves.
pub(super) async fn own(app: &App, connection: &impl ConnectionTrait, account: &account::Model) -> Result<ProfileView> {
    let own = OwnView {
        gender: account.gender,
        birth_date: account.birth_date.clone(),
        hidden: account.hidden,
        share_study: account.share_study,
        time_setting: timer::find_plan(connection, account.id).await?,
    };
    Ok(ProfileView { own: Some(own), ..view(app, connection, account.id, account, true).await? })
}

async fn view(
    app: &App,
    connection: &impl ConnectionTrait,
    viewer: AccountId,
    account: &account::Model,
    close: bool,
) -> Result<ProfileView> {
    let circle = Circle::of(app, connection, viewer).await?;
    let now = app.clock.now();
    let friends = if close { Some(friends_of(connection, &circle, account.id, now).await?) } else { None };
    let standings = runs::standings(connection, now, [account.id]).await?;
    Ok(ProfileView {
        person: circle.public(account, &standings),
        point: study::points(app, connection, account.id).await?,
        room: rooms::current(connection, account.id).await?.map(|room| room.0),
        friends,
        own: None,
    })
}

async fn friends_of(
    connection: &impl ConnectionTrait,
    circle: &Circle,
    id: AccountId,
    now: Millis,
) -> Result<Vec<PublicView>> {
    let ids = friends::ids(connection, id).await?;
    let standings = runs::standings(connection, now, ids.iter().copied()).await?;
    let mut rows: Vec<_> = people::list(connection, ids).await?.into_values().collect();
    rows.sort_by_key(|row| row.id);
    Ok(rows.iter().map(|row| circle.public(row, &standings)).collect())
}

/// Whose e-mails a viewer sees whole.
pub(super) struct Circle {
    close: Vec<AccountId>,
    stranger: Closeness,
}

impl Circle {
    pub(super) async fn of(app: &App, connection: &impl ConnectionTrait, viewer: AccountId) -> Result<Self> {
        let mut close = friends::ids(connection, viewer).await?;
        close.push(viewer);
        close.sort_unstable();
        Ok(Self { close, stranger: Closeness::Stranger(app.config.accounts.show_email) })
    }

    pub(super) fn public(&self, account: &account::Model, standings: &Standings) -> PublicView {
        let close = self.close.binary_search(&account.id).is_ok();
        let closeness = if close { Closeness::Close } else { self.stranger };
        people::public(account, closeness, standings.state(account.id))
    }
}

/// Changes what the person says of themselves, and tells their room.
pub async fn update(app: &App, id: AccountId, change: Change) -> Result<ProfileView> {
    let tx = app.db.begin().await?;
    let before = people::lock(&tx, [id]).await?.remove(&id).ok_or(ErrorCode::SessionEnded)?;
    let (was_hidden, was_named) = (before.hidden, before.search_name.clone());
    let after = store::update(&tx, apply(before, change)).await?;
    grams::PEOPLE.update(&tx, id.0, &was_named, &after.search_name).await?;
    if after.hidden != was_hidden {
        study::set_listed(&tx, id, !after.hidden).await?;
    }
    rooms::member_changed(&tx, &after, app.clock.now()).await?;
    let view = own(app, &*tx, &after).await?;
    tx.commit().await?;
    Ok(view)
}

fn apply(before: account::Model, change: Change) -> account::ActiveModel {
    let last_name = change.last_name.unwrap_or_else(|| before.last_name.clone());
    let first_name = change.first_name.unwrap_or_else(|| before.first_name.clone());
    account::ActiveModel {
        id: Set(before.id),
        search_name: Set(search_name(&last_name, &first_name)),
        last_name: Set(last_name),
        first_name: Set(first_name),
        gender: Set(change.gender.unwrap_or(before.gender)),
        birth_date: Set(change.birth_date.unwrap_or(before.birth_date)),
        image: Set(change.image.unwrap_or(before.image)),
        hidden: Set(change.hidden.unwrap_or(before.hidden)),
        share_study: Set(change.share_study.unwrap_or(before.share_study)),
        ..Default::default()
    }
}
