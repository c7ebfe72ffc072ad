//! Files of Unix systems: everything by descriptor, names looked up in an open folder.

mod locks;
mod process;

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use self::locks::{
    create_lock, drop_lease, drop_lock, open_lock, remove_seized, seize, still_holds, take_lease,
};
pub(crate) use self::process::{here, is_alive};
use super::{Opened, Writers};
use crate::stamp::{FileKind, FileTime, Stat};

const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER: Mode = Mode::RWXU;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    stat: rustix::fs::Stat,
}

/// Tells folders apart, whatever path leads to them.
pub(crate) type DirId = (u64, u64);

impl Dir {
    /// Opens the folder, following links; `None` if there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { stat: rustix::fs::fstat(&fd)?, fd })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the folder and the parents that are missing, with mode 0700 whatever the umask.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        match rustix::fs::mkdir(path, FOLDER) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(Errno::NOENT) => {
                let Some(parent) = path.parent() else { return Err(Errno::NOENT.into()) };
                Self::create(parent)?;
                match rustix::fs::mkdir(path, FOLDER) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        // A umask can only have taken away rights of the owner.
        if Mode::from_raw_mode(rustix::fs::lstat(path)?.st_mode) & FOLDER != FOLDER {
            rustix::fs::chmod(path, FOLDER)?;
        }
        match path.parent().map(Self::open) {
            Some(Ok(Some(parent))) => parent.sync(),
            _ => Ok(()),
        }
    }

    pub(crate) fn id(&self) -> DirId {
        let stat = convert(&self.stat);
        (stat.device, stat.inode)
    }

    /// Who besides this user may put files here. The administrator's folders count as the user's own.
    pub(crate) fn writers(&self) -> Writers {
        let mode = Mode::from_raw_mode(self.stat.st_mode);
        if mode.contains(Mode::WOTH) {
            Writers::Everybody
        } else if self.stat.st_uid != 0 && self.stat.st_uid != rustix::process::geteuid().as_raw() {
            Writers::OtherOwner
        } else if mode.contains(Mode::WGRP) {
            Writers::Group
        } else {
            Writers::OwnerOnly
        }
    }

    /// What stands under `name`; a symbolic link is not followed.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        found(rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Opens the regular file `name` for reading, or for reading and writing.
    pub(crate) fn open_file(&self, name: &OsStr, writable: bool) -> io::Result<Opened> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(Opened::Absent),
            // FreeBSD says MLINK for a link that is not followed.
            Err(Errno::LOOP | Errno::MLINK) => return Ok(Opened::Unusable("a symbolic link")),
            Err(Errno::ISDIR) => return Ok(Opened::Unusable("a folder")),
            Err(Errno::NXIO | Errno::NODEV) => return Ok(Opened::Unusable("no regular file")),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Opened::File(file, convert(&stat)),
            FileType::Directory => Opened::Unusable("a folder"),
            _ => Opened::Unusable("no regular file"),
        })
    }

    /// A new file, open for reading and writing, with mode 0600 whatever the umask. `AlreadyExists` if the name is
    /// taken.
    pub(crate) fn create_new(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, OWNER_ONLY)?);
        rustix::fs::fchmod(&file, OWNER_ONLY)?;
        Ok(file)
    }

    /// Puts the file `from` in the place of `to`, in one step.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives the file `from` the second name `to`, so that it is never without one; where that is not possible,
    /// renames it. `AlreadyExists` if `to` is taken.
    pub(crate) fn name_also(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Err(error) if is_no_hard_links(error) => match self.stat(to)? {
                Some(_) => Err(Errno::EXIST.into()),
                None => self.rename(from, to),
            },
            done => Ok(done?),
        }
    }

    /// Removes the name; that it is not there is no error.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in this folder, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Makes renames and removals in this folder durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // File systems that have no such thing (some network and user-space ones) say so in these ways.
            Ok(()) | Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A path to stat again and again.
#[derive(Debug)]
pub(crate) struct StatPath(CString);

impl StatPath {
    /// `InvalidInput` if no file can have this path.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(CString::new(path.as_os_str().as_bytes())?))
    }

    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        found(rustix::fs::lstat(&self.0))
    }
}

/// The stat of an open file.
pub(crate) fn stat_file(file: &File) -> io::Result<Stat> {
    Ok(convert(&rustix::fs::fstat(file)?))
}

/// Whether the file belongs to the user that this process runs as.
pub(crate) fn is_own(stat: &Stat) -> bool {
    stat.owner == Some(rustix::process::geteuid().as_raw())
}

/// Takes away the rights of everybody but the owner.
pub(crate) fn tighten(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, OWNER_ONLY)?)
}

/// Sets the time of the last write and leaves the time of the last access alone.
pub(crate) fn set_modified(file: &File, time: FileTime) -> io::Result<()> {
    let last_access = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let last_modification = rustix::fs::Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Ok(rustix::fs::futimens(file, &rustix::fs::Timestamps { last_access, last_modification })?)
}

/// Lets those who watch the file see that it has changed. They miss a bare rename, and a change of the time of the last
/// access; of the mode they hear, also where it stays what it was. The time of the last write stays, by which others'
/// writes are told.
pub(crate) fn announce(file: &File, _modified: FileTime) -> io::Result<()> {
    tighten(file)
}

/// What `link` answers on file systems without hard links.
fn is_no_hard_links(error: Errno) -> bool {
    matches!(error, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
}

fn found(stat: rustix::io::Result<rustix::fs::Stat>) -> io::Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok(Some(convert(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

// The fields of `stat` have other widths and signs on each platform; none of these values is lost in u64 or i64.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    trivial_numeric_casts
)]
fn convert(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        modified: FileTime { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
        changed: FileTime { seconds: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
        size: stat.st_size as u64,
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        mode: Some(stat.st_mode as u32 & 0o7777),
        owner: Some(stat.st_uid),
    }
}
