//! Passwords changed and forgotten, e-mails found again.
//!
//! Promises that a reset's answer tells nobody whether an e-mail is known, neither by what it says nor by when; that a
//! token works once, for one account, for as long as the configuration says; and that the owner hears of every use.
//! Nobody is signed in by it.

use std::{net::IpAddr, time::Duration};

use entity::{AccountId, account};

use super::{email, password_rules, store, tell_ended};
use crate::{
    app::App,
    auth::{
        Caller,
        secret::{fingerprint, random_token},
        sessions,
    },
    clock,
    config::EmailDisplay,
    db::Tx,
    error::{Error, ErrorCode, Result},
    http::context::network,
    mail::{self, Letter},
    people,
    product_keys::{self, ProductKey},
    realtime::{broker::Which, protocol::CloseReason},
};

/// An answer to "I forgot" takes this long, whatever there was to do; the work is far shorter.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// A new password for somebody who knows the old one; every other session ends.
pub async fn change_password(app: &App, peer: IpAddr, caller: Caller, old: String, new: String) -> Result<()> {
    let tries = app.config.limits.login_free_tries;
    app.throttle.attempt(peer, "old_password", caller.account, tries).await?;
    let wrong = || Error::field("old_password", ErrorCode::WrongOldPassword);
    let verified = people::get(&*app.db, caller.account).await?;
    if !app.auth.passwords().verify(old, verified.password_hash.clone()).await? {
        return Err(wrong());
    }
    app.throttle.forgive("old_password", caller.account).await;
    check_new(&verified, &new)?;
    let hash = app.auth.passwords().hash(new).await?;

    let tx = app.db.begin().await?;
    let account = people::lock_one(&tx, caller.account).await?;
    // A session that was ended meanwhile can't decide about the password any more.
    sessions::get(&*tx, caller.session).await?;
    if account.password_hash != verified.password_hash {
        return Err(wrong());
    }
    set_password(app, tx, account, hash, Which::AllBut(caller.session)).await
}

/// The new password in place of whatever let somebody in with the old one, and a word to the owner.
async fn set_password(app: &App, tx: Tx, account: account::Model, hash: String, ended: Which) -> Result<()> {
    let (id, email) = (account.id, account.email.clone());
    store::update_password(&tx, account, hash).await?;
    store::delete_resets(&tx, id).await?;
    sessions::end(&tx, id, ended).await?;
    if let Some(to) = email {
        mail::post(&tx, app.clock.now(), &Letter::PasswordChanged { to }).await?;
    }
    tx.commit().await?;
    tell_ended(app, id, ended, CloseReason::SessionEnded).await;
    Ok(())
}

/// Sends a reset link if `email` belongs to somebody; takes the same time if not.
pub async fn ask_reset(app: &App, peer: IpAddr, email: &str) -> Result<()> {
    let limits = &app.config.limits;
    let key = email::key(email);
    app.throttle.count(peer, "reset_address", network(peer), limits.reset_per_address).await?;
    // Whether this e-mail was asked for too often is nobody's business either.
    let quiet = app.throttle.count(peer, "reset_account", &key, limits.reset_per_account).await.is_err();
    let work = async { if quiet { Ok(()) } else { post_reset(app, &key).await } };
    let (done, ()) = tokio::join!(work, tokio::time::sleep(ANSWER_TIME));
    done
}

async fn post_reset(app: &App, email_key: &str) -> Result<()> {
    let Some(account) = store::find(&*app.db, email_key).await? else { return Ok(()) };
    let tx = app.db.begin().await?;
    let token = begin_reset(app, &tx, account.id).await?;
    // The letter holds the token until it is sent, and its row goes with the sending; what stays is the fingerprint.
    if let Some(to) = account.email {
        mail::post(&tx, app.clock.now(), &Letter::PasswordReset { to, uid: account.id.0, token }).await?;
    }
    tx.commit().await
}

/// A reset token for a living account, which replaces an older one.
async fn begin_reset(app: &App, tx: &Tx, account: AccountId) -> Result<String> {
    people::lock_one(tx, account).await?;
    let token = random_token();
    let expires_at = clock::after(app.clock.now(), app.config.auth.reset_ttl);
    store::insert_reset(tx, account, fingerprint(token.as_bytes()), expires_at).await?;
    Ok(token)
}

/// A reset link for an operator to hand over; no letter is sent.
pub async fn reset_link(app: &App, email: &str) -> Result<String> {
    let account = store::find(&*app.db, &email::key(email)).await?.ok_or(ErrorCode::AccountNotFound)?;
    let tx = app.db.begin().await?;
    let token = begin_reset(app, &tx, account.id).await?;
    tx.commit_quietly().await?;
    Ok(mail::reset_link(&app.config, account.id.0, &token))
}

/// A new password for whoever holds the token; every session ends.
pub async fn reset_password(app: &App, id: AccountId, token: &str, new: String) -> Result<()> {
    let invalid = || Error::field("token", ErrorCode::ResetInvalid);
    let token_hash = fingerprint(token.as_bytes());
    // Looked at first, so that a wrong token costs no hash and a weak password does not use up a good token.
    if !store::has_reset(&*app.db, id, &token_hash, app.clock.now()).await? {
        return Err(invalid());
    }
    check_new(&people::get(&*app.db, id).await.map_err(|_| invalid())?, &new)?;
    let hash = app.auth.passwords().hash(new).await?;

    let tx = app.db.begin().await?;
    let account = people::lock(&tx, [id]).await?.remove(&id).ok_or_else(invalid)?;
    if !store::delete_reset(&tx, id, &token_hash, app.clock.now()).await? {
        return Err(invalid());
    }
    let key = account.email_key.clone().unwrap_or_default();
    set_password(app, tx, account, hash, Which::All).await?;
    app.throttle.forgive("login", key).await;
    Ok(())
}

fn check_new(account: &account::Model, password: &str) -> Result<()> {
    let owner = password_rules::Owner {
        email: account.email.as_deref().unwrap_or_default(),
        last_name: &account.last_name,
        first_name: &account.first_name,
    };
    password_rules::check("new_password1", password, owner).map_err(|error| Error::fields(vec![error]))
}

/// The e-mail of whoever registered `key`, and a word to that person.
pub async fn find_email(app: &App, peer: IpAddr, key: &str) -> Result<String> {
    let limits = &app.config.limits;
    app.throttle.count(peer, "find_address", network(peer), limits.find_per_address).await?;
    let key = ProductKey::parse(key).map_err(|_| ErrorCode::KeyNotFound)?;
    // Never the key itself: a window is not the place for a secret.
    let digest = app.auth.digest("find-throttle", key.expose());
    app.throttle.count(peer, "find_key", digest, limits.find_per_key).await?;
    let holder = product_keys::holder(app, key.expose()).await?.ok_or(ErrorCode::KeyNotFound)?;
    let account = people::list(&*app.db, [holder]).await?.remove(&holder);
    let email = account.and_then(|account| account.email).ok_or(ErrorCode::KeyNotFound)?;
    let tx = app.db.begin().await?;
    mail::post(&tx, app.clock.now(), &Letter::EmailFound { to: email.clone() }).await?;
    tx.commit().await?;
    Ok(match app.config.accounts.find_email {
        EmailDisplay::Full => email,
        EmailDisplay::Masked => people::masked(&email),
    })
}
