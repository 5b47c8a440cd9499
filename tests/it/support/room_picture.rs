//! What a client makes of a room: the picture that it was given, and every event applied by the protocol's rule.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A room as one client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomPicture {
    channel: String,
    epoch: Value,
    /// The last event that was applied.
    pub last: u64,
    pub members: BTreeMap<i64, Value>,
}

impl RoomPicture {
    /// The picture in `hello`, in the answer to `room.enter`, or anything else that has `room` and `channels`.
    pub fn of(told: &Value) -> Self {
        let channel = format!("room:{}", told["room"]["id"]);
        let place = &told["channels"][&channel];
        Self::at(channel.clone(), place, &told["room"])
    }

    fn at(channel: String, place: &Value, room: &Value) -> Self {
        let members = room["members"].as_array().unwrap_or_else(|| panic!("{room} is no picture"));
        let members = members.iter().map(|member| (member["id"].as_i64().unwrap(), member.clone())).collect();
        Self { channel, epoch: place["epoch"].clone(), last: place["off"].as_u64().unwrap(), members }
    }

    /// Where this client stands.
    pub fn since(&self) -> Value {
        json!({&self.channel: [self.epoch, self.last]})
    }

    /// Applies an event if it is the next of this channel, and says whether it was. A gap is a broken promise.
    pub fn apply(&mut self, event: &Value) -> bool {
        if event["ch"] != *self.channel {
            return false;
        }
        let d = &event["d"];
        if event["ev"] == "snapshot" {
            *self = Self::at(self.channel.clone(), d, &d["room"]);
            return true;
        }
        let off = event["off"].as_u64().unwrap_or_else(|| panic!("no place: {event}"));
        if off <= self.last {
            return false;
        }
        assert_eq!(off, self.last + 1, "a gap before {event}");
        self.last = off;
        match event["ev"].as_str().unwrap() {
            "room.entered" | "room.updated" => {
                self.members.insert(d["member"]["id"].as_i64().unwrap(), d["member"].clone());
            }
            "room.exited" => {
                self.members.remove(&d["user"].as_i64().unwrap());
            }
            "presence.online" => self.set_presence(d, true),
            "presence.offline" => self.set_presence(d, false),
            "presence.batch" => {
                d["online"].as_array().unwrap().iter().for_each(|entry| self.set_presence(entry, true));
                d["offline"].as_array().unwrap().iter().for_each(|entry| self.set_presence(entry, false));
            }
            "goal.changed" => {
                if let Some(member) = self.members.get_mut(&d["user"].as_i64().unwrap()) {
                    member["goal"] = d["text"].clone();
                }
            }
            "room.cheer" | "superseded" => {}
            other => panic!("{other} is not known"),
        }
        true
    }

    fn set_presence(&mut self, told: &Value, online: bool) {
        if let Some(member) = self.members.get_mut(&told["user"].as_i64().unwrap()) {
            member["online"] = online.into();
            member["since"] = told[if online { "since" } else { "at" }].clone();
        }
    }
}
