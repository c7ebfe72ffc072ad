//! Leases that hold within one process, for stores whose place no other process shares.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::blocking_work::run;
use crate::error::{Error, ErrorKind, Result};
use crate::partition::PartitionKey;
use crate::store::{Lease, LeaseHandle};

/// The leases of one store object.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessLeases(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<HashMap<(PartitionKey, String), Instant>>,
    released: Condvar,
    fence: AtomicU64,
}

impl ProcessLeases {
    pub(crate) async fn take(
        &self,
        store: &'static str,
        partition: &PartitionKey,
        name: &str,
        wait: Duration,
    ) -> Result<Lease> {
        let key = (partition.clone(), name.to_owned());
        if let Some(lease) = self.try_take(&key) {
            return Ok(lease);
        }
        let this = self.clone();
        run(move || this.wait_for(store, &key, wait)).await
    }

    fn try_take(&self, key: &(PartitionKey, String)) -> Option<Lease> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert(&mut held, key)
    }

    fn insert(
        &self,
        held: &mut HashMap<(PartitionKey, String), Instant>,
        key: &(PartitionKey, String),
    ) -> Option<Lease> {
        if held.contains_key(key) {
            return None;
        }
        held.insert(key.clone(), Instant::now());
        let fence = self.0.fence.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Box::new(ProcessLease { leases: self.clone(), key: key.clone(), fence }))
    }

    fn wait_for(&self, store: &'static str, key: &(PartitionKey, String), wait: Duration) -> Result<Lease> {
        // A wait beyond what the clock can tell has no end.
        let deadline = Instant::now().checked_add(wait);
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(lease) = self.insert(&mut held, key) {
                return Ok(lease);
            }
            let left = deadline.map_or(wait, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let age = held.get(key).map_or(0, |since| since.elapsed().as_millis());
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("another task of this process has held the lease for {age} ms; try again later"),
                )
                .in_store(store));
            }
            held = self.0.released.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct ProcessLease {
    leases: ProcessLeases,
    key: (PartitionKey, String),
    fence: u64,
}

#[async_trait]
impl LeaseHandle for ProcessLease {
    fn fence(&self) -> u64 {
        self.fence
    }

    fn remaining(&self) -> Option<Duration> {
        None
    }

    async fn renew(&mut self) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Drop for ProcessLease {
    fn drop(&mut self) {
        self.leases.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.leases.0.released.notify_all();
    }
}

impl std::fmt::Debug for ProcessLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessLease").field("fence", &self.fence).finish_non_exhaustive()
    }
}
