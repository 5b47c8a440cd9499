//! How things are called in Redis.
//!
//! Promises that everything that one script touches has one hash tag, so that it lies in one slot of a cluster. What
//! belongs to a channel or a user lies in the partition of its id; names of one kind can't be mistaken for another's.

use entity::AccountId;

use crate::realtime::protocol::Channel;

/// How many tags there are. Enough to spread over a cluster's nodes evenly; few enough that an instance can look at
/// each of them every second.
const PARTITIONS: u16 = 64;

/// One tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition(u16);

impl Partition {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    pub(super) fn of_channel(channel: Channel) -> Self {
        match channel {
            Channel::User(id) => Self::of(id.0),
            Channel::Room(id) => Self::of(id.0),
        }
    }

    pub(super) fn of_user(user: AccountId) -> Self {
        Self::of(user.0)
    }

    /// Ids are given one after another, so their remainders are spread evenly.
    fn of(id: i64) -> Self {
        Self(u16::try_from(id.rem_euclid(PARTITIONS.into())).unwrap_or_default())
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

/// Names below one installation's prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn tagged(&self, partition: Partition, rest: impl std::fmt::Display) -> String {
        format!("{}:{{p{}}}:{rest}", self.prefix, partition.0)
    }

    /// Where a channel stands; its events are told under this name, too.
    pub(super) fn head(&self, channel: Channel) -> String {
        self.tagged(Partition::of_channel(channel), channel)
    }

    /// A channel's short memory.
    pub(super) fn log(&self, channel: Channel) -> String {
        self.tagged(Partition::of_channel(channel), format_args!("{channel}:log"))
    }

    /// A user's devices and what others were told of them.
    pub(super) fn user(&self, user: AccountId) -> String {
        self.tagged(Partition::of_user(user), format_args!("online:{user}"))
    }

    /// Users by when somebody has to look at them: the end of a grace, or of a telling that may have died.
    pub(super) fn due(&self, partition: Partition) -> String {
        self.tagged(partition, "due")
    }

    /// What an instance holds of a partition.
    pub(super) fn held_by(&self, partition: Partition, instance: &str) -> String {
        self.tagged(partition, format_args!("held:{instance}"))
    }

    /// That an instance's devices were given up: it must not speak under this name any more.
    pub(super) fn fenced(&self, partition: Partition, instance: &str) -> String {
        self.tagged(partition, format_args!("fenced:{instance}"))
    }

    /// What is there as long as a partition has not lost its data.
    pub(super) fn life(&self, partition: Partition) -> String {
        self.tagged(partition, "life")
    }

    /// What is there while pictures may be about that were drawn before everybody had been said again.
    pub(super) fn doubt(&self, partition: Partition) -> String {
        self.tagged(partition, "doubt")
    }

    /// Under which an instance hears itself.
    pub(super) fn probe(&self, partition: Partition, instance: &str) -> String {
        self.tagged(partition, format_args!("probe:{instance}"))
    }

    /// Under which instances talk to each other.
    pub(super) fn words(&self) -> String {
        format!("{}:{{words}}", self.prefix)
    }

    /// Instances by their last sign of life, what they say of themselves, those that are given up, and who sees to each of
    /// these.
    pub(super) fn leases(&self) -> [String; 4] {
        ["", ":about", ":ended", ":claimed"].map(|rest| format!("{}:{{leases}}{rest}", self.prefix))
    }

    /// What is kept to be taken once.
    pub(super) fn kept(&self, key: &str) -> String {
        format!("{}:kept:{key}", self.prefix)
    }

    /// How often somebody has tried something.
    pub(super) fn tries(&self, who: &str) -> String {
        format!("{}:tries:{who}", self.prefix)
    }

    /// The index of the partition in which `topic` lies.
    pub(super) fn partition_of(&self, topic: &str) -> Option<usize> {
        topic.strip_prefix(&*self.prefix)?.strip_prefix(":{p")?.split_once('}')?.0.parse().ok()
    }

    /// The channel whose events are told as `topic`.
    pub(super) fn channel_of(&self, topic: &str) -> Option<Channel> {
        topic.strip_prefix(&*self.prefix)?.split_once("}:")?.1.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use entity::RoomId;

    use super::*;

    #[test]
    fn a_channels_names_share_a_tag_and_are_read_back() {
        let keys = Keys::new("solgik");
        let channel = Channel::Room(RoomId(42));
        assert_eq!(keys.head(channel), "solgik:{p42}:room:42");
        assert_eq!(keys.log(channel), "solgik:{p42}:room:42:log");
        assert_eq!(keys.channel_of("solgik:{p42}:room:42"), Some(channel));
        for other in ["solgik:{p42}:probe:ab", "solgik:{words}", "else:{p42}:room:42", "solgik:{p42}:room:42:log"] {
            assert_eq!(keys.channel_of(other), None, "{other}");
        }
        assert_eq!(keys.user(AccountId(65)), "solgik:{p1}:online:65");
    }
}
