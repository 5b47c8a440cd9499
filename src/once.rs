//! A request that is sent again is carried out once: `Idempotency-Key`.
//!
//! Promises that of all requests of one account with one key, however many and by whichever instances, at most one is
//! carried out, and that the others get its answer for two days; only the id of the request is each one's own. The same
//! key with another request is refused. A refusal that passes, such as too many requests, is not kept: there the key is free again. If an instance
//! dies between the effect and its answer, nobody knows the answer any more, and the key stays taken: carrying it out
//! once more would be worse.
//!
//! Keys are for whoever is signed in. Where an answer holds a secret it is not kept, and keys mean nothing there.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, response::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use entity::{AccountId, Millis, answer};
use http_body_util::{BodyExt, Limited};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use utoipa::openapi::{
    OpenApi, Required, Type,
    path::{ParameterBuilder, ParameterIn},
    schema::ObjectBuilder,
};

use crate::{
    app::App,
    auth::token_of,
    clock,
    db::{Db, Tx},
    error::{Error, ErrorCode, FieldError, Result},
    http::{Context, body::MAX_BYTES, failure},
};

/// Names a request, so that sending it again is no second one.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of a key.
const LONGEST: usize = 255;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(48 * 60 * 60);

/// How long a request waits for the one that came before it, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Answers here are tokens and keys.
const SECRET: [&str; 3] = ["/rest-auth", "/ws", "/accounts/productkey"];

/// What a key can be refused with, at every door that heeds it.
const REFUSALS: &str = "still_under_way idempotency_key_reused invalid_characters too_long body_too_large";

/// Whose key it is, and for which request.
struct Claim {
    account: AccountId,
    key: String,
    fingerprint: String,
}

/// Around all REST doors.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    if !heeds(request.method(), request.uri().path()) || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // What is too long for every door is refused here; what else is wrong with a request, its door says.
    let Ok(body) = Limited::new(body, MAX_BYTES).collect().await else {
        return Error::from(ErrorCode::BodyTooLarge).into_response();
    };
    let body = body.to_bytes();
    let claim = match claim(&app, &parts.method, &parts.uri.to_string(), &parts.headers, &body).await {
        Ok(claim) => claim,
        Err(error) => return error.into_response(),
    };
    let context = parts.extensions.get::<Context>().cloned();
    let request = Request::from_parts(parts, Body::from(body));
    let Some(claim) = claim else { return next.run(request).await };
    let request_id = context.as_ref().map_or("", |context| &context.request_id);
    match take(&app, &claim, request_id).await {
        Ok(None) => {
            // Whoever hangs up does not stop it half-way: the answer is for the next time.
            let carried_out = app.tasks.spawn(carry_out(app.clone(), claim, context, request, next));
            carried_out.await.unwrap_or_else(|error| Error::Internal(error.into()).into_response())
        }
        Ok(Some(answer)) => answer,
        Err(error) => error.into_response(),
    }
}

/// Whether a key means something there.
fn heeds(method: &Method, path: &str) -> bool {
    [Method::POST, Method::PUT, Method::DELETE].contains(method)
        && !SECRET.iter().any(|secret| path.starts_with(secret))
}

/// Adds the key, and what it can be refused with, to every operation that heeds it.
pub fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let changes =
            [(Method::POST, &mut item.post), (Method::PUT, &mut item.put), (Method::DELETE, &mut item.delete)];
        for (method, operation) in changes {
            // Where nobody has to be signed in, keys are nobody's.
            let Some(operation) = operation.as_mut().filter(|operation| operation.security.is_none()) else { continue };
            if !heeds(&method, path) {
                continue;
            }
            let key = ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(LONGEST))
                .pattern(Some("^[!-~]+$"));
            let key = ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "An id of your own, such as a UUID: sent again within two days, the request is answered alike and \
                     not carried out again.",
                ))
                .schema(Some(key));
            operation.parameters.get_or_insert_default().push(key.build().into());
            let refusals = operation.extensions.get_or_insert_default().entry("x-errors".to_owned()).or_default();
            *refusals = format!("{} {REFUSALS}", refusals.as_str().unwrap_or_default()).into();
        }
    }
}

/// What the request claims; nothing if nobody is signed in, which its door will say.
async fn claim(app: &App, method: &Method, uri: &str, headers: &HeaderMap, body: &[u8]) -> Result<Option<Claim>> {
    let key = headers.get(HEADER).and_then(|key| key.to_str().ok()).map(str::trim).unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST {
        let code = if key.is_empty() { ErrorCode::InvalidCharacters } else { ErrorCode::TooLong };
        return Err(Error::fields(vec![FieldError::new("idempotency_key", code).with("max", LONGEST)]));
    }
    let authorization = headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let Some(token) = authorization.and_then(|header| token_of(header).ok()) else { return Ok(None) };
    let Ok(caller) = app.auth.check(token).await else { return Ok(None) };
    // Keyed, because a body may hold a room's password.
    let mut request = format!("{method} {uri}\n").into_bytes();
    request.extend(headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default());
    request.push(b'\n');
    request.extend(body);
    let fingerprint = app.auth.digest("request", &String::from_utf8_lossy(&request));
    Ok(Some(Claim { account: caller.account, key: key.to_owned(), fingerprint }))
}

/// Takes the key, or answers what was answered under it.
async fn take(app: &App, claim: &Claim, request_id: &str) -> Result<Option<Response>> {
    let began = tokio::time::Instant::now();
    loop {
        let now = app.clock.now();
        let tx = app.db.begin().await?;
        remove(&tx, Some(claim), now).await?;
        let row = answer::ActiveModel {
            account_id: Set(claim.account),
            key: Set(claim.key.clone()),
            fingerprint: Set(claim.fingerprint.clone()),
            created_at: Set(now),
            ..Default::default()
        };
        let first = OnConflict::columns([answer::Column::AccountId, answer::Column::Key]).do_nothing().to_owned();
        let inserted = answer::Entity::insert(row).on_conflict(first).exec_without_returning(&*tx).await?;
        if inserted == 1 {
            tx.commit_quietly().await?;
            return Ok(None);
        }
        let before = answer::Entity::find_by_id((claim.account, claim.key.clone())).one(&*tx).await?;
        tx.commit_quietly().await?;
        match before {
            Some(before) if before.fingerprint != claim.fingerprint => return Err(ErrorCode::KeyReused.into()),
            Some(answer::Model { status: Some(status), media_type, body, .. }) => {
                let body = body.unwrap_or_default().replace(&named(""), &named(request_id));
                return Ok(Some(answered(status, media_type.as_deref(), body)));
            }
            // Another one is at it.
            Some(_) if began.elapsed() > PATIENCE => {
                return Err(Error::retry(ErrorCode::StillUnderWay, Duration::from_secs(1)));
            }
            Some(_) => tokio::time::sleep(LOOK).await,
            None => {}
        }
    }
}

/// The member of a failure that names its request.
fn named(request_id: &str) -> String {
    format!("\"request_id\":\"{request_id}\"")
}

fn answered(status: i16, media_type: Option<&str>, body: String) -> Response {
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = (status.unwrap_or_default(), body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(media_type) = media_type.and_then(|media_type| HeaderValue::from_str(media_type).ok()) {
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    }
    response
}

async fn carry_out(app: App, claim: Claim, context: Option<Context>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(context) = &context {
        response = failure::spell(response, context.locale, &context.request_id);
    }
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Error::Internal(error.into()).into_response(),
    };
    let request_id = context.as_ref().map_or("", |context| &context.request_id);
    let kept = String::from_utf8_lossy(&body).replace(&named(request_id), &named(""));
    if let Err(error) = keep(&app.db, &claim, &parts, kept).await {
        // It was carried out, and whoever asks again is told that nobody knows more.
        tracing::error!(%error, "an answer is not kept");
    }
    Response::from_parts(parts, body.into())
}

async fn keep(db: &Db, claim: &Claim, parts: &Parts, body: String) -> Result<()> {
    let mine = answer::Column::AccountId.eq(claim.account).and(answer::Column::Key.eq(claim.key.as_str()));
    let alone = db.alone().await?;
    if passes(parts.status) {
        answer::Entity::delete_many().filter(mine).exec(&*alone).await?;
    } else {
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        answer::Entity::update_many()
            .col_expr(answer::Column::Status, Expr::value(i16::try_from(parts.status.as_u16()).unwrap_or(500)))
            .col_expr(answer::Column::MediaType, Expr::value(media_type))
            .col_expr(answer::Column::Body, Expr::value(body))
            .filter(mine)
            .exec(&*alone)
            .await?;
    }
    Ok(())
}

/// Whether trying again later is another matter.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

/// Removes what has been kept for long enough: of one claim, or all of it.
async fn remove(tx: &Tx, claim: Option<&Claim>, now: Millis) -> Result<()> {
    let kept = Millis(now.0.saturating_sub(clock::millis(KEPT)));
    let mut old = answer::Entity::delete_many().filter(answer::Column::CreatedAt.lte(kept));
    if let Some(claim) = claim {
        old =
            old.filter(answer::Column::AccountId.eq(claim.account)).filter(answer::Column::Key.eq(claim.key.as_str()));
    }
    old.exec(&**tx).await?;
    Ok(())
}

/// Removes everything that has been kept for long enough.
pub async fn remove_old(db: &Db, now: Millis) -> Result<()> {
    let tx = db.begin().await?;
    remove(&tx, None, now).await?;
    tx.commit_quietly().await
}

/// Forgets what an account that goes was answered.
pub async fn forget(tx: &Tx, account: AccountId) -> Result<()> {
    answer::Entity::delete_many().filter(answer::Column::AccountId.eq(account)).exec(&**tx).await?;
    Ok(())
}
