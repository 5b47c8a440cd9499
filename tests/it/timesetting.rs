//! The time setting through the door.

use entity::AccountId;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use solgik::{
    people,
    timer::{self, PlanView},
};

use crate::support::{Person, Reply, TestApp};

const PATH: &str = "/accounts/timesetting/";

fn pomodoro() -> Value {
    json!({"total_time": 120, "work_time": 25, "break_time": 5})
}

/// Each mistake in a field, with its code.
fn mistakes() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("total_time", json!(-1), "out_of_range"),
        ("total_time", json!(1441), "out_of_range"),
        ("work_time", json!(481), "out_of_range"),
        ("break_time", json!(481), "out_of_range"),
        ("break_time", json!(9_223_372_036_854_775_807_i64), "out_of_range"),
        ("work_time", json!("long"), "wrong_type"),
        ("work_time", json!(25.5), "wrong_type"),
        ("total_time", json!([60]), "wrong_type"),
        ("break_time", json!(true), "wrong_type"),
    ]
}

async fn with_plan(app: &TestApp) -> Person {
    let person = app.person("수미").await;
    person.post(PATH, pomodoro()).await.ok();
    person
}

// 작업 시간 생성

#[tokio::test]
async fn post_timesetting() {
    let app = TestApp::start().await;
    for plan in [
        pomodoro(),
        json!({"total_time": 0, "work_time": 0, "break_time": 0}),
        json!({"total_time": 1440, "work_time": 480, "break_time": 480}),
    ] {
        let person = app.person("수미").await;
        assert_eq!(person.post(PATH, plan.clone()).await.ok(), plan);
        assert_eq!(person.get(PATH.trim_end_matches('/')).await.ok(), plan);
    }
    app.stop().await;
}

#[tokio::test]
async fn post_timesetting_as_a_form_and_with_unknown_fields() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let form = [("total_time", "120"), ("work_time", "25"), ("break_time", "5")];
    assert_eq!(Reply::to(sumi.request(Method::POST, PATH).form(&form)).await.ok(), pomodoro());
    let mut body = pomodoro();
    body["account_id"] = json!(sumi.id);
    body["point"] = json!(1000);
    assert_eq!(minho.post(PATH, body).await.ok(), pomodoro());
    app.stop().await;
}

#[tokio::test]
async fn post_timesetting_without_a_field_is_400_for_each() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let refused = sumi.post(PATH, json!({"work_time": null})).await.refused(400, "required");
    let fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["total_time", "work_time", "break_time"]);
    assert_eq!(refused["total_time"], json!(["이 항목은 필수입니다."]));
    sumi.get(PATH).await.refused(404, "plan_not_found");
    app.stop().await;
}

#[tokio::test]
async fn post_timesetting_with_a_bad_field_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (field, value, code) in mistakes() {
        let mut body = pomodoro();
        body[field] = value;
        let refused = sumi.post(PATH, body).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], field);
        assert!(refused[field].is_array(), "{refused}");
    }
    let no_cycle = json!({"total_time": 60, "work_time": 0, "break_time": 5});
    let refused = sumi.post(PATH, no_cycle).await.refused(400, "break_without_work");
    assert_eq!(refused["errors"][0]["field"], "break_time");
    sumi.get(PATH).await.refused(404, "plan_not_found");
    app.stop().await;
}

#[tokio::test]
async fn a_second_post_of_timesetting_is_409() {
    let app = TestApp::start().await;
    let sumi = with_plan(&app).await;
    let other = json!({"total_time": 60, "work_time": 50, "break_time": 10});
    sumi.post(PATH, other).await.refused(409, "plan_exists");
    assert_eq!(sumi.get(PATH).await.ok(), pomodoro());
    app.stop().await;
}

#[tokio::test]
async fn of_parallel_posts_of_timesetting_one_wins() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let answers = join_all((0..20).map(|_| sumi.post(PATH, pomodoro()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "plan_exists");
    }
    app.stop().await;
}

// 작업 시간 수정

#[tokio::test]
async fn put_timesetting() {
    let app = TestApp::start().await;
    let sumi = with_plan(&app).await;
    for (body, expected) in [
        (json!({"work_time": 50}), json!({"total_time": 120, "work_time": 50, "break_time": 5})),
        (json!({}), json!({"total_time": 120, "work_time": 50, "break_time": 5})),
        (json!({"work_time": 0, "break_time": 0}), json!({"total_time": 120, "work_time": 0, "break_time": 0})),
        (json!({"total_time": 0, "work_time": null}), json!({"total_time": 0, "work_time": 0, "break_time": 0})),
        (pomodoro(), pomodoro()),
    ] {
        assert_eq!(sumi.put(PATH, body).await.ok(), expected);
        assert_eq!(sumi.get(PATH).await.ok(), expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn put_timesetting_is_judged_as_a_whole() {
    let app = TestApp::start().await;
    let sumi = with_plan(&app).await;
    let refused = sumi.put(PATH, json!({"work_time": 0})).await.refused(400, "break_without_work");
    assert_eq!(refused["errors"][0]["field"], "break_time");
    for (field, value, code) in mistakes() {
        let refused = sumi.put(PATH, json!({ field: value })).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], field);
    }
    assert_eq!(sumi.get(PATH).await.ok(), pomodoro());
    app.stop().await;
}

#[tokio::test]
async fn put_timesetting_without_one_is_404() {
    let app = TestApp::start().await;
    app.person("수미").await.put(PATH, pomodoro()).await.refused(404, "plan_not_found");
    app.stop().await;
}

// 작업 시간 삭제

#[tokio::test]
async fn delete_timesetting() {
    let app = TestApp::start().await;
    let (sumi, minho) = (with_plan(&app).await, with_plan(&app).await);
    assert_eq!(sumi.delete(PATH).await.ok(), pomodoro());
    sumi.get(PATH).await.refused(404, "plan_not_found");
    sumi.delete(PATH).await.refused(404, "plan_not_found");
    assert_eq!(minho.get(PATH).await.ok(), pomodoro());
    sumi.post(PATH, pomodoro()).await.ok();
    app.stop().await;
}

#[tokio::test]
async fn timesetting_without_a_token_is_401() {
    let app = TestApp::start().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        let refused = Reply::to(app.request(method, PATH)).await;
        refused.refused(401, "unauthenticated");
        assert!(!refused.header("www-authenticate").is_empty());
    }
    app.stop().await;
}

#[tokio::test]
async fn others_find_and_remove_a_plan() {
    let app = TestApp::start().await;
    let sumi = with_plan(&app).await;
    let account = AccountId(sumi.id);
    let expected = PlanView { total_time: 120, work_time: 25, break_time: 5 };
    assert_eq!(timer::find_plan(&*app.app.db, account).await.unwrap(), Some(expected));
    let tx = app.app.db.begin().await.unwrap();
    let owner = people::get(&*tx, account).await.unwrap();
    for _ in 0..2 {
        timer::remove_in(&app.app, &tx, &owner, app.app.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(timer::find_plan(&*app.app.db, account).await.unwrap(), None);
    app.stop().await;
}
