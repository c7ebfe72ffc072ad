//! Waiting for what is queued, before a program ends.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};

use crate::inner::named;
use crate::recovery;
use crate::running::here;
use crate::store::RedisStore;

impl RedisStore {
    /// Returns when all commits that are [queued](crate#outages) are written, or given up: for programs that are about to end,
    /// since the queue ends with them.
    ///
    /// `Unavailable`: some were not written within `wait`; the message says how many.
    pub async fn flush(&self, wait: Duration) -> Result<()> {
        /// Until the server is asked again, whatever pause it would be given else.
        const PATIENCE: Duration = Duration::from_secs(1);
        let inner = self.shared();
        if inner.queue.size().0 == 0 {
            return Ok(());
        }
        let flush = {
            let inner = Arc::clone(&inner);
            async move {
                let emptied = async {
                    while inner.queue.size().0 > 0 {
                        recovery::begin(&inner);
                        inner.link.hurry();
                        drop(tokio::time::timeout(PATIENCE, inner.queue.emptied()).await);
                    }
                };
                tokio::time::timeout(wait, emptied).await.map_err(|_| unwritten(inner.queue.size().0))
            }
        };
        here(&inner, || flush).await.map_err(named)
    }
}

fn unwritten(commits: usize) -> Error {
    let message =
        format!("{commits} commits are still queued; they are lost if the process ends before the server is back");
    Error::new(ErrorKind::Unavailable, message)
}
