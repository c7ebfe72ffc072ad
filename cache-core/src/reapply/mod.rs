//! What becomes of our writes in a document that careless writers share.
//!
//! The MSAL libraries read a document, change it and write it back whole. Even under a lock some of them decide what to
//! write before they have it, and so drop what was written meanwhile
//! (AzureAD/microsoft-authentication-extensions-for-python `msal_extensions/token_cache.py`,
//! AzureAD/microsoft-authentication-library-for-js `extensions/msal-node-extensions/src/persistence/PersistenceCachePlugin.ts`).
//! A store that shares its document with them notes what it has written in a [`ReapplyJournal`] and, whenever it looks
//! at the document, puts back what is missing.
//!
//! | the document shows | the journal |
//! |---|---|
//! | the entry, under whatever key text | waits, and lets go of it a minute after it was written or put back |
//! | another entry of the same meaning, or an intersecting access token, not known to be older | lets go of it |
//! | neither, and its writer had not seen the entry, or began anew from nothing: it was dropped | puts it back |
//! | neither, but its writer had seen the entry: it was taken out | lets go of it |
//! | an `Account` entry or a refresh token of ours taken out: a sign-out | lets go of the account's entries for good, and takes out what it has put there meanwhile |
//! | no byte, or nothing that can be loaded: damage | puts back what it waits for, and what the last good copy holds |
//! | no document | does nothing, until somebody writes one |
//! | tokens of an account that we have signed out | takes them out again |
//!
//! What its writer had seen is told by a [mark](ReapplyJournal::note) that each write of ours leaves in the document.
//!
//! What a sign-out took, be it ours or others', is known for ten minutes to be older than what is written later.
//!
//! Whatever was not seen to stand ten minutes after it was written is let go of. So is an entry of a user without an
//! account entry: without it, a sign-out could not be told.

mod facts;
mod indexed;
mod look;
mod marker;
mod written;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use self::facts::{Facts, JOURNAL, Millis, Put, Removal};
use self::indexed::Indexed;
use self::look::Look;
use self::marker::Generation;
use self::written::Written;
use crate::document::UnifiedDocument;
use crate::entry::{AccountRef, Entry, EntryId};
use crate::environment::Environments;
use crate::schema::section;
use crate::secret::Blob;
use crate::time::UnixMillis;

/// As long as other libraries wait for their lock, after they have decided what to write: MSAL Node 50 s, MSAL.NET 60 s.
const CONFIRMED_AFTER: Duration = Duration::from_secs(60);

/// After this time nothing is put back any more: users may have changed their minds by other means.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(600);

/// How often the copy follows what others write.
const COPY_AGE: Duration = Duration::from_secs(600);

/// What was written into a shared document and is not sure to stay there, and on request a copy of the document as it
/// was last seen to be good.
///
/// A store keeps it beside the document ([`to_bytes`](Self::to_bytes)), under the same lock and the same protection: it
/// holds tokens.
#[derive(Clone, Default)]
pub struct ReapplyJournal {
    keeps_copy: bool,
    /// The copy, and the entries that were put.
    entries: UnifiedDocument,
    facts: Facts,
    is_changed: bool,
    /// The write of ours that the document had seen which was looked at last.
    seen: Generation,
    looked_at: Option<LookedAt>,
    environments: Environments,
}

/// The document that was looked at last: a large one is not to be taken apart again and again.
#[derive(Clone)]
struct LookedAt {
    bytes: Blob,
    /// What they say, but for the mark.
    unmarked: UnifiedDocument,
    /// Whether they hold the mark.
    is_marked: bool,
}

/// What a look at the document has shown.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A sound document.
    Document(&'a Blob),
    /// What is left of a damaged one, as a sound document.
    Salvage(&'a Blob),
    /// No byte, where a document belongs, or no document, where one was that MSAL.NET deletes.
    Wiped,
    /// No document.
    Nothing,
    /// One of ours, which is to be written where there is none.
    Begun(&'a Blob),
}

/// What came of a look.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Reapplied {
    /// The document as it must be written, but for the mark that [`note`](ReapplyJournal::note) puts there; `None`: it
    /// stays as it is.
    pub document: Option<Blob>,
    /// Entries that others had dropped and that are put back.
    pub put_back: usize,
    /// Entries of an account that was signed out, which others had brought back and which are taken out again.
    pub removed_again: usize,
    /// Entries restored from the last good copy.
    pub restored: usize,
    /// Accounts that others have signed out, whose entries are let go of.
    pub signed_out: usize,
}

impl ReapplyJournal {
    /// An empty journal. `keeps_copy`: whether it keeps the last good copy of the document.
    pub fn new(keeps_copy: bool) -> Self {
        Self { keeps_copy, ..Self::default() }
    }

    /// The journal that [`to_bytes`](Self::to_bytes) gave. One that is damaged holds nothing: what it was for is lost, the
    /// document is not.
    pub fn from_bytes(bytes: &Blob, keeps_copy: bool) -> Self {
        let Ok(mut entries) = UnifiedDocument::parse(bytes) else { return Self::new(keeps_copy) };
        let id = EntryId::new(JOURNAL, "");
        let facts = entries.entry(&id).and_then(|entry| Facts::read(&entry.json));
        let Some(facts) = facts else { return Self::new(keeps_copy) };
        entries.remove(&id);
        Self { keeps_copy, entries, facts, ..Self::default() }
    }

    /// The journal as a document, to be kept beside the shared one; `None`: it holds nothing, and nothing need be kept.
    pub fn to_bytes(&self) -> Option<Blob> {
        let copied_at = self.facts.copied_at.filter(|_| self.keeps_copy && !self.entries.is_empty());
        if copied_at.is_none() && self.facts.puts.is_empty() && self.facts.removals.is_empty() {
            return None;
        }
        let mut document = match copied_at {
            Some(_) => self.entries.clone(),
            None => self.facts.puts.iter().fold(UnifiedDocument::default(), |mut document, put| {
                if let Some(json) = self.entries.raw_entry(&put.id()) {
                    document.insert(&put.id(), json.clone());
                }
                document
            }),
        };
        let facts = Facts { copied_at, ..self.facts.clone() };
        document.insert(&EntryId::new(JOURNAL, ""), facts.write());
        Some(document.render())
    }

    /// Whether the journal differs from what [`from_bytes`](Self::from_bytes) was given.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.is_changed |= self.to_bytes().is_some();
        self.entries = UnifiedDocument::default();
        self.facts = Facts::default();
        self.looked_at = None;
    }

    /// Compares what is there, the [mark](Self::note) included, with what was written, and answers what is to be done about it. A
    /// document that cannot be parsed changes nothing.
    pub fn reconcile(&mut self, seen: Seen<'_>, now: UnixMillis) -> Reapplied {
        self.let_go_of_old(now);
        let parsed = match seen {
            Seen::Document(bytes) | Seen::Salvage(bytes) | Seen::Begun(bytes) => UnifiedDocument::parse(bytes).ok(),
            Seen::Wiped => Some(UnifiedDocument::default()),
            Seen::Nothing => None,
        };
        let Some(document) = parsed else { return Reapplied::default() };
        Look::new(self, seen, now, document).work()
    }

    /// The document without the mark, as it is shown to whoever uses the cache: [`unmark`](Self::unmark), which is quicker
    /// for the document that was [reconciled](Self::reconcile) last.
    pub fn shown(&mut self, document: &Blob) -> Blob {
        match self.looked_at.as_mut().filter(|looked_at| looked_at.bytes.is(document)) {
            Some(looked_at) => {
                if std::mem::take(&mut looked_at.is_marked) {
                    looked_at.bytes = looked_at.unmarked.render();
                }
                looked_at.bytes.clone()
            }
            None => Self::unmark(document),
        }
    }

    /// Notes what a write changes: `before` is the document that was [reconciled](Self::reconcile), `after` the one that
    /// takes its place, both [without the mark](Self::shown); `None`: there is none. Answers `after` as it must be written,
    /// with a mark of this write: an access token of nobody's. Of a document that cannot be parsed nothing is noted, and
    /// `after` stays as it is.
    pub fn note(&mut self, before: Option<&Blob>, after: Option<&Blob>, now: UnixMillis) -> Option<Blob> {
        let parse = |bytes: Option<&Blob>| bytes.map_or_else(|| Ok(UnifiedDocument::default()), UnifiedDocument::parse);
        let known = self.looked_at.take().filter(|known| before.is_some_and(|before| before.is(&known.bytes)));
        let had = known.map_or_else(|| parse(before), |known| Ok(known.unmarked));
        let (Ok(had), Ok(mut has)) = (had, parse(after)) else { return after.cloned() };
        marker::take(&mut has);
        let (had, has) = (self.indexed(had), self.indexed(has));
        self.note_sign_outs(&had, &has, now);
        let generation = now.0.max(self.facts.generation.saturating_add(1)).max(self.seen.saturating_add(1));
        let mut written =
            Written { now, generation, had: &had, has: &has, puts: BTreeMap::new(), gone: HashMap::new() };
        for (put, entry) in self.take_puts() {
            written.keep(put, entry);
        }
        let new: Vec<Entry> =
            has.document().beyond(had.document()).filter(|entry| !written.is_put_back(entry)).collect();
        for entry in &new {
            written.put(entry);
        }
        written.put_context(&new);
        let puts = written.puts;
        let mut has = has.into_document();
        self.entries = if self.keeps_copy { self.copy_of(&has) } else { UnifiedDocument::default() };
        self.facts.copied_at = self.keeps_copy.then_some(now.0);
        self.facts.generation = generation;
        self.wait_for(puts.into_values());
        self.is_changed = true;
        after.map(|_| marker::mark(&mut has, generation))
    }

    /// The document as a copy of it is kept: without what is left of accounts that were signed out. Whoever signs one out may
    /// take several steps, and what the first of them left must not come back by the copy.
    fn copy_of(&self, document: &UnifiedDocument) -> UnifiedDocument {
        let mut copy = document.clone();
        for Removal { home_account_id, environment, .. } in &self.facts.removals {
            let environments = self.environments.aliases(environment);
            if !copy.holds_account(home_account_id, &environments) {
                copy.remove_account(home_account_id, &environments);
            }
        }
        copy
    }

    /// What is waited for. Afterwards, nothing is.
    fn take_puts(&mut self) -> Vec<(Put, Entry)> {
        let mut ids = HashSet::new();
        let puts = std::mem::take(&mut self.facts.puts).into_iter().filter(|put| ids.insert(put.id()));
        puts.filter_map(|put| self.entries.entry(&put.id()).map(|entry| (put, entry))).collect()
    }

    /// Waits for entries, each under the id of its put, which may be another one than before.
    fn wait_for(&mut self, waiting: impl IntoIterator<Item = (Put, Entry)>) {
        let (puts, entries): (Vec<Put>, Vec<Entry>) = waiting.into_iter().unzip();
        for (put, entry) in puts.iter().zip(&entries) {
            if put.id() != entry.id {
                self.entries.remove(&entry.id);
            }
        }
        for (put, entry) in puts.iter().zip(entries) {
            self.entries.put(&Entry { id: put.id(), ..entry });
        }
        self.facts.puts = puts;
    }

    fn let_go_of_old(&mut self, now: UnixMillis) {
        let Facts { puts, removals, .. } = &mut self.facts;
        let before = puts.len() + removals.len();
        // A clock that was set back must not keep an entry for ever.
        let of_puts = puts.iter_mut().flat_map(|put| [Some(&mut put.at), put.restored_at.as_mut()]).flatten();
        for at in of_puts.chain(removals.iter_mut().map(|removal| &mut removal.at)) {
            self.is_changed |= *at > now.0;
            *at = now.0.min(*at);
        }
        puts.retain(|put| age(put.at, now) < GIVEN_UP_AFTER);
        removals.retain(|removal| age(removal.at, now) < GIVEN_UP_AFTER);
        self.is_changed |= puts.len() + removals.len() != before;
    }

    fn indexed(&self, document: UnifiedDocument) -> Indexed {
        Indexed::new(document, self.environments.clone())
    }

    fn note_sign_outs(&mut self, had: &Indexed, has: &Indexed, now: UnixMillis) {
        // An account whose entry stands as it was has not gone.
        let touched = had.document().beyond_of(section::ACCOUNT, has.document());
        for account in touched.filter_map(|entry| entry.account) {
            let AccountRef { home_account_id, environment } = &account;
            if has.holds_account(home_account_id, environment) {
                continue;
            }
            let secrets = had.credentials_of(home_account_id, environment).into_iter().map(|(_, secret)| secret);
            // Others may bring back what these had replaced as well, and what earlier sign-outs took.
            let of_account = self.puts().filter(|(_, entry)| self.is_of(entry, &account));
            let mut secrets: BTreeSet<String> =
                secrets.chain(of_account.flat_map(|(put, _)| put.replaced.clone())).collect();
            let Self { facts, environments, .. } = self;
            let is_earlier = |removal: &mut Removal| {
                *removal.home_account_id == **home_account_id && environments.same(&removal.environment, environment)
            };
            secrets.extend(facts.removals.extract_if(.., is_earlier).flat_map(|removal| removal.secrets));
            facts.removals.push(Removal::new(&account, secrets, now.0));
        }
        // Who was signed in again stays, and so does what was put again.
        for removal in &mut self.facts.removals {
            removal.is_back |= has.holds_account(&removal.home_account_id, &removal.environment);
            for (_, secret) in has.credentials_of(&removal.home_account_id, &removal.environment) {
                removal.secrets.remove(&secret);
            }
        }
    }

    fn puts(&self) -> impl Iterator<Item = (&Put, Entry)> {
        self.facts.puts.iter().filter_map(|put| Some((put, self.entries.entry(&put.id())?)))
    }

    /// Whether the entry is of this account, under whatever name of its cloud.
    fn is_of(&self, entry: &Entry, account: &AccountRef) -> bool {
        entry.account.as_ref().is_some_and(|of| {
            of.home_account_id == account.home_account_id
                && self.environments.same(&of.environment, &account.environment)
        })
    }
}

fn age(at: Millis, now: UnixMillis) -> Duration {
    now.since(UnixMillis(at))
}

impl fmt::Debug for ReapplyJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReapplyJournal")
            .field("puts", &self.facts.puts.len())
            .field("removals", &self.facts.removals.len())
            .field("keeps_copy", &self.keeps_copy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
