//! The REST door of accounts: `/rest-auth/*` with bare bodies, as the clients of its ecosystem read them, and
//! `/accounts/*` in the common shape.

use axum::{
    Router,
    extract::{FromRequestParts, Path, State, rejection::PathRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use entity::{AccountId, account};
use jiff::civil::Date;
use serde::Serialize;

use super::{SignedIn, bodies, deletion, profile, profile::ProfileView, recovery, search, sentences::Sentence};
use crate::{
    app::App,
    auth::{Caller, Issued},
    clock::rfc3339,
    error::{Error, ErrorCode, Result},
    http::{Answer, Body, Context, Paging, PathId, answer::json},
    locale::Locale,
    people::full_name,
    study::period,
};

/// Rows of a page of people, unless the caller says otherwise.
const PAGE: u64 = 20;

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new()
        .route("/rest-auth/signup", post(sign_up))
        .route("/rest-auth/login", post(sign_in))
        .route("/rest-auth/logout", post(sign_out))
        .route("/rest-auth/password/change", post(change_password))
        .route("/rest-auth/password/reset", post(ask_reset))
        .route("/rest-auth/password/reset/confirm", post(confirm_reset))
        .route("/rest-auth/token/refresh", post(refresh))
        .route("/accounts", get(list))
        .route("/accounts/{id}", get(show).put(update).delete(delete))
        .route("/accounts/find/{key}", post(find_email))
}

/// The proof that the account in the path is the caller's own. It is asked for before the body is read: whoever may not
/// write here learns nothing about what could be written.
struct Oneself(AccountId);

impl FromRequestParts<App> for Oneself {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = <Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        let PathId(id) = PathId::<AccountId>::from_request_parts(parts, app).await?;
        caller.require(id)?;
        Ok(Self(id))
    }
}

#[derive(Serialize)]
struct TokenView {
    token: String,
    /// The same again: clients of both conventions read it.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView>,
    expires_at: String,
}

#[derive(Serialize)]
struct UserView {
    pk: i64,
    id: i64,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    name: String,
}

#[derive(Serialize)]
struct DetailView {
    detail: &'static str,
}

#[derive(Serialize)]
struct EmailView {
    email: String,
}

fn token_view(issued: Issued, user: Option<UserView>) -> TokenView {
    TokenView { key: issued.token.clone(), token: issued.token, user, expires_at: rfc3339(issued.expires_at) }
}

fn user_view(account: account::Model) -> UserView {
    let email = account.email.unwrap_or_default();
    UserView {
        pk: account.id.0,
        id: account.id.0,
        username: email.clone(),
        email,
        name: full_name(&account.last_name, &account.first_name),
        first_name: account.first_name,
        last_name: account.last_name,
    }
}

fn signed_in(status: StatusCode, SignedIn { account, issued }: SignedIn) -> Response {
    json(status, &token_view(issued, Some(user_view(account))))
}

fn detail(sentence: Sentence, locale: Locale) -> Response {
    json(StatusCode::OK, &DetailView { detail: sentence.text(locale) })
}

fn today(app: &App) -> Result<Date> {
    Ok(period::today(app.clock.now(), &app.zone)?)
}

async fn sign_up(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let new = bodies::sign_up(body, today(&app)?)?;
    Ok(signed_in(StatusCode::CREATED, super::sign_up(&app, context.peer, new).await?))
}

async fn sign_in(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let (email, password) = bodies::sign_in(body)?;
    Ok(signed_in(StatusCode::OK, super::sign_in(&app, context.peer, &email, password).await?))
}

async fn sign_out(State(app): State<App>, caller: Option<Caller>, context: Context) -> Result<Response> {
    if let Some(caller) = caller {
        super::sign_out(&app, caller).await?;
    }
    Ok(detail(Sentence::LoggedOut, context.locale))
}

async fn refresh(State(app): State<App>, caller: Caller) -> Result<Response> {
    let issued = super::refresh(&app, caller).await?;
    Ok(json(StatusCode::OK, &token_view(issued, None)))
}

async fn change_password(State(app): State<App>, caller: Caller, context: Context, body: Body) -> Result<Response> {
    let (old, new) = bodies::change_password(body)?;
    recovery::change_password(&app, context.peer, caller, old, new).await?;
    Ok(detail(Sentence::PasswordChanged, context.locale))
}

async fn ask_reset(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    recovery::ask_reset(&app, context.peer, &bodies::ask_reset(body)?).await?;
    Ok(detail(Sentence::ResetAsked, context.locale))
}

async fn confirm_reset(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let (account, token, new) = bodies::confirm_reset(body)?;
    recovery::reset_password(&app, account, &token, new).await?;
    Ok(detail(Sentence::PasswordReset, context.locale))
}

async fn list(State(app): State<App>, caller: Caller, query: Paging) -> Result<impl IntoResponse> {
    let search = search::Search::read(&query)?;
    search::list(&app, caller.account, search, query.page(PAGE)?).await
}

async fn show(State(app): State<App>, caller: Caller, PathId(id): PathId<AccountId>) -> Result<Answer<ProfileView>> {
    Ok(Answer::new(profile::get(&app, caller.account, id).await?))
}

async fn update(State(app): State<App>, Oneself(id): Oneself, body: Body) -> Result<Answer<ProfileView>> {
    let change = bodies::change(body, today(&app)?)?;
    Ok(Answer::new(profile::update(&app, id, change).await?))
}

async fn delete(State(app): State<App>, Oneself(id): Oneself) -> Result<Answer<ProfileView>> {
    Ok(Answer::new(deletion::delete(&app, id).await?))
}

async fn find_email(
    State(app): State<App>,
    context: Context,
    key: Result<Path<String>, PathRejection>,
) -> Result<Answer<EmailView>> {
    let Path(key) = key.map_err(|_| ErrorCode::KeyNotFound)?;
    Ok(Answer::new(EmailView { email: recovery::find_email(&app, context.peer, &key).await? }))
}
