//! The sections of a document, and the entries in them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::push_text;
use crate::entry::EntryId;
use crate::secret::{Blob, SecretBuffer};

#[derive(Clone)]
pub(super) struct Section {
    pub(super) name: Arc<str>,
    pub(super) content: Content,
}

#[derive(Clone)]
pub(super) enum Content {
    /// One of the five sections of the schema.
    Entries(Members),
    /// Any other section, or one of the five that is not an object.
    Whole(Blob),
}

/// Members in the document's order; a removed one leaves a gap.
#[derive(Clone, Default)]
pub(super) struct Members {
    pub(super) list: Vec<Option<Member>>,
    pub(super) by_key: HashMap<Arc<str>, usize, RandomState>,
}

#[derive(Clone)]
pub(super) struct Member {
    pub(super) key: Arc<str>,
    /// The key as the document spells it, quotes included, where the text alone would not give it back.
    pub(super) raw_key: Option<Blob>,
    pub(super) json: Blob,
}

impl Section {
    /// Its entries as they stand in the document.
    pub(super) fn entries(&self) -> impl Iterator<Item = (EntryId, &Blob)> {
        let (members, whole) = match &self.content {
            Content::Entries(members) => (&*members.list, None),
            Content::Whole(json) => (&[][..], Some((EntryId::new(Arc::clone(&self.name), ""), json))),
        };
        let id = |member: &Member| EntryId::new(Arc::clone(&self.name), Arc::clone(&member.key));
        members.iter().flatten().map(move |member| (id(member), &member.json)).chain(whole)
    }

    pub(super) fn size(&self) -> usize {
        let content = match &self.content {
            Content::Whole(json) => json.len(),
            Content::Entries(members) => {
                members.list.iter().flatten().map(|member| member.key.len() + member.json.len() + 8).sum()
            }
        };
        self.name.len() + content + 8
    }
}

impl Members {
    pub(super) fn get(&self, key: &str) -> Option<&Member> {
        self.list[*self.by_key.get(key)?].as_ref()
    }

    /// Inserts or replaces; an entity that [is left out](is_left_out) only deletes.
    pub(super) fn insert(&mut self, mut member: Member) {
        if is_left_out(&member.key, member.json.expose()) {
            self.remove(&member.key);
            return;
        }
        match self.by_key.get(&member.key) {
            Some(&at) => {
                member.raw_key = self.list[at].take().and_then(|old| old.raw_key).or(member.raw_key);
                self.list[at] = Some(member);
            }
            None => {
                self.by_key.insert(Arc::clone(&member.key), self.list.len());
                self.list.push(Some(member));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(at) = self.by_key.remove(key) else { return false };
        self.list[at] = None;
        true
    }

    pub(super) fn remove_where(&mut self, condition: impl Fn(&Member) -> bool) -> bool {
        let before = self.by_key.len();
        for place in &mut self.list {
            if let Some(member) = place.take_if(|member| condition(member)) {
                self.by_key.remove(&member.key);
            }
        }
        self.by_key.len() != before
    }

    pub(super) fn render(&self, out: &mut SecretBuffer) {
        out.push(b"{");
        for (n, member) in self.list.iter().flatten().enumerate() {
            if n > 0 {
                out.push(b",");
            }
            match &member.raw_key {
                Some(raw) => out.push(raw.expose()),
                None => push_text(out, &member.key),
            }
            out.push(b":");
            out.push(member.json.expose());
        }
        out.push(b"}");
    }
}

/// Whether an entity is not carried: it breaks other readers, and says nothing. Without a name and not an object, it could
/// not be told from a section that is no object.
pub(crate) fn is_left_out(key: &str, json: &[u8]) -> bool {
    is_void(json) || key.is_empty() && !json.trim_ascii_start().starts_with(b"{")
}

/// `null` or `{}`: nothing that could be lost.
pub(super) fn is_void(json: &[u8]) -> bool {
    is_only(b"null", json) || is_only(b"{}", json)
}

/// Whether the JSON is this text, white space aside.
pub(super) fn is_only(text: &[u8], json: &[u8]) -> bool {
    json.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(text)
}
