//! A server with the tokens of a million users: each partition is made when it is asked for, and what crosses the wire is
//! counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use benches::users::{sign_in, user_of};
use cache_core::{
    CacheStore, Change, Changes, Clock, Committed, EntryId, Error, ErrorKind, Lease, ManualClock, PartitionKey, Result,
    Snapshot, Stored, TokenCache, UnixSeconds, Version, Watcher,
};

/// What a field of a partition takes beside the entry's JSON, in bytes: head, terms, envelope, the frame of the protocol.
const FIELD: u64 = 200;
/// A question and its answer without what is stored.
const FRAME: u64 = 200;

/// The users' tokens, as all nodes see them.
#[derive(Debug)]
pub(crate) struct Server {
    clock: Arc<ManualClock>,
    issued: Mutex<Vec<Issued>>,
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    pub(crate) sent: Sent,
}

/// The tokens that a user has now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issued {
    /// Rises with each refresh.
    pub(crate) serial: u32,
    pub(crate) at: UnixSeconds,
}

/// What has crossed the wire.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    stamps: AtomicU64,
    loads: AtomicU64,
    commits: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        [&self.stamps, &self.loads, &self.commits].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Stamps, loads, commits and bytes since the last call.
    pub(crate) fn take(&self) -> [u64; 4] {
        [&self.stamps, &self.loads, &self.commits, &self.bytes].map(|count| count.swap(0, Ordering::Relaxed))
    }

    fn add(&self, request: &AtomicU64, bytes: u64) {
        request.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes + FRAME, Ordering::Relaxed);
    }
}

impl Server {
    /// `count` users, signed in at some time within the last hour.
    pub(crate) fn new(count: usize, clock: Arc<ManualClock>) -> Self {
        let now = clock.now().to_seconds();
        let issued = |user: usize| Issued { serial: 0, at: now.plus(-((user as i64).wrapping_mul(7_919) % 3_600)) };
        let issued = Mutex::new((0..count).map(issued).collect());
        Self { clock, issued, watchers: Mutex::default(), sent: Sent::default() }
    }

    /// The tokens that the user has now.
    pub(crate) fn issued(&self, user: usize) -> Issued {
        self.lock()[user]
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that a user has.
fn tokens(user: usize, Issued { serial, at }: Issued) -> TokenCache {
    let mut tokens = TokenCache::default();
    sign_in(&mut tokens, user, 1, serial, at);
    tokens
}

fn number(partition: &PartitionKey) -> Result<usize> {
    let message = "the simulation has users only";
    user_of(partition).ok_or_else(|| Error::new(ErrorKind::InvalidInput, message))
}

fn version(serial: u32) -> Version {
    Version::new(&serial.to_be_bytes())
}

#[async_trait]
impl CacheStore for Server {
    fn name(&self) -> &'static str {
        "simulated"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        let user = number(partition)?;
        let issued = self.issued(user);
        let version = version(issued.serial);
        let stored = |entry| Stored { entry, version: version.clone() };
        let entries: Vec<Stored> = tokens(user, issued).entries().map(stored).collect();
        let bytes: u64 = entries.iter().map(|stored| stored.entry.json.len() as u64 + FIELD).sum();
        self.sent.add(&self.sent.loads, bytes);
        Ok(Some(Snapshot { entries, unreadable: Vec::new(), stamp: version }))
    }

    async fn get(&self, _: &PartitionKey, _: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        Err(Error::new(ErrorKind::Unsupported, "nobody asks for single entries here"))
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let user = number(partition)?;
        let put = |change: &Change| match change {
            Change::Put { entry, .. } => Some((entry.id.clone(), entry.json.len() as u64 + FIELD)),
            _ => None,
        };
        let puts: Vec<(EntryId, u64)> = changes.iter().filter_map(put).collect();
        self.sent.add(&self.sent.commits, puts.iter().map(|(_, bytes)| bytes).sum());
        let now = self.clock.now().to_seconds();
        let mut all = self.lock();
        let before = all[user].serial;
        all[user] = Issued { serial: before + 1, at: now };
        drop(all);
        // A notice is here within milliseconds, which are nothing by this clock.
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.changed(partition));
        Ok(Committed {
            before: Some(version(before)),
            after: Some(version(before + 1)),
            skipped: Vec::new(),
            written: puts.into_iter().map(|(id, _)| (id, version(before + 1))).collect(),
            others_changed: false,
        })
    }

    async fn remove(&self, _: &PartitionKey) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "nobody removes partitions here"))
    }

    async fn partitions(&self, _: Option<&PartitionKey>, _: usize) -> Result<Vec<PartitionKey>> {
        Err(Error::new(ErrorKind::Unsupported, "nobody lists partitions here"))
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.sent.add(&self.sent.stamps, 0);
        Ok(Some(version(self.issued(number(partition)?).serial)))
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        if let Some(watcher) = watcher.upgrade() {
            watcher.all_changed();
            watcher.watched_for(Duration::MAX);
        }
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    async fn lease(&self, _: &PartitionKey, _: &str, _: Duration) -> Result<Lease> {
        Err(Error::new(ErrorKind::Unsupported, "nobody takes leases here"))
    }
}
