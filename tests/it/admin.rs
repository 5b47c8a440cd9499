//! What staff may see and do, and that nobody else may.

use entity::AccountId;
use reqwest::Method;
use serde_json::{Value, json};
use solgik::accounts;

use crate::support::{Person, Reply, TestApp};

async fn staff(app: &TestApp) -> Person {
    let root = app.person("지기").await;
    accounts::set_staff(&app.app, AccountId(root.id), true).await.unwrap();
    root.signed_in_again(&app.app).await
}

#[tokio::test]
async fn threat_27_operators_routes_are_for_staff_alone() {
    let app = TestApp::start().await;
    let (root, hana) = (staff(&app).await, app.person("하나").await);
    let instance = app.app.hub.instance();
    let connections = format!("/admin/users/{}/connections/", root.id);
    for (method, path) in [
        (Method::GET, "/admin/instances/"),
        (Method::POST, &format!("/admin/instances/{instance}/drain/")),
        (Method::GET, &connections),
        (Method::DELETE, &connections),
        (Method::DELETE, &format!("/admin/users/{}/sessions/", root.id)),
    ] {
        Reply::to(app.request(method.clone(), path)).await.refused(401, "unauthenticated");
        Reply::to(hana.request(method, path)).await.refused(403, "staff_only");
    }
    root.get("/admin/instances/").await.ok();
    root.get("/admin/users/999999/connections/").await.refused(404, "account_not_found");
    root.delete("/admin/users/999999/sessions/").await.refused(404, "account_not_found");
    root.post("/admin/instances/nowhere/drain/", json!({})).await.refused(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn staff_sees_who_is_connected_and_sends_them_away() {
    let app = TestApp::with(&[("socket.heartbeat_secs", "1")]).await;
    let (root, hana) = (staff(&app).await, app.person("하나").await);
    let connections = format!("/admin/users/{}/connections/", hana.id);
    assert_eq!(root.get(&connections).await.ok(), json!([]));
    let (mut a, mut b) = (hana.connect().await, hana.connect().await);
    let session = a.hello().await["session"].clone();
    b.hello().await;
    let instances = root.get("/admin/instances/").await.ok();
    let expected = json!([{"id": app.app.hub.instance(), "version": env!("CARGO_PKG_VERSION"), "connections": 2,
        "users": 1, "draining": false}]);
    assert_eq!(instances, expected);
    let seen = loop {
        let seen = root.get(&connections).await.ok();
        assert_eq!(seen.as_array().unwrap().len(), 2);
        if seen[0]["round_trip_ms"].is_f64() && seen[1]["round_trip_ms"].is_f64() {
            break seen;
        }
    };
    assert_eq!((&seen[0]["session"], &seen[0]["queue_frames"]), (&session, &json!(0)));
    assert_eq!(root.delete(&connections).await.ok().as_array().unwrap().len(), 2);
    for socket in [&mut a, &mut b] {
        let (code, bye) = socket.expect_close().await;
        assert_eq!((code, &bye["reconnect_ms"]), (4001, &json!(500)));
    }
    let mut again = hana.connect().await;
    again.hello().await;
    assert_eq!(root.delete(&format!("/admin/users/{}/sessions/", hana.id)).await.ok(), Value::Null);
    assert_eq!(again.expect_close().await.0, 4503);
    hana.get("/rooms/").await.refused(401, "session_ended");
    app.stop().await;
}

#[tokio::test]
async fn a_drained_instance_takes_nobody_in_and_goes_on_answering() {
    let app = TestApp::start().await;
    let (root, hana) = (staff(&app).await, app.person("하나").await);
    let mut socket = hana.connect().await;
    socket.hello().await;
    let drained = root.post(&format!("/admin/instances/{}/drain/", app.app.hub.instance()), json!({})).await.ok();
    assert_eq!(drained["draining"], true);
    assert_eq!(socket.expect_close().await.0, 4001);
    app.get("/readyz").await.refused(503, "draining");
    app.open("/ws", &[]).await.unwrap_err().refused(503, "draining");
    hana.get("/rooms/").await.ok();
    assert_eq!(root.get("/admin/instances/").await.ok()[0]["draining"], true);
    app.stop().await;
}
