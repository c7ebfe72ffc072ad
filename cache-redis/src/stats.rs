//! What a store counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::RedisStore;

/// Counts since the store was opened, of all its handles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Requests that the server has not answered within the deadline, or could not be sent to it. Some of them may have
    /// been done nevertheless.
    pub unanswered: u64,
    /// Connections that were opened, the first one included.
    pub connections: u64,
    /// Times that an entry was read that is damaged, or sealed with a key that is not at hand. After a rotation: how often
    /// the old key was missed.
    pub unreadable: u64,
}

impl RedisStore {
    /// What was counted so far.
    pub fn stats(&self) -> RedisStats {
        let inner = self.shared();
        let [unanswered, connections] = [&inner.link.unanswered, &inner.link.connections].map(Count::get);
        RedisStats { unanswered, connections, unreadable: inner.unreadable.count.get() }
    }
}

/// A number that rises.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
