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
    /// Commits that are [queued](crate#outages) now.
    pub queued_now: u64,
    /// What these take, in bytes, about.
    pub queued_bytes: u64,
    /// Commits that were ever queued. Each is queued now, was written, or was dropped.
    pub queued: u64,
    /// Commits that were queued and are written, or were found to have been.
    pub replayed: u64,
    /// Commits that were queued and given up: too old, in the way of others when the queue was full, or refused by the server.
    pub dropped: u64,
    /// Notices of changes of partitions that servers have pushed, those of changes by this store included.
    pub notices: u64,
    /// Whether servers push their changes at present, as [`Freshness::Push`](cache_core::Freshness::Push) asks for. If it
    /// stays `false`, an event of `tracing` has told why.
    pub watching: bool,
}

impl RedisStore {
    /// What was counted so far.
    pub fn stats(&self) -> RedisStats {
        let inner = self.shared();
        let [unanswered, connections] = [&inner.link.unanswered, &inner.link.connections].map(Count::get);
        let queue = &inner.queue;
        let ((queued_now, queued_bytes), [queued, replayed, dropped]) = queue.account();
        let watching = &inner.watch.watching;
        RedisStats {
            unanswered,
            connections,
            unreadable: inner.unreadable.count(),
            queued_now: queued_now as u64,
            queued_bytes: queued_bytes as u64,
            queued,
            replayed,
            dropped,
            notices: watching.notices.get(),
            watching: watching.is_watched(),
        }
    }
}
