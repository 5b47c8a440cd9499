//! Rooms through the door: the list, making one, and looking in. Taking a seat is in `seats.rs`.

use std::time::Duration;

use entity::{RoomId, room};
use reqwest::Method;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use solgik::tally;

use crate::support::{Person, Reply, TestApp};

/// A room made by `person`, who sits in it.
pub async fn make(person: &Person, body: Value) -> i64 {
    person.post("/rooms/", body).await.ok()["id"].as_i64().unwrap()
}

pub fn path(room: i64) -> String {
    format!("/rooms/{room}/")
}

/// Ids of rows, in their order.
pub fn ids(rows: &Value) -> Vec<i64> {
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// The names of an object's fields, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut fields: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

/// Rooms with these names, each with somebody of its own in it.
async fn rooms(app: &TestApp, names: &[&str]) -> Vec<i64> {
    let mut rooms = Vec::new();
    for name in names {
        rooms.push(make(&app.person("방장").await, json!({"name": name})).await);
    }
    rooms
}

/// What stands in a link of that relation.
fn link(reply: &Reply, rel: &str) -> Option<String> {
    let mut links = reply.header("link").split(", ");
    let found = links.find_map(|link| link.strip_suffix(&format!(">; rel=\"{rel}\"")))?;
    Some(found.trim_start_matches('<').to_owned())
}

// 방 리스트

#[tokio::test]
async fn get_rooms_lists_the_newest_first() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let first = make(&sumi, json!({"name": "새벽반", "description": "여섯 시"})).await;
    let second = make(&minho, json!({"name": "야간반", "password": "열려라 참깨"})).await;
    for path in ["/rooms", "/rooms/", "/rooms/?", "/rooms?keyword="] {
        let rows = sumi.get(path).await.ok();
        assert_eq!(ids(&rows), [second, first], "{path}");
        for (row, name, description, has_password) in
            [(&rows[0], "야간반", "", true), (&rows[1], "새벽반", "여섯 시", false)]
        {
            assert!(row["created_at"].as_str().unwrap().ends_with('Z'), "{row}");
            let expected = json!({
                "id": row["id"], "name": name, "description": description, "has_password": has_password,
                "member_num": 1, "online_num": 0, "created_at": row["created_at"],
            });
            assert_eq!(*row, expected);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_without_any_is_an_empty_list() {
    let app = TestApp::start().await;
    let reply = app.person("수미").await.get("/rooms/").await;
    assert_eq!((reply.ok(), reply.header("x-total-count")), (json!([]), "0"));
    assert_eq!(reply["page"], json!({"number": 1, "size": 6, "total": 0}));
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_comes_in_pages_of_six() {
    let app = TestApp::start().await;
    let mut all = rooms(&app, &["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    all.reverse();
    let sumi = app.person("수미").await;
    let first = sumi.get("/rooms/").await;
    assert_eq!(ids(&first.ok()), all[..6]);
    assert_eq!(first.header("x-total-count"), "8");
    assert_eq!(first["page"], json!({"number": 1, "size": 6, "total": 8}));
    assert_eq!((link(&first, "prev"), link(&first, "first")), (None, Some("/rooms?_page=1&_limit=6".to_owned())));
    assert_eq!(link(&first, "last"), link(&first, "next"));

    let second = sumi.get(&link(&first, "next").unwrap()).await;
    assert_eq!(ids(&second.ok()), all[6..]);
    assert_eq!(second["page"], json!({"number": 2, "size": 6, "total": 8}));
    assert_eq!((link(&second, "next"), link(&second, "prev")), (None, link(&first, "first")));

    assert_eq!(ids(&sumi.get("/rooms/?_page=2&_limit=3").await.ok()), all[3..6]);
    assert_eq!(ids(&sumi.get("/rooms/?_limit=100").await.ok()), all);
    for past_the_end in ["_page=3", "_page=9&_limit=1", "_page=1000000", "_page=92233720368547758&_limit=100"] {
        let reply = sumi.get(&format!("/rooms/?{past_the_end}")).await;
        assert_eq!((reply.ok(), reply.header("x-total-count")), (json!([]), "8"), "{past_the_end}");
    }
    app.stop().await;
}

/// An empty room with an id that lies far from the others'.
async fn far_away(app: &TestApp, id: i64) {
    let row = room::ActiveModel {
        id: Set(RoomId(id)),
        name: Set(format!("먼 방 {id}")),
        search_name: Set(format!("먼 방 {id}")),
        description: Set(String::new()),
        created_at: Set(app.app.clock.now()),
        ..Default::default()
    };
    let tx = app.app.db.begin().await.unwrap();
    let row = room::Entity::insert(row).exec_with_returning(&*tx).await.unwrap();
    solgik::rooms::open(&tx, std::slice::from_ref(&row)).await.unwrap();
    tx.commit_quietly().await.unwrap();
}

#[tokio::test]
async fn get_rooms_whose_ids_lie_far_apart_come_whole_page_by_page() {
    let app = TestApp::start().await;
    let near = rooms(&app, &["1", "2"]).await;
    for id in [1023, 1024, 1025, 4096, 9_000_000, 9_000_001] {
        far_away(&app, id).await;
    }
    let sumi = app.person("수미").await;
    for closed in [1025, 9_000_000] {
        sumi.post(&path(closed), json!({})).await.ok();
        sumi.delete(&path(closed)).await.ok();
    }
    let all = [9_000_001, 4096, 1024, 1023, near[1], near[0]];
    for folded in [false, true] {
        for limit in [1, 2, 4, 100] {
            let mut seen = Vec::new();
            for page in 1..=8 {
                let list = sumi.get(&format!("/rooms/?_limit={limit}&_page={page}")).await;
                assert_eq!(list.header("x-total-count"), "6");
                seen.extend(ids(&list.ok()));
            }
            assert_eq!(seen, all, "{limit} a page, folded: {folded}");
        }
        tally::fold(&app.app.db).await.unwrap();
    }
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_with_a_page_that_is_none_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (field, value) in [
        ("_page", "0"),
        ("_page", "abc"),
        ("_page", "-1"),
        ("_page", "1.5"),
        ("_page", ""),
        ("_page", "92233720368547759"),
        ("_page", "99999999999999999999"),
        ("_limit", "0"),
        ("_limit", "101"),
        ("_limit", "many"),
    ] {
        let refused = sumi.get(&format!("/rooms/?{field}={value}")).await.refused(400, "out_of_range");
        assert_eq!(refused["errors"][0]["field"], field, "{value}");
        assert!(refused[field].is_array(), "{refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_with_a_keyword_finds_it_in_the_name() {
    let app = TestApp::start().await;
    let made = rooms(&app, &["100% 집중", "100점 만점", "snake_case", "snakeXcase", r"back\slash", "김수미 방"]).await;
    let [percent, points, snake, other_snake, backslash, hangul] = made[..] else { panic!() };
    let composed =
        make(&app.person("하나").await, json!({"name": "\u{1100}\u{1175}\u{11b7} 모임", "description": "수미"})).await;
    let sumi = app.person("수미").await;
    for (keyword, expected) in [
        ("100", vec![points, percent]),
        ("100%25", vec![percent]),
        ("%25", vec![percent]),
        ("_", vec![snake]),
        ("e_c", vec![snake]),
        ("SNAKE", vec![other_snake, snake]),
        ("%5C", vec![backslash]),
        ("%5C%25", vec![]),
        // 김, composed and decomposed; the name of the newer room was sent decomposed.
        ("%EA%B9%80", vec![composed, hangul]),
        ("%E1%84%80%E1%85%B5%E1%86%B7", vec![composed, hangul]),
        ("%27%EA%B9%80%EC%88%98%EB%AF%B8%27", vec![hangul]),
        ("%22%EA%B9%80%EC%88%98%EB%AF%B8%22", vec![hangul]),
        ("'%EA%B9%80%EC%88%98%EB%AF%B8'", vec![hangul]),
        // Quotes alone, and what would end a string in SQL.
        ("''", vec![composed, hangul, backslash, other_snake, snake, points, percent]),
        ("'", vec![]),
        ("%27%20OR%20%271%27=%271", vec![]),
        ("+%EA%B9%80%EC%88%98%EB%AF%B8+", vec![hangul]),
        ("nothing", vec![]),
    ] {
        let reply = sumi.get(&format!("/rooms/?keyword={keyword}&_limit=10")).await;
        assert_eq!(ids(&reply.ok()), expected, "{keyword}");
        assert_eq!(reply["page"]["total"], expected.len(), "{keyword}");
    }
    let reply = sumi.get("/rooms/?keyword=%EA%B9%80&_limit=1").await;
    assert_eq!(link(&reply, "next").unwrap(), "/rooms?keyword=%EA%B9%80&_page=2&_limit=1");
    assert_eq!(ids(&sumi.get(&link(&reply, "next").unwrap()).await.ok()), [hangul]);
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_with_a_keyword_that_no_name_can_have_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (keyword, code) in [
        ("%00".to_owned(), "invalid_characters"),
        ("a%E2%80%AEb".to_owned(), "invalid_characters"),
        ("a".repeat(101), "too_long"),
        ("a".repeat(60_000), "too_long"),
    ] {
        let refused = sumi.get(&format!("/rooms/?keyword={keyword}")).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], "keyword");
    }
    sumi.get("/rooms/?keyword=%FF").await.ok();
    assert_eq!(sumi.get(&format!("/rooms/?keyword={}", "%EA%B9%80".repeat(100))).await.ok(), json!([]));
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_counts_who_sits_there_and_who_is_online() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    minho.post(&path(room), json!({})).await.ok();
    let counts = async || {
        let row = hana.get("/rooms/").await.ok()[0].clone();
        (row["member_num"].as_u64().unwrap(), row["online_num"].as_u64().unwrap())
    };
    assert_eq!(counts().await, (2, 0));
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    assert_eq!(counts().await, (2, 1));
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    let second_device = minho.connect().await;
    assert_eq!(counts().await, (2, 2));
    second_device.close().await;
    minho_socket.close().await;
    app.app.clock.advance(Duration::from_secs(16));
    assert_eq!(sumi_socket.expect("presence.offline").await["d"]["user"], minho.id);
    assert_eq!(counts().await, (2, 1));
    minho.delete(&path(room)).await.ok();
    assert_eq!(counts().await, (1, 1));
    app.stop().await;
}

#[tokio::test]
async fn rooms_without_a_token_are_401() {
    let app = TestApp::start().await;
    let room = make(&app.person("수미").await, json!({"name": "새벽반"})).await;
    let one = path(room);
    for (method, path) in [
        (Method::GET, "/rooms/"),
        (Method::POST, "/rooms"),
        (Method::GET, "/rooms/check/"),
        (Method::GET, &one),
        (Method::POST, &one),
        (Method::DELETE, &one),
        // Whoever may not ask learns nothing from the answer.
        (Method::GET, "/rooms/999999/"),
        (Method::GET, "/rooms/abc/"),
        (Method::GET, "/rooms/?_page=0"),
    ] {
        for authorization in [None, Some("JWT nonsense")] {
            let mut request = app.request(method.clone(), path);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let reply = Reply::to(request).await;
            reply.refused(401, authorization.map_or("unauthenticated", |_| "token_invalid"));
            assert!(!reply.header("www-authenticate").is_empty(), "{method} {path}");
        }
    }
    app.stop().await;
}

// 방 생성

#[tokio::test]
async fn post_rooms_makes_a_room_and_seats_its_maker() {
    let app = TestApp::start().await;
    for end in ["", "/"] {
        let sumi = app.person("수미").await;
        let body = json!({"name": "  새벽반 ", "description": " 여섯 시에\n만나요 "});
        let room = sumi.post(&format!("/rooms{end}"), body).await.ok();
        let member = json!({
            "id": sumi.id, "last_name": "김", "first_name": "수미", "name": "김수미", "email": sumi.email, "image": null,
            "current_state": 1, "online": false, "since": null, "timer": null,
        });
        let expected = json!({
            "id": room["id"], "name": "새벽반", "description": "여섯 시에\n만나요", "has_password": false,
            "member_num": 1, "online_num": 0, "created_at": room["created_at"], "members": [member],
        });
        assert_eq!(room, expected);
        assert_eq!(sumi.get(&path(room["id"].as_i64().unwrap())).await.ok(), expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_as_a_form() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let form = |fields: &'static [(&str, &str)]| fields;
    let request =
        sumi.request(Method::POST, "/rooms/").form(form(&[("name", "새벽 반"), ("description", ""), ("password", "")]));
    let room = Reply::to(request).await.ok();
    assert_eq!((&room["name"], &room["description"]), (&json!("새벽 반"), &json!("")));
    assert_eq!(room["has_password"], false);
    let room = path(room["id"].as_i64().unwrap());
    let entered = Reply::to(minho.request(Method::POST, &room).form(form(&[("action", "enter")]))).await.ok();
    assert_eq!(ids(&entered["members"]), [sumi.id, minho.id]);
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_without_a_password_makes_an_open_room() {
    let app = TestApp::start().await;
    for (password, has_password) in
        [(json!(""), false), (Value::Null, false), (json!("x"), true), (json!("ㄱ".repeat(128)), true)]
    {
        let body = json!({"name": "방", "password": password, "description": null});
        let room = app.person("수미").await.post("/rooms/", body).await.ok();
        assert_eq!(room["has_password"], has_password, "{password}");
        assert_eq!(room["description"], "");
    }
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_with_a_bad_field_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (field, value, code) in [
        ("name", json!(null), "required"),
        ("name", json!(""), "required"),
        ("name", json!(" \t "), "required"),
        ("name", json!(7), "wrong_type"),
        ("name", json!("방".repeat(101)), "too_long"),
        ("name", json!("a\u{0}b"), "invalid_characters"),
        ("name", json!("a\r\nSet-Cookie: b"), "invalid_characters"),
        ("name", json!("a\nb"), "invalid_characters"),
        ("name", json!("a\u{202e}b"), "invalid_characters"),
        ("name", json!("a\u{2067}b"), "invalid_characters"),
        ("description", json!("설".repeat(301)), "too_long"),
        ("description", json!({}), "wrong_type"),
        ("description", json!("a\u{0}b"), "invalid_characters"),
        ("description", json!("a\u{202d}b"), "invalid_characters"),
        ("password", json!(1234), "wrong_type"),
        ("password", json!("x".repeat(129)), "too_long"),
    ] {
        let mut body = json!({"name": "새벽반", "description": "", "password": ""});
        body[field] = value.clone();
        let refused = sumi.post("/rooms/", body).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], field, "{value}");
        assert!(refused[field][0].is_string(), "{refused}");
    }
    let refused = sumi.post("/rooms/", json!({"description": 7, "password": 7})).await.refused(400, "invalid_input");
    let named: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(named, ["name", "description", "password"]);
    assert_eq!(sumi.get("/rooms/").await.ok(), json!([]));
    let bounds = json!({"name": "방".repeat(100), "description": "설".repeat(300)});
    assert_eq!(sumi.post("/rooms/", bounds.clone()).await.ok()["description"], bounds["description"]);
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_with_a_body_that_is_none_of_ours_is_refused() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (media_type, body, status, code) in [
        ("application/json", "{\"name\":", 400, "malformed_body"),
        ("application/json", "[\"name\"]", 400, "malformed_body"),
        ("application/json", "", 400, "required"),
        ("application/json", "null", 400, "required"),
        ("application/x-www-form-urlencoded", "name=%FF", 400, "malformed_body"),
        ("text/plain", "name=x", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", "--x--", 415, "unsupported_media_type"),
    ] {
        let request = sumi.request(Method::POST, "/rooms/").header("content-type", media_type).body(body);
        Reply::to(request).await.refused(status, code);
    }
    sumi.post("/rooms/", json!({"name": "x".repeat(5000)})).await.refused(413, "body_too_large");
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_when_in_a_room_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    let refused = sumi.post("/rooms/", json!({"name": "야간반"})).await.refused(400, "already_in_room");
    assert_eq!(refused["params"]["room"], room);
    assert_eq!(refused["detail"], format!("이미 {room}번 방에 들어가 있습니다."));
    assert_eq!(ids(&sumi.get("/rooms/").await.ok()), [room]);
    app.stop().await;
}

#[tokio::test]
async fn threat_17_a_room_takes_no_field_that_is_not_asked_for() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    let body = json!({
        "name": "야간반", "id": room, "member_num": 100, "online_num": 100, "has_password": true, "members": [],
        "created_at": "2000-01-01T00:00:00Z", "closed_at": 1, "password_hash": "x", "search_name": "x", "maker": sumi.id,
    });
    let made = minho.post("/rooms/", body).await.ok();
    assert_ne!(made["id"], room);
    assert_eq!((&made["member_num"], &made["online_num"]), (&json!(1), &json!(0)));
    assert_eq!((&made["has_password"], ids(&made["members"])), (&json!(false), vec![minho.id]));
    assert!(!made["created_at"].as_str().unwrap().starts_with("2000"));
    assert_eq!(
        fields(&made),
        ["created_at", "description", "has_password", "id", "member_num", "members", "name", "online_num",]
    );
    app.stop().await;
}

// 방 상세 조회

#[tokio::test]
async fn get_rooms_id() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    minho.post(&path(room), json!({})).await.ok();
    minho.post(&format!("/accounts/friend/{}/", hana.id), json!({})).await.ok();
    hana.post(&format!("/accounts/friend/{}/accept/", minho.id), json!({})).await.ok();
    for path in [path(room), format!("/rooms/{room}")] {
        let seen = hana.get(&path).await.ok();
        assert_eq!((&seen["id"], &seen["member_num"]), (&json!(room), &json!(2)));
        assert_eq!(ids(&seen["members"]), [sumi.id, minho.id]);
        // A stranger's e-mail is masked, a friend's whole.
        assert_eq!(seen["members"][0]["email"], "p***1@s***.example");
        assert_eq!(seen["members"][1]["email"], minho.email);
    }
    let own = sumi.get(&path(room)).await.ok();
    assert_eq!(
        (&own["members"][0]["email"], &own["members"][1]["email"]),
        (&json!(sumi.email), &json!("p***2@s***.example"))
    );
    assert_eq!(
        fields(&own["members"][1]),
        ["current_state", "email", "first_name", "id", "image", "last_name", "name", "online", "since", "timer",]
    );
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_id_shows_who_is_online_and_since_when() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    minho.post(&path(room), json!({})).await.ok();
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    let seen = minho.get(&path(room)).await.ok();
    assert_eq!((&seen["online_num"], &seen["members"][0]["online"]), (&json!(1), &json!(true)));
    let online_since = seen["members"][0]["since"].as_str().unwrap().to_owned();
    assert_eq!((&seen["members"][1]["online"], &seen["members"][1]["since"]), (&json!(false), &Value::Null));
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    sumi_socket.close().await;
    // Within the grace nobody is gone yet.
    assert_eq!(minho.get(&path(room)).await.ok()["members"][0]["online"], true);
    app.app.clock.advance(Duration::from_secs(16));
    minho_socket.expect("presence.offline").await;
    let seen = minho.get(&path(room)).await.ok();
    assert_eq!((&seen["online_num"], &seen["members"][0]["online"]), (&json!(1), &json!(false)));
    assert!(seen["members"][0]["since"].as_str().unwrap() >= online_since.as_str());
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_id_with_a_password_hides_the_members_from_outsiders() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반", "password": "열려라 참깨"})).await;
    let seen = minho.get(&path(room)).await.ok();
    assert_eq!((&seen["has_password"], &seen["member_num"]), (&json!(true), &json!(1)));
    assert_eq!(seen.get("members"), None);
    assert_eq!(ids(&sumi.get(&path(room)).await.ok()["members"]), [sumi.id]);
    // To leave where one does not sit changes nothing, and shows nothing.
    let left = minho.post(&path(room), json!({"action": "leave"})).await.ok();
    assert_eq!(left.get("members"), None);
    minho.post(&path(room), json!({"password": "열려라 참깨"})).await.ok();
    assert_eq!(ids(&minho.get(&path(room)).await.ok()["members"]), [sumi.id, minho.id]);
    minho.delete(&path(room)).await.ok();
    assert_eq!(minho.get(&path(room)).await.ok().get("members"), None);
    app.stop().await;
}

#[tokio::test]
async fn rooms_id_of_no_room_is_404() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let closed = make(&sumi, json!({"name": "새벽반"})).await;
    sumi.delete(&path(closed)).await.ok();
    let closed = closed.to_string();
    let own = make(&minho, json!({"name": "야간반"})).await;
    for id in [
        closed.as_str(),
        "999999",
        "0",
        "-1",
        "+1",
        "1.0",
        "abc",
        "%EB%B0%A9",
        "%FF",
        "1%00",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999",
    ] {
        // Somebody who sits nowhere, and somebody who sits elsewhere.
        for person in [&sumi, &minho] {
            for path in [format!("/rooms/{id}"), format!("/rooms/{id}/")] {
                person.get(&path).await.refused(404, "room_not_found");
                person.post(&path, json!({})).await.refused(404, "room_not_found");
                person.post(&path, json!({"action": "enter"})).await.refused(404, "room_not_found");
                person.delete(&path).await.refused(404, "room_not_found");
            }
        }
    }
    assert_eq!(sumi.get("/rooms/check/").await.ok(), Value::Null);
    assert_eq!(minho.get("/rooms/check/").await.ok()["id"], own);
    app.stop().await;
}
