//! One entry of a cache as a store sees it: opaque JSON with the few facts that merging and expiry need.

use std::fmt;
use std::sync::Arc;

use crate::json;
use crate::secret::Blob;
use crate::time::{UnixMillis, UnixSeconds};

/// What is stored: of one entry, its present content; of a partition (then called its stamp), a value that changes with
/// every change and never repeats. Opaque, compared for equality only.
#[derive(Clone)]
pub struct Version(Repr);

#[derive(Clone)]
enum Repr {
    /// Short ones in place, so that a stamp check allocates nothing.
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
    /// The content itself is the version: equal if it says the same, however it is formatted.
    Content(Blob),
}

const SHORT: usize = 46;

impl Version {
    /// A version from a store's own bytes. Up to 46 bytes are kept in place without an allocation.
    pub fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self(Repr::Short(bytes.len() as u8, short))
            }
            None => Self(Repr::Long(bytes.into())),
        }
    }

    /// The version of an entry in a store that keeps whole documents: its JSON. Two such versions are equal if the
    /// JSON means the same, since other libraries reformat the whole document with every write.
    pub fn of_content(json: &Blob) -> Self {
        Self(Repr::Content(json.clone()))
    }

    /// The content that is the version.
    pub(crate) fn content(&self) -> Option<&Blob> {
        match &self.0 {
            Repr::Content(json) => Some(json),
            Repr::Short(..) | Repr::Long(_) => None,
        }
    }

    /// The store's own bytes; `None` for a [version of content](Self::of_content).
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Short(length, bytes) => Some(&bytes[..usize::from(*length)]),
            Repr::Long(bytes) => Some(bytes),
            Repr::Content(_) => None,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Content(a), Repr::Content(b)) => json::same_entity(a.expose(), b.expose()),
            _ => self.as_bytes().is_some() && self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Version {}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            Some(bytes) => {
                f.write_str("Version(")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
            None => f.write_str("Version(content)"),
        }
    }
}

/// A section of the unified cache and the key text of an entry in it, exactly as its writer spelled it.
///
/// An unknown section is one entry with an empty key. `Debug` leaves the key out: it holds account ids.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    section: Arc<str>,
    key: Arc<str>,
}

impl EntryId {
    /// The id of the entry `key` in `section`.
    pub fn new(section: impl Into<Arc<str>>, key: impl Into<Arc<str>>) -> Self {
        Self { section: section.into(), key: key.into() }
    }

    /// The section's name, for example `AccessToken`.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// The key text; empty for a whole unknown section.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn section_arc(&self) -> Arc<str> {
        Arc::clone(&self.section)
    }

    pub(crate) fn key_arc(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({}, key of {} bytes)", self.section, self.key.len())
    }
}

/// The account that an entry belongs to: removing the account removes the entry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccountRef {
    /// The account's id over all tenants, compared exactly.
    pub home_account_id: Arc<str>,
    /// The authority's host as the entry spells it; empty: the entry names none, and goes with its user in any cloud.
    pub environment: Arc<str>,
}

impl fmt::Debug for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountRef(..)")
    }
}

/// One entry as a store sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Section and key text.
    pub id: EntryId,
    /// The account whose removal removes this entry; `None` for app tokens, app metadata and unknown data.
    pub account: Option<AccountRef>,
    /// When the entry was written, as it says itself; `None` where it carries no such time.
    pub written_at: Option<UnixMillis>,
    /// When a store may drop the entry; `None`: never by itself.
    pub expires_on: Option<UnixSeconds>,
    /// The entity as raw JSON.
    pub json: Blob,
}

/// An entry and its present version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The entry.
    pub entry: Entry,
    /// What is stored now, for [`Change::Put::replaces`](crate::Change) and [`Change::Remove::if_match`](crate::Change).
    pub version: Version,
}

/// Everything that a partition holds at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Every readable entry, in the order of the document where there is one.
    pub entries: Vec<Stored>,
    /// Entries that cannot be read, for example since their key is missing. They stay in the store untouched.
    pub unreadable: Vec<EntryId>,
    /// The partition's stamp.
    pub stamp: Version,
}

/// What a store answers that is asked for a partition of bounded size.
#[derive(Clone, Debug)]
pub enum Extent {
    /// All that the partition holds.
    Whole(Snapshot),
    /// The partition holds more than was asked for. Its stamp.
    Large(Version),
}
