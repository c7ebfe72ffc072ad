//! Leases: with an expiry, since a process that dies frees nothing, and with a fence, since one that only sleeps may wake up
//! after that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Lease, LeaseHandle, PartitionKey, Result, UnixMillis, async_trait};
use cache_crypto::rows::{Tag, random};

use crate::error::unexpected;
use crate::head::Presence;
use crate::inner::{Inner, named};
use crate::naps::Naps;
use crate::reading::texts;
use crate::running::to_its_end;
use crate::script;

/// How long a lease holds without a renewal.
const LENGTH: Duration = Duration::from_secs(60);

/// Takes the lease `name` of the partition, waiting up to `wait` for its holder.
pub(crate) async fn take(inner: &Arc<Inner>, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
    let (partition, name) = (partition.clone(), name.to_owned());
    let take = move |inner: Arc<Inner>, holder| {
        let (partition, name) = (partition.clone(), name.clone());
        async move { try_take(&inner, &partition, &name, holder).await }
    };
    take_by(inner, wait, take).await
}

/// Takes the lease of this key, waiting up to `wait` for its holder.
pub(crate) async fn take_at(inner: &Arc<Inner>, key: &[u8], wait: Duration) -> Result<Lease> {
    let key = key.to_owned();
    let take = move |inner: Arc<Inner>, holder| {
        let key = key.clone();
        async move { try_take_at(&inner, key, holder).await }
    };
    take_by(inner, wait, take).await
}

async fn take_by<Tried: Future<Output = Result<Result<Held, Other>>> + Send + 'static>(
    inner: &Arc<Inner>,
    wait: Duration,
    take: impl Fn(Arc<Inner>, Tag) -> Tried,
) -> Result<Lease> {
    let mut holder = Tag::default();
    random(&mut holder)?;
    // `None`: a wait beyond what the clock can tell, which has no end.
    let deadline = Instant::now().checked_add(wait);
    let mut naps = Naps::default();
    loop {
        // To its end: a lease that nobody waits for any more is dropped, and so released.
        match to_its_end(inner, take(Arc::clone(inner), holder)).await? {
            Ok(held) => return Ok(Box::new(held)),
            Err(Other { process, age }) => {
                let nap = naps.next_length();
                let left = deadline.map_or(nap, |deadline| deadline.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    let message = format!("process {process} has held the lease for {age} ms; try again later");
                    return Err(Error::new(ErrorKind::Busy, message));
                }
                let nap = async move {
                    tokio::time::sleep(nap.min(left)).await;
                    Ok(())
                };
                to_its_end(inner, nap).await?;
            }
        }
    }
}

/// The lease, or who has it.
async fn try_take(
    inner: &Arc<Inner>,
    partition: &PartitionKey,
    name: &str,
    holder: Tag,
) -> Result<Result<Held, Other>> {
    // Another one may have been made for a server that was emptied meanwhile.
    let head = inner.head().find_or_make().await?;
    let tag = head.index.partition(partition);
    let key = inner.settings.prefix.lease(tag, &head.index.lease(tag, name));
    match try_take_at(inner, key, holder).await? {
        // By the names of another head somebody else may hold it.
        Ok(held) => match inner.head().put_back(&head).await? {
            Presence::There => Ok(Ok(held)),
            Presence::Other => Box::pin(try_take(inner, partition, name, holder)).await,
        },
        Err(other) => Ok(Err(other)),
    }
}

/// The lease of this key, or who has it.
async fn try_take_at(inner: &Arc<Inner>, key: Vec<u8>, holder: Tag) -> Result<Result<Held, Other>> {
    let expires_at = end_from(inner.now());
    let asked = ask(inner, &key, holder, Asked::Take).await;
    if asked.is_err() {
        // It may be held nevertheless.
        let (inner, key) = (Arc::clone(inner), key.clone());
        tokio::spawn(async move { drop(ask(&inner, &key, holder, Asked::Release).await) });
    }
    match asked? {
        Answer::Held(fence) => {
            Ok(Ok(Held { inner: Arc::clone(inner), key, holder, fence, expires_at, is_over: false }))
        }
        Answer::Other(other) => Ok(Err(other)),
        Answer::Gone => Err(unexpected()),
    }
}

/// Who has a lease, and for how many milliseconds.
struct Other {
    process: String,
    age: String,
}

/// A lease that is held.
struct Held {
    inner: Arc<Inner>,
    key: Vec<u8>,
    /// Random: nobody else's.
    holder: Tag,
    fence: u64,
    expires_at: UnixMillis,
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Take,
    Renew,
    Release,
}

enum Answer {
    Held(u64),
    Other(Other),
    /// It has passed to another.
    Gone,
}

/// The end of a lease that begins now: a little before the server's.
fn end_from(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(i64::try_from(LENGTH.as_millis()).unwrap_or(i64::MAX)))
}

async fn ask(inner: &Inner, key: &[u8], holder: Tag, what: Asked) -> Result<Answer> {
    let verb = match what {
        Asked::Take => "take",
        Asked::Renew => "renew",
        Asked::Release => "release",
    };
    let arguments = [
        inner.script_clock(),
        holder.to_vec(),
        LENGTH.as_millis().to_string().into(),
        verb.into(),
        std::process::id().to_string().into(),
    ];
    let answer = texts(script::LEASE.run(&inner.link, &[key.to_vec()], &arguments).await?)?;
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| unexpected());
    match &answer[..] {
        [held, fence] if held == b"held" => Ok(Answer::Held(text(fence)?.parse().map_err(|_| unexpected())?)),
        [busy, process, age] if busy == b"busy" => {
            Ok(Answer::Other(Other { process: text(process)?, age: text(age)? }))
        }
        [gone] if gone == b"gone" => Ok(Answer::Gone),
        _ => Err(unexpected()),
    }
}

#[async_trait]
impl LeaseHandle for Held {
    fn fence(&self) -> u64 {
        self.fence
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.expires_at.since(self.inner.now()))
    }

    async fn renew(&mut self) -> Result<()> {
        let end = end_from(self.inner.now());
        let (inner, key, holder) = (Arc::clone(&self.inner), self.key.clone(), self.holder);
        let asked = async move { ask(&inner, &key, holder, Asked::Renew).await };
        match to_its_end(&self.inner, asked).await.map_err(named)? {
            Answer::Held(_) => {
                self.expires_at = end;
                Ok(())
            }
            Answer::Other(_) | Answer::Gone => {
                let message = "the lease was not renewed in time and has passed to another; send nothing under it";
                Err(named(Error::new(ErrorKind::Busy, message)))
            }
        }
    }

    async fn release(mut self: Box<Self>) -> Result<()> {
        self.is_over = true;
        let (inner, key, holder) = (Arc::clone(&self.inner), self.key.clone(), self.holder);
        let asked = async move { ask(&inner, &key, holder, Asked::Release).await };
        to_its_end(&self.inner, asked).await.map(drop).map_err(named)
    }
}

impl Drop for Held {
    /// Releases behind the caller's back if there is a runtime; what fails, expiry does.
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.is_over, self.inner.runtime()) {
            let (inner, key, holder) = (Arc::clone(&self.inner), std::mem::take(&mut self.key), self.holder);
            runtime.spawn(async move { drop(ask(&inner, &key, holder, Asked::Release).await) });
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
