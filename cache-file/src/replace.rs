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

    /// Puts the file in the place of `target`, whose stat was `previous`, and answers its own. `None`: this process
    /// stood still for so long that the file was swept away; nothing has changed.
    pub(crate) fn put_in_place(mut self, target: &OsStr, previous: Option<&Stat>) -> io::Result<Option<Stat>> {
        match self.dir.rename(&self.name, target) {
            Ok(()) => self.is_placed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let stat = settle(&self.file, previous.map(|stat| stat.modified))?;
        self.dir.sync()?;
        Ok(Some(stat))
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Sets the times of a file that has just got its name, and answers its stat.
///
/// A change of the times is what the watchers of other libraries see: they miss a bare rename. MSAL Node and Java
/// compare whole milliseconds, so the time of the last write grows by one at least. And it is never the time of the
/// change, by which everybody can tell this file from one that was written in place right afterwards
/// ([`Stat::is_settled`]).
fn settle(file: &File, previous: Option<FileTime>) -> io::Result<Stat> {
    let mut stat = platform::stat_file(file)?;
    let least = previous.map(|previous| previous.plus(Duration::from_millis(1)));
    let mut modified = least.map_or(stat.modified, |least| least.max(stat.modified));
    for _ in 0..4 {
        // A file system that keeps no times gives stamps that are not settled; that costs reads, nothing else.
        if platform::set_modified(file, modified).is_err() {
            break;
        }
        stat = platform::stat_file(file)?;
        if stat.modified != stat.changed {
            break;
        }
        modified = modified.plus(Duration::from_nanos(100));
    }
    Ok(stat)
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
