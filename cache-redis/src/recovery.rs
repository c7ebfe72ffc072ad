//! What goes on behind the callers while the server is away: one task asks whether it is back, so that no caller waits to find
//! out, and then writes what is queued.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::inner::Inner;
use crate::replay::write_all;

/// Between two tries to write to a server that answers and does not take it: this long at first, then twice as long each time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Starts the task if there is something to do for it and it does not run.
pub(crate) fn begin(inner: &Arc<Inner>) {
    if !is_needed(inner) || inner.is_recovering.swap(true, Ordering::SeqCst) {
        return;
    }
    let running = Running(Arc::downgrade(inner));
    // Without a runtime nothing was sent either.
    let Ok(runtime) = inner.runtime() else { return };
    runtime.spawn(async move {
        running.recover().await;
        let Running(inner) = &running;
        let inner = Weak::clone(inner);
        drop(running);
        // What came up while it ended.
        if let Some(inner) = inner.upgrade() {
            begin(&inner);
        }
    });
}

fn is_needed(inner: &Inner) -> bool {
    inner.link.away_until().is_some() || inner.queue.has_lines()
}

/// The task, as long as it runs. A runtime that ends takes it along; the next failure starts another.
struct Running(Weak<Inner>);

impl Running {
    /// Returns when the server answers and nothing is queued, or when the store is gone.
    async fn recover(&self) {
        /// Longer than nothing: somebody else may be trying just now.
        const LEAST: Duration = Duration::from_millis(10);
        let mut pause = Duration::ZERO;
        loop {
            // The store is not kept alive meanwhile.
            let (wait, answered) = {
                let Some(inner) = self.0.upgrade() else { return };
                let away_until = inner.link.away_until();
                let wait = away_until.map(|until| until.saturating_duration_since(Instant::now()).max(LEAST));
                (wait.unwrap_or(pause), inner.link.answered())
            };
            drop(tokio::time::timeout(wait, answered.notified()).await);
            let Some(inner) = self.0.upgrade() else { return };
            inner.queue.expire(inner.now());
            inner.link.try_again(&inner.settings.prefix.head()).await;
            if inner.link.check().is_ok() {
                write_all(&inner).await;
                pause = (pause * 2).clamp(SHORTEST, LONGEST);
            }
            if !is_needed(&inner) {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.is_recovering.store(false, Ordering::SeqCst);
        }
    }
}
