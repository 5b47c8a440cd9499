//! Documents for programs are what the code says, and are served with all that shows them.

use std::collections::BTreeSet;

use serde_json::Value;
use solgik::{error::ErrorCode, realtime::CloseReason, server, ws};

use crate::support::{TestApp, run_binary};

const OPENAPI: &str = include_str!("../../src/web/docs/openapi.json");
const ASYNCAPI: &str = include_str!("../../src/web/docs/asyncapi.json");

fn committed(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

#[test]
fn the_committed_openapi_is_what_the_handlers_say() {
    let written: Value = serde_json::from_str(&server::openapi().unwrap().to_string()).unwrap();
    assert!(written == committed(OPENAPI), "write it anew: cargo run -- openapi > src/web/docs/openapi.json");
}

#[test]
fn the_committed_asyncapi_is_what_the_wire_says() {
    let written = ws::document::asyncapi().unwrap();
    assert!(written == committed(ASYNCAPI), "write it anew: cargo run -- asyncapi > src/web/docs/asyncapi.json");
    let closes = written["x-close-codes"].as_array().unwrap();
    let codes: Vec<_> = closes.iter().map(|close| close["code"].as_u64().unwrap()).collect();
    assert_eq!(codes, CloseReason::ALL.iter().map(|reason| u64::from(reason.code())).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_commands_print_what_is_committed() {
    let data = tempfile::tempdir().unwrap();
    for (command, document) in [("openapi", OPENAPI), ("asyncapi", ASYNCAPI)] {
        let printed = run_binary(data.path(), &[command], &[]).await;
        assert!(printed.status.success(), "{printed:?}");
        assert_eq!(committed(std::str::from_utf8(&printed.stdout).unwrap()), committed(document));
    }
}

/// Every path of the original document, and those that its clients use.
#[test]
fn every_path_is_described() {
    let document = committed(OPENAPI);
    for (path, methods) in [
        ("/rest-auth/signup/", "post"),
        ("/rest-auth/login/", "post"),
        ("/rest-auth/logout/", "post"),
        ("/rest-auth/password/change/", "post"),
        ("/rest-auth/password/reset/", "post"),
        ("/rest-auth/password/reset/confirm/", "post"),
        ("/rest-auth/token/refresh/", "post"),
        ("/accounts/", "get"),
        ("/accounts/{id}/", "get put delete"),
        ("/accounts/find/{key}/", "post"),
        ("/certification/{key}/", "get"),
        ("/accounts/certification/{key}/", "get"),
        ("/registration/{key}/", "post"),
        ("/accounts/registration/{key}/", "post"),
        ("/accounts/productkey/", "get post delete"),
        ("/rooms/", "get post"),
        ("/rooms/{id}/", "get post delete"),
        ("/rooms/check/", "get"),
        ("/accounts/friend/", "get"),
        ("/accounts/friend/request/", "get"),
        ("/accounts/friend/request/receive/", "get"),
        ("/accounts/friend/request/send/", "get"),
        ("/accounts/friend/{id}/", "post delete"),
        ("/accounts/friend/{id}/accept/", "post"),
        ("/accounts/friend/{id}/reject/", "post"),
        ("/accounts/timesetting/", "get post put delete"),
        ("/accounts/timer/", "get"),
        ("/accounts/timer/start/", "post"),
        ("/accounts/timer/pause/", "post"),
        ("/accounts/timer/restart/", "post"),
        ("/accounts/timer/stop/", "post"),
        ("/accounts/ledger/", "get"),
        ("/ws/ticket/", "post"),
    ] {
        for method in methods.split(' ') {
            let operation = &document["paths"][path][method];
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["responses"]["500"].is_object(), "{method} {path}: {operation}");
        }
    }
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two operations of one name");
}

/// A key, and both ways in which it can be refused, stand where it means something and nowhere else.
#[test]
fn operations_say_whether_they_heed_a_key() {
    let document = committed(OPENAPI);
    let mut heeding = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let names = |code: &str, status: &str| {
                let mut answer = &operation["responses"][status];
                if let Some(shared) = answer["$ref"].as_str() {
                    answer = document.pointer(&shared[1..]).unwrap();
                }
                !answer["content"]["application/problem+json"]["examples"][code].is_null()
            };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let heeds = parameters.clone().any(|parameter| parameter["name"] == "Idempotency-Key");
            assert_eq!(names("still_under_way", "409"), heeds, "{method} {path}");
            assert_eq!(names("idempotency_key_reused", "422"), heeds, "{method} {path}");
            if heeds {
                heeding.insert(format!("{method} {path}"));
            }
        }
    }
    for heeds in ["post /rooms/", "put /accounts/{id}/", "delete /accounts/timesetting/", "post /accounts/timer/start/"]
    {
        assert!(heeding.contains(heeds), "{heeds}");
    }
    for not in ["get /rooms/", "post /ws/ticket/", "post /rest-auth/login/", "post /accounts/productkey/"] {
        assert!(!heeding.contains(not), "{not}");
    }
    assert!(!heeding.contains("post /accounts/find/{key}/"), "nobody has to be signed in there");
}

#[tokio::test]
async fn documents_and_their_viewer_are_inside_the_binary() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/docs/openapi.json").await.bare(200), committed(OPENAPI));
    assert_eq!(app.get("/docs/asyncapi.json").await.bare(200), committed(ASYNCAPI));
    for (path, media_type) in [
        ("/docs/", "text/html"),
        ("/docs/api", "text/html"),
        ("/docs/docs.css", "text/css"),
        ("/docs/api.js", "text/javascript"),
        ("/docs/api.css", "text/css"),
        ("/docs/viewer/swagger-ui.css", "text/css"),
        ("/docs/viewer/swagger-ui-bundle.js", "text/javascript"),
    ] {
        let reply = app.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-type").starts_with(media_type), "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'self'"), "{path}");
    }
    for path in ["/docs/no-such-page", "/docs/page", "/docs/page.html", "/docs/guide.md"] {
        app.get(path).await.refused(404, "not_found");
    }
    app.get("/docs/viewer/no-such-file.js").await.refused(404, "not_found");
    app.stop().await;
}

/// Pages lead to each other and to files that are there, and to no other host.
#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    let app = TestApp::start().await;
    let (mut waiting, mut seen) = (vec!["/docs/".to_owned()], BTreeSet::new());
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let reply = app.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        if !path.starts_with("/docs") || !reply.header("content-type").starts_with("text/html") {
            continue;
        }
        let text = reply.body.as_str().unwrap();
        for attribute in ["href=\"", "src=\""] {
            for named in text.split(attribute).skip(1) {
                let address = named.split(['"', '#']).next().unwrap();
                assert!(address.starts_with('/'), "{path} leads to {address}");
                waiting.push(address.to_owned());
            }
        }
    }
    for page in ["guide", "guide.ko", "protocol", "session", "messages", "operating", "errors", "api"] {
        assert!(seen.contains(&format!("/docs/{page}")), "nothing leads to {page}");
    }
    let errors = app.get("/docs/errors").await.body;
    for code in ErrorCode::ALL {
        assert!(errors.as_str().unwrap().contains(&format!("<tr id=\"{}\">", code.as_str())), "{code:?}");
    }
    app.stop().await;
}
