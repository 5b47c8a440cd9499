//! Many at one door at the same moment: whatever the order, the rules hold, and the database says the same.

use std::collections::HashSet;

use entity::{AccountId, RoomId, friend_request, friendship, membership, room};
use futures_util::future::{join, join_all};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;
use solgik::outbox;

use crate::{
    rooms::{ids, make, path},
    support::{Person, Reply, TestApp},
};

/// How long somebody waits for a connection to the database is no matter of these tests.
const PATIENT: (&str, &str) = ("database.acquire_secs", "60");

async fn people(app: &TestApp, number: usize) -> Vec<Person> {
    let mut people = Vec::with_capacity(number);
    for _ in 0..number {
        people.push(app.person("수미").await);
    }
    people
}

async fn pairs(app: &TestApp, number: usize) -> Vec<(Person, Person)> {
    people(app, number).await.into_iter().zip(people(app, number).await).collect()
}

fn enter() -> serde_json::Value {
    json!({"action": "enter"})
}

/// Who sits in the room, as the database has it.
async fn seated(app: &TestApp, room: i64) -> Vec<i64> {
    let seats = membership::Entity::find().filter(membership::Column::RoomId.eq(RoomId(room)));
    let mut seats: Vec<_> = seats.all(&*app.app.db).await.unwrap().iter().map(|seat| seat.account_id.0).collect();
    seats.sort_unstable();
    seats
}

/// What must hold of seats at every moment: an open room has somebody in it, a closed one nobody.
async fn check_rooms(app: &TestApp) {
    for room in room::Entity::find().all(&*app.app.db).await.unwrap() {
        let seated = seated(app, room.id.0).await;
        assert_eq!(room.closed_at.is_some(), seated.is_empty(), "{room:?} with {seated:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_16_of_two_hundred_at_ten_seats_exactly_ten_sit_down() {
    let app = TestApp::with(&[("rooms.capacity", "10"), PATIENT]).await;
    // A room closes with its last member: one sits there, nine seats are free, and her own enter is one of the ten.
    let people = people(&app, 200).await;
    let room = make(&people[0], json!({"name": "새벽반"})).await;
    let door = path(room);
    let answers = join_all(people.iter().map(|person| person.post(&door, enter()))).await;
    let (entered, refused): (Vec<_>, Vec<_>) = people.iter().zip(&answers).partition(|(_, reply)| reply.status == 200);
    assert_eq!((entered.len(), refused.len()), (10, 190));
    for (person, reply) in &entered {
        assert!(ids(&reply.ok()["members"]).contains(&person.id));
        assert!(reply.ok()["member_num"].as_u64().unwrap() <= 10);
    }
    for (_, reply) in &refused {
        reply.refused(409, "room_full");
    }
    let mut winners: Vec<_> = entered.iter().map(|(person, _)| person.id).collect();
    winners.sort_unstable();
    assert_eq!(seated(&app, room).await, winners);
    let seen = people[0].get(&path(room)).await.ok();
    assert_eq!((&seen["member_num"], seen["members"].as_array().unwrap().len()), (&json!(10), 10));
    assert_eq!(people[0].get("/rooms/").await.ok()[0]["member_num"], 10);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_16_seats_hold_while_people_come_and_go() {
    let app = TestApp::with(&[("rooms.capacity", "5"), PATIENT]).await;
    let owner = app.person("방장").await;
    let room = make(&owner, json!({"name": "새벽반"})).await;
    let people = people(&app, 30).await;
    join_all(people.iter().map(async |person| {
        for _ in 0..4 {
            let reply = person.post(&path(room), json!({})).await;
            match reply.status.as_u16() {
                200 => assert!(reply.ok()["member_num"].as_u64().unwrap() <= 5, "{reply:?}"),
                _ => drop(reply.refused(409, "room_full")),
            }
        }
    }))
    .await;
    let seated = seated(&app, room).await;
    assert!(seated.len() <= 5 && seated.contains(&owner.id), "{seated:?}");
    assert_eq!(owner.get(&path(room)).await.ok()["member_num"], seated.len());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_enters_by_socket_at_once_sees_the_room_and_everyone_after() {
    // Fewer connections than people: nobody may hold one while waiting for another.
    let app = TestApp::with(&[("database.max_connections", "4"), PATIENT]).await;
    let owner = app.person("방장").await;
    let room = make(&owner, json!({"name": "새벽반"})).await;
    let people = people(&app, 40).await;
    let sockets = join_all(people.iter().map(async |person| {
        let mut socket = person.connect().await;
        socket.hello().await;
        socket
    }))
    .await;
    let seen = join_all(people.iter().zip(sockets).map(async |(person, mut socket)| {
        let entered = socket.call("room.enter", json!({"room": room})).await.unwrap();
        let mut seen: HashSet<_> = ids(&entered["room"]["members"]).into_iter().collect();
        assert!(seen.contains(&person.id), "{entered}");
        while seen.len() <= people.len() {
            let event = socket.expect("room.entered").await;
            assert!(seen.insert(event["d"]["member"]["id"].as_i64().unwrap()), "told twice: {event}");
        }
        (seen, socket)
    }))
    .await;
    let everyone: HashSet<_> = people.iter().chain([&owner]).map(|person| person.id).collect();
    for (seen, _) in &seen {
        assert_eq!(*seen, everyone);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_never_stands_still_is_shown_to_a_crowd() {
    let app = TestApp::with(&[("database.max_connections", "4"), PATIENT]).await;
    let people = people(&app, 20).await;
    let room = make(&people[0], json!({"name": "새벽반"})).await;
    for person in &people[1..] {
        person.post(&path(room), enter()).await.ok();
    }
    outbox::drain(&app.app.db, &app.app.hub).await.unwrap();
    // Something is unsaid, and the relay was not woken: whoever looks has to take the room's lock.
    let now = app.app.clock.now();
    let unsaid = entity::outbox::ActiveModel {
        channel: Set(Some(format!("room:{room}"))),
        body: Set("unreadable".to_owned()),
        at: Set(now),
        due_at: Set(now),
        attempts: Set(0),
        ..Default::default()
    };
    entity::outbox::Entity::insert(unsaid).exec_without_returning(&*app.app.db).await.unwrap();
    let sockets = join_all(people.iter().map(async |person| {
        let mut socket = person.connect().await;
        assert_eq!(socket.hello().await["room"]["members"].as_array().unwrap().len(), 20);
        socket
    }))
    .await;
    drop(sockets);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_makes_two_rooms_at_once_has_one() {
    let app = TestApp::with(&[PATIENT]).await;
    let people = people(&app, 20).await;
    let made = join_all(people.iter().map(|person| {
        join(person.post("/rooms/", json!({"name": "새벽반"})), person.post("/rooms/", json!({"name": "야간반"})))
    }))
    .await;
    let mut rooms = HashSet::new();
    for (person, (one, other)) in people.iter().zip(&made) {
        let (made, refused) = winner_first(one, other);
        let room = made.ok()["id"].as_i64().unwrap();
        assert_eq!(refused.refused(400, "already_in_room")["params"]["room"], room);
        assert_eq!(seated(&app, room).await, [person.id]);
        rooms.insert(room);
    }
    assert_eq!((rooms.len(), people[0].get("/rooms/").await["page"]["total"].clone()), (20, json!(20)));
    check_rooms(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_enters_two_rooms_at_once_sits_in_one() {
    let app = TestApp::with(&[PATIENT]).await;
    let (first, second) = (app.person("방장").await, app.person("방장").await);
    let (first, second) =
        (make(&first, json!({"name": "새벽반"})).await, make(&second, json!({"name": "야간반"})).await);
    let people = people(&app, 20).await;
    let answers = join_all(people.iter().enumerate().map(|(number, person)| {
        let body = if number % 2 == 0 { json!({}) } else { enter() };
        let (first, second) = (path(first), path(second));
        let (one, other) = (body.clone(), body);
        async move { join(person.post(&first, one), person.post(&second, other)).await }
    }))
    .await;
    for (person, (one, other)) in people.iter().zip(&answers) {
        let (entered, refused) = winner_first(one, other);
        let room = entered.ok()["id"].as_i64().unwrap();
        assert_eq!(refused.refused(409, "already_in_room")["params"]["room"], room);
        assert_eq!(person.get("/rooms/check/").await.ok()["id"], room);
        assert!(seated(&app, room).await.contains(&person.id));
    }
    assert_eq!(seated(&app, first).await.len() + seated(&app, second).await.len(), 22);
    app.stop().await;
}

/// Of two answers exactly one is a success.
#[track_caller]
fn winner_first<'a>(one: &'a Reply, other: &'a Reply) -> (&'a Reply, &'a Reply) {
    match (one.status.as_u16(), other.status.as_u16()) {
        (200, 200) => panic!("both won: {one:?} {other:?}"),
        (200, _) => (one, other),
        _ => (other, one),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_enters_a_room_that_its_last_member_closes() {
    let app = TestApp::with(&[PATIENT]).await;
    let pairs = pairs(&app, 60).await;
    let mut rooms = Vec::new();
    for (owner, _) in &pairs {
        rooms.push(make(owner, json!({"name": "새벽반"})).await);
    }
    let answers = join_all(pairs.iter().zip(&rooms).enumerate().map(async |(number, ((owner, guest), room))| {
        let room = path(*room);
        // Whoever asks first is ahead by a hair: each has it half of the time.
        if number % 2 == 0 {
            join(owner.delete(&room), guest.post(&room, enter())).await
        } else {
            let (entered, left) = join(guest.post(&room, enter()), owner.delete(&room)).await;
            (left, entered)
        }
    }))
    .await;
    for (((_, guest), room), (left, entered)) in pairs.iter().zip(&rooms).zip(&answers) {
        left.ok();
        if entered.status == 200 {
            assert!(ids(&entered.ok()["members"]).contains(&guest.id), "{entered:?}");
            assert_eq!(seated(&app, *room).await, [guest.id]);
            assert_eq!(guest.get(&path(*room)).await.ok()["member_num"], 1);
        } else {
            entered.refused(404, "room_not_found");
            assert_eq!(seated(&app, *room).await, Vec::<i64>::new());
            guest.get(&path(*room)).await.refused(404, "room_not_found");
        }
    }
    check_rooms(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_last_two_who_leave_at_once_one_closes_the_room() {
    let app = TestApp::with(&[PATIENT]).await;
    let pairs = pairs(&app, 30).await;
    let left = join_all(pairs.iter().map(async |(one, other)| {
        let room = path(make(one, json!({"name": "새벽반"})).await);
        other.post(&room, enter()).await.ok();
        join(one.post(&room, json!({})), other.delete(&room)).await
    }))
    .await;
    for (one, other) in &left {
        one.ok();
        other.ok();
    }
    assert_eq!(membership::Entity::find().count(&*app.app.db).await.unwrap(), 0);
    check_rooms(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_ask_each_other_at_once_are_friends_once() {
    let app = TestApp::with(&[PATIENT]).await;
    let pairs = pairs(&app, 40).await;
    let mut sockets = Vec::new();
    for (one, other) in &pairs {
        let (mut one, mut other) = (one.connect().await, other.connect().await);
        one.hello().await;
        other.hello().await;
        sockets.push((one, other));
    }
    let answers = join_all(pairs.iter().enumerate().map(async |(number, (one, other))| {
        let body = if number % 2 == 0 { json!({}) } else { json!({"flag": true}) };
        let (to_one, to_other) = (format!("/accounts/friend/{}/", one.id), format!("/accounts/friend/{}/", other.id));
        join(one.post(&to_other, body.clone()), other.post(&to_one, body)).await
    }))
    .await;
    // Whatever was to be said has been said.
    outbox::drain(&app.app.db, &app.app.hub).await.unwrap();
    for (((one, other), answers), sockets) in pairs.iter().zip(&answers).zip(&mut sockets) {
        let mut statuses = [answers.0.ok()["status"].clone(), answers.1.ok()["status"].clone()];
        statuses.sort_unstable_by_key(ToString::to_string);
        assert_eq!(statuses, [json!("ACCEPT"), json!("ADD")]);
        // Whoever was asked first accepted by asking back.
        let asked = if answers.0["data"]["status"] == "ACCEPT" { &mut sockets.0 } else { &mut sockets.1 };
        asked.expect("friend.requested").await;
        for (socket, friend) in [(&mut sockets.0, other), (&mut sockets.1, one)] {
            assert_eq!(socket.expect("friend.accepted").await["d"]["user"], friend.id);
            socket.expect_silence().await;
        }
        for (person, friend) in [(one, other), (other, one)] {
            assert_eq!(ids(&person.get("/accounts/friend/").await.ok()["friends"]), [friend.id]);
        }
        let (low, high) = (one.id.min(other.id), one.id.max(other.id));
        let row = friendship::Entity::find_by_id((AccountId(low), AccountId(high))).one(&*app.app.db).await.unwrap();
        assert!(row.is_some(), "{low} and {high}");
    }
    assert_eq!(friendship::Entity::find().count(&*app.app.db).await.unwrap(), 40);
    assert_eq!(friend_request::Entity::find().count(&*app.app.db).await.unwrap(), 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_or_taken_back_and_never_both() {
    let app = TestApp::with(&[PATIENT]).await;
    let pairs = pairs(&app, 30).await;
    let answers = join_all(pairs.iter().map(async |(sender, receiver)| {
        let (to, from) = (format!("/accounts/friend/{}/", receiver.id), format!("/accounts/friend/{}/", sender.id));
        sender.post(&to, json!({})).await.ok();
        let (accept, reject) = (format!("{from}accept/"), format!("{from}reject/"));
        join(
            sender.post(&to, json!({"flag": false})),
            join(receiver.post(&accept, json!({})), receiver.post(&reject, json!({}))),
        )
        .await
    }))
    .await;
    let mut friends = 0;
    for (cancelled, (accepted, rejected)) in &answers {
        if accepted.status == 200 {
            friends += 1;
            cancelled.refused(409, "already_friends");
            rejected.refused(404, "request_not_found");
        } else {
            accepted.refused(404, "request_not_found");
            // To take back what is turned down already is done already.
            assert_eq!(cancelled.ok(), json!({"status": "DELETE"}));
            if rejected.status != 200 {
                rejected.refused(404, "request_not_found");
            }
        }
    }
    assert_eq!(friendship::Entity::find().count(&*app.app.db).await.unwrap(), friends);
    assert_eq!(friend_request::Entity::find().count(&*app.app.db).await.unwrap(), 0);
    app.stop().await;
}
