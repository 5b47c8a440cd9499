//! The embedded web client: files inside the binary.
//!
//! Promises that a page of ours runs nothing but what is in here (CSP), and that a new binary is never answered by an
//! old file: every answer carries a tag of its content.
//!
//! A build for development answers with the files of the source folder as they are, so that a change shows without one.

mod docs;

use std::{
    borrow::Cow,
    fs,
    path::{Component, Path as FilePath},
};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use include_dir::{Dir, include_dir};

use crate::{
    app::App,
    auth::secret,
    error::{Error, ErrorCode},
};

static ASSETS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/web/assets");

/// Scripts, styles, pictures and connections of this origin only: no foreign host learns who looks at whom.
const CSP: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'; object-src 'none'";

/// `/` and the files that it names.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| file("index.html", &headers)))
        .route("/assets/{*path}", get(async |Path(path): Path<String>, headers: HeaderMap| file(&path, &headers)))
        .route("/favicon.ico", get(async |headers: HeaderMap| file("favicon.svg", &headers)))
        .merge(docs::router())
}

fn file(path: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let contents = contents(path).ok_or(ErrorCode::NotFound)?;
    Ok(page(path, contents, headers))
}

/// What lies at `path`, unless the caller has it already.
fn page(path: &str, contents: Cow<'static, [u8]>, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", secret::fingerprint(&contents));
    let always = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, media_type(path)),
        (header::ETAG, &tag),
    ];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, always).into_response();
    }
    (always, contents).into_response()
}

fn contents(path: &str) -> Option<Cow<'static, [u8]>> {
    let stays_inside = FilePath::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if cfg!(debug_assertions) && stays_inside {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/assets");
        if let Ok(contents) = fs::read(FilePath::new(folder).join(path)) {
            return Some(contents.into());
        }
    }
    ASSETS.get_file(path).map(|file| file.contents().into())
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
