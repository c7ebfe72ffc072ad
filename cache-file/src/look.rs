//! Looking at files: which folders and files are used at all, what is in them, and what that is worth.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cache_core::{Blob, Context, Error, ErrorKind, PartitionKey, Protection, Protector, Result, UnifiedDocument};

use crate::damage::{self, Condition};
use crate::inner::Inner;
use crate::layout::{Place, unusable};
use crate::notes::{Note, Notes};
use crate::platform::{self, Dir, Opened, Writers};
use crate::stamp::{FileTime, Stat};

/// Larger files are not read and not written: they are no token caches, and would not fit into memory well.
const LARGEST: u64 = 1 << 30;

/// A file that another library writes in place is empty or torn for a moment. For this long it is looked at again.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// What a look at a cache file has shown.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) found: Found,
    /// `None`: there is no file.
    pub(crate) stat: Option<Stat>,
    /// The time before the look: by then, later changes were still to come.
    pub(crate) looked_at: FileTime,
}

/// What is in a cache file.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is no file.
    Nothing,
    /// No byte, and our last look saw none either.
    Empty,
    /// No byte, where our last look saw content.
    Emptied,
    /// A sound document, in plaintext.
    Document(Blob),
    /// A damaged plaintext document, and what is left of it.
    Damaged(UnifiedDocument),
    /// Something else than a document. What is no text may be protected by another program.
    Foreign { is_text: bool },
    /// Somebody wrote into the file during the look.
    Moving,
}

/// Whether keys may be derived or fetched during a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Prepare,
    /// Under a lock. A key that is not prepared is `KeyUnavailable`.
    AsTheyAre,
}

/// The bytes of a file.
pub(crate) struct Raw {
    pub(crate) bytes: Blob,
    pub(crate) stat: Stat,
    /// Somebody wrote into the file during the read.
    is_moving: bool,
}

impl Inner {
    /// Opens a folder; `None` if there is none. `Denied`: others may put files into it.
    pub(crate) fn open_dir(&self, path: &Path, notes: &Notes) -> Result<Option<Dir>> {
        let opened = Dir::open(path)
            .map_err(|error| Error::io(format_args!("cannot open the folder {}", path.display()), error))?;
        let Some(dir) = opened else { return Ok(None) };
        let refused = |why: &str| {
            let message = format!("the folder {} {why}; use a folder of this user alone (mode 0700)", path.display());
            Err(Error::new(ErrorKind::Denied, message))
        };
        match dir.writers() {
            Writers::Everybody => return refused("can be written to by everybody"),
            Writers::OtherOwner => return refused("belongs to another user"),
            Writers::Group if !self.has_warned.swap(true, Ordering::Relaxed) => {
                notes.add(Note::GroupWritable { path: path.to_owned() });
            }
            Writers::Group | Writers::OwnerOnly => {}
        }
        Ok(Some(dir))
    }

    /// The same, making the folder if there is none.
    pub(crate) fn make_dir(&self, path: &Path, notes: &Notes) -> Result<Dir> {
        if let Some(dir) = self.open_dir(path, notes)? {
            return Ok(dir);
        }
        let failed = |error| Error::io(format_args!("cannot make the folder {}", path.display()), error);
        Dir::create(path).map_err(failed)?;
        self.open_dir(path, notes)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
    }

    /// Looks at the cache file, and opens its protection. Errors: the file cannot be read, or its protection does not
    /// open; whatever else may be wrong is in the answer.
    pub(crate) fn look(
        &self,
        dir: &Dir,
        place: &Place,
        partition: &PartitionKey,
        keys: Keys,
        notes: &Notes,
    ) -> Result<Sight> {
        // What is read anew is not what was written last.
        drop(self.last.take(place));
        let looked_at = FileTime::now();
        let Some(raw) = self.read_file(dir, &place.dir, &place.file, notes)? else {
            return Ok(Sight { found: Found::Nothing, stat: None, looked_at });
        };
        let stat = Some(raw.stat);
        if raw.is_moving {
            return Ok(Sight { found: Found::Moving, stat, looked_at });
        }
        let found = match &self.protection {
            Protection::Plaintext => plaintext(place, &raw, looked_at),
            Protection::Protected(protector) => {
                let context = Context::document(crate::NAME, partition);
                match unseal(protector.as_ref(), &raw.bytes, &context, keys) {
                    Ok(document) => Found::Document(document),
                    Err(error)
                        if self.migrate_plaintext
                            && error.kind() == ErrorKind::Unsupported
                            && damage::begins_as_object(&raw.bytes) =>
                    {
                        notes.add(Note::Plaintext { path: place.path.clone() });
                        plaintext(place, &raw, looked_at)
                    }
                    Err(error) => return Err(at_path(&error, &place.path)),
                }
            }
        };
        if self.sharing.is_some() {
            self.learn_of_deletion(place, &found);
        }
        Ok(Sight { found, stat, looked_at })
    }

    /// Remembers whether MSAL.NET deletes a file with this content, so that it can be told who has, should it be gone.
    fn learn_of_deletion(&self, place: &Place, found: &Found) {
        let is_deleted = match found {
            Found::Document(document) => !self.protection.is_protected() && cache_core::dotnet_deletes(document),
            Found::Damaged(_) | Found::Foreign { .. } | Found::Moving => !self.protection.is_protected(),
            Found::Empty | Found::Emptied => false,
            // What it was is still to be told.
            Found::Nothing => return,
        };
        place.remember(|memory| memory.is_deleted_by_dotnet = is_deleted);
    }

    /// The bytes as they are stored in the place that `context` says.
    pub(crate) fn seal<'b>(&self, bytes: &'b Blob, context: &Context<'_>) -> Result<Cow<'b, [u8]>> {
        let sealed = match &self.protection {
            Protection::Plaintext => Cow::Borrowed(bytes.expose()),
            Protection::Protected(protector) => Cow::Owned(protector.protect(bytes.expose(), context)?),
        };
        if sealed.len() as u64 > LARGEST {
            return Err(Error::new(ErrorKind::TooLarge, "a cache file may have 1 GiB; remove accounts from the cache"));
        }
        Ok(sealed)
    }

    /// What [`seal`](Self::seal) was given.
    pub(crate) fn open_sealed(&self, bytes: &Blob, context: &Context<'_>) -> Result<Blob> {
        match &self.protection {
            Protection::Plaintext => Ok(bytes.clone()),
            Protection::Protected(protector) => unseal(protector.as_ref(), bytes, context, Keys::Prepare),
        }
    }

    /// Reads a regular file of this user; `None` if there is none. A mode that is too wide is corrected, unless the
    /// store is read-only.
    pub(crate) fn read_file(&self, dir: &Dir, folder: &Path, name: &OsStr, notes: &Notes) -> Result<Option<Raw>> {
        let path = folder.join(name);
        let failed = |error| Error::io(format_args!("cannot read {}", path.display()), error);
        let (mut file, mut stat) = match dir.open_file(name, false).map_err(failed)? {
            Opened::Absent => return Ok(None),
            Opened::Unusable(what) => return Err(unusable(&path, what)),
            Opened::File(file, stat) => (file, stat),
        };
        if !platform::is_own(&stat) {
            let message = format!("{} belongs to another user; use a file of this user", path.display());
            return Err(Error::new(ErrorKind::Denied, message));
        }
        if let Some(mode) = stat.mode.filter(|mode| mode & 0o077 != 0) {
            // It fails on a read-only file system.
            if !self.is_read_only && platform::tighten(&file).is_ok() {
                stat = platform::stat_file(&file).map_err(failed)?;
                notes.add(Note::Tightened { path: path.clone(), mode });
            } else {
                notes.add(Note::Wide { path: path.clone(), mode });
            }
        }
        if stat.size > LARGEST {
            let message = format!("{} is larger than 1 GiB; that is no token cache", path.display());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        // One byte more than there are, so that the buffer need not grow: what it leaves behind would not be wiped.
        let mut bytes = Vec::with_capacity(stat.size as usize + 1);
        let read = file.by_ref().take(stat.size + 1).read_to_end(&mut bytes);
        let bytes = Blob::new(bytes);
        read.map_err(failed)?;
        let after = platform::stat_file(&file).map_err(failed)?;
        Ok(Some(Raw { is_moving: after != stat || bytes.len() as u64 != stat.size, bytes, stat }))
    }

    /// Derives or fetches what is needed to write.
    pub(crate) fn prepare_to_seal(&self) -> Result<()> {
        match &self.protection {
            Protection::Plaintext => Ok(()),
            Protection::Protected(protector) => protector.prepare(None),
        }
    }
}

impl Sight {
    /// Whether a library that writes in place may be the cause of what was seen, and soon have put it right.
    pub(crate) fn may_be_in_flight(&self, looking_since: Instant) -> bool {
        let is_doubtful = match self.found {
            Found::Nothing | Found::Document(_) => false,
            Found::Empty | Found::Emptied | Found::Damaged(_) | Found::Foreign { .. } | Found::Moving => true,
        };
        let is_young = |stat: &Stat| stat.age(FileTime::now()).is_none_or(|age| age < IN_FLIGHT);
        is_doubtful && looking_since.elapsed() < IN_FLIGHT && self.stat.as_ref().is_some_and(is_young)
    }

    /// Whether there is something that only the lock can tell.
    pub(crate) fn needs_the_lock(&self) -> bool {
        !matches!(self.found, Found::Nothing | Found::Document(_))
    }
}

/// Waits before the look after the `n`-th one: 1 ms at first, 16 ms in the end.
pub(crate) fn wait_before_next_look(n: u32) {
    std::thread::sleep(Duration::from_millis(1 << n.min(4)));
}

pub(crate) fn unseal(protector: &dyn Protector, bytes: &Blob, context: &Context<'_>, keys: Keys) -> Result<Blob> {
    match keys {
        Keys::Prepare => protector.prepare(Some(bytes.expose()))?,
        Keys::AsTheyAre if protector.is_prepared(bytes.expose()) => {}
        Keys::AsTheyAre => return Err(Error::new(ErrorKind::KeyUnavailable, "the key is still to be prepared")),
    }
    protector.unprotect(bytes.expose(), context)
}

fn plaintext(place: &Place, raw: &Raw, looked_at: FileTime) -> Found {
    let memory = place.memory();
    if raw.bytes.is_empty() {
        return if memory.had_content { Found::Emptied } else { Found::Empty };
    }
    if memory.sound == Some(raw.stat) && raw.stat.is_settled(looked_at) {
        return Found::Document(raw.bytes.clone());
    }
    match damage::examine(&raw.bytes) {
        Condition::Sound => Found::Document(raw.bytes.clone()),
        Condition::Damaged(salvage) => Found::Damaged(salvage),
        Condition::Foreign => Found::Foreign { is_text: std::str::from_utf8(raw.bytes.expose()).is_ok() },
    }
}

/// The same error, naming the file.
pub(crate) fn at_path(error: &Error, path: &Path) -> Error {
    Error::new(error.kind(), format!("{}: {}", path.display(), error.message())).with_source(error.clone())
}
