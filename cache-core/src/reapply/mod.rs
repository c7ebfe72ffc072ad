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

use std::fmt;
use std::time::Duration;

use self::facts::{Facts, Holder, JOURNAL, Millis, Put, Removal, hash};
use self::look::Look;
use crate::document::UnifiedDocument;
use crate::entry::{AccountRef, Entry, EntryId};
use crate::environment::Environments;
use crate::merge::Entries as _;
use crate::schema::section;
use crate::secret::Blob;
use crate::time::UnixMillis;
use crate::token_cache::{Standing, TokenCache};

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
            None => self.puts().fold(UnifiedDocument::default(), |mut document, (_, entry)| {
                document.put(&entry);
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
        let cache = TokenCache::of_document(document.clone(), self.environments.clone());
        Look::new(self, seen, now, cache, document).work()
    }

    /// Notes what a write changes: `before` is the document that was [reconciled](Self::reconcile), `after` the one that
    /// takes its place; `None`: there is none.
    pub fn note(&mut self, before: Option<&Blob>, after: Option<&Blob>, now: UnixMillis) {
        let parse =
            |bytes: Option<&Blob>| bytes.and_then(|bytes| UnifiedDocument::parse(bytes).ok()).unwrap_or_default();
        let (before, after) = (parse(before), parse(after));
        let cache = |document: &UnifiedDocument| TokenCache::of_document(document.clone(), self.environments.clone());
        let (had, has) = (cache(&before), cache(&after));
        self.note_sign_outs(&had, &has, now);
        let written: Vec<Entry> = after.clone().into_entries().filter(|entry| !before.says(entry)).collect();
        // What this write itself has replaced or removed is not to come back.
        let known: Vec<(Put, Entry)> = self.puts().map(|(put, entry)| (put.clone(), entry)).collect();
        let stands = |(_, entry): &(Put, Entry)| has.standing(entry, &|_| false) == Standing::Stands;
        let (waiting, gone): (Vec<_>, Vec<_>) = known.into_iter().partition(stands);
        if self.keeps_copy {
            self.entries = after.clone();
            self.facts.copied_at = Some(now.0);
        } else {
            self.entries = UnifiedDocument::default();
        }
        self.facts.puts.clear();
        for (put, entry) in waiting {
            self.entries.put(&entry);
            self.facts.puts.push(put);
        }
        for entry in &written {
            self.note_put(entry, &had, &has, now);
        }
        // Nor is what they had replaced.
        for (gone, _) in &gone {
            if let Some(put) = self.facts.puts.iter_mut().find(|put| put.id() == gone.id()) {
                put.remember_replaced(&gone.replaced);
            }
        }
        self.is_changed = true;
    }

    fn puts(&self) -> impl Iterator<Item = (&Put, Entry)> {
        self.facts.puts.iter().filter_map(|put| Some((put, self.entries.entry(&put.id())?)))
    }

    fn is_waiting_for(&self, id: &EntryId) -> bool {
        self.facts.puts.iter().any(|put| put.id() == *id)
    }

    fn let_go_of_old(&mut self, now: UnixMillis) {
        let Facts { puts, removals, .. } = &mut self.facts;
        let before = puts.len() + removals.len();
        // A clock that was set back must not keep an entry for ever.
        let times = puts.iter_mut().map(|put| &mut put.at).chain(removals.iter_mut().map(|removal| &mut removal.at));
        for at in times {
            *at = now.0.min(*at);
        }
        puts.retain(|put| age(put.at, now) < GIVEN_UP_AFTER);
        removals.retain(|removal| age(removal.at, now) < GIVEN_UP_AFTER);
        self.is_changed |= puts.len() + removals.len() != before;
    }

    fn note_sign_outs(&mut self, had: &TokenCache, has: &TokenCache, now: UnixMillis) {
        let accounts = had.entries().filter(|entry| entry.id.section() == section::ACCOUNT);
        for AccountRef { home_account_id, environment } in accounts.filter_map(|entry| entry.account) {
            if has.holds_account(&home_account_id, &environment) {
                continue;
            }
            let secrets = had.credentials_of(&home_account_id, &environment).into_iter();
            let secrets = secrets.map(|(_, secret)| hash(secret)).collect();
            let (home_account_id, environment) = (home_account_id.to_string(), environment.to_string());
            self.facts.removals.push(Removal { home_account_id, environment, secrets, at: now.0 });
        }
        // Who was signed in again stays, and so does what was put again.
        self.facts.removals.retain(|removal| !has.holds_account(&removal.home_account_id, &removal.environment));
        for removal in &mut self.facts.removals {
            let put_again = has.credentials_of(&removal.home_account_id, &removal.environment);
            removal.secrets.retain(|known| !put_again.iter().any(|(_, secret)| hash(secret) == *known));
        }
    }

    /// Waits for an entry that was written, and for what it is of no use without: its account, refresh and ID tokens.
    fn note_put(&mut self, entry: &Entry, had: &TokenCache, has: &TokenCache, now: UnixMillis) {
        let Some(account) = &entry.account else {
            return self.wait_for(Put::new(entry, now.0, Vec::new(), has), entry);
        };
        let AccountRef { home_account_id, environment } = account;
        if !has.holds_account(home_account_id, environment) {
            return;
        }
        let stays = has.credentials_of(home_account_id, environment);
        let gone = had.credentials_of(home_account_id, environment).into_iter().filter(|(id, secret)| {
            id.section() == entry.id.section() && !stays.iter().any(|(_, known)| known == secret)
        });
        self.wait_for(Put::new(entry, now.0, gone.map(|(_, secret)| hash(secret)).collect(), has), entry);
        let holder = Holder::of(entry);
        let is_context = |other: &Entry| match other.id.section() {
            section::ACCOUNT => other.account.as_ref() == Some(account),
            section::REFRESH_TOKEN | section::ID_TOKEN => {
                other.account.as_ref() == Some(account) && holder.can_use(&Holder::of(other))
            }
            section::APP_METADATA => holder.can_use(&Holder::of(other)),
            _ => false,
        };
        for context in has.entries().filter(is_context) {
            if !self.is_waiting_for(&context.id) {
                let put = Put { is_context: true, ..Put::new(&context, now.0, Vec::new(), has) };
                self.wait_for(put, &context);
            }
        }
    }

    fn wait_for(&mut self, mut put: Put, entry: &Entry) {
        if let Some(at) = self.facts.puts.iter().position(|known| known.id() == entry.id) {
            put.remember_replaced(&self.facts.puts.swap_remove(at).replaced);
        }
        self.entries.put(entry);
        self.facts.puts.push(put);
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
