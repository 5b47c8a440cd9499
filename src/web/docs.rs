//! What is written about this service, served beside it: the document of the REST door, and a page that shows it and on
//! which requests can be tried.
//!
//! Promises that everything is inside the binary, and that a page asks no other host for anything.

use std::sync::Arc;

use axum::{Router, extract::Path, http::HeaderMap, response::Response, routing::get};
use include_dir::{Dir, include_dir};

use super::page;
use crate::{
    app::App,
    error::{Error, ErrorCode},
};

static DOCS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/web/docs");

/// `/docs` and what is below.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/docs", get(async |headers: HeaderMap| file("api.html", &headers)))
        .route("/docs/{file}", get(async |Path(name): Path<String>, headers: HeaderMap| file(&name, &headers)))
        .route("/docs/viewer/{file}", get(async |Path(name): Path<String>, headers: HeaderMap| viewer(&name, &headers)))
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let contents = DOCS.get_file(name).ok_or(ErrorCode::NotFound)?.contents();
    Ok(page(name, contents.into(), headers))
}

/// A file of Swagger UI. Its own page is not used: it would be configured by a script in it.
fn viewer(name: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let file = utoipa_swagger_ui::serve(name, Arc::default()).ok().flatten().ok_or(ErrorCode::NotFound)?;
    Ok(page(name, file.bytes.into_owned().into(), headers))
}
