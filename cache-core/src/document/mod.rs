//! The unified JSON document: sections of entries, unknown data carried through value for value.

mod limits;
mod parts;
mod reading;
mod scan;
mod sections;
mod sound;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

pub(crate) use self::parts::{Form, Part, Reformed};
pub(crate) use self::scan::json_but_for_commas;
pub(crate) use self::sections::is_left_out;
pub(crate) use self::sound::{Next, Sound};

use self::reading::without_bom;
use self::scan::Fault;
use self::sections::{Content, Member, Members, Section};
use crate::entry::{AccountRef, Entry, EntryId, Version};
use crate::environment::host_of;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Entries, Facts};
use crate::schema::{self, section};
use crate::secret::{Blob, SecretBuffer};
use crate::text::eq_ignore_case;

/// A unified cache document taken apart into entries, each with its raw JSON.
///
/// Accepts what the MSAL libraries write, and what a careless hand leaves: a byte order mark, trailing commas,
/// comments, repeated names (the last one counts; entries of repeated sections are put together), missing or null
/// sections, text that is not UTF-8 inside one entry. Entries that are not understood stay as they are.
///
/// Writing ([`render`](Self::render)) gives all five sections as objects, unknown sections after them, no byte order
/// mark; entries that were not changed keep their raw JSON. Entries that are `null` or `{}`, or have no name and are no
/// object, are left out, since they break other readers.
#[derive(Clone, Default)]
pub struct UnifiedDocument {
    sections: Vec<Section>,
    /// Where each section stands.
    by_name: HashMap<Arc<str>, usize, RandomState>,
    changed: bool,
    /// How many entries were taken out of the bytes, repeated ones counted again.
    taken: usize,
    /// The hosts of each account, once a guard has asked, until an account is written.
    accounts: OnceLock<Hosts>,
}

/// Hosts by home account id.
type Hosts = HashMap<Arc<str>, Vec<Option<Arc<str>>>, RandomState>;

impl UnifiedDocument {
    /// Takes a document apart; it shares the memory of `bytes`. Empty input gives an empty document. `Corrupt`:
    /// damaged beyond what the type accepts, not a JSON object, or beyond a limit: 4 GiB of document, 16 MiB of one
    /// entity, 2^24 entries, 128 levels. [`salvage`](Self::salvage) may still get entries out of it.
    pub fn parse(bytes: &Blob) -> Result<Self> {
        let bytes = without_bom(bytes);
        // A sound document is the rule.
        if let Some(document) = Self::sound(&bytes) {
            return Ok(document);
        }
        if Self::is_blank(&bytes) {
            return Ok(Self::default());
        }
        let (document, fault) = Self::take_apart(&bytes);
        match fault {
            None => Ok(document),
            Some(Fault::NotAnObject) => {
                Err(Error::new(ErrorKind::Corrupt, "not a unified cache document: the content is not a JSON object"))
            }
            Some(Fault::Damaged) => match serde_json::from_slice::<serde::de::IgnoredAny>(bytes.expose()) {
                Err(error) => Err(Error::json("the cache document", &error)),
                Ok(_) => Err(Error::new(ErrorKind::Corrupt, "the cache document is damaged")),
            },
            Some(Fault::TooDeep) => {
                Err(Error::new(ErrorKind::Corrupt, "the cache document is nested deeper than 128 levels"))
            }
            Some(Fault::TooMany) => {
                Err(Error::new(ErrorKind::Corrupt, "the cache document has more than 16 million entries"))
            }
            Some(Fault::TooLarge) => Err(Error::new(
                ErrorKind::Corrupt,
                "the cache document is larger than 4 GiB, or an entity in it larger than 16 MiB",
            )),
        }
    }

    /// Whether there is no content at all, which is taken for an empty document.
    pub(crate) fn is_blank(bytes: &Blob) -> bool {
        without_bom(bytes).expose().trim_ascii().is_empty()
    }

    /// Every complete entry of a damaged document: what stands before the tear, and what stands before data that
    /// follows the document's end. `None` if the bytes do not begin as a JSON object does.
    pub fn salvage(bytes: &Blob) -> Option<Self> {
        let bytes = without_bom(bytes);
        match Self::take_apart(&bytes) {
            (_, Some(Fault::NotAnObject)) => None,
            (mut document, fault) => {
                document.changed |= fault.is_some();
                Some(document)
            }
        }
    }

    /// Every entry, section by section in the document's order, each in memory of its own. Unknown sections are one
    /// entry each, with an empty key.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.sections.into_iter().flat_map(|Section { name, content }| {
            let (members, whole) = match content {
                Content::Entries(members) => (members.list, None),
                Content::Whole(json) => (Vec::new(), Some(owned_entry(EntryId::new(Arc::clone(&name), ""), &json))),
            };
            members
                .into_iter()
                .flatten()
                .map(move |member| owned_entry(EntryId::new(Arc::clone(&name), member.key), &member.json))
                .chain(whole)
        })
    }

    /// The entry with this id.
    pub fn entry(&self, id: &EntryId) -> Option<Entry> {
        self.raw_entry(id).map(|json| owned_entry(id.clone(), json))
    }

    /// Whether this entry stands here and says the same.
    pub(crate) fn says(&self, entry: &Entry) -> bool {
        self.says_at(&entry.id, &entry.json)
    }

    /// The entries that `other` does not hold, or that say something else there.
    pub(crate) fn beyond(&self, other: &Self) -> impl Iterator<Item = Entry> {
        self.raw_entries().filter(|(id, json)| !other.says_at(id, json)).map(|(id, json)| owned_entry(id, json))
    }

    /// The same of one section.
    pub(crate) fn beyond_of(&self, section: &str, other: &Self) -> impl Iterator<Item = Entry> {
        self.raw_entries_of(section)
            .filter(|(id, json)| !other.says_at(id, json))
            .map(|(id, json)| owned_entry(id, json))
    }

    /// The entries of one section.
    pub(crate) fn entries_of<'d>(&'d self, section: &str) -> impl Iterator<Item = Entry> + use<'d> {
        self.raw_entries_of(section).map(|(id, json)| owned_entry(id, json))
    }

    /// Every entry as it stands in the document, in the order of [`into_entries`](Self::into_entries).
    pub(crate) fn raw_entries(&self) -> impl Iterator<Item = (EntryId, &Blob)> {
        self.sections.iter().flat_map(Section::entries)
    }

    /// The same of one section.
    pub(crate) fn raw_entries_of<'d>(&'d self, section: &str) -> impl Iterator<Item = (EntryId, &'d Blob)> + use<'d> {
        self.section(section).into_iter().flat_map(Section::entries)
    }

    /// Forgets that anything was changed.
    pub(crate) fn is_as_it_was(&mut self) {
        self.changed = false;
    }

    /// Whether a put or removal has changed anything since the document was taken apart.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether there is no entry and no unknown section.
    pub fn is_empty(&self) -> bool {
        self.sections.iter().all(|section| match &section.content {
            Content::Entries(members) => members.by_key.is_empty(),
            Content::Whole(_) => false,
        })
    }

    /// The document as JSON.
    pub fn render(&self) -> Blob {
        let size: usize = self.sections.iter().map(Section::size).sum();
        let mut out = SecretBuffer::with_capacity(size + 128);
        out.push(b"{");
        for (n, name) in section::ALL.iter().enumerate() {
            if n > 0 {
                out.push(b",");
            }
            push_text(&mut out, name);
            out.push(b":");
            match self.section(name).map(|section| &section.content) {
                Some(Content::Entries(members)) => members.render(&mut out),
                Some(Content::Whole(json)) => out.push(json.expose()),
                None => out.push(b"{}"),
            }
        }
        for Section { name, content } in &self.sections {
            if let (Content::Whole(json), false) = (content, section::ALL.contains(&&**name)) {
                out.push(b",");
                push_text(&mut out, name);
                out.push(b":");
                out.push(json.expose());
            }
        }
        out.push(b"}");
        out.into_blob()
    }

    /// Puts the JSON of one entry, or of one unknown section.
    pub(crate) fn insert(&mut self, id: &EntryId, json: Blob) {
        self.changed = true;
        let section = id.section_arc();
        // An empty key names a section of the five as a whole only where that is no object; else it is a key as any.
        let is_object = json.expose().trim_ascii_start().starts_with(b"{");
        if section::ALL.contains(&&*section) && (is_object || !id.key().is_empty()) {
            self.section_mut(&section).insert(Member { key: id.key_arc(), raw_key: None, json });
        } else {
            self.set_whole(&section, json);
        }
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.by_name.get(name).map(|at| &self.sections[*at])
    }

    /// The entries of one of the five sections. A section that was not an object becomes one.
    fn section_mut(&mut self, name: &Arc<str>) -> &mut Members {
        if **name == *section::ACCOUNT {
            self.accounts.take();
        }
        let at = self.place(name);
        let content = &mut self.sections[at].content;
        if let Content::Whole(_) = content {
            *content = Content::Entries(Members::default());
        }
        match content {
            Content::Entries(members) => members,
            Content::Whole(_) => unreachable!("was made entries above"),
        }
    }

    fn set_whole(&mut self, name: &Arc<str>, json: Blob) {
        let at = self.place(name);
        match &mut self.sections[at].content {
            // A repeated section of the five: entries of the first stay, as long as there are some.
            Content::Entries(members) if !members.by_key.is_empty() => {}
            content => *content = Content::Whole(json),
        }
    }

    /// Where the section of this name stands; a new one holds nothing.
    fn place(&mut self, name: &Arc<str>) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.by_name.insert(Arc::clone(name), self.sections.len());
        self.sections.push(Section { name: Arc::clone(name), content: Content::Entries(Members::default()) });
        self.sections.len() - 1
    }

    fn hosts_of_accounts(&self) -> Hosts {
        let mut hosts = Hosts::default();
        if let Some(Section { content: Content::Entries(members), .. }) = self.section(section::ACCOUNT) {
            for member in members.list.iter().flatten() {
                let facts = schema::facts(section::ACCOUNT, &member.json);
                if let Some(home_account_id) = facts.home_account_id {
                    hosts.entry(home_account_id).or_default().push(facts.environment);
                }
            }
        }
        hosts
    }

    fn says_at(&self, id: &EntryId, json: &Blob) -> bool {
        self.raw_entry(id).is_some_and(|known| crate::json::same_entity(known.expose(), json.expose()))
    }

    /// The JSON of the entry with this id, as it stands in the document.
    pub(crate) fn raw_entry(&self, id: &EntryId) -> Option<&Blob> {
        match &self.section(id.section())?.content {
            Content::Entries(members) => members.get(id.key()).map(|member| &member.json),
            Content::Whole(json) => id.key().is_empty().then_some(json),
        }
    }
}

/// What the [merge rules](crate::merge) ask and do.
impl UnifiedDocument {
    pub(crate) fn facts_of(&self, id: &EntryId) -> Option<Facts> {
        let json = self.raw_entry(id)?;
        let written_at = schema::facts(id.section(), json).written_at;
        Some(Facts { written_at, version: Version::of_content(json), same_content: false })
    }

    pub(crate) fn holds_account(&self, home_account_id: &str, environments: &[Box<str>]) -> bool {
        let hosts = self.accounts.get_or_init(|| self.hosts_of_accounts()).get(home_account_id);
        hosts.is_some_and(|hosts| hosts.iter().any(|host| is_one_of(host.as_deref(), environments)))
    }

    pub(crate) fn put(&mut self, entry: &Entry) {
        self.insert(&entry.id, entry.json.clone());
    }

    pub(crate) fn remove(&mut self, id: &EntryId) {
        let Some(at) = self.by_name.get(id.section()) else { return };
        self.accounts.take();
        match &mut self.sections[*at].content {
            Content::Entries(members) => self.changed |= members.remove(id.key()),
            content if id.key().is_empty() => {
                *content = Content::Entries(Members::default());
                self.changed = true;
            }
            Content::Whole(_) => {}
        }
    }

    pub(crate) fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]) {
        self.accounts.take();
        for Section { name, content } in &mut self.sections {
            let (Content::Entries(members), true) = (content, &**name != section::APP_METADATA) else { continue };
            self.changed |= members.remove_where(|member| belongs(name, member, home_account_id, environments));
        }
    }
}

impl Entries for UnifiedDocument {
    type Error = Infallible;

    fn facts(&mut self, entry: &Entry) -> Result<Option<Facts>, Infallible> {
        let facts = Self::facts_of(self, &entry.id);
        Ok(facts.map(|facts| Facts { same_content: self.says(entry), ..facts }))
    }

    fn facts_of(&mut self, id: &EntryId) -> Result<Option<Facts>, Infallible> {
        Ok(Self::facts_of(self, id))
    }

    fn holds_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<bool, Infallible> {
        Ok(Self::holds_account(self, home_account_id, environments))
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Infallible> {
        Self::put(self, entry);
        Ok(())
    }

    fn remove(&mut self, id: &EntryId) -> Result<(), Infallible> {
        Self::remove(self, id);
        Ok(())
    }

    fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<(), Infallible> {
        Self::remove_account(self, home_account_id, environments);
        Ok(())
    }

    fn version(&self, entry: &Entry) -> Version {
        Version::of_content(&entry.json)
    }
}

/// An entry whose secrets are wiped with it, not with the document.
pub(crate) fn owned_entry(id: EntryId, json: &Blob) -> Entry {
    entry_of(id, Blob::copy_of(json.expose()))
}

pub(crate) fn entry_of(id: EntryId, json: Blob) -> Entry {
    let facts = schema::facts(id.section(), &json);
    let account = match (facts.home_account_id, facts.environment) {
        (Some(home_account_id), environment) if id.section() != section::APP_METADATA => {
            Some(AccountRef { home_account_id, environment: environment.unwrap_or_default() })
        }
        _ => None,
    };
    Entry { id, account, written_at: facts.written_at, expires_on: facts.expires_on, json }
}

/// Whether the entry goes with the account. One that names no host goes with its user in any cloud.
fn belongs(section: &str, member: &Member, home_account_id: &str, environments: &[Box<str>]) -> bool {
    let facts = schema::facts(section, &member.json);
    facts.home_account_id.is_some_and(|have| &*have == home_account_id)
        && is_one_of(facts.environment.as_deref(), environments)
}

fn is_one_of(host: Option<&str>, environments: &[Box<str>]) -> bool {
    host.is_none_or(|host| environments.iter().any(|environment| eq_ignore_case(host_of(environment), host_of(host))))
}

/// Writes a text as a JSON string.
pub(crate) fn push_text(out: &mut SecretBuffer, text: &str) {
    // Nearly no key has any. Counted to the end, since the compiler then looks at many bytes at a time.
    let escapes = text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')).count();
    if escapes == 0 {
        out.push(b"\"");
        out.push(text.as_bytes());
        out.push(b"\"");
    } else {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

impl fmt::Debug for UnifiedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for Section { name, content } in &self.sections {
            match content {
                Content::Entries(members) => map.entry(name, &format_args!("{} entries", members.by_key.len())),
                Content::Whole(json) => map.entry(name, &format_args!("{} bytes", json.len())),
            };
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests;
