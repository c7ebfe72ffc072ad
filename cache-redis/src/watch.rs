//! Watching the servers, for as long as somebody keeps copies in memory.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind};
use redis::RedisError;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use crate::breaker::uneven;
use crate::error::{Next, next, of_redis};
use crate::keys::Prefix;
use crate::primaries::Primaries;
use crate::tracking::Tracking;
use crate::watching::{Watching, lock};

/// The pause until the servers are connected to again. It doubles each time.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// The watching of a store: a task of its own, from when the first watcher comes to when the last one, or the store, is gone.
pub(crate) struct Watch {
    pub(crate) watching: Arc<Watching>,
    primaries: Arc<Primaries>,
    deadline: Duration,
    task: Mutex<Option<AbortHandle>>,
}

impl Watch {
    pub(crate) fn new(primaries: Primaries, prefix: Prefix, deadline: Duration) -> Self {
        let watching = Arc::new(Watching::new(prefix));
        Self { watching, primaries: Arc::new(primaries), deadline, task: Mutex::default() }
    }

    /// Watches, if somebody wants it and it is not done already. To be called again and again: a runtime that is shut down
    /// takes the task with it.
    pub(crate) fn start(&self, runtime: &Handle) {
        if !self.watching.is_wanted() {
            return;
        }
        let mut task = lock(&self.task);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            let (watching, primaries) = (Arc::clone(&self.watching), Arc::clone(&self.primaries));
            *task = Some(runtime.spawn(watch(watching, primaries, self.deadline)).abort_handle());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &*lock(&self.task) {
            task.abort();
        }
    }
}

/// Watches until nobody wants it any more.
async fn watch(watching: Arc<Watching>, primaries: Arc<Primaries>, deadline: Duration) {
    let (mut pause, mut is_told) = (SHORTEST, false);
    while watching.is_wanted() {
        let over = Over(&watching);
        let began = Instant::now();
        let opening = tokio::time::timeout(LONGEST, Tracking::open(&primaries, &watching, deadline)).await;
        let ended = match opening.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(tracking) => {
                // What was read until now may have changed unseen.
                watching.all_changed();
                is_told = false;
                tracking.hold(&primaries, &watching).await
            }
            Err(error) => Err(error),
        };
        drop(over);
        match ended {
            Ok(()) => debug!("a connection by which changes are pushed was closed, or none is needed any more"),
            Err(error) => {
                let is_refused = next(&error) == Next::Fail;
                let error = reason(error);
                if is_refused && !is_told {
                    is_told = true;
                    warn!(%error, "changes are not pushed; what is in memory is good for the bound of its freshness");
                } else {
                    debug!(%error, "changes are not pushed for the time being");
                }
            }
        }
        pause = if began.elapsed() > LONGEST { SHORTEST } else { pause };
        tokio::time::sleep(uneven(pause)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Why nothing is pushed. What is a defect anywhere else is to be expected here: of servers and proxies that are older.
fn reason(error: RedisError) -> Error {
    let error = of_redis(error);
    if error.kind() != ErrorKind::Internal {
        return error;
    }
    let message =
        "the server, or a proxy in front of it, knows no RESP3 or no tracking of keys; both came with Redis 6";
    Error::new(ErrorKind::Unsupported, message)
}

/// Says that nothing is watched any more, also when the runtime is shut down meanwhile.
struct Over<'a>(&'a Watching);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.watched_for(Duration::ZERO);
    }
}
