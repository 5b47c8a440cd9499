//! Accounts: signing up, in and out, what people tell of themselves, and how they go.
//!
//! Promises that the database alone judges whether an e-mail is taken, that an unknown e-mail and a wrong password
//! can't be told apart, and that a session begins only if the password that was verified is still the account's.
//! Points are not counted here.

pub mod deletion;
pub mod email;
pub mod password_rules;
pub mod profile;
pub mod recovery;
pub mod routes;
pub mod search;

mod bodies;
mod sentences;
mod store;

use std::net::IpAddr;

use entity::{AccountId, account, session};
use sea_orm::{ActiveValue::Set, IntoActiveModel};

use crate::{
    app::App,
    auth::{Caller, Issued, sessions},
    clock,
    db::Tx,
    error::{Error, ErrorCode, NON_FIELD, Result},
    http::context::network,
    people,
    realtime::{broker::Which, protocol::CloseReason},
};

pub use email::Email;

/// Characters of a family name, and of a given name.
pub const NAME: usize = 50;

/// What a new account needs to be told.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are the account's")]
pub struct NewAccount {
    pub email: Email,
    pub password: String,
    pub last_name: String,
    pub first_name: String,
    pub gender: i16,
    pub birth_date: String,
}

/// A session that has begun, with its first token.
#[derive(Debug)]
pub struct SignedIn {
    /// Whose.
    pub account: account::Model,
    /// For the client alone.
    pub issued: Issued,
}

/// Makes an account without signing anybody in.
pub async fn create(app: &App, new: NewAccount) -> Result<account::Model> {
    let hash = app.auth.passwords().hash(new.password.clone()).await?;
    let tx = app.db.begin().await?;
    let account = store::insert(&tx, &new, hash, app.clock.now()).await?;
    tx.commit_quietly().await?;
    Ok(account)
}

/// Accounts that were written in bulk can be found, and count.
pub async fn enter(tx: &Tx, accounts: &[account::Model]) -> Result<()> {
    store::enter(tx, accounts).await
}

/// The living account that signs in with `email`.
pub async fn find_by_email(app: &App, email: &str) -> Result<Option<account::Model>> {
    store::find(&*app.db, &email::key(email)).await
}

/// Lets an account use the operator's routes, or no longer.
pub async fn set_staff(app: &App, id: AccountId, staff: bool) -> Result<()> {
    let tx = app.db.begin().await?;
    let mut change = people::lock_one(&tx, id).await?.into_active_model();
    change.staff = Set(staff);
    store::update(&tx, change).await?;
    tx.commit_quietly().await
}

/// Makes an account and begins its first session.
pub async fn sign_up(app: &App, peer: IpAddr, new: NewAccount) -> Result<SignedIn> {
    app.throttle.count(peer, "signup", network(peer), app.config.limits.signup_per_address).await?;
    let hash = app.auth.passwords().hash(new.password.clone()).await?;
    let tx = app.db.begin().await?;
    let account = store::insert(&tx, &new, hash, app.clock.now()).await?;
    begin_session(app, tx, account).await
}

/// Begins a session for whoever knows the password.
pub async fn sign_in(app: &App, peer: IpAddr, email: &str, password: String) -> Result<SignedIn> {
    let limits = &app.config.limits;
    let key = email::key(email);
    app.throttle.count(peer, "login_address", network(peer), limits.login_per_address).await?;
    // Counted before it is known to be wrong: guesses sent all at once must not slip past the delay together.
    app.throttle.attempt(peer, "login", &key, limits.login_free_tries).await?;
    let known = store::find(&*app.db, &key).await?;
    let hash = known.as_ref().and_then(|account| account.password_hash.clone());
    let right = app.auth.passwords().verify(password, hash).await?;
    let verified = known.filter(|_| right).ok_or_else(wrong_credentials)?;

    let tx = app.db.begin().await?;
    // The password may have been changed, or every session ended, while it was being verified.
    let account = people::lock(&tx, [verified.id]).await?.remove(&verified.id);
    let unchanged = |now: &account::Model| now.epoch == verified.epoch && now.password_hash == verified.password_hash;
    let account = account.filter(unchanged).ok_or_else(wrong_credentials)?;
    let signed_in = begin_session(app, tx, account).await?;
    app.throttle.forgive("login", &key).await;
    Ok(signed_in)
}

fn wrong_credentials() -> Error {
    Error::field(NON_FIELD, ErrorCode::WrongCredentials)
}

async fn begin_session(app: &App, tx: Tx, account: account::Model) -> Result<SignedIn> {
    let now = app.clock.now();
    let ends = clock::after(now, app.config.auth.session_ttl);
    let session = sessions::begin(&tx, &account, now, ends).await?;
    tx.commit_quietly().await?;
    let issued = issue(app, &session)?;
    Ok(SignedIn { account, issued })
}

fn issue(app: &App, session: &session::Model) -> Result<Issued> {
    app.auth.issue(session.account_id, session.id, session.expires_at)
}

/// A later token for the same session, which it can't outlive.
pub async fn refresh(app: &App, caller: Caller) -> Result<Issued> {
    issue(app, &sessions::get(&*app.db, caller.session).await?)
}

/// Ends the caller's session everywhere.
pub async fn sign_out(app: &App, caller: Caller) -> Result<()> {
    let which = Which::One(caller.session);
    let tx = app.db.begin().await?;
    sessions::end(&tx, caller.account, which).await?;
    tx.commit_quietly().await?;
    tell_ended(app, caller.account, which, CloseReason::SessionEnded).await;
    // A connection lost just before is not waited for: nobody is signed in who could bring it back.
    if !sessions::exist(&*app.db, caller.account).await? {
        give_up(app, caller.account).await;
    }
    Ok(())
}

/// What the session's end has done is done: a grace that goes on is no reason to fail.
async fn give_up(app: &App, account: AccountId) {
    if let Err(error) = app.hub.broker().give_up(account, app.clock.now()).await {
        tracing::warn!(%error, %account, "a lost connection is waited for although nobody can come back");
    }
}

/// Ends every session of an account, as an operator may.
pub async fn end_sessions(app: &App, account: AccountId) -> Result<()> {
    people::get(&*app.db, account).await?;
    let tx = app.db.begin().await?;
    sessions::end(&tx, account, Which::All).await?;
    tx.commit_quietly().await?;
    tell_ended(app, account, Which::All, CloseReason::SessionEnded).await;
    give_up(app, account).await;
    Ok(())
}

/// After the commit: tokens die and sockets close on every instance. The sessions' rows are gone already, so a word
/// that does not arrive delays this by what a cache remembers, and is no reason to fail.
async fn tell_ended(app: &App, account: AccountId, which: Which, reason: CloseReason) {
    app.auth.forget(account, which);
    if let Err(error) = app.hub.end_sessions(account, which, reason).await {
        tracing::warn!(%error, %account, "other instances were not told that sessions have ended");
    }
}
