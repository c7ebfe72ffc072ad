//! The file of the database and what lies beside it: whether it may be trusted, which file it is, how it comes to be.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use tracing::warn;

mod network;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use self::other::{has_no_descriptors, has_one_name, is_at, owners_alone, sync};
#[cfg(unix)]
use self::unix::{has_no_descriptors, has_one_name, is_at, owners_alone, sync};

/// Where a database lies. **Never open the file but by SQLite**: POSIX drops all locks of a process on a file when it
/// closes any descriptor of it, SQLite's too.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    folder: PathBuf,
}

/// Tells files apart that were at one path one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

/// What lies beside the database while it is open; the last one only where another program has opened it in rollback mode.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

impl Place {
    /// The place of the database `path`. `InvalidInput`: no file can have this path.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let invalid = |why: &str| Error::new(ErrorKind::InvalidInput, format!("{} {why}", path.display()));
        // A change of the working directory must not lead to another cache.
        let absolute = std::path::absolute(path).map_err(|error| invalid(&format!("cannot be a path: {error}")))?;
        match (absolute.parent(), absolute.file_name()) {
            (Some(folder), Some(_)) => Ok(Self { folder: folder.to_owned(), path: absolute }),
            _ => Err(invalid("names no file; give the path of the database itself")),
        }
    }

    /// Which file is there; `None`: none. `Denied`: it is not safe to use. A mode that lets others in is corrected.
    pub(crate) fn look(&self) -> Result<Option<FileId>> {
        let Some(metadata) = self.metadata()? else { return Ok(None) };
        let denied = |what: &str| {
            let message = format!("{} is {what}; give the path of a file of your own", self.path.display());
            Err(Error::new(ErrorKind::Denied, message))
        };
        if metadata.is_symlink() {
            return denied("a symbolic link");
        }
        if !metadata.is_file() {
            return denied(if metadata.is_dir() { "a folder" } else { "no regular file" });
        }
        network::refuse(&self.folder)?;
        self.trust(&metadata)?;
        // SQLite takes a single byte for an empty file too (src/os_unix.c, `unixFileSize`).
        if metadata.len() <= 1 {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} is empty, which a database never is: something cut it off; `SqliteStore::recover` begins anew",
                    self.path.display()
                ),
            ));
        }
        Ok(Some(FileId::of(&metadata)))
    }

    /// Which file is there, without another look at it.
    pub(crate) fn id(&self) -> Result<Option<FileId>> {
        Ok(self.metadata()?.map(|metadata| FileId::of(&metadata)))
    }

    /// Whether this file is at the path, and no recovery is about to replace it: one that is has a second name (see
    /// [`replace`](Self::replace)), and whoever opens it then may find another log beside it.
    pub(crate) fn is_settled(&self, file: FileId) -> Result<bool> {
        Ok(self.metadata()?.is_some_and(|metadata| FileId::of(&metadata) == file && has_one_name(&metadata)))
    }

    fn metadata(&self) -> Result<Option<Metadata>> {
        match self.path.symlink_metadata() {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Error::io(format!("looking at {}", self.path.display()), error)),
        }
    }

    /// An error of SQLite's about the file, with a closer look: a database whose head is damaged is none to SQLite, and neither
    /// is another program's file, which nobody must take for a cache to be moved aside.
    pub(crate) fn judge(&self, error: Error) -> Error {
        /// With which every SQLite database begins.
        const MAGIC: &[u8; 16] = b"SQLite format 3\0";
        if error.kind() == ErrorKind::Denied && has_no_descriptors(&self.folder) {
            let message = "this process has as many files open as it may; close some, or raise the limit";
            return Error::new(ErrorKind::Unavailable, message);
        }
        if error.kind() != ErrorKind::Unsupported {
            return error;
        }
        let mut head = Vec::new();
        // Nobody has a lock on what is no database: the file may be opened.
        let read = File::open(&self.path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head));
        if read.is_ok() && (MAGIC.starts_with(&head) || head.iter().all(|byte| *byte == 0)) {
            let message = "the head of the database is damaged; `SqliteStore::recover` begins anew and keeps the file";
            return Error::new(ErrorKind::Corrupt, message);
        }
        error
    }

    /// Puts a database at the path, if there is none: `build` makes it under another name, so that nobody ever sees half
    /// of one. Whatever an earlier database left beside it would be taken for a part of this one, and goes.
    pub(crate) fn create(&self, wait: Duration, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.make_folder()?;
        network::refuse(&self.folder)?;
        let _turn = self.turn(wait)?;
        if self.metadata()?.is_some() {
            return Ok(());
        }
        self.put(build)
    }

    /// Puts what `build` makes in the place of the present file, which gets the name that this answers.
    /// The caller holds the [turn](Self::turn), and the log of the present file holds nothing that the file does not.
    ///
    /// The path is never empty meanwhile, or others would take the store for an empty one. The present file gets its second
    /// name before its log is moved away, by which those who open it in between [notice](Self::is_settled).
    pub(crate) fn replace(&self, now: i64, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let renaming = |error| Error::io(format!("moving {} aside", self.path.display()), error);
        let built = self.built(build)?;
        let aside = self.second_name(now)?;
        for companion in COMPANIONS {
            match std::fs::rename(self.beside(companion), with_suffix(&aside, companion)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(renaming(error)),
                _ => {}
            }
        }
        let placing = |error| Error::io(format!("making {}", self.path.display()), error);
        built.persist(&self.path).map_err(|error| placing(error.error))?;
        sync(&self.folder).map_err(placing)?;
        Ok(aside)
    }

    /// Gives the present file another name that no file has.
    fn second_name(&self, now: i64) -> Result<PathBuf> {
        let mut number = 0;
        loop {
            let name = if number == 0 { format!(".corrupt-{now}") } else { format!(".corrupt-{now}-{number}") };
            let aside = self.beside(&name);
            match std::fs::hard_link(&self.path, &aside) {
                Ok(()) => return Ok(aside),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::io(format!("moving {} aside", self.path.display()), error)),
            }
        }
    }

    /// The right to put a file at the path, against all processes. `Busy`: not had within `wait`.
    pub(crate) fn turn(&self, wait: Duration) -> Result<Turn> {
        let path = self.beside(".lock");
        let failed = |error| Error::io(format!("locking {}", path.display()), error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut patience = crate::patience::Patience::new(wait);
        let mut file = options.open(&path).map_err(failed)?;
        owners_alone(&file).map_err(failed)?;
        loop {
            match file.try_lock() {
                // Somebody may have deleted the lock file meanwhile (`rm tokens.db*`): then it locks nobody out.
                Ok(()) if is_at(&file, &path).map_err(failed)? => return Ok(Turn { _file: file }),
                Ok(()) => file = options.open(&path).map_err(failed)?,
                Err(TryLockError::WouldBlock) if patience.is_left() => {}
                Err(TryLockError::WouldBlock) => {
                    let message =
                        "another process has been making the database for longer than the lock wait; try again";
                    return Err(Error::new(ErrorKind::Busy, message));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    fn put(&self, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let built = self.built(build)?;
        let failed = |error| Error::io(format!("removing what is left of {}", self.path.display()), error);
        let mut is_left = false;
        for companion in COMPANIONS {
            match std::fs::remove_file(self.beside(companion)) {
                Ok(()) => is_left = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if is_left {
            // A loss of power must not leave the new database beside the old log.
            sync(&self.folder).map_err(failed)?;
        }
        self.place(built)
    }

    /// A database under a name of its own, mode 0600 from its first moment.
    fn built(&self, build: impl FnOnce(&Path) -> Result<()>) -> Result<tempfile::TempPath> {
        let failed = |error| Error::io(format!("making a file in {}", self.folder.display()), error);
        self.sweep();
        let file = tempfile::Builder::new().prefix(&self.prefix()).suffix(NEW).tempfile_in(&self.folder);
        let file = file.map_err(failed)?;
        owners_alone(file.as_file()).map_err(failed)?;
        // Closed at once: see above.
        let path = file.into_temp_path();
        build(&path)?;
        Ok(path)
    }

    /// Removes what a process that was killed has left of a new database. It may hold tokens.
    fn sweep(&self) {
        let prefix = self.prefix();
        for file in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = file.file_name();
            let Some((id, rest)) = name.to_str().and_then(|name| name.strip_prefix(&*prefix)?.split_once(NEW)) else {
                continue;
            };
            let is_ours =
                id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (rest.is_empty() || COMPANIONS.contains(&rest));
            if is_ours && let Err(error) = std::fs::remove_file(file.path()) {
                warn!(%error, "what an interrupted recovery has left could not be removed");
            }
        }
    }

    fn prefix(&self) -> String {
        format!(".{}-", self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    fn place(&self, built: tempfile::TempPath) -> Result<()> {
        let failed = |error| Error::io(format!("making {}", self.path.display()), error);
        match built.persist_noclobber(&self.path) {
            Ok(()) => {}
            // A program that takes no turn was faster; what it has made is looked at as every file is.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.error)),
        }
        sync(&self.folder).map_err(failed)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.path, suffix)
    }
}

/// How the names of databases that are being made end.
const NEW: &str = ".new";

/// The right to put a file at the path, until it is dropped.
pub(crate) struct Turn {
    _file: File,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
