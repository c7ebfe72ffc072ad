//! Putting a file in the place of another: at once, durably, and so that every library notices.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::layout::{NAMES_KEY, becomes, is_partition_name, temporary_name};
use crate::platform::{self, Dir};
use crate::stamp::{FileKind, FileTime, Stat};

/// Temporary files that are older than this belong to a process that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// A file in the making, complete and durable. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    dir: &'a Dir,
    name: OsString,
    file: File,
    is_placed: bool,
}

impl<'a> Temporary<'a> {
    /// Writes `bytes` to a new file beside `target`. An error leaves no file.
    pub(crate) fn write(dir: &'a Dir, target: &OsStr, bytes: &[u8]) -> io::Result<Self> {
        let name = temporary_name(target)?;
        let file = dir.create_new(&name)?;
        let mut temporary = Self { dir, name, file, is_placed: false };
        temporary.file.write_all(bytes)?;
        temporary.file.sync_all()?;
        Ok(temporary)
    }

    /// Puts the file in the place of `target`, whose stat was `previous`. `None`: this process stood still for so long
    /// that the file was swept away; nothing has changed.
    pub(crate) fn put_in_place(mut self, target: &OsStr, previous: Option<&Stat>) -> io::Result<Option<Placed>> {
        let written = mark(&self.file, previous.map(|stat| stat.modified))?;
        match self.dir.rename(&self.name, target) {
            Ok(()) => self.is_placed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        // Whoever cannot be told so finds the file by looking.
        let _ = platform::announce(&self.file, written.modified);
        let stat = platform::stat_file(&self.file)?;
        self.dir.sync()?;
        let is_ours = stat.is_settled_at_once() && (stat.modified, stat.size) == (written.modified, written.size);
        Ok(Some(if is_ours { Placed::Ours(stat) } else { Placed::Unsure(stat) }))
    }
}

/// A file that stands in its place.
pub(crate) enum Placed {
    /// As it was written, by this stat: whatever is written into it from now on changes the stat.
    Ours(Stat),
    /// Somebody wrote into it already, or its times cannot tell.
    Unsure(Stat),
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Sets the time of the last write of a file that has no name yet by which others know it, and answers its stat.
///
/// MSAL Node and Java compare whole milliseconds, so the time grows by one at least. And it is a time that no write gives:
/// by that everybody can tell this file from one that was written in place afterwards ([`Stat::is_settled`]), however
/// soon. Once the file has its name, its time is not touched any more, for that would hide such a write.
fn mark(file: &File, previous: Option<FileTime>) -> io::Result<Stat> {
    let stat = platform::stat_file(file)?;
    let least = previous.map(|previous| previous.plus(Duration::from_millis(1)));
    // Between the ticks of the clock that files are written by; where it ticks in nanoseconds, not at this one.
    let between = stat.modified.plus(Duration::from_nanos(100));
    let modified = least.filter(|least| *least > between).unwrap_or(between);
    // A file system that keeps no times gives stamps that are not settled; that costs reads, nothing else.
    let _ = platform::set_modified(file, modified);
    platform::stat_file(file)
}

/// When this handle last looked for files that were left behind.
#[derive(Debug, Default)]
pub(crate) struct LastSweep(Mutex<Option<Instant>>);

impl LastSweep {
    /// Removes our temporary files that are older than a minute: those of the cache file `cache`, or without one,
    /// those of a folder of partitions. Called under the lock; looks at the folder once a minute only.
    ///
    /// Should the process that made such a file still live, it finds it gone and makes its change again.
    pub(crate) fn sweep(&self, dir: &Dir, cache: Option<&OsStr>) {
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < LEFT_BEHIND) {
                return;
            }
            *last = Some(Instant::now());
        }
        let now = FileTime::now();
        let names = dir.names().unwrap_or_default();
        for name in names.iter().filter(|name| becomes(name).is_some_and(|target| is_of(target, cache))) {
            let Ok(Some(stat)) = dir.stat(name) else { continue };
            let is_old = stat.age(now).is_some_and(|age| age > LEFT_BEHIND);
            if stat.kind == FileKind::Regular && platform::is_own(&stat) && is_old {
                // What cannot be removed today can be tomorrow.
                let _ = dir.remove(name);
            }
        }
    }
}

/// Whether `target` is the cache file, or in a folder of partitions any of them, or stands beside it.
fn is_of(target: &[u8], cache: Option<&OsStr>) -> bool {
    let rest = match cache {
        Some(cache) => target.strip_prefix(cache.as_encoded_bytes()),
        None => target
            .strip_prefix(NAMES_KEY.as_bytes())
            .or_else(|| target.split_at_checked(64).filter(|(name, _)| is_partition_name(name)).map(|(_, rest)| rest)),
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_cache_are_swept() {
        let cache = Some(OsStr::new("msal.cache"));
        assert!(is_of(b"msal.cache", cache) && is_of(b"msal.cache.lockfile", cache));
        assert!(!is_of(b"msal.cache2", cache) && !is_of(b"other", cache));
        let name = "0123456789abcdef".repeat(4);
        for target in [name.clone(), format!("{name}.key"), format!("{name}.lockfile"), NAMES_KEY.to_owned()] {
            assert!(is_of(target.as_bytes(), None), "{target}");
        }
        assert!(!is_of(b"msal.cache", None) && !is_of(format!("{name}0").as_bytes(), None));
    }
}
