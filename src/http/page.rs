//! Lists come in pages: `_page` from 1, `_limit` up to 100.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, ErrorCode, FieldError, Result};

/// Most rows of one page.
const MAX: u64 = 100;

/// The last page that can be asked for: databases count rows in 63 bits.
const LAST: u64 = i64::MAX as u64 / MAX;

/// What every list takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Paging` reads")]
pub struct PageQuery {
    /// Which page.
    #[param(rename = "_page", minimum = 1, maximum = 92233720368547758_u64, default = 1)]
    page: Option<u64>,
    /// Rows of a page: 6 for rooms and 20 elsewhere, unless it is said.
    #[param(rename = "_limit", minimum = 1, maximum = 100)]
    limit: Option<u64>,
}

/// The query of a list.
#[derive(Debug)]
pub struct Paging {
    uri: Uri,
    query: HashMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Query(query) =
            Query::from_request_parts(parts, state).await.map_err(|_| Error::from(ErrorCode::InvalidInput))?;
        Ok(Self { uri: parts.uri.clone(), query })
    }
}

impl Paging {
    /// A parameter of the query. Quotes around a value are tolerated: the original document writes them.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.query.get(name)?.trim();
        let unquoted = ['\'', '"'].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some(unquoted.unwrap_or(value).trim()).filter(|value| !value.is_empty())
    }

    /// Which rows are asked for, `size` a page unless the caller says otherwise.
    pub fn page(self, size: u64) -> Result<Page> {
        let number = self.number("_page", 1, LAST)?;
        let size = self.number("_limit", size, MAX)?;
        Ok(Page { uri: self.uri, number, size })
    }

    fn number(&self, name: &'static str, default: u64, max: u64) -> Result<u64> {
        let Some(text) = self.query.get(name) else { return Ok(default) };
        let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok()).filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            Error::fields(vec![FieldError::new(name, ErrorCode::OutOfRange).with("min", 1).with("max", max)])
        })
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    uri: Uri,
    number: u64,
    size: u64,
}

/// Which rows a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Rows before it.
    pub offset: u64,
    /// Its rows.
    pub limit: u64,
}

impl Page {
    /// The rows of this page.
    pub fn span(&self) -> Span {
        Span { offset: (self.number - 1).saturating_mul(self.size), limit: self.size }
    }

    /// The rows, of `total` altogether.
    pub fn with<T>(self, rows: Vec<T>, total: u64) -> Paged<T> {
        Paged { rows, total, page: self, beside: () }
    }
}

/// The rows of one page with what is known of the others, and what stands beside them in the answer.
#[derive(Debug)]
pub struct Paged<T, B = ()> {
    pub(super) rows: Vec<T>,
    pub(super) total: u64,
    page: Page,
    pub(super) beside: B,
}

/// `"page"` beside the data.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageView {
    number: u64,
    size: u64,
    total: u64,
}

impl<T> Paged<T> {
    /// Puts the fields of `beside` next to the data.
    pub fn beside<B>(self, beside: B) -> Paged<T, B> {
        Paged { rows: self.rows, total: self.total, page: self.page, beside }
    }
}

impl<T, B> Paged<T, B> {
    pub(super) fn view(&self) -> PageView {
        PageView { number: self.page.number, size: self.page.size, total: self.total }
    }

    /// RFC 8288: first, prev, next and last, as far as they exist.
    pub(super) fn link(&self) -> String {
        let last = self.total.div_ceil(self.page.size).max(1);
        let mut links = vec![("first", 1), ("last", last)];
        if self.page.number > 1 {
            links.push(("prev", (self.page.number - 1).min(last)));
        }
        if self.page.number < last {
            links.push(("next", self.page.number + 1));
        }
        let links: Vec<_> =
            links.into_iter().map(|(rel, number)| format!("<{}>; rel=\"{rel}\"", self.address(number))).collect();
        links.join(", ")
    }

    fn address(&self, number: u64) -> String {
        let others = self.page.uri.query().unwrap_or_default().split('&');
        let mut query: Vec<_> = others
            .filter(|pair| !pair.is_empty() && !pair.starts_with("_page=") && !pair.starts_with("_limit="))
            .map(str::to_owned)
            .collect();
        query.push(format!("_page={number}"));
        query.push(format!("_limit={}", self.page.size));
        format!("{}?{}", self.page.uri.path(), query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(uri: &str) -> Paging {
        let uri: Uri = uri.parse().unwrap();
        let Query(query) = Query::try_from_uri(&uri).unwrap();
        Paging { uri, query }
    }

    #[test]
    fn a_page_that_is_none_is_refused() {
        for query in ["_page=0", "_page=-1", "_page=abc", "_page=", "_page=1.5", "_limit=0", "_limit=101", "_page=+1"] {
            let error = paging(&format!("/rooms?{query}")).page(6).unwrap_err();
            assert_eq!(error.code(), ErrorCode::OutOfRange, "{query}");
        }
    }

    #[test]
    fn the_last_page_is_one_that_a_database_can_count_to() {
        let page = paging(&format!("/rooms?_page={LAST}&_limit={MAX}")).page(6).unwrap();
        assert!(i64::try_from(page.span().offset).is_ok());
        let beyond = paging(&format!("/rooms?_page={}", LAST + 1)).page(6).unwrap_err();
        assert_eq!(beyond.code(), ErrorCode::OutOfRange);
    }

    #[test]
    fn quotes_around_a_value_are_tolerated() {
        let paging = paging("/accounts?kw='%EC%88%98%EB%AF%B8'&period=%22month%22&order_by=");
        assert_eq!(paging.parameter("kw"), Some("수미"));
        assert_eq!(paging.parameter("period"), Some("month"));
        assert_eq!(paging.parameter("order_by"), None);
    }

    #[test]
    fn links_lead_to_the_neighbours() {
        let page = paging("/rooms?keyword=a&_page=2").page(6).unwrap();
        assert_eq!(page.span(), Span { offset: 6, limit: 6 });
        let paged = page.with(vec![0; 6], 13);
        let link = paged.link();
        assert!(link.contains("</rooms?keyword=a&_page=3&_limit=6>; rel=\"next\""), "{link}");
        assert!(link.contains("</rooms?keyword=a&_page=1&_limit=6>; rel=\"prev\""), "{link}");
        assert!(link.contains("</rooms?keyword=a&_page=3&_limit=6>; rel=\"last\""), "{link}");
    }
}
