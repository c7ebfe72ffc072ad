//! Files of Windows.
//!
//! Rights come from the folder's access list: a folder in the user's profile is the user's alone, and files made in it
//! inherit that, so there are no modes to set. The lock is a file that is open without sharing writes or removal, and
//! that the kernel removes when its handle closes, by whatever death. MSAL.NET, Go and Java cannot open it then, Node
//! and Python see that it exists, and Node's stray removal fails instead of stealing it.
//!
//! This module follows the documented behaviour of Windows, and has not been run there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Opened, Writers};
use crate::stale::Marks;
use crate::stamp::{FileKind, FileTime, Stat};

const SHARE_NOTHING: u32 = 0;
const SHARE_READ: u32 = 1;
const SHARE_ALL: u32 = 7;
const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const DELETE: u32 = 0x0001_0000;
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const DELETE_ON_CLOSE: u32 = 0x0400_0000;

const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
const ERROR_DELETE_PENDING: i32 = 303;

/// Other libraries open the cache file without sharing its removal; for so many attempts of 20 ms they are waited for.
const ATTEMPTS: u32 = 100;

/// A folder, by its canonical path.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
}

/// Tells folders apart, whatever path leads to them.
pub(crate) type DirId = PathBuf;

impl Dir {
    /// Opens the folder, following links; `None` if there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match fs::canonicalize(path) {
            Ok(path) if path.is_dir() => Ok(Some(Self { path })),
            Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder and the parents that are missing; they inherit the rights of the one that is there.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub(crate) fn id(&self) -> DirId {
        self.path.clone()
    }

    /// Access lists say who may write; this library leaves them as they are.
    #[allow(clippy::unused_self)] // as on Unix, where the folder is asked
    pub(crate) fn writers(&self) -> Writers {
        Writers::OwnerOnly
    }

    /// What stands under `name`; a symbolic link is not followed.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        stat(&self.path.join(name))
    }

    /// Opens the regular file `name` for reading, or for reading and writing. Shares it with everybody, since MSAL.NET
    /// takes a file that it cannot open for an empty cache.
    pub(crate) fn open_file(&self, name: &OsStr, writable: bool) -> io::Result<Opened> {
        match self.stat(name)?.map(|stat| stat.kind) {
            None => return Ok(Opened::Absent),
            Some(FileKind::Regular) => {}
            Some(FileKind::Symlink) => return Ok(Opened::Unusable("a symbolic link")),
            Some(FileKind::Other) => return Ok(Opened::Unusable("no regular file")),
        }
        let mut options = OpenOptions::new();
        options.read(true).write(writable).share_mode(SHARE_ALL).custom_flags(OPEN_REPARSE_POINT);
        match patiently(|| options.open(self.path.join(name))) {
            Ok(file) => {
                let stat = stat_file(&file)?;
                if stat.kind == FileKind::Regular {
                    Ok(Opened::File(file, stat))
                } else {
                    Ok(Opened::Unusable("a symbolic link"))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Opened::Absent),
            Err(error) => Err(error),
        }
    }

    /// A new file, open for reading and writing. `AlreadyExists` if the name is taken.
    pub(crate) fn create_new(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).share_mode(SHARE_ALL).open(self.path.join(name))
    }

    /// Puts the file `from` in the place of `to`, in one step.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        patiently(|| fs::rename(self.path.join(from), self.path.join(to)))
    }

    /// Gives the file `from` the second name `to`, so that it is never without one; where that is not possible,
    /// renames it. `AlreadyExists` if `to` is taken.
    pub(crate) fn name_also(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match fs::hard_link(self.path.join(from), self.path.join(to)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => match self.stat(to)? {
                Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                None => self.rename(from, to),
            },
            done => done,
        }
    }

    /// Removes the name; that it is not there is no error.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match patiently(|| fs::remove_file(self.path.join(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The names in this folder, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// NTFS writes renames and removals to its journal by itself.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // as on Unix, where there is something to do
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A path to stat again and again.
#[derive(Debug)]
pub(crate) struct StatPath(PathBuf);

impl StatPath {
    /// `InvalidInput` if no file can have this path.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        stat(&self.0)
    }
}

/// The stat of an open file.
pub(crate) fn stat_file(file: &File) -> io::Result<Stat> {
    convert(&file.metadata()?)
}

/// Owners are a matter of access lists, like rights.
pub(crate) fn is_own(_: &Stat) -> bool {
    true
}

/// There are no modes.
#[allow(clippy::unnecessary_wraps)] // as on Unix, where it can fail
pub(crate) fn tighten(_: &File) -> io::Result<()> {
    Ok(())
}

/// Sets the time of the last write and leaves the time of the last access alone.
pub(crate) fn set_modified(file: &File, time: FileTime) -> io::Result<()> {
    file.set_modified(time.into())
}

/// Lets those who watch the file see that it has changed: they look for a change of the time of the last write.
pub(crate) fn announce(file: &File, modified: FileTime) -> io::Result<()> {
    set_modified(file, modified)
}

/// Makes the lock file `name` with `line` in it, held by this process; `None` if the name is taken.
pub(crate) fn create_lock(dir: &Dir, name: &OsStr, line: &str) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).access_mode(GENERIC_READ | GENERIC_WRITE | DELETE);
    options.share_mode(SHARE_READ).custom_flags(DELETE_ON_CLOSE);
    match options.open(dir.path.join(name)) {
        Ok(mut file) => {
            file.write_all(line.as_bytes())?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        // A file that is about to vanish refuses access; a folder that is read-only does so without there being one.
        Err(error) if is_busy(&error) && !matches!(dir.stat(name), Ok(None)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the lock file of whoever holds it.
pub(crate) fn open_lock(dir: &Dir, name: &OsStr) -> io::Result<Opened> {
    dir.open_file(name, false)
}

/// Nobody can remove a file whose handle does not share its removal.
pub(crate) fn still_holds(_: &Dir, _: &OsStr, _: &File) -> bool {
    true
}

/// Gives a held lock back: the kernel removes the file when the handle closes.
pub(crate) fn drop_lock(_: &Dir, _: &OsStr, _: &File) {}

/// The same lock file, open for nobody else, if no living process has it open.
pub(crate) fn seize(dir: &Dir, name: &OsStr, file: File) -> io::Result<Option<File>> {
    drop(file);
    match OpenOptions::new().read(true).share_mode(SHARE_NOTHING).open(dir.path.join(name)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_busy(&error) || error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a seized lock file; answers whether it did.
pub(crate) fn remove_seized(dir: &Dir, name: &OsStr, file: File) -> io::Result<bool> {
    drop(file);
    let mut options = OpenOptions::new();
    options.access_mode(GENERIC_READ | DELETE).share_mode(SHARE_NOTHING).custom_flags(DELETE_ON_CLOSE);
    match options.open(dir.path.join(name)) {
        Ok(_) => Ok(true),
        Err(error) if is_busy(&error) || error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the lease file `name` and writes `line` into it; `None` if another holds it.
pub(crate) fn take_lease(dir: &Dir, name: &OsStr, line: &str) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).access_mode(GENERIC_READ | GENERIC_WRITE | DELETE);
    options.share_mode(SHARE_READ).custom_flags(DELETE_ON_CLOSE | OPEN_REPARSE_POINT);
    match options.open(dir.path.join(name)) {
        Ok(mut file) => {
            file.set_len(0)?;
            file.write_all(line.as_bytes())?;
            Ok(Some(file))
        }
        Err(error) if is_busy(&error) && !matches!(dir.stat(name), Ok(None)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a lease back: the kernel removes the file when the handle closes.
pub(crate) fn drop_lease(_: &Dir, _: &OsStr, _: &File) {}

/// Windows tells its boot to nobody without unsafe code. Our own lock files vanish with their process; for those of
/// others the rule of age holds.
pub(crate) fn here() -> Option<Marks> {
    None
}

/// Whether a process lives cannot be asked without unsafe code; the rule of age decides.
pub(crate) fn is_alive(_: u32) -> bool {
    true
}

fn stat(path: &Path) -> io::Result<Option<Stat>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => convert(&metadata).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn convert(metadata: &fs::Metadata) -> io::Result<Stat> {
    let kind = if metadata.is_file() {
        FileKind::Regular
    } else if metadata.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    };
    Ok(Stat {
        modified: metadata.modified()?.into(),
        changed: metadata.created()?.into(),
        size: metadata.len(),
        inode: 0,
        device: 0,
        kind,
        mode: None,
        owner: None,
    })
}

/// Repeats what another program's open handle hinders.
fn patiently<T>(mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..ATTEMPTS {
        match action() {
            Err(error) if is_busy(&error) => std::thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
    action()
}

fn is_busy(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION | ERROR_DELETE_PENDING)
    )
}
