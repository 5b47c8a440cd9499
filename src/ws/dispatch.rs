//! The socket's operations: one match onto the functions that REST calls too.

use entity::{AccountId, RoomId, RunId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    channels::{ChannelView, Channels},
    connection::Connection,
};
use crate::{
    error::{Error, ErrorCode, FieldError, Result},
    friends::{self, relation::Action, routes::StatusView},
    http::body,
    outbox, people,
    realtime::{
        Channel, CloseReason, Event, Place,
        protocol::{
            Frame,
            events::{RoomView, RunView},
            frames,
            ops::{Op, Request},
        },
        shown::Shown,
    },
    rooms,
    runs::{self, plan::Change},
    timer::{self, Command, Order},
};

/// Characters of a cheer and of a goal.
const LONGEST_TEXT: usize = 200;

#[derive(Serialize, ToSchema)]
pub(super) struct Entered {
    room: RoomView,
    #[schema(value_type = BTreeMap<Channel, ChannelView>)]
    channels: Channels,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Left {
    room: i64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Refreshed {
    token_expires_at: i64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Goal {
    #[schema(required)]
    text: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Said {
    /// Its place; null if nobody listened.
    #[schema(required)]
    off: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Timed {
    user_state: u8,
    time: i64,
    run: RunView,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Nothing {}

#[derive(Serialize, ToSchema)]
pub(super) struct Whoami {
    user: people::PublicView,
    session: i64,
    instance: String,
    #[schema(required)]
    room: Option<i64>,
    server_time: i64,
    token_expires_at: i64,
}

impl Connection {
    /// Carries out one request and answers it. Only a channel that can't be read any more ends the connection.
    pub(super) async fn dispatch(&mut self, request: Request) -> Result<(), CloseReason> {
        let id = request.id;
        let done = match request.op {
            Ok(op) => self.carry_out(id, op).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(answered) => answered,
            Err(error) => {
                if let Error::Internal(error) = &error {
                    tracing::error!(error = format!("{error:#}"), "an operation failed");
                }
                self.write([frames::err(id, &error, self.locale)]);
                Ok(())
            }
        }
    }

    /// The outer result is the operation's, the inner one the connection's.
    async fn carry_out(&mut self, id: Option<u32>, op: Op) -> Result<Result<(), CloseReason>> {
        let answer = match op {
            Op::Auth { .. } => return Err(ErrorCode::MalformedMessage.into()),
            Op::Refresh { token } => self.refresh(id, &token).await?,
            Op::Sync { since } => return Ok(self.sync(id, &since).await),
            Op::RoomEnter { room, password } => return self.enter(id, RoomId(room), password).await,
            Op::RoomLeave {} => {
                let left = rooms::leave(&self.app, self.caller.account, None).await?;
                self.leave_channel();
                // Whoever went there without a word takes itself to sit where it sat before, and is shown otherwise.
                if self.outlet.shown().seat() == Some(left) {
                    self.outlet.show(Shown::picture(None));
                }
                // Another device may have entered somewhere meanwhile.
                self.outlet.follow();
                frames::ok(id, &Left { room: left.0 })
            }
            Op::RoomWatch { rooms } => self.watch(id, rooms).await?,
            Op::RoomUnwatch {} => {
                self.lobby = None;
                frames::ok(id, &Nothing {})
            }
            Op::TimerStart { total_time, work_time, break_time, cmd } => {
                let plan = Change { total_time, work_time, break_time };
                self.time(id, Command::Start, plan, None, cmd).await?
            }
            Op::TimerPause { run, cmd } => self.time(id, Command::Pause, Change::default(), run, cmd).await?,
            Op::TimerResume { run, cmd } => self.time(id, Command::Resume, Change::default(), run, cmd).await?,
            Op::TimerStop { run, cmd } => self.time(id, Command::Stop, Change::default(), run, cmd).await?,
            Op::GoalSet { text } => {
                let text = text.map(|text| shown("text", &text)).transpose()?.filter(|text| !text.is_empty());
                rooms::set_goal(&self.app, self.caller.account, text.clone()).await?;
                frames::ok(id, &Goal { text })
            }
            Op::RoomCheer { text } => {
                let said = self.cheer(id, &text).await?;
                self.answer(said);
                return Ok(Ok(()));
            }
            Op::FriendRequest { user } => self.befriend(id, user, Action::Request).await?,
            Op::FriendCancel { user } => self.befriend(id, user, Action::Cancel).await?,
            Op::FriendAccept { user } => self.befriend(id, user, Action::Accept).await?,
            Op::FriendReject { user } => self.befriend(id, user, Action::Reject).await?,
            Op::FriendRemove { user } => self.befriend(id, user, Action::Remove).await?,
            Op::Whoami {} => self.whoami(id).await?,
        };
        self.write([answer]);
        Ok(Ok(()))
    }

    async fn refresh(&mut self, id: Option<u32>, token: &str) -> Result<Frame> {
        let caller = self.app.auth.check(token).await?;
        // Another session's end would not find this socket.
        if (caller.account, caller.session) != (self.caller.account, self.caller.session) {
            return Err(ErrorCode::TokenInvalid.into());
        }
        self.caller = caller;
        Ok(frames::ok(id, &Refreshed { token_expires_at: caller.expires_at.0 }))
    }

    async fn enter(
        &mut self,
        id: Option<u32>,
        room: RoomId,
        password: Option<String>,
    ) -> Result<Result<(), CloseReason>> {
        rooms::enter(&self.app, self.caller.account, room, password, self.peer).await?;
        loop {
            let Some((view, place)) = self.arrive(room).await.inspect_err(|_| {
                // Seated all the same: the word of the move was taken with what waited, and nobody else would look again.
                self.look_again(None);
            })?
            else {
                return Err(ErrorCode::NotAMember.into());
            };
            let room = RoomId(view.id);
            let channel = Channel::Room(room);
            let channels = Channels::from([(channel, place.clone().into())]);
            if self.show_room(room, frames::ok(id, &Entered { room: view, channels })) {
                return Ok(self.release(channel, &place).await);
            }
        }
    }

    /// The picture of the room that was just entered, its gate closed.
    async fn arrive(&mut self, room: RoomId) -> Result<Option<(RoomView, Place)>> {
        // The move is said before its picture, which is read once if the room has heard of it as well.
        let moved = [Channel::User(self.caller.account), Channel::Room(room)];
        outbox::catch_up(&self.app.db, &self.app.hub, &moved).await?;
        self.outlet.takes_follow();
        // Whoever listens already gets the picture all the same: it asked for it.
        self.app.hub.unsubscribe(&self.outlet, Channel::Room(room));
        self.follow().await
    }

    /// A word to the room. Listening to its channel is the proof of sitting there: leaving ends it at once.
    async fn cheer(&mut self, id: Option<u32>, text: &str) -> Result<Frame> {
        let text = shown("text", text)?;
        if text.is_empty() {
            return Err(Error::field("text", ErrorCode::Required));
        }
        let channel = self.outlet.room().ok_or(ErrorCode::NotAMember)?;
        if !self.app.hub.registry().listens(&self.outlet, channel) {
            return Err(ErrorCode::NotAMember.into());
        }
        let place = self.app.hub.say(channel, &Event::RoomCheer { user: self.caller.account.0, text }).await?;
        Ok(frames::ok(id, &Said { off: place.map(|place| place.off) }))
    }

    async fn time(
        &mut self,
        id: Option<u32>,
        command: Command,
        plan: Change,
        run: Option<i64>,
        cmd: Option<String>,
    ) -> Result<Frame> {
        if cmd.as_ref().is_some_and(|cmd| cmd.chars().count() > 64) {
            return Err(Error::fields(vec![FieldError::new("cmd", ErrorCode::TooLong).with("max", 64)]));
        }
        let order = Order { run: run.map(RunId), command: cmd };
        let run = timer::carry_out(&self.app, self.caller.account, command, plan, order).await?;
        let now = self.app.clock.now();
        let view = run.view(now);
        Ok(frames::ok(id, &Timed { user_state: run.state(now).code(), time: now.0, run: view }))
    }

    async fn befriend(&mut self, id: Option<u32>, user: i64, action: Action) -> Result<Frame> {
        let change = friends::act(&self.app, self.caller.account, AccountId(user), action).await?;
        Ok(frames::ok(id, &StatusView::from(change)))
    }

    async fn whoami(&mut self, id: Option<u32>) -> Result<Frame> {
        let account = people::get(&*self.app.db, self.caller.account).await?;
        let standings = runs::standings(&*self.app.db, self.app.clock.now(), [account.id]).await?;
        let answer = Whoami {
            user: people::public(&account, people::Closeness::Close, standings.state(account.id)),
            session: self.caller.session.0,
            instance: self.app.hub.instance().to_string(),
            room: self.room().map(|room| room.0),
            server_time: self.app.clock.now().0,
            token_expires_at: self.caller.expires_at.0,
        };
        Ok(frames::ok(id, &answer))
    }
}

/// A text that others will see.
fn shown(field: &'static str, text: &str) -> Result<String> {
    let text = body::visible(text);
    body::check_visible_lines(field, &text, LONGEST_TEXT).map_err(|error| Error::fields(vec![error]))?;
    Ok(text)
}
