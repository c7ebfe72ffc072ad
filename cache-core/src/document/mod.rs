//! The unified JSON document: sections of entries, unknown data carried through value for value.

mod limits;
mod parts;
mod scan;
mod sound;

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

pub(crate) use self::parts::{Form, Part, Reformed};
pub(crate) use self::scan::json_but_for_commas;
pub(crate) use self::sound::{Next, Sound};

use self::scan::{Fault, Span, members};
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

#[derive(Clone)]
struct Section {
    name: Arc<str>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    /// One of the five sections of the schema.
    Entries(Members),
    /// Any other section, or one of the five that is not an object.
    Whole(Blob),
}

/// Members in the document's order; a removed one leaves a gap.
#[derive(Clone, Default)]
struct Members {
    list: Vec<Option<Member>>,
    by_key: HashMap<Arc<str>, usize, RandomState>,
}

#[derive(Clone)]
struct Member {
    key: Arc<str>,
    /// The key as the document spells it, quotes included, where the text alone would not give it back.
    raw_key: Option<Blob>,
    json: Blob,
}

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
        if bytes.expose().iter().all(u8::is_ascii_whitespace) {
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
        self.json(id).map(|json| owned_entry(id.clone(), json))
    }

    /// Whether this entry stands here and says the same.
    pub(crate) fn says(&self, entry: &Entry) -> bool {
        self.json(&entry.id).is_some_and(|json| crate::json::same_entity(json.expose(), entry.json.expose()))
    }

    /// The entries of one section.
    pub(crate) fn entries_of(&self, section: &str) -> impl Iterator<Item = Entry> + '_ {
        self.section(section).into_iter().flat_map(Section::ids).filter_map(|id| self.entry(&id))
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

    /// The entries of a document that is sound through and through; `None` at the first thing that is not.
    fn sound(bytes: &Blob) -> Option<Self> {
        let mut document = Self::default();
        let mut at = Sound::new(bytes.expose());
        at.enter()?;
        let mut first = true;
        while let Next::Member(name) = at.member(first)? {
            first = false;
            let name: Arc<str> = name.into();
            if section::ALL.contains(&&*name) {
                at.enter()?;
                let members = document.section_mut(&name);
                let mut first = true;
                while let Next::Member(key) = at.member(first)? {
                    first = false;
                    at.entity_and_more()?;
                    members.insert(Member { key: key.into(), raw_key: None, json: bytes.slice(at.entity()?) });
                }
            } else {
                document.set_whole(&name, bytes.slice(at.value()?));
            }
        }
        at.ends().then_some(document)
    }

    /// The entries up to the first damage, and what the damage is.
    fn take_apart(bytes: &Blob) -> (Self, Option<Fault>) {
        let mut document = Self::default();
        if bytes.len() > limits::DOCUMENT {
            return (document, Some(Fault::TooLarge));
        }
        let mut fault = None;
        let mut top = members(bytes.expose(), 0);
        for member in &mut top {
            fault = document.take_member(bytes, &member).err().or(fault);
        }
        if let Some(torn) = top.open().cloned() {
            let name = scan::text(&bytes.expose()[torn.key.clone()]).0;
            // Only of an object can be told which parts of it are complete.
            if section::ALL.contains(&&*name) && bytes.expose().get(torn.value.start) == Some(&b'{') {
                // What the tear goes through is damage by itself.
                let _ = document.take_member(bytes, &torn);
            }
        }
        let fault = top.fault().or(fault).or_else(|| top.trailing().then_some(Fault::Damaged));
        (document, fault)
    }

    fn take_member(&mut self, bytes: &Blob, member: &Span) -> std::result::Result<(), Fault> {
        let json = |value: &Span| match scan::strict(&bytes.expose()[value.value.clone()])? {
            Cow::Borrowed(_) => Some(bytes.slice(value.value.clone())),
            Cow::Owned(clean) => Some(Blob::new(clean)),
        };
        let name: Arc<str> = scan::text(&bytes.expose()[member.key.clone()]).0.into();
        if !section::ALL.contains(&&*name) {
            self.set_whole(&name, json(member).ok_or(Fault::Damaged)?);
            return Ok(());
        }
        let mut damaged = Ok(());
        let mut entries = members(bytes.expose(), member.value.start);
        for entry in &mut entries {
            let raw_key = &bytes.expose()[entry.key.clone()];
            let (key, exact) = scan::text(raw_key);
            self.taken += 1;
            if self.taken > limits::ENTRIES {
                return Err(Fault::TooMany);
            }
            if entry.value.len() > limits::ENTITY {
                damaged = Err(Fault::TooLarge);
            } else if let Some(json) = json(&entry) {
                let raw_key = (!exact && scan::is_json(raw_key)).then(|| Blob::copy_of(raw_key));
                self.section_mut(&name).insert(Member { key: key.into(), raw_key, json });
            } else {
                damaged = Err(Fault::Damaged);
            }
        }
        match entries.fault() {
            None => damaged,
            Some(Fault::NotAnObject) => {
                let json = json(member).ok_or(Fault::Damaged)?;
                // An empty list, as null, is an empty section.
                if !is_void(json.expose()) && !is_only(b"[]", json.expose()) {
                    self.set_whole(&name, json);
                }
                Ok(())
            }
            Some(fault) => Err(fault),
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

    fn json(&self, id: &EntryId) -> Option<&Blob> {
        match &self.section(id.section())?.content {
            Content::Entries(members) => members.get(id.key()).map(|member| &member.json),
            Content::Whole(json) => id.key().is_empty().then_some(json),
        }
    }
}

/// What the [merge rules](crate::merge) ask and do.
impl UnifiedDocument {
    pub(crate) fn facts_of(&self, id: &EntryId) -> Option<Facts> {
        let json = self.json(id)?;
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

impl Section {
    fn ids(&self) -> impl Iterator<Item = EntryId> + '_ {
        let (members, whole) = match &self.content {
            Content::Entries(members) => (&*members.list, None),
            Content::Whole(_) => (&[][..], Some(EntryId::new(Arc::clone(&self.name), ""))),
        };
        let members = members.iter().flatten();
        members.map(|member| EntryId::new(Arc::clone(&self.name), Arc::clone(&member.key))).chain(whole)
    }

    fn size(&self) -> usize {
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
    fn get(&self, key: &str) -> Option<&Member> {
        self.list[*self.by_key.get(key)?].as_ref()
    }

    /// Inserts or replaces; an entity that [is left out](is_left_out) only deletes.
    fn insert(&mut self, mut member: Member) {
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

    fn remove(&mut self, key: &str) -> bool {
        let Some(at) = self.by_key.remove(key) else { return false };
        self.list[at] = None;
        true
    }

    fn remove_where(&mut self, condition: impl Fn(&Member) -> bool) -> bool {
        let before = self.by_key.len();
        for place in &mut self.list {
            if let Some(member) = place.take_if(|member| condition(member)) {
                self.by_key.remove(&member.key);
            }
        }
        self.by_key.len() != before
    }

    fn render(&self, out: &mut SecretBuffer) {
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

/// An entry whose secrets are wiped with it, not with the document.
fn owned_entry(id: EntryId, json: &Blob) -> Entry {
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

/// Whether an entity is not carried: it breaks other readers, and says nothing. Without a name and not an object, it could
/// not be told from a section that is no object.
pub(crate) fn is_left_out(key: &str, json: &[u8]) -> bool {
    is_void(json) || key.is_empty() && !json.trim_ascii_start().starts_with(b"{")
}

/// `null` or `{}`: nothing that could be lost.
fn is_void(json: &[u8]) -> bool {
    is_only(b"null", json) || is_only(b"{}", json)
}

/// Whether the JSON is this text, white space aside.
fn is_only(text: &[u8], json: &[u8]) -> bool {
    json.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(text)
}

fn without_bom(bytes: &Blob) -> Blob {
    if bytes.expose().starts_with(b"\xEF\xBB\xBF") { bytes.slice(3..bytes.len()) } else { bytes.clone() }
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
