//! What a store counts.

use crate::count::Count;
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
