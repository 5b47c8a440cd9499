//! What is written about this service, served beside it: pages for people, the documents of both doors, and a page that
//! shows the REST door's and lets requests be tried.
//!
//! Promises that everything is inside the binary, and that a page asks no other host for anything.

use std::{fmt::Write, sync::Arc};

use axum::{Router, extract::Path, http::HeaderMap, response::Response, routing::get};
use include_dir::{Dir, File, include_dir};
use pulldown_cmark::{Options, Parser, html};

use super::page;
use crate::{
    app::App,
    error::{Error, ErrorCode},
    locale::Locale,
};

static DOCS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/web/docs");

/// What stands around every page that is written in Markdown.
const FRAME: &str = include_str!("docs/page.html");

/// `/docs` and what is below.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/docs", get(async |headers: HeaderMap| find("index", &headers)))
        .route("/docs/{name}", get(async |Path(name): Path<String>, headers: HeaderMap| find(&name, &headers)))
        .route("/docs/viewer/{file}", get(async |Path(name): Path<String>, headers: HeaderMap| viewer(&name, &headers)))
}

/// A page, or a file that pages name.
fn find(name: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let text = |ending: &str| DOCS.get_file(format!("{name}.{ending}")).and_then(File::contents_utf8);
    let shown = match name {
        "errors" => Some(article("en", &errors())),
        // One that stands for itself; the frame is none.
        "api" => text("html").map(str::to_owned),
        _ => text("md").map(|text| article(if name.ends_with(".ko") { "ko" } else { "en" }, text)),
    };
    if let Some(shown) = shown {
        return Ok(page("page.html", shown.into_bytes().into(), headers));
    }
    let served = |name: &str| [".json", ".js", ".css"].iter().any(|ending| name.ends_with(ending));
    let file = DOCS.get_file(name).filter(|_| served(name)).ok_or(ErrorCode::NotFound)?;
    Ok(page(name, file.contents().into(), headers))
}

/// Markdown as a page. Its first line is its title.
fn article(language: &str, text: &str) -> String {
    let title = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
    let mut body = String::with_capacity(text.len() * 2);
    html::push_html(&mut body, Parser::new_ext(text, Options::ENABLE_TABLES));
    // Who can't use a mouse scrolls by the keyboard.
    let body = body.replace("<pre>", "<pre tabindex=\"0\">").replace("<table>", "<table tabindex=\"0\">");
    FRAME.replace("{lang}", language).replace("{title}", title).replace("{body}", &body)
}

/// Every code, where the `type` of a failure leads. The sentences are our own and hold nothing to escape.
fn errors() -> String {
    let mut text = String::from(
        "# Error codes\n\nPrograms read `code`, people `detail`. A code never changes its name or its status; `{…}` is \
         filled from `params`.\n\n<table>\n<thead><tr><th>code</th><th>status</th><th>English</th><th>한국어</th></tr></thead>\n",
    );
    for code in ErrorCode::ALL {
        let (name, status) = (code.as_str(), code.status());
        let (english, korean) = (code.plain(Locale::En), code.plain(Locale::Ko));
        // Writing to a text can't fail.
        let _ = writeln!(
            text,
            "<tr id=\"{name}\"><td><code>{name}</code></td><td>{status}</td><td>{english}</td><td lang=\"ko\">{korean}</td></tr>"
        );
    }
    text.push_str("</table>\n");
    text
}

/// A file of Swagger UI. Its own page is not used: it would be configured by a script in it.
fn viewer(name: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let file = utoipa_swagger_ui::serve(name, Arc::default()).ok().flatten().ok_or(ErrorCode::NotFound)?;
    Ok(page(name, file.bytes.into_owned().into(), headers))
}
