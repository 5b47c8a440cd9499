//! Success: `{"status":"OK","data":…}`, with a sentence for a person where there is something to say.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::page::Paged;

/// An answer in the success shape.
#[derive(Debug)]
pub struct Answer<T> {
    data: T,
    msg: Option<&'static str>,
}

impl<T> Answer<T> {
    /// `data` alone.
    pub fn new(data: T) -> Self {
        Self { data, msg: None }
    }

    /// `data` with a sentence.
    pub fn with_msg(data: T, msg: &'static str) -> Self {
        Self { data, msg: Some(msg) }
    }
}

#[derive(Serialize)]
struct Success<T, P, B> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<P>,
    #[serde(flatten)]
    beside: B,
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let page = None::<()>;
        json(StatusCode::OK, &Success { status: "OK", data: self.data, msg: self.msg, page, beside: () })
    }
}

impl<T: Serialize, B: Serialize> IntoResponse for Paged<T, B> {
    fn into_response(self) -> Response {
        let (link, total) = (self.link(), self.total);
        let success =
            Success { status: "OK", page: Some(self.view()), data: self.rows, msg: None, beside: self.beside };
        let mut response = json(StatusCode::OK, &success);
        response.headers_mut().insert("x-total-count", HeaderValue::from(total));
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// `body` as JSON, bare.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => crate::error::Error::from(anyhow::Error::from(error)).into_response(),
    }
}
