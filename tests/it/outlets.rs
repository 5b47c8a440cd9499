//! The hub's ends of connections: gates, queues, caps, and who hears what.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use entity::{AccountId, Millis, RoomId, SessionId};
use solgik::{
    clock::Clock,
    config::{Config, Flags},
    realtime::{
        Channel, CloseReason, Event, Hub, Place,
        broker::Delivery,
        outlet::{Closing, Duty, Outlet, Overflow, Wire},
        outqueue::Bounds,
        protocol::events::{ExitReason, Routing},
        registry::Registry,
    },
    telemetry::Metrics,
};

const ROOM: Channel = Channel::Room(RoomId(42));
const OTHER: Channel = Channel::User(AccountId(9));
const SUMI: AccountId = AccountId(9);
const HANA: AccountId = AccountId(7);

fn registry(messages: usize) -> Registry {
    Registry::new(Bounds { messages, bytes: 1 << 20 }, Arc::default())
}

fn add(registry: &Registry, account: AccountId) -> Arc<Outlet> {
    registry.add(account, SessionId(1), 8)
}

fn place(off: u64) -> Place {
    Place { epoch: "e".into(), off }
}

/// An event whose frame is its offset.
fn event(channel: Channel, off: u64) -> Arc<Delivery> {
    routed(channel, off, Routing::default())
}

fn routed(channel: Channel, off: u64, routing: Routing) -> Arc<Delivery> {
    Arc::new(Delivery { channel, place: place(off), at: Millis(0), frame: off.to_string().into(), routing })
}

/// Says something in a room, at the end of whose turn it is looked what came of it.
fn tell(registry: &Registry, delivery: &Arc<Delivery>) {
    registry.deliver(delivery);
    registry.settle(delivery.channel);
}

/// Waits until there is something to do.
async fn woken(outlet: &Outlet) {
    std::future::poll_fn(|context| outlet.poll_duty(context)).await;
}

fn frames(outlet: &Outlet) -> Vec<String> {
    outlet.turn(usize::MAX).frames.iter().map(ToString::to_string).collect()
}

#[test]
fn a_gate_drops_what_the_snapshot_has_and_keeps_the_order() {
    let registry = registry(100);
    let sumi = add(&registry, SUMI);
    sumi.hold(ROOM);
    registry.subscribe(&sumi, ROOM);
    for off in 1..=5 {
        tell(&registry, &event(ROOM, off));
    }
    sumi.deliver(&event(OTHER, 1));
    assert_eq!(frames(&sumi), ["1"], "another channel's gate is open");
    sumi.release(ROOM, &place(3)).unwrap();
    tell(&registry, &event(ROOM, 6));
    assert_eq!(frames(&sumi), ["4", "5", "6"]);
}

#[test]
fn a_gate_that_misses_something_says_so() {
    let registry = registry(5000);
    let sumi = add(&registry, SUMI);
    for (held, released) in [(1024, Ok(())), (1025, Err(Overflow))] {
        sumi.hold(ROOM);
        for off in 1..=held {
            sumi.deliver(&event(ROOM, off));
        }
        assert_eq!(sumi.release(ROOM, &place(0)), released, "{held}");
    }
    assert_eq!(frames(&sumi).len(), 1024, "nothing of a gate that ran over");
    sumi.hold(ROOM);
    sumi.deliver(&event(ROOM, 1));
    let elsewhere = Place { epoch: "another".into(), off: 0 };
    assert_eq!(sumi.release(ROOM, &elsewhere), Err(Overflow), "the numbering began anew meanwhile");
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_harms_nobody() {
    let registry = registry(2);
    let (slow, quick) = (add(&registry, SUMI), add(&registry, HANA));
    registry.subscribe(&slow, ROOM);
    registry.subscribe(&quick, ROOM);
    for off in 1..=5 {
        tell(&registry, &event(ROOM, off));
        woken(&quick).await;
        assert_eq!(frames(&quick), [off.to_string()]);
    }
    woken(&slow).await;
    let turn = slow.turn(usize::MAX);
    assert_eq!(turn.frames.len(), 2, "no gap before the close");
    assert_eq!(turn.closing.unwrap().reason, CloseReason::Slow);
    tell(&registry, &event(ROOM, 6));
    assert!(frames(&slow).is_empty(), "nothing after the last word");
    assert_eq!(quick.turn(usize::MAX).closing, None);
}

/// A wire that takes so many bytes at a time, and every other time nothing.
#[derive(Debug)]
struct Narrow {
    width: usize,
    open: AtomicBool,
    took: Mutex<Vec<u8>>,
}

impl Wire for Narrow {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.open.fetch_not(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(self.width);
        self.took.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

fn narrow(width: usize) -> Arc<Narrow> {
    Arc::new(Narrow { width, open: AtomicBool::new(true), took: Mutex::default() })
}

/// However narrow a wire is and whoever writes, what leaves is whole and in its order.
#[tokio::test]
async fn what_was_said_leaves_in_its_order_whoever_writes() {
    for width in 1..40 {
        let registry = registry(100);
        let sumi = add(&registry, SUMI);
        let wire = narrow(width);
        sumi.attach(Arc::clone(&wire) as Arc<dyn Wire>);
        registry.subscribe(&sumi, ROOM);
        let mut expected = Vec::new();
        for off in 1..=20 {
            // One, two or three of a turn, and what is said behind them.
            let turn = off * 10..=off * 10 + off % 3;
            for off in turn.clone() {
                registry.deliver(&event(ROOM, off));
            }
            registry.say(&sumi, [format!("answer {off}").into()]);
            for text in turn.map(|off| off.to_string()).chain([format!("answer {off}")]) {
                expected.extend([0x81, u8::try_from(text.len()).unwrap()]);
                expected.extend(text.bytes());
            }
            if off % 3 == 0 {
                sumi.flush(&mut Vec::new());
            }
        }
        for _ in 0..expected.len() * 2 {
            sumi.flush(&mut Vec::new());
        }
        assert_eq!(*wire.took.lock().unwrap(), expected, "{width} bytes at a time");
        assert_eq!((sumi.queued(), sumi.closing()), ((0, 0), None));
    }
}

/// Whatever depends on what was said in the same turn finds it said.
#[tokio::test]
async fn what_is_gathered_comes_before_what_depends_on_it() {
    let registry = registry(100);
    let (sumi, hana) = (add(&registry, SUMI), add(&registry, HANA));
    registry.subscribe(&sumi, ROOM);
    registry.subscribe(&sumi, OTHER);
    for off in 1..=2 {
        registry.deliver(&event(ROOM, off));
    }
    assert!(frames(&sumi).is_empty(), "the turn is not over");
    registry.subscribe(&hana, ROOM);
    assert_eq!((frames(&sumi).len(), frames(&hana).len()), (2, 0), "whoever comes hears what comes after");
    registry.deliver(&event(ROOM, 3));
    registry.deliver(&event(OTHER, 1));
    assert_eq!(frames(&sumi), ["3", "1"], "what one is told oneself does not overtake the room");
    for off in 4..=5 {
        registry.deliver(&event(ROOM, off));
    }
    sumi.hold(ROOM);
    registry.release(&sumi, ROOM, &place(5)).unwrap();
    assert!(frames(&sumi).is_empty(), "a picture that has it stands in its place");
    hana.hold(ROOM);
    registry.deliver(&event(ROOM, 6));
    registry.unsubscribe(&hana, ROOM);
    assert_eq!(frames(&sumi), ["6"]);
    assert_eq!(frames(&hana), ["3", "4", "5"], "what its closed gate holds goes with it");
    for off in 7..100 {
        registry.deliver(&event(ROOM, off));
    }
    assert_eq!(frames(&sumi).len(), 64, "no turn is longer than it may be");
}

#[test]
fn an_answer_waits_for_the_end_of_its_rooms_turn() {
    let registry = registry(100);
    let (sumi, hana) = (add(&registry, SUMI), add(&registry, HANA));
    let answer = |outlet, text: &str| registry.answer(outlet, vec![text.to_owned().into()]);
    registry.subscribe(&sumi, ROOM);
    registry.subscribe(&hana, ROOM);
    answer(&sumi, "at once");
    assert_eq!(frames(&sumi), ["at once"], "nothing was said");
    registry.deliver(&event(ROOM, 1));
    answer(&sumi, "said");
    registry.deliver(&event(ROOM, 2));
    assert!(frames(&sumi).is_empty(), "the turn is not over");
    registry.settle(ROOM);
    assert_eq!(frames(&sumi), ["1", "2", "said"]);
    registry.deliver(&event(ROOM, 3));
    answer(&sumi, "said again");
    registry.say(&sumi, ["and more".to_owned().into()]);
    assert_eq!(frames(&sumi), ["3", "said again", "and more"], "nothing overtakes an answer");
    registry.deliver(&event(ROOM, 4));
    answer(&hana, "left");
    registry.unsubscribe(&hana, ROOM);
    assert_eq!(frames(&hana), ["1", "2", "3", "4", "left"], "whoever goes takes the answers along");
}

#[tokio::test]
async fn a_wire_that_takes_nothing_wakes_its_task_and_a_full_queue_ends_it() {
    let registry = registry(4);
    let sumi = add(&registry, SUMI);
    let wire = narrow(3);
    sumi.attach(Arc::clone(&wire) as Arc<dyn Wire>);
    registry.subscribe(&sumi, ROOM);
    tell(&registry, &event(ROOM, 1));
    tell(&registry, &event(ROOM, 2));
    sumi.flush(&mut Vec::new());
    let duty = std::future::poll_fn(|context| sumi.poll_duty(context)).await;
    assert_eq!(duty, Duty::Stuck { own: false });
    for off in 3..=6 {
        tell(&registry, &event(ROOM, off));
    }
    assert_eq!(sumi.closing().map(|closing| closing.reason), Some(CloseReason::Slow), "five wait, four may");
    wire.open.store(false, Ordering::Relaxed);
    assert!(sumi.detach().is_empty(), "no frame is torn");
    tell(&registry, &event(ROOM, 7));
    assert_eq!(*wire.took.lock().unwrap(), b"\x81\x011", "nothing follows a gap");
}

#[test]
fn a_torn_frame_is_left_to_whoever_says_goodbye() {
    let registry = registry(4);
    let sumi = add(&registry, SUMI);
    sumi.attach(narrow(2) as Arc<dyn Wire>);
    registry.say(&sumi, ["hello".into(), "later".into()]);
    sumi.flush(&mut Vec::new());
    assert_eq!(&sumi.detach()[..], b"llo", "two bytes more were taken, and the rest of the frame is owed");
}

#[test]
fn the_first_reason_to_close_counts() {
    let registry = registry(2);
    let sumi = add(&registry, SUMI);
    let draining = Closing { reason: CloseReason::Draining, reconnect_ms: Some(700) };
    sumi.close(draining);
    sumi.close(Closing { reason: CloseReason::Slow, reconnect_ms: None });
    assert_eq!(sumi.turn(usize::MAX).closing, Some(draining));
}

#[test]
fn a_move_asks_the_connection_once_to_look_where_it_belongs() {
    let registry = registry(2);
    let sumi = add(&registry, SUMI);
    sumi.deliver(&routed(OTHER, 1, Routing { follow: true, ..Routing::default() }));
    assert!(sumi.turn(usize::MAX).follow);
    assert!(!sumi.turn(usize::MAX).follow);
}

#[test]
fn no_picture_is_shown_behind_the_word_of_a_move() {
    let registry = registry(100);
    let sumi = add(&registry, SUMI);
    let room = RoomId(42);
    assert!(registry.show_room(&sumi, room, "picture".into()));
    assert!(sumi.shown().has(room));
    // He moves while it is read once more.
    sumi.deliver(&routed(OTHER, 1, Routing { follow: true, seat: None, ..Routing::default() }));
    assert!(!registry.show_room(&sumi, room, "picture".into()));
    assert_eq!(sumi.shown().seat(), None);
    assert!(sumi.takes_follow(), "nobody looks where he went");
    assert!(registry.show_room(&sumi, room, "picture".into()), "what is read after the word is shown");
    assert_eq!(frames(&sumi), ["picture", "1", "picture"]);
}

#[test]
fn a_move_that_a_closed_gate_drops_is_not_forgotten() {
    let registry = registry(2);
    let sumi = add(&registry, SUMI);
    sumi.hold(OTHER);
    sumi.deliver(&routed(OTHER, 1, Routing { follow: true, ..Routing::default() }));
    sumi.release(OTHER, &place(1)).unwrap();
    let turn = sumi.turn(usize::MAX);
    assert!(turn.frames.is_empty(), "the picture has it");
    assert!(turn.follow, "and what it means for the connection still holds");
}

#[test]
fn what_is_missing_is_to_be_read_until_it_was() {
    let registry = registry(100);
    let sumi = add(&registry, SUMI);
    registry.subscribe(&sumi, ROOM);
    registry.resync(ROOM);
    assert!(sumi.is_held(ROOM));
    assert_eq!(sumi.take_stale(), [ROOM]);
    assert_eq!(sumi.take_stale(), [], "once: whoever asks reads it");
    sumi.try_again(ROOM);
    assert_eq!(sumi.take_stale(), [ROOM]);
    assert_eq!(registry.release(&sumi, ROOM, &place(3)), Ok(()));
    sumi.try_again(ROOM);
    assert_eq!(sumi.take_stale(), [], "somebody has read it meanwhile");
}

#[test]
fn whoever_listens_to_another_room_no_longer_listens_to_the_former() {
    let (registry, next) = (registry(100), Channel::Room(RoomId(43)));
    let sumi = add(&registry, SUMI);
    for channel in [OTHER, ROOM, ROOM, next] {
        registry.subscribe(&sumi, channel);
    }
    let listens = |channel| registry.listens(&sumi, channel);
    assert_eq!([OTHER, ROOM, next].map(listens), [true, false, true]);
    assert_eq!(sumi.room(), Some(next));
    registry.forget(&sumi);
    assert!(registry.check().is_ok() && !registry.has_listeners(next) && !registry.has_listeners(OTHER));
}

#[test]
fn the_oldest_device_makes_room() {
    let registry = registry(2);
    let devices: Vec<_> = (1..=3).map(|session| registry.add(SUMI, SessionId(session), 2)).collect();
    let hana = registry.add(HANA, SessionId(4), 2);
    let replaced = |outlet: &Outlet| outlet.turn(usize::MAX).closing.map(|closing| closing.reason);
    assert_eq!(replaced(&devices[0]), Some(CloseReason::Replaced));
    assert_eq!((replaced(&devices[1]), replaced(&devices[2]), replaced(&hana)), (None, None, None));
}

#[test]
fn the_registry_knows_when_it_is_wrong() {
    let registry = registry(2);
    let (sumi, hana) = (add(&registry, SUMI), add(&registry, HANA));
    registry.subscribe(&sumi, ROOM);
    registry.subscribe(&hana, ROOM);
    registry.check().unwrap();
    registry.forget(&sumi);
    registry.check().unwrap();
    assert!(!registry.listens(&sumi, ROOM), "who is forgotten listens to nothing");
    registry.subscribe(&sumi, ROOM);
    assert!(registry.check().is_err(), "a connection that is gone listens");
    registry.unsubscribe(&sumi, ROOM);
    registry.check().unwrap();
    registry.detach(HANA, ROOM);
    assert!(!registry.has_listeners(ROOM));
    registry.forget(&hana);
    assert!(registry.is_empty());
    registry.check().unwrap();
}

#[tokio::test]
async fn who_leaves_a_room_hears_nothing_of_it_from_then_on() {
    let config = Config::load(&Flags::default(), []).unwrap();
    let hub = Hub::new(&config, Clock::default(), Metrics::new([]), Box::new(|_, _| {})).await.unwrap();
    let (phone, laptop, hana) = (add(hub.registry(), SUMI), add(hub.registry(), SUMI), add(hub.registry(), HANA));
    for outlet in [&phone, &laptop, &hana] {
        hub.subscribe(outlet, ROOM).await.unwrap();
        outlet.release(ROOM, &hub.standing(ROOM).await.unwrap().place).unwrap();
    }
    hub.say(ROOM, &Event::RoomExited { user: SUMI.0, at: 0, reason: ExitReason::Left }).await.unwrap();
    hub.say(ROOM, &Event::RoomCheer { user: HANA.0, text: "조용하네".into() }).await.unwrap();
    hub.registry().settle(ROOM);
    assert_eq!(frames(&hana).len(), 2);
    for outlet in [&phone, &laptop] {
        let turn = outlet.turn(usize::MAX);
        assert!(turn.frames.is_empty());
        assert!(turn.follow, "the word may be late: perhaps the seat is taken again");
    }
}
