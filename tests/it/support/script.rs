//! What people say and hear at both doors, written down as one reads it.
//!
//! What differs from run to run is put into the same words each time: instants, tokens, epochs, names of instances.

use std::{collections::BTreeMap, fmt::Write};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    app::TestApp,
    door::{Door, Reply},
    person::PASSWORD,
    socket::WsClient,
};

/// What is written first where it is there, as people read a message; whatever else follows by name.
const FIRST: [&str; 14] =
    ["status", "id", "op", "ok", "err", "ch", "off", "eid", "ev", "at", "user", "name", "code", "d"];

/// Columns of a line.
const WIDTH: usize = 100;

/// Somebody with a device.
pub struct Actor {
    pub name: &'static str,
    pub id: i64,
    token: String,
    door: Door,
    socket: Option<WsClient>,
    asked: u32,
    /// Where the device stands in its channels.
    places: BTreeMap<String, (Value, Value)>,
}

impl Actor {
    fn socket(&mut self) -> &mut WsClient {
        self.socket.as_mut().expect("nobody is connected")
    }

    /// Loses the connection without a word.
    pub async fn lose(&mut self) {
        self.socket.take().unwrap().abort().await;
    }

    /// What a client remembers of what it hears.
    fn remember(&mut self, message: &Value) {
        let told = message.get("d").or_else(|| message.get("ok")).unwrap_or(&Value::Null);
        for (channel, place) in told["channels"].as_object().into_iter().flatten() {
            self.places.insert(channel.clone(), (place["epoch"].clone(), place["off"].clone()));
        }
        let Some(channel) = message["ch"].as_str() else { return };
        if message["ev"] == "snapshot" {
            self.places.insert(channel.to_owned(), (told["epoch"].clone(), told["off"].clone()));
        } else if let (Some(place), Some(off)) = (self.places.get_mut(channel), message.get("off")) {
            place.1 = off.clone();
        }
    }
}

/// What is said, as it is written down.
#[derive(Default)]
pub struct Script {
    text: String,
    /// Words of this run alone, and what stands for them.
    learned: BTreeMap<String, &'static str>,
    /// The fullest example of each message, by its name in the document of the socket.
    pub examples: BTreeMap<String, String>,
}

impl Script {
    /// All chapters, in Markdown.
    pub fn pages(&self) -> String {
        format!("{}```\n", self.text)
    }

    pub fn chapter(&mut self, title: &str) {
        let end = if self.text.is_empty() { "" } else { "```\n" };
        write!(self.text, "{end}\n## {title}\n\n```text\n").unwrap();
    }

    fn line(&mut self, who: &str, arrow: char, what: &str, body: &Value) -> String {
        let body = if body.is_null() { String::new() } else { spelled(&self.settled(body, ""), 0) };
        let gap = if what.is_empty() || body.is_empty() { "" } else { " " };
        writeln!(self.text, "{who} {arrow} {what}{gap}{body}").unwrap();
        body
    }

    /// `value` without what is of this run alone.
    fn settled(&mut self, value: &Value, key: &str) -> Value {
        match value {
            Value::Object(fields) => {
                let settled = fields.iter().map(|(key, value)| (key.clone(), self.settled(value, key)));
                Value::Object(settled.collect())
            }
            Value::Array(values) => values.iter().map(|value| self.settled(value, key)).collect(),
            Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_000_000_000_000) => {
                1_758_300_000_123_i64.into()
            }
            // Whole minutes are the play's, the rest is the machine's.
            Value::Number(number) if key == "elapsed_ms" => (number.as_i64().unwrap() / 60_000 * 60_000).into(),
            Value::String(text) => {
                let word = match key {
                    "token" | "key" => "eyJ0eXAiOiJKV1Qi…",
                    "epoch" if !text.is_empty() => "5f0c1e7a",
                    "instance" => "b1946ac9",
                    "request_id" => "8d1f0c6a2b3e4f50",
                    _ if text.len() == 24 && text.starts_with("20") && text.ends_with('Z') => {
                        "2025-09-19T16:40:00.123Z"
                    }
                    _ => return self.learned.get(text).map_or_else(|| value.clone(), |word| (*word).into()),
                };
                self.learned.insert(text.clone(), word);
                word.into()
            }
            other => other.clone(),
        }
    }

    /// A request by nobody, or by whoever holds the door.
    pub async fn rest(&mut self, who: &str, door: &Door, method: Method, path: &str, body: Value) -> Reply {
        self.line(who, '→', &format!("{method} {path}"), &body);
        let mut request = door.request(method, path).header("accept-language", "en");
        if !body.is_null() {
            request = request.json(&body);
        }
        let reply = Reply::to(request).await;
        self.line(who, '←', reply.status.as_str(), &reply.body);
        reply
    }

    pub async fn ask(&mut self, actor: &Actor, method: Method, path: &str, body: Value) -> Reply {
        self.rest(actor.name, &actor.door, method, path, body).await
    }

    pub async fn sign_up(&mut self, app: &TestApp, name: &'static str, email: &str) -> Actor {
        let body = json!({
            "email": email, "password1": PASSWORD, "password2": PASSWORD,
            "last_name": "김", "first_name": name, "gender": 1, "birth_date": "2001-02-03",
        });
        let reply = self.rest(name, app, Method::POST, "/rest-auth/signup/", body).await;
        let token = reply["token"].as_str().unwrap().to_owned();
        let (id, door) = (reply["user"]["pk"].as_i64().unwrap(), app.with_token(&token));
        Actor { name, id, token, door, socket: None, asked: 0, places: BTreeMap::new() }
    }

    /// Opens a socket, says who it is and where it stands by the first message, and hears `hello`.
    pub async fn connect(&mut self, actor: &mut Actor) {
        let opened = actor.door.open("/ws", &[("sec-websocket-protocol", "solgik.v1")]).await.unwrap();
        (actor.socket, actor.asked) = (Some(opened), 0);
        let mut d = json!({"token": actor.token, "locale": "en"});
        if !actor.places.is_empty() {
            d["since"] = json!(actor.places);
        }
        self.call(actor, "auth", d).await;
        self.hears(actor, &["hello"]).await;
    }

    pub async fn call(&mut self, actor: &mut Actor, op: &str, d: Value) {
        actor.asked += 1;
        let (id, request) = (actor.asked, json!({"id": actor.asked, "op": op, "d": d}));
        actor.socket().raw_send(request.to_string()).await;
        let asked = self.line(actor.name, '→', "", &request);
        let answer = actor.socket().answer(Some(id)).await;
        let answered = self.line(actor.name, '←', "", &answer);
        actor.remember(&answer);
        if answer.get("ok").is_none() {
            self.example("err", answered);
        } else if self.example(&format!("ok.{op}"), answered) {
            self.examples.insert(format!("op.{op}"), asked);
        }
    }

    /// What is pushed, in this order; between one's own channel and a room's there is none.
    pub async fn hears(&mut self, actor: &mut Actor, events: &[&str]) {
        let mut heard = Vec::new();
        for ev in events {
            let event = actor.socket().expect(ev).await;
            actor.remember(&event);
            heard.push(event);
        }
        heard.sort_by_key(|event| {
            let turn = events.iter().position(|ev| event["ev"] == *ev);
            (turn, event["ch"].as_str().is_some_and(|channel| channel.starts_with("room:")))
        });
        for event in heard {
            self.heard(actor.name, &event);
        }
    }

    /// The server closes.
    pub async fn ends(&mut self, actor: &mut Actor) {
        let (code, bye) = actor.socket.take().unwrap().expect_close().await;
        self.heard(actor.name, &json!({"ev": "bye", "d": bye}));
        writeln!(self.text, "{} ← close {code}", actor.name).unwrap();
    }

    pub fn heard(&mut self, who: &str, event: &Value) {
        let text = self.line(who, '←', "", event);
        match (event["ev"].as_str().unwrap(), event["ch"].as_str()) {
            ("snapshot", Some(channel)) => {
                self.example(&format!("snapshot.{}", channel.split(':').next().unwrap()), text)
            }
            (ev, _) => self.example(ev, text),
        };
    }

    /// Whether it says more than the one that was there.
    fn example(&mut self, name: &str, text: String) -> bool {
        let fuller = self.examples.get(name).is_none_or(|kept| kept.len() < text.len());
        if fuller {
            self.examples.insert(name.to_owned(), text);
        }
        fuller
    }

    /// Nothing was heard that is not written down.
    pub async fn silence(&self, actors: [&mut Actor; 2]) {
        for actor in actors {
            actor.socket().expect_silence().await;
        }
    }
}

/// JSON as one reads it: as many members on a line as there is room for.
fn spelled(value: &Value, indent: usize) -> String {
    let on_one_line = flat(value);
    if indent + on_one_line.chars().count() <= WIDTH {
        return on_one_line;
    }
    let (open, members, close): (_, Vec<_>, _) = match value {
        Value::Object(fields) => {
            let member = |(key, value): (&String, &Value)| format!("\"{key}\":{}", spelled(value, indent + 2));
            ('{', ordered(fields).into_iter().map(member).collect(), '}')
        }
        Value::Array(values) => ('[', values.iter().map(|value| spelled(value, indent + 2)).collect(), ']'),
        _ => return on_one_line,
    };
    let mut lines: Vec<String> = Vec::new();
    for member in members {
        match lines.last_mut() {
            Some(line) if indent + format!("  {line},{member},").chars().count() <= WIDTH && !line.contains('\n') => {
                *line += &format!(",{member}");
            }
            _ => lines.push(member),
        }
    }
    let inner = format!("\n{}", " ".repeat(indent + 2));
    format!("{open}{inner}{}\n{}{close}", lines.join(&format!(",{inner}")), " ".repeat(indent))
}

fn flat(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = ordered(fields).into_iter().map(|(key, value)| format!("\"{key}\":{}", flat(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(flat).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn ordered(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    fields
}
