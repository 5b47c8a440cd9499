//! Two instances go on when what they share, or one of them, dies.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use serde_json::{Value, json};
use solgik::timer::settle;
use tokio::time::{interval, timeout};

use crate::support::{
    End, Pair, Person, RedisCluster, RedisServer, Server, TestApp, WsClient,
    link::{self, Link, Weather},
    prefix, redis,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until `done`.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let asked = async {
        let mut pace = interval(Duration::from_millis(20));
        while !done().await {
            pace.tick().await;
        }
    };
    timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"));
}

async fn ready(app: &TestApp) -> bool {
    app.get("/readyz").await.status == 200
}

/// Two members of one room, one on each instance.
async fn two_members(pair: &Pair) -> (Person, Person, WsClient, WsClient) {
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut a = sumi.connect().await;
    a.hello().await;
    let hana = hana.at(&pair.two);
    let mut b = hana.connect().await;
    b.hello().await;
    a.expect("presence.online").await;
    (sumi, hana, a, b)
}

/// Each hears the other.
async fn both_hear(a: &mut WsClient, b: &mut WsClient, text: &str) {
    let said = a.call("room.cheer", json!({"text": text})).await.unwrap();
    while b.expect("room.cheer").await["off"] != said["off"] {}
    let said = b.call("room.cheer", json!({"text": text})).await.unwrap();
    while a.expect("room.cheer").await["off"] != said["off"] {}
}

fn nobody_left(events: &[Value]) {
    for event in events {
        assert!(event["ev"] != "presence.offline" && event["ev"] != "friend.offline", "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_25_redis_goes_and_comes_back_without_its_data() {
    if redis().is_none() {
        return;
    }
    let mut server = RedisServer::start().await;
    let pair = Pair::at(&server.url(), &[("presence.grace_secs", "1"), ("broker.lease_secs", "1")]).await;
    let (sumi, hana, mut a, mut b) = two_members(&pair).await;
    both_hear(&mut a, &mut b, "before").await;
    let since = async || sumi.get("/rooms/check/").await.ok()["members"][0]["since"].take();
    let before = since().await;

    server.kill();
    until("both say that they are not ready", async || !ready(&pair.one).await && !ready(&pair.two).await).await;
    // What needs only the database goes on; whoever is new comes back later.
    sumi.get("/rooms/").await.ok();
    pair.one.open("/ws", &[]).await.unwrap_err().refused(503, "unavailable");
    hana.post("/rest-auth/logout/", json!({})).await.bare(200);
    assert_eq!(b.expect_close().await.0, 4503);
    let hana = hana.signed_in_again(&pair.two.app).await;
    let goal = a.call("goal.set", json!({"text": "단어 50개"})).await;
    nobody_left(&a.events_so_far());

    server.start_again().await;
    until("both are ready", async || ready(&pair.one).await && ready(&pair.two).await).await;
    let mut b = hana.at(&pair.two).connect().await;
    let hello = b.hello().await;
    assert_eq!(hello["room"]["members"].as_array().unwrap().len(), 2);
    if goal.is_ok() {
        let members = hello["room"]["members"].as_array().unwrap().iter();
        let me = members.clone().find(|member| member["id"] == sumi.id).unwrap();
        assert_eq!(me["goal"], "단어 50개");
        assert_eq!(me["online"], true);
    }
    // Her socket is the same; what it lost it is given as a picture.
    let snapshot = loop {
        let snapshot = a.expect("snapshot").await;
        if snapshot["ch"].as_str().unwrap().starts_with("room:") {
            break snapshot;
        }
    };
    assert_eq!(snapshot["d"]["room"]["members"].as_array().unwrap().len(), 2);
    both_hear(&mut a, &mut b, "after").await;
    assert_eq!(since().await, before, "who was there all the time has been there since then");
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_pauses_loses_nothing_and_announces_nobody() {
    if redis().is_none() {
        return;
    }
    let server = RedisServer::start().await;
    let pair = Pair::at(&server.url(), &[("presence.grace_secs", "1"), ("broker.lease_secs", "3")]).await;
    let (_sumi, _hana, mut a, mut b) = two_members(&pair).await;
    both_hear(&mut a, &mut b, "before").await;
    server.pause(true);
    until("both say that they are not ready", async || !ready(&pair.one).await && !ready(&pair.two).await).await;
    // Longer than a lease and a grace.
    let began = Instant::now();
    until("time goes by", async || began.elapsed() > Duration::from_secs(4)).await;
    server.pause(false);
    until("both are ready", async || ready(&pair.one).await && ready(&pair.two).await).await;
    both_hear(&mut a, &mut b, "after").await;
    nobody_left(&a.events_so_far());
    nobody_left(&b.events_so_far());
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_instance_is_repaired_without_its_clients_noticing() {
    if redis().is_none() {
        return;
    }
    let server = RedisServer::start().await;
    let pair = Pair::at(&server.url(), &[]).await;
    let (_sumi, _hana, mut a, mut b) = two_members(&pair).await;
    for round in 0..3 {
        let killed: i64 = server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert!(killed > 0);
        let said = b.call("room.cheer", json!({"text": format!("{round}")})).await.unwrap();
        let heard = a.expect("room.cheer").await;
        assert_eq!((&heard["off"], &heard["d"]["text"]), (&said["off"], &json!(format!("{round}"))));
        until("both are ready", async || ready(&pair.one).await && ready(&pair.two).await).await;
    }
    for socket in [&mut a, &mut b] {
        assert!(socket.events().await.iter().all(|event| event["ev"] != "snapshot"));
    }
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_speaks_and_does_not_hear_loses_nothing() {
    if redis().is_none() {
        return;
    }
    let server = RedisServer::start().await;
    let link = Link::new(link::End::Tcp(format!("127.0.0.1:{}", server.port))).await;
    let pair = Pair::on(&server.url(), &format!("redis://{}", link.address), &[("broker.lease_secs", "3")]).await;
    let (_sumi, _hana, mut a, mut b) = two_members(&pair).await;
    both_hear(&mut a, &mut b, "before").await;
    drop((a.events().await, b.events().await));
    link.weather.send_replace(Weather { holds_subscriptions: true, ..Weather::default() });
    let mut said = Vec::new();
    for number in 0..3 {
        said.push(a.call("room.cheer", json!({"text": format!("하나 {number}")})).await.unwrap()["off"].clone());
        said.push(b.call("room.cheer", json!({"text": format!("둘 {number}")})).await.unwrap()["off"].clone());
    }
    until("the deaf one says so", async || !ready(&pair.two).await).await;
    assert!(ready(&pair.one).await);
    said.push(b.call("room.cheer", json!({"text": "셋"})).await.unwrap()["off"].clone());
    said.push(a.call("room.cheer", json!({"text": "넷"})).await.unwrap()["off"].clone());
    link.weather.send_replace(Weather::default());
    until("it hears again", async || ready(&pair.two).await).await;
    for socket in [&mut a, &mut b] {
        for off in &said {
            assert_eq!(socket.expect("room.cheer").await["off"], *off);
        }
        // Nobody was told anything anew, and nobody left.
        assert_eq!(socket.events().await, Vec::<Value>::new());
    }
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_late_whom_it_holds_is_heard() {
    if redis().is_none() {
        return;
    }
    let mut server = RedisServer::start().await;
    let link = Link::new(link::End::Tcp(format!("127.0.0.1:{}", server.port))).await;
    let pair = Pair::on(&server.url(), &format!("redis://{}", link.address), &[]).await;
    let (sumi, _hana, mut a, b) = two_members(&pair).await;
    let room = sumi.get("/rooms/check/").await.ok()["id"].as_i64().unwrap();
    // Redis loses everything while one of them can't reach it.
    link.weather.send_replace(Weather { refuses: true, ..Weather::default() });
    link.cut();
    server.kill();
    server.start_again().await;
    until("one is ready", async || ready(&pair.one).await).await;
    assert!(!ready(&pair.two).await);
    // The picture that is given meanwhile does not show everybody.
    let online = |room: &Value| room["members"].as_array().unwrap().iter().all(|member| member["online"] == true);
    let channel = format!("room:{room}");
    let early = loop {
        let snapshot = a.expect("snapshot").await;
        if snapshot["ch"] == channel && !online(&snapshot["d"]["room"]) {
            break json!({&channel: [snapshot["d"]["epoch"], snapshot["d"]["off"]]});
        }
    };
    link.weather.send_replace(Weather::default());
    while !online(&snapshot_of(room, &mut a).await) {}
    nobody_left(&a.events().await);
    // Whoever left with that picture is not taken back to it.
    let mut back = sumi.open("/ws", &[("sec-websocket-protocol", "solgik.v1")]).await.unwrap();
    back.call("auth", json!({"token": sumi.token, "since": early})).await.unwrap();
    let hello = back.expect("hello").await["d"].take();
    assert_eq!(hello["channels"][&channel]["recovered"], false);
    assert!(online(&hello["room"]), "{hello}");
    drop(back);
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_open_end_comes_where_nobody_can_say_who_is_there() {
    if redis().is_none() {
        return;
    }
    let mut server = RedisServer::start().await;
    let pair = Pair::on(&server.url(), &server.url(), &[]).await;
    let (_sumi, hana, a, b) = two_members(&pair).await;
    let plan = json!({"total_time": 0, "work_time": 25, "break_time": 5});
    hana.post("/accounts/timer/start/", plan).await.ok();
    server.kill();
    // Long enough for a run whose owner has gone; this instance doesn't see that she hasn't.
    pair.one.app.clock.advance(Duration::from_secs(3 * 3600));
    while settle::sweep_once(&pair.one.app).await.unwrap() > 0 {}
    assert_eq!(hana.get("/accounts/timer/").await.ok()["user_state"], 2);
    server.start_again().await;
    drop((a, b));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_and_nobody_has_left() {
    if redis().is_none() {
        return;
    }
    let mut cluster = RedisCluster::with(1).await;
    let pair = Pair::at(&cluster.url(), &[("presence.grace_secs", "1")]).await;
    let (sumi, hana, mut a, mut b) = two_members(&pair).await;
    both_hear(&mut a, &mut b, "before").await;
    let room = sumi.get("/rooms/check/").await.ok()["id"].as_i64().unwrap();
    let prefix = &pair.one.app.config.broker.prefix;
    cluster.holder_of(&format!("{prefix}:{{p{}}}:room:{room}", room % 64)).await.kill();
    until("both say that they are not ready", async || !ready(&pair.one).await && !ready(&pair.two).await).await;
    until("both are ready", async || ready(&pair.one).await && ready(&pair.two).await).await;
    both_hear(&mut a, &mut b, "after").await;
    for socket in [&mut a, &mut b] {
        nobody_left(&socket.events().await);
    }
    let mut again = hana.at(&pair.one).connect().await;
    let members = again.hello().await["room"]["members"].take();
    assert!(members.as_array().unwrap().iter().all(|member| member["online"] == true), "{members}");
    drop((a, b, again));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_8_a_session_ends_elsewhere_without_redis() {
    // As many as are looked up in turn, one part each second.
    const SOCKETS: usize = 45;
    if redis().is_none() {
        return;
    }
    let mut server = RedisServer::start().await;
    let pair = Pair::at(&server.url(), &[("limits.connections_per_user", "50")]).await;
    let hana = pair.one.person("하나").await;
    let there = hana.at(&pair.two);
    let mut sockets = join_all((0..SOCKETS).map(async |_| {
        let mut socket = there.connect().await;
        socket.hello().await;
        socket
    }))
    .await;
    server.kill();
    until("both say that they are not ready", async || !ready(&pair.one).await && !ready(&pair.two).await).await;
    hana.post("/rest-auth/logout/", json!({})).await.bare(200);
    let began = Instant::now();
    let closes: FuturesUnordered<_> = sockets.iter_mut().map(WsClient::expect_close).collect();
    let first: Vec<_> = closes.take(3).collect().await;
    assert!(first.iter().all(|(code, _)| *code == 4503), "{first:?}");
    // Each is as good as another: the last of them goes 45 s after the first, at the latest.
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    drop(sockets);
    pair.stop().await;
}

/// A process beside an instance of this one, and somebody's socket on it.
async fn with_a_process(settings: &[(&str, &str)]) -> Option<(TestApp, Server, Person, Person, WsClient, WsClient)> {
    Some(with_a_process_at(&redis()?, settings).await)
}

async fn with_a_process_at(
    url: &str,
    settings: &[(&str, &str)],
) -> (TestApp, Server, Person, Person, WsClient, WsClient) {
    let prefix = prefix();
    let shared = [("broker.redis_url", url), ("broker.prefix", &*prefix)];
    let app = TestApp::with(&shared.iter().chain(settings).copied().collect::<Vec<_>>()).await;
    let names: Vec<_> = shared
        .iter()
        .chain(settings)
        .map(|(key, value)| (format!("SOLGIK__{}", key.replace('.', "__").to_uppercase()), *value))
        .collect();
    let environment: Vec<_> = names.iter().map(|(name, value)| (&**name, *value)).collect();
    let server = app.process_beside(&environment).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut watch = sumi.connect().await;
    watch.hello().await;
    let there = app.door_at(&server.base);
    until("the process is ready", async || there.get("/readyz").await.status == 200).await;
    let hana = hana.at(&there);
    let mut socket = hana.connect().await;
    socket.hello().await;
    watch.expect("presence.online").await;
    (app, server, sumi, hana, watch, socket)
}

/// The next snapshot of `room`.
async fn snapshot_of(room: i64, socket: &mut WsClient) -> Value {
    loop {
        let mut snapshot = socket.expect("snapshot").await;
        if snapshot["ch"] == format!("room:{room}") {
            return snapshot["d"]["room"].take();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_whose_word_goes_with_redis_is_shown() {
    if redis().is_none() {
        return;
    }
    let mut redis = RedisServer::start().await;
    let (app, server, sumi, hana, watch, mut socket) = with_a_process_at(&redis.url(), &[]).await;
    let there = app.door_at(&server.base);
    let room = sumi.get("/rooms/check/").await.ok()["id"].as_i64().unwrap();
    let other = app.person("민호").await.make_room().await;
    for moves_on in [false, true] {
        redis.kill();
        // Whatever is said now is said before this instance listens again, into an epoch that it does not know.
        app.pause(&server).await;
        let hana = hana.at(&app);
        hana.delete(&format!("/rooms/{room}/")).await.ok();
        if moves_on {
            hana.enter(other).await;
        }
        redis.start_again().await;
        until("the other instance is ready", async || ready(&app).await).await;
        app.say_all().await;
        server.pause(false);
        assert_eq!(snapshot_of(room, &mut socket).await, Value::Null);
        until("the process is ready", async || there.get("/readyz").await.status == 200).await;
        if moves_on {
            let members = snapshot_of(other, &mut socket).await["members"].take();
            assert_eq!(members.as_array().unwrap().len(), 2);
        } else {
            assert_eq!(socket.call("room.leave", json!({})).await.unwrap_err()["code"], "not_a_member");
            socket.call("room.enter", json!({"room": room})).await.unwrap();
        }
    }
    assert_eq!(socket.call("whoami", json!({})).await.unwrap()["room"], other);
    drop((watch, socket));
    drop(server);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_where_they_were_not_shown_to_be_is_shown_nowhere() {
    if redis().is_none() {
        return;
    }
    let mut redis = RedisServer::start().await;
    let (app, server, sumi, hana, watch, mut socket) = with_a_process_at(&redis.url(), &[]).await;
    let room = sumi.get("/rooms/check/").await.ok()["id"].as_i64().unwrap();
    let other = app.person("민호").await.make_room().await;
    redis.kill();
    let elsewhere = hana.at(&app);
    elsewhere.delete(&format!("/rooms/{room}/")).await.ok();
    elsewhere.enter(other).await;
    assert_eq!(socket.call("room.leave", json!({})).await.unwrap()["room"], other);
    // Both moves are said into an epoch that is not known there.
    app.pause(&server).await;
    redis.start_again().await;
    until("the other instance is ready", async || ready(&app).await).await;
    app.say_all().await;
    server.pause(false);
    assert_eq!(snapshot_of(room, &mut socket).await, Value::Null);
    drop((watch, socket));
    drop(server);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_with_a_killed_instance_is_missed_in_time() {
    let settings = [("presence.grace_secs", "2"), ("broker.lease_secs", "2")];
    let Some((app, server, _sumi, hana, mut watch, socket)) = with_a_process(&settings).await else { return };
    let killed = Instant::now();
    server.end(End::Killed).await;
    drop(socket);
    let offline = watch.expect("presence.offline").await;
    assert_eq!((&offline["d"]["user"], &offline["d"]["reason"]), (&json!(hana.id), &json!("instance_lost")));
    // A lease, a grace, and a moment to notice; not before a grace has gone by since the last sign of life.
    assert!(killed.elapsed() < Duration::from_secs(7), "{:?}", killed.elapsed());
    assert!(killed.elapsed() > Duration::from_secs(1), "{:?}", killed.elapsed());
    drop(watch);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_killed_instance_for_another_is_never_missed() {
    let settings = [("presence.grace_secs", "2"), ("broker.lease_secs", "1")];
    let Some((app, server, _sumi, hana, mut watch, socket)) = with_a_process(&settings).await else { return };
    server.end(End::Killed).await;
    drop(socket);
    let mut back = hana.at(&app).connect().await;
    back.hello().await;
    let began = Instant::now();
    until("time goes by", async || began.elapsed() > Duration::from_secs(5)).await;
    watch.expect_silence().await;
    drop((watch, back));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_given_up_says_again_who_is_there() {
    let settings = [("presence.grace_secs", "1"), ("broker.lease_secs", "1")];
    let Some((app, server, _sumi, hana, mut watch, mut socket)) = with_a_process(&settings).await else { return };
    app.pause(&server).await;
    assert_eq!(watch.expect("presence.offline").await["d"]["user"], hana.id);
    server.pause(false);
    assert_eq!(watch.expect("presence.online").await["d"]["user"], hana.id);
    let said = watch.call("room.cheer", json!({"text": "다시"})).await.unwrap();
    while socket.expect("room.cheer").await["off"] != said["off"] {}
    drop((watch, socket));
    drop(server);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_reaps_a_dead_one_and_loses_no_lease_over_it() {
    // So many in one place that they take longer than a lease, where each answer takes so long.
    const PEOPLE: i64 = 4096;
    const AWAY: Duration = Duration::from_millis(60);
    if redis().is_none() {
        return;
    }
    let server = RedisServer::start().await;
    let link = Link::new(link::End::Tcp(format!("127.0.0.1:{}", server.port))).await;
    let way = format!("redis://{}", link.address);
    let pair = Pair::at(&way, &[("broker.lease_secs", "3")]).await;
    let names = || [pair.one.app.hub.instance(), pair.two.app.hub.instance()];
    let (before, prefix) = (names(), &pair.one.app.config.broker.prefix);
    let (held, ended) = (format!("{prefix}:{{p0}}:held:dead"), format!("{prefix}:{{leases}}:ended"));
    let fill = "for n = 1, ARGV[1] do redis.call('SADD', KEYS[1], n * 64 .. ' dead:1') end";
    let () = server.run(&["EVAL", fill, "1", &held, &PEOPLE.to_string()]).await;
    link.weather.send_replace(Weather { delay: AWAY, ..Weather::default() });
    let () = server.run(&["ZADD", &ended, "0", "dead"]).await;
    let began = Instant::now();
    until("the dead instance is done with", async || server.run::<i64>(&["EXISTS", &held, &ended]).await == 0).await;
    assert!(began.elapsed() > Duration::from_secs(3), "too quick to tell anything: {:?}", began.elapsed());
    // Each of its people was looked at once.
    let stats: String = server.run(&["INFO", "commandstats"]).await;
    let looks = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hkeys:calls=")).unwrap();
    assert_eq!(looks.split(',').next().unwrap().parse(), Ok(PEOPLE), "{looks}");
    assert_eq!(names(), before);
    link.weather.send_replace(Weather::default());
    pair.stop().await;
}
