//! Friends through the door: asking, answering, parting, and who is one.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    rooms::fields,
    support::{Person, Reply, TestApp},
};

const FRIENDS: &str = "/accounts/friend/";
const REQUESTS: &str = "/accounts/friend/request/";
const SENT: &str = "/accounts/friend/request/send/";

fn path(other: &Person) -> String {
    format!("/accounts/friend/{}/", other.id)
}

async fn accept(person: &Person, sender: &Person) -> Reply {
    person.post(&format!("{}accept/", path(sender)), json!({})).await
}

async fn reject(person: &Person, sender: &Person) -> Reply {
    person.post(&format!("{}reject/", path(sender)), json!({})).await
}

async fn befriend(one: &Person, other: &Person) {
    assert_eq!(one.post(&path(other), json!({})).await.ok(), json!({"status": "ADD"}));
    assert_eq!(accept(other, one).await.ok(), json!({"status": "ACCEPT"}));
}

async fn friends(person: &Person) -> Vec<i64> {
    crate::rooms::ids(&person.get(FRIENDS).await.ok()["friends"])
}

/// Whose requests wait for `person`, and for whose answers `person` waits.
async fn waiting(person: &Person) -> (Vec<i64>, Vec<i64>) {
    let ids = async |path: &str, role: &str| {
        let rows = person.get(path).await.ok();
        rows.as_array().unwrap().iter().map(|row| row[role]["id"].as_i64().unwrap()).collect()
    };
    (ids(REQUESTS, "sender").await, ids(SENT, "receiver").await)
}

/// As a stranger sees `person`.
fn stranger(person: &Person, email: &str) -> Value {
    json!({
        "id": person.id, "last_name": "김", "first_name": person.first_name, "name": format!("김{}", person.first_name),
        "email": email, "image": null, "current_state": 1,
    })
}

// 친구 리스트 조회

#[tokio::test]
async fn get_friend_lists_friends() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    assert_eq!(sumi.get(FRIENDS).await.ok(), json!({"friends": []}));
    befriend(&sumi, &minho).await;
    befriend(&hana, &sumi).await;
    for path in [FRIENDS, "/accounts/friend"] {
        let data = sumi.get(path).await.ok();
        assert_eq!(fields(&data), ["friends"]);
        let mut rows = data["friends"].as_array().unwrap().clone();
        rows.sort_by_key(|row| row["id"].as_i64());
        // A friend's e-mail is whole.
        let expected = [&minho, &hana].map(|friend| {
            let mut row = stranger(friend, &friend.email);
            row["online"] = json!(false);
            row["since"] = Value::Null;
            row
        });
        assert_eq!(rows, expected);
    }
    assert_eq!((friends(&minho).await, friends(&hana).await), (vec![sumi.id], vec![sumi.id]));
    app.stop().await;
}

#[tokio::test]
async fn get_friend_shows_who_is_online_and_since_when() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    befriend(&sumi, &minho).await;
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    assert_eq!(sumi_socket.expect("friend.online").await["d"]["user"], minho.id);
    let row = sumi.get(FRIENDS).await.ok()["friends"][0].clone();
    assert_eq!(row["online"], true);
    let online_since = row["since"].as_str().unwrap().to_owned();
    minho_socket.close().await;
    // Within the grace nobody is gone yet.
    assert_eq!(sumi.get(FRIENDS).await.ok()["friends"][0]["online"], true);
    app.app.clock.advance(Duration::from_secs(16));
    assert_eq!(sumi_socket.expect("friend.offline").await["d"]["user"], minho.id);
    let row = sumi.get(FRIENDS).await.ok()["friends"][0].clone();
    assert_eq!(row["online"], false);
    assert!(row["since"].as_str().unwrap() >= online_since.as_str());
    app.stop().await;
}

// 친구요청 리스트 조회

#[tokio::test]
async fn get_friend_request_lists_requests() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    minho.post(&path(&sumi), json!({})).await.ok();
    for path in
        [REQUESTS, "/accounts/friend/request", "/accounts/friend/request/receive", "/accounts/friend/request/receive/"]
    {
        let reply = sumi.get(path).await;
        let row = &reply.ok()[0];
        assert_eq!(*row, json!({"sender": stranger(&minho, "p***2@s***.example"), "created_at": row["created_at"]}));
        assert!(row["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!((reply.header("x-total-count"), &reply["page"]["total"]), ("1", &json!(1)), "{path}");
        assert_eq!(minho.get(path).await.ok(), json!([]));
    }
    for path in [SENT, "/accounts/friend/request/send"] {
        let row = minho.get(path).await.ok()[0].clone();
        assert_eq!(row, json!({"receiver": stranger(&sumi, "p***1@s***.example"), "created_at": row["created_at"]}));
        assert_eq!(sumi.get(path).await.ok(), json!([]));
    }
    app.stop().await;
}

#[tokio::test]
async fn get_friend_request_comes_in_pages_of_twenty() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut others = Vec::new();
    for number in 0..23 {
        others.push(app.person(&format!("친구{number}")).await);
    }
    // At once, so that many of them have the same instant.
    futures_util::future::join_all(others.iter().map(async |other| {
        other.post(&path(&sumi), json!({})).await.ok();
    }))
    .await;
    let hana = app.person("하나").await;
    futures_util::future::join_all(others.iter().map(async |other| {
        hana.post(&path(other), json!({})).await.ok();
    }))
    .await;
    let expected: Vec<_> = others.iter().map(|other| other.id).collect();
    for (person, list, role) in [(&sumi, REQUESTS, "sender"), (&hana, SENT, "receiver")] {
        let first = person.get(list).await;
        assert_eq!(first.ok().as_array().unwrap().len(), 20);
        assert_eq!(first["page"], json!({"number": 1, "size": 20, "total": 23}));
        assert!(first.header("link").contains("_page=2&_limit=20>; rel=\"next\""));
        let mut seen = Vec::new();
        let mut instants = Vec::new();
        for page in 1..=5 {
            for row in person.get(&format!("{list}?_limit=5&_page={page}")).await.ok().as_array().unwrap() {
                seen.push(row[role]["id"].as_i64().unwrap());
                instants.push(row["created_at"].as_str().unwrap().to_owned());
            }
        }
        assert!(instants.is_sorted_by(|newer, older| newer >= older), "{instants:?}");
        seen.sort_unstable();
        assert_eq!(seen, expected, "every request is on one page");
        assert_eq!(person.get(&format!("{list}?_page=3")).await.ok(), json!([]));
        for page in ["0", "-1", "abc"] {
            person.get(&format!("{list}?_page={page}")).await.refused(400, "out_of_range");
        }
    }
    app.stop().await;
}

// 친구 요청/취소

#[tokio::test]
async fn post_friend_asks_and_takes_it_back() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    for path in [path(&minho), format!("/accounts/friend/{}", minho.id)] {
        assert_eq!(Reply::to(sumi.request(Method::POST, &path)).await.ok(), json!({"status": "ADD"}));
        assert_eq!(waiting(&minho).await, (vec![sumi.id], vec![]));
        assert_eq!(waiting(&sumi).await, (vec![], vec![minho.id]));
        assert_eq!(sumi.post(&path, Value::Null).await.ok(), json!({"status": "DELETE"}));
        assert_eq!((waiting(&minho).await, waiting(&sumi).await), Default::default());
        assert_eq!(minho_socket.expect("friend.requested").await["d"]["user"], sumi.id);
        assert_eq!(minho_socket.expect("friend.cancelled").await["d"]["user"], sumi.id);
    }
    assert_eq!(friends(&sumi).await, Vec::<i64>::new());
    app.stop().await;
}

#[tokio::test]
async fn post_friend_with_a_flag_does_it_once() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    for _ in 0..2 {
        assert_eq!(sumi.post(&path(&minho), json!({"flag": true})).await.ok(), json!({"status": "ADD"}));
        assert_eq!(waiting(&minho).await.0, [sumi.id]);
    }
    for _ in 0..2 {
        assert_eq!(sumi.post(&path(&minho), json!({"flag": false})).await.ok(), json!({"status": "DELETE"}));
        assert_eq!(waiting(&minho).await.0, Vec::<i64>::new());
    }
    minho_socket.expect("friend.requested").await;
    minho_socket.expect("friend.cancelled").await;
    minho_socket.expect_silence().await;
    for flag in ["true", "1"] {
        let form = sumi.request(Method::POST, &path(&minho)).form(&[("flag", flag)]);
        assert_eq!(Reply::to(form).await.ok(), json!({"status": "ADD"}));
    }
    // Taking back what one has not asked leaves the other's question alone.
    assert_eq!(minho.post(&path(&sumi), json!({"flag": false})).await.ok(), json!({"status": "DELETE"}));
    assert_eq!(waiting(&minho).await.0, [sumi.id]);
    for flag in [json!("maybe"), json!(1), json!([])] {
        let refused = sumi.post(&path(&minho), json!({"flag": flag})).await.refused(400, "wrong_type");
        assert_eq!(refused["errors"][0]["field"], "flag");
    }
    assert_eq!(waiting(&minho).await.0, [sumi.id]);
    app.stop().await;
}

#[tokio::test]
async fn post_friend_back_accepts() {
    let app = TestApp::start().await;
    for body in [json!({}), json!({"flag": true})] {
        let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
        sumi.post(&path(&minho), json!({})).await.ok();
        assert_eq!(minho.post(&path(&sumi), body).await.ok(), json!({"status": "ACCEPT"}));
        assert_eq!((friends(&sumi).await, friends(&minho).await), (vec![minho.id], vec![sumi.id]));
        assert_eq!((waiting(&sumi).await, waiting(&minho).await), Default::default());
    }
    app.stop().await;
}

#[tokio::test]
async fn post_friend_to_a_friend_is_409() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    befriend(&sumi, &minho).await;
    for (person, other) in [(&sumi, &minho), (&minho, &sumi)] {
        for body in [json!({}), json!({"flag": true}), json!({"flag": false})] {
            let refused = person.post(&path(other), body).await.refused(409, "already_friends");
            assert_eq!(refused["detail"], "이미 친구입니다.");
        }
    }
    assert_eq!((friends(&sumi).await, friends(&minho).await), (vec![minho.id], vec![sumi.id]));
    app.stop().await;
}

#[tokio::test]
async fn post_friend_to_oneself_is_400() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for body in [json!({}), json!({"flag": true}), json!({"flag": false})] {
        sumi.post(&path(&sumi), body).await.refused(400, "request_to_oneself");
    }
    accept(&sumi, &sumi).await.refused(404, "request_not_found");
    reject(&sumi, &sumi).await.refused(404, "request_not_found");
    sumi.delete(&path(&sumi)).await.refused(404, "not_friends");
    assert_eq!((friends(&sumi).await, waiting(&sumi).await), Default::default());
    app.stop().await;
}

#[tokio::test]
async fn friend_of_nobody_is_404() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for id in
        ["999999", "0", "-1", "+1", "abc", "1.0", "%EC%88%98", "%FF", "9223372036854775807", "9223372036854775808"]
    {
        for end in ["", "/"] {
            let path = format!("/accounts/friend/{id}{end}");
            sumi.post(&path, json!({})).await.refused(404, "account_not_found");
            sumi.post(&path, json!({"flag": false})).await.refused(404, "account_not_found");
            sumi.delete(&path).await.refused(404, "account_not_found");
            for answer in ["accept", "reject"] {
                let path = format!("/accounts/friend/{id}/{answer}{end}");
                sumi.post(&path, json!({})).await.refused(404, "account_not_found");
            }
        }
    }
    app.stop().await;
}

// 친구 요청 수락

#[tokio::test]
async fn post_friend_accept() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let (mut sumi_socket, mut minho_socket) = (sumi.connect().await, minho.connect().await);
    sumi_socket.hello().await;
    minho_socket.hello().await;
    sumi.post(&path(&minho), json!({})).await.ok();
    // The one who asks can't answer.
    accept(&sumi, &minho).await.refused(404, "request_not_found");
    let form = format!("/accounts/friend/{}/accept", sumi.id);
    assert_eq!(Reply::to(minho.request(Method::POST, &form)).await.ok(), json!({"status": "ACCEPT"}));
    assert_eq!((friends(&sumi).await, friends(&minho).await), (vec![minho.id], vec![sumi.id]));
    assert_eq!((waiting(&sumi).await, waiting(&minho).await), Default::default());
    for (socket, friend) in [(&mut sumi_socket, &minho), (&mut minho_socket, &sumi)] {
        let event = socket.expect("friend.accepted").await;
        assert_eq!((&event["d"]["user"], &event["d"]["friend"]["online"]), (&json!(friend.id), &json!(true)));
    }
    accept(&minho, &sumi).await.refused(404, "request_not_found");
    accept(&sumi, &minho).await.refused(404, "request_not_found");
    app.stop().await;
}

#[tokio::test]
async fn post_friend_accept_without_a_request_is_404() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    accept(&sumi, &minho).await.refused(404, "request_not_found");
    minho.post(&path(&sumi), json!({})).await.ok();
    minho.post(&path(&sumi), json!({})).await.ok();
    accept(&sumi, &minho).await.refused(404, "request_not_found");
    assert_eq!(friends(&sumi).await, Vec::<i64>::new());
    app.stop().await;
}

// 친구요청 거절

#[tokio::test]
async fn post_friend_reject() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    for end in ["", "/"] {
        sumi.post(&path(&minho), json!({})).await.ok();
        reject(&sumi, &minho).await.refused(404, "request_not_found");
        let path = format!("/accounts/friend/{}/reject{end}", sumi.id);
        assert_eq!(minho.post(&path, json!({})).await.ok(), json!({"status": "DELETE"}));
        assert_eq!(sumi_socket.expect("friend.rejected").await["d"]["user"], minho.id);
        assert_eq!((waiting(&sumi).await, waiting(&minho).await), Default::default());
        // A no is no no for ever: she may ask again.
        reject(&minho, &sumi).await.refused(404, "request_not_found");
    }
    assert_eq!((friends(&sumi).await, friends(&minho).await), Default::default());
    app.stop().await;
}

#[tokio::test]
async fn post_friend_reject_without_a_request_is_404() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    reject(&sumi, &minho).await.refused(404, "request_not_found");
    befriend(&sumi, &minho).await;
    reject(&sumi, &minho).await.refused(404, "request_not_found");
    assert_eq!(friends(&sumi).await, [minho.id]);
    app.stop().await;
}

// 친구 삭제

#[tokio::test]
async fn delete_friend() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    befriend(&sumi, &hana).await;
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    for path in [path(&minho), format!("/accounts/friend/{}", minho.id)] {
        befriend(&sumi, &minho).await;
        assert_eq!(sumi.delete(&path).await.ok(), json!({"status": "DELETE"}));
        assert_eq!(minho_socket.expect("friend.removed").await["d"]["user"], sumi.id);
        assert_eq!((friends(&sumi).await, friends(&minho).await), (vec![hana.id], vec![]));
        sumi.delete(&path).await.refused(404, "not_friends");
    }
    // Either of the two may end it, and both may begin again.
    befriend(&sumi, &minho).await;
    minho.delete(&self::path(&sumi)).await.ok();
    assert_eq!(friends(&sumi).await, [hana.id]);
    app.stop().await;
}

#[tokio::test]
async fn delete_friend_without_a_friendship_is_404() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    sumi.delete(&path(&minho)).await.refused(404, "not_friends");
    sumi.post(&path(&minho), json!({})).await.ok();
    for (person, other) in [(&sumi, &minho), (&minho, &sumi)] {
        let refused = person.delete(&path(other)).await.refused(404, "not_friends");
        assert_eq!(refused["detail"], "친구가 아닙니다.");
    }
    assert_eq!(waiting(&minho).await.0, [sumi.id]);
    app.stop().await;
}

#[tokio::test]
async fn friends_without_a_token_are_401() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let one = path(&sumi);
    for (method, path) in [
        (Method::GET, FRIENDS.to_owned()),
        (Method::GET, REQUESTS.to_owned()),
        (Method::GET, "/accounts/friend/request/receive/".to_owned()),
        (Method::GET, SENT.to_owned()),
        (Method::POST, one.clone()),
        (Method::DELETE, one.clone()),
        (Method::POST, format!("{one}accept/")),
        (Method::POST, format!("{one}reject/")),
        // Whoever may not ask learns nothing from the answer.
        (Method::POST, "/accounts/friend/999999/".to_owned()),
        (Method::POST, "/accounts/friend/abc/accept/".to_owned()),
    ] {
        let reply = Reply::to(app.request(method.clone(), &path)).await;
        reply.refused(401, "unauthenticated");
        assert!(!reply.header("www-authenticate").is_empty(), "{method} {path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_17_an_email_is_whole_for_friends_alone() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = crate::rooms::make(&minho, json!({"name": "새벽반"})).await;
    let seen = async || {
        let room = sumi.get(&crate::rooms::path(room)).await.ok();
        for private in ["birth_date", "gender", "password_hash", "staff", "search_name", "epoch"] {
            assert!(!room.to_string().contains(private), "{private} in {room}");
        }
        room["members"][0]["email"].clone()
    };
    assert_eq!(seen().await, "p***2@s***.example");
    minho.post(&path(&sumi), json!({})).await.ok();
    // A request opens nothing.
    assert_eq!(seen().await, "p***2@s***.example");
    assert_eq!(sumi.get(REQUESTS).await.ok()[0]["sender"]["email"], "p***2@s***.example");
    accept(&sumi, &minho).await.ok();
    assert_eq!(seen().await, minho.email);
    assert_eq!(sumi.get(FRIENDS).await.ok()["friends"][0]["email"], minho.email);
    minho.delete(&path(&sumi)).await.ok();
    assert_eq!(seen().await, "p***2@s***.example");
    app.stop().await;
}

#[tokio::test]
async fn in_a_closed_group_emails_are_whole_for_all() {
    let app = TestApp::with(&[("accounts.show_email", "full")]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    minho.post(&path(&sumi), json!({})).await.ok();
    assert_eq!(sumi.get(REQUESTS).await.ok()[0]["sender"]["email"], minho.email);
    app.stop().await;
}
