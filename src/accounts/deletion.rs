//! How an account goes.
//!
//! Promises that afterwards nothing in the database leads back to the person: the row stays, because points refer to
//! it, and holds nothing but its number. Friends and the room hear of it like of any other parting.

use std::collections::BTreeSet;

use entity::{AccountId, Millis, RoomId, account};
use sea_orm::ConnectionTrait;

use super::{profile, profile::ProfileView, store, tell_ended};
use crate::{
    app::App,
    auth::sessions,
    db::Tx,
    error::{Error, ErrorCode, Result},
    friends, mail, once, people, product_keys,
    realtime::{
        broker::Which,
        protocol::{CloseReason, events::ExitReason},
    },
    rooms, study, timer,
};

/// How often somebody new may turn up among the friends before we ask the caller to come back.
const TRIES: usize = 5;

/// Deletes `id` and answers what there was to know, for the last time.
pub async fn delete(app: &App, id: AccountId) -> Result<ProfileView> {
    for _ in 0..TRIES {
        let circle = circle(&*app.db, id).await?;
        let tx = app.db.begin().await?;
        // Everybody who will hear of it, in one go: locks taken one after another could wait for each other.
        let account = people::lock(&tx, circle.iter().copied()).await?.remove(&id);
        let account = account.ok_or(ErrorCode::SessionEnded)?;
        if !self::circle(&*tx, id).await?.is_subset(&circle) {
            continue;
        }
        let view = profile::own(app, &*tx, &account).await?;
        let room = erase(app, &tx, &account, app.clock.now()).await?;
        tx.commit().await?;
        tell_ended(app, id, Which::All, CloseReason::AccountDeleted).await;
        if let Some(room) = room {
            rooms::tell(app, room).await;
        }
        return Ok(view);
    }
    Err(Error::from(ErrorCode::Unavailable))
}

/// The account itself and everybody who will hear that it is gone.
async fn circle(connection: &impl ConnectionTrait, id: AccountId) -> Result<BTreeSet<AccountId>> {
    Ok(friends::circle(connection, id).await?.into_iter().chain([id]).collect())
}

async fn erase(app: &App, tx: &Tx, account: &account::Model, now: Millis) -> Result<Option<RoomId>> {
    let id = account.id;
    let room = rooms::leave_in(tx, id, ExitReason::Deleted, now).await?;
    friends::remove_all_in(tx, id, now).await?;
    timer::remove_in(app, tx, account, now).await?;
    study::count_out(tx, account).await?;
    product_keys::release_in(tx, id).await?;
    sessions::end(tx, id, Which::All).await?;
    store::delete_resets(tx, id).await?;
    once::forget(tx, id).await?;
    if let Some(email) = &account.email {
        mail::withdraw(tx, email).await?;
    }
    store::anonymise(tx, account, now).await?;
    Ok(room)
}
