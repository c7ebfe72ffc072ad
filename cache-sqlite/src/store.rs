//! The store: [`CacheStore`] over a database.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    CacheStore, Change, Changes, Committed, EntryId, Extent, Lease, LookupTerm, PartitionKey, Protection, Result,
    Snapshot, Stored, Version, async_trait, blocking_work,
};

use crate::NAME;
use crate::error::reading;
use crate::inner::{Inner, named};
use crate::lease;
use crate::place::Place;
use crate::reading::{Reading, partitions};
use crate::removal::remove;
use crate::rows::Commit;
use crate::settings::Settings;
use crate::stamp::stamp;

/// Token caches in a SQLite database: any number of partitions, a row per entry.
///
/// Cloning gives another handle of the same store, with the same connections. The last one to be dropped closes them.
/// A process that forks must not use a store of before in the child; SQLite's connections do not survive that.
#[derive(Clone)]
pub struct SqliteStore(pub(crate) Arc<Inner>);

impl SqliteStore {
    pub(crate) fn new(place: Place, settings: Settings) -> Self {
        Self(Arc::new(Inner::new(place, settings)))
    }

    /// The absolute path of the database.
    pub fn path(&self) -> &Path {
        &self.0.place.path
    }

    /// Whether the entries are protected, and by what.
    pub fn protection(&self) -> &Protection {
        &self.0.settings.protection
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        blocking_work::run(move || work(&inner)).await.map_err(named)
    }

    async fn read<T: Send + 'static>(
        &self,
        partition: &PartitionKey,
        read: impl Fn(&Reading<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let partition = partition.clone();
        self.run(move |inner| {
            inner.read(|database| {
                let protector = inner.settings.protection.protector();
                read(&Reading { database, protector, partition: &partition })
            })
        })
        .await
    }
}

#[async_trait]
impl CacheStore for SqliteStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        match self.load_within(partition, usize::MAX).await? {
            Some(Extent::Whole(snapshot)) => Ok(Some(snapshot)),
            // No partition has more entries than that.
            Some(Extent::Large(_)) | None => Ok(None),
        }
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        Ok(self.read(partition, move |reading| reading.load_within(limit)).await?.flatten())
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let terms = terms.to_vec();
        Ok(self.read(partition, move |reading| reading.find(&terms)).await?.flatten())
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let (asked, ids) = (ids.len(), ids.to_vec());
        let found = self.read(partition, move |reading| reading.get(&ids)).await?;
        Ok(found.unwrap_or_else(|| vec![None; asked]))
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let (partition, changes) = (partition.clone(), changes.clone());
        self.run(move |inner| {
            let Settings { protection, most_entries, clock, .. } = &inner.settings;
            let protector = protection.protector();
            // Keys are had before the database is locked.
            protector.map_or(Ok(()), |protector| protector.prepare(None))?;
            let puts = changes.iter().any(|change| matches!(change, Change::Put { .. }));
            if !puts && changes.fence().is_none() && inner.present()?.is_none() {
                // No database is made to remove something from it.
                return Ok(Committed {
                    before: None,
                    after: None,
                    skipped: Vec::new(),
                    written: Vec::new(),
                    others_changed: false,
                });
            }
            inner.write(|database| {
                let commit = Commit {
                    database,
                    protector,
                    partition: &partition,
                    most_entries: *most_entries,
                    now: clock.now(),
                };
                commit.run(&changes)
            })
        })
        .await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        let partition = partition.clone();
        self.run(move |inner| {
            // No database is made to remove something from it.
            if inner.present()?.is_none() {
                return Ok(());
            }
            inner.write(|database| remove(database, &partition))
        })
        .await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let after = after.cloned();
        self.run(move |inner| {
            let protector = inner.settings.protection.protector();
            let found = inner.read(|database| partitions(database, protector, after.as_ref(), limit))?;
            Ok(found.unwrap_or_default())
        })
        .await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        let partition = partition.clone();
        self.run(move |inner| {
            let found = inner.read(|database| {
                database.readers.with(|reader| stamp(database, reader, &partition).map_err(reading))
            })?;
            Ok(found.flatten())
        })
        .await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        let database = self.0.ready()?;
        let stamp = database.readers.with_ready(|reader| stamp(&database, reader, partition))?;
        Some(stamp.map_err(|error| named(reading(error))))
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        let (inner, partition, name) = (Arc::clone(&self.0), partition.clone(), name.to_owned());
        blocking_work::run(move || lease::take(&inner, &partition, &name, wait)).await.map_err(named)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { protection, durability, .. } = &self.0.settings;
        f.debug_struct("SqliteStore")
            .field("path", &self.path())
            .field("protection", protection)
            .field("durability", durability)
            .finish_non_exhaustive()
    }
}
