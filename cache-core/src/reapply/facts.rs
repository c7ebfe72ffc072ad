//! What the journal knows of its entries beside their content, and how that is kept: as one more section of the document
//! that holds them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::marker::Generation;
use crate::entry::{AccountRef, Entry, EntryId};
use crate::schema::fields;
use crate::secret::{Blob, Secret};

/// The section that the facts stand in.
pub(super) const JOURNAL: &str = "ReapplyJournal";

/// So many secrets are remembered that an entry has replaced: others bring back the last few of them, not older ones.
const MOST_REPLACED: usize = 8;

/// Milliseconds since 1970, as JSON has them.
pub(super) type Millis = i64;

/// Everything but the entries themselves. Holds no secret.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    /// When the entries were a copy of the whole document; `None`: they never were.
    pub(super) copied_at: Option<Millis>,
    /// The last write of ours.
    pub(super) generation: Generation,
    pub(super) puts: Vec<Put>,
    pub(super) removals: Vec<Removal>,
}

/// An entry that was written and is not sure to stay.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Put {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) at: Millis,
    /// The write that put it into the document, or put it back; of [context](Self::is_context), not looked at.
    pub(super) generation: Generation,
    /// Hashes of the secrets that it has replaced.
    pub(super) replaced: Vec<String>,
    /// Whether it stood there before, and is needed by one that was written.
    pub(super) is_context: bool,
    /// When it was last found missing and was put back.
    pub(super) restored_at: Option<Millis>,
}

/// An account that was signed out.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Removal {
    pub(super) home_account_id: String,
    pub(super) environment: String,
    /// Hashes of the secrets that it had, and of those that they had replaced: older than what is written later.
    pub(super) secrets: BTreeSet<String>,
    pub(super) at: Millis,
    /// Whether somebody has signed it in again since.
    pub(super) is_back: bool,
    /// Whether others did it: what they bring back then is theirs, where nothing newer of ours belongs.
    #[serde(default)]
    pub(super) is_by_others: bool,
}

impl Facts {
    /// The facts in the section's JSON; `None`: it is damaged, or of another version.
    pub(super) fn read(json: &Blob) -> Option<Self> {
        let Versioned { version, facts } = serde_json::from_slice(json.expose()).ok()?;
        (version == VERSION).then_some(facts)
    }

    /// The section's JSON.
    pub(super) fn write(self) -> Blob {
        let json = serde_json::to_vec(&Versioned { version: VERSION, facts: self });
        // Texts and numbers are always JSON.
        Blob::new(json.unwrap_or_default())
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned {
    version: u32,
    #[serde(flatten)]
    facts: Facts,
}

impl Put {
    /// An entry that was written at this time, and the hashes of what it has replaced.
    pub(super) fn new(entry: &Entry, at: Millis, generation: Generation, mut replaced: Vec<String>) -> Self {
        replaced.truncate(MOST_REPLACED);
        let (section, key) = (entry.id.section().to_owned(), entry.id.key().to_owned());
        Self { section, key, at, generation, replaced, is_context: false, restored_at: None }
    }

    pub(super) fn id(&self) -> EntryId {
        EntryId::new(&*self.section, &*self.key)
    }

    /// When it was last put into the document: whoever decided before then what to write may drop it still.
    pub(super) fn last_put_at(&self) -> Millis {
        self.restored_at.unwrap_or(self.at)
    }

    /// Remembers also what an earlier entry in its place had replaced.
    pub(super) fn remember_replaced(&mut self, earlier: &[String]) {
        self.replaced.extend_from_slice(earlier);
        self.replaced.truncate(MOST_REPLACED);
    }
}

impl Removal {
    /// A sign-out of ours at this time, and the hashes of what it took.
    pub(super) fn new(account: &AccountRef, secrets: BTreeSet<String>, at: Millis) -> Self {
        let (home_account_id, environment) = (account.home_account_id.to_string(), account.environment.to_string());
        Self { home_account_id, environment, secrets, at, is_back: false, is_by_others: false }
    }
}

/// Whose an entry is, among applications.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    client_id: Option<Arc<str>>,
    family_id: Option<Arc<str>>,
}

impl Holder {
    pub(super) fn of(entry: &Entry) -> Self {
        let mut holder = Self::default();
        // An entry that cannot be read is nobody's.
        let _ = fields::read(&entry.json, |name, value| {
            match &*name {
                "client_id" => holder.client_id = value.some_text()?,
                "family_id" => holder.family_id = value.some_text()?,
                _ => {}
            }
            Ok(())
        });
        holder
    }

    /// Whether the client that this is of can use an entry of `other`.
    pub(super) fn can_use(&self, other: &Self) -> bool {
        self.client_id == other.client_id || other.family_id.is_some()
    }
}

/// What tells secrets apart, and does not give them away: they are long and random.
pub(super) fn hash(secret: &Secret) -> String {
    let digest = Sha256::digest(secret.expose().as_bytes());
    digest[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
