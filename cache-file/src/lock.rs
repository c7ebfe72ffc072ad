//! The lock of a cache file, over tasks, processes, and the MSAL libraries of other languages.
//!
//! A file `<cache>.lockfile` that exists and is locked: [`platform::create_lock`] makes it appear in both states at
//! once. Whoever finds it there waits; whether its holder is dead, [`crate::stale`] tells. Other libraries remove lock
//! files that are not theirs (MSAL Node after cached reads) or enter beside a lock that they do not look at, so the
//! holder asks [`Lock::is_held`] before it puts anything in place, and compares the cache file's stamp.

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use cache_core::{Error, ErrorKind, Result};

use crate::notes::{Note, Notes};
use crate::platform::{self, Dir, Opened};
use crate::stale::{Holder, Marks, line};
use crate::stamp::{FileTime, Stat};
use crate::turn::Turn;

/// A lock that is held; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Lock<'a> {
    dir: &'a Dir,
    name: OsString,
    file: File,
    turn: Turn,
}

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum NotHad {
    /// The folder is read-only for this process; there is no lock file. A read can go on without one.
    ReadOnly(Error),
    /// Everything else.
    Failed(Error),
}

impl From<NotHad> for Error {
    fn from(not_had: NotHad) -> Self {
        match not_had {
            NotHad::ReadOnly(error) | NotHad::Failed(error) => error,
        }
    }
}

impl<'a> Lock<'a> {
    /// Waits for the lock file `name` in `dir`, whose path is `folder`. Not had until `deadline`: `Busy`, with the
    /// process id and the age. A lock file that is not had is never removed for that.
    pub(crate) fn take(
        dir: &'a Dir,
        folder: &Path,
        name: OsString,
        deadline: Instant,
        notes: &Notes,
    ) -> Result<Self, NotHad> {
        let path = folder.join(&name);
        let failed = |error| NotHad::Failed(Error::io(format_args!("cannot lock with {}", path.display()), error));
        let turn = Turn::take((dir.id(), name.clone()), deadline).map_err(|age| {
            NotHad::Failed(busy(
                &path,
                &format!("another task of this process (pid {})", std::process::id()),
                Some(age),
            ))
        })?;
        let here = platform::here();
        let line = line(here.as_ref());
        loop {
            let found = match platform::open_lock(dir, &name) {
                Ok(Opened::Absent) => match platform::create_lock(dir, &name, &line) {
                    Ok(Some(file)) => return Ok(Self { dir, name, file, turn }),
                    Ok(None) => None,
                    Err(error) if is_read_only(&error) => return Err(NotHad::ReadOnly(read_only(folder, error))),
                    Err(error) => return Err(failed(error)),
                },
                Ok(Opened::File(file, stat)) => Some(Found::read(file, stat).map_err(failed)?),
                Ok(Opened::Unusable(what)) => {
                    let message = format!("the lock file {} is {what}; remove it", path.display());
                    return Err(NotHad::Failed(Error::new(ErrorKind::Denied, message)));
                }
                // Another user's: it is held, and nothing more can be known.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                Err(error) => return Err(failed(error)),
            };
            turn.yields();
            let (pid, age) = found.as_ref().map_or((None, None), |found| (found.holder.pid, found.age));
            match found.map(|found| found.recover(dir, &name, here.as_ref())) {
                Some(Ok(true)) => {
                    notes.add(Note::LockRecovered { path: path.clone(), pid });
                    continue;
                }
                Some(Err(error)) if is_read_only(&error) => return Err(NotHad::ReadOnly(read_only(folder, error))),
                // A probe that fails tells nothing; the file counts as held.
                Some(Ok(false) | Err(_)) | None => {}
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                let who = pid.map_or_else(|| "another program".to_owned(), |pid| format!("the process {pid}"));
                return Err(NotHad::Failed(busy(&path, &who, age)));
            };
            std::thread::sleep(pause().min(left));
        }
    }

    /// Whether the lock file still is the one that this process made.
    pub(crate) fn is_held(&self) -> bool {
        platform::still_holds(self.dir, &self.name, &self.file)
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if is_asked_to_yield(&self.file) {
            self.turn.set_contended();
        }
        platform::drop_lock(self.dir, &self.name, &self.file);
    }
}

/// The lock file of another holder.
struct Found {
    file: File,
    holder: Holder,
    age: Option<Duration>,
}

impl Found {
    fn read(mut file: File, stat: Stat) -> io::Result<Self> {
        let holder = Holder::read(&mut file)?;
        Ok(Self { file, holder, age: stat.age(FileTime::now()) })
    }

    /// Removes the file if its holder is dead. A living one of this library is told that it is waited for.
    fn recover(self, dir: &Dir, name: &OsStr, here: Option<&Marks>) -> io::Result<bool> {
        if !self.holder.may_be_probed(here, self.age) {
            return Ok(false);
        }
        if self.holder.is_one_of_us(here) {
            ask_to_yield(&self.file);
        }
        match platform::seize(dir, name, self.file)? {
            Some(file) if self.holder.is_dead(here, self.age, platform::is_alive) => {
                platform::remove_seized(dir, name, file)
            }
            _ => Ok(false),
        }
    }
}

/// Tells the holder that it is waited for: the file's time of last access, which nobody reads, is set to 1970. A
/// process that writes without a pause then lets others in now and then ([`Turn`]).
fn ask_to_yield(file: &File) {
    // Not possible on a file of another user; then nobody is told.
    let _ = file.set_times(FileTimes::new().set_accessed(UNIX_EPOCH));
}

fn is_asked_to_yield(file: &File) -> bool {
    file.metadata().and_then(|metadata| metadata.accessed()).is_ok_and(|accessed| accessed == UNIX_EPOCH)
}

/// The moment at which a wait ends.
pub(crate) fn deadline(wait: Duration) -> Instant {
    // Who would wait for longer waits for ever, and the clock has no such time.
    const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + wait.min(A_YEAR)
}

/// 5 to 50 ms, so that waiters do not march in step.
pub(crate) fn pause() -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    Duration::from_micros(5_000 + u64::from(random) % 45_000)
}

fn busy(path: &Path, who: &str, age: Option<Duration>) -> Error {
    let age = age.map_or_else(|| "an unknown time".to_owned(), |age| format!("{:.1} s", age.as_secs_f64()));
    let message = format!(
        "{who} has held the lock file {} for {age}; try again later, and remove the file if that program is gone",
        path.display()
    );
    Error::new(ErrorKind::Busy, message)
}

fn read_only(folder: &Path, error: io::Error) -> Error {
    let message =
        format!("the folder {} cannot be written to, so that its caches are read-only: {error}", folder.display());
    Error::new(ErrorKind::Denied, message).with_source(error)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hogs_the_lock_lets_those_in_that_wait_for_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = Dir::open(folder.path()).expect("opens").expect("is there");
        let name = OsString::from("cache.lockfile");
        let take = || {
            let until = deadline(Duration::from_secs(60));
            Lock::take(&dir, folder.path(), name.clone(), until, &Notes::default()).expect("had")
        };
        let lock = take();
        std::thread::sleep(Duration::from_millis(100));
        // As a waiter in another process does it.
        let Opened::File(file, stat) = platform::open_lock(&dir, &name).expect("opens") else { panic!("no lock file") };
        let found = Found::read(file, stat).expect("read");
        assert!(!found.recover(&dir, &name, platform::here().as_ref()).expect("probed"), "its holder lives");
        let released = Instant::now();
        drop(lock);
        drop(take());
        assert!(released.elapsed() >= Duration::from_millis(50));
    }
}
