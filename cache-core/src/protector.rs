//! Protection of stored bytes: plaintext in, protected bytes out, bound to the place that they are stored at.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::partition::PartitionKey;
use crate::secret::Blob;
use crate::time::{UnixMillis, UnixSeconds};

/// Turns documents or entries into protected bytes and back. Stores call it; users configure one and hand it over.
///
/// What is protected for one [`Context`] does not open in another: it answers `Corrupt`, as damage does.
///
/// | the bytes are | `unprotect` answers |
/// |---|---|
/// | protected with one of this protector's keys, for this context | the plaintext |
/// | protected with another key | `Undecryptable` |
/// | protected under a key id that this protector does not know | `KeyUnavailable` |
/// | damaged, truncated, empty, or made for another context | `Corrupt` |
/// | of a newer version, of another format, or plaintext | `Unsupported` |
///
/// No answer ever holds a part of the plaintext or of a key, and plaintext is never passed through.
pub trait Protector: fmt::Debug + Send + Sync + 'static {
    /// Derives or fetches the keys that are needed to open `protected`, or to protect new bytes if it is `None`.
    ///
    /// Stores call it before they take a lock: it may take long (a passphrase, a key service), while
    /// [`protect`](Self::protect) and [`unprotect`](Self::unprotect) are quick once it has returned.
    /// Errors as `unprotect`, as far as the key is concerned.
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()>;

    /// Whether [`unprotect`](Self::unprotect) of these bytes is quick by now: whether it needs no key that is still to be
    /// derived or fetched. Stores ask it under a lock, and call [`prepare`](Self::prepare) without the lock if it is not.
    ///
    /// Provided: `true`, right for protectors that have their keys at hand from the beginning.
    fn is_prepared(&self, protected: &[u8]) -> bool {
        let _ = protected;
        true
    }

    /// The protected form of `plaintext` for this context. Two calls give different bytes.
    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>>;

    /// The plaintext that [`protect`](Self::protect) was given, if bytes, key and context are those of that call.
    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob>;
}

/// How what a store keeps is protected.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Not at all, beyond the rights of the place: whoever can read it has the tokens.
    Plaintext,
    /// By this protector: what is stored is of no use without its key.
    Protected(Arc<dyn Protector>),
}

impl Protection {
    /// `plaintext` or `protected`, for people to read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Protected(_) => "protected",
        }
    }

    /// Whether a key is needed to read what is stored.
    pub fn is_protected(&self) -> bool {
        self.protector().is_some()
    }

    /// The protector; `None`: what is stored is plaintext.
    pub fn protector(&self) -> Option<&dyn Protector> {
        match self {
            Self::Plaintext => None,
            Self::Protected(protector) => Some(&**protector),
        }
    }
}

/// The place that protected bytes belong to. Bytes moved to another place do not open there.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The kind of store, for example `file`.
    pub store: &'a str,
    /// The partition.
    pub partition: &'a PartitionKey,
    /// What of the partition these bytes are.
    pub part: Part<'a>,
}

/// What of a partition protected bytes are.
#[derive(Clone, Copy)]
#[non_exhaustive]
#[allow(missing_debug_implementations)] // tags and ids stay out of logs; Context prints what may be shown
pub enum Part<'a> {
    /// The whole document of the partition.
    Document,
    /// The partition's own key, kept beside it so that partitions can be listed.
    Name,
    /// The [journal](crate::ReapplyJournal) beside a document that is shared with careless writers.
    Journal,
    /// The key by which a store of single entries hashes ids, so that it need not show them. There is one per store.
    IndexKey,
    /// One entry, with the facts that a store keeps in the clear beside it.
    Entry {
        /// The entry's id as the store names it.
        id: &'a [u8],
        /// When it was written.
        written_at: Option<UnixMillis>,
        /// When the store may drop it.
        expires_on: Option<UnixSeconds>,
        /// The account's tag as the store names it.
        account: &'a [u8],
    },
}

impl<'a> Context<'a> {
    /// The context of a partition's document in a store of this kind.
    pub fn document(store: &'a str, partition: &'a PartitionKey) -> Self {
        Self { store, partition, part: Part::Document }
    }

    /// The context of a partition's own key. It does not depend on the partition, which is what the bytes tell.
    pub fn name(store: &'a str) -> Self {
        Self { store, partition: &PartitionKey::Shared, part: Part::Name }
    }

    /// The context of a store's [index key](Part::IndexKey), which belongs to all partitions.
    pub fn index_key(store: &'a str) -> Self {
        Self { store, partition: &PartitionKey::Shared, part: Part::IndexKey }
    }

    /// The context of one part of a partition.
    pub fn of(store: &'a str, partition: &'a PartitionKey, part: Part<'a>) -> Self {
        Self { store, partition, part }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("store", &self.store).field("partition", self.partition).finish_non_exhaustive()
    }
}

impl<P: Protector + ?Sized> Protector for Arc<P> {
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()> {
        (**self).prepare(protected)
    }

    fn is_prepared(&self, protected: &[u8]) -> bool {
        (**self).is_prepared(protected)
    }

    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
        (**self).protect(plaintext, context)
    }

    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob> {
        (**self).unprotect(protected, context)
    }
}
