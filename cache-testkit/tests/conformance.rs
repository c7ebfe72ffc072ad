//! The conformance suite, run by the stores that live in memory.

use std::pin::Pin;
use std::sync::Arc;

use cache_core::{CacheStore, Clock, Documents, MemoryStore, Peer, Profile, Result, async_trait};
use cache_testkit::MemoryDocuments;
use cache_testkit::conformance::{Partitions, Place};
use cache_testkit::fault::{Faults, FaultyDocuments, FaultyStore};
use tokio::runtime::Runtime;

mod memory {
    use super::*;
    cache_testkit::conformance_suite!(|clock| Cloned(MemoryStore::with_clock(clock)));
}

mod memory_sealed {
    use super::*;
    cache_testkit::conformance_suite!(|clock| Cloned(MemoryStore::sealed(clock)));
}

mod documents {
    use super::*;
    cache_testkit::conformance_suite!(|clock| InDocuments { documents: MemoryDocuments::new(), clock });
}

mod documents_in_a_profile {
    use super::*;
    cache_testkit::conformance_suite!(|clock| InProfile {
        documents: MemoryDocuments::new(),
        clock,
        // Those for which nothing of the suite has another form: its foreign data is beyond MSAL.NET and MSAL Python.
        profile: Profile::shared_with([Peer::Node, Peer::Go, Peer::Java]),
    });
}

mod documents_of_the_shared_partition_only {
    use super::*;
    cache_testkit::conformance_suite!(|clock| SharedOnly(InDocuments {
        documents: MemoryDocuments::shared_only(),
        clock
    }));
}

mod documents_in_a_runtime {
    use super::*;
    cache_testkit::conformance_suite!(|clock| InRuntime {
        place: InDocuments { documents: MemoryDocuments::new(), clock },
        runtime: Runtime::new().expect("a runtime"),
    });
}

mod wrappers_without_faults {
    use super::*;
    cache_testkit::conformance_suite!(|clock| {
        let documents = FaultyDocuments::new(MemoryDocuments::new(), Faults::new());
        Cloned(FaultyStore::new(Arc::new(Documents::with_clock(documents, clock)), Faults::new()))
    });
}

/// A store of which each clone is a handle on the same entries.
struct Cloned<S>(S);

#[async_trait]
impl<S: CacheStore + Clone> Place for Cloned<S> {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// Documents in memory, each handle with an adapter of its own.
struct InDocuments {
    documents: MemoryDocuments,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Place for InDocuments {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        Ok(Arc::new(Documents::with_clock(self.documents.clone(), Arc::clone(&self.clock))))
    }
}

/// The same, written in the form of a profile.
struct InProfile {
    documents: MemoryDocuments,
    clock: Arc<dyn Clock>,
    profile: Profile,
}

#[async_trait]
impl Place for InProfile {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        let documents = Documents::with_clock(self.documents.clone(), Arc::clone(&self.clock));
        Ok(Arc::new(documents.with_profile(self.profile)))
    }
}

/// The same place, which says that it holds one partition only.
struct SharedOnly<P>(P);

#[async_trait]
impl<P: Place> Place for SharedOnly<P> {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        self.0.open().await
    }

    fn partitions(&self) -> Partitions {
        Partitions::SharedOnly
    }
}

/// The same place, whose cases run in a runtime.
struct InRuntime<P> {
    place: P,
    runtime: Runtime,
}

#[async_trait]
impl<P: Place> Place for InRuntime<P> {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        self.place.open().await
    }

    fn run(&self, case: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.runtime.block_on(case);
    }
}
