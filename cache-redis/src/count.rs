//! Counting from many threads, for [`RedisStats`](crate::RedisStats) and for the recorder of the program.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "count/no_metrics.rs"]
mod metrics;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::metrics::Share;

use self::metrics::Counted;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Unanswered,
    Connections,
    Damaged,
    OtherKey,
    Queued,
    Replayed,
    Dropped,
    Notices,
    Foreign,
    PutBack,
    RemovedAgain,
}

/// What rises and falls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// 1 while requests fail at once.
    OpenBreaker,
    QueuedCommits,
    QueuedBytes,
    /// 1 while servers push their changes.
    Watching,
}

/// A number that rises.
#[derive(Debug)]
pub(crate) struct Count {
    number: AtomicU64,
    counted: Counted,
}

impl Count {
    /// Counts from zero, and for the recorder that is installed now.
    pub(crate) fn of(what: What) -> Self {
        Self { number: AtomicU64::new(0), counted: Counted::register(what) }
    }

    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, number: u64) {
        self.number.fetch_add(number, Ordering::Relaxed);
        self.counted.add(number);
    }

    pub(crate) fn get(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }
}
