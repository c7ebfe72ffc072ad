//! How a store tells what others change.

use std::fmt;
use std::time::Duration;

use crate::partition::PartitionKey;

/// Is told which partitions change in a store, whoever changes them. A
/// [`PersistedTokenCache`](crate::PersistedTokenCache) with [`Freshness::Push`](crate::Freshness::Push) has one, which
/// [`CacheStore::watch`](crate::CacheStore::watch) gives to its store.
///
/// What a store that calls these promises:
///
/// - **It watches before it says so**: it calls [`all_changed`](Self::all_changed) once it sees changes, and only then
///   [`watched_for`](Self::watched_for). So is nothing trusted that was read before.
/// - **Nothing is passed over** while it says so: each change of a partition that this store was asked for is told, or
///   `all_changed` is. What it cannot see any more, since its connection broke, ends with the time that it has given.
/// - **More is told than changes**: own commits too, and partitions that are as they were.
///
/// All calls are cheap, wait for nothing, and may come from any thread.
pub trait Watcher: fmt::Debug + Send + Sync + 'static {
    /// Something in the partition has changed, or may have.
    fn changed(&self, partition: &PartitionKey);

    /// Any partition may have changed.
    fn all_changed(&self);

    /// From now on, for so long, changes are told. Each call replaces the one before; zero: not any more.
    fn watched_for(&self, duration: Duration);
}
