//! Product keys through the door.

use std::time::Duration;

use entity::{AccountId, account, product_key};
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{EntityTrait, sea_query::Expr};
use serde_json::{Value, json};
use solgik::product_keys::{self, ProductKey};

use crate::support::{Door, Person, Reply, TestApp};

/// Keys as devices carry them.
pub const KIT: &str = "KIT1-2300";
pub const OTHER_KIT: &str = "KIT1-2301";

pub async fn import(app: &TestApp, keys: &[&str]) {
    let keys: Vec<_> = keys.iter().map(|key| ProductKey::parse(key).unwrap()).collect();
    product_keys::import(&app.app, &keys).await.unwrap();
}

pub async fn staff(app: &TestApp, first_name: &str) -> Person {
    let person = app.person(first_name).await;
    let tx = app.app.db.begin().await.unwrap();
    let promoted = account::Entity::update_many().col_expr(account::Column::Staff, Expr::value(true));
    promoted.exec(&*tx).await.unwrap();
    tx.commit_quietly().await.unwrap();
    person
}

pub async fn register(door: &Door, key: &str) -> Reply {
    door.post(&format!("/registration/{key}/"), json!({})).await
}

pub async fn certified(door: &Door, key: &str) -> bool {
    let data = door.get(&format!("/certification/{key}/")).await.ok();
    data["success"].as_bool().unwrap()
}

async fn holder(app: &TestApp, key: &str) -> Option<i64> {
    product_keys::holder(&app.app, key).await.unwrap().map(|account| account.0)
}

pub async fn delete(door: &Door, body: Value) -> Reply {
    Reply::to(door.request(Method::DELETE, "/accounts/productkey/").json(&body)).await
}

// 제품키 인증

#[tokio::test]
async fn get_certification() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let sumi = app.person("수미").await;
    register(&sumi, OTHER_KIT).await.ok();
    for (key, success, ko, en) in [
        (KIT, true, "등록할 수 있는 제품 키입니다.", "This product key can be registered."),
        ("kit1-2300", true, "등록할 수 있는 제품 키입니다.", "This product key can be registered."),
        (OTHER_KIT, false, "이미 사용 중인 제품 키입니다.", "This product key is in use already."),
        ("KIT1-9999", false, "해당 제품 키가 없습니다.", "There is no such product key."),
    ] {
        for front in ["/certification", "/accounts/certification"] {
            for end in ["", "/"] {
                let path = format!("{front}/{key}{end}");
                assert_eq!(app.get(&path).await.ok(), json!({"success": success, "msg": ko}), "{path}");
                let english = app.request(Method::GET, &path).header("accept-language", "en");
                assert_eq!(Reply::to(english).await.ok(), json!({"success": success, "msg": en}), "{path}");
            }
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn certification_of_what_is_no_key_is_no_success() {
    let app = TestApp::start().await;
    let too_long = "A".repeat(65);
    for key in
        ["x", &too_long, "KIT1%202300", "%00%00%00%00%00%00%00%00", "%FF%FE%FF%FE%FF%FE%FF%FE", "..%2F..%2F..%2F"]
    {
        assert!(!certified(&app, key).await, "{key}");
    }
    app.stop().await;
}

#[tokio::test]
async fn certification_is_throttled_per_address() {
    let settings = [("limits.exempt_loopback", "false"), ("limits.certification_per_address", "2/60")];
    let app = TestApp::with(&settings).await;
    import(&app, &[KIT]).await;
    assert!(certified(&app, KIT).await);
    assert!(!certified(&app, "nonsense!").await);
    let refused = app.get(&format!("/accounts/certification/{KIT}/")).await;
    refused.refused(429, "too_many_requests");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 50);
    app.app.clock.advance(Duration::from_secs(61));
    assert!(certified(&app, KIT).await);
    app.stop().await;
}

// 제품키 등록

#[tokio::test]
async fn post_registration() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let sumi = app.person("수미").await;
    let answer = register(&sumi, KIT).await;
    assert_eq!(answer.ok(), json!({"registered": true}));
    assert_eq!(answer["msg"], "제품 키를 등록했습니다.");
    assert_eq!(holder(&app, KIT).await, Some(sumi.id));
    assert!(!certified(&app, KIT).await);
    let minho = app.person("민호").await;
    let path = format!("/accounts/registration/{OTHER_KIT}");
    let english = Reply::to(minho.request(Method::POST, &path).header("accept-language", "en")).await;
    assert_eq!(
        (english.ok(), &english["msg"]),
        (json!({"registered": true}), &json!("The product key is registered."))
    );
    app.stop().await;
}

#[tokio::test]
async fn registration_of_a_key_in_use_is_400_also_by_oneself() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    register(&sumi, KIT).await.ok();
    register(&minho, OTHER_KIT).await.ok();
    register(&minho, KIT).await.refused(400, "key_in_use");
    register(&sumi, KIT).await.refused(400, "key_in_use");
    // Whoever is refused keeps what he had.
    assert_eq!(holder(&app, KIT).await, Some(sumi.id));
    assert_eq!(holder(&app, OTHER_KIT).await, Some(minho.id));
    app.stop().await;
}

#[tokio::test]
async fn registration_of_an_unknown_key_is_404() {
    let app = TestApp::start().await;
    import(&app, &[KIT]).await;
    let sumi = app.person("수미").await;
    register(&sumi, KIT).await.ok();
    for key in ["KIT1-9999", "x", "%FF%FF%FF%FF%FF%FF%FF%FF"] {
        register(&sumi, key).await.refused(404, "key_not_found");
    }
    assert_eq!(holder(&app, KIT).await, Some(sumi.id));
    app.stop().await;
}

#[tokio::test]
async fn registration_without_a_token_is_401() {
    let app = TestApp::start().await;
    import(&app, &[KIT]).await;
    let refused = register(&app, KIT).await;
    refused.refused(401, "unauthenticated");
    assert!(!refused.header("www-authenticate").is_empty());
    let bad = app.request(Method::POST, &format!("/registration/{KIT}/")).header("authorization", "JWT nonsense");
    Reply::to(bad).await.refused(401, "token_invalid");
    assert!(certified(&app, KIT).await);
    app.stop().await;
}

#[tokio::test]
async fn registering_another_key_frees_the_old_one() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    register(&sumi, KIT).await.ok();
    register(&sumi, OTHER_KIT).await.ok();
    assert_eq!(holder(&app, OTHER_KIT).await, Some(sumi.id));
    assert!(certified(&app, KIT).await);
    register(&minho, KIT).await.ok();
    assert_eq!(holder(&app, KIT).await, Some(minho.id));
    app.stop().await;
}

#[tokio::test]
async fn threat_6_of_a_hundred_who_race_for_a_key_one_wins() {
    let app = TestApp::start().await;
    import(&app, &[KIT]).await;
    let mut people = Vec::new();
    for _ in 0..100 {
        people.push(app.person("수미").await);
    }
    let answers = join_all(people.iter().map(|person| register(person, KIT))).await;
    let (won, lost): (Vec<_>, Vec<_>) = people.iter().zip(&answers).partition(|(_, answer)| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 99));
    for (_, answer) in lost {
        answer.refused(400, "key_in_use");
    }
    assert_eq!(holder(&app, KIT).await, Some(won[0].0.id));
    app.stop().await;
}

#[tokio::test]
async fn threat_6_whoever_races_for_two_keys_has_one() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let sumi = app.person("수미").await;
    for _ in 0..10 {
        let answers = join_all([KIT, OTHER_KIT].map(|key| register(&sumi, key))).await;
        assert!(answers.iter().all(|answer| [200, 400].contains(&answer.status.as_u16())), "{answers:?}");
        let held = [holder(&app, KIT).await, holder(&app, OTHER_KIT).await];
        assert_eq!(held.iter().flatten().count(), 1, "{held:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_6_two_who_move_to_each_others_keys_do_not_wait_for_each_other() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    register(&sumi, KIT).await.ok();
    register(&minho, OTHER_KIT).await.ok();
    for _ in 0..10 {
        let moves = [(&sumi, OTHER_KIT), (&minho, KIT)];
        for answer in join_all(moves.map(|(person, key)| register(person, key))).await {
            answer.refused(400, "key_in_use");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_released_key_is_free() {
    let app = TestApp::start().await;
    import(&app, &[KIT]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    register(&sumi, KIT).await.ok();
    let tx = app.app.db.begin().await.unwrap();
    product_keys::release_in(&tx, AccountId(minho.id)).await.unwrap();
    product_keys::release_in(&tx, AccountId(sumi.id)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(certified(&app, KIT).await);
    assert_eq!(holder(&app, KIT).await, None);
    app.stop().await;
}

// The operator's routes

#[tokio::test]
async fn productkey_is_for_staff() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (door, status, code) in [(&*app, 401, "unauthenticated"), (&*sumi, 403, "staff_only")] {
        door.get("/accounts/productkey/").await.refused(status, code);
        door.post("/accounts/productkey/", json!({"count": 1})).await.refused(status, code);
        delete(door, json!({"key": KIT})).await.refused(status, code);
    }
    app.stop().await;
}

#[tokio::test]
async fn post_productkey_shows_new_keys_once() {
    let app = TestApp::start().await;
    let staff = staff(&app, "운영").await;
    let answer = staff.post("/accounts/productkey/", json!({"count": 1000})).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let keys = answer.ok()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1000);
    let key = keys[0].as_str().unwrap();
    assert!(certified(&app, key).await);
    assert!(certified(&app, &key.replace('-', "").to_lowercase()).await);
    for (body, code) in [
        (json!({}), "required"),
        (json!({"count": 0}), "out_of_range"),
        (json!({"count": 1001}), "out_of_range"),
        (json!({"count": "many"}), "wrong_type"),
    ] {
        let refused = staff.post("/accounts/productkey/", body).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], "count");
    }
    app.stop().await;
}

#[tokio::test]
async fn get_productkey_lists_everything_but_keys() {
    let app = TestApp::start().await;
    let staff = staff(&app, "운영").await;
    import(&app, &[KIT, OTHER_KIT]).await;
    register(&staff, OTHER_KIT).await.ok();
    let page = staff.get("/accounts/productkey/?_limit=1&_page=2").await;
    assert_eq!(page.header("x-total-count"), "2");
    assert_eq!(page["page"], json!({"number": 2, "size": 1, "total": 2}));
    let row = &page.ok()[0];
    assert_eq!((&row["in_use"], &row["account"]), (&json!(true), &json!(staff.id)));
    assert!(row["registered_at"].as_str().unwrap().ends_with('Z'));
    let all = staff.get("/accounts/productkey/").await;
    let first = &all.ok()[0];
    assert_eq!(first["in_use"], false);
    assert_eq!((&first["account"], &first["registered_at"]), (&Value::Null, &Value::Null));
    assert!(first["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(!all.body.to_string().contains("KIT1"));
    staff.get("/accounts/productkey/?_page=0").await.refused(400, "out_of_range");
    app.stop().await;
}

#[tokio::test]
async fn delete_productkey_revokes() {
    let app = TestApp::start().await;
    let staff = staff(&app, "운영").await;
    import(&app, &[KIT]).await;
    register(&staff, KIT).await.ok();
    assert_eq!(delete(&staff, json!({"key": KIT})).await.ok()["account"], staff.id);
    assert_eq!(holder(&app, KIT).await, None);
    register(&staff, KIT).await.refused(404, "key_not_found");
    for key in [KIT, "x"] {
        delete(&staff, json!({"key": key})).await.refused(404, "key_not_found");
    }
    let refused = delete(&staff, json!({})).await.refused(400, "required");
    assert_eq!(refused["errors"][0]["field"], "key");
    app.stop().await;
}

// Secrecy

#[tokio::test]
async fn a_key_is_stored_as_a_digest_only() {
    let app = TestApp::start().await;
    import(&app, &["CANARY-KEY-1"]).await;
    let row = product_key::Entity::find().one(&*app.app.db).await.unwrap().unwrap();
    assert_eq!(row.key_hash, app.app.auth.digest("product-key", "CANARY-KEY-1"));
    assert!(!format!("{row:?}").contains("CANARY"));
    app.stop().await;
}
