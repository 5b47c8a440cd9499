//! Failure: one shape for all, `application/problem+json` (RFC 9457) with the fields that clients of the original
//! API read beside it.
//!
//! Handlers return an [`Error`]; it travels in the response's extensions until the outermost layer, which knows the
//! caller's language and the request's id, spells it.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, ErrorCode, Refusal},
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
    Response::from_parts(parts, problem(&refusal, locale, request_id).to_string().into())
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

fn problem(refusal: &Refusal, locale: Locale, request_id: &str) -> Value {
    let detail = refusal.code.sentence(locale, &refusal.params);
    let mut body = Map::new();
    body.insert("type".into(), json!(format!("/docs/errors#{}", refusal.code.as_str())));
    body.insert("title".into(), json!(title(refusal.status)));
    body.insert("status".into(), json!("FAIL"));
    body.insert("status_code".into(), json!(refusal.status));
    body.insert("code".into(), json!(refusal.code.as_str()));
    body.insert("detail".into(), json!(detail));
    body.insert("error_msg".into(), json!(detail));
    body.insert("request_id".into(), json!(request_id));
    if !refusal.params.is_empty() {
        body.insert("params".into(), json!(refusal.params));
    }
    body.insert("errors".into(), refusal.fields.iter().map(|field| field.view(locale)).collect());
    for field in &refusal.fields {
        let sentence = field.code.sentence(locale, &field.params);
        // A field can't take the place of a member that every failure has.
        if let Some(sentences) = body.entry(field.field).or_insert_with(|| json!([])).as_array_mut()
            && field.field != "errors"
        {
            sentences.push(json!(sentence));
        }
    }
    Value::Object(body)
}

fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    #[test]
    fn a_failure_is_readable_by_clients_of_both_conventions() {
        let error = Error::fields(vec![
            FieldError::new("email", ErrorCode::EmailTaken),
            FieldError::new("email", ErrorCode::TooLong).with("max", 254),
        ]);
        let Error::Refused(refusal) = error else { panic!() };
        let body = problem(&refusal, Locale::En, "r-1");
        assert_eq!(body["status"], "FAIL");
        assert_eq!(body["status_code"], 400);
        assert_eq!(body["code"], "invalid_input");
        assert_eq!(body["email"], json!(["This e-mail is in use already.", "Use at most 254 characters."]));
        assert_eq!(body["errors"][1]["params"], json!({"max": 254}));
        assert_eq!(body["request_id"], "r-1");
    }
}
