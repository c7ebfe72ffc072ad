//! The connections by which the servers push the names of keys that change: one to each primary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::Notify;

use crate::primaries::{Clients, Primaries};
use crate::watching::Watching;

/// Between two questions whether the other end is still there.
const PERIOD: Duration = Duration::from_secs(1);
/// So long the answer may take, if no shorter deadline is set.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long after a question that was answered, the servers are known to have been watched. Without an answer it ends before
/// by itself, whatever keeps this task from running.
const GOOD_FOR: Duration = PERIOD.saturating_add(PATIENCE);
/// So many periods lie between two looks at which servers are the primaries.
const LOOK_EVERY: u32 = 10;

/// Open connections, each of which is told every change of a partition by its server.
pub(crate) struct Tracking {
    primaries: Clients,
    connections: Vec<MultiplexedConnection>,
    /// Told when one of them is closed.
    closed: Arc<Notify>,
    patience: Duration,
}

impl Tracking {
    /// Connects to every primary. What changes from here on is told to `watching`.
    pub(crate) async fn open(primaries: &Primaries, watching: &Arc<Watching>, deadline: Duration) -> RedisResult<Self> {
        let patience = deadline.min(PATIENCE);
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        let closed = Arc::new(Notify::new());
        let primaries = primaries.find(&config).await?;
        let config = config.set_push_sender({
            let (watching, closed) = (Arc::clone(watching), Arc::clone(&closed));
            // Runs where answers are read, before any that comes after it: an answer says that all notices before it were
            // taken.
            move |push| {
                take(push, &watching, &closed);
                Ok::<_, SendError>(())
            }
        });
        let mut track = Cmd::new();
        track.arg("CLIENT").arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(watching.prefix().partitions());
        let track = &track;
        let opening = primaries.values().map(async |primary| {
            let mut connection = primary.get_multiplexed_async_connection_with_config(&config).await?;
            connection.req_packed_command(track).await?.extract_error()?;
            RedisResult::Ok(connection)
        });
        let connections: Vec<_> = try_join_all(opening).await?;
        Ok(Self { primaries, connections, closed, patience })
    }

    /// Tells `watching` that the servers are watched for as long as they are, and are the primaries. Ends when that is over,
    /// or nobody watches any more.
    pub(crate) async fn hold(mut self, primaries: &Primaries, watching: &Watching) -> RedisResult<()> {
        for period in 1_u32.. {
            let asked = Instant::now();
            self.ping().await?;
            watching.watched_for(GOOD_FOR.saturating_sub(asked.elapsed()));
            if period.is_multiple_of(LOOK_EVERY) && !self.are(primaries).await? {
                break;
            }
            if tokio::time::timeout(PERIOD, self.closed.notified()).await.is_ok() || !watching.is_wanted() {
                break;
            }
        }
        Ok(())
    }

    /// Whether these are still the primaries. Who does not answer names no others.
    async fn are(&mut self, primaries: &Primaries) -> RedisResult<bool> {
        let asked = primaries.are(&self.primaries, &mut self.connections);
        tokio::time::timeout(self.patience, asked).await.unwrap_or(Ok(true))
    }

    /// Asks all of them at once for an answer.
    async fn ping(&mut self) -> RedisResult<()> {
        let mut ping = Cmd::new();
        ping.arg("PING");
        let ping = &ping;
        let asked = self
            .connections
            .iter_mut()
            .map(async |connection| connection.req_packed_command(ping).await?.extract_error());
        match tokio::time::timeout(self.patience, try_join_all(asked)).await {
            Ok(answered) => answered.map(drop),
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

/// Takes what a server tells unasked.
fn take(push: PushInfo, watching: &Watching, closed: &Notify) {
    match push.kind {
        PushKind::Invalidate => match push.data.into_iter().next() {
            Some(Value::Array(names)) => {
                for name in names {
                    if let Value::BulkString(name) = name {
                        watching.changed(&name);
                    }
                }
            }
            // The server was emptied, or says something that is not known here.
            _ => watching.all_changed(),
        },
        PushKind::Disconnection => {
            watching.watched_for(Duration::ZERO);
            closed.notify_one();
        }
        _ => {}
    }
}
