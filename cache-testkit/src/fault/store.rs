//! A [`CacheStore`] that fails by plan.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    CacheStore, Changes, Committed, EntryId, Environments, Extent, Lease, LeaseHandle, LookupTerm, PartitionKey,
    Result, Snapshot, Stored, Version, Watcher,
};

use super::{Fault, Faults, Operation};

/// A store whose operations fail as [`Faults`] say; all others reach the store within.
#[derive(Debug, Clone)]
pub struct FaultyStore<S> {
    store: S,
    faults: Faults,
}

impl<S> FaultyStore<S> {
    /// The store over `store`, failing by `faults`.
    pub fn new(store: S, faults: Faults) -> Self {
        Self { store, faults }
    }

    /// The store within, which does not fail: to look at what is really there.
    pub fn inner(&self) -> &S {
        &self.store
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: CacheStore> CacheStore for FaultyStore<S> {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.faults.around(Operation::Load, self.store.load(partition)).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.faults.around(Operation::Get, self.store.get(partition, ids)).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        self.faults.around(Operation::LoadWithin, self.store.load_within(partition, limit)).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        self.faults.around(Operation::Find, self.store.find(partition, terms)).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let fault = self.faults.strike(Operation::Commit)?;
        let answer = match fault {
            Some(Fault::ShortWrite(length)) => self.store.commit(partition, &shortened(changes, length)).await,
            _ => self.store.commit(partition, changes).await,
        };
        self.faults.answer(fault, answer)
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.faults.around(Operation::Remove, self.store.remove(partition)).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.faults.around(Operation::Partitions, self.store.partitions(after, limit)).await
    }

    async fn partitions_with(
        &self,
        home_account_id: &str,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Result<Vec<PartitionKey>> {
        let page = self.store.partitions_with(home_account_id, after, limit);
        self.faults.around(Operation::Partitions, page).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.faults.around(Operation::Stamp, self.store.stamp(partition)).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.faults.around_now(Operation::StampNow, || self.store.stamp_now(partition))
    }

    fn environments(&self) -> Option<Environments> {
        self.store.environments()
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.store.watch(watcher);
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        let lease = self.faults.around(Operation::Lease, self.store.lease(partition, name, wait)).await?;
        Ok(faulty_lease(lease, &self.faults))
    }
}

/// The lease, whose operations fail by the same plan.
pub(super) fn faulty_lease(lease: Lease, faults: &Faults) -> Lease {
    Box::new(FaultyLease { lease, faults: faults.clone() })
}

#[derive(Debug)]
struct FaultyLease {
    lease: Lease,
    faults: Faults,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LeaseHandle for FaultyLease {
    fn fence(&self) -> u64 {
        self.lease.fence()
    }

    fn remaining(&self) -> Option<Duration> {
        self.lease.remaining()
    }

    async fn renew(&mut self) -> Result<()> {
        self.faults.around(Operation::Renew, self.lease.renew()).await
    }

    async fn release(self: Box<Self>) -> Result<()> {
        let Self { lease, faults } = *self;
        faults.around(Operation::Release, lease.release()).await
    }
}

fn shortened(changes: &Changes, length: usize) -> Changes {
    let first = Changes::new(changes.iter().take(length).cloned().collect());
    match changes.fence() {
        Some(fence) => first.with_fence(Arc::clone(&fence.lease), fence.number),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::refresh_token;
    use cache_core::{Change, ErrorKind, MemoryStore};
    use pollster::block_on;

    const PLACE: PartitionKey = PartitionKey::Shared;

    fn store() -> (FaultyStore<MemoryStore>, Faults) {
        let faults = Faults::new();
        (FaultyStore::new(MemoryStore::new(), faults.clone()), faults)
    }

    fn three() -> Changes {
        Changes::new(["a", "b", "c"].map(|key| Change::put(refresh_token(key).entry())).to_vec())
    }

    fn present(store: &FaultyStore<MemoryStore>) -> usize {
        block_on(store.inner().load(&PLACE)).expect("load").map_or(0, |snapshot| snapshot.entries.len())
    }

    #[test]
    fn an_error_strikes_once_and_nothing_is_done() {
        let (store, faults) = store();
        faults.at(Operation::Commit, 1, Fault::Error(ErrorKind::Busy));
        assert_eq!(block_on(store.commit(&PLACE, &three())).expect_err("planned").kind(), ErrorKind::Busy);
        assert_eq!(present(&store), 0);
        block_on(store.commit(&PLACE, &three())).expect("the fault is spent");
        assert_eq!((present(&store), faults.struck(), faults.count(Operation::Commit)), (3, 1, 2));
    }

    #[test]
    fn a_lost_answer_comes_after_the_work() {
        let (store, faults) = store();
        faults.at_any(2, Fault::LostAnswer(ErrorKind::Unavailable));
        block_on(store.stamp(&PLACE)).expect("the first operation");
        block_on(store.commit(&PLACE, &three())).expect_err("planned");
        assert_eq!(present(&store), 3);
    }

    #[test]
    fn a_crash_lasts_until_the_store_is_reopened() {
        for (fault, left) in [(Fault::Crash, 0), (Fault::CrashAfter, 3), (Fault::ShortWrite(2), 2)] {
            let (store, faults) = store();
            faults.at(Operation::Commit, 1, fault);
            let failed = block_on(store.commit(&PLACE, &three())).expect_err("planned");
            assert_eq!(failed.kind(), ErrorKind::Unavailable);
            block_on(store.load(&PLACE)).expect_err("still crashed");
            store.stamp_now(&PLACE).expect("memory has a stamp at once").expect_err("still crashed");
            assert!(faults.is_crashed());
            faults.reopen();
            block_on(store.load(&PLACE)).expect("reopened");
            assert_eq!(present(&store), left, "{fault:?}");
        }
    }

    #[test]
    fn a_short_write_does_nothing_of_what_is_no_write() {
        let (store, faults) = store();
        block_on(store.commit(&PLACE, &three())).expect("commit");
        faults.at(Operation::Remove, 1, Fault::ShortWrite(1));
        block_on(store.remove(&PLACE)).expect_err("planned");
        assert_eq!(present(&store), 3);
        assert!(faults.is_crashed());
    }

    #[test]
    fn leases_fail_by_the_same_plan() {
        let (store, faults) = store();
        let lease = || block_on(store.lease(&PLACE, "refresh", Duration::ZERO));
        let mut held = lease().expect("free");
        faults.at(Operation::Renew, 1, Fault::Error(ErrorKind::Unavailable));
        block_on(held.renew()).expect_err("planned");
        block_on(held.renew()).expect("the fault is spent");
        faults.at(Operation::Release, 1, Fault::Crash);
        block_on(held.release()).expect_err("planned");
        faults.reopen();
        lease().expect("the holder is gone, and its lease with it");
        assert_eq!((faults.count(Operation::Lease), faults.count(Operation::Renew)), (2, 2));
    }
}
