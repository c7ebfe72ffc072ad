//! The file of the database and what lies beside it: whether it may be trusted, which file it is, how it comes to be.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use tracing::warn;

mod network;

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

/// What lies beside the database while it is open.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

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
    /// The caller holds the [turn](Self::turn).
    pub(crate) fn replace(&self, now: i64, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let aside = self.beside(&format!(".corrupt-{now}"));
        let renaming = |error| Error::io(format!("moving {} aside", self.path.display()), error);
        let built = self.built(build)?;
        for companion in COMPANIONS {
            match std::fs::rename(self.beside(companion), with_suffix(&aside, companion)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(renaming(error)),
                _ => {}
            }
        }
        std::fs::rename(&self.path, &aside).map_err(renaming)?;
        self.place(built)?;
        Ok(aside)
    }

    /// The right to put a file at the path, against all processes. `Busy`: not had within `wait`.
    pub(crate) fn turn(&self, wait: Duration) -> Result<Turn> {
        let path = self.beside(".lock");
        let failed = |error| Error::io(format!("locking {}", path.display()), error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(failed)?;
        owners_alone(&file).map_err(failed)?;
        let mut patience = crate::patience::Patience::new(wait);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: file }),
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
        let file = tempfile::Builder::new().prefix(".tokencache-").suffix(".new").tempfile_in(&self.folder);
        let file = file.map_err(failed)?;
        owners_alone(file.as_file()).map_err(failed)?;
        // Closed at once: see above.
        let path = file.into_temp_path();
        build(&path)?;
        Ok(path)
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

/// The right to put a file at the path, until it is dropped.
pub(crate) struct Turn {
    _file: File,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

    use super::*;

    impl FileId {
        pub(super) fn of(metadata: &Metadata) -> Self {
            Self(metadata.dev(), metadata.ino())
        }
    }

    impl Place {
        /// `Denied`: the file is another user's, or others can put a file in its place. Others lose their rights to it.
        pub(super) fn trust(&self, metadata: &Metadata) -> Result<()> {
            let denied = |message: String| Err(Error::new(ErrorKind::Denied, message));
            let user = rustix::process::geteuid().as_raw();
            if metadata.uid() != user {
                return denied(format!("{} belongs to another user", self.path.display()));
            }
            let folder = self.folder.metadata();
            let folder = folder.map_err(|error| Error::io(format!("looking at {}", self.folder.display()), error))?;
            if folder.mode() & 0o002 != 0 || folder.uid() != user && folder.uid() != 0 {
                return denied(format!(
                    "{} can be written to by other users, who could put another database there; use a folder of your own",
                    self.folder.display()
                ));
            }
            if metadata.mode() & 0o077 != 0 {
                warn!("the database could be opened by other users; it is for its owner alone now");
                for path in std::iter::once(self.path.clone()).chain(COMPANIONS.map(|name| self.beside(name))) {
                    match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(Error::io(format!("closing {} to other users", path.display()), error));
                        }
                        _ => {}
                    }
                }
            }
            Ok(())
        }

        /// Makes the folder and those above it that are missing, for their owner alone.
        pub(super) fn make_folder(&self) -> Result<()> {
            make_all(&self.folder)
                .map_err(|error| Error::io(format!("making the folder {}", self.folder.display()), error))?;
            let folder = self.folder.metadata();
            let folder = folder.map_err(|error| Error::io(format!("looking at {}", self.folder.display()), error))?;
            let user = rustix::process::geteuid().as_raw();
            if folder.mode() & 0o002 != 0 || folder.uid() != user && folder.uid() != 0 {
                let message = format!(
                    "{} can be written to by other users, who could put another database there; use a folder of your own",
                    self.folder.display()
                );
                return Err(Error::new(ErrorKind::Denied, message));
            }
            Ok(())
        }
    }

    fn make_all(folder: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            // The umask may have taken even the owner's rights.
            Ok(()) => std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
                Some(parent) => make_all(parent).and_then(|()| make_all(folder)),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Gives a file its mode whatever the umask; SQLite gives that of the database to what it puts beside it.
    pub(super) fn owners_alone(file: &File) -> io::Result<()> {
        if file.metadata()?.mode() & 0o777 == 0o600 {
            return Ok(());
        }
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[cfg(unix)]
use self::unix::{owners_alone, sync};

#[cfg(not(unix))]
mod other {
    use super::*;

    impl FileId {
        /// A database that is open cannot be replaced here.
        pub(super) fn of(_: &Metadata) -> Self {
            Self(0, 0)
        }
    }

    impl Place {
        /// Files inherit the access list of their folder.
        pub(super) fn trust(&self, _: &Metadata) -> Result<()> {
            Ok(())
        }

        pub(super) fn make_folder(&self) -> Result<()> {
            let made = std::fs::create_dir_all(&self.folder);
            made.map_err(|error| Error::io(format!("making the folder {}", self.folder.display()), error))
        }
    }

    pub(super) fn owners_alone(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn sync(_: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
use self::other::{owners_alone, sync};
