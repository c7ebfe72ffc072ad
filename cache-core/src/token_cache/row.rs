//! One entry of a section: an entity, and how it stands in the document and in the store.

use std::sync::Arc;

use super::hashed::Hashed;
use crate::document::push_text;
use crate::entry::{AccountRef, Entry, EntryId, Version};
use crate::schema::layout::Layout;
use crate::secret::{Blob, SecretBuffer};

/// One entry: the entity, and how it stands. Two pointers, so that four rows share a cache line.
#[derive(Clone)]
pub(super) struct Row<E> {
    pub(super) entity: Arc<E>,
    pub(super) standing: Arc<Standing<E>>,
}

/// How an entity stands in the document and in the store. Nearly all rows of a loaded cache share one.
pub(super) struct Standing<E> {
    spelling: Spelling<E>,
    /// What the store held when this cache was loaded.
    held: Held,
    /// Told here, so that a lookup need not ask each of the fields that are nearly always empty.
    ordinary: bool,
}

/// How the entity is written.
#[derive(Clone)]
pub(super) enum Spelling<E> {
    /// As a layout says.
    Laid(Arc<Layout<E>>),
    /// In words of its own.
    Own {
        /// The key text, exactly as its writer spelled it.
        key: Arc<str>,
        /// The raw JSON that the entity was read from or is written as.
        json: Blob,
    },
}

/// What the store held under a row's key.
#[derive(Clone)]
pub(super) enum Held {
    Nothing,
    /// This very content, which is its own version.
    Content,
    Version(Version),
}

/// Whether an entry is here, and what the store held under its id when the cache was loaded.
pub(super) enum Presence {
    Absent,
    /// Here, and new to the store.
    New,
    /// Here, and in this version in the store.
    Held(Version),
}

impl<E: Hashed> Row<E> {
    /// A row for a new or changed entity.
    pub(super) fn written(key: Arc<str>, entity: E, version: Option<Version>) -> Self {
        let json = entity.write();
        let held = version.map_or(Held::Nothing, |version| Held::of(&version, json.expose()));
        Self::new(entity, Spelling::Own { key, json }, held)
    }

    /// The same row under another key.
    pub(super) fn under(&self, key: Arc<str>) -> Self {
        self.standing_as(Spelling::Own { key, json: self.json() }, self.standing.held.clone())
    }

    /// The same row with another version of what the store holds.
    pub(super) fn with_version(self, version: Option<Version>) -> Self {
        let held = version.map_or(Held::Nothing, |version| Held::of(&version, self.json().expose()));
        self.standing_as(self.standing.spelling.clone(), held)
    }

    pub(super) fn id(&self) -> EntryId {
        EntryId::new(E::SECTION, self.key())
    }

    /// The key text, exactly as its writer spelled it.
    pub(super) fn key(&self) -> Arc<str> {
        match &self.standing.spelling {
            Spelling::Laid(layout) => layout.key(&self.entity).into(),
            Spelling::Own { key, .. } => Arc::clone(key),
        }
    }

    /// See [`Hashed::is_ordinary`].
    pub(super) fn is_ordinary(&self) -> bool {
        self.standing.ordinary
    }

    /// Whether this row stands under this key text.
    pub(super) fn is_under(&self, key: &str) -> bool {
        match &self.standing.spelling {
            Spelling::Laid(layout) => layout.is_key(&self.entity, key),
            Spelling::Own { key: own, .. } => **own == *key,
        }
    }

    /// Whether there is no capital in the key text.
    pub(super) fn has_lower_case_key(&self) -> bool {
        match &self.standing.spelling {
            Spelling::Laid(layout) => layout.is_lower_case(),
            Spelling::Own { key, .. } => !key.chars().any(char::is_uppercase),
        }
    }

    /// The entity as JSON, as it was read or is written.
    pub(super) fn json(&self) -> Blob {
        match &self.standing.spelling {
            Spelling::Laid(layout) => {
                let mut out = SecretBuffer::with_capacity(layout.length(&self.entity));
                layout.write(&self.entity, &mut out);
                out.into_blob()
            }
            Spelling::Own { json, .. } => json.clone(),
        }
    }

    /// Writes key and JSON as a member of an object.
    pub(super) fn write(&self, out: &mut SecretBuffer) {
        match &self.standing.spelling {
            Spelling::Laid(layout) => {
                layout.write_key(&self.entity, out);
                out.push(b":");
                layout.write(&self.entity, out);
            }
            Spelling::Own { key, json } => {
                push_text(out, key);
                out.push(b":");
                out.push(json.expose());
            }
        }
    }

    /// How many bytes [`write`](Self::write) writes, and a comma; a few more if the key has characters to escape.
    pub(super) fn length(&self) -> usize {
        match &self.standing.spelling {
            Spelling::Laid(layout) => layout.length(&self.entity) + layout.key_length(&self.entity) + 4,
            Spelling::Own { key, json } => key.len() + json.len() + 4,
        }
    }

    /// What the store held when this cache was loaded; `None`: nothing under this key.
    pub(super) fn version(&self) -> Option<Version> {
        match &self.standing.held {
            Held::Nothing => None,
            Held::Content => Some(Version::of_content(&self.json())),
            Held::Version(version) => Some(version.clone()),
        }
    }

    pub(super) fn presence(&self) -> Presence {
        self.version().map_or(Presence::New, Presence::Held)
    }

    /// Whether the row keeps no text of its own.
    #[cfg(test)]
    pub(super) fn is_laid(&self) -> bool {
        matches!(self.standing.spelling, Spelling::Laid(_))
    }

    /// Whether the store held something under this key.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self.standing.held, Held::Nothing)
    }

    pub(super) fn entry(&self) -> Entry {
        let account = self
            .entity
            .home_account_id()
            .filter(|id| !id.is_empty())
            .map(|id| AccountRef { home_account_id: id.into(), environment: self.entity.environment().into() });
        let (written_at, expires_on) = (self.entity.written_at(), self.entity.expires_on());
        Entry { id: self.id(), account, written_at, expires_on, json: self.json() }
    }

    pub(super) fn new(entity: E, spelling: Spelling<E>, held: Held) -> Self {
        let ordinary = entity.is_ordinary();
        Self { entity: Arc::new(entity), standing: Arc::new(Standing { spelling, held, ordinary }) }
    }

    /// The same entity, standing otherwise.
    fn standing_as(&self, spelling: Spelling<E>, held: Held) -> Self {
        let ordinary = self.standing.ordinary;
        Self { entity: Arc::clone(&self.entity), standing: Arc::new(Standing { spelling, held, ordinary }) }
    }
}

impl<E> Standing<E> {
    /// Whether this is how an entity of the layout stands; one whose version must be kept beside it is like no other.
    pub(super) fn is_alike(&self, layout: &Arc<Layout<E>>, held: &Held, ordinary: bool) -> bool {
        let same_layout = matches!(&self.spelling, Spelling::Laid(own) if Arc::ptr_eq(own, layout));
        let same_held = matches!((&self.held, held), (Held::Nothing, Held::Nothing) | (Held::Content, Held::Content));
        same_layout && same_held && self.ordinary == ordinary
    }
}

impl Presence {
    pub(super) fn is_here(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    pub(super) fn version(self) -> Option<Version> {
        match self {
            Self::Held(version) => Some(version),
            Self::Absent | Self::New => None,
        }
    }
}

impl Held {
    /// A version that is the row's own `json` need not be kept beside it.
    pub(super) fn of(version: &Version, json: &[u8]) -> Self {
        match version.content() {
            Some(content) if content.expose() == json => Self::Content,
            _ => Self::Version(version.clone()),
        }
    }
}
