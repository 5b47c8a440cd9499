//! Failure: one shape for all, `application/problem+json` (RFC 9457) with the fields that clients of the original
//! API read beside it.
//!
//! Handlers return an [`Error`]; it travels in the response's extensions until the outermost layer, which knows the
//! caller's language and the request's id, spells it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    error::{Error, ErrorCode, FieldErrorView, Refusal},
    locale::Locale,
};

/// An error on its way to being spelled.
#[derive(Clone, Debug)]
pub struct Failure(pub Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Refused(refusal) => refusal.status,
            Self::Internal(_) => ErrorCode::Internal.status(),
        };
        let mut response = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}

/// Spells the failure that `response` carries, if it does.
pub fn spell(response: Response, locale: Locale, request_id: &str) -> Response {
    let Some(Failure(error)) = response.extensions().get::<Failure>().cloned() else { return response };
    let refusal = match &*error {
        Error::Refused(refusal) => (**refusal).clone(),
        Error::Internal(error) => {
            tracing::error!(request_id, error = format!("{error:#}"), "a request failed");
            Refusal::from(ErrorCode::Internal)
        }
    };
    // What the layers in between have said stays: which page may read this, which methods there are.
    let (mut parts, _) = response.into_parts();
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(locale.tag()));
    add_headers(headers, &refusal);
    // Texts and numbers always encode.
    let body = serde_json::to_vec(&problem(&refusal, locale, request_id)).unwrap_or_default();
    Response::from_parts(parts, body.into())
}

fn add_headers(headers: &mut HeaderMap, refusal: &Refusal) {
    if refusal.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("JWT realm=\"solgik\""));
    }
    if refusal.status == 426 {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let retry_after = refusal.retry_after.map(|after| after.as_secs_f64().ceil().max(1.0));
    let needed = matches!(refusal.status, 429 | 503).then_some(1.0);
    if let Some(secs) = retry_after.or(needed)
        && let Ok(value) = HeaderValue::from_str(&format!("{secs:.0}"))
    {
        headers.insert(header::RETRY_AFTER, value);
    }
}

/// A failure as it is written. Fields that were refused stand beside, each with its sentences, as the clients of the
/// original API read them.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemView {
    /// Where the code is described.
    #[schema(example = "/docs/errors#required")]
    r#type: String,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// Always `FAIL`.
    #[schema(pattern = "^FAIL$", example = "FAIL")]
    status: &'static str,
    #[schema(minimum = 400, maximum = 599)]
    status_code: u16,
    /// For programs.
    code: ErrorCode,
    /// For people, in the answer's language.
    detail: String,
    /// The same again.
    error_msg: String,
    /// The answer's `X-Request-Id`.
    request_id: String,
    /// What fills the sentence.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    errors: Vec<FieldErrorView>,
    #[serde(flatten)]
    #[schema(ignore)]
    fields: BTreeMap<&'static str, Vec<String>>,
}

/// A field can't take the place of a member that every failure has.
const MEMBERS: [&str; 10] =
    ["type", "title", "status", "status_code", "code", "detail", "error_msg", "request_id", "params", "errors"];

pub(super) fn problem(refusal: &Refusal, locale: Locale, request_id: &str) -> ProblemView {
    let detail = refusal.code.sentence(locale, &refusal.params);
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for field in refusal.fields.iter().filter(|field| !MEMBERS.contains(&field.field)) {
        fields.entry(field.field).or_default().push(field.code.sentence(locale, &field.params));
    }
    ProblemView {
        r#type: format!("/docs/errors#{}", refusal.code.as_str()),
        title: title(refusal.status),
        status: "FAIL",
        status_code: refusal.status,
        code: refusal.code,
        error_msg: detail.clone(),
        detail,
        request_id: request_id.to_owned(),
        params: refusal.params.clone(),
        errors: refusal.fields.iter().map(|field| field.view(locale)).collect(),
        fields,
    }
}

/// A status in words.
pub(super) fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::FieldError;

    #[test]
    fn a_failure_is_readable_by_clients_of_both_conventions() {
        let error = Error::fields(vec![
            FieldError::new("email", ErrorCode::EmailTaken),
            FieldError::new("email", ErrorCode::TooLong).with("max", 254),
        ]);
        let Error::Refused(refusal) = error else { panic!() };
        let body = serde_json::to_value(problem(&refusal, Locale::En, "r-1")).unwrap();
        assert_eq!(body["status"], "FAIL");
        assert_eq!(body["status_code"], 400);
        assert_eq!(body["code"], "invalid_input");
        assert_eq!(body["email"], json!(["This e-mail is in use already.", "Use at most 254 characters."]));
        assert_eq!(body["errors"][1]["params"], json!({"max": 254}));
        assert_eq!(body["request_id"], "r-1");
    }
}
