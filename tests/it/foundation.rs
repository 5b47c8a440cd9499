//! What holds at every door, whatever stands behind it.

use std::{collections::HashSet, fs, path::Path};

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, TestApp};

/// An answer to `GET path` with one more header.
async fn get_with(app: &TestApp, path: &str, name: &str, value: &str) -> Reply {
    Reply::to(app.request(Method::GET, path).header(name, value)).await
}

#[tokio::test]
async fn health_is_told_without_a_token() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/livez").await.ok(), "alive");
    assert_eq!(app.get("/readyz").await.ok(), "ready");
    assert_eq!(app.get("/version").await.ok(), env!("CARGO_PKG_VERSION"));
    app.stop().await;
}

#[tokio::test]
async fn a_draining_server_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    app.app.drain.cancel();
    let reply = app.get("/readyz").await;
    reply.refused(503, "draining");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(app.get("/livez").await.ok(), "alive");
    app.stop().await;
}

#[tokio::test]
async fn a_server_without_its_database_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    app.app.db.close().await;
    app.get("/readyz").await.refused(503, "unavailable");
    app.get("/livez").await.ok();
}

#[tokio::test]
async fn both_forms_of_a_path_answer_without_a_redirect() {
    let app = TestApp::start().await;
    for path in ["/livez", "/livez/", "/livez/?x=1"] {
        assert_eq!(app.get(path).await.ok(), "alive", "{path}");
    }
    assert_eq!(app.get("/").await.bare(200), app.get("").await.bare(200));
    app.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_shape_of_every_refusal() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for path in ["/nowhere", "/nowhere/", "/livez/more", "/assets/nothing.js", "/assets/..%2Fmod.rs"] {
        sumi.get(path).await.refused(404, "not_found");
    }
    sumi.post("/nowhere", json!({})).await.refused(404, "not_found");
    let reply = app.delete("/livez").await;
    reply.refused(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "GET,HEAD");
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_worded_in_the_caller_s_language() {
    let app = TestApp::start().await;
    for (accepted, tag, sentence) in [
        ("", "ko", "찾을 수 없습니다."),
        ("fr", "ko", "찾을 수 없습니다."),
        ("en-US,en;q=0.9,ko;q=0.8", "en", "Not found."),
        ("en;q=0.5,ko;q=0.8", "ko", "찾을 수 없습니다."),
    ] {
        let reply = get_with(&app, "/nowhere", "accept-language", accepted).await;
        assert_eq!(reply.refused(404, "not_found")["detail"], sentence, "{accepted}");
        assert_eq!(reply.header("content-language"), tag, "{accepted}");
        let vary: Vec<_> = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(vary.join(",").contains("accept-language"), "{vary:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    let mut ids = HashSet::new();
    for path in ["/livez", "/", "/nowhere"] {
        let reply = get_with(&app, path, "x-request-id", "chosen-by-the-caller").await;
        assert!(ids.insert(reply.header("x-request-id").to_owned()), "{path}");
    }
    assert!(!ids.contains("") && !ids.contains("chosen-by-the-caller"), "{ids:?}");
    app.stop().await;
}

#[tokio::test]
async fn threat_19_a_page_runs_nothing_but_its_own() {
    let app = TestApp::start().await;
    let page = app.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    for rule in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"] {
        assert!(policy.split("; ").any(|given| given == rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cache-control"), "no-cache");

    let unchanged = get_with(&app, "/", "if-none-match", page.header("etag")).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.as_str()), (304, Some("")));
    assert_eq!(unchanged.header("content-security-policy"), policy);

    for path in ["/livez", "/nowhere"] {
        let answer = app.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_call_and_no_others() {
    const ORIGIN: &str = "https://study.example";
    let app = TestApp::with(&[("server.origins", ORIGIN)]).await;
    for path in ["/livez", "/nowhere"] {
        let reply = get_with(&app, path, "origin", ORIGIN).await;
        assert_eq!(reply.header("access-control-allow-origin"), ORIGIN, "{path}");
        let mut exposed: Vec<_> = reply.header("access-control-expose-headers").split(',').collect();
        exposed.sort_unstable();
        assert_eq!(exposed, ["link", "retry-after", "x-request-id", "x-total-count"], "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), "", "no cookie ever counts");
    }
    for origin in [
        "http://study.example",
        "https://study.example:8443",
        "https://study.example.evil.example",
        "https://evil.example",
        "null",
    ] {
        let reply = get_with(&app, "/livez", "origin", origin).await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
    }
    let preflight = app
        .request(Method::OPTIONS, "/rooms/")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,content-type");
    let preflight = Reply::to(preflight).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), ORIGIN);
    assert!(preflight.header("access-control-allow-methods").split(',').any(|method| method == "PUT"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    app.stop().await;
}

#[tokio::test]
async fn bodies_are_json_or_forms_and_anything_else_is_refused_by_name() {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let post = async |media_type: &str, body: String| {
        let request = sumi.request(Method::POST, "/accounts/timesetting/").body(body);
        Reply::to(if media_type.is_empty() { request } else { request.header("content-type", media_type) }).await
    };
    for (media_type, body, status, code) in [
        ("text/plain", "{}", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", "--x--", 415, "unsupported_media_type"),
        ("", "{}", 415, "unsupported_media_type"),
        (JSON, "{", 400, "malformed_body"),
        (JSON, "[1]", 400, "malformed_body"),
        (JSON, "\"x\"", 400, "malformed_body"),
        (FORM, "total_time=%FF", 400, "malformed_body"),
    ] {
        post(media_type, body.to_owned()).await.refused(status, code);
    }
    // A field that nobody knows is ignored, whatever its size, as long as the whole is short enough.
    let padded = |length: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(length - 8));
    post(JSON, padded(4097)).await.refused(413, "body_too_large");
    let understood = post(JSON, "{}".into()).await;
    understood.refused(400, "required");
    for (media_type, body) in
        [("", ""), (JSON, ""), (JSON, "null"), (FORM, ""), ("application/json; charset=utf-8", "{}")]
    {
        let reply = post(media_type, body.to_owned()).await;
        assert_eq!((reply.status, &reply["errors"]), (understood.status, &understood["errors"]), "{media_type} {body}");
    }
    assert_eq!(post(JSON, padded(4096)).await["errors"], understood["errors"]);
    app.stop().await;
}

#[test]
fn threat_26_versions_are_locked_and_no_crate_of_ours_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert!(read("Cargo.lock").contains("name = \"solgik\""));
    assert!(!read(".gitignore").contains("Cargo.lock"));
    assert!(read("Cargo.toml").contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""));
    for manifest in ["Cargo.toml", "entity/Cargo.toml", "migration/Cargo.toml"] {
        assert!(read(manifest).contains("[lints]\nworkspace = true"), "{manifest}");
    }
}
