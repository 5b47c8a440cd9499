//! The document of the REST door (OpenAPI 3.1): what all operations share is said here, once.
//!
//! A handler describes what is its own: parameters, body, data, and in `x-errors` the codes of its refusals. Around it
//! goes what this folder puts around the real thing: the envelope, both media types of a body, and the refusals that a
//! body, a list or a token brings with it. Promises that a code which doesn't exist can't be described.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder},
};

use super::{failure, page::PageView};
use crate::{
    error::{ErrorCode, Refusal},
    locale::Locale,
};

/// What doesn't come from a handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Solgik",
        description = "A realtime study-room service. Success is `{\"status\":\"OK\",\"data\":…}`, except under \
            `/rest-auth/`; failure is `application/problem+json` with a stable `code` for programs and a sentence for \
            people in the language of `Accept-Language` (Korean, or English). Paths answer with and without their \
            trailing slash; bodies are JSON or forms, and unknown fields are ignored. Every answer carries \
            `X-Request-Id`. What happens in rooms and between friends is pushed by the socket: see `/docs/asyncapi.json`.",
    ),
    components(schemas(failure::ProblemView, PageView)),
    tags(
        (name = "accounts", description = "People, their sessions and their profiles"),
        (name = "product keys", description = "Keys that devices carry"),
        (name = "rooms", description = "Rooms; who sits where"),
        (name = "friends", description = "Friends and requests"),
        (name = "time", description = "The time setting and the timer that runs it"),
        (name = "study", description = "The ledger, and what it comes to"),
        (name = "socket", description = "The way to the WebSocket"),
        (name = "operators", description = "For staff"),
        (name = "service", description = "Health"),
    ),
)]
struct Shared;

/// What doesn't come from a handler: routers add theirs to it.
pub fn shared() -> utoipa::openapi::OpenApi {
    Shared::openapi()
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some("What happened, for programs. A name never changes."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for ErrorCode {}

/// The whole document, of what the handlers said.
pub fn finish(openapi: &utoipa::openapi::OpenApi) -> anyhow::Result<Value> {
    let mut document = serde_json::to_value(openapi)?;
    loosen(&mut document);
    let schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
    let mut paths = Map::new();
    for (path, item) in document.get_mut("paths").and_then(Value::as_object_mut).context("no paths")?.iter_mut() {
        let mut also = None;
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let operation = operation.as_object_mut().with_context(|| format!("{method} {path}"))?;
            also = also.or(operation.remove("x-also"));
            Operation { path, operation, schemas: &schemas }
                .finish()
                .with_context(|| format!("describing {method} {path}"))?;
        }
        if let Some(also) = also.as_ref().and_then(Value::as_str) {
            paths.insert(shown(also), another(item));
        }
        paths.insert(shown(path), item.take());
    }
    let components = document.get_mut("components").and_then(Value::as_object_mut).context("no components")?;
    components.insert("examples".into(), ErrorCode::ALL.iter().map(|code| (code.as_str(), example(*code))).collect());
    let shared = SHARED.iter().map(|(status, words)| (status.to_string(), refusal(*status, &split(words))));
    components.insert("responses".into(), shared.collect());
    components.insert(
        "securitySchemes".into(),
        json!({"token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "`Authorization: Bearer <token>`. The schemes `JWT` and `Token` mean the same, in any letter case.",
        }}),
    );
    let document = document.as_object_mut().context("no document")?;
    document.insert("paths".into(), paths.into());
    document.insert("security".into(), json!([{"token": []}]));
    Ok(Value::Object(std::mem::take(document)))
}

/// A path as the API's document writes it. What machines alone ask for has no slash.
fn shown(path: &str) -> String {
    if ["/livez", "/readyz", "/version", "/ws"].contains(&path) { path.to_owned() } else { format!("{path}/") }
}

/// The same operations at another path.
fn another(item: &Value) -> Value {
    let mut item = item.clone();
    for operation in item.as_object_mut().into_iter().flatten().filter_map(|(_, operation)| operation.as_object_mut()) {
        if let Some(Value::String(id)) = operation.get_mut("operationId") {
            id.push_str(".also");
        }
    }
    item
}

/// A flattened `Option` is a part that may be missing, and not the value null.
fn loosen(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for part in fields.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(Value::Array(choices)) = part.get("oneOf") else { continue };
                let others: Vec<_> =
                    choices.iter().filter(|choice| choice.get("type") != Some(&json!("null"))).cloned().collect();
                if others.len() < choices.len() {
                    *part = json!({"anyOf": others.into_iter().chain([json!({"type": "object"})]).collect::<Vec<_>>()});
                }
            }
            fields.values_mut().for_each(loosen);
        }
        Value::Array(values) => values.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// One method of one path.
struct Operation<'a> {
    path: &'a str,
    operation: &'a mut Map<String, Value>,
    schemas: &'a Value,
}

const NO_TOKEN: &str = "unauthenticated token_invalid token_expired session_ended";

/// Refusals that most operations have, written down once.
const SHARED: [(u16, &str); 6] = [
    (401, NO_TOKEN),
    (413, "body_too_large"),
    (415, "unsupported_media_type"),
    (422, "idempotency_key_reused"),
    (500, "internal"),
    (503, "unavailable"),
];

fn split(words: &'static str) -> BTreeSet<&'static str> {
    words.split_whitespace().collect()
}

/// Codes by the status that they are answered with.
type Refusals = BTreeMap<u16, BTreeSet<&'static str>>;

impl Operation<'_> {
    fn finish(mut self) -> anyhow::Result<()> {
        self.name();
        let paged = self.has_query(|name| name == "_page");
        let refusals = self.refusals(paged)?;
        self.finish_body();
        let beside = self.operation.remove("x-beside");
        let bare = self.path.starts_with("/rest-auth/");
        let answers = self.operation.get_mut("responses").and_then(Value::as_object_mut).context("no responses")?;
        for (status, answer) in answers.iter_mut() {
            let answer = answer.as_object_mut().context("no answer")?;
            let status: u16 = status.parse()?;
            answer.entry("description").or_insert_with(|| failure::title(status).into());
            if !bare && status == 200 {
                envelop(answer, paged, beside.as_ref());
            }
        }
        for (status, codes) in refusals {
            let shared = SHARED.iter().any(|(shared, words)| *shared == status && codes == split(words));
            let answer = if shared {
                json!({"$ref": format!("#/components/responses/{status}")})
            } else {
                refusal(status, &codes)
            };
            answers.insert(status.to_string(), answer);
        }
        Ok(())
    }

    /// `rooms.list`: names of handlers are unique in a feature only.
    fn name(&mut self) {
        let tag = self.operation.get("tags").and_then(|tags| tags.get(0)).and_then(Value::as_str).unwrap_or_default();
        let tag = tag.replace(' ', "_");
        if let Some(Value::String(id)) = self.operation.get_mut("operationId") {
            *id = format!("{tag}.{id}");
        }
        // A summary is plain text.
        if let Some(Value::String(summary)) = self.operation.get_mut("summary") {
            summary.retain(|character| character != '`');
        }
    }

    fn has_query(&self, which: impl Fn(&str) -> bool) -> bool {
        let parameters = self.operation.get("parameters").and_then(Value::as_array);
        let mut queries =
            parameters.into_iter().flatten().filter(|parameter| parameter.get("in") == Some(&json!("query")));
        queries.any(|parameter| parameter.get("name").and_then(Value::as_str).is_some_and(&which))
    }

    /// Those that the handler names, and those that come with what it takes in.
    fn refusals(&mut self, paged: bool) -> anyhow::Result<Refusals> {
        let mut words = vec!["internal", "unavailable"];
        let named = self.operation.remove("x-errors");
        words.extend(named.as_ref().and_then(Value::as_str).unwrap_or_default().split_whitespace());
        if self.operation.get("security").is_none() {
            words.extend(split(NO_TOKEN));
        }
        if self.operation.contains_key("requestBody") {
            words.extend(["malformed_body", "invalid_input", "wrong_type", "body_too_large", "unsupported_media_type"]);
        }
        if self.has_query(|_| true) {
            words.push("invalid_input");
        }
        if paged {
            words.push("out_of_range");
        }
        let mut refusals = Refusals::new();
        for word in words {
            // `400:room_full` where the status differs from the code's own.
            let (status, name) = word.split_once(':').map_or((None, word), |(status, name)| (Some(status), name));
            let code =
                ErrorCode::ALL.iter().find(|code| code.as_str() == name).with_context(|| format!("no {name}"))?;
            let status = status.map(str::parse).transpose()?.unwrap_or(code.status());
            refusals.entry(status).or_default().insert(code.as_str());
        }
        Ok(refusals)
    }

    /// A form says the same as JSON; a body without which there is nothing missing can be left out.
    fn finish_body(&mut self) {
        let Some(body) = self.operation.get_mut("requestBody").and_then(Value::as_object_mut) else { return };
        let Some(content) = body.get_mut("content").and_then(Value::as_object_mut) else { return };
        let Some(json) = content.get("application/json").cloned() else { return };
        let name = json.pointer("/schema/$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
        let schema = name.and_then(|name| self.schemas.get(name));
        let required = schema.is_some_and(|schema| schema.get("required").is_some());
        content.insert("application/x-www-form-urlencoded".into(), json);
        body.insert("required".into(), required.into());
    }
}

/// Puts the success shape around the data.
fn envelop(answer: &mut Map<String, Value>, paged: bool, beside: Option<&Value>) {
    // A text would be plain by itself; here it is data like any other.
    let content = answer.get("content").and_then(Value::as_object);
    let data = content.and_then(|content| content.values().next()).and_then(|content| content.get("schema"));
    let mut properties = Map::from_iter([
        ("status".to_owned(), json!({"const": "OK"})),
        ("data".to_owned(), data.cloned().unwrap_or(json!({"type": "null"}))),
        ("msg".to_owned(), json!({"type": "string", "description": "Where there is something to say to a person"})),
    ]);
    let mut required = vec!["status", "data"];
    if paged {
        properties.insert("page".to_owned(), json!({"$ref": "#/components/schemas/PageView"}));
        required.push("page");
        let total = json!({"type": "integer", "minimum": 0});
        let headers = json!({
            "X-Total-Count": {"required": true, "description": "Rows on all pages", "schema": total},
            "Link": {"required": true, "description": "RFC 8288: first, prev, next, last", "schema": {"type": "string"}},
        });
        answer.insert("headers".into(), headers);
    }
    let mut schema = json!({"type": "object", "required": required, "properties": properties});
    if let Some(name) = beside.and_then(Value::as_str) {
        schema = json!({"allOf": [schema, {"$ref": format!("#/components/schemas/{name}")}]});
    }
    answer.insert("content".into(), json!({"application/json": {"schema": schema}}));
}

/// A refusal with every code that it may have.
fn refusal(status: u16, codes: &BTreeSet<&'static str>) -> Value {
    let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    let examples: Map<_, _> = codes
        .iter()
        .map(|code| ((*code).to_owned(), json!({"$ref": format!("#/components/examples/{code}")})))
        .collect();
    let headers = match status {
        401 => json!({"WWW-Authenticate": {"required": true, "schema": {"type": "string"}}}),
        429 | 503 => json!({"Retry-After": {"required": true, "schema": {"type": "integer", "minimum": 1}}}),
        _ => json!({}),
    };
    json!({
        "description": format!("{}: {}", failure::title(status), listed.join(", ")),
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": {"allOf": [
                {"$ref": "#/components/schemas/Problem"},
                {"properties": {"status_code": {"const": status}, "code": {"enum": codes}}},
            ]},
            "examples": examples,
        }},
    })
}

/// How a code's answer looks.
fn example(code: ErrorCode) -> Value {
    let filled = [("max", json!(100)), ("min", json!(1)), ("room", json!(42)), ("choices", json!("enter, leave"))];
    let mut refusal = Refusal::from(code);
    refusal.params = filled
        .into_iter()
        .filter(|(name, _)| code.plain(Locale::En).contains(&format!("{{{name}}}")))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let summary = code.sentence(Locale::En, &refusal.params);
    json!({"summary": summary, "value": failure::problem(&refusal, Locale::En, "8d1f0c6a2b3e4f50")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_may_be_missing_is_not_null() {
        let mut schema = json!({"allOf": [{"oneOf": [{"$ref": "#/x"}, {"type": "null"}]}, {"type": "object"}]});
        loosen(&mut schema);
        assert_eq!(schema, json!({"allOf": [{"anyOf": [{"$ref": "#/x"}, {"type": "object"}]}, {"type": "object"}]}));
    }

    #[test]
    fn a_code_that_does_not_exist_is_no_refusal() {
        let mut operation = Map::from_iter([("x-errors".to_owned(), json!("room_full 400:already_in_room"))]);
        let refusals =
            |operation: &mut Map<_, _>| Operation { path: "/rooms", operation, schemas: &Value::Null }.refusals(false);
        let found = refusals(&mut operation).unwrap();
        assert!(found[&409].contains("room_full") && found[&400].contains("already_in_room"));
        operation.insert("x-errors".to_owned(), json!("room_fool"));
        assert!(refusals(&mut operation).is_err());
    }
}
