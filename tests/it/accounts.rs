//! Signing up, in and out; passwords; people, found, shown, changed and deleted.

use std::{collections::BTreeMap, time::Duration};

use entity::{AccountId, account, friendship, membership, outbox, password_reset, plan, room, session};
use reqwest::Method;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};

use crate::{
    product_keys::{KIT, OTHER_KIT, certified, import, register},
    support::{Door, PASSWORD, Person, Reply, TestApp},
};

const NEW: &str = "eight tall birches";

fn form(email: &str) -> Value {
    json!({
        "email": email, "password1": PASSWORD, "password2": PASSWORD,
        "last_name": "이", "first_name": "하나", "gender": 0, "birth_date": "1999-12-31",
    })
}

/// `form` with one field replaced.
fn with(mut form: Value, field: &str, value: Value) -> Value {
    form[field] = value;
    form
}

async fn sign_in(door: &Door, email: &str, password: &str) -> Reply {
    door.post("/rest-auth/login/", json!({"email": email, "password": password})).await
}

/// A door that nobody has opened yet, though `reply` holds the key.
async fn who(app: &TestApp, reply: &Value) -> Reply {
    let token = reply["token"].as_str().unwrap();
    let request = app.client.get(format!("{}/accounts/{}/", app.base, reply["user"]["pk"]));
    Reply::to(request.header("authorization", format!("Bearer {token}"))).await
}

/// The first letter in the folder that has all of `parts`.
async fn letter(app: &TestApp, parts: &[&str]) -> String {
    let folder = app.app.config.data_dir.join("mail");
    let arrived = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            for entry in std::fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
                let path = entry.path();
                let text = if path.extension().is_some_and(|end| end == "eml") {
                    std::fs::read_to_string(path).unwrap()
                } else {
                    String::new()
                };
                if parts.iter().all(|part| text.contains(part)) && !text.is_empty() {
                    return text;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.expect("no such letter")
}

/// `uid` and `token` of the link in a letter to `email`.
async fn reset_of(app: &TestApp, email: &str) -> (String, String) {
    let text = letter(app, &[email, "#reset?uid="]).await;
    let query = text.split("#reset?").nth(1).unwrap().split_whitespace().next().unwrap();
    let parts: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    (parts["uid"].to_owned(), parts["token"].to_owned())
}

async fn befriend(app: &TestApp, a: &Person, b: &Person) {
    let row = friendship::ActiveModel {
        low_id: Set(AccountId(a.id.min(b.id))),
        high_id: Set(AccountId(a.id.max(b.id))),
        created_at: Set(app.app.clock.now()),
    };
    let tx = app.app.db.begin().await.unwrap();
    friendship::Entity::insert(row).exec_without_returning(&*tx).await.unwrap();
    tx.commit_quietly().await.unwrap();
}

#[tokio::test]
async fn signup_answers_a_token() {
    let app = TestApp::start().await;
    let answer = app.post("/rest-auth/signup/", form(" Hana.Lee@Example.COM ")).await.bare(201);
    assert_eq!(answer["key"], answer["token"]);
    assert!(answer["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{answer}");
    let id = &answer["user"]["pk"];
    let email = "Hana.Lee@example.com";
    let user = json!({"pk": id, "id": id, "username": email, "email": email, "first_name": "하나", "last_name": "이",
        "name": "이하나"});
    assert_eq!(answer["user"], user);
    let own = who(&app, &answer).await.ok();
    assert_eq!((&own["gender"], &own["birth_date"]), (&json!(0), &json!("1999-12-31")));
    sign_in(&app, "HANA.LEE@example.com", PASSWORD).await.bare(200);
    app.stop().await;
}

#[tokio::test]
async fn signup_takes_a_form_as_well() {
    let app = TestApp::start().await;
    let fields = form("hana@example.com");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<_> = fields.as_object().unwrap().iter().map(|(name, value)| (name, text(value))).collect();
    Reply::to(app.request(Method::POST, "/rest-auth/signup").form(&pairs)).await.bare(201);
    app.stop().await;
}

#[tokio::test]
async fn signup_refuses_an_email_that_is_taken() {
    let app = TestApp::start().await;
    app.post("/rest-auth/signup/", form("hana@example.com")).await.bare(201);
    for email in ["hana@example.com", "HANA@EXAMPLE.com"] {
        let refused = app.post("/rest-auth/signup/", form(email)).await.refused(400, "email_taken");
        assert_eq!(refused["email"], json!(["이미 사용 중인 이메일입니다."]));
    }
    // Ten at once: the database lets one through.
    let many = (0..10).map(|_| app.post("/rest-auth/signup/", form("once@example.com")));
    let mut statuses: Vec<_> = futures_util::future::join_all(many).await.iter().map(|r| r.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[201].as_slice(), &[400; 9]].concat());
    app.stop().await;
}

#[tokio::test]
async fn signup_names_every_field_that_is_missing() {
    let app = TestApp::start().await;
    let refused = app.post("/rest-auth/signup/", json!({})).await.refused(400, "required");
    let named: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    let all = ["email", "last_name", "first_name", "password1", "password2", "gender", "birth_date"];
    assert_eq!(named, all);
    for field in all {
        let mut form = form("hana@example.com");
        form.as_object_mut().unwrap().remove(field);
        let refused = app.post("/rest-auth/signup/", form).await.refused(400, "required");
        assert!(refused[field].is_array(), "{refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn signup_names_what_is_wrong_with_a_field() {
    let app = TestApp::start().await;
    for (field, value, code) in [
        ("email", json!("hana"), "invalid_email"),
        ("email", json!("hana@example.com\nBcc: x@y.kr"), "invalid_characters"),
        ("email", json!(7), "wrong_type"),
        ("email", json!(format!("{}@example.com", "a".repeat(250))), "too_long"),
        ("password2", json!("another one"), "password_mismatch"),
        ("last_name", json!("a".repeat(51)), "too_long"),
        ("last_name", json!("  "), "required"),
        ("first_name", json!("a\u{202e}b"), "invalid_characters"),
        ("first_name", json!("a\nb"), "invalid_characters"),
        ("first_name", json!("a\u{0}b"), "invalid_characters"),
        ("gender", json!(2), "out_of_range"),
        ("gender", json!("man"), "wrong_type"),
        ("birth_date", json!("1999-02-30"), "invalid_date"),
        ("birth_date", json!("19990101"), "invalid_date"),
        ("birth_date", json!("9999-01-01"), "date_in_future"),
    ] {
        let form = with(form("hana@example.com"), field, value.clone());
        let refused = app.post("/rest-auth/signup/", form).await.refused(400, code);
        assert!(refused[field].is_array(), "{field} {value}: {refused}");
    }
    for (password, code) in [
        ("seven77", "password_length"),
        ("7351902846", "password_numeric"),
        ("qwer1234", "password_common"),
        ("hana@example.com", "password_similar"),
        (&"x1".repeat(65), "password_length"),
    ] {
        let form = with(with(form("hana@example.com"), "password1", json!(password)), "password2", json!(password));
        let refused = app.post("/rest-auth/signup/", form).await.refused(400, code);
        assert!(refused["password1"].is_array(), "{password}: {refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn login_answers_a_token() {
    let app = TestApp::start().await;
    let hana = app.signed_up("하나").await;
    let answer = sign_in(&app, &hana.email, PASSWORD).await.bare(200);
    assert_eq!(answer["key"], answer["token"]);
    assert_eq!((&answer["user"]["pk"], &answer["user"]["username"]), (&json!(hana.id), &json!(hana.email)));
    who(&app, &answer).await.ok();
    hana.get("/accounts/").await.ok();
    app.stop().await;
}

#[tokio::test]
async fn threat_4_login_has_one_answer_for_unknown_and_wrong() {
    let app = TestApp::start().await;
    let hana = app.person("하나").await;
    let mut answers = Vec::new();
    for email in [hana.email.as_str(), "nobody@example.com", "nonsense"] {
        let mut refused = sign_in(&app, email, "wrong password").await.refused(400, "wrong_credentials");
        assert!(refused["non_field_errors"].is_array(), "{refused}");
        refused["request_id"].take();
        answers.push(refused);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let refused = app.post("/rest-auth/login/", json!({"email": hana.email})).await.refused(400, "required");
    assert!(refused["password"].is_array());
    sign_in(&app, &hana.email, &"x".repeat(129)).await.refused(400, "too_long");
    app.stop().await;
}

#[tokio::test]
async fn threat_2_wrong_passwords_delay_and_never_lock() {
    let app = TestApp::with(&[("limits.exempt_loopback", "false"), ("limits.login_per_address", "1000/60")]).await;
    let hana = app.person("하나").await;
    let mut waits = Vec::new();
    for _ in 0..20 {
        let reply = sign_in(&app, &hana.email, "wrong password").await;
        if reply.status == 429 {
            reply.refused(429, "too_many_requests");
            waits.push(reply.header("retry-after").parse::<u64>().unwrap());
        }
    }
    assert_eq!(waits.first(), Some(&1));
    sign_in(&app, &hana.email, PASSWORD).await.refused(429, "too_many_requests");
    hana.get("/accounts/").await.ok();
    app.app.clock.advance(Duration::from_secs(15 * 60));
    sign_in(&app, &hana.email, PASSWORD).await.bare(200);
    sign_in(&app, &hana.email, "wrong password").await.refused(400, "wrong_credentials");
    app.stop().await;
}

#[tokio::test]
async fn threat_4_signups_and_logins_are_counted_by_address() {
    let settings = [
        ("limits.exempt_loopback", "false"),
        ("limits.signup_per_address", "2/60"),
        ("limits.login_per_address", "2/60"),
    ];
    let app = TestApp::with(&settings).await;
    for number in 0..2 {
        app.post("/rest-auth/signup/", form(&format!("a{number}@example.com"))).await.bare(201);
        sign_in(&app, &format!("a{number}@example.com"), PASSWORD).await.bare(200);
    }
    let reply = app.post("/rest-auth/signup/", form("b@example.com")).await;
    reply.refused(429, "too_many_requests");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 50);
    sign_in(&app, "a0@example.com", PASSWORD).await.refused(429, "too_many_requests");
    app.stop().await;
}

#[tokio::test]
async fn logout_ends_this_session_and_no_other() {
    let app = TestApp::start().await;
    let hana = app.signed_up("하나").await;
    let other = sign_in(&app, &hana.email, PASSWORD).await.bare(200);
    let mut socket = hana.connect().await;
    socket.hello().await;
    assert_eq!(hana.post("/rest-auth/logout/", json!(null)).await.bare(200), json!({"detail": "로그아웃되었습니다."}));
    let refused = hana.get("/accounts/").await;
    refused.refused(401, "session_ended");
    assert!(!refused.header("www-authenticate").is_empty());
    assert_eq!(socket.expect_close().await.0, 4503);
    who(&app, &other).await.ok();
    let english = app.request(Method::POST, "/rest-auth/logout/").header("accept-language", "en");
    assert_eq!(Reply::to(english).await.bare(200), json!({"detail": "You are signed out."}));
    let malformed = app.request(Method::POST, "/rest-auth/logout/").header("authorization", "JWT nonsense");
    Reply::to(malformed).await.refused(401, "token_invalid");
    app.stop().await;
}

#[tokio::test]
async fn password_change_answers_a_detail_and_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let hana = app.signed_up("하나").await;
    let other = sign_in(&app, &hana.email, PASSWORD).await.bare(200);
    who(&app, &other).await.ok();
    let body = json!({"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW});
    app.post("/rest-auth/password/change/", body.clone()).await.refused(401, "unauthenticated");
    let answer = hana.post("/rest-auth/password/change/", body).await.bare(200);
    assert_eq!(answer, json!({"detail": "비밀번호가 변경되었습니다."}));
    hana.get("/accounts/").await.ok();
    who(&app, &other).await.refused(401, "session_ended");
    sign_in(&app, &hana.email, PASSWORD).await.refused(400, "wrong_credentials");
    sign_in(&app, &hana.email, NEW).await.bare(200);
    letter(&app, &[&hana.email, "Your password was changed"]).await;
    app.stop().await;
}

#[tokio::test]
async fn password_change_refuses_a_wrong_old_one_and_a_weak_new_one() {
    let app = TestApp::with(&[("limits.exempt_loopback", "false")]).await;
    let hana = app.person("하나").await;
    for (old, new1, new2, status, code, field) in [
        (PASSWORD, NEW, "another one", 400, "password_mismatch", "new_password2"),
        (PASSWORD, "short", "short", 400, "password_length", "new_password1"),
        ("", NEW, NEW, 400, "required", "old_password"),
        (PASSWORD, "password123", "password123", 400, "password_common", "new_password1"),
        ("wrong password", NEW, NEW, 400, "wrong_old_password", "old_password"),
    ] {
        let body = json!({"old_password": old, "new_password1": new1, "new_password2": new2});
        let refused = hana.post("/rest-auth/password/change/", body).await.refused(status, code);
        assert!(refused[field].is_array(), "{refused}");
    }
    let body = json!({"old_password": "wrong password", "new_password1": NEW, "new_password2": NEW});
    for _ in 0..3 {
        hana.post("/rest-auth/password/change/", body.clone()).await.refused(400, "wrong_old_password");
    }
    hana.post("/rest-auth/password/change/", body).await.refused(429, "too_many_requests");
    app.stop().await;
}

#[tokio::test]
async fn threat_18_password_reset_answers_alike_and_its_token_works_once() {
    let app = TestApp::start().await;
    let hana = app.signed_up("하나").await;
    let mut answers = Vec::new();
    for email in [hana.email.to_uppercase().as_str(), "nobody@example.com", "nonsense"] {
        let poisoned = app.request(Method::POST, "/rest-auth/password/reset/").header("host", "evil.example");
        answers.push(Reply::to(poisoned.json(&json!({"email": email}))).await.bare(200));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    app.post("/rest-auth/password/reset/", json!({})).await.refused(400, "required");
    let text = letter(&app, &[&hana.email, "#reset?"]).await;
    assert!(text.contains("http://127.0.0.1:8000/#reset?") && !text.contains("evil"), "{text}");

    let (uid, token) = reset_of(&app, &hana.email).await;
    assert_eq!(uid, hana.id.to_string());
    let row = password_reset::Entity::find_by_id(AccountId(hana.id)).one(&*app.app.db).await.unwrap().unwrap();
    assert_ne!(row.token_hash, token);
    let confirm = |uid: &str, token: &str, new: &str| {
        let body = json!({"uid": uid, "token": token, "new_password1": new, "new_password2": new});
        app.post("/rest-auth/password/reset/confirm/", body)
    };
    confirm("7777", &token, NEW).await.refused(400, "reset_invalid");
    confirm(&uid, "0000", NEW).await.refused(400, "reset_invalid");
    confirm(&uid, &token, "password123").await.refused(400, "password_common");
    let tries = futures_util::future::join_all((0..8).map(|_| confirm(&uid, &token, NEW))).await;
    assert_eq!(tries.iter().filter(|reply| reply.status == 200).count(), 1);
    tries.iter().filter(|reply| reply.status != 200).for_each(|reply| drop(reply.refused(400, "reset_invalid")));
    hana.get("/accounts/").await.refused(401, "session_ended");
    sign_in(&app, &hana.email, PASSWORD).await.refused(400, "wrong_credentials");
    sign_in(&app, &hana.email, NEW).await.bare(200);
    letter(&app, &[&hana.email, "Your password was changed"]).await;
    app.stop().await;
}

#[tokio::test]
async fn threat_18_a_reset_dies_of_age_and_of_a_later_one() {
    let app = TestApp::start().await;
    let hana = app.person("하나").await;
    let link = || async {
        let link = solgik::accounts::recovery::reset_link(&app.app, &hana.email).await.unwrap();
        link.split("token=").nth(1).unwrap().to_owned()
    };
    let confirm = |token: String| {
        let body = json!({"uid": hana.id, "token": token, "new_password1": NEW, "new_password2": NEW});
        app.post("/rest-auth/password/reset/confirm/", body)
    };
    let (first, second) = (link().await, link().await);
    confirm(first).await.refused(400, "reset_invalid");
    app.app.clock.advance(Duration::from_secs(30 * 60));
    confirm(second).await.refused(400, "reset_invalid");
    let third = link().await;
    app.app.clock.advance(Duration::from_secs(29 * 60));
    confirm(third).await.bare(200);
    app.stop().await;
}

#[tokio::test]
async fn threat_18_resets_are_throttled_and_an_account_silently() {
    let settings = [("limits.exempt_loopback", "false"), ("limits.reset_per_address", "4/3600")];
    let app = TestApp::with(&settings).await;
    let hana = app.person("하나").await;
    for _ in 0..4 {
        app.post("/rest-auth/password/reset/", json!({"email": hana.email})).await.bare(200);
    }
    app.post("/rest-auth/password/reset/", json!({"email": hana.email})).await.refused(429, "too_many_requests");
    let empty = async {
        while outbox::Entity::find().count(&*app.app.db).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), empty).await.unwrap();
    assert_eq!(std::fs::read_dir(app.app.config.data_dir.join("mail")).unwrap().count(), 3);
    app.stop().await;
}

#[tokio::test]
async fn refresh_answers_a_later_token_of_the_same_session() {
    let app = TestApp::with(&[("auth.token_ttl_secs", "600"), ("auth.session_ttl_secs", "1000")]).await;
    let hana = app.signed_up("하나").await;
    app.post("/rest-auth/token/refresh/", json!({})).await.refused(401, "unauthenticated");
    app.app.clock.advance(Duration::from_secs(500));
    let answer = hana.post("/rest-auth/token/refresh/", json!({})).await.bare(200);
    assert_eq!(answer["key"], answer["token"]);
    assert_ne!(answer["token"], json!(hana.token));
    let later = with(answer, "user", json!({"pk": hana.id}));
    app.app.clock.advance(Duration::from_secs(400));
    hana.get("/accounts/").await.refused(401, "token_expired");
    who(&app, &later).await.ok();
    // The session's greatest age is reached.
    app.app.clock.advance(Duration::from_secs(101));
    who(&app, &later).await.refused(401, "token_expired");
    app.stop().await;
}

#[tokio::test]
async fn people_are_found_by_name_and_email() {
    let app = TestApp::start().await;
    let (hana, sumi, percent) = (app.person("하나").await, app.person("수미").await, app.person("%_x").await);
    app.get("/accounts/").await.refused(401, "unauthenticated");
    let all = hana.get("/accounts/").await;
    assert_eq!(all.header("x-total-count"), "3");
    assert_eq!(all["page"], json!({"number": 1, "size": 20, "total": 3}));
    let masked = json!({"id": sumi.id, "last_name": "김", "first_name": "수미", "name": "김수미",
        "email": "p***2@s***.example", "image": null, "current_state": 1, "point": 0});
    assert_eq!(all.ok()[1], masked);
    assert_eq!(all.ok()[0]["email"], json!(hana.email));
    befriend(&app, &hana, &sumi).await;
    assert_eq!(hana.get("/accounts/").await.ok()[1]["email"], json!(sumi.email));
    let found = |query: String| {
        let hana = hana.clone();
        async move {
            let rows = hana.get(&format!("/accounts/?{query}")).await.ok();
            rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>()
        }
    };
    assert_eq!(found("kw='수미'".into()).await, [sumi.id]);
    assert_eq!(found("kw=수미김".into()).await, [sumi.id]);
    assert_eq!(found("kw=%25_".into()).await, [percent.id]);
    assert_eq!(found(format!("kw={}", sumi.email.to_uppercase())).await, [sumi.id]);
    assert_eq!(found("kw=solgik.example".into()).await, [0_i64; 0]);
    assert_eq!(found("order_by=name&_limit=2".into()).await, [percent.id, sumi.id]);
    assert_eq!(found("_page=2&_limit=2".into()).await, [percent.id]);
    assert_eq!(found("_page=9".into()).await, [0_i64; 0]);
    for (query, code, field) in [
        ("order_by=height", "invalid_choice", "order_by"),
        ("order_by=point&period=century", "invalid_choice", "period"),
        ("period=day", "invalid_choice", "period"),
        ("_page=0", "out_of_range", "_page"),
        ("_limit=101", "out_of_range", "_limit"),
        ("kw=a%00b", "invalid_characters", "kw"),
    ] {
        let refused = hana.get(&format!("/accounts/?{query}")).await.refused(400, code);
        assert!(refused[field].is_array(), "{query}: {refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn people_stand_on_a_board_by_points() {
    let app = TestApp::start().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    sumi.put(&format!("/accounts/{}/", sumi.id), json!({"hidden": true})).await.ok();
    let board = hana.get("/accounts/?kw='하나'&order_by='point'&period=\"month\"").await;
    assert_eq!((board.ok()[0]["rank"].clone(), board.ok()[0]["point"].clone()), (json!(1), json!(0)));
    assert_eq!(
        (&board["zone"], &board["me"]["id"], &board["me"]["rank"]),
        (&json!("Asia/Seoul"), &json!(hana.id), &json!(1))
    );
    assert!(board["from"].as_str().unwrap().ends_with("T15:00:00.000Z"), "midnight in Seoul: {board:?}");
    assert!(board["from"].as_str() < board["to"].as_str());
    let whole = hana.get("/accounts/?order_by=point").await;
    assert_eq!(whole.ok().as_array().unwrap().len(), 1, "who is hidden is on no board");
    assert_eq!((&whole["from"], &whole["to"]), (&json!(null), &json!(null)));
    let own = sumi.get("/accounts/?order_by=point").await;
    assert_eq!((&own["me"]["id"], own["me"].get("rank")), (&json!(sumi.id), None));
    app.stop().await;
}

#[tokio::test]
async fn threat_17_a_profile_shows_what_its_viewer_may_see() {
    let app = TestApp::start().await;
    let (hana, sumi, minsu) = (app.person("하나").await, app.person("수미").await, app.person("민수").await);
    befriend(&app, &hana, &sumi).await;
    let path = format!("/accounts/{}/", hana.id);
    let none = json!({"day": 0, "week": 0, "month": 0, "all": 0});
    let mut public = json!({"id": hana.id, "last_name": "김", "first_name": "하나", "name": "김하나",
        "email": "p***1@s***.example", "image": null, "current_state": 1, "point": none, "room": null});
    assert_eq!(minsu.get(&path).await.ok(), public);
    let friend = sumi.get(&path).await.ok();
    assert_eq!((&friend["email"], &friend["friends"][0]["id"]), (&json!(hana.email), &json!(sumi.id)));
    assert!(friend.get("birth_date").is_none() && friend.get("gender").is_none(), "{friend}");
    let own = hana.get(&path).await.ok();
    public["email"] = json!(hana.email);
    public["friends"] = own["friends"].clone();
    assert_eq!(own["friends"][0]["email"], json!(sumi.email));
    for (field, value) in [
        ("gender", json!(1)),
        ("birth_date", json!("2001-02-03")),
        ("hidden", json!(false)),
        ("share_study", json!(true)),
        ("time_setting", json!(null)),
    ] {
        public[field] = value;
    }
    assert_eq!(own, public);

    app.get(&path).await.refused(401, "unauthenticated");
    for id in ["999", "0", "-1", "abc", "1.5", "99999999999999999999999", "%20", "%FF"] {
        hana.get(&format!("/accounts/{id}/")).await.refused(404, "account_not_found");
    }
    let open = TestApp::with(&[("accounts.show_email", "full")]).await;
    let (a, b) = (open.person("하나").await, open.person("수미").await);
    assert_eq!(a.get(&format!("/accounts/{}", b.id)).await.ok()["email"], json!(b.email));
    open.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn a_person_changes_their_own_data_and_nobody_else_s() {
    let app = TestApp::start().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let path = format!("/accounts/{}/", hana.id);
    let change = json!({"last_name": "Lee", "gender": 0, "birth_date": "1990-01-02", "image": "https://a.kr/b.png",
        "hidden": true, "id": 99, "email": "x@y.kr", "point": 7, "room": 3, "staff": true, "epoch": 9, "unknown": {}});
    let changed = hana.put(&path, change).await.ok();
    assert_eq!((&changed["name"], &changed["first_name"]), (&json!("Lee하나"), &json!("하나")));
    assert_eq!(
        (&changed["id"], &changed["email"], &changed["room"]),
        (&json!(hana.id), &json!(hana.email), &json!(null))
    );
    assert_eq!((&changed["gender"], &changed["birth_date"]), (&json!(0), &json!("1990-01-02")));
    assert_eq!((&changed["image"], &changed["hidden"]), (&json!("https://a.kr/b.png"), &json!(true)));
    assert_eq!(hana.get(&path).await.ok(), changed);
    assert_eq!(sumi.get("/accounts/?kw=하나lee").await.ok()[0]["id"], json!(hana.id));
    assert_eq!(hana.put(&path, json!({"image": null})).await.ok()["image"], json!(null));
    assert_eq!(hana.put(&path, json!({})).await.ok()["last_name"], json!("Lee"));
    let row = account::Entity::find_by_id(AccountId(hana.id)).one(&*app.app.db).await.unwrap().unwrap();
    assert!(!row.staff && row.epoch == 0);

    app.put(&path, json!({"last_name": "x"})).await.refused(401, "unauthenticated");
    sumi.put(&path, json!({"last_name": "x"})).await.refused(403, "not_yourself");
    sumi.put("/accounts/999/", json!({})).await.refused(403, "not_yourself");
    // Who may not write here is told so before anybody reads what was to be written.
    let malformed = sumi.request(Method::PUT, &path).header("content-type", "text/plain").body("?");
    Reply::to(malformed).await.refused(403, "not_yourself");
    for (field, value, code) in [
        ("last_name", json!(""), "required"),
        ("first_name", json!("a".repeat(51)), "too_long"),
        ("first_name", json!(["a"]), "wrong_type"),
        ("gender", json!(-1), "out_of_range"),
        ("birth_date", json!("soon"), "invalid_date"),
        ("birth_date", json!("2999-01-01"), "date_in_future"),
        ("image", json!("javascript:alert(1)"), "invalid_url"),
        ("image", json!(format!("https://a.kr/{}", "a".repeat(2000))), "too_long"),
        ("hidden", json!("perhaps"), "wrong_type"),
    ] {
        let refused = hana.put(&path, json!({field: value})).await.refused(400, code);
        assert!(refused[field].is_array(), "{refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_23_deletion_leaves_nothing_of_the_person() {
    let app = TestApp::start().await;
    let (hana, sumi) = (app.signed_up("하나").await, app.person("수미").await);
    let id = AccountId(hana.id);
    let path = format!("/accounts/{}/", hana.id);
    befriend(&app, &hana, &sumi).await;
    import(&app, &[KIT]).await;
    register(&hana, KIT).await.ok();
    let now = app.app.clock.now();
    let tx = app.app.db.begin().await.unwrap();
    let reset = password_reset::ActiveModel { account_id: Set(id), token_hash: Set("x".into()), expires_at: Set(now) };
    password_reset::Entity::insert(reset).exec_without_returning(&*tx).await.unwrap();
    let setting =
        plan::ActiveModel { account_id: Set(id), total_time: Set(60), work_time: Set(25), break_time: Set(5) };
    plan::Entity::insert(setting).exec_without_returning(&*tx).await.unwrap();
    let study = room::ActiveModel {
        name: Set("x".into()),
        search_name: Set("x".into()),
        description: Set("x".into()),
        created_at: Set(now),
        ..Default::default()
    };
    let study = room::Entity::insert(study).exec_with_returning(&*tx).await.unwrap();
    let seat =
        membership::ActiveModel { account_id: Set(id), room_id: Set(study.id), goal: Set(None), entered_at: Set(now) };
    membership::Entity::insert(seat).exec_without_returning(&*tx).await.unwrap();
    let to = solgik::mail::Letter::PasswordChanged { to: hana.email.clone() };
    // A letter that is due only later still holds the e-mail.
    solgik::mail::post(&tx, entity::Millis(now.0 + 3_600_000), &to).await.unwrap();
    tx.commit_quietly().await.unwrap();

    app.delete(&path).await.refused(401, "unauthenticated");
    sumi.delete(&path).await.refused(403, "not_yourself");
    let last = hana.delete(&path).await.ok();
    assert_eq!((&last["email"], &last["birth_date"]), (&json!(hana.email), &json!("2001-02-03")));
    assert_eq!((&last["room"], &last["time_setting"]["work_time"]), (&json!(study.id.0), &json!(25)));
    assert_eq!(last["friends"][0]["id"], json!(sumi.id));

    hana.get("/accounts/").await.refused(401, "session_ended");
    sign_in(&app, &hana.email, PASSWORD).await.refused(400, "wrong_credentials");
    sumi.get(&path).await.refused(404, "account_not_found");
    assert_eq!(sumi.get("/accounts/").await.header("x-total-count"), "1");
    assert_eq!(sumi.get(&format!("/accounts/{}", sumi.id)).await.ok()["friends"], json!([]));
    app.post(&format!("/accounts/find/{KIT}/"), json!({})).await.refused(404, "key_not_found");
    let found = contains(&app, &hana.email).await;
    assert!(found.is_empty(), "{found:?}");
    let db = &*app.app.db;
    assert_eq!(session::Entity::find().filter(session::Column::AccountId.eq(id)).count(db).await.unwrap(), 0);
    assert_eq!(membership::Entity::find_by_id(id).count(db).await.unwrap(), 0);
    assert_eq!(plan::Entity::find_by_id(id).count(db).await.unwrap(), 0);
    let row = account::Entity::find_by_id(id).one(db).await.unwrap().unwrap();
    assert_eq!((row.last_name.as_str(), row.search_name.as_str(), row.birth_date.as_str()), ("", "", ""));
    // The address is free again, and so is the key.
    assert!(certified(&app, KIT).await);
    app.post("/rest-auth/signup/", form(&hana.email)).await.bare(201);
    app.stop().await;
}

/// The tables in which any column of any row has `text` in it.
async fn contains(app: &TestApp, text: &str) -> Vec<&'static str> {
    let tables = [
        "account",
        "session",
        "password_reset",
        "product_key",
        "room",
        "membership",
        "friendship",
        "friend_request",
        "plan",
        "outbox",
    ];
    let db = &*app.app.db;
    let mut found = Vec::new();
    for table in tables {
        let statement = sea_orm::Statement::from_string(db.get_database_backend(), format!("SELECT * FROM {table}"));
        let rows = db.query_all_raw(statement).await.unwrap();
        if rows.iter().any(|row| format!("{row:?}").contains(text)) {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn threat_5_an_email_is_found_by_its_product_key() {
    let app = TestApp::with(&[("limits.exempt_loopback", "false")]).await;
    let hana = app.person("하나").await;
    import(&app, &[KIT, OTHER_KIT]).await;
    register(&hana, KIT).await.ok();
    assert_eq!(app.post(&format!("/accounts/find/{KIT}/"), json!({})).await.ok(), json!({"email": hana.email}));
    letter(&app, &[&hana.email, "looked up"]).await;
    let unknown = app.post("/accounts/find/NO-SUCH-KEY/", json!({})).await.refused(404, "key_not_found");
    let unused = app.post(&format!("/accounts/find/{OTHER_KIT}/"), json!({})).await.refused(404, "key_not_found");
    assert_eq!(unknown["detail"], unused["detail"]);
    for _ in 0..2 {
        app.post("/accounts/find/%FF/", json!({})).await.refused(404, "key_not_found");
        app.post(&format!("/accounts/find/{KIT}"), json!({})).await.ok();
    }
    app.post(&format!("/accounts/find/{KIT}/"), json!({})).await.refused(429, "too_many_requests");
    app.stop().await;
    let careful = TestApp::with(&[("accounts.find_email", "masked")]).await;
    let hana = careful.person("하나").await;
    import(&careful, &[KIT]).await;
    register(&hana, KIT).await.ok();
    let answer = careful.post(&format!("/accounts/find/{KIT}/"), json!({})).await.ok();
    assert_eq!(answer, json!({"email": "p***1@s***.example"}));
    careful.stop().await;
}
