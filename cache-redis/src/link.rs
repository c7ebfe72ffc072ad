//! The connection to the servers: one that all tasks share, opened when it is first needed, and again when it broke.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_core::Result;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value};

use crate::breaker::Breaker;
use crate::error::{Next, late, next, of_redis};
use crate::stats::Count;

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

/// The servers, and the connection to them.
pub(crate) struct Link {
    servers: Servers,
    deadlines: Deadlines,
    breaker: Breaker,
    /// Held while a connection is opened, so that one is.
    opening: tokio::sync::Mutex<()>,
    open: Mutex<Numbered>,
    pub(crate) unanswered: Count,
    pub(crate) connections: Count,
}

/// The connection that is open, and how many were before it.
#[derive(Default)]
struct Numbered {
    number: u64,
    connection: Option<Connection>,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A server that loads its data, or a cluster that chooses a primary, needs a moment.
const PAUSE: Duration = Duration::from_millis(50);

impl Link {
    pub(crate) fn new(servers: Servers, deadlines: Deadlines) -> Self {
        Self {
            servers,
            deadlines,
            breaker: Breaker::default(),
            opening: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            unanswered: Count::default(),
            connections: Count::default(),
        }
    }

    /// The server's answer. What fails for a reason that passes is tried again until the deadline.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.try_ask(command).await?.map_err(of_redis)
    }

    /// The same, with what the server refuses as it says it.
    pub(crate) async fn try_ask(&self, command: &Cmd) -> Result<RedisResult<Value>> {
        self.ask_within(command, self.deadlines.request).await
    }

    /// The answer to what is asked only to learn whether a copy is still right: there is less time for it.
    pub(crate) async fn ask_soon(&self, command: &Cmd) -> Result<Value> {
        self.ask_within(command, self.deadlines.validation).await?.map_err(of_redis)
    }

    async fn ask_within(&self, command: &Cmd, deadline: Duration) -> Result<RedisResult<Value>> {
        let sent = self.breaker.send(Instant::now())?;
        let mut failed = None;
        match tokio::time::timeout(deadline, self.ask_until_done(command, &mut failed)).await {
            Ok(Err(error)) if next(&error) != Next::Fail => {
                self.unanswered.add_one();
                sent.in_vain(Instant::now());
                Ok(Err(error))
            }
            Ok(done) => {
                sent.answered();
                Ok(done)
            }
            Err(_) => {
                self.unanswered.add_one();
                let is_enough = sent.in_vain(Instant::now());
                // A server that hangs, or a connection whose other end is gone: the next request finds out. Not for one that
                // is a little late: all would connect anew at the moment when there is most to do.
                if is_enough || deadline >= self.deadlines.request {
                    self.forget_any();
                }
                Err(failed.map_or_else(late, of_redis))
            }
        }
    }

    async fn ask_until_done(&self, command: &Cmd, failed: &mut Option<RedisError>) -> RedisResult<Value> {
        let mut has_reconnected = false;
        loop {
            let (number, connection) = self.connection().await;
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
                // Once: an idle connection was closed, or the primary is another one.
                Next::Reconnect if !has_reconnected => has_reconnected = true,
                Next::Wait => tokio::time::sleep(PAUSE).await,
                Next::Reconnect | Next::Fail => return Err(error),
            }
            *failed = Some(error);
        }
    }

    /// The connection and its number; opened if there is none.
    async fn connection(&self) -> (u64, RedisResult<Connection>) {
        if let (number, Some(connection)) = self.present() {
            return (number, Ok(connection));
        }
        let _opening = self.opening.lock().await;
        if let (number, Some(connection)) = self.present() {
            return (number, Ok(connection));
        }
        let opened = self.connect().await;
        if opened.is_ok() {
            self.connections.add_one();
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.number += 1;
        open.connection = opened.as_ref().ok().cloned();
        (open.number, opened)
    }

    fn present(&self) -> (u64, Option<Connection>) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.number, open.connection.clone())
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadlines.request))
            .set_response_timeout(Some(self.deadlines.request));
        match &self.servers {
            Servers::One(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Servers::Sentinel(sentinels) => {
                let mut sentinels = sentinels.lock().await;
                sentinels.get_async_connection_with_config(&config).await.map(Connection::One)
            }
            Servers::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// Uses the connection of this number no more.
    fn forget(&self, number: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.number == number {
            open.connection = None;
        }
    }

    fn forget_any(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).connection = None;
    }
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::One(connection) => connection.req_packed_command(command).await?,
            Self::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        answer.extract_error()
    }
}
