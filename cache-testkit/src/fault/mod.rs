//! Stores that fail on purpose: an error, a lost answer, a crash or a short write at a chosen operation.
//!
//! ```
//! use cache_core::{CacheStore, Changes, ErrorKind, MemoryStore, PartitionKey};
//! use cache_testkit::fault::{Fault, Faults, FaultyStore, Operation};
//!
//! let faults = Faults::new();
//! let store = FaultyStore::new(MemoryStore::new(), faults.clone());
//! faults.at(Operation::Commit, 2, Fault::Error(ErrorKind::Unavailable));
//!
//! pollster::block_on(async {
//!     let (partition, changes) = (PartitionKey::Shared, Changes::default());
//!     store.commit(&partition, &changes).await.expect("the first goes well");
//!     let error = store.commit(&partition, &changes).await.expect_err("the second fails");
//!     assert_eq!(error.kind(), ErrorKind::Unavailable);
//!     store.commit(&partition, &changes).await.expect("the third goes well");
//!     assert_eq!(faults.count(Operation::Commit), 3);
//! });
//! ```

mod documents;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_core::{Error, ErrorKind, Result};

pub use self::documents::FaultyDocuments;
pub use self::store::FaultyStore;

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The operation is not done, and answers with an error of this kind.
    Error(ErrorKind),
    /// The operation is done, and answers with an error of this kind all the same.
    LostAnswer(ErrorKind),
    /// The operation is not done; it and every later one fails as `Unavailable`, until [`Faults::reopen`].
    Crash,
    /// The operation is done before the same happens.
    CrashAfter,
    /// Of a write only the first so many changes (store) or bytes (document store) arrive, then the same happens: what
    /// a place leaves that breaks its promise to write all or nothing. Of what is no write, nothing is done.
    ShortWrite(usize),
}

/// The operations of both kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Operation {
    Load,
    Get,
    LoadWithin,
    Find,
    Commit,
    Remove,
    Partitions,
    Stamp,
    StampNow,
    Lease,
    Renew,
    Release,
    Read,
    Modify,
}

/// The plan of what goes wrong, and the count of what was asked. Clones share both, so that one plan can govern several
/// stores, and a test can look on from outside.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    crashed: bool,
    total: u64,
    counts: HashMap<Operation, u64>,
    at_nth: HashMap<u64, Fault>,
    at_nth_of: HashMap<(Operation, u64), Fault>,
    struck: u64,
}

impl Faults {
    /// A plan in which nothing goes wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `fault` strike at the `nth` operation of this kind from now on; 1 is the next one.
    pub fn at(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut plan = self.plan();
        let nth = plan.counts.get(&operation).copied().unwrap_or(0) + nth;
        plan.at_nth_of.insert((operation, nth), fault);
    }

    /// Lets `fault` strike at the `nth` operation of any kind from now on; 1 is the next one.
    pub fn at_any(&self, nth: u64, fault: Fault) {
        let mut plan = self.plan();
        let nth = plan.total + nth;
        plan.at_nth.insert(nth, fault);
    }

    /// Ends a crash, as a restart does. What was planned and has not struck still stands.
    pub fn reopen(&self) {
        self.plan().crashed = false;
    }

    /// Whether the stores have crashed and were not reopened.
    pub fn is_crashed(&self) -> bool {
        self.plan().crashed
    }

    /// How many operations of this kind were asked for, the failed ones included.
    pub fn count(&self, operation: Operation) -> u64 {
        self.plan().counts.get(&operation).copied().unwrap_or(0)
    }

    /// How many operations of any kind were asked for, the failed ones included.
    pub fn total(&self) -> u64 {
        self.plan().total
    }

    /// How many of the planned faults have struck.
    pub fn struck(&self) -> u64 {
        self.plan().struck
    }

    /// Counts the operation and says what strikes at it. A crashed store's operations end here.
    fn strike(&self, operation: Operation) -> Result<Option<Fault>> {
        let mut plan = self.plan();
        plan.total += 1;
        let total = plan.total;
        let count = plan.counts.entry(operation).or_default();
        *count += 1;
        let nth = *count;
        if plan.crashed {
            return Err(crashed());
        }
        let fault = plan.at_nth_of.remove(&(operation, nth)).or_else(|| plan.at_nth.remove(&total));
        plan.struck += u64::from(fault.is_some());
        match fault {
            Some(Fault::Error(kind)) => Err(injected(kind)),
            Some(Fault::Crash) => {
                plan.crashed = true;
                Err(crashed())
            }
            fault => Ok(fault),
        }
    }

    /// The answer of an operation that is done, as the fault that struck at it leaves it.
    fn answer<T>(&self, fault: Option<Fault>, answer: Result<T>) -> Result<T> {
        match fault {
            None | Some(Fault::Error(_)) => answer,
            Some(Fault::LostAnswer(kind)) => answer.and_then(|_| Err(injected(kind))),
            Some(Fault::Crash | Fault::CrashAfter | Fault::ShortWrite(_)) => {
                self.plan().crashed = true;
                Err(crashed())
            }
        }
    }

    /// An operation that is no write, and of which a short write therefore does nothing.
    async fn around<T>(&self, operation: Operation, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.strike(operation)? {
            Some(Fault::ShortWrite(length)) => self.answer(Some(Fault::ShortWrite(length)), Err(crashed())),
            fault => self.answer(fault, work.await),
        }
    }

    /// The same for operations without a future.
    fn around_now<T>(&self, operation: Operation, work: impl FnOnce() -> Option<Result<T>>) -> Option<Result<T>> {
        match self.strike(operation) {
            Err(error) => Some(Err(error)),
            Ok(Some(Fault::ShortWrite(length))) => Some(self.answer(Some(Fault::ShortWrite(length)), Err(crashed()))),
            Ok(fault) => work().map(|answer| self.answer(fault, answer)),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(kind: ErrorKind) -> Error {
    Error::new(kind, "a failure that the test asked for").in_store("faulty")
}

fn crashed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store has crashed, as the test asked; reopen it").in_store("faulty")
}
