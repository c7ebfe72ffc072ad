//! What differs between operating systems, behind one set of names: `unix` and `windows` have the same items, and no
//! other module asks which system it runs on.
//!
//! | item | promises |
//! |---|---|
//! | `Dir` | an open folder; every name is looked up in it, so that nobody can exchange the folder half-way |
//! | `Dir::open_file` | never follows a symbolic link, never blocks, answers regular files only |
//! | `Dir::create_new` | a new file that only its owner can open, whatever the umask |
//! | `StatPath` | one stat of a path, without an allocation |
//! | `create_lock`, `open_lock`, `still_holds`, `drop_lock` | the lock file that MSAL libraries respect |
//! | `take_lease`, `drop_lease` | a lock that only this library uses and that death frees |
//! | `set_modified`, `announce` | the time of the last write; what makes watchers look |
//! | `here`, `is_alive` | which kernel and process namespace this is; whether a process runs in it |

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!("cache-file knows the files of Unix and Windows only; use another store on this platform");

use std::fs::File;

use crate::stamp::Stat;

/// What [`Dir::open_file`] found under a name.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Nothing.
    Absent,
    /// A regular file.
    File(File, Stat),
    /// Something that is not used for a cache: a symbolic link, a folder, a pipe. The text names it.
    Unusable(&'static str),
}

/// Who besides the owner of this process may put files into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, allow(dead_code))] // access lists say it there
pub(crate) enum Writers {
    /// Nobody but the system's administrator.
    OwnerOnly,
    /// Members of the folder's group.
    Group,
    /// Everybody.
    Everybody,
    /// The folder belongs to another user.
    OtherOwner,
}
