//! The copying itself: partition by partition, batch by batch.

use std::collections::HashSet;
use std::sync::Arc;

use cache_core::{
    CacheStore, Change, Changes, Clock, Entry, EntryId, MemoryStore, PartitionKey, Result, Skip, Stored, Version,
};
use indicatif::ProgressBar;
use tracing::info;

use super::report::{Copied, EntryRow};
use crate::commands::import;
use crate::entry_name;
use crate::exit::Failure;
use crate::partition_name::PartitionName;
use crate::progress::progress_bar;
use crate::text::counted;

/// What is copied to.
pub(super) enum Target<'t> {
    /// This store.
    Store(&'t Arc<dyn CacheStore>),
    /// Nothing: the merge rules are tried in memory on what this store holds; `None`: on nothing.
    Rehearsal { held: Option<&'t Arc<dyn CacheStore>>, clock: &'t Arc<dyn Clock> },
}

/// A copy that is under way.
pub(super) struct Transfer<'t> {
    source: &'t Arc<dyn CacheStore>,
    target: Target<'t>,
    batch: usize,
    bar: ProgressBar,
    copied: Copied,
}

impl<'t> Transfer<'t> {
    /// A copy from `source`, with at most `batch` changes in a commit.
    pub(super) fn new(source: &'t Arc<dyn CacheStore>, target: Target<'t>, batch: usize) -> Self {
        let copied = Copied { dry_run: matches!(target, Target::Rehearsal { .. }), ..Copied::default() };
        Self { source, target, batch, bar: progress_bar(0, "entries"), copied }
    }

    /// Copies these partitions. An error leaves what was committed until then, and says how much that is.
    pub(super) fn run(mut self, partitions: &[PartitionKey]) -> Result<Copied, Failure> {
        for partition in partitions {
            if let Err(error) = self.partition(partition) {
                self.bar.finish_and_clear();
                let written = self.copied.written();
                let done = (written > 0 && !self.copied.dry_run).then(|| {
                    let written = counted(written, "entry is", "entries are");
                    format!("{written} in the target already; the same command goes on from there")
                });
                return Err(Failure::from(error).with_lines(done));
            }
        }
        self.bar.finish_and_clear();
        Ok(self.copied)
    }

    fn partition(&mut self, partition: &PartitionKey) -> Result<()> {
        // Removed since the partitions were listed.
        let Some(snapshot) = pollster::block_on(self.source.load(partition))? else { return Ok(()) };
        self.copied.partitions += 1;
        let unreadable = snapshot.unreadable.iter().map(|id| row(partition, id, "unreadable"));
        self.copied.unreadable_entries.extend(unreadable);
        self.copied.unreadable += snapshot.unreadable.len();
        self.bar.inc_length(snapshot.entries.len() as u64);
        for batch in snapshot.entries.chunks(self.batch) {
            self.batch(partition, batch)?;
            self.bar.inc(batch.len() as u64);
        }
        Ok(())
    }

    /// Puts the entries that the target does not hold as they are, and reads them back.
    fn batch(&mut self, partition: &PartitionKey, batch: &[Stored]) -> Result<()> {
        let ids: Vec<EntryId> = batch.iter().map(|stored| stored.entry.id.clone()).collect();
        let held = self.target.get(partition, &ids)?;
        let mut puts: Vec<(&Entry, Option<Stored>)> = Vec::new();
        for (Stored { entry, .. }, held) in batch.iter().zip(held) {
            match held {
                Some(held) if is_same(entry, &held.entry) => self.copied.present += 1,
                held => puts.push((entry, held)),
            }
        }
        let skipped = self.target.merge(partition, &puts)?;
        for (id, skip) in &skipped {
            self.copied.kept_entries.push(row(partition, id, import::reason(*skip)));
        }
        self.copied.kept += skipped.len();
        let stayed: HashSet<&EntryId> = skipped.iter().map(|(id, _)| id).collect();
        puts.retain(|(entry, _)| !stayed.contains(&entry.id));
        let updated = puts.iter().filter(|(_, held)| held.is_some()).count();
        self.copied.updated += updated;
        self.copied.inserted += puts.len() - updated;
        if let Target::Store(store) = self.target {
            self.read_back(store, partition, &puts)?;
            info!(entries = batch.len(), written = puts.len(), "a batch is copied and read back");
        }
        Ok(())
    }

    /// Looks whether the target holds what was written.
    fn read_back(
        &mut self,
        store: &Arc<dyn CacheStore>,
        partition: &PartitionKey,
        written: &[(&Entry, Option<Stored>)],
    ) -> Result<()> {
        let ids: Vec<EntryId> = written.iter().map(|(entry, _)| entry.id.clone()).collect();
        let found = pollster::block_on(store.get(partition, &ids))?;
        for ((entry, _), found) in written.iter().zip(found) {
            if !found.is_some_and(|found| is_same(entry, &found.entry)) {
                self.copied.not_verified += 1;
                self.copied.not_verified_entries.push(row(partition, &entry.id, "differs_when_read_back"));
            }
        }
        Ok(())
    }
}

impl Target<'_> {
    /// What the target holds of these.
    fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        match self {
            Self::Store(store) | Self::Rehearsal { held: Some(store), .. } => {
                pollster::block_on(store.get(partition, ids))
            }
            Self::Rehearsal { held: None, .. } => Ok(vec![None; ids.len()]),
        }
    }

    /// Merges entries, each beside what is held in its place, and answers what did not apply.
    fn merge(&self, partition: &PartitionKey, puts: &[(&Entry, Option<Stored>)]) -> Result<Vec<(EntryId, Skip)>> {
        if puts.is_empty() {
            return Ok(Vec::new());
        }
        let put = |entry: &Entry| Change::put(entry.clone());
        let changes = Changes::new(puts.iter().map(|(entry, _)| put(entry)).collect());
        let committed = match self {
            Self::Store(store) => pollster::block_on(store.commit(partition, &changes)),
            Self::Rehearsal { clock, .. } => {
                let stage = MemoryStore::with_clock(Arc::clone(clock));
                let held = puts.iter().filter_map(|(_, held)| held.as_ref().map(|held| put(&held.entry))).collect();
                pollster::block_on(async {
                    stage.commit(partition, &Changes::new(held)).await?;
                    stage.commit(partition, &changes).await
                })
            }
        };
        Ok(committed?.skipped)
    }
}

/// Whether both say the same, whatever their JSON looks like, and have the same times.
fn is_same(entry: &Entry, other: &Entry) -> bool {
    entry.id == other.id
        && (entry.written_at, entry.expires_on) == (other.written_at, other.expires_on)
        && Version::of_content(&entry.json) == Version::of_content(&other.json)
}

fn row(partition: &PartitionKey, id: &EntryId, reason: &'static str) -> EntryRow {
    EntryRow { partition: PartitionName::of(partition), entry: entry_name::full(id), reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_core::{Committed, Lease, Snapshot, async_trait};
    use cache_testkit::entries::access_token;

    use super::*;

    /// A store that says that it stored an entry, and did not, or stored another one.
    #[derive(Debug)]
    struct Careless(MemoryStore);

    #[async_trait]
    impl CacheStore for Careless {
        fn name(&self) -> &'static str {
            "careless"
        }

        async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
            self.0.load(partition).await
        }

        async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
            self.0.get(partition, ids).await
        }

        async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
            let changes = changes.iter().filter_map(|change| match change {
                Change::Put { entry, .. } if entry.id.key() == "lost" => None,
                Change::Put { entry, .. } if entry.id.key() == "another" => {
                    Some(Change::put(access_token("another").secret("another secret").entry()))
                }
                Change::Put { entry, .. } if entry.id.key() == "of another time" => {
                    Some(Change::put(Entry { expires_on: None, ..entry.clone() }))
                }
                other => Some(other.clone()),
            });
            self.0.commit(partition, &Changes::new(changes.collect())).await
        }

        async fn remove(&self, partition: &PartitionKey) -> Result<()> {
            self.0.remove(partition).await
        }

        async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
            self.0.partitions(after, limit).await
        }

        async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
            self.0.stamp(partition).await
        }

        async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
            self.0.lease(partition, name, wait).await
        }
    }

    #[test]
    fn what_does_not_come_back_as_it_was_is_told() {
        let source: Arc<dyn CacheStore> = Arc::new(MemoryStore::new());
        let keys = ["whole", "lost", "another", "of another time", "whole too"];
        let puts =
            keys.map(|key| Change::put(access_token(key).expires(cache_core::UnixSeconds(2_000_000_000)).entry()));
        pollster::block_on(source.commit(&PartitionKey::Shared, &Changes::new(puts.into()))).expect("committed");
        let target: Arc<dyn CacheStore> = Arc::new(Careless(MemoryStore::new()));
        for batch in [2, usize::MAX] {
            pollster::block_on(target.remove(&PartitionKey::Shared)).expect("removed");
            let copied = Transfer::new(&source, Target::Store(&target), batch).run(&[PartitionKey::Shared]);
            let copied = copied.expect("no error");
            let mut differing: Vec<&str> = copied.not_verified_entries.iter().map(|row| &*row.entry).collect();
            differing.sort_unstable();
            assert_eq!(differing, ["AccessToken/another", "AccessToken/lost", "AccessToken/of another time"]);
            assert_eq!((copied.inserted, copied.not_verified), (5, 3));
            assert!(copied.verdict(&"sqlite:target".parse().expect("an address")).is_err());
        }
    }
}
