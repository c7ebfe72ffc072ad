//! Names: which file holds which partition, and what stands beside it.
//!
//! | name | is |
//! |---|---|
//! | `<cache>` | the document of one partition |
//! | `<cache>.lockfile` | the lock that the MSAL libraries know |
//! | `<cache>.<hash>.lease` | a lease, by the hash of its name |
//! | `<cache>.journal` | of a cache that is shared with MSAL libraries: what we wrote and are not yet sure of |
//! | `<cache>.corrupt-<unix time>` | a damaged document that a write has moved aside |
//! | `<name>.key` | in a folder of partitions, beside the document `<name>`: the partition's own key |
//! | `names.key` | in a folder of partitions: the random key that their names are hashed with |
//! | `<any of these>.<pid>.<random>.tmp` | a file in the making |

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cache_core::{Blob, Error, ErrorKind, PartitionKey, Result};
use sha2::{Digest as _, Sha256};

use crate::platform::StatPath;
use crate::stamp::{FileKind, Stat};

/// The file of one partition.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// The name of the cache file in it.
    pub(crate) file: OsString,
    /// Both.
    pub(crate) path: PathBuf,
    /// The file that keeps the partition's own key, in a folder of partitions.
    pub(crate) key_file: Option<OsString>,
    pub(crate) stat_path: StatPath,
    memory: Mutex<Memory>,
}

/// What this handle remembers of its last look at a cache file.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Memory {
    /// Whether there was content.
    pub(crate) had_content: bool,
    /// The stat of a plaintext document that was found to be sound, so that it need not be parsed to know that again.
    pub(crate) sound: Option<Stat>,
    /// Whether there was content that MSAL.NET deletes, in a file that is shared.
    pub(crate) is_deleted_by_dotnet: bool,
    /// Whether the key file beside it was seen to be right.
    pub(crate) key_is_kept: bool,
}

impl Place {
    /// The cache file `path`, which must be absolute. `InvalidInput`: no file can have this path.
    pub(crate) fn new(path: &Path, key_file: Option<OsString>) -> Result<Self> {
        let unusable =
            || Error::new(ErrorKind::InvalidInput, format!("{} cannot be the path of a file", path.display()));
        let (Some(dir), Some(file)) = (path.parent(), path.file_name()) else { return Err(unusable()) };
        Ok(Self {
            dir: dir.to_owned(),
            file: file.to_owned(),
            path: path.to_owned(),
            key_file,
            stat_path: StatPath::new(path).map_err(|_| unusable())?,
            memory: Mutex::default(),
        })
    }

    pub(crate) fn lock_file(&self) -> OsString {
        beside(&self.file, ".lockfile")
    }

    pub(crate) fn journal_file(&self) -> OsString {
        beside(&self.file, ".journal")
    }

    pub(crate) fn lease_file(&self, name: &str) -> OsString {
        beside(&self.file, &format!(".{}.lease", &hex(&Sha256::digest(name))[..32]))
    }

    pub(crate) fn memory(&self) -> Memory {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The name of the file that keeps the key of a folder's names.
pub(crate) const NAMES_KEY: &str = "names.key";

/// The random key that the names of a folder are hashed with. Who may list the folder but not open this key cannot
/// test whether a certain user has a cache in it.
pub(crate) struct NamesKey(Blob);

impl NamesKey {
    /// Begins the stored form. No partition's key does, so that neither file can be put in the place of the other.
    const MAGIC: &[u8] = b"names\0";
    const LEN: usize = 32;

    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [Self::MAGIC, &[0; Self::LEN]].concat();
        let filled = getrandom::fill(&mut bytes[Self::MAGIC.len()..]);
        let key = Self(Blob::new(bytes));
        let failed = |error| Error::new(ErrorKind::Unavailable, format!("the system gives no random bytes: {error}"));
        filled.map(|()| key).map_err(failed)
    }

    /// The key that is stored as `bytes`.
    pub(crate) fn from_bytes(bytes: &Blob) -> Option<Self> {
        let key = bytes.expose().strip_prefix(Self::MAGIC)?;
        (key.len() == Self::LEN).then(|| Self(bytes.clone()))
    }

    /// As it is stored, under protection.
    pub(crate) fn as_bytes(&self) -> &Blob {
        &self.0
    }

    /// The file name of a partition: 64 lower-case hexadecimal digits, which every file system keeps apart.
    pub(crate) fn name_of(&self, partition: &PartitionKey) -> String {
        hex(&Sha256::new().chain_update(self.0.expose()).chain_update(partition.to_bytes()).finalize())
    }
}

/// The name of the file that keeps the key of the partition `name`.
pub(crate) fn key_file(name: &str) -> OsString {
    OsString::from(format!("{name}.key"))
}

/// The partition's file name, if this is the name of the file that keeps a partition's key.
pub(crate) fn name_of_key_file(file: &OsStr) -> Option<&str> {
    let name = file.to_str()?.strip_suffix(".key")?;
    is_partition_name(name.as_bytes()).then_some(name)
}

/// Whether a partition can have this file name in a folder of partitions.
pub(crate) fn is_partition_name(name: &[u8]) -> bool {
    name.len() == 64 && is_hex(name)
}

/// A name in the same folder that nobody else uses, for a file that is to become `name`.
pub(crate) fn temporary_name(name: &OsStr) -> io::Result<OsString> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    Ok(beside(name, &format!(".{}.{random:016x}.tmp", std::process::id())))
}

/// The name that this file was to get, if it is one of our temporary files.
pub(crate) fn becomes(temporary: &OsStr) -> Option<&[u8]> {
    let rest = temporary.as_encoded_bytes().strip_suffix(b".tmp")?;
    let (rest, random) = split_last_dot(rest)?;
    let (name, pid) = split_last_dot(rest)?;
    let is_pid = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    (is_pid && random.len() == 16 && is_hex(random)).then_some(name)
}

/// The name under which the document `cache` is moved aside at `time`.
pub(crate) fn aside(cache: &OsStr, time: i64) -> OsString {
    beside(cache, &format!(".corrupt-{time}"))
}

/// When this file was moved aside, if it is one of this cache's.
pub(crate) fn aside_time(cache: &OsStr, file: &OsStr) -> Option<i64> {
    let time = file.as_encoded_bytes().strip_prefix(cache.as_encoded_bytes())?.strip_prefix(b".corrupt-")?;
    std::str::from_utf8(time).ok()?.parse().ok()
}

fn beside(name: &OsStr, suffix: &str) -> OsString {
    let mut full = name.to_owned();
    full.push(suffix);
    full
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn split_last_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|&byte| byte == b'.')?;
    Some((&text[..at], &text[at + 1..]))
}

impl Place {
    /// What the cache file is now; `None` if there is none. `Denied`: something else has its name.
    pub(crate) fn stat(&self) -> Result<Option<Stat>> {
        let stat = self
            .stat_path
            .stat()
            .map_err(|error| Error::io(format_args!("cannot look at {}", self.path.display()), error))?;
        match stat.map(|stat| stat.kind) {
            None | Some(FileKind::Regular) => Ok(stat),
            Some(FileKind::Symlink) => Err(unusable(&self.path, "a symbolic link")),
            Some(FileKind::Other) => Err(unusable(&self.path, "no regular file")),
        }
    }
}

/// The error for something that is not used as a cache file.
pub(crate) fn unusable(path: &Path, what: &str) -> Error {
    let message = format!("{} is {what}, which is not used for a cache; give the path of a file", path.display());
    Error::new(ErrorKind::Denied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_are_known_by_their_names() {
        let name = temporary_name(OsStr::new("msal.cache.lockfile")).expect("random bytes");
        assert_eq!(becomes(&name), Some(&b"msal.cache.lockfile"[..]));
        for other in ["msal.cache", "a.tmp", "a.12.tmp", "a.b.0123456789abcdef.tmp", "a.12.0123456789ABCDEF.tmp"] {
            assert_eq!(becomes(OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn names_hide_the_partition_and_depend_on_the_folders_key() {
        let (one, other) = (NamesKey::random().expect("random"), NamesKey::random().expect("random"));
        let user = PartitionKey::user("planted-uid.planted-utid");
        let name = one.name_of(&user);
        assert_eq!(name_of_key_file(&key_file(&name)), Some(&*name));
        assert!(!name.contains("planted"));
        assert_ne!(name, other.name_of(&user));
        assert_ne!(name, one.name_of(&PartitionKey::custom("planted-uid.planted-utid")));
        assert_eq!(NamesKey::from_bytes(one.as_bytes()).map(|key| key.name_of(&user)), Some(name));
        assert!(NamesKey::from_bytes(&user.to_bytes().into()).is_none());
        assert!(PartitionKey::from_bytes(one.as_bytes().expose()).is_err());
    }

    #[test]
    fn a_lease_file_hides_the_leases_name() {
        let place = Place::new(Path::new("/folder/msal.cache"), None).expect("a path");
        let file = place.lease_file("planted-name").into_string().expect("text");
        assert!(file.starts_with("msal.cache.") && !file.contains("planted"), "{file}");
        assert_ne!(place.lease_file("other"), place.lease_file("planted-name"));
    }

    #[test]
    fn files_moved_aside_tell_their_time() {
        let cache = OsStr::new("msal.cache");
        assert_eq!(aside_time(cache, &aside(cache, 1_700_000_000)), Some(1_700_000_000));
        assert_eq!(aside_time(cache, OsStr::new("msal.cache.nocae.corrupt-1")), None);
        assert_eq!(aside_time(cache, OsStr::new("msal.cache.corrupt-x")), None);
    }

    #[test]
    fn paths_that_no_file_can_have_are_refused() {
        for path in ["/", "/a/..", "/a\0b"] {
            let error = Place::new(Path::new(path), None).expect_err("no file");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
    }
}
