//! The operator's commands on accounts, beside a running server.

use entity::{AccountId, account, membership};
use sea_orm::EntityTrait;
use serde_json::json;

use crate::{
    cli_keys::{solgik, text},
    support::{PASSWORD, TestApp},
};

async fn sign_in(app: &TestApp, email: &str, password: &str) -> u16 {
    let reply = app.post("/rest-auth/login/", json!({"email": email, "password": password})).await;
    reply.status.as_u16()
}

async fn is_staff(app: &TestApp, email: &str) -> bool {
    let rows = account::Entity::find().all(&*app.app.db).await.unwrap();
    rows.into_iter().find(|row| row.email.as_deref() == Some(email)).unwrap().staff
}

const CREATE: [&str; 7] = ["user", "create", "root@example.com", "--last-name", "박", "--first-name", "지기"];

#[tokio::test]
async fn user_create_takes_a_password_or_makes_one() {
    let app = TestApp::start().await;
    let output = solgik(&app, &[CREATE.as_slice(), &["--staff"]].concat(), &format!("{PASSWORD}\n")).await;
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(sign_in(&app, "root@example.com", PASSWORD).await, 200);
    assert!(is_staff(&app, "root@example.com").await);

    let mut create = CREATE;
    create[2] = "second@example.com";
    let output = solgik(&app, &create, "").await;
    assert_eq!(sign_in(&app, "second@example.com", text(&output.stdout).trim()).await, 200);
    assert!(!is_staff(&app, "second@example.com").await);

    let taken = solgik(&app, &CREATE, "").await;
    assert!(!taken.status.success() && text(&taken.stderr).contains("in use already"), "{taken:?}");
    create[2] = "third@example.com";
    let weak = solgik(&app, &create, "password123").await;
    assert!(!weak.status.success() && text(&weak.stderr).contains("too common"), "{weak:?}");
    app.stop().await;
}

#[tokio::test]
async fn user_staff_is_switched_on_and_off() {
    let app = TestApp::start().await;
    let hana = app.person("하나").await;
    for (switch, staff) in [("--on", true), ("--off", false)] {
        let output = solgik(&app, &["user", "staff", &hana.email, switch], "").await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(is_staff(&app, &hana.email).await, staff);
    }
    assert!(!solgik(&app, &["user", "staff", &hana.email], "").await.status.success());
    let unknown = solgik(&app, &["user", "staff", "nobody@example.com", "--on"], "").await;
    assert!(text(&unknown.stderr).contains("nobody@example.com"), "{unknown:?}");
    app.stop().await;
}

#[tokio::test]
async fn user_reset_password_prints_a_link_that_works() {
    let app = TestApp::start().await;
    let hana = app.person("하나").await;
    let output = solgik(&app, &["user", "reset-password", &hana.email], "").await;
    let link = text(&output.stdout).trim();
    let token = link.split("token=").nth(1).unwrap();
    assert!(link.contains(&format!("uid={}&", hana.id)), "{link}");
    let new = "eight tall birches";
    let body = json!({"uid": hana.id.to_string(), "token": token, "new_password1": new, "new_password2": new});
    app.post("/rest-auth/password/reset/confirm/", body).await.bare(200);
    assert_eq!(sign_in(&app, &hana.email, new).await, 200);
    app.stop().await;
}

#[tokio::test]
async fn user_delete_deletes_like_the_owner() {
    let app = TestApp::start().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let output = solgik(&app, &["user", "delete", &hana.email], "").await;
    assert!(output.status.success(), "{output:?}");
    sumi.get(&format!("/accounts/{}/", hana.id)).await.refused(404, "account_not_found");
    assert_eq!(sign_in(&app, &hana.email, PASSWORD).await, 400);
    app.stop().await;
}

#[tokio::test]
async fn user_seed_seats_people_in_rooms_in_order() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // More than fits into one statement, and a second time over.
    for (users, round) in [("1201", 0), ("7", 1)] {
        let (tokens, rooms) = (file("tokens"), file("rooms"));
        let arguments = ["user", "seed", users, "--rooms", "5", "--tokens", &tokens, "--rooms-file", &rooms];
        let output = solgik(&app, &arguments, "").await;
        assert!(output.status.success(), "{output:?}");
        let read = |path: &str| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let (tokens, rooms) = (read(&tokens), read(&rooms));
        assert_eq!((tokens.len().to_string().as_str(), rooms.len()), (users, 5));
        for index in [0, 1, 6, tokens.len() - 1] {
            let caller = app.app.auth.check(&tokens[index]).await.unwrap();
            let db = &*app.app.db;
            let row = account::Entity::find_by_id(caller.account).one(db).await.unwrap().unwrap();
            assert_eq!(row.email.unwrap(), format!("load-{}@load.invalid", index + round * 1201));
            let seat = membership::Entity::find_by_id(caller.account).one(db).await.unwrap().unwrap();
            assert_eq!(seat.room_id.to_string(), rooms[index % 5]);
        }
    }
    let output = solgik(&app, &["user", "seed", "1"], "").await;
    let password = text(&output.stdout).trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(sign_in(&app, "load-1208@load.invalid", &password).await, 200);
    assert!(membership::Entity::find_by_id(AccountId(1209)).one(&*app.app.db).await.unwrap().is_none());
    app.stop().await;
}
