//! The REST door of accounts: `/rest-auth/*` with bare bodies, as the clients of its ecosystem read them, and
//! `/accounts/*` in the common shape.

use axum::{
    extract::{FromRequestParts, Path, State, rejection::PathRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use entity::{AccountId, account};
use jiff::civil::Date;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{SignedIn, bodies, deletion, profile, profile::ProfileView, recovery, search, sentences::Sentence};
use crate::{
    app::App,
    auth::{Caller, Issued},
    clock::rfc3339,
    error::{Error, ErrorCode, Result},
    http::{Answer, Body, Context, Paging, PathId, answer::json, page::PageQuery},
    locale::Locale,
    people::full_name,
    study::period,
};

/// Rows of a page of people, unless the caller says otherwise.
const PAGE: u64 = 20;

/// Paths of this feature.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Beside::openapi())
        .routes(routes!(sign_up))
        .routes(routes!(sign_in))
        .routes(routes!(sign_out))
        .routes(routes!(change_password))
        .routes(routes!(ask_reset))
        .routes(routes!(confirm_reset))
        .routes(routes!(refresh))
        .routes(routes!(list))
        .routes(routes!(show, update, delete))
        .routes(routes!(find_email))
}

/// What stands beside data is in no operation's own words.
#[derive(OpenApi)]
#[openapi(components(schemas(search::BesideView)))]
struct Beside;

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

#[derive(Serialize, ToSchema)]
struct TokenView {
    /// For `Authorization`.
    token: String,
    /// The same again: clients of both conventions read it.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<UserView>,
    #[schema(format = DateTime)]
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
struct UserView {
    /// The same as `id`.
    pk: i64,
    id: i64,
    /// The e-mail.
    #[schema(example = "sumi@example.com")]
    username: String,
    #[schema(example = "sumi@example.com")]
    email: String,
    #[schema(example = "수미")]
    first_name: String,
    #[schema(example = "김")]
    last_name: String,
    #[schema(example = "김수미")]
    name: String,
}

#[derive(Serialize, ToSchema)]
struct DetailView {
    /// For a person.
    detail: &'static str,
}

#[derive(Serialize, ToSchema)]
struct EmailView {
    #[schema(example = "sumi@example.com")]
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

/// Makes an account and signs in.
#[utoipa::path(
    post, path = "/rest-auth/signup", tag = "accounts", security(()), request_body = bodies::SignUpBody,
    responses((status = 201, description = "Signed in", body = TokenView)),
    extensions(("x-errors" = json!("required too_long out_of_range invalid_characters invalid_email invalid_date \
        date_in_future email_taken password_mismatch password_length password_numeric password_common password_similar \
        too_many_requests overloaded"))),
)]
async fn sign_up(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let new = bodies::sign_up(body, today(&app)?)?;
    Ok(signed_in(StatusCode::CREATED, super::sign_up(&app, context.peer, new).await?))
}

/// Begins a session.
#[utoipa::path(
    post, path = "/rest-auth/login", tag = "accounts", security(()), request_body = bodies::SignInBody,
    responses((status = 200, description = "Signed in", body = TokenView)),
    extensions(("x-errors" = json!("required too_long invalid_characters wrong_credentials too_many_requests overloaded"))),
)]
async fn sign_in(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let (email, password) = bodies::sign_in(body)?;
    Ok(signed_in(StatusCode::OK, super::sign_in(&app, context.peer, &email, password).await?))
}

/// Ends the session at once, its sockets included. Without a token there is nothing to end.
#[utoipa::path(
    post, path = "/rest-auth/logout", tag = "accounts", security((), ("token" = [])),
    responses((status = 200, description = "Signed out", body = DetailView)),
    extensions(("x-errors" = json!("token_invalid token_expired session_ended"))),
)]
async fn sign_out(State(app): State<App>, caller: Option<Caller>, context: Context) -> Result<Response> {
    if let Some(caller) = caller {
        super::sign_out(&app, caller).await?;
    }
    Ok(detail(Sentence::LoggedOut, context.locale))
}

/// A later token for the same session.
#[utoipa::path(
    post, path = "/rest-auth/token/refresh", tag = "accounts",
    responses((status = 200, description = "The new token; the old one lives on until it expires", body = TokenView)),
)]
async fn refresh(State(app): State<App>, caller: Caller) -> Result<Response> {
    let issued = super::refresh(&app, caller).await?;
    Ok(json(StatusCode::OK, &token_view(issued, None)))
}

/// Changes the password; every other session ends.
#[utoipa::path(
    post, path = "/rest-auth/password/change", tag = "accounts", request_body = bodies::ChangePasswordBody,
    responses((status = 200, description = "Changed", body = DetailView)),
    extensions(("x-errors" = json!("required too_long wrong_old_password password_mismatch password_length \
        password_numeric password_common password_similar too_many_requests overloaded"))),
)]
async fn change_password(State(app): State<App>, caller: Caller, context: Context, body: Body) -> Result<Response> {
    let (old, new) = bodies::change_password(body)?;
    recovery::change_password(&app, context.peer, caller, old, new).await?;
    Ok(detail(Sentence::PasswordChanged, context.locale))
}

/// Sends a link by mail, if somebody has this e-mail; the answer doesn't tell.
#[utoipa::path(
    post, path = "/rest-auth/password/reset", tag = "accounts", security(()), request_body = bodies::AskResetBody,
    responses((status = 200, description = "Asked", body = DetailView)),
    extensions(("x-errors" = json!("required too_long invalid_characters too_many_requests overloaded"))),
)]
async fn ask_reset(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    recovery::ask_reset(&app, context.peer, &bodies::ask_reset(body)?).await?;
    Ok(detail(Sentence::ResetAsked, context.locale))
}

/// Sets a new password by the link of a mail; every session ends.
#[utoipa::path(
    post, path = "/rest-auth/password/reset/confirm", tag = "accounts", security(()),
    request_body = bodies::ConfirmResetBody,
    responses((status = 200, description = "Changed", body = DetailView)),
    extensions(("x-errors" = json!("required out_of_range reset_invalid password_mismatch password_length \
        password_numeric password_common password_similar overloaded"))),
)]
async fn confirm_reset(State(app): State<App>, context: Context, body: Body) -> Result<Response> {
    let (account, token, new) = bodies::confirm_reset(body)?;
    recovery::reset_password(&app, account, &token, new).await?;
    Ok(detail(Sentence::PasswordReset, context.locale))
}

/// Finds people, or reads a board: `order_by=point` of a `period`, among those of a `scope`.
#[utoipa::path(
    get, path = "/accounts", tag = "accounts", params(PageQuery, search::SearchQuery),
    responses((status = 200, description = "One page; a board also has its window, one's own row and the neighbours", body = [search::RowView])),
    extensions(
        ("x-beside" = json!("BesideView")),
        ("x-errors" = json!("invalid_choice too_long invalid_characters")),
    ),
)]
async fn list(State(app): State<App>, caller: Caller, query: Paging) -> Result<impl IntoResponse> {
    let search = search::Search::read(&query)?;
    search::list(&app, caller.account, search, query.page(PAGE)?).await
}

/// Somebody's profile; one's own has more.
#[utoipa::path(
    get, path = "/accounts/{id}", tag = "accounts", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, body = ProfileView)),
    extensions(("x-errors" = json!("account_not_found"))),
)]
async fn show(State(app): State<App>, caller: Caller, PathId(id): PathId<AccountId>) -> Result<Answer<ProfileView>> {
    Ok(Answer::new(profile::get(&app, caller.account, id).await?))
}

/// Changes one's own profile; what isn't sent stays.
#[utoipa::path(
    put, path = "/accounts/{id}", tag = "accounts", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)), request_body = bodies::ChangeBody,
    responses((status = 200, description = "As it is now", body = ProfileView)),
    extensions(("x-errors" = json!("not_yourself account_not_found required too_long out_of_range invalid_characters \
        invalid_date date_in_future invalid_url"))),
)]
async fn update(State(app): State<App>, Oneself(id): Oneself, body: Body) -> Result<Answer<ProfileView>> {
    let change = bodies::change(body, today(&app)?)?;
    Ok(Answer::new(profile::update(&app, id, change).await?))
}

/// Deletes one's own account: for good, and at once.
#[utoipa::path(
    delete, path = "/accounts/{id}", tag = "accounts", params(("id" = i64, Path, description = "Whose", minimum = 1, example = 7)),
    responses((status = 200, description = "As it was", body = ProfileView)),
    extensions(("x-errors" = json!("not_yourself account_not_found"))),
)]
async fn delete(State(app): State<App>, Oneself(id): Oneself) -> Result<Answer<ProfileView>> {
    Ok(Answer::new(deletion::delete(&app, id).await?))
}

/// The e-mail of whoever holds a product key. The holder is told by mail.
#[utoipa::path(
    post, path = "/accounts/find/{key}", tag = "accounts", security(()),
    params(("key" = String, Path, description = "The key on the device", example = "KPRW-7M2X-QH4T-9B3Z")),
    responses((status = 200, body = EmailView)),
    extensions(("x-errors" = json!("key_not_found too_many_requests"))),
)]
async fn find_email(
    State(app): State<App>,
    context: Context,
    key: Result<Path<String>, PathRejection>,
) -> Result<Answer<EmailView>> {
    let Path(key) = key.map_err(|_| ErrorCode::KeyNotFound)?;
    Ok(Answer::new(EmailView { email: recovery::find_email(&app, context.peer, &key).await? }))
}
