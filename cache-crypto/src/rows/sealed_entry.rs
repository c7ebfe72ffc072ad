//! An entry as it is kept: what merging needs to know of it, and a value that only the protector opens.

use cache_core::{
    Blob, Context, Entry, EntryId, Error, ErrorKind, Part, PartitionKey, Protector, Result, Stored, UnixMillis,
    UnixSeconds, Version,
};

use super::index_key::{IndexKey, PartitionTag, Tag};
use super::record::{decode, encode, section_of};

/// What a store keeps of an entry beside its tag.
#[derive(Clone)]
pub struct SealedEntry {
    /// Whose it is; `None`: nobody's.
    pub account: Option<Tag>,
    /// When it was written, as it says itself.
    pub written_at: Option<UnixMillis>,
    /// When it may be dropped.
    pub expires_on: Option<UnixSeconds>,
    /// Its [version](IndexKey::version).
    pub version: Tag,
    /// The entry, [sealed](seal_value).
    pub value: Blob,
}

impl SealedEntry {
    /// The entry that stands under `tag` in this partition. One that was `asked` for by its id has that one, which saves
    /// copies.
    ///
    /// `Corrupt`: it is damaged, or was moved here from another place, which `belongs` tells of a plaintext entry; sealed
    /// ones are whole, and bound to their place. Else the protector's errors.
    pub fn open(
        &self,
        store: &'static str,
        protector: Option<&dyn Protector>,
        partition: &PartitionKey,
        tag: &Tag,
        asked: Option<&EntryId>,
        belongs: impl FnOnce(&Entry) -> bool,
    ) -> Result<Stored> {
        let plaintext = match protector {
            None => self.value.clone(),
            Some(protector) => protector.unprotect(self.value.expose(), &self.context(store, partition, tag))?,
        };
        let entry = decode(&plaintext, self.written_at, self.expires_on, asked).ok_or_else(damaged)?;
        if protector.is_none() && !belongs(&entry) {
            return Err(damaged());
        }
        Ok(Stored { entry, version: Version::new(&self.version) })
    }

    /// Whether `tag` and the tags here are those of the entry, the one of its content included.
    pub fn is_of(&self, tag: &Tag, entry: &Entry, index: &IndexKey, partition: PartitionTag) -> bool {
        index.entry(partition, &entry.id) == *tag && self.has_content_of(entry, index, partition)
    }

    /// Whether the tags here are those of the entry, whatever tag it stands under.
    pub fn has_content_of(&self, entry: &Entry, index: &IndexKey, partition: PartitionTag) -> bool {
        index.account_of(partition, entry) == self.account && index.version(partition, entry) == self.version
    }

    /// The same value under the present key of the same protector. Errors are the protector's.
    pub fn sealed_again(
        &self,
        store: &'static str,
        protector: &dyn Protector,
        partition: &PartitionKey,
        tag: &Tag,
    ) -> Result<Vec<u8>> {
        let context = self.context(store, partition, tag);
        let plaintext = protector.unprotect(self.value.expose(), &context)?;
        protector.protect(plaintext.expose(), &context)
    }

    fn context<'a>(&'a self, store: &'static str, partition: &'a PartitionKey, tag: &'a Tag) -> Context<'a> {
        context(store, partition, tag, self.account.as_ref(), self.written_at, self.expires_on)
    }
}

impl std::fmt::Debug for SealedEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value may be plaintext.
        f.debug_struct("SealedEntry")
            .field("written_at", &self.written_at)
            .field("expires_on", &self.expires_on)
            .finish_non_exhaustive()
    }
}

/// The value under which `entry` is kept at this tag, for this account: sealed by the protector, or open without one.
/// Errors are the protector's.
pub fn seal_value(
    store: &'static str,
    protector: Option<&dyn Protector>,
    partition: &PartitionKey,
    tag: &Tag,
    account: Option<&Tag>,
    entry: &Entry,
) -> Result<Blob> {
    let plaintext = encode(entry);
    match protector {
        None => Ok(plaintext.into_blob()),
        Some(protector) => {
            let context = context(store, partition, tag, account, entry.written_at, entry.expires_on);
            Ok(Blob::new(protector.protect(plaintext.expose(), &context)?))
        }
    }
}

/// What stands for the id of an entry that cannot be read: the section of its [kind](super::kind), and its tag.
pub fn unreadable_id(kind: i64, tag: &Tag) -> EntryId {
    let tag = u128::from_be_bytes(*tag);
    EntryId::new(section_of(kind).unwrap_or("unknown"), format!("unreadable-{tag:032x}"))
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "a stored entry is damaged")
}

fn context<'a>(
    store: &'static str,
    partition: &'a PartitionKey,
    tag: &'a Tag,
    account: Option<&'a Tag>,
    written_at: Option<UnixMillis>,
    expires_on: Option<UnixSeconds>,
) -> Context<'a> {
    let account = account.map_or(&[][..], |account| &account[..]);
    Context::of(store, partition, Part::Entry { id: tag, written_at, expires_on, account })
}
