//! One server or a cluster, and a connection to it.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, ProtocolVersion, RedisFuture, RedisResult, Value,
    aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};

use super::{keys::Partition, link::UNDER_WAY};
use crate::error::Result;

/// How long a connection may take to come about, and an answer to come. Longer than Redis ever pauses on purpose;
/// shorter than anybody waits for an answer of ours.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);

/// The same where one listens: whoever does not hear finds out by other means, and connecting anew costs all subscriptions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where Redis is.
pub(super) enum Target {
    /// One server.
    One(Box<Client>),
    /// Some nodes of a cluster; they know the others.
    Cluster(Vec<redis::ConnectionInfo>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Target {
    /// `redis://host:port/0` or `rediss://…` is a server; several, separated by commas, are nodes of a cluster.
    pub(super) fn parse(urls: &str) -> anyhow::Result<Self> {
        let read = |url: &str| -> anyhow::Result<redis::ConnectionInfo> {
            let unreadable = || anyhow::anyhow!("broker.redis_url: write redis://host:port, or several with commas");
            let info = url.trim().into_connection_info().map_err(|_| unreadable())?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            Ok(info.set_redis_settings(settings))
        };
        let mut nodes =
            urls.split(',').filter(|url| !url.trim().is_empty()).map(read).collect::<Result<Vec<_>, _>>()?;
        match nodes.pop() {
            Some(only) if nodes.is_empty() && !urls.contains(',') => Ok(Self::One(Box::new(Client::open(only)?))),
            last => {
                nodes.extend(last);
                Ok(Self::Cluster(nodes))
            }
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Partitions by which a server shows whether it lives and is heard: in a cluster each may lie on another one. Where
    /// there is one server, one partition speaks for all.
    pub(super) fn probed(&self) -> impl Iterator<Item = Partition> {
        Partition::all().take(if self.is_cluster() { usize::MAX } else { 1 })
    }

    /// Connects; what the server says unasked goes to `pushes`.
    pub(super) async fn connect(&self, pushes: Option<impl AsyncPushSender>) -> RedisResult<Wire> {
        match self {
            Self::One(client) => {
                let mut config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(ANSWER))
                    .set_pipeline_buffer_size(UNDER_WAY);
                if let Some(pushes) = pushes {
                    config = config.set_push_sender(pushes).set_response_timeout(Some(PATIENCE));
                }
                Ok(Wire::One(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Self::Cluster(nodes) => {
                let mut builder: ClusterClientBuilder = ClusterClient::builder(nodes.iter().cloned())
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(CONNECT)
                    .response_timeout(ANSWER)
                    // A slot may be on its way to another node; a node that is gone is for others to notice.
                    .retries(2);
                if let Some(pushes) = pushes {
                    builder = builder.push_sender(pushes).response_timeout(PATIENCE);
                }
                Ok(Wire::Cluster(builder.build()?.get_async_connection().await?))
            }
        }
    }
}

/// One connection, shared by everybody who has a clone.
#[derive(Clone)]
pub(super) enum Wire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Wire {
    /// Listens to `topics`; in a cluster all of one partition.
    pub(super) async fn subscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        match self {
            Self::One(wire) => wire.subscribe(topics).await,
            Self::Cluster(wire) => wire.ssubscribe(topics).await,
        }
    }

    pub(super) async fn unsubscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        match self {
            Self::One(wire) => wire.unsubscribe(topics).await,
            Self::Cluster(wire) => wire.sunsubscribe(topics).await,
        }
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(wire) => wire.req_packed_command(cmd),
            Self::Cluster(wire) => wire.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(wire) => wire.req_packed_commands(pipeline, offset, count),
            Self::Cluster(wire) => wire.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(wire) => wire.get_db(),
            Self::Cluster(wire) => wire.get_db(),
        }
    }
}
