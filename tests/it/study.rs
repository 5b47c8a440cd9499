//! Points: what is recorded, how a day is capped, who stands where on a board, and what its owner may correct.

use std::time::Duration;

use entity::{AccountId, Millis, RunId, account, day_total, friendship, run, score, segment};
use futures_util::future::join_all;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use solgik::{
    accounts, people,
    study::{self, Stretch},
    tally,
};

use crate::{
    cli_keys::{solgik, text},
    support::{Person, TestApp},
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Friday, 2027-01-29, noon in Seoul: the week ends on Sunday, which is also the month's last day.
const FRIDAY: &str = "2027-01-29T03:00:00Z";

fn at(text: &str) -> Millis {
    Millis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

/// Moves the server's clock to `instant`.
fn go(app: &TestApp, instant: Millis) {
    let by = instant.0 - app.app.clock.now().0;
    app.app.clock.advance(Duration::from_millis(by.try_into().expect("time goes forward")));
}

/// A server on that Friday.
async fn on_friday() -> TestApp {
    let app = TestApp::with(&[("auth.token_ttl_secs", "2592000")]).await;
    go(&app, at(FRIDAY));
    app
}

/// A run of one long phase that is over.
async fn ended_run(app: &TestApp, person: &Person, from: Millis, to: Millis) -> RunId {
    let row = run::ActiveModel {
        account_id: Set(AccountId(person.id)),
        total_time: Set(0),
        work_time: Set(0),
        break_time: Set(0),
        started_at: Set(from),
        ended_at: Set(Some(to)),
        settled_to: Set(to),
        seen_at: Set(to),
        ..Default::default()
    };
    let tx = app.app.db.begin().await.unwrap();
    let run = run::Entity::insert(row).exec_with_returning(&*tx).await.unwrap();
    tx.commit_quietly().await.unwrap();
    run.id
}

async fn record(app: &TestApp, stretches: &[Stretch]) {
    let tx = app.app.db.begin().await.unwrap();
    people::lock(&tx, stretches.iter().map(|stretch| stretch.account)).await.unwrap();
    study::record(&tx, &app.app.zone, stretches).await.unwrap();
    tx.commit_quietly().await.unwrap();
}

fn stretch(run: RunId, person: &Person, from: Millis, length: i64) -> Stretch {
    Stretch {
        run,
        account: AccountId(person.id),
        room: None,
        phase: 0,
        is_work: true,
        from,
        to: Millis(from.0 + length),
        offset: 0,
    }
}

/// `person` has studied for `length` since `from`.
async fn studied(app: &TestApp, person: &Person, from: Millis, length: i64) -> RunId {
    let run = ended_run(app, person, from, Millis(from.0 + length)).await;
    record(app, &[stretch(run, person, from, length)]).await;
    run
}

async fn points(person: &Person) -> Value {
    person.get(&format!("/accounts/{}/", person.id)).await.ok()["point"].clone()
}

/// `(id, point, rank)` of every row.
fn seen(rows: &Value) -> Vec<(i64, i64, Option<u64>)> {
    let row = |row: &Value| (row["id"].as_i64().unwrap(), row["point"].as_i64().unwrap(), row["rank"].as_u64());
    rows.as_array().unwrap().iter().map(row).collect()
}

async fn board(person: &Person, query: &str) -> Vec<(i64, i64, Option<u64>)> {
    seen(&person.get(&format!("/accounts/?order_by=point&{query}")).await.ok())
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

/// Nothing differs from the ledger.
async fn verified(app: &TestApp) {
    assert_eq!(study::audit::verify(&app.app.db).await.unwrap(), []);
}

#[tokio::test]
async fn points_are_whole_minutes_and_writing_twice_changes_nothing() {
    let app = on_friday().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let start = at("2027-01-29T02:00:00Z");
    let run = ended_run(&app, &hana, start, Millis(start.0 + HOUR)).await;
    // Half a minute, a pause, and the other half: one point, and two breaks that earn none.
    let first = stretch(run, &hana, start, 30_000);
    let second = Stretch { offset: 30_000, ..stretch(run, &hana, Millis(start.0 + 5 * MINUTE), 30_000) };
    let rest = Stretch { phase: 1, is_work: false, ..stretch(run, &hana, second.to, 10 * MINUTE) };
    for _ in 0..3 {
        record(&app, &[first, second, rest, first]).await;
    }
    assert_eq!(points(&hana).await, json!({"day": 1, "week": 1, "month": 1, "all": 1}));
    let total = day_total::Entity::find().one(&*app.app.db).await.unwrap().unwrap();
    assert_eq!((total.work_ms, total.points), (MINUTE, 1));

    let page = hana.get("/accounts/ledger/?_limit=2").await;
    assert_eq!((page.header("x-total-count"), page["page"]["total"].as_u64()), ("3", Some(3)));
    let rows = page.ok();
    let newest = json!({"id": rows[0]["id"], "run": run.0, "room": null, "phase": 1, "kind": "break", "source": "timer",
        "from": "2027-01-29T02:05:30.000Z", "to": "2027-01-29T02:15:30.000Z", "day": "2027-01-29", "points": 0});
    assert_eq!((&rows[0], &rows[1]["points"], &rows[1]["kind"]), (&newest, &json!(1), &json!("work")));
    assert_eq!(sumi.get("/accounts/ledger/").await.ok(), json!([]));
    app.get("/accounts/ledger/").await.refused(401, "unauthenticated");
    assert_eq!(hana.get("/accounts/").await.ok()[0]["point"], json!(1));
    verified(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn threat_22_a_day_counts_for_sixteen_hours() {
    let app = on_friday().await;
    let hana = app.person("하나").await;
    // Thursday, from midnight in Seoul: more than a day can count for, in two pieces.
    let midnight = at("2027-01-27T15:00:00Z");
    let long = studied(&app, &hana, midnight, 15 * HOUR).await;
    let more = studied(&app, &hana, Millis(midnight.0 + 15 * HOUR), 5 * HOUR).await;
    studied(&app, &hana, Millis(midnight.0 + DAY), 10 * MINUTE).await;
    assert_eq!(points(&hana).await, json!({"day": 10, "week": 970, "month": 970, "all": 970}));
    let path = format!("/accounts/{}/study/?from=2027-01-28&to=2027-01-29", hana.id);
    let days = hana.get(&path).await.ok()["days"].clone();
    let expected = json!([{"day": "2027-01-28", "minutes": 1200, "points": 960},
        {"day": "2027-01-29", "minutes": 10, "points": 10}]);
    assert_eq!(days, expected);
    // What is taken off is taken off the whole day, not off what counts of it.
    hana.post("/accounts/ledger/correct/", json!({"run": more.0, "until": midnight.0 + 17 * HOUR})).await.ok();
    assert_eq!(points(&hana).await["all"], 970);
    hana.post("/accounts/ledger/correct/", json!({"run": more.0})).await.ok();
    assert_eq!(points(&hana).await["all"], 910);
    hana.post("/accounts/ledger/correct/", json!({"run": long.0})).await.ok();
    assert_eq!(points(&hana).await["all"], 10);
    verified(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn people_share_ranks_and_the_rest_follow() {
    let app = on_friday().await;
    let mut people = Vec::new();
    for name in ["하나", "두리", "세리", "네리", "오리", "육리"] {
        people.push(app.person(name).await);
    }
    let start = at("2027-01-29T01:00:00Z");
    for (person, minutes) in [(0, 20), (1, 50), (3, 20), (4, 7)] {
        studied(&app, &people[person], start, minutes * MINUTE).await;
    }
    let id = |person: usize| people[person].id;
    let whole = [
        (id(1), 50, Some(1)),
        (id(0), 20, Some(2)),
        (id(3), 20, Some(2)),
        (id(4), 7, Some(4)),
        (id(2), 0, Some(5)),
        (id(5), 0, Some(5)),
    ];
    for period in ["day", "week", "month", "all"] {
        assert_eq!(board(&people[2], &format!("period={period}")).await, whole);
    }
    // Every page is a part of the same list, whatever its size, and also once the tallies are folded.
    for limit in [1, 2, 4, 5] {
        let pages = (1..=7).map(|page| {
            let query = format!("period=week&_limit={limit}&_page={page}");
            let viewer = &people[2];
            async move { board(viewer, &query).await }
        });
        assert_eq!(join_all(pages).await.concat(), whole, "{limit} a page");
        tally::fold(&app.app.db).await.unwrap();
    }
    let page = people[3].get("/accounts/?order_by=point&_limit=2").await;
    assert_eq!(page.header("x-total-count"), "6");
    assert_eq!(seen(&json!([page["me"]])), [(id(3), 20, Some(2))]);
    assert_eq!(seen(&page["neighbours"]["above"]), [(id(1), 50, Some(1)), (id(0), 20, Some(2))]);
    assert_eq!(seen(&page["neighbours"]["below"]), [(id(4), 7, Some(4))]);
    let without = people[5].get("/accounts/?order_by=point").await;
    assert_eq!(seen(&json!([without["me"]])), [(id(5), 0, Some(5))]);
    assert_eq!(seen(&without["neighbours"]["above"]), [(id(3), 20, Some(2)), (id(4), 7, Some(4))]);
    assert_eq!(without["neighbours"]["below"], json!([]));
    // A keyword finds, and changes no rank.
    assert_eq!(board(&people[0], "kw='네리'").await, [(id(3), 20, Some(2))]);
    assert_eq!(board(&people[0], "kw=김&_limit=1&_page=6").await, [(id(5), 0, Some(5))]);
    people[0].get("/accounts/?order_by=point&scope=galaxy").await.refused(400, "invalid_choice");
    people[0].get("/accounts/?scope=friends").await.refused(400, "invalid_choice");
    verified(&app).await;
    app.stop().await;
}

/// Somebody with an id that lies far from the others'.
async fn far_away(app: &TestApp, id: i64) -> AccountId {
    let row = account::ActiveModel {
        id: Set(AccountId(id)),
        last_name: Set("먼".into()),
        first_name: Set(format!("사람{id}")),
        search_name: Set(people::search_name("먼", &format!("사람{id}"))),
        gender: Set(0),
        birth_date: Set("2000-01-01".into()),
        staff: Set(false),
        hidden: Set(false),
        epoch: Set(0),
        created_at: Set(app.app.clock.now()),
        ..Default::default()
    };
    let tx = app.app.db.begin().await.unwrap();
    let row = account::Entity::insert(row).exec_with_returning(&*tx).await.unwrap();
    accounts::enter(&tx, std::slice::from_ref(&row)).await.unwrap();
    tx.commit_quietly().await.unwrap();
    row.id
}

#[tokio::test]
async fn lists_of_people_whose_ids_lie_far_apart_come_whole_page_by_page() {
    let app = on_friday().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let mut far = Vec::new();
    for id in [1023, 1024, 1025, 4096, 9_000_000, 9_000_001] {
        far.push(far_away(&app, id).await);
    }
    let start = at("2027-01-29T01:00:00Z");
    studied(&app, &sumi, start, 5 * MINUTE).await;
    for (id, minutes) in [(far[1], 9), (far[4], 5)] {
        let run = entity::run::ActiveModel {
            account_id: Set(id),
            total_time: Set(0),
            work_time: Set(0),
            break_time: Set(0),
            started_at: Set(start),
            ended_at: Set(Some(Millis(start.0 + HOUR))),
            settled_to: Set(Millis(start.0 + HOUR)),
            seen_at: Set(start),
            ..Default::default()
        };
        let tx = app.app.db.begin().await.unwrap();
        let run = entity::run::Entity::insert(run).exec_with_returning(&*tx).await.unwrap();
        tx.commit_quietly().await.unwrap();
        record(&app, &[Stretch { account: id, ..stretch(run.id, &sumi, start, minutes * MINUTE) }]).await;
    }
    // One hides with points, one without, and one goes.
    let tx = app.app.db.begin().await.unwrap();
    for id in [far[4], far[5]] {
        tx.execute_unprepared(&format!("UPDATE account SET hidden = TRUE WHERE id = {}", id.0)).await.unwrap();
        study::set_listed(&tx, id, false).await.unwrap();
    }
    tx.commit_quietly().await.unwrap();
    accounts::deletion::delete(&app.app, far[2]).await.unwrap();

    let board_rows = [
        (far[1].0, 9, Some(1)),
        (sumi.id, 5, Some(2)),
        (hana.id, 0, Some(3)),
        (far[0].0, 0, Some(3)),
        (far[3].0, 0, Some(3)),
    ];
    let by_id: Vec<_> = [hana.id, sumi.id].into_iter().chain([0, 1, 3, 4, 5].map(|index| far[index].0)).collect();
    for folded in [false, true] {
        for limit in [1, 2, 3, 100] {
            let mut rows = Vec::new();
            let mut ids = Vec::new();
            for page in 1..=8 {
                rows.extend(board(&hana, &format!("period=week&_limit={limit}&_page={page}")).await);
                let list = hana.get(&format!("/accounts/?_limit={limit}&_page={page}")).await;
                assert_eq!(list.header("x-total-count"), "7");
                ids.extend(list.ok().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
            }
            assert_eq!((&rows[..], &ids), (&board_rows[..], &by_id), "{limit} a page, folded: {folded}");
        }
        verified(&app).await;
        tally::fold(&app.app.db).await.unwrap();
    }
    app.stop().await;
}

#[tokio::test]
async fn weeks_begin_on_monday_and_months_on_the_first() {
    let app = on_friday().await;
    let hana = app.person("하나").await;
    // Sunday, half an hour on either side of midnight: Monday is also the first of February.
    let midnight = at("2027-01-31T15:00:00Z");
    go(&app, Millis(midnight.0 - MINUTE));
    studied(&app, &hana, Millis(midnight.0 - 30 * MINUTE), HOUR + 20 * MINUTE).await;
    assert_eq!(points(&hana).await, json!({"day": 30, "week": 30, "month": 30, "all": 80}));
    go(&app, midnight);
    assert_eq!(points(&hana).await, json!({"day": 50, "week": 50, "month": 50, "all": 80}));
    let monday = hana.get("/accounts/?order_by=point&period=week").await;
    assert_eq!((&monday["from"], &monday["me"]["point"]), (&json!("2027-01-31T15:00:00.000Z"), &json!(50)));
    go(&app, Millis(midnight.0 + DAY));
    assert_eq!(points(&hana).await, json!({"day": 0, "week": 50, "month": 50, "all": 80}));
    go(&app, Millis(midnight.0 + 7 * DAY));
    assert_eq!(points(&hana).await, json!({"day": 0, "week": 0, "month": 50, "all": 80}));
    app.stop().await;
}

#[tokio::test]
async fn a_board_of_friends_or_of_a_room() {
    let app = on_friday().await;
    let (hana, sumi, minsu) = (app.person("하나").await, app.person("수미").await, app.person("민수").await);
    befriend(&app, &hana, &minsu).await;
    let start = at("2027-01-29T01:00:00Z");
    studied(&app, &hana, start, 5 * MINUTE).await;
    studied(&app, &sumi, start, 9 * MINUTE).await;
    let friends = hana.get("/accounts/?order_by=point&scope=friends&period=day").await;
    assert_eq!(seen(&friends.ok()), [(hana.id, 5, Some(1)), (minsu.id, 0, Some(2))]);
    assert_eq!((friends.header("x-total-count"), friends["me"]["rank"].as_u64()), ("2", Some(1)));
    assert_eq!(board(&hana, "scope=friends&kw=민수").await, [(minsu.id, 0, Some(2))]);
    assert_eq!(board(&hana, "scope=room").await, [(hana.id, 5, Some(1))], "alone without a room");
    let room = hana.post("/rooms/", json!({"name": "새벽반"})).await.ok()["id"].clone();
    sumi.post(&format!("/rooms/{room}/"), json!({})).await.ok();
    assert_eq!(board(&hana, "scope=room").await, [(sumi.id, 9, Some(1)), (hana.id, 5, Some(2))]);
    app.stop().await;
}

#[tokio::test]
async fn who_is_hidden_or_gone_moves_nobody_s_rank() {
    let app = on_friday().await;
    let (hana, sumi, minsu) = (app.person("하나").await, app.person("수미").await, app.person("민수").await);
    befriend(&app, &hana, &sumi).await;
    let start = at("2027-01-29T01:00:00Z");
    for (person, minutes) in [(&hana, 5), (&sumi, 9), (&minsu, 7)] {
        studied(&app, person, start, minutes * MINUTE).await;
    }
    assert_eq!(board(&hana, "period=day").await.last(), Some(&(hana.id, 5, Some(3))));
    let path = format!("/accounts/{}/", sumi.id);
    sumi.put(&path, json!({"hidden": true})).await.ok();
    assert_eq!(board(&hana, "period=day").await, [(minsu.id, 7, Some(1)), (hana.id, 5, Some(2))]);
    assert_eq!(board(&hana, "scope=friends").await, [(hana.id, 5, Some(1))]);
    // Points go on while one hides, and are there when one comes back.
    studied(&app, &sumi, Millis(start.0 + HOUR), 3 * MINUTE).await;
    let own = sumi.get("/accounts/?order_by=point&period=day").await;
    assert_eq!(seen(&json!([own["me"]])), [(sumi.id, 12, None)]);
    assert_eq!(own["neighbours"], json!({"above": [], "below": []}));
    verified(&app).await;
    sumi.put(&path, json!({"hidden": false})).await.ok();
    assert_eq!(board(&hana, "period=day").await[0], (sumi.id, 12, Some(1)));
    minsu.delete(&format!("/accounts/{}/", minsu.id)).await.ok();
    assert_eq!(board(&hana, "period=day").await, [(sumi.id, 12, Some(1)), (hana.id, 5, Some(2))]);
    verified(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn statistics_are_for_oneself_and_for_friends_if_one_likes() {
    let app = on_friday().await;
    let (hana, sumi, minsu) = (app.person("하나").await, app.person("수미").await, app.person("민수").await);
    befriend(&app, &hana, &sumi).await;
    // Tuesday and Wednesday evening across midnight, and half a minute on Thursday, which is no point.
    studied(&app, &hana, at("2027-01-26T10:30:00Z"), HOUR).await;
    studied(&app, &hana, at("2027-01-27T14:45:00Z"), 30 * MINUTE + 30_000).await;
    let path = format!("/accounts/{}/study/", hana.id);
    let own = hana.get(&path).await.ok();
    let expected = json!([{"day": "2027-01-26", "minutes": 60, "points": 60},
        {"day": "2027-01-27", "minutes": 15, "points": 15}, {"day": "2027-01-28", "minutes": 15, "points": 15}]);
    assert_eq!((&own["days"], &own["zone"]), (&expected, &json!("Asia/Seoul")));
    assert_eq!((&own["from"], &own["to"]), (&json!("2026-01-30"), &json!("2027-01-29")));
    assert_eq!(own["streak"], json!({"current": 3, "longest": 3}), "yesterday still counts");
    let hours = own["hours"].as_array().unwrap();
    let some: Vec<_> = (0..).zip(hours).filter(|(_, minutes)| **minutes != json!(0)).collect();
    assert_eq!(hours.len(), 24);
    assert_eq!(some, [(0, &json!(15)), (19, &json!(30)), (20, &json!(30)), (23, &json!(15))]);
    go(&app, at("2027-01-30T03:00:00Z"));
    assert_eq!(hana.get(&path).await.ok()["streak"], json!({"current": 0, "longest": 3}));
    let part = hana.get(&format!("{path}?from=2027-01-27&to=2027-01-27")).await.ok();
    assert_eq!((&part["days"][0]["minutes"], &part["days"][1]), (&json!(15), &json!(null)));
    assert_eq!(part["hours"][23], 15);

    assert_eq!(sumi.get(&path).await.ok()["days"], expected);
    minsu.get(&path).await.refused(403, "not_yourself");
    hana.put(&format!("/accounts/{}/", hana.id), json!({"share_study": false})).await.ok();
    sumi.get(&path).await.refused(403, "not_yourself");
    hana.get(&path).await.ok();
    app.get(&path).await.refused(401, "unauthenticated");
    hana.get("/accounts/999/study/").await.refused(404, "account_not_found");
    hana.get("/accounts/x/study/").await.refused(404, "account_not_found");
    for (query, code, field) in [
        ("from=soon", "invalid_date", "from"),
        ("to=2027-02-30", "invalid_date", "to"),
        ("to=9999-12-31", "invalid_date", "to"),
        ("from=2026-01-01&to=2027-01-02", "out_of_range", "from"),
        ("from=2027-01-02&to=2027-01-01", "out_of_range", "from"),
    ] {
        let refused = hana.get(&format!("{path}?{query}")).await.refused(400, code);
        assert!(refused[field].is_array(), "{query}: {refused}");
    }
    hana.get(&format!("{path}?from=2026-01-01&to=2027-01-01")).await.ok();
    app.stop().await;
}

#[tokio::test]
async fn a_run_is_trimmed_or_discarded_by_its_owner_for_a_day() {
    let app = on_friday().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let start = at("2027-01-29T00:00:00Z");
    let run = ended_run(&app, &hana, start, Millis(start.0 + 2 * HOUR)).await;
    let first = stretch(run, &hana, start, 90_000);
    let second = Stretch { offset: 90_000, ..stretch(run, &hana, Millis(start.0 + HOUR), HOUR - 30_000) };
    record(&app, &[first, second]).await;
    assert_eq!(points(&hana).await["day"], 61);
    let body = json!({"run": run.0, "until": "2027-01-29T01:00:30Z"});
    sumi.post("/accounts/ledger/correct/", body.clone()).await.refused(404, "run_not_found");
    app.post("/accounts/ledger/correct/", body.clone()).await.refused(401, "unauthenticated");
    for _ in 0..2 {
        // A minute and a half before the pause, half a minute behind it.
        let left = hana.post("/accounts/ledger/correct/", body.clone()).await.ok();
        assert_eq!(left, json!({"run": run.0, "minutes": 2, "points": 2}));
    }
    assert_eq!(points(&hana).await, json!({"day": 2, "week": 2, "month": 2, "all": 2}));
    let rows = hana.get("/accounts/ledger/").await.ok();
    let correction = &rows[0];
    assert_eq!(
        (&correction["source"], &correction["kind"], &correction["points"], &correction["from"]),
        (&json!("correction"), &json!("work"), &json!(-59), &json!("2027-01-29T01:00:30.000Z"))
    );
    assert_eq!(rows.as_array().unwrap().len(), 3);
    // Later than what is left, and then earlier.
    let later =
        hana.post("/accounts/ledger/correct/", json!({"run": run.0, "until": start.0 + 90 * MINUTE})).await.ok();
    assert_eq!(later["points"], 2);
    let earlier = hana.post("/accounts/ledger/correct/", json!({"run": run.0, "until": start.0 + 70_000})).await.ok();
    assert_eq!((&earlier["points"], &earlier["minutes"]), (&json!(1), &json!(1)));
    verified(&app).await;
    // Ten at once discard it once.
    let many = (0..10).map(|_| hana.post("/accounts/ledger/correct/", json!({"run": run.0})));
    for reply in join_all(many).await {
        assert_eq!(reply.ok()["points"], 0);
    }
    assert_eq!(points(&hana).await, json!({"day": 0, "week": 0, "month": 0, "all": 0}));
    assert_eq!(board(&hana, "period=day").await, [(hana.id, 0, Some(1)), (sumi.id, 0, Some(1))]);
    verified(&app).await;

    for (body, code) in [(json!({}), "required"), (json!({"run": run.0, "until": "soon"}), "wrong_type")] {
        hana.post("/accounts/ledger/correct/", body).await.refused(400, code);
    }
    hana.post("/accounts/ledger/correct/", json!({"run": 999_999})).await.refused(404, "run_not_found");
    go(&app, Millis(start.0 + 2 * HOUR + DAY + 1000));
    hana.post("/accounts/ledger/correct/", json!({"run": run.0})).await.refused(409, "too_late");
    app.stop().await;
}

#[tokio::test]
async fn many_write_at_once_and_the_ledger_holds() {
    let app = on_friday().await;
    let mut people = Vec::new();
    for name in ["하나", "두리", "세리"] {
        people.push(app.person(name).await);
    }
    let start = at("2027-01-28T14:00:00Z");
    let mut writes = Vec::new();
    for person in &people {
        let run = ended_run(&app, person, start, Millis(start.0 + 2 * HOUR)).await;
        for minute in 0..8 {
            let from = Millis(start.0 + minute * 15 * MINUTE);
            let one = Stretch { offset: minute * 15 * MINUTE, ..stretch(run, person, from, 15 * MINUTE) };
            writes.extend([one, one]);
        }
    }
    let (app, fold) = (&app, || tally::fold(&app.app.db));
    join_all(writes.iter().map(|one| async move {
        record(app, std::slice::from_ref(one)).await;
        fold().await.unwrap();
    }))
    .await;
    for person in &people {
        assert_eq!(points(person).await, json!({"day": 60, "week": 120, "month": 120, "all": 120}));
    }
    assert_eq!(segment::Entity::find().count(&*app.app.db).await.unwrap(), 24);
    verified(app).await;
}

#[tokio::test]
async fn ledger_verify_finds_what_differs_and_rebuild_heals_it() {
    let app = on_friday().await;
    let (hana, sumi) = (app.person("하나").await, app.person("수미").await);
    let start = at("2027-01-29T01:00:00Z");
    studied(&app, &hana, start, 5 * MINUTE).await;
    let run = studied(&app, &sumi, start, 9 * MINUTE).await;
    sumi.post("/accounts/ledger/correct/", json!({"run": run.0, "until": start.0 + 4 * MINUTE})).await.ok();
    let agrees = solgik(&app, &["ledger", "verify"], "").await;
    assert!(agrees.status.success() && agrees.stdout.is_empty(), "{agrees:?}");
    for corruption in [
        "UPDATE day_total SET points = points + 1",
        "UPDATE day_total SET work_ms = 0",
        "DELETE FROM day_total",
        "UPDATE score SET points = 3 WHERE period = 1",
        "DELETE FROM score WHERE period = 3",
        "UPDATE score SET listed = NOT listed",
        "INSERT INTO tally_change (period, first_day, bucket, change) VALUES (1, 7, 7, 7)",
        "INSERT INTO tally (period, first_day, bucket, accounts) VALUES (3, 0, 99, 1)",
        "INSERT INTO tally_change (period, first_day, bucket, change) VALUES (16, 0, 0, 1)",
        "DELETE FROM tally WHERE period = 17",
        "DELETE FROM tally WHERE period = 11",
        "INSERT INTO tally (period, first_day, bucket, accounts) VALUES (18, 0, 0, 1)",
    ] {
        app.app.db.execute_unprepared(corruption).await.unwrap();
        let differs = solgik(&app, &["ledger", "verify"], "").await;
        assert!(!differs.status.success() && !differs.stdout.is_empty(), "{corruption}: {differs:?}");
        let rebuilt = solgik(&app, &["ledger", "rebuild"], "").await;
        assert!(rebuilt.status.success(), "{corruption}: {}", text(&rebuilt.stderr));
        verified(&app).await;
    }
    assert_eq!(board(&hana, "period=month").await, [(hana.id, 5, Some(1)), (sumi.id, 4, Some(2))]);
    assert!(score::Entity::find().count(&*app.app.db).await.unwrap() > 0);
    app.stop().await;
}
