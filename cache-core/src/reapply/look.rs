//! One look at the document: what of our writes still stands in it, and what is to be done about the rest.

use std::collections::{BTreeSet, HashSet};

use super::facts::{Put, Removal, hash};
use super::indexed::Indexed;
use super::marker::Generation;
use super::{CONFIRMED_AFTER, COPY_AGE, LookedAt, Reapplied, ReapplyJournal, Seen, age, marker};
use crate::document::UnifiedDocument;
use crate::entry::{AccountRef, Entry, EntryId};
use crate::schema::{key_suffix, section};
use crate::secret::Secret;
use crate::time::UnixMillis;
use crate::token_cache::Standing;

/// One look at the document, while the journal works on it.
pub(super) struct Look<'a> {
    journal: &'a mut ReapplyJournal,
    seen: Seen<'a>,
    now: UnixMillis,
    /// The write of ours that the document's writer had seen.
    marker: Option<Generation>,
    /// The document as it was found, but for the mark.
    found: Indexed,
    /// The same, to be changed.
    document: UnifiedDocument,
    waiting: Vec<Waiting>,
    /// Whose tokens are there that were known to be: accounts, and `None` for applications.
    owners: HashSet<Option<AccountRef>>,
    /// The accounts that others have signed out.
    signed_out: HashSet<AccountRef>,
    done: Reapplied,
}

/// An entry that is waited for, and what was found of it.
struct Waiting {
    put: Put,
    entry: Entry,
    standing: Standing,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        journal: &'a mut ReapplyJournal,
        seen: Seen<'a>,
        now: UnixMillis,
        mut document: UnifiedDocument,
    ) -> Self {
        let marker = marker::take(&mut document);
        journal.seen = marker.unwrap_or_default();
        document.is_as_it_was();
        let found = journal.indexed(document.clone());
        let puts = journal.take_puts();
        let removals = &journal.facts.removals;
        let waiting = puts.into_iter().map(|(put, entry)| {
            let is_older = |secret: &Secret| {
                let hash = hash(secret);
                put.replaced.contains(&hash) || removals.iter().any(|removal| removal.secrets.contains(&hash))
            };
            let standing = found.standing(&entry, &is_older);
            Waiting { put, entry, standing }
        });
        let waiting = waiting.collect();
        let (signed_out, done) = (HashSet::new(), Reapplied::default());
        let owners = HashSet::new();
        Self { journal, seen, now, marker, found, document, waiting, owners, signed_out, done }
    }

    pub(super) fn work(mut self) -> Reapplied {
        self.judge_accounts();
        // In a document of our own, everything is there by right.
        if !matches!(self.seen, Seen::Begun(_)) {
            self.reapply_removals();
        }
        self.reapply_puts();
        match self.seen {
            Seen::Document(_) => self.follow(),
            Seen::Salvage(_) | Seen::Wiped => self.restore(),
            Seen::Nothing | Seen::Begun(_) => {}
        }
        // A mark that is older than what is waited for comes back, or the next sign-out could not be told.
        let newest = self.journal.facts.puts.iter().filter(|put| !put.is_context).map(|put| put.generation).max();
        let is_due = self.document.is_changed() || newest > self.marker;
        let document = is_due.then(|| self.document.render());
        let looked_at = match (&document, self.seen) {
            (Some(written), _) => Some((written, false)),
            (None, Seen::Document(found)) => Some((found, self.marker.is_some())),
            (None, _) => None,
        };
        self.journal.looked_at =
            looked_at.map(|(bytes, is_marked)| LookedAt { bytes: bytes.clone(), unmarked: self.document, is_marked });
        Reapplied { document, ..self.done }
    }

    /// Finds out who was signed out, before anything is changed.
    fn judge_accounts(&mut self) {
        if self.is_everybody_here() {
            return;
        }
        self.learn_owners();
        let mut known = HashSet::new();
        let mut signed_out = HashSet::new();
        for Waiting { put, entry, standing } in &self.waiting {
            let Some(account) = self.account_of(entry) else { continue };
            // There was an account when the entry was written.
            let is_account_gone = || !self.found.holds_account(&account.home_account_id, &account.environment);
            let tells = matches!(entry.id.section(), section::ACCOUNT | section::REFRESH_TOKEN);
            let is_gone = tells && matches!(standing, Standing::Gone { .. });
            if (is_gone || is_account_gone()) && self.was_taken_out(put, Some(&account)) {
                signed_out.insert(account.clone());
            }
            known.insert(account);
        }
        // Of whom only the copy knows.
        for entry in self.accounts_gone_from_copy() {
            let Some(account) = self.account_of(&entry).filter(|account| !known.contains(account)) else { continue };
            if self.is_continued(Some(&account)) {
                signed_out.insert(account);
            }
        }
        self.done.signed_out = signed_out.len();
        self.signed_out = signed_out;
        self.remember_what_they_took();
    }

    /// Remembers what the sign-outs took, as far as it is known: it is older than what is written for the accounts later.
    fn remember_what_they_took(&mut self) {
        if self.signed_out.is_empty() {
            return;
        }
        let known = self.journal.indexed(self.journal.entries.clone());
        for account in &self.signed_out {
            let credentials = known.credentials_of(&account.home_account_id, &account.environment);
            let of_account =
                self.waiting.iter().filter(|waiting| self.account_of(&waiting.entry).as_ref() == Some(account));
            let replaced = of_account.flat_map(|waiting| waiting.put.replaced.clone());
            let secrets: BTreeSet<String> = credentials.into_iter().map(|(_, secret)| secret).chain(replaced).collect();
            let removal = Removal { is_by_others: true, ..Removal::new(account, secrets, self.now.0) };
            self.journal.facts.removals.push(removal);
            self.journal.is_changed = true;
        }
    }

    /// Whether every entry that is waited for stands, and so does every account that is known: nobody was signed out, and
    /// nothing was dropped.
    fn is_everybody_here(&self) -> bool {
        let stands = |waiting: &Waiting| waiting.stands_at().is_some() && !self.is_account_gone(&waiting.entry);
        self.waiting.iter().all(stands) && self.accounts_gone_from_copy().next().is_none()
    }

    /// The `Account` entries of the copy whose account is gone from the document. One that stands as it was is not.
    fn accounts_gone_from_copy(&self) -> impl Iterator<Item = Entry> {
        let touched = self.copy().into_iter().flat_map(|copy| copy.beyond_of(section::ACCOUNT, self.found.document()));
        touched.filter(|entry| self.is_account_gone(entry))
    }

    /// The last good copy of the document.
    fn copy(&self) -> Option<&UnifiedDocument> {
        self.journal.facts.copied_at.map(|_| &self.journal.entries)
    }

    /// Whether the entry is of an account that has no `Account` entry.
    fn is_account_gone(&self, entry: &Entry) -> bool {
        let account = self.account_of(entry);
        account.is_some_and(|of| !self.found.holds_account(&of.home_account_id, &of.environment))
    }

    /// Whose tokens are there that were known to be.
    fn learn_owners(&mut self) {
        let mut owners = HashSet::new();
        for waiting in self.waiting.iter().filter(|waiting| waiting.stands_at().is_some()) {
            if is_credential(&waiting.entry) {
                owners.insert(self.account_of(&waiting.entry));
            }
        }
        let of_copy = self
            .copy()
            .into_iter()
            .flat_map(|copy| copy.entries_of(section::ACCESS_TOKEN).chain(copy.entries_of(section::REFRESH_TOKEN)));
        for entry in of_copy {
            let owner = self.account_of(&entry);
            let stands = || matches!(self.found.all().standing(&entry, &|_| false), Standing::Stands(_));
            if !owners.contains(&owner) && stands() {
                owners.insert(owner);
            }
        }
        self.owners = owners;
    }

    /// Whether whoever wrote the document had seen this entry: then it was taken out, not dropped.
    fn was_taken_out(&self, put: &Put, account: Option<&AccountRef>) -> bool {
        if put.is_context {
            // It had been there before.
            return self.is_continued(account);
        }
        self.is_complete() && self.marker.is_some_and(|seen| seen >= put.generation)
    }

    /// Whether the document goes on from one that was there before, and is no new one.
    fn is_continued(&self, account: Option<&AccountRef>) -> bool {
        let others_stand = || self.owners.iter().any(|owner| owner.as_ref() != account);
        self.is_complete() && (self.marker.is_some() || others_stand())
    }

    /// Whether what is not there was not there before a tear either. A tear takes the end, and app metadata stands there;
    /// where there was none, a sign-out must not be undone.
    fn is_complete(&self) -> bool {
        match self.seen {
            Seen::Document(_) => true,
            Seen::Salvage(_) => {
                let has_metadata = self.found.all().all_app_metadata().next().is_some();
                has_metadata || self.journal.entries.entries_of(section::APP_METADATA).next().is_none()
            }
            // In a document of our own, everything may be there.
            Seen::Wiped | Seen::Nothing | Seen::Begun(_) => false,
        }
    }

    fn reapply_puts(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let ours: HashSet<EntryId> = waiting.iter().filter_map(|waiting| waiting.stands_at().cloned()).collect();
        let (mut kept, mut missing) = (Vec::with_capacity(waiting.len()), Vec::new());
        for waiting in waiting {
            let is_signed_out = self.is_signed_out(&waiting.entry);
            let Waiting { mut put, entry, standing } = waiting;
            match standing {
                // What we wrote during the sign-out goes with it, also under the id that another library gave it.
                Standing::Stands(id) if is_signed_out && !put.is_context => {
                    self.document.remove(&id);
                    self.done.removed_again += 1;
                }
                Standing::Stands(id) if !is_signed_out && age(put.last_put_at(), self.now) < CONFIRMED_AFTER => {
                    id.key().clone_into(&mut put.key);
                    kept.push((put, entry));
                    continue;
                }
                Standing::Gone { stale } if !is_signed_out && self.may_come_back(&put, &entry) => {
                    for id in stale.iter().filter(|id| !ours.contains(id)) {
                        self.document.remove(id);
                    }
                    missing.push((put, entry));
                }
                Standing::Stands(_) | Standing::Superseded | Standing::Gone { .. } => {}
            }
            self.journal.is_changed = true;
        }
        // Not before everything stale has made room.
        for (mut put, entry) in missing {
            let id = self.put_back(&entry);
            self.done.put_back += 1;
            id.key().clone_into(&mut put.key);
            put.restored_at = Some(self.now.0);
            // By the write that is to follow.
            (put.generation, put.is_context) = (Generation::MAX, false);
            kept.push((put, entry));
        }
        self.journal.wait_for(kept);
    }

    fn may_come_back(&self, put: &Put, entry: &Entry) -> bool {
        // No library takes app metadata out.
        let is_metadata = entry.id.section() == section::APP_METADATA;
        let was_taken_out = || self.was_taken_out(put, self.account_of(entry).as_ref());
        !is_expired(entry, self.now) && (is_metadata || !was_taken_out())
    }

    /// Puts the entry under its id, or where an entry of another meaning stands there, under one as
    /// [`TokenCache::insert`] chooses it.
    fn put_back(&mut self, entry: &Entry) -> EntryId {
        let mut id = entry.id.clone();
        while self.document.facts_of(&id).is_some() {
            id = EntryId::new(id.section(), key_suffix(id.key().to_owned(), [Some(id.key()), None, None]));
        }
        self.document.put(&Entry { id: id.clone(), ..entry.clone() });
        id
    }

    fn reapply_removals(&mut self) {
        for removal in self.journal.facts.removals.iter_mut().filter(|removal| !removal.is_by_others) {
            let (home_account_id, environment) = (&*removal.home_account_id, &*removal.environment);
            let credentials = self.found.credentials_of(home_account_id, environment);
            let (ours, others): (Vec<_>, Vec<_>) =
                credentials.into_iter().partition(|(_, secret)| removal.secrets.contains(secret));
            for (id, _) in &ours {
                self.document.remove(id);
            }
            self.done.removed_again += ours.len();
            if removal.is_back || !self.found.holds_account(home_account_id, environment) {
                continue;
            }
            // With tokens of another sign-in, the account is there by right.
            if others.is_empty() {
                let environments = self.journal.environments.aliases(environment);
                self.document.remove_account(home_account_id, &environments);
                self.done.removed_again += 1;
            } else {
                removal.is_back = true;
                self.journal.is_changed = true;
            }
        }
    }

    /// Lets the copy follow the document: at once where an account is gone from it, else from time to time.
    fn follow(&mut self) {
        let Some(copied_at) = self.journal.facts.copied_at.or_else(|| self.journal.keeps_copy.then_some(0)) else {
            return;
        };
        if self.document.is_empty() && self.journal.entries.is_empty() {
            return;
        }
        let is_young = copied_at <= self.now.0 && age(copied_at, self.now) < COPY_AGE;
        if is_young && self.done.signed_out == 0 {
            return;
        }
        let waiting: Vec<Entry> = self.journal.puts().map(|(_, entry)| entry).collect();
        self.journal.entries = self.journal.copy_of(&self.document);
        for entry in &waiting {
            self.journal.entries.put(entry);
        }
        self.journal.facts.copied_at = Some(self.now.0);
        self.journal.is_changed = true;
    }

    /// Puts back what the copy holds and the damaged document does not.
    fn restore(&mut self) {
        if self.journal.facts.copied_at.is_none() {
            return;
        }
        let put_back: HashSet<EntryId> = self.journal.facts.puts.iter().map(Put::id).collect();
        for entry in self.journal.entries.clone().into_entries() {
            let is_missing = matches!(self.found.all().standing(&entry, &|_| false), Standing::Gone { .. });
            let is_put_back = put_back.contains(&entry.id);
            if is_missing && !is_put_back && !is_expired(&entry, self.now) && !self.is_signed_out(&entry) {
                self.put_back(&entry);
                self.done.restored += 1;
            }
        }
    }

    fn is_signed_out(&self, entry: &Entry) -> bool {
        self.account_of(entry).is_some_and(|account| self.signed_out.contains(&account))
    }

    /// The account of an entry, whatever name of its cloud it stands under.
    fn account_of(&self, entry: &Entry) -> Option<AccountRef> {
        let AccountRef { home_account_id, environment } = entry.account.clone()?;
        let preferred = self.journal.environments.preferred(&environment);
        let environment = if preferred == &*environment { environment } else { preferred.to_lowercase().into() };
        Some(AccountRef { home_account_id, environment })
    }
}

impl Waiting {
    fn stands_at(&self) -> Option<&EntryId> {
        match &self.standing {
            Standing::Stands(id) => Some(id),
            Standing::Superseded | Standing::Gone { .. } => None,
        }
    }
}

fn is_credential(entry: &Entry) -> bool {
    matches!(entry.id.section(), section::ACCESS_TOKEN | section::REFRESH_TOKEN)
}

fn is_expired(entry: &Entry, now: UnixMillis) -> bool {
    entry.expires_on.is_some_and(|end| end < now.to_seconds())
}
