//! Requests that are sent again: one effect, one answer.

use std::{collections::HashSet, time::Duration};

use entity::{answer, friend_request, room};
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::support::{Door, PASSWORD, Reply, TestApp};

async fn once(door: &Door, method: Method, path: &str, key: &str, body: &Value) -> Reply {
    Reply::to(door.request(method, path).header("Idempotency-Key", key).json(body)).await
}

#[tokio::test]
async fn threat_21_of_ten_requests_with_one_key_one_is_carried_out_and_all_are_answered() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let body = json!({"name": "새벽반"});
    let replies = join_all((0..10).map(|_| once(&sumi, Method::POST, "/rooms/", "k-1", &body))).await;
    let made: HashSet<_> = replies.iter().map(|reply| reply.ok()["id"].as_i64().unwrap()).collect();
    assert_eq!((made.len(), room::Entity::find().count(&*app.app.db).await.unwrap()), (1, 1));
    // A toggle that would flip to and fro.
    for _ in 0..10 {
        let asked = once(&sumi, Method::POST, &format!("/accounts/friend/{}", hana.id), "k-2", &json!({})).await;
        assert_eq!(asked.ok()["status"], "ADD");
        assert_eq!(friend_request::Entity::find().count(&*app.app.db).await.unwrap(), 1);
    }
    // What was refused is answered alike, too; the id is each request's own.
    let refused = once(&sumi, Method::POST, "/rooms/", "k-3", &body).await.refused(400, "already_in_room");
    sumi.delete(&format!("/rooms/{}/", made.iter().next().unwrap())).await.ok();
    let again = once(&sumi, Method::POST, "/rooms/", "k-3", &body).await;
    assert_eq!(again.header("content-type"), "application/problem+json");
    let again = again.refused(400, "already_in_room");
    assert_ne!(again["request_id"], refused["request_id"]);
    for same in ["params", "detail", "title", "errors"] {
        assert_eq!(again[same], refused[same]);
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_21_a_key_belongs_to_one_request_of_one_person_for_two_days() {
    let app = TestApp::with(&[("auth.token_ttl_secs", "9000000"), ("auth.session_ttl_secs", "9000000")]).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let plan = json!({"total_time": 120, "work_time": 25, "break_time": 5});
    let path = "/accounts/timesetting/";
    once(&sumi, Method::POST, path, "k", &plan).await.ok();
    let other = json!({"total_time": 120, "work_time": 50, "break_time": 5});
    once(&sumi, Method::POST, path, "k", &other).await.refused(422, "idempotency_key_reused");
    once(&sumi, Method::PUT, path, "k", &plan).await.refused(422, "idempotency_key_reused");
    once(&sumi, Method::POST, "/rooms/", "k", &plan).await.refused(422, "idempotency_key_reused");
    // With and without its trailing slash it is one path.
    once(&sumi, Method::POST, "/accounts/timesetting", "k", &plan).await.ok();
    once(&hana, Method::POST, path, "k", &plan).await.ok();
    once(&sumi, Method::POST, path, "another", &plan).await.refused(409, "plan_exists");
    sumi.get(path).await.ok();

    app.app.clock.advance(Duration::from_secs(48 * 3600 - 60));
    once(&sumi, Method::POST, path, "k", &plan).await.ok();
    app.app.clock.advance(Duration::from_secs(120));
    once(&sumi, Method::POST, path, "k", &plan).await.refused(409, "plan_exists");
    app.app.clock.advance(Duration::from_secs(49 * 3600));
    solgik::once::remove_old(&app.app.db, app.app.clock.now()).await.unwrap();
    assert_eq!(answer::Entity::find().count(&*app.app.db).await.unwrap(), 0);

    for (key, code) in [("", "invalid_characters"), ("k".repeat(256).as_str(), "too_long")] {
        let refused = once(&sumi, Method::POST, path, key, &plan).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], "idempotency_key");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_21_no_secret_is_kept_and_nothing_of_whoever_goes() {
    let app = TestApp::start().await;
    let sumi = app.signed_up("수미").await;
    let login = json!({"email": sumi.email, "password": PASSWORD});
    once(&app, Method::POST, "/rest-auth/login/", "k", &login).await;
    once(&sumi, Method::POST, "/ws/ticket/", "k", &json!({})).await.ok();
    // Nobody's key, and a change that does not go through for a reason that passes.
    once(&app, Method::POST, "/rooms/", "k", &json!({"name": "x"})).await.refused(401, "unauthenticated");
    assert_eq!(answer::Entity::find().count(&*app.app.db).await.unwrap(), 0);

    let renamed =
        once(&sumi, Method::PUT, &format!("/accounts/{}/", sumi.id), "k", &json!({"first_name": "소미"})).await;
    assert_eq!(renamed.ok()["email"], sumi.email);
    assert_eq!(answer::Entity::find().count(&*app.app.db).await.unwrap(), 1);
    once(&sumi, Method::DELETE, &format!("/accounts/{}/", sumi.id), "bye", &json!({})).await.ok();
    assert_eq!(answer::Entity::find().count(&*app.app.db).await.unwrap(), 0);
    app.stop().await;
}
