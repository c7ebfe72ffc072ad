//! Entries as the store side sees them: tags that can be compared, and content that it cannot look into.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use self::client::Sealed;
use crate::entry::{Entry, EntryId, Version};
use crate::merge::account_host;
use crate::schema::section;
use crate::time::UnixMillis;

/// The name of something that the store compares.
pub(super) type Tag = Arc<[u8]>;

/// An entry as the store side sees it. Merging reads this and nothing else.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) account: Option<Tag>,
    pub(super) is_account: bool,
    pub(super) written_at: Option<UnixMillis>,
    pub(super) version: Version,
    pub(super) entry: Sealed,
}

impl Row {
    /// The account that this is the `Account` entry of.
    pub(super) fn names_account(&self) -> Option<&Tag> {
        self.account.as_ref().filter(|_| self.is_account)
    }
}

/// How the store side names what it must compare. Equal things have equal tags, different things different ones.
pub(super) enum Tags {
    /// The things themselves.
    Readable,
    /// SHA-256 over a key of this store's own and the things.
    Keyed([u8; 32]),
}

impl Tags {
    /// Tags under a new key. The key comes from the seeds of std's hash maps, which are random but not made for
    /// secrecy: enough for a store that shows what rules may see, not for one that hides it.
    pub(super) fn keyed() -> Self {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        Self::Keyed(key)
    }

    pub(super) fn id(&self, id: &EntryId) -> Tag {
        self.tag(b"id", &[id.section().as_bytes(), id.key().as_bytes()])
    }

    /// Home account ids are compared exactly, hosts ignoring case and port.
    pub(super) fn account(&self, home_account_id: &str, environment: &str) -> Tag {
        self.tag(b"account", &[home_account_id.as_bytes(), account_host(environment).as_bytes()])
    }

    pub(super) fn version(&self, entry: &Entry) -> Version {
        let id = &entry.id;
        match self {
            Self::Readable => Version::of_content(&entry.json),
            Self::Keyed(_) => {
                let parts = [id.section().as_bytes(), id.key().as_bytes(), entry.json.expose()];
                Version::new(&self.tag(b"content", &parts))
            }
        }
    }

    /// Each part is preceded by its length, so that no two lists of parts run into the same bytes.
    fn tag(&self, what: &[u8], parts: &[&[u8]]) -> Tag {
        let parts = [what].into_iter().chain(parts.iter().copied());
        let pieces = parts.map(|part| ((part.len() as u64).to_le_bytes(), part));
        match self {
            Self::Readable => {
                let mut bytes = Vec::new();
                for (length, part) in pieces {
                    bytes.extend_from_slice(&length);
                    bytes.extend_from_slice(part);
                }
                bytes.into()
            }
            Self::Keyed(key) => {
                let mut hash = Sha256::new_with_prefix(key);
                for (length, part) in pieces {
                    hash.update(length);
                    hash.update(part);
                }
                Tag::from(hash.finalize().as_slice())
            }
        }
    }
}

/// The side that holds the key: it alone closes and opens entries.
pub(super) mod client {
    use super::{Row, Tags, section};
    use crate::entry::{Entry, Stored};

    /// An entry that the store side cannot look into.
    #[derive(Clone)]
    pub(in crate::memory) struct Sealed(Entry);

    pub(in crate::memory) fn seal(tags: &Tags, entry: &Entry) -> Row {
        Row {
            account: entry.account.as_ref().map(|account| tags.account(&account.home_account_id, &account.environment)),
            is_account: entry.id.section() == section::ACCOUNT,
            written_at: entry.written_at,
            version: tags.version(entry),
            entry: Sealed(entry.clone()),
        }
    }

    pub(in crate::memory) fn open(row: &Row) -> Stored {
        Stored { entry: row.entry.0.clone(), version: row.version.clone() }
    }
}
