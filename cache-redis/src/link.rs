//! The connection to the servers: one that all tasks share, opened when it is first needed, and again when it broke.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cache_core::Result;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value};
use tokio::sync::Notify;

use crate::breaker::{Breaker, Sent};
use crate::count::{Count, What};
use crate::error::{Next, late, next, of_redis};

/// Where the data is.
pub(crate) enum Servers {
    One(Client),
    /// The primary that sentinels name; asked for again with each connection.
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

/// When a request is given up, with all that it takes: connecting and trying again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) request: Duration,
    /// Of one without which there is a copy to go on with.
    pub(crate) validation: Duration,
}

/// Which of the deadlines a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    Request,
    Validation,
}

/// The servers, and the connection to them.
pub(crate) struct Link {
    servers: Arc<Servers>,
    deadlines: Deadlines,
    breaker: Breaker,
    open: Mutex<Open>,
    /// Told when the server answers again.
    answered: Arc<Notify>,
    pub(crate) unanswered: Count,
    pub(crate) connections: Count,
}

/// The connection that is open, and how many were before it.
#[derive(Default)]
struct Open {
    number: u64,
    connection: Option<Connection>,
    /// The next one. All who need it wait for the same one, which has the whole deadline whoever gives up waiting: with as
    /// little time as the oldest request has left, a busy program would never connect again.
    opening: Option<Opening>,
}

type Opening = Shared<BoxFuture<'static, RedisResult<Connection>>>;

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A server that starts again or loads its data, or a cluster that chooses a primary, needs a moment.
const PAUSE: Duration = Duration::from_millis(50);

impl Link {
    pub(crate) fn new(servers: Servers, deadlines: Deadlines) -> Self {
        Self {
            servers: Arc::new(servers),
            deadlines,
            breaker: Breaker::default(),
            open: Mutex::default(),
            answered: Arc::default(),
            unanswered: Count::of(What::Unanswered),
            connections: Count::of(What::Connections),
        }
    }

    /// The server's answer. What fails for a reason that passes is tried again until the deadline.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.try_ask(Within::Request, command).await?.map_err(of_redis)
    }

    /// The same, with what the server refuses as it says it.
    pub(crate) async fn try_ask(&self, within: Within, command: &Cmd) -> Result<RedisResult<Value>> {
        self.ask_within(command, self.deadline(within)).await
    }

    /// The answer to what is asked only to learn whether a copy is still right: there is less time for it.
    pub(crate) async fn ask_soon(&self, command: &Cmd) -> Result<Value> {
        self.try_ask(Within::Validation, command).await?.map_err(of_redis)
    }

    /// Whether the servers are a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(*self.servers, Servers::Cluster(_))
    }

    /// `Unavailable`: what is asked now fails at once.
    pub(crate) fn check(&self) -> Result<()> {
        self.breaker.check(Instant::now())
    }

    /// While requests fail at once: when it is time to [try again](Self::try_again).
    pub(crate) fn away_until(&self) -> Option<Instant> {
        self.breaker.open_until()
    }

    /// Asks for a key if it is time to try again, which nobody waits for.
    pub(crate) async fn try_again(&self, key: &[u8]) {
        let Some(sent) = self.breaker.retry(Instant::now()) else { return };
        let mut get = Cmd::new();
        get.arg("GET").arg(key);
        drop(self.ask_as(sent, &get, self.deadlines.request).await);
    }

    /// Makes it time to try again, and whoever waits for an answer do so.
    pub(crate) fn hurry(&self) {
        self.breaker.hurry(Instant::now());
        self.answered.notify_one();
    }

    /// Told when the server answers again, and when somebody is in a hurry.
    pub(crate) fn answered(&self) -> Arc<Notify> {
        Arc::clone(&self.answered)
    }

    pub(crate) fn deadline(&self, within: Within) -> Duration {
        match within {
            Within::Request => self.deadlines.request,
            Within::Validation => self.deadlines.validation.min(self.deadlines.request),
        }
    }

    async fn ask_within(&self, command: &Cmd, deadline: Duration) -> Result<RedisResult<Value>> {
        let sent = self.breaker.send(Instant::now())?;
        self.ask_as(sent, command, deadline).await
    }

    async fn ask_as(&self, sent: Sent<'_>, command: &Cmd, deadline: Duration) -> Result<RedisResult<Value>> {
        let (mut failed, mut used) = (None, 0);
        // In its place from the beginning: it is large to move.
        let answer = {
            let asking = pin!(self.ask_until_done(command, &mut failed, &mut used));
            tokio::time::timeout(deadline, asking).await
        };
        match answer {
            Ok(Err(error)) if next(&error) != Next::Fail => {
                self.unanswered.add_one();
                sent.in_vain(Instant::now());
                Ok(Err(error))
            }
            Ok(done) => {
                if sent.answered() {
                    self.answered.notify_one();
                }
                Ok(done)
            }
            Err(_) => {
                self.unanswered.add_one();
                let is_enough = sent.in_vain(Instant::now());
                // A server that hangs, or a connection whose other end is gone: the next request finds out. Not for one that
                // is a little late: all would connect anew at the moment when there is most to do.
                if is_enough || deadline >= self.deadlines.request {
                    self.forget(used);
                }
                Err(failed.map_or_else(late, of_redis))
            }
        }
    }

    async fn ask_until_done(
        &self,
        command: &Cmd,
        failed: &mut Option<RedisError>,
        used: &mut u64,
    ) -> RedisResult<Value> {
        let mut has_reconnected = false;
        loop {
            let (number, connection) = self.connection().await;
            *used = number;
            let answer = match connection {
                Ok(mut connection) => connection.ask(command).await,
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let next = next(&error);
            if next == Next::Reconnect || error.is_unrecoverable_error() {
                self.forget(number);
            }
            match next {
                Next::Fail => return Err(error),
                // At once, since an idle connection was closed, or the primary is another one.
                Next::Reconnect if !has_reconnected => has_reconnected = true,
                Next::Reconnect | Next::Wait => tokio::time::sleep(PAUSE).await,
            }
            *failed = Some(error);
        }
    }

    /// The connection and its number; opened if there is none.
    async fn connection(&self) -> (u64, RedisResult<Connection>) {
        match self.present() {
            (number, Some(connection)) => (number, Ok(connection)),
            (_, None) => Box::pin(self.next_connection()).await,
        }
    }

    async fn next_connection(&self) -> (u64, RedisResult<Connection>) {
        let opening = {
            let mut open = self.lock();
            let open_one = || opening(Arc::clone(&self.servers), self.deadlines.request);
            open.opening.get_or_insert_with(open_one).clone()
        };
        let opened = opening.clone().await;
        let mut open = self.lock();
        if open.opening.as_ref().is_some_and(|present| present.ptr_eq(&opening)) {
            open.opening = None;
            open.number += 1;
            open.connection = opened.as_ref().ok().cloned();
            if opened.is_ok() {
                self.connections.add_one();
            }
        }
        (open.number, opened)
    }

    fn present(&self) -> (u64, Option<Connection>) {
        let open = self.lock();
        (open.number, open.connection.clone())
    }

    /// Uses the connection of this number no more.
    fn forget(&self, number: u64) {
        let mut open = self.lock();
        if open.number == number {
            open.connection = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection, and goes on with it by itself.
fn opening(servers: Arc<Servers>, deadline: Duration) -> Opening {
    let opening = tokio::spawn(async move {
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        tokio::time::timeout(deadline, connect(&servers, deadline)).await.unwrap_or_else(late)
    });
    // The runtime that it ran on was shut down.
    let gone = |_| Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    opening.map(move |opened| opened.unwrap_or_else(gone)).boxed().shared()
}

async fn connect(servers: &Servers, deadline: Duration) -> RedisResult<Connection> {
    let config = AsyncConnectionConfig::new();
    // Each request has a deadline of its own, as has this: a second timer would cost every one of them.
    let config = config.set_connection_timeout(Some(deadline)).set_response_timeout(None);
    match servers {
        Servers::One(client) => client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One),
        Servers::Sentinel(sentinels) => {
            let mut sentinels = sentinels.lock().await;
            sentinels.get_async_connection_with_config(&config).await.map(Connection::One)
        }
        Servers::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
    }
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            // Without the box that the trait's call would put its future into.
            Self::One(connection) => connection.send_packed_command(command).await?,
            Self::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        answer.extract_error()
    }
}
