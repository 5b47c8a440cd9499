//! The document of the socket (AsyncAPI 3.0), made of the types that it speaks.
//!
//! Promises that every event, operation, answer and close code is in it: events and operations are read off their
//! enums, and an operation without an answer can't be described. It describes; it decides nothing.

use anyhow::Context;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{
    channels::{RoomState, Synced},
    dispatch::{Entered, Goal, Left, Nothing, Refreshed, Said, Timed, Whoami},
    hello::Hello,
    lobby::CountsView,
    picture::UserView,
};
use crate::{
    friends::routes::StatusView,
    realtime::protocol::{
        Channel, CloseReason, Event, Place,
        frames::{ByeView, ErrView},
        ops::Op,
    },
};

#[derive(OpenApi)]
#[openapi(components(schemas(
    Event, Op, Hello, UserView, RoomState, Place, Synced, Entered, Left, Refreshed, Goal, Said, Timed, Nothing, Whoami,
    CountsView, StatusView, ByeView, ErrView, Channel
)))]
struct Types;

/// What each operation is answered with.
const ANSWERS: [(&str, &str); 19] = [
    ("auth", "Nothing"),
    ("refresh", "Refreshed"),
    ("sync", "Synced"),
    ("room.enter", "Entered"),
    ("room.leave", "Left"),
    ("room.watch", "CountsView"),
    ("room.unwatch", "Nothing"),
    ("timer.start", "Timed"),
    ("timer.pause", "Timed"),
    ("timer.resume", "Timed"),
    ("timer.stop", "Timed"),
    ("goal.set", "Goal"),
    ("room.cheer", "Said"),
    ("friend.request", "StatusView"),
    ("friend.cancel", "StatusView"),
    ("friend.accept", "StatusView"),
    ("friend.reject", "StatusView"),
    ("friend.remove", "StatusView"),
    ("whoami", "Whoami"),
];

/// The parts of the document that grow message by message.
#[derive(Default)]
struct Document {
    messages: Map<String, Value>,
    operations: Map<String, Value>,
    /// Names of the messages of the socket itself, of rooms and of users.
    socket: Vec<String>,
    room: Vec<String>,
    user: Vec<String>,
}

/// The whole document.
pub fn asyncapi() -> anyhow::Result<Value> {
    let mut types = serde_json::to_value(Types::openapi())?;
    in_dialect(&mut types);
    let mut schemas = types.pointer("/components/schemas").and_then(Value::as_object).context("no schemas")?.clone();
    let mut document = Document::default();
    for variant in variants(schemas.remove("Op"))? {
        document.operation(&variant)?;
    }
    for variant in variants(schemas.remove("Event"))? {
        document.event(&variant);
    }
    document.pushes();
    let on = |names: &[String]| -> Map<String, Value> {
        names.iter().map(|name| (name.clone(), message_of_components(name))).collect()
    };
    let closes: Vec<_> = CloseReason::ALL
        .iter()
        .map(|reason| {
            let (code, word) = (reason.code(), reason.as_str());
            json!({"code": code, "reason": word, "reconnect": reason.is_passing(), "description": reason.about()})
        })
        .collect();
    let id = json!({"description": "Whose, or which room"});
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Solgik",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0"},
            "description": "One WebSocket a client, JSON text frames, subprotocol `solgik.v1`. Several messages may share \
                a frame, one a line, at most 16. Events of a channel carry its name in `ch` and their place in `off`: \
                a client applies an event if its place is the next, ignores older ones, and asks `sync` otherwise. \
                Actions are the server's: it receives operations and sends events. Instants are milliseconds since 1970.",
        },
        "defaultContentType": "application/json",
        "servers": {"here": {"host": "127.0.0.1:8000", "protocol": "ws", "security": [
            {"type": "http", "scheme": "bearer", "description": "Or the subprotocol `bearer.<token>` or `ticket.<ticket>`, or a first message `auth`"},
        ]}},
        "channels": {
            "socket": {
                "address": "/ws",
                "description": "The connection: operations, their answers, and pushes that have no place",
                "messages": on(&document.socket),
                "bindings": {"ws": {"query": {"type": "object", "properties": {
                    "hb": {"const": "ws", "description": "Heartbeats are WebSocket pings"},
                }}}},
            },
            "user": {
                "address": "user:{id}",
                "description": "What concerns one user, on all devices",
                "parameters": {"id": id},
                "messages": on(&document.user),
            },
            "room": {
                "address": "room:{id}",
                "description": "What the members of a room see",
                "parameters": {"id": id},
                "messages": on(&document.room),
            },
        },
        "operations": document.operations,
        "components": {"messages": document.messages, "schemas": schemas},
        "x-close-codes": closes,
    }))
}

/// Lists of fixed parts, in the dialect that AsyncAPI means: draft 7 of JSON Schema, where OpenAPI means a later one.
fn in_dialect(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(parts)) = fields.remove("prefixItems") {
                fields.insert("minItems".into(), parts.len().into());
                let others = fields.insert("items".into(), parts.into());
                fields.insert("additionalItems".into(), others.unwrap_or(true.into()));
            }
            fields.values_mut().for_each(in_dialect);
        }
        Value::Array(values) => values.iter_mut().for_each(in_dialect),
        _ => {}
    }
}

fn message_of_components(name: &str) -> Value {
    json!({"$ref": format!("#/components/messages/{name}")})
}

fn message_of(channel: &str, name: &str) -> Value {
    json!({"$ref": format!("#/channels/{channel}/messages/{name}")})
}

/// One case of an enum that is told apart by a word beside its content.
struct Variant {
    word: String,
    about: String,
    content: Value,
}

fn variants(schema: Option<Value>) -> anyhow::Result<Vec<Variant>> {
    let schema = schema.context("no such schema")?;
    let cases = schema.get("oneOf").and_then(Value::as_array).context("no cases")?;
    let read = |case: &Value| {
        let word = ["/properties/ev/enum/0", "/properties/op/enum/0"].iter().find_map(|at| case.pointer(at)?.as_str());
        Some(Variant {
            word: word?.to_owned(),
            about: case.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            content: case.pointer("/properties/d")?.clone(),
        })
    };
    cases.iter().map(|case| read(case).with_context(|| format!("no word in {case}"))).collect()
}

impl Document {
    fn message(&mut self, name: &str, about: &str, properties: &Value, optional: &[&str]) {
        let names = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let required: Vec<_> = names.filter(|name| !optional.contains(name)).collect();
        let payload = json!({"type": "object", "required": required, "properties": properties});
        self.messages.insert(name.to_owned(), json!({"name": name, "summary": about, "payload": payload}));
    }

    /// What a client asks for, and the two answers that there are.
    fn operation(&mut self, Variant { word, about, content }: &Variant) -> anyhow::Result<()> {
        let answer = ANSWERS.iter().find(|(op, _)| op == word).with_context(|| format!("{word} has no answer"))?.1;
        let (asked, answered) = (format!("op.{word}"), format!("ok.{word}"));
        let id =
            json!({"type": "integer", "format": "uint32", "minimum": 0, "description": "Comes back with the answer"});
        self.message(&asked, about, &json!({"id": id, "op": {"const": word}, "d": content}), &["id", "d"]);
        let ok = json!({"$ref": format!("#/components/schemas/{answer}")});
        let done = format!("{word} is done");
        self.message(&answered, &done, &json!({"id": {"type": ["integer", "null"]}, "ok": ok}), &[]);
        let operation = json!({
            "action": "receive",
            "summary": about,
            "channel": {"$ref": "#/channels/socket"},
            "messages": [message_of("socket", &asked)],
            "reply": {
                "channel": {"$ref": "#/channels/socket"},
                "messages": [message_of("socket", &answered), message_of("socket", "err")],
            },
        });
        self.operations.insert(word.clone(), operation);
        self.socket.extend([asked, answered]);
        Ok(())
    }

    /// What happened in a channel.
    fn event(&mut self, Variant { word, about, content }: &Variant) {
        let mut properties = json!({
            "ch": {"$ref": "#/components/schemas/Channel"},
            "off": {"type": "integer", "format": "int64", "minimum": 1, "description": "The place in its channel"},
            "eid": {"type": "string", "description": "Deterministic; the same from every instance"},
            "ev": {"const": word},
            "at": {"type": "integer", "format": "int64"},
            "d": content,
        });
        // What the clock says is computed by every instance alike: it has an id, and no place. A friend's state comes
        // by the clock or by the friend.
        let (never, optional): (_, &[_]) = match word.as_str() {
            "timer.phase" => (Some("off"), &[]),
            "friend.state" => (None, &["off", "eid"]),
            _ => (Some("eid"), &[]),
        };
        if let (Some(properties), Some(never)) = (properties.as_object_mut(), never) {
            properties.remove(never);
        }
        self.message(word, about, &properties, optional);
        let (user, room) = match word.split_once('.') {
            Some(("friend", _)) => (true, false),
            // One's own timer is told on every device.
            Some(("timer", _)) => (true, true),
            _ if word == "room.moved" => (true, false),
            _ => (false, true),
        };
        if user {
            self.tell("user", word, about);
        }
        if room {
            self.tell("room", word, about);
        }
    }

    fn tell(&mut self, channel: &str, word: &str, about: &str) {
        let operation = json!({
            "action": "send",
            "summary": about,
            "channel": {"$ref": format!("#/channels/{channel}")},
            "messages": [message_of(channel, word)],
        });
        self.operations.insert(format!("{channel}.says.{word}"), operation);
        let names = match channel {
            "user" => &mut self.user,
            "room" => &mut self.room,
            _ => &mut self.socket,
        };
        names.push(word.to_owned());
    }

    /// What is in no enum: pushes without a place, whole pictures, refusals and heartbeats.
    fn pushes(&mut self) {
        let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        for (word, about, content) in [
            ("hello", "The first push: who one is, what time it is, who is there, what follows", "Hello"),
            ("room.counts", "How many sit in watched rooms, at most once a second", "CountsView"),
            ("bye", "The last frame before every close", "ByeView"),
        ] {
            self.message(word, about, &json!({"ev": {"const": word}, "d": schema(content)}), &[]);
            self.tell("socket", word, about);
        }
        for (channel, content) in [("user", "UserView"), ("room", "RoomState")] {
            let word = format!("snapshot.{channel}");
            let about = "The whole state of the channel and the place it stands at";
            let properties = json!({
                "ch": schema("Channel"),
                "ev": {"const": "snapshot"},
                "at": {"type": "integer", "format": "int64"},
                "d": {"allOf": [schema("Place"), schema(content)]},
            });
            self.message(&word, about, &properties, &[]);
            self.tell(channel, &word, about);
        }
        let about = "Keeps the place of an event that a later one made pointless";
        let off = json!({"type": "integer", "format": "int64", "minimum": 1});
        self.message(
            "superseded",
            about,
            &json!({"ch": schema("Channel"), "off": off, "ev": {"const": "superseded"}}),
            &[],
        );
        self.tell("user", "superseded", about);
        self.tell("room", "superseded", about);
        let refused = json!({"id": {"type": ["integer", "null"]}, "err": schema("ErrView")});
        self.message("err", "Why an operation was not done", &refused, &[]);
        self.socket.push("err".to_owned());
        self.message("heartbeat", "Wants the same for an answer", &json!({}), &[]);
        self.tell("socket", "heartbeat", "Wants the same for an answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = asyncapi().unwrap();
        let mut values = vec![&document];
        while let Some(value) = values.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
            match value {
                Value::Object(fields) => values.extend(fields.values()),
                Value::Array(items) => values.extend(items),
                _ => {}
            }
        }
    }
}
