//! Leases: the right to refresh one token, over all processes that share the cache. A lock that death frees, so that
//! there is nothing to renew and no fence is needed.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Lease, LeaseHandle, PartitionKey, Result, async_trait, blocking_work};

use crate::NAME;
use crate::inner::Inner;
use crate::lock::{deadline, pause};
use crate::notes::Notes;
use crate::platform::{self, Dir, Opened};
use crate::stale::{Holder, line};
use crate::stamp::FileTime;

/// Waits for the lease `name` of a partition. Not had within `wait`: `Busy`, with the process id and the age.
pub(crate) async fn take(inner: Arc<Inner>, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
    let (partition, name) = (partition.clone(), name.to_owned());
    let given_up = GivenUp::default();
    let is_given_up = Arc::clone(&given_up.0);
    let file_lease = blocking_work::run(move || wait_for(&inner, &partition, &name, wait, &is_given_up)).await?;
    Ok(Box::new(file_lease))
}

/// Ends the wait on the blocking pool when the future that waits for it is dropped.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_for(
    inner: &Inner,
    partition: &PartitionKey,
    name: &str,
    wait: Duration,
    is_given_up: &AtomicBool,
) -> Result<FileLease> {
    let deadline = deadline(wait);
    let (place, dir) = inner.find_or_make(partition, &Notes::default())?;
    let file_name = place.lease_file(name);
    let path = place.dir.join(&file_name);
    let line = line(platform::here().as_ref());
    loop {
        let taken = platform::take_lease(&dir, &file_name, &line)
            .map_err(|error| Error::io(format_args!("cannot take the lease {}", path.display()), error))?;
        if let Some(file) = taken {
            return Ok(FileLease { dir: Arc::new(dir), name: file_name, path, file: Some(file) });
        }
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let Some(left) = left.filter(|_| !is_given_up.load(Ordering::Relaxed)) else {
            return Err(busy(&dir, &file_name));
        };
        std::thread::sleep(pause().min(left));
    }
}

fn busy(dir: &Dir, name: &OsString) -> Error {
    let (pid, age) = match dir.open_file(name, false) {
        Ok(Opened::File(mut file, stat)) => {
            (Holder::read(&mut file).ok().and_then(|holder| holder.pid), stat.age(FileTime::now()))
        }
        // What cannot be read is not told.
        _ => (None, None),
    };
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"));
    let age = age.map_or_else(|| "an unknown time".to_owned(), |age| format!("{:.1} s", age.as_secs_f64()));
    Error::new(ErrorKind::Busy, format!("{who} has held the lease for {age}; try again later"))
}

/// A lease that is held.
struct FileLease {
    dir: Arc<Dir>,
    name: OsString,
    path: PathBuf,
    /// Until it is given back.
    file: Option<File>,
}

impl FileLease {
    fn give_back(&mut self) {
        if let Some(file) = self.file.take() {
            platform::drop_lease(&self.dir, &self.name, &file);
        }
    }
}

#[async_trait]
impl LeaseHandle for FileLease {
    fn fence(&self) -> u64 {
        0
    }

    fn remaining(&self) -> Option<Duration> {
        None
    }

    async fn renew(&mut self) -> Result<()> {
        if self.file.as_ref().is_some_and(|file| platform::still_holds(&self.dir, &self.name, file)) {
            return Ok(());
        }
        let message = format!("the lease file {} was removed; another process may have the lease", self.path.display());
        Err(Error::new(ErrorKind::Busy, message).in_store(NAME))
    }

    async fn release(mut self: Box<Self>) -> Result<()> {
        blocking_work::run(move || self.give_back()).await;
        Ok(())
    }
}

impl Drop for FileLease {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for FileLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLease").field("path", &self.path).finish_non_exhaustive()
    }
}
