//! Filling a cache: from a document, from what a store holds, and entry by entry.

use super::TokenCache;
use super::journal::Journal;
use crate::document::{Next, Sound, UnifiedDocument, entry_of, is_left_out};
use crate::entry::{Entry, EntryId, Snapshot, Stored, Version};
use crate::environment::Environments;
use crate::error::Result;
use crate::schema::texts::Texts;
use crate::secret::Blob;

impl TokenCache {
    /// The cache in a unified cache document, read as leniently as [`UnifiedDocument::parse`] does. Empty input gives an
    /// empty cache. `Corrupt`: the document is damaged, or beyond the limits that are told there.
    pub fn deserialize(json: &[u8]) -> Result<Self> {
        Self::deserialize_with(json, Environments::default())
    }

    /// The same with these cloud aliases.
    pub fn deserialize_with(json: &[u8], environments: Environments) -> Result<Self> {
        let mut cache = Self::with_environments(environments.clone());
        let mut texts = Texts::default();
        if cache.load_sound(json, &mut texts).is_some() {
            return Ok(cache);
        }
        let document = UnifiedDocument::parse(&Blob::copy_of(json))?;
        Ok(Self::of_entries(document.raw_entries(), environments))
    }

    /// The cache in these entries of a document that was taken apart.
    pub(crate) fn of_entries<'d>(
        entries: impl IntoIterator<Item = (EntryId, &'d Blob)>,
        environments: Environments,
    ) -> Self {
        let mut cache = Self::with_environments(environments);
        let mut texts = Texts::default();
        for (id, json) in entries {
            if !cache.load_entity(id.section(), id.key(), json.expose(), None, &mut texts) {
                cache.load_foreign(entry_of(id, json.clone()), None);
            }
        }
        cache
    }

    /// The cache that a store holds; puts and removals from here on are remembered as changes to it.
    pub(crate) fn from_snapshot(snapshot: Option<&Snapshot>, environments: Environments) -> Self {
        let mut cache = Self::with_environments(environments);
        cache.load_stored(snapshot.map_or(&[], |snapshot| &snapshot.entries));
        cache.journal = Some(Journal::default());
        cache
    }

    /// Puts what a store holds, in place of what is there of it already.
    pub(crate) fn load_stored(&mut self, stored: &[Stored]) {
        let mut texts = Texts::default();
        for Stored { entry, version } in stored {
            self.load(entry.clone(), Some(version), &mut texts);
        }
    }

    /// Puts an entry that the store held in this version; `None`: that it did not hold.
    pub(super) fn load(&mut self, entry: Entry, version: Option<&Version>, texts: &mut Texts) {
        if !self.load_entity(entry.id.section(), entry.id.key(), entry.json.expose(), version, texts) {
            self.load_foreign(entry, version);
        }
    }

    /// The same for an entity of the schema; `false`: it is not one that is understood.
    fn load_entity(
        &mut self,
        section: &str,
        key: &str,
        json: &[u8],
        version: Option<&Version>,
        texts: &mut Texts,
    ) -> bool {
        let Some((table, hashing)) = self.section_mut(section).filter(|_| !key.is_empty()) else { return false };
        table.read(hashing, texts, key, json, version)
    }

    /// Puts the entries of a document that is sound through and through; `None` at the first thing that is not.
    fn load_sound(&mut self, json: &[u8], texts: &mut Texts) -> Option<()> {
        let mut at = Sound::new(json);
        at.enter()?;
        let mut first = true;
        while let Next::Member(name) = at.member(first)? {
            first = false;
            if self.section_mut(name).is_some() {
                self.load_section(name, &mut at, texts)?;
            } else {
                let value = at.value()?;
                self.load_foreign(entry_of(EntryId::new(name, ""), Blob::copy_of(at.bytes(value))), None);
            }
        }
        at.ends().then_some(())
    }

    fn load_section(&mut self, name: &str, at: &mut Sound<'_>, texts: &mut Texts) -> Option<()> {
        at.enter()?;
        let mut first = true;
        while let Next::Member(key) = at.member(first)? {
            first = false;
            let (table, hashing) = self.section_mut(name)?;
            let rest = at.entity_and_more()?;
            let laid = if key.is_empty() { None } else { table.read_laid(hashing, texts, key, rest) };
            if let Some(length) = laid {
                at.skip(length);
            } else {
                let entity = at.entity()?;
                let json = at.bytes(entity);
                if is_left_out(key, json) {
                    table.remove(hashing, key);
                } else if !self.load_entity(name, key, json, None, texts) {
                    self.load_foreign(entry_of(EntryId::new(name, key), Blob::copy_of(json)), None);
                    continue;
                }
            }
            // Of a repeated key the last one counts.
            if !self.foreign.is_empty() {
                self.foreign.remove(&EntryId::new(name, key));
            }
        }
        Some(())
    }

    fn load_foreign(&mut self, entry: Entry, version: Option<&Version>) {
        // Not a part of a larger document, which it would keep in memory.
        let entry = Entry { json: Blob::copy_of(entry.json.expose()), ..entry };
        let version = match version.map(|version| (version, version.content())) {
            Some((version, None)) => version.clone(),
            Some((_, Some(held))) if held != &entry.json => Version::of_content(&Blob::copy_of(held.expose())),
            _ => Version::of_content(&entry.json),
        };
        if let Some((table, hashing)) = self.section_mut(entry.id.section()) {
            table.remove(hashing, entry.id.key());
        }
        self.foreign.insert(entry.id.clone(), Stored { entry, version });
    }
}

#[cfg(test)]
mod tests;
