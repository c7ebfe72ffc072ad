//! The trait that every store implements, and its contract.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use crate::changes::{Changes, Committed};
use crate::entry::{EntryId, Extent, Snapshot, Stored, Version};
use crate::environment::Environments;
use crate::error::Result;
use crate::lookup_term::LookupTerm;
use crate::partition::PartitionKey;
use crate::watch::Watcher;

/// Keeps the entries of partitions. Object-safe: share it as `Arc<dyn CacheStore>`.
///
/// The contract, proven for every store by the conformance suite in `cache-testkit`:
///
/// - **A commit is atomic and durable**: all of its changes are stored when it returns, or none. Killing the process,
///   cancelling the future or losing power at any moment leaves the content of before or of after.
/// - **Changes merge** by the rules in [`merge`](crate::merge): commits of any number of threads, processes and nodes
///   apply one after the other; none is lost.
/// - **Nothing else is touched**: entries that a commit does not name, unknown sections and unreadable entries stay
///   as they are, value for value.
/// - **A miss is `None`; an outage is an error**. A store that cannot be read never answers that it is empty.
/// - A store may keep a commit or removal that fails as `Unavailable`, and write it later: its error [says
///   so](crate::Error::is_queued), and no later write of this process to the partition overtakes it.
/// - Error kinds: `Unavailable` (cannot be reached), `Busy` (another writer held the lock for too long), `Denied`,
///   `Corrupt`, `Undecryptable`, `KeyUnavailable`, `Unsupported`, `TooLarge`, `InvalidInput` (a partition that this
///   store cannot hold).
///
/// To plug in a place that holds one blob per partition, implement [`DocumentStore`](crate::DocumentStore) instead.
#[async_trait]
pub trait CacheStore: fmt::Debug + Send + Sync + 'static {
    /// The store's kind for errors, spans and the command line, for example `file`.
    fn name(&self) -> &'static str;

    /// Every entry of the partition at one moment; `None` if it holds nothing.
    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>>;

    /// The entries with these ids, in the order asked; `None` for each that is not there. Stores that can read single
    /// entries read no others.
    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>>;

    /// Every entry of the partition at one moment, as [`load`](Self::load) answers it, unless the store can
    /// [find](Self::find) single entries and the partition holds more than `limit`: then its stamp alone. `None` if it
    /// holds nothing.
    ///
    /// Provided: loads, whatever the limit.
    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        let _ = limit;
        Ok(self.load(partition).await?.map(Extent::Whole))
    }

    /// The entries that have one of these [terms](crate::Entry::lookup_terms), each once and in no particular order, with
    /// the partition's stamp of the same moment; `None` if the partition holds nothing. Entries that cannot be read have
    /// no terms: the answer need not name them. Stores that can find single entries read no others.
    ///
    /// Provided: loads, and leaves out the others.
    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let Some(mut snapshot) = self.load(partition).await? else { return Ok(None) };
        snapshot.entries.retain(|stored| stored.entry.lookup_terms().iter().any(|term| terms.contains(term)));
        snapshot.unreadable.clear();
        Ok(Some(snapshot))
    }

    /// Merges `changes` into the partition: all or nothing, durable when it returns.
    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed>;

    /// Deletes the whole partition. Deleting what is not there is no error.
    async fn remove(&self, partition: &PartitionKey) -> Result<()>;

    /// At most `limit` partitions that hold something, in the store's own order, those after `after`. An empty answer
    /// ends the list. Reads no secrets.
    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>>;

    /// At most `limit` partitions that may hold entries of this account, in any environment, those after `after`: every one
    /// that does, and perhaps others. An empty answer ends the list. Reads no secrets.
    ///
    /// Provided: any partition may.
    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        let _ = home_account_id;
        self.partitions(after, limit).await
    }

    /// The partition's stamp, which changes with every change and never repeats; `None` if it holds nothing.
    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>>;

    /// The stamp without a future, for stores that read it cheaply and locally (one stat, one pragma); `None`: ask
    /// [`stamp`](Self::stamp).
    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        let _ = partition;
        None
    }

    /// How those who share the store name the clouds; `None`: as the MSAL libraries do.
    /// [`PersistedTokenCache::builder`](crate::PersistedTokenCache::builder) takes it up.
    ///
    /// Provided: `None`.
    fn environments(&self) -> Option<Environments> {
        None
    }

    /// Tells the watcher from now on what changes, for as long as it lives; returns at once. Stores that see the changes of
    /// other nodes keep what [`Watcher`] promises.
    ///
    /// Provided: tells nothing, and so never says that it watches.
    fn watch(&self, watcher: Weak<dyn Watcher>) {
        drop(watcher);
    }

    /// The right to refresh `name` in this partition, held against all tasks, processes and nodes that share the
    /// store. Freed by [release](LeaseHandle::release), drop, the death of the process, or expiry.
    /// Not had within `wait`: `Busy`, naming holder and age where they are known.
    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease>;
}

/// A lease that is held; dropping it releases it as well as a drop can.
pub type Lease = Box<dyn LeaseHandle>;

/// The holder's side of a lease.
#[async_trait]
pub trait LeaseHandle: fmt::Debug + Send + Sync {
    /// Rises with every lease of this name; [`Changes::with_fence`] carries it so that a holder whose lease has
    /// passed to another cannot write any more. Zero where death alone frees the lease, which then cannot pass.
    fn fence(&self) -> u64;

    /// How long the lease holds without a renewal; `None`: until it is released or the process dies.
    fn remaining(&self) -> Option<Duration>;

    /// Extends the lease to its full length. An error means that it may have passed to another: send nothing.
    async fn renew(&mut self) -> Result<()>;

    /// Gives the lease back and waits until that is done.
    async fn release(self: Box<Self>) -> Result<()>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: CacheStore + ?Sized> CacheStore for Arc<S> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        (**self).load(partition).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        (**self).get(partition, ids).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        (**self).load_within(partition, limit).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        (**self).find(partition, terms).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        (**self).commit(partition, changes).await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        (**self).remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        (**self).partitions(after, limit).await
    }

    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        (**self).partitions_with(home_account_id, after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        (**self).stamp(partition).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        (**self).stamp_now(partition)
    }

    fn environments(&self) -> Option<Environments> {
        (**self).environments()
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        (**self).watch(watcher);
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        (**self).lease(partition, name, wait).await
    }
}
