//! Leases as rows: with an expiry, since a process that dies frees nothing, and with a fence, since one that only sleeps may
//! wake up after that.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, ErrorKind, Lease, LeaseHandle, PartitionKey, Result, UnixMillis, async_trait, blocking_work};
use cache_crypto::rows::{Tag, random};
use rusqlite::OptionalExtension as _;

use crate::connection::Transaction;
use crate::error::of_sqlite;
use crate::inner::{Inner, named};
use crate::patience::Patience;

/// How long a lease holds without a renewal.
const LENGTH: Duration = Duration::from_secs(60);

/// Takes the lease `name` of the partition, waiting up to `wait` for its holder.
pub(crate) fn take(inner: &Arc<Inner>, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
    let mut holder = Tag::default();
    random(&mut holder)?;
    let mut patience = Patience::new(wait);
    loop {
        let taken = inner.write(|database| {
            let tag = database.tags.lease(database.tags.partition(partition), name);
            let writer = database.writer()?;
            let transaction = writer.begin(LEASING)?;
            let taken = try_take(&transaction, tag, holder, inner.settings.clock.now()).map_err(leasing)?;
            transaction.commit().map_err(leasing)?;
            Ok((tag, taken))
        })?;
        match taken {
            (tag, Ok((fence, expires_at))) => {
                return Ok(Box::new(Held { inner: Arc::clone(inner), tag, holder, fence, expires_at, is_over: false }));
            }
            (_, Err(_)) if patience.is_left() => {}
            (_, Err(other)) => return Err(other.busy(inner.settings.clock.now())),
        }
    }
}

/// Who has a lease.
struct Holder {
    process: Option<i64>,
    taken_at: UnixMillis,
}

impl Holder {
    fn busy(&self, now: UnixMillis) -> Error {
        let holder = self.process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"));
        let age = now.since(self.taken_at).as_millis();
        Error::new(ErrorKind::Busy, format!("{holder} has held the lease for {age} ms; try again later"))
    }
}

/// The fence and the end of the lease, or who has it.
fn try_take(
    transaction: &Transaction<'_>,
    tag: Tag,
    holder: Tag,
    now: UnixMillis,
) -> rusqlite::Result<Result<(i64, UnixMillis), Holder>> {
    let found = transaction
        .prepared("SELECT fence, holder IS NOT NULL, process, taken_at, expires_at FROM lease WHERE tag = ?1")?
        .query_row((tag,), |row| {
            let holder = Holder { process: row.get(2)?, taken_at: UnixMillis(row.get(3)?) };
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, holder, UnixMillis(row.get(4)?)))
        })
        .optional()?;
    let highest = match found {
        // An end far beyond a whole length was written by a clock that has been set back since. Not a little: clocks are
        // corrected by moments all the time, and no lease passes to another for that.
        Some((_, true, other, end)) if now < end && end.since(now) <= 2 * LENGTH => return Ok(Err(other)),
        Some((fence, ..)) => fence,
        None => 0,
    };
    // Not from one: those who hold a lease of a database that was at this path before have fences, too.
    let (fence, end) = (highest.saturating_add(1).max(now.0), end_from(now));
    let sql = "INSERT INTO lease (tag, fence, holder, process, taken_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (tag) DO UPDATE SET fence = excluded.fence, holder = excluded.holder,
               process = excluded.process, taken_at = excluded.taken_at, expires_at = excluded.expires_at";
    transaction.prepared(sql)?.execute((tag, fence, holder, std::process::id(), now.0, end.0))?;
    Ok(Ok((fence, end)))
}

/// A lease that is held.
struct Held {
    inner: Arc<Inner>,
    tag: Tag,
    /// Random: nobody else's.
    holder: Tag,
    fence: i64,
    expires_at: UnixMillis,
    is_over: bool,
}

impl Held {
    /// Changes the row, if it is still this holder's; answers whether it was.
    fn update(inner: &Inner, sql: &str, tag: Tag, holder: Tag, end: UnixMillis) -> Result<bool> {
        // No database is made to give something back to it.
        if inner.present()?.is_none() {
            return Ok(false);
        }
        inner.write(|database| {
            let writer = database.writer()?;
            let transaction = writer.begin(LEASING)?;
            let update = || transaction.prepared(sql)?.execute((tag, holder, end.0));
            let rows = update().map_err(leasing)?;
            transaction.commit().map_err(leasing)?;
            Ok(rows > 0)
        })
    }
}

const RENEW: &str = "UPDATE lease SET expires_at = ?3 WHERE tag = ?1 AND holder = ?2";
/// The fence stays: it is never given out again.
const RELEASE: &str = "UPDATE lease SET holder = NULL, process = NULL, expires_at = ?3 WHERE tag = ?1 AND holder = ?2";

#[async_trait]
impl LeaseHandle for Held {
    fn fence(&self) -> u64 {
        self.fence.unsigned_abs()
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.expires_at.since(self.inner.settings.clock.now()))
    }

    async fn renew(&mut self) -> Result<()> {
        let (inner, tag, holder) = (Arc::clone(&self.inner), self.tag, self.holder);
        let end = end_from(inner.settings.clock.now());
        let renewed = blocking_work::run(move || Self::update(&inner, RENEW, tag, holder, end)).await;
        if renewed.map_err(named)? {
            self.expires_at = end;
            return Ok(());
        }
        let message = "the lease was not renewed in time and has passed to another; send nothing under it";
        Err(named(Error::new(ErrorKind::Busy, message)))
    }

    async fn release(mut self: Box<Self>) -> Result<()> {
        self.is_over = true;
        let (inner, tag, holder) = (Arc::clone(&self.inner), self.tag, self.holder);
        let released = blocking_work::run(move || Self::update(&inner, RELEASE, tag, holder, UnixMillis(0))).await;
        released.map(drop).map_err(named)
    }
}

impl Drop for Held {
    /// Releases, on tokio's blocking pool if there is one; what fails, expiry does.
    fn drop(&mut self) {
        if !self.is_over {
            let (inner, tag, holder) = (Arc::clone(&self.inner), self.tag, self.holder);
            blocking_work::detach(move || drop(Self::update(&inner, RELEASE, tag, holder, UnixMillis(0))));
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("fence", &self.fence)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

fn end_from(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(i64::try_from(LENGTH.as_millis()).unwrap_or(i64::MAX)))
}

const LEASING: &str = "changing a lease";

fn leasing(error: rusqlite::Error) -> Error {
    of_sqlite(LEASING, error)
}
