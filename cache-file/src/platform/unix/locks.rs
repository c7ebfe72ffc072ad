//! Lock files of Unix systems.
//!
//! MSAL Node and one kind of MSAL Python respect the existence of the lock file, MSAL.NET, Go and the other kind of
//! Python a `flock` on it. Ours is both at once: a file that is locked before it appears under the name.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};

use fs4::{FileExt, TryLockError};
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use super::{Dir, OWNER_ONLY, Opened, is_no_hard_links, is_own, stat_file, tighten};
use crate::layout::temporary_name;
use crate::stamp::FileKind;

/// Makes the lock file `name` with `line` in it, held by this process; `None` if the name is taken.
pub(crate) fn create_lock(dir: &Dir, name: &OsStr, line: &str) -> io::Result<Option<File>> {
    let temporary = temporary_name(name)?;
    let mut file = dir.create_new(&temporary)?;
    let locked = try_flock(&file).and_then(|_| file.write_all(line.as_bytes()));
    let linked = locked.map(|()| rustix::fs::linkat(&dir.fd, &*temporary, &dir.fd, name, AtFlags::empty()));
    // What cannot be removed now is swept away later.
    let _ = dir.remove(&temporary);
    match linked? {
        Ok(()) => Ok(Some(file)),
        // `NOENT`: this process stood still for so long that the temporary name was swept away.
        Err(Errno::EXIST | Errno::NOENT) => Ok(None),
        Err(error) if is_no_hard_links(error) => create_lock_without_links(dir, name, line),
        Err(error) => Err(error.into()),
    }
}

/// The same where there are no hard links. A library that only locks can slip in between the two steps; then it holds
/// the lock, and the file is left to it.
fn create_lock_without_links(dir: &Dir, name: &OsStr, line: &str) -> io::Result<Option<File>> {
    let mut file = match dir.create_new(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error),
    };
    if !try_flock(&file)? {
        return Ok(None);
    }
    if let Err(error) = file.write_all(line.as_bytes()) {
        drop_lock(dir, name, &file);
        return Err(error);
    }
    Ok(Some(file))
}

/// Opens the lock file of whoever holds it.
pub(crate) fn open_lock(dir: &Dir, name: &OsStr) -> io::Result<Opened> {
    match dir.open_file(name, true) {
        // Another user's lock file: enough to read who holds it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => dir.open_file(name, false),
        opened => opened,
    }
}

/// Whether `file` still is the lock file under that name: another library may have removed it.
pub(crate) fn still_holds(dir: &Dir, name: &OsStr, file: &File) -> bool {
    match (dir.stat(name), stat_file(file)) {
        (Ok(Some(there)), Ok(own)) => (there.device, there.inode) == (own.device, own.inode),
        _ => false,
    }
}

/// Gives a held lock back. The name goes first: once it is gone, closing the file lets nobody into a lock file that is
/// about to be removed (MSAL.NET does it in this order, MSAL Go and portalocker in the other one).
pub(crate) fn drop_lock(dir: &Dir, name: &OsStr, file: &File) {
    if still_holds(dir, name, file) {
        let _ = dir.remove(name);
    }
    let _ = FileExt::unlock(file);
}

/// The same lock file with its `flock` taken over, if no living process has that.
pub(crate) fn seize(_: &Dir, _: &OsStr, file: File) -> io::Result<Option<File>> {
    Ok(try_flock(&file)?.then_some(file))
}

/// Removes a seized lock file, unless there is another one under its name by now; answers whether it did.
#[allow(clippy::needless_pass_by_value)] // its lock is held until the name is gone
pub(crate) fn remove_seized(dir: &Dir, name: &OsStr, file: File) -> io::Result<bool> {
    let is_there = still_holds(dir, name, &file);
    if is_there {
        dir.remove(name)?;
    }
    Ok(is_there)
}

/// Takes the lease file `name` and writes `line` into it; `None` if another holds it.
pub(crate) fn take_lease(dir: &Dir, name: &OsStr, line: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // A holder that gives the lease back removes its file; whoever opened that before tries again.
    for _ in 0..16 {
        let mut file = match rustix::fs::openat(&dir.fd, name, flags, OWNER_ONLY) {
            Ok(fd) => File::from(fd),
            Err(Errno::LOOP | Errno::MLINK) => return Err(unusable()),
            Err(error) => return Err(error.into()),
        };
        let stat = stat_file(&file)?;
        if stat.kind != FileKind::Regular || !is_own(&stat) {
            return Err(unusable());
        }
        if !try_flock(&file)? {
            return Ok(None);
        }
        if still_holds(dir, name, &file) {
            if stat.mode != Some(OWNER_ONLY.as_raw_mode()) {
                tighten(&file)?;
            }
            file.set_len(0)?;
            file.write_all(line.as_bytes())?;
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Gives a lease back.
pub(crate) fn drop_lease(dir: &Dir, name: &OsStr, file: &File) {
    drop_lock(dir, name, file);
}

fn try_flock(file: &File) -> io::Result<bool> {
    match FileExt::try_lock(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn unusable() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "it is no regular file of this user")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dir(path: &Path) -> Dir {
        Dir::open(path).expect("the folder opens").expect("the folder is there")
    }

    #[test]
    fn both_ways_to_make_a_lock_give_one_holder_a_locked_file() {
        type Create = fn(&Dir, &OsStr, &str) -> io::Result<Option<File>>;
        for create in [create_lock as Create, create_lock_without_links as Create] {
            let folder = tempfile::tempdir().expect("temporary folder");
            let (dir, name) = (dir(folder.path()), OsStr::new("cache.lockfile"));
            let held = create(&dir, name, "1 a\n").expect("made").expect("nobody has it");
            assert!(create(&dir, name, "2 b\n").expect("looked").is_none());
            let Opened::File(other, stat) = open_lock(&dir, name).expect("opens") else { panic!("no lock file") };
            assert_eq!(stat.mode, Some(0o600));
            assert!(seize(&dir, name, other).expect("tried").is_none(), "the file is not locked");
            assert!(still_holds(&dir, name, &held));
            drop_lock(&dir, name, &held);
            assert_eq!(dir.names().expect("listed").len(), 0);
        }
    }

    #[test]
    fn a_lock_file_of_another_is_not_removed_by_a_release() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (dir, name) = (dir(folder.path()), OsStr::new("cache.lockfile"));
        let first = create_lock(&dir, name, "1 a\n").expect("made").expect("nobody has it");
        // What MSAL Node does: it removes whatever lock file is there.
        dir.remove(name).expect("removed");
        let second = create_lock(&dir, name, "2 b\n").expect("made").expect("nobody has it");
        assert!(!still_holds(&dir, name, &first));
        drop_lock(&dir, name, &first);
        assert!(still_holds(&dir, name, &second));
    }

    #[test]
    fn a_lease_passes_on_when_its_file_was_removed_under_a_waiter() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (dir, name) = (dir(folder.path()), OsStr::new("cache.lease"));
        let first = take_lease(&dir, name, "1 a\n").expect("taken").expect("free");
        assert!(take_lease(&dir, name, "2 b\n").expect("looked").is_none());
        drop_lease(&dir, name, &first);
        let second = take_lease(&dir, name, "2 b\n").expect("taken").expect("free");
        assert!(still_holds(&dir, name, &second));
    }
}
