//! What a client knows, made of a whole picture and of the events after it.
//!
//! As strict as the protocol promises: an event is the next of its channel or was seen before, it fits what is known,
//! and a room's picture is of the room that was told last. Whatever else comes is a mistake of the server, and panics.

use std::collections::{BTreeMap, HashSet, VecDeque};

use serde_json::{Value, json};

/// Where a client stands in a channel: its epoch, and the last event.
type Place = (String, u64);

/// See the module.
#[derive(Debug)]
pub struct Picture {
    me: i64,
    places: BTreeMap<String, Place>,
    /// The room that was told last; its picture may be still on the way.
    seat: Option<i64>,
    /// The room's members by id, once its picture has come.
    members: Option<BTreeMap<i64, Value>>,
    friends: BTreeMap<i64, Value>,
    requests: BTreeMap<i64, Value>,
    /// One's own timer, as it was told last.
    run: Value,
    /// Cheers, each of which has a text of its own.
    cheers: HashSet<String>,
    /// Channels that were recovered event by event, and those that were told anew.
    pub recovered: u64,
    pub told_anew: u64,
    /// What was heard last, for whoever has to find out what went wrong.
    heard: VecDeque<String>,
}

/// How much of what was heard is remembered.
const HEARD: usize = 30;

impl Picture {
    /// The picture that `hello` brings to a client that knows nothing.
    #[track_caller]
    pub fn new(hello: &Value) -> Self {
        let mut picture = Self {
            me: hello["user"]["id"].as_i64().expect("hello names the user"),
            places: BTreeMap::new(),
            seat: None,
            members: None,
            friends: BTreeMap::new(),
            requests: BTreeMap::new(),
            run: Value::Null,
            cheers: HashSet::new(),
            recovered: 0,
            told_anew: 0,
            heard: VecDeque::new(),
        };
        picture.resume(hello);
        picture
    }

    /// Applies the `hello` of another connection: what is recovered stays, the rest counts anew.
    #[track_caller]
    pub fn resume(&mut self, hello: &Value) {
        assert_eq!(hello["user"]["id"], self.me);
        self.hear("hello", hello);
        let before = std::mem::take(&mut self.places);
        let mut recovered = HashSet::new();
        for (channel, line) in hello["channels"].as_object().expect("hello has channels") {
            if line["recovered"] == true {
                let place = before.get(channel).unwrap_or_else(|| panic!("{channel} is recovered from nothing"));
                assert_eq!(line["epoch"], place.0, "{channel} is recovered in another epoch");
                self.places.insert(channel.clone(), place.clone());
                recovered.insert(channel.clone());
            } else {
                self.places.insert(channel.clone(), place(line));
            }
        }
        self.recovered += recovered.len() as u64;
        self.told_anew += (self.places.len() - recovered.len()) as u64;
        if !recovered.contains(&format!("user:{}", self.me)) {
            self.friends = by_id(&hello["friends"], "id");
            self.requests = by_id(&hello["requests"], "user");
            self.run = hello["run"].clone();
        }
        let (seat, channel) = (hello["room"]["id"].as_i64(), format!("room:{}", hello["room"]["id"]));
        if seat.is_some_and(|_| recovered.contains(&channel)) {
            assert!(self.seat == seat && self.members.is_some(), "{channel} is recovered without a picture");
        } else {
            assert!(seat.is_none() || self.places.contains_key(&channel), "a room without a place: {hello}");
            self.seat = seat;
            self.members = seat.map(|_| by_id(&hello["room"]["members"], "id"));
        }
    }

    /// Applies what was pushed. If it was an event of a channel and new, says in which epoch.
    #[track_caller]
    pub fn apply(&mut self, message: &Value) -> Option<String> {
        self.hear("push", message);
        if message["ev"] == "snapshot" {
            self.told_anew += 1;
            self.replace(&message["ch"], &message["d"]);
            return None;
        }
        let channel = message["ch"].as_str().filter(|_| message.get("eid").is_none())?;
        // What a room that was left said last may arrive after the word that it was left.
        let Some((epoch, last)) = self.places.get_mut(channel) else {
            assert!(channel.starts_with("room:"), "not a channel of this client: {message}");
            return None;
        };
        let off = message["off"].as_u64().unwrap_or_else(|| panic!("no place: {message}"));
        if off <= *last {
            return None;
        }
        assert_eq!(off, *last + 1, "something is missing before {message}");
        *last = off;
        let epoch = epoch.clone();
        let (ev, d) = (message["ev"].as_str().unwrap(), &message["d"]);
        let fits = if channel.starts_with("room:") { self.in_room(ev, d) } else { self.of_user(ev, d) };
        assert!(fits, "{message} does not fit {self:#?}");
        Some(epoch)
    }

    /// Applies the answer to an operation.
    #[track_caller]
    pub fn answered(&mut self, op: &str, ok: &Value) {
        // A question, not news.
        if op != "whoami" {
            self.hear(op, ok);
        }
        if op == "room.enter" {
            for (channel, line) in ok["channels"].as_object().unwrap() {
                self.seat = ok["room"]["id"].as_i64();
                let mut snapshot = line.clone();
                snapshot["room"] = ok["room"].clone();
                self.replace(&json!(channel), &snapshot);
            }
        } else if op == "room.leave" && self.seat == ok["room"].as_i64() {
            self.sit(None);
        }
    }

    /// Where the client stands, as `auth` and `sync` take it.
    pub fn since(&self) -> Value {
        json!(self.places)
    }

    /// Where the client stands in each channel.
    pub fn places(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.places.iter().map(|(channel, (epoch, off))| (channel.as_str(), epoch.as_str(), *off))
    }

    /// Where the client believes that its user sits.
    pub fn seat(&self) -> Option<i64> {
        self.seat
    }

    /// One's own timer, as it was told last.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn run(&self) -> &Value {
        &self.run
    }

    /// Who asks for friendship.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn requests(&self) -> Vec<i64> {
        self.requests.keys().copied().collect()
    }

    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn friends(&self) -> Vec<i64> {
        self.friends.keys().copied().collect()
    }

    /// The friends who don't study, as far as this client knows.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn idle_friends(&self) -> Vec<i64> {
        let idle = self.friends.iter().filter(|(_, friend)| friend["state"] == "idle");
        idle.map(|(id, _)| *id).collect()
    }

    /// Everybody of whom this client knows whether they are online.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn people(&self) -> impl Iterator<Item = (i64, &Value)> {
        self.members.iter().flatten().chain(&self.friends).map(|(id, person)| (*id, person))
    }

    /// What must be the same for everybody who knows everything, whenever it was told.
    pub fn known(&self) -> Value {
        let (mut members, mut friends, mut requests) =
            (self.members.clone(), self.friends.clone(), self.requests.clone());
        for member in members.iter_mut().flat_map(BTreeMap::values_mut) {
            member["run"] = anchor(&member["run"]);
            if member["run"]["paused_at"].is_null() && !member["run"].is_null() {
                forget_state(member);
            }
        }
        // What a friend does is told by an instance that lives: see [`Picture::idle_friends`].
        friends.values_mut().for_each(forget_state);
        // What somebody does who only asks is told once.
        requests.values_mut().for_each(|request| forget_state(&mut request["person"]));
        json!({
            "room": self.seat, "members": members, "run": anchor(&self.run),
            "friends": friends, "requests": requests,
        })
    }

    #[track_caller]
    fn replace(&mut self, channel: &Value, d: &Value) {
        let channel = channel.as_str().unwrap();
        if channel.starts_with("user:") {
            self.friends = by_id(&d["friends"], "id");
            self.requests = by_id(&d["requests"], "user");
            self.run = d["run"].clone();
        } else if d["room"].is_null() {
            if channel == format!("room:{}", self.seat.unwrap_or_default()) {
                self.sit(None);
            }
            return;
        } else {
            assert_eq!(channel, format!("room:{}", d["room"]["id"]));
            // A picture may tell of the seat before the word of the move, but never contradict it.
            let seat = d["room"]["id"].as_i64();
            assert!(self.seat.is_none() || self.seat == seat, "{d} is not the seat's picture: {self:#?}");
            self.seat = seat;
            self.members = Some(by_id(&d["room"]["members"], "id"));
            assert!(self.members.as_ref().is_some_and(|members| members.contains_key(&self.me)), "{d}");
        }
        self.places.insert(channel.to_owned(), place(d));
    }

    fn hear(&mut self, what: &str, message: &Value) {
        self.heard.push_back(format!("{what} {message}"));
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }

    fn sit(&mut self, seat: Option<i64>) {
        if self.seat != seat {
            self.seat = seat;
            self.members = None;
            self.places.retain(|channel, _| channel.starts_with("user:"));
        }
    }

    fn in_room(&mut self, ev: &str, d: &Value) -> bool {
        let Some(members) = &mut self.members else { return false };
        let user = d["user"].as_i64().unwrap_or_default();
        match ev {
            "room.entered" => {
                let id = d["member"]["id"].as_i64().unwrap();
                members.insert(id, d["member"].clone()).is_none()
            }
            "room.exited" => user != self.me && members.remove(&user).is_some(),
            // A member who has just left may be told of once more: that changes nothing.
            "presence.online" => amend(members, user, &[("online", json!(true)), ("since", d["since"].clone())]),
            "presence.offline" => amend(members, user, &[("online", json!(false)), ("since", d["at"].clone())]),
            "goal.changed" => members.contains_key(&user) && amend(members, user, &[("goal", d["text"].clone())]),
            "room.cheer" => self.cheers.insert(d["text"].as_str().unwrap().to_owned()),
            "presence.batch" => {
                let (online, offline) = (d["online"].as_array().unwrap(), d["offline"].as_array().unwrap());
                let mut tell = |edge: &Value, online: bool, since: &str| {
                    let news = [("online", json!(online)), ("since", edge[since].clone())];
                    amend(members, edge["user"].as_i64().unwrap(), &news);
                };
                online.iter().for_each(|edge| tell(edge, true, "since"));
                offline.iter().for_each(|edge| tell(edge, false, "at"));
                true
            }
            "timer.started" | "timer.paused" | "timer.resumed" | "timer.stopped" => {
                let state = &d["run"]["state"];
                let run = if *state == "idle" { Value::Null } else { d["run"].clone() };
                let news = [("run", run), ("state", state.clone()), ("current_state", code(state))];
                members.contains_key(&user) && amend(members, user, &news)
            }
            "superseded" => true,
            _ => false,
        }
    }

    fn of_user(&mut self, ev: &str, d: &Value) -> bool {
        let user = d["user"].as_i64().unwrap_or_default();
        match ev {
            "room.moved" => {
                self.sit(d["room"].as_i64());
                true
            }
            "friend.requested" => !self.friends.contains_key(&user) && self.requests.insert(user, d.clone()).is_none(),
            // Both are told; only who was asked has seen the request.
            "friend.cancelled" | "friend.rejected" => {
                self.requests.remove(&user);
                !self.friends.contains_key(&user)
            }
            "friend.accepted" => {
                self.requests.remove(&user);
                self.friends.insert(user, d["friend"].clone()).is_none()
            }
            "friend.removed" => self.friends.remove(&user).is_some(),
            "friend.online" => {
                amend(&mut self.friends, user, &[("online", json!(true)), ("since", d["since"].clone())])
            }
            "friend.offline" => amend(&mut self.friends, user, &[("online", json!(false)), ("since", d["at"].clone())]),
            "friend.state" => {
                let news = [("state", d["state"].clone()), ("current_state", code(&d["state"]))];
                amend(&mut self.friends, user, &news)
            }
            "timer.started" | "timer.paused" | "timer.resumed" | "timer.stopped" => {
                self.run = if d["run"]["state"] == "idle" { Value::Null } else { d["run"].clone() };
                user == self.me
            }
            "superseded" => true,
            _ => false,
        }
    }
}

/// The number of a state.
fn code(state: &Value) -> Value {
    let states = ["idle", "studying", "break", "paused"];
    json!(states.iter().position(|word| state == word).expect("a state") + 1)
}

/// Whether it is work or a break follows from the time.
fn forget_state(person: &mut Value) {
    for told in ["state", "current_state"] {
        person.as_object_mut().unwrap().remove(told);
    }
}

/// What of a run stays the same while it goes on.
fn anchor(run: &Value) -> Value {
    if run.is_null() {
        return Value::Null;
    }
    let at = if run["paused_at"].is_null() { &run["server_time"] } else { &run["paused_at"] };
    let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("no number in {run}"));
    json!({
        "id": run["id"], "started_at": run["started_at"], "paused_at": run["paused_at"],
        "plan": [run["total_time"], run["work_time"], run["break_time"]],
        "pauses": number(at) - number(&run["started_at"]) - number(&run["elapsed_ms"]),
    })
}

/// Changes what is known of somebody, if anything is.
fn amend(people: &mut BTreeMap<i64, Value>, id: i64, news: &[(&str, Value)]) -> bool {
    if let Some(person) = people.get_mut(&id) {
        for (name, value) in news {
            person[*name] = value.clone();
        }
    }
    true
}

#[track_caller]
fn place(line: &Value) -> Place {
    (line["epoch"].as_str().expect("a place has an epoch").to_owned(), line["off"].as_u64().unwrap())
}

#[track_caller]
fn by_id(rows: &Value, id: &str) -> BTreeMap<i64, Value> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("not a list: {rows}"));
    let by_id: BTreeMap<_, _> = rows.iter().map(|row| (row[id].as_i64().unwrap(), row.clone())).collect();
    assert_eq!(by_id.len(), rows.len(), "somebody stands there twice");
    by_id
}
