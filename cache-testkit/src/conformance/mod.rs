//! What every store promises, as tests that any store can run.
//!
//! A store's crate names a [`Place`]: where its entries lie during one test, fresh for each and cleaned up when it is
//! dropped. [`conformance_suite!`](crate::conformance_suite) makes one named test per case of it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use cache_core::{CacheStore, Clock, MemoryStore, Result, async_trait};
//! use cache_testkit::conformance::Place;
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl Place for Memory {
//!     async fn open(&self) -> Result<Arc<dyn CacheStore>> {
//!         Ok(Arc::new(self.0.clone()))
//!     }
//! }
//!
//! mod plain {
//!     use super::*;
//!     // In a test target this makes tests such as `plain::merge::a_put_into_nothing_inserts`.
//!     cache_testkit::conformance_suite!(|clock| Memory(MemoryStore::with_clock(clock)));
//! }
//! # fn main() {}
//! ```
//!
//! The cases are functions of their own and can be called one by one with [`check`]. A failing one panics. No case
//! may be left out: a store that cannot do what one asks for is not a [`CacheStore`].
// Said once, above, and not at each of the cases.
#![allow(clippy::missing_panics_doc)]

mod setup;
mod suite;

pub mod atomic;
pub mod cancellation;
pub mod contention;
pub mod fence;
pub mod finding;
pub mod guards;
pub mod handles;
pub mod leases;
pub mod merge;
pub mod partitions;
pub mod reading;
pub mod removal;
pub mod sizes;
pub mod stamps;
pub mod texts;

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use cache_core::{CacheStore, Clock, ManualClock, Result};

pub use self::setup::Setup;
use crate::fixtures::NOW;

/// Where a store keeps its partitions during one test: a directory, a server, a piece of memory. Empty when it is
/// made; dropping it cleans up. The store merges by the clock that the place was made with.
#[async_trait]
pub trait Place: Send + Sync {
    /// Another handle on this place, as another process would open it.
    async fn open(&self) -> Result<Arc<dyn CacheStore>>;

    /// Which partitions the place can hold. Provided: any.
    fn partitions(&self) -> Partitions {
        Partitions::Any
    }

    /// Runs a case to its end on this thread. Several threads call this at once, some of them while another waits for
    /// them within a case. Provided: without a runtime. A store that needs one gives one here that has threads of its
    /// own.
    fn run(&self, case: Pin<Box<dyn Future<Output = ()> + '_>>) {
        pollster::block_on(case);
    }
}

/// Which partitions a place can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitions {
    /// Any.
    Any,
    /// The shared one only; any other is refused as `InvalidInput`.
    SharedOnly,
    /// Those that another library has keys for, which do not tell all kinds apart: partitions of different kinds and the same
    /// key may be one. The shared one, which has no key, is refused as `InvalidInput`.
    Keyed,
}

/// Runs one case on a fresh place, whose clock stands at [`NOW`] until the case moves it.
///
/// # Panics
/// If the store does not keep the promise that the case is about.
pub fn check<P: Place>(factory: impl FnOnce(Arc<dyn Clock>) -> P, case: impl AsyncFnOnce(&Setup<'_>)) {
    let clock = Arc::new(ManualClock::at(NOW));
    let place = factory(Arc::clone(&clock) as Arc<dyn Clock>);
    place.run(Box::pin(async {
        let setup = Setup::new(&place, clock).await;
        case(&setup).await;
    }));
}

/// Gives the closure of [`conformance_suite!`](crate::conformance_suite) its types.
#[doc(hidden)]
pub fn place<P: Place>(factory: impl FnOnce(Arc<dyn Clock>) -> P, clock: Arc<dyn Clock>) -> P {
    factory(clock)
}
