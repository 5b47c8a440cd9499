//! What the server tells without being asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An event with a place in its channel. `user` is always an id; instants are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "ev", content = "d")]
#[allow(missing_docs, reason = "the fields' names are the wire's; socket.md's table describes them")]
pub enum Event {
    /// Somebody took a seat.
    #[serde(rename = "room.entered")]
    RoomEntered { member: MemberView },
    /// Somebody left the seat for good.
    #[serde(rename = "room.exited")]
    RoomExited { user: i64, at: i64, reason: ExitReason },
    /// What is known of the room or of one member has changed.
    #[serde(rename = "room.updated")]
    RoomUpdated { member: MemberView },
    /// The last member has left.
    #[serde(rename = "room.closed")]
    RoomClosed { room: i64 },
    /// A member's first device connected.
    #[serde(rename = "presence.online")]
    PresenceOnline { user: i64, since: i64 },
    /// A member's last device is gone; `at` is when it was lost.
    #[serde(rename = "presence.offline")]
    PresenceOffline { user: i64, at: i64, reason: OfflineReason },
    /// Several of both, merged for a large room.
    #[serde(rename = "presence.batch")]
    PresenceBatch { online: Vec<OnlineView>, offline: Vec<OfflineView> },
    /// A timer began.
    #[serde(rename = "timer.started")]
    TimerStarted { user: i64, run: RunView },
    /// It stands still.
    #[serde(rename = "timer.paused")]
    TimerPaused { user: i64, run: RunView },
    /// It goes on.
    #[serde(rename = "timer.resumed")]
    TimerResumed { user: i64, run: RunView },
    /// It is over.
    #[serde(rename = "timer.stopped")]
    TimerStopped { user: i64, run: RunView, reason: StopReason },
    /// Another phase of a timer began.
    #[serde(rename = "timer.phase")]
    TimerPhase {
        user: i64,
        run: i64,
        phase: &'static str,
        index: i64,
        state: &'static str,
        #[schema(required)]
        ends_at: Option<i64>,
        next: Vec<BoundaryView>,
        server_time: i64,
    },
    /// A member set another goal.
    #[serde(rename = "goal.changed")]
    GoalChanged {
        user: i64,
        #[schema(required)]
        text: Option<String>,
    },
    /// A word to the room.
    #[serde(rename = "room.cheer")]
    RoomCheer { user: i64, text: String },
    /// Somebody asks for friendship.
    #[serde(rename = "friend.requested")]
    FriendRequested { user: i64, person: PersonView, at: i64 },
    /// The request was taken back.
    #[serde(rename = "friend.cancelled")]
    FriendCancelled { user: i64 },
    /// Now friends.
    #[serde(rename = "friend.accepted")]
    FriendAccepted { user: i64, friend: FriendView },
    /// The request was turned down.
    #[serde(rename = "friend.rejected")]
    FriendRejected { user: i64 },
    /// No longer friends.
    #[serde(rename = "friend.removed")]
    FriendRemoved { user: i64 },
    /// A friend's first device connected.
    #[serde(rename = "friend.online")]
    FriendOnline { user: i64, since: i64 },
    /// A friend's last device is gone.
    #[serde(rename = "friend.offline")]
    FriendOffline { user: i64, at: i64, reason: OfflineReason },
    /// A friend does something else.
    #[serde(rename = "friend.state")]
    FriendState { user: i64, state: &'static str },
    /// The user is in another room now, or in none.
    #[serde(rename = "room.moved")]
    RoomMoved {
        #[schema(required)]
        room: Option<i64>,
    },
}

/// What an event means for the connections that it passes on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Whose state it tells: a later one of the same user makes it pointless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_of: Option<i64>,
    /// Whose presence is filled in at the moment of publishing, because nobody knows it earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_of: Option<i64>,
    /// Who hears nothing of this channel from this event on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach: Option<i64>,
    /// Whose timer has changed: what was computed ahead of it is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_of: Option<i64>,
    /// Whether the receiving connections look again which room they belong to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Which room that is, as the event tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<i64>,
}

impl Event {
    /// How this event is to be treated on its way.
    pub fn routing(&self) -> Routing {
        let routing = Routing::default();
        match self {
            Self::PresenceOnline { user, .. }
            | Self::PresenceOffline { user, .. }
            | Self::FriendOnline { user, .. }
            | Self::FriendOffline { user, .. } => Routing { state_of: Some(*user), ..routing },
            Self::RoomEntered { member } => {
                let user = Some(member.person.id);
                Routing { presence_of: user, timer_of: user, ..routing }
            }
            Self::RoomUpdated { member } => Routing { presence_of: Some(member.person.id), ..routing },
            Self::FriendAccepted { friend, .. } => {
                let user = Some(friend.person.id);
                Routing { presence_of: user, timer_of: user, ..routing }
            }
            Self::RoomExited { user, .. } => Routing { detach: Some(*user), ..routing },
            Self::RoomMoved { room } => Routing { follow: true, seat: *room, ..routing },
            Self::TimerStarted { user, .. }
            | Self::TimerPaused { user, .. }
            | Self::TimerResumed { user, .. }
            | Self::TimerStopped { user, .. }
            | Self::FriendState { user, .. } => Routing { timer_of: Some(*user), ..routing },
            Self::RoomClosed { .. }
            | Self::PresenceBatch { .. }
            | Self::GoalChanged { .. }
            | Self::RoomCheer { .. }
            | Self::FriendRequested { .. }
            | Self::FriendCancelled { .. }
            | Self::FriendRejected { .. }
            | Self::FriendRemoved { .. }
            | Self::TimerPhase { .. } => routing,
        }
    }
}

/// Why somebody left a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExitReason {
    /// By choice.
    Left,
    /// The account is gone.
    Deleted,
}

/// Why somebody is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfflineReason {
    /// The last connection was lost and did not come back in time.
    Disconnected,
    /// The instance that held it is gone, and it came back to no other in time.
    InstanceLost,
    /// Signed out, or the account is gone.
    Logout,
}

/// One entry of `presence.batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct OnlineView {
    pub user: i64,
    pub since: i64,
}

/// One entry of `presence.batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct OfflineView {
    pub user: i64,
    pub at: i64,
    pub reason: OfflineReason,
}

/// What anybody may see of somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct PersonView {
    pub id: i64,
    pub name: String,
    pub last_name: String,
    pub first_name: String,
    #[schema(required)]
    pub image: Option<String>,
    pub current_state: u8,
    pub state: &'static str,
}

/// A friend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct FriendView {
    #[serde(flatten)]
    pub person: PersonView,
    pub online: bool,
    /// Online since, or offline since; null before the first visit.
    #[schema(required)]
    pub since: Option<i64>,
}

/// A request that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct RequestView {
    pub user: i64,
    pub person: PersonView,
    pub at: i64,
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct MemberView {
    #[serde(flatten)]
    pub person: PersonView,
    pub online: bool,
    /// Online since, or offline since; null before the first visit.
    #[schema(required)]
    pub since: Option<i64>,
    #[schema(required)]
    pub goal: Option<String>,
    /// The running timer, with its anchor and next boundaries.
    #[schema(required, value_type = Option<RunView>)]
    pub run: Option<Box<RunView>>,
}

/// A timer: its anchor, where it stands at `server_time`, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct RunView {
    pub id: i64,
    /// Minutes; 0 is open end.
    pub total_time: i32,
    /// Minutes; 0 is one long phase.
    pub work_time: i32,
    /// Minutes.
    pub break_time: i32,
    pub started_at: i64,
    pub state: &'static str,
    /// `work` or `break`; null once ended.
    #[schema(required)]
    pub phase: Option<&'static str>,
    #[schema(required)]
    pub index: Option<i64>,
    /// Since the start, pauses not counted.
    pub elapsed_ms: i64,
    #[schema(required)]
    pub paused_at: Option<i64>,
    /// When the present phase ends; null while paused, and for a phase without an end.
    #[schema(required)]
    pub ends_at: Option<i64>,
    /// When the plan is fulfilled; null while paused, and for an open end.
    #[schema(required)]
    pub completes_at: Option<i64>,
    pub next: Vec<BoundaryView>,
    #[schema(required)]
    pub ended_at: Option<i64>,
    pub server_time: i64,
}

/// The beginning of a phase to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct BoundaryView {
    pub index: i64,
    pub phase: &'static str,
    pub at: i64,
}

/// Why a timer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StopReason {
    /// By its owner.
    Stopped,
    /// The plan is fulfilled.
    Completed,
    /// Nobody was there any more, and it had no end of its own.
    Abandoned,
    /// The account is gone.
    Deleted,
}

impl StopReason {
    /// The word on the wire and in the row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
            Self::Deleted => "deleted",
        }
    }
}

/// The whole picture of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct RoomView {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub has_password: bool,
    pub members: Vec<MemberView>,
}

/// How many sit in a room, for its watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct CountView {
    pub id: i64,
    pub member_num: u64,
    pub online_num: u64,
}
