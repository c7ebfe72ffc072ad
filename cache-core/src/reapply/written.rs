//! One write of ours: what of it is to be waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::facts::{Holder, Put, hash};
use super::indexed::Indexed;
use super::marker::Generation;
use crate::entry::{AccountRef, Entry, EntryId};
use crate::schema::section;
use crate::time::UnixMillis;
use crate::token_cache::Standing;

/// One write, while the journal takes note of it.
pub(super) struct Written<'a> {
    pub(super) now: UnixMillis,
    pub(super) generation: Generation,
    /// The document before the write.
    pub(super) had: &'a Indexed,
    /// The document after it.
    pub(super) has: &'a Indexed,
    /// What is waited for, each under the id that it stands under.
    pub(super) puts: BTreeMap<EntryId, (Put, Entry)>,
    /// What was waited for until this write has replaced or removed it: it is not to come back.
    pub(super) gone: HashMap<EntryId, Put>,
}

impl Written<'_> {
    /// Goes on waiting for what the write has left in its place.
    pub(super) fn keep(&mut self, mut put: Put, entry: Entry) {
        if let Standing::Stands(id) = self.has.standing(&entry, &|_| false) {
            id.key().clone_into(&mut put.key);
            // Of what was put back, this is the write that does it.
            put.generation = put.generation.min(self.generation);
            self.puts.entry(id).or_insert((put, entry));
        } else {
            self.gone.insert(put.id(), put);
        }
    }

    /// Whether this is an entry that is waited for already: it was put back into the document that this write began
    /// with.
    pub(super) fn is_put_back(&self, entry: &Entry) -> bool {
        self.puts.get(&entry.id).is_some_and(|(_, known)| known.json == entry.json)
    }

    /// Waits for an entry that was written.
    pub(super) fn put(&mut self, entry: &Entry) {
        if !self.may_be_signed_out(entry) {
            return;
        }
        let stays = self.has.secrets_in_place_of(entry);
        let replaced = self.had.secrets_in_place_of(entry).into_iter().filter(|secret| !stays.contains(secret));
        let replaced = replaced.map(|secret| hash(&secret)).collect();
        let mut put = Put::new(entry, self.now.0, self.generation, replaced);
        let earlier = self.puts.remove(&entry.id).map(|(put, _)| put);
        // Nor is that to come back which an earlier one had replaced.
        if let Some(earlier) = earlier.as_ref().or_else(|| self.gone.get(&entry.id)) {
            put.remember_replaced(&earlier.replaced);
        }
        self.puts.insert(entry.id.clone(), (put, entry.clone()));
    }

    /// Waits also for what these entries are of no use without: their accounts, refresh and ID tokens, app metadata.
    pub(super) fn put_context(&mut self, entries: &[Entry]) {
        let mut users: HashMap<Arc<str>, Vec<(AccountRef, Holder)>> = HashMap::new();
        let mut holders: Vec<Holder> = Vec::new();
        for entry in entries.iter().filter(|entry| self.may_be_signed_out(entry)) {
            let Some(account) = &entry.account else { continue };
            let holder = Holder::of(entry);
            if !holders.contains(&holder) {
                holders.push(holder.clone());
            }
            let of_user = users.entry(Arc::clone(&account.home_account_id)).or_default();
            if !of_user.iter().any(|known| known.0 == *account && known.1 == holder) {
                of_user.push((account.clone(), holder));
            }
        }
        if users.is_empty() {
            return;
        }
        let is_context = |other: &Entry| {
            if other.id.section() == section::APP_METADATA {
                let other = Holder::of(other);
                return holders.iter().any(|holder| holder.can_use(&other));
            }
            let Some(account) = &other.account else { return false };
            let of_user = users.get(&account.home_account_id).into_iter().flatten();
            let mut of_user =
                of_user.filter(|(known, _)| self.has.environments().same(&known.environment, &account.environment));
            match other.id.section() {
                section::ACCOUNT => of_user.next().is_some(),
                section::REFRESH_TOKEN | section::ID_TOKEN => {
                    let other = Holder::of(other);
                    of_user.any(|(_, holder)| holder.can_use(&other))
                }
                _ => false,
            }
        };
        let names: Vec<&str> = users.keys().map(|user| &**user).collect();
        let of_users = self.has.entries_naming(&names, [section::ACCOUNT, section::REFRESH_TOKEN, section::ID_TOKEN]);
        let candidates = of_users.chain(self.has.document().entries_of(section::APP_METADATA));
        let context: Vec<Entry> = candidates.filter(is_context).collect();
        for entry in context {
            let put = Put { is_context: true, ..Put::new(&entry, self.now.0, self.generation, Vec::new()) };
            self.puts.entry(entry.id.clone()).or_insert((put, entry));
        }
    }

    /// Whether a sign-out could be told, should there be one: there is an account, or the entry is nobody's.
    fn may_be_signed_out(&self, entry: &Entry) -> bool {
        let account = entry.account.as_ref();
        account.is_none_or(|account| self.has.holds_account(&account.home_account_id, &account.environment))
    }
}
