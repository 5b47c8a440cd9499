//! The REST door of product keys: anybody asks about one, somebody registers one, staff manages them.
//!
//! Promises that nothing here repeats a key, except the answer that shows new ones.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    routing::{get, post},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KeyState, KeyView, ProductKey};
use crate::{
    app::App,
    auth::Caller,
    error::{ErrorCode, Result},
    http::{
        Answer, Body, Context, Paging, context,
        page::{PageQuery, Paged},
    },
    locale::Locale,
};

/// Keys of one page unless the caller says otherwise.
const PAGE: u64 = 20;

/// Most keys that one call makes.
const MOST: i64 = 1000;

/// Paths of this feature.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(certify))
        .route("/accounts/certification/{key}", get(certify))
        .routes(routes!(register))
        .route("/accounts/registration/{key}", post(register))
        .routes(routes!(list, generate, revoke))
}

/// The key that ends the path. One that is none is nothing to explain: it is unknown like any other.
struct PathKey(Option<ProductKey>);

impl<S: Send + Sync> FromRequestParts<S> for PathKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.ok().and_then(|text| ProductKey::parse(&text).ok())))
    }
}

#[derive(Serialize, ToSchema)]
struct CertificationView {
    /// Whether the key can be registered.
    success: bool,
    /// For a person.
    msg: &'static str,
}

/// Whether a key can be registered.
#[utoipa::path(
    get, path = "/certification/{key}", tag = "product keys", security(()), params(("key" = String, Path, description = "The key on the device", example = "KPRW-7M2X-QH4T-9B3Z")),
    responses((status = 200, description = "Free, in use, or unknown", body = CertificationView)),
    extensions(
        ("x-also" = json!("/accounts/certification/{key}")),
        ("x-errors" = json!("too_many_requests")),
    ),
)]
async fn certify(State(app): State<App>, context: Context, PathKey(key): PathKey) -> Result<Answer<CertificationView>> {
    let rate = app.config.limits.certification_per_address;
    app.throttle.count(context.peer, "certification", context::network(context.peer), rate).await?;
    let state = match key {
        Some(key) => super::certify(&app, &key).await?,
        None => KeyState::Unknown,
    };
    let msg = sentence(state, context.locale);
    Ok(Answer::new(CertificationView { success: state == KeyState::Free, msg }))
}

/// What a person reads. Sentences that an error has are said in its words.
fn sentence(state: KeyState, locale: Locale) -> &'static str {
    match (state, locale) {
        (KeyState::Free, Locale::Ko) => "등록할 수 있는 제품 키입니다.",
        (KeyState::Free, Locale::En) => "This product key can be registered.",
        (KeyState::InUse, locale) => ErrorCode::KeyInUse.plain(locale),
        (KeyState::Unknown, locale) => ErrorCode::KeyNotFound.plain(locale),
    }
}

#[derive(Serialize, ToSchema)]
struct RegistrationView {
    registered: bool,
}

/// Registers a key; the one that was held before is free again.
#[utoipa::path(
    post, path = "/registration/{key}", tag = "product keys", params(("key" = String, Path, description = "The key on the device", example = "KPRW-7M2X-QH4T-9B3Z")),
    responses((status = 200, body = RegistrationView)),
    extensions(
        ("x-also" = json!("/accounts/registration/{key}")),
        ("x-errors" = json!("key_in_use key_not_found account_not_found")),
    ),
)]
async fn register(
    State(app): State<App>,
    caller: Caller,
    context: Context,
    PathKey(key): PathKey,
) -> Result<Answer<RegistrationView>> {
    super::register(&app, caller.account, &key.ok_or(ErrorCode::KeyNotFound)?).await?;
    let msg = match context.locale {
        Locale::Ko => "제품 키를 등록했습니다.",
        Locale::En => "The product key is registered.",
    };
    Ok(Answer::with_msg(RegistrationView { registered: true }, msg))
}

/// Every key, without its value.
#[utoipa::path(
    get, path = "/accounts/productkey", tag = "operators", params(PageQuery),
    responses((status = 200, body = [KeyView])),
    extensions(("x-errors" = json!("staff_only"))),
)]
async fn list(State(app): State<App>, caller: Caller, paging: Paging) -> Result<Paged<KeyView>> {
    caller.require_staff()?;
    let page = paging.page(PAGE)?;
    let (keys, total) = super::list(&app, page.span()).await?;
    Ok(page.with(keys, total))
}

/// How many.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `generate` reads")]
struct GenerateBody {
    #[schema(minimum = 1, maximum = 1000)]
    count: i64,
}

/// Which.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `revoke` reads")]
struct RevokeBody {
    #[schema(example = "KPRW-7M2X-QH4T-9B3Z")]
    key: String,
}

/// The one answer that holds keys; the outermost layer forbids to store it.
#[derive(Serialize, ToSchema)]
struct GeneratedView {
    keys: Vec<String>,
}

/// Makes keys. Nobody sees them again.
#[utoipa::path(
    post, path = "/accounts/productkey", tag = "operators", request_body = GenerateBody,
    responses((status = 200, body = GeneratedView)),
    extensions(("x-errors" = json!("staff_only required out_of_range"))),
)]
async fn generate(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<GeneratedView>> {
    caller.require_staff()?;
    let mut fields = body.fields();
    let count = fields.required_int("count", 1, MOST);
    fields.finish()?;
    let keys = super::generate(&app, usize::try_from(count).unwrap_or_default()).await?;
    Ok(Answer::new(GeneratedView { keys: keys.iter().map(|key| key.expose().to_owned()).collect() }))
}

/// Removes a key for good, whoever holds it.
#[utoipa::path(
    delete, path = "/accounts/productkey", tag = "operators", request_body = RevokeBody,
    responses((status = 200, description = "As it was", body = KeyView)),
    extensions(("x-errors" = json!("staff_only required key_not_found"))),
)]
async fn revoke(State(app): State<App>, caller: Caller, body: Body) -> Result<Answer<KeyView>> {
    caller.require_staff()?;
    let mut fields = body.fields();
    let key = fields.required("key");
    fields.finish()?;
    let key = ProductKey::parse(&key).map_err(|_| ErrorCode::KeyNotFound)?;
    Ok(Answer::new(super::revoke(&app, &key).await?))
}
