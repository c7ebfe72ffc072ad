//! A store of one's own in about forty lines: a place that holds one blob per partition. Merging, lookups, residence and
//! notifications come with it.
//!
//!     cargo run -p cache-core --example document_store

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cache_core::{
    Blob, DocumentStore, Documents, Edit, EditFn, Modified, PartitionKey, PersistedTokenCache, Result, StoredDocument,
    Version, async_trait,
};

/// A vault with numbered revisions, here in memory.
#[derive(Debug, Default)]
struct Vault {
    blobs: Mutex<BTreeMap<PartitionKey, (u64, Option<Blob>)>>,
}

fn stamp(entry: Option<&(u64, Option<Blob>)>) -> Option<Version> {
    let (revision, blob) = entry?;
    blob.as_ref().map(|_| Version::new(&revision.to_le_bytes()))
}

#[async_trait]
impl DocumentStore for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = blobs.get(partition);
        let bytes = entry.and_then(|(_, blob)| blob.clone());
        Ok(bytes.zip(stamp(entry)).map(|(bytes, stamp)| StoredDocument { bytes, stamp }))
    }

    async fn modify(&self, partition: &PartitionKey, mut edit: EditFn) -> Result<Modified> {
        // The mutex makes the section exclusive; a remote vault would compare and set the revision in a loop.
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = stamp(blobs.get(partition));
        let (revision, blob) = blobs.entry(partition.clone()).or_default();
        let next = match edit(blob.as_ref())? {
            Edit::Keep => return Ok(Modified { before: before.clone(), after: before }),
            Edit::Replace(bytes) => Some(bytes),
            Edit::Remove => None,
        };
        // Revisions go on over a removal, so that no stamp repeats.
        (*revision, *blob) = (*revision + 1, next);
        Ok(Modified { before, after: stamp(blobs.get(partition)) })
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let held = blobs.iter().filter(|(_, (_, blob))| blob.is_some()).map(|(key, _)| key);
        Ok(held.filter(|key| after.is_none_or(|after| *key > after)).take(limit).cloned().collect())
    }
}

fn main() -> Result<()> {
    let cache = PersistedTokenCache::builder(Documents::new(Vault::default())).build();
    let user = PartitionKey::user("uid.utid");
    pollster::block_on(async {
        let updated = cache
            .update(&user, |tokens| {
                tokens.insert(cache_core::schema::Account {
                    home_account_id: "uid.utid".into(),
                    environment: "login.microsoftonline.com".into(),
                    username: "alice@contoso.example".into(),
                    ..Default::default()
                })
            })
            .await?;
        updated.value?;
        let names = cache
            .read(&user, |tokens| tokens.accounts().into_iter().map(|account| account.username).collect::<Vec<_>>())
            .await?;
        assert_eq!(names, ["alice@contoso.example".into()]);
        assert_eq!(cache.store().partitions(None, 10).await?, std::slice::from_ref(&user));
        Ok(())
    })
}
