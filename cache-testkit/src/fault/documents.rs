//! A [`DocumentStore`] that fails by plan.

use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    Blob, DocumentStore, Edit, EditFn, Environments, Lease, Modified, PartitionKey, Result, StoredDocument, Version,
};

use super::store::faulty_lease;
use super::{Fault, Faults, Operation};

/// A document store whose operations fail as [`Faults`] say; all others reach the store within.
#[derive(Debug, Clone)]
pub struct FaultyDocuments<D> {
    documents: D,
    faults: Faults,
}

impl<D> FaultyDocuments<D> {
    /// The document store over `documents`, failing by `faults`.
    pub fn new(documents: D, faults: Faults) -> Self {
        Self { documents, faults }
    }

    /// The document store within, which does not fail: to look at what is really there.
    pub fn inner(&self) -> &D {
        &self.documents
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<D: DocumentStore> DocumentStore for FaultyDocuments<D> {
    fn name(&self) -> &'static str {
        self.documents.name()
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        self.faults.around(Operation::Read, self.documents.read(partition)).await
    }

    async fn modify(&self, partition: &PartitionKey, edit: EditFn) -> Result<Modified> {
        let fault = self.faults.strike(Operation::Modify)?;
        let edit = match fault {
            Some(Fault::ShortWrite(length)) => shortened(edit, length),
            _ => edit,
        };
        self.faults.answer(fault, self.documents.modify(partition, edit).await)
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.faults.around(Operation::Partitions, self.documents.partitions(after, limit)).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.faults.around(Operation::Stamp, self.documents.stamp(partition)).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.faults.around_now(Operation::StampNow, || self.documents.stamp_now(partition))
    }

    fn environments(&self) -> Option<Environments> {
        self.documents.environments()
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Option<Result<Lease>> {
        let fault = match self.faults.strike(Operation::Lease) {
            Ok(Some(Fault::ShortWrite(_))) => Some(Fault::CrashAfter),
            Ok(fault) => fault,
            Err(error) => return Some(Err(error)),
        };
        let lease = self.documents.lease(partition, name, wait).await?;
        Some(self.faults.answer(fault, lease).map(|lease| faulty_lease(lease, &self.faults)))
    }
}

/// The edit whose new document ends after `length` bytes.
fn shortened(mut edit: EditFn, length: usize) -> EditFn {
    Box::new(move |document: Option<&Blob>| {
        Ok(match edit(document)? {
            Edit::Replace(whole) => Edit::Replace(whole.slice(0..length.min(whole.len()))),
            other => other,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDocuments;
    use crate::entries::refresh_token;
    use cache_core::{CacheStore as _, Change, Changes, Documents, ErrorKind};
    use pollster::block_on;

    const PLACE: PartitionKey = PartitionKey::Shared;

    #[test]
    fn a_short_write_leaves_a_torn_document() {
        // Down to nothing, which is no empty cache, and where there was no document before, too.
        for (length, is_first) in [(40, false), (0, false), (0, true)] {
            leaves_a_torn_document(length, is_first);
        }
    }

    fn leaves_a_torn_document(length: usize, is_first: bool) {
        let faults = Faults::new();
        let store = Documents::new(FaultyDocuments::new(MemoryDocuments::new(), faults.clone()));
        let put = |key| Changes::new(vec![Change::put(refresh_token(key).entry())]);
        if !is_first {
            block_on(store.commit(&PLACE, &put("a"))).expect("commit");
        }
        faults.at(Operation::Modify, 1, Fault::ShortWrite(length));
        block_on(store.commit(&PLACE, &put("b"))).expect_err("planned");
        faults.reopen();
        let left = block_on(store.document_store().inner().read(&PLACE)).expect("read").expect("a document");
        assert_eq!(left.bytes.len(), length);
        assert_eq!(block_on(store.load(&PLACE)).expect_err("torn").kind(), ErrorKind::Corrupt);
        let id = refresh_token("a").entry().id;
        assert_eq!(block_on(store.get(&PLACE, &[id])).expect_err("torn").kind(), ErrorKind::Corrupt);
        assert_eq!(block_on(store.commit(&PLACE, &put("c"))).expect_err("torn").kind(), ErrorKind::Corrupt);
        block_on(store.remove(&PLACE)).expect("the way out");
        block_on(store.commit(&PLACE, &put("c"))).expect("it begins anew");
    }

    #[test]
    fn a_mark_of_the_encoding_is_no_content() {
        let documents = MemoryDocuments::new();
        let store = Documents::new(documents.clone());
        for blank in [&b""[..], b" \n", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF \t"] {
            documents.overwrite(&PLACE, Blob::copy_of(blank));
            assert_eq!(block_on(store.load(&PLACE)).expect_err("torn").kind(), ErrorKind::Corrupt, "{blank:?}");
        }
    }

    #[test]
    fn errors_lost_answers_and_crashes_reach_the_caller() {
        for (fault, written) in [
            (Fault::Error(ErrorKind::Denied), false),
            (Fault::LostAnswer(ErrorKind::Denied), true),
            (Fault::Crash, false),
            (Fault::CrashAfter, true),
        ] {
            let faults = Faults::new();
            let documents = FaultyDocuments::new(MemoryDocuments::new(), faults.clone());
            faults.at(Operation::Modify, 1, fault);
            let edit = Box::new(|_: Option<&Blob>| Ok(Edit::Replace(Blob::copy_of(b"{}"))));
            block_on(documents.modify(&PLACE, edit)).expect_err("planned");
            assert_eq!(faults.is_crashed(), block_on(documents.read(&PLACE)).is_err());
            assert_eq!(block_on(documents.inner().read(&PLACE)).expect("read").is_some(), written, "{fault:?}");
        }
    }
}
