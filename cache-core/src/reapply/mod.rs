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
//! | the entry, under whatever key text | waits, and lets go of it a minute after it was written |
//! | another entry of the same meaning, or an intersecting access token, not known to be older | lets go of it |
//! | neither, and the account of the entry | puts it back |
//! | the account gone, our client's app metadata still there: a sign-out | lets go of the account's entries for good, and takes out what it had put back |
//! | the account and our client's app metadata gone: somebody began anew from nothing | puts them back |
//! | no byte, or nothing that can be loaded: damage | puts back what it waits for, and what the last good copy holds |
//! | no document | does nothing |
//! | tokens of an account that we have signed out | takes them out again |
//!
//! Whatever was not seen to stand ten minutes after it was written is let go of. So is an entry of a user without an
//! account entry: without it, a sign-out could not be told.

mod facts;
mod look;
mod written;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use self::facts::{Facts, JOURNAL, Millis, Put, Removal};
use self::look::Look;
use self::written::Written;
use crate::document::UnifiedDocument;
use crate::entry::{Entry, EntryId};
use crate::environment::Environments;
use crate::merge::Entries as _;
use crate::schema::section;
use crate::secret::Blob;
use crate::time::UnixMillis;
use crate::token_cache::Standing;

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
    /// When the entries were a copy of the whole document.
    copied_at: Option<Millis>,
    puts: BTreeMap<EntryId, Put>,
    removals: Vec<Removal>,
    is_changed: bool,
    environments: Environments,
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
}

/// What came of a look.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Reapplied {
    /// The document as it must be written; `None`: it stays as it is.
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
        let Some(Facts { copied_at, puts, removals }) = facts else { return Self::new(keeps_copy) };
        entries.remove(&id);
        let puts = puts.into_iter().map(|put| (put.id(), put)).filter(|(id, _)| entries.holds(id)).collect();
        Self { keeps_copy, entries, copied_at, puts, removals, ..Self::default() }
    }

    /// The journal as a document, to be kept beside the shared one; `None`: it holds nothing, and nothing need be kept.
    pub fn to_bytes(&self) -> Option<Blob> {
        let copied_at = self.copied_at.filter(|_| self.keeps_copy && !self.entries.is_empty());
        if copied_at.is_none() && self.puts.is_empty() && self.removals.is_empty() {
            return None;
        }
        let mut document = match copied_at {
            Some(_) => self.entries.clone(),
            None => self.put_entries(),
        };
        let facts = Facts { copied_at, puts: self.puts.values().cloned().collect(), removals: self.removals.clone() };
        document.insert(&EntryId::new(JOURNAL, ""), facts.write());
        Some(document.render())
    }

    /// Whether the journal differs from what [`from_bytes`](Self::from_bytes) was given.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let is_changed = self.is_changed || self.to_bytes().is_some();
        *self = Self { is_changed, ..Self::new(self.keeps_copy) };
    }

    /// Compares what is there with what was written, and answers what is to be done about it. A document that cannot be
    /// parsed changes nothing.
    pub fn reconcile(&mut self, seen: Seen<'_>, now: UnixMillis) -> Reapplied {
        self.let_go_of_old(now);
        let parsed = match seen {
            Seen::Document(bytes) | Seen::Salvage(bytes) => UnifiedDocument::parse(bytes).ok(),
            Seen::Wiped => Some(UnifiedDocument::default()),
            Seen::Nothing => None,
        };
        let Some(document) = parsed else { return Reapplied::default() };
        if matches!(seen, Seen::Document(_)) && self.finds_everything_in(&document) {
            self.let_go_of_confirmed(now);
            self.follow(&document, now);
            return Reapplied::default();
        }
        Look::new(self, seen, now, document).work()
    }

    /// Notes what a write changes: `before` is the document that was [reconciled](Self::reconcile), `after` the one that
    /// takes its place; `None`: there is none.
    pub fn note(&mut self, before: Option<&Blob>, after: Option<&Blob>, now: UnixMillis) {
        let parse =
            |bytes: Option<&Blob>| bytes.and_then(|bytes| UnifiedDocument::parse(bytes).ok()).unwrap_or_default();
        let written = Written::new(&parse(before), parse(after), self.environments.clone());
        self.note_sign_outs(&written, now);
        let replaced = self.let_go_of_replaced(&written);
        let waiting = self.put_entries();
        self.entries = if self.keeps_copy { written.after.clone() } else { UnifiedDocument::default() };
        self.copied_at = self.keeps_copy.then_some(now.0);
        for entry in waiting.into_entries() {
            self.entries.put(&entry);
        }
        for entry in written.lasting() {
            let mut put = Put::new(entry, now.0, written.replaced_by(entry), &written.accounts);
            let earlier = self.puts.get(&entry.id).or_else(|| replaced.get(&entry.id));
            put.remember_replaced(earlier.map_or(&[], |put| &put.replaced));
            self.wait_for(put, entry);
        }
        for entry in written.context() {
            if !self.puts.contains_key(&entry.id) {
                let put = Put::new(&entry, now.0, Vec::new(), &written.accounts);
                self.wait_for(Put { is_context: true, ..put }, &entry);
            }
        }
        self.is_changed = true;
    }

    fn wait_for(&mut self, put: Put, entry: &Entry) {
        self.entries.put(entry);
        self.puts.insert(entry.id.clone(), put);
    }

    /// The entries that are waited for, without those that are the copy's only.
    fn put_entries(&self) -> UnifiedDocument {
        self.puts.keys().filter_map(|id| self.entries.entry(id)).fold(
            UnifiedDocument::default(),
            |mut document, entry| {
                document.put(&entry);
                document
            },
        )
    }

    /// Whether all that was written stands as it was, and every account of the copy is there.
    fn finds_everything_in(&self, document: &UnifiedDocument) -> bool {
        self.removals.is_empty()
            && self.puts.keys().all(|id| document.agrees(&self.entries, id))
            && self.entries.entries_of(section::ACCOUNT).all(|account| document.holds(&account.id))
    }

    fn let_go_of_old(&mut self, now: UnixMillis) {
        let before = self.puts.len() + self.removals.len();
        // A clock that was set back must not keep an entry for ever.
        let times = self.puts.values_mut().map(|put| &mut put.at);
        for at in times.chain(self.removals.iter_mut().map(|removal| &mut removal.at)) {
            *at = now.0.min(*at);
        }
        self.puts.retain(|_, put| age(put.at, now) < GIVEN_UP_AFTER);
        self.removals.retain(|removal| age(removal.at, now) < GIVEN_UP_AFTER);
        self.is_changed |= self.puts.len() + self.removals.len() != before;
    }

    fn let_go_of_confirmed(&mut self, now: UnixMillis) {
        let before = self.puts.len();
        self.puts.retain(|_, put| age(put.at, now) < CONFIRMED_AFTER);
        self.is_changed |= self.puts.len() != before;
    }

    /// What a write of our own has replaced or removed is not to come back.
    fn let_go_of_replaced(&mut self, written: &Written) -> BTreeMap<EntryId, Put> {
        let entries = &self.entries;
        let is_gone = |id: &EntryId| {
            !written.after.agrees(entries, id)
                && entries
                    .entry(id)
                    .is_none_or(|entry| written.cache().standing(&entry, &|_| false) != Standing::Stands)
        };
        let (gone, stay) = std::mem::take(&mut self.puts).into_iter().partition(|(id, _)| is_gone(id));
        self.puts = stay;
        gone
    }

    fn note_sign_outs(&mut self, written: &Written, now: UnixMillis) {
        for (account, secrets) in written.signed_out() {
            let (home_account_id, environment) = (account.home_account_id.to_string(), account.environment.to_string());
            let removal = Removal { home_account_id, environment, secrets, is_back: false, at: now.0 };
            self.removals.push(removal);
        }
        // Who was signed in again stays, and so does what was put again.
        let put_again: HashSet<String> = written.entries().filter_map(facts::secret_hash).collect();
        for removal in &mut self.removals {
            removal.is_back |= written.accounts.holds_account(&removal.home_account_id, &removal.environment);
            removal.secrets.retain(|known| !put_again.contains(known));
        }
        self.removals.retain(|removal| !(removal.is_back && removal.secrets.is_empty()));
    }

    /// Whether a secret is one that we have signed out.
    fn is_signed_out(&self, hash: &str) -> bool {
        self.removals.iter().flat_map(|removal| &removal.secrets).any(|known| known == hash)
    }

    /// Lets the copy follow the document from time to time.
    fn follow(&mut self, document: &UnifiedDocument, now: UnixMillis) {
        let is_old = self.copied_at.is_none_or(|at| age(at.min(now.0), now) >= COPY_AGE);
        if self.keeps_copy && is_old {
            self.copy(document, now);
        }
    }

    fn copy(&mut self, document: &UnifiedDocument, now: UnixMillis) {
        let waiting = self.put_entries();
        self.entries = document.clone();
        for entry in waiting.into_entries() {
            self.entries.put(&entry);
        }
        self.copied_at = Some(now.0);
        self.is_changed = true;
    }
}

fn age(at: Millis, now: UnixMillis) -> Duration {
    now.since(UnixMillis(at))
}

impl fmt::Debug for ReapplyJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReapplyJournal")
            .field("puts", &self.puts.len())
            .field("removals", &self.removals.len())
            .field("keeps_copy", &self.keeps_copy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
