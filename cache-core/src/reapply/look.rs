//! One look at the document: what of our writes still stands in it, and what is to be done about the rest.

use std::collections::HashMap;

use super::facts::{Put, hash, secret_hash};
use super::{CONFIRMED_AFTER, Reapplied, ReapplyJournal, Seen, age};
use crate::document::UnifiedDocument;
use crate::entry::{AccountRef, Entry};
use crate::merge::Entries as _;
use crate::schema::section;
use crate::time::UnixMillis;
use crate::token_cache::{Standing, TokenCache};

/// One look at the document, while the journal works on it.
pub(super) struct Look<'a> {
    journal: &'a mut ReapplyJournal,
    seen: Seen<'a>,
    now: UnixMillis,
    /// The document as it was found.
    cache: TokenCache,
    /// The same, to be changed.
    document: UnifiedDocument,
    verdicts: HashMap<AccountRef, Verdict>,
    done: Reapplied,
}

/// What has become of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Here,
    SignedOut,
    /// The document began anew from nothing.
    Wiped,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        journal: &'a mut ReapplyJournal,
        seen: Seen<'a>,
        now: UnixMillis,
        document: UnifiedDocument,
    ) -> Self {
        let cache = TokenCache::of_document(document.clone(), journal.environments.clone());
        Self { journal, seen, now, cache, document, verdicts: HashMap::new(), done: Reapplied::default() }
    }

    pub(super) fn work(mut self) -> Reapplied {
        self.judge_accounts();
        self.reapply_puts();
        self.reapply_removals();
        match self.seen {
            // At once where an account is gone from it.
            Seen::Document(_) if self.done.signed_out > 0 && self.journal.keeps_copy => {
                self.journal.copy(&self.document, self.now);
            }
            Seen::Document(_) => self.journal.follow(&self.document, self.now),
            Seen::Salvage(_) | Seen::Wiped => self.restore(),
            Seen::Nothing => {}
        }
        let document = self.document.is_changed().then(|| self.document.render());
        Reapplied { document, ..self.done }
    }

    /// Finds out what has become of every account that the journal knows, before anything is changed.
    fn judge_accounts(&mut self) {
        let mut known: HashMap<AccountRef, Known> = HashMap::new();
        for (id, put) in &self.journal.puts {
            let Some(entry) = self.journal.entries.entry(id) else { continue };
            let Some(account) = entry.account.clone() else { continue };
            let known = known.entry(account).or_default();
            known.clients.extend(put.client_id.as_deref().map(Into::into));
            known.had_metadata |= put.had_metadata;
            if put.is_context && entry.id.section() == section::REFRESH_TOKEN {
                known.settled.push(entry);
            }
        }
        if self.journal.copied_at.is_some() {
            let copy = TokenCache::of_document(self.journal.entries.clone(), self.journal.environments.clone());
            for account in copy.entries().filter_map(|entry| entry.account) {
                let known = known.entry(account.clone()).or_default();
                if known.clients.is_empty() {
                    let of_cloud = copy
                        .all_app_metadata()
                        .map(|(_, metadata)| metadata)
                        .filter(|metadata| self.journal.environments.same(&metadata.environment, &account.environment));
                    known.clients.extend(of_cloud.map(|metadata| Box::from(&*metadata.client_id)));
                    known.had_metadata = !known.clients.is_empty();
                }
            }
        }
        for (account, known) in known {
            let verdict = self.judge(&account, &known);
            self.done.signed_out += usize::from(verdict == Verdict::SignedOut);
            self.verdicts.insert(account, verdict);
        }
    }

    fn judge(&self, account: &AccountRef, known: &Known) -> Verdict {
        if matches!(self.seen, Seen::Wiped) {
            return Verdict::Wiped;
        }
        let AccountRef { home_account_id, environment } = account;
        let metadata = known.clients.iter().any(|client| self.cache.app_metadata(environment, client).is_some());
        if self.cache.holds_account(home_account_id, environment) {
            // Signed out and in again: nothing is left of the sign-in that was known.
            let is_gone = |entry: &Entry| matches!(self.cache.standing(entry, &|_| false), Standing::Gone { .. });
            let is_whole = matches!(self.seen, Seen::Document(_));
            let has_lost_all = is_whole && !known.settled.is_empty() && known.settled.iter().all(is_gone);
            return if metadata && has_lost_all { Verdict::SignedOut } else { Verdict::Here };
        }
        // Where no app metadata stood, a wipe cannot be told from a sign-out; a sign-out must not be undone.
        if metadata || !known.had_metadata { Verdict::SignedOut } else { Verdict::Wiped }
    }

    fn reapply_puts(&mut self) {
        for (id, put) in std::mem::take(&mut self.journal.puts) {
            let Some(entry) = self.journal.entries.entry(&id) else { continue };
            match self.reapply(put, &entry) {
                Some(put) => drop(self.journal.puts.insert(id, put)),
                None => self.journal.is_changed = true,
            }
        }
    }

    /// Does what is to be done about one entry; `None`: nothing waits for it any more.
    fn reapply(&mut self, mut put: Put, entry: &Entry) -> Option<Put> {
        let standing = self.cache.standing(entry, &|secret| {
            let hash = hash(secret);
            put.replaced.contains(&hash) || self.journal.is_signed_out(&hash)
        });
        if self.is_signed_out(entry) {
            if put.was_put_back && standing == Standing::Stands {
                self.document.remove(&entry.id);
                self.done.removed_again += 1;
            }
            return None;
        }
        match standing {
            Standing::Superseded => None,
            Standing::Stands => (age(put.at, self.now) < CONFIRMED_AFTER).then_some(put),
            Standing::Gone { .. } if is_expired(entry, self.now) => None,
            Standing::Gone { stale } => {
                for id in &stale {
                    self.document.remove(id);
                }
                self.document.put(entry);
                self.done.put_back += 1;
                self.journal.is_changed |= !put.was_put_back;
                put.was_put_back = true;
                Some(put)
            }
        }
    }

    fn reapply_removals(&mut self) {
        for removal in &self.journal.removals {
            let (home_account_id, environment) = (&*removal.home_account_id, &*removal.environment);
            let credentials = self.cache.credentials_of(home_account_id, environment);
            let (ours, others): (Vec<_>, Vec<_>) =
                credentials.into_iter().partition(|(_, secret)| removal.secrets.contains(&hash(secret)));
            for (id, _) in &ours {
                // One of ours may stand in its place by now.
                let stands = self.document.entry(id).and_then(|entry| secret_hash(&entry));
                if stands.is_some_and(|stands| removal.secrets.contains(&stands)) {
                    self.document.remove(id);
                    self.done.removed_again += 1;
                }
            }
            // With tokens of a later sign-in, the account is there by right.
            if !removal.is_back && others.is_empty() && self.cache.holds_account(home_account_id, environment) {
                let environments = self.journal.environments.aliases(environment);
                self.document.remove_account(home_account_id, &environments);
                self.done.removed_again += 1;
            }
        }
    }

    /// Puts back what the copy holds and the damaged document does not.
    fn restore(&mut self) {
        if self.journal.copied_at.is_none() {
            return;
        }
        for entry in self.journal.entries.clone().into_entries() {
            let is_missing = matches!(self.cache.standing(&entry, &|_| false), Standing::Gone { .. });
            let is_put_back = self.journal.puts.contains_key(&entry.id);
            if is_missing && !is_put_back && !is_expired(&entry, self.now) && !self.is_signed_out(&entry) {
                self.document.put(&entry);
                self.done.restored += 1;
            }
        }
    }

    fn is_signed_out(&self, entry: &Entry) -> bool {
        let account = entry.account.as_ref();
        account.and_then(|account| self.verdicts.get(account)) == Some(&Verdict::SignedOut)
    }
}

/// What the journal knows of an account.
#[derive(Default)]
struct Known {
    /// The applications that we have written its entries for; of an account that only the copy knows, all of its cloud.
    clients: Vec<Box<str>>,
    /// Whether app metadata of one of them stood.
    had_metadata: bool,
    /// Refresh tokens of these applications that were there long before the last write: what drops a new entry leaves
    /// these alone.
    settled: Vec<Entry>,
}

fn is_expired(entry: &Entry, now: UnixMillis) -> bool {
    entry.expires_on.is_some_and(|end| end < now.to_seconds())
}
