//! What was changed since the cache was loaded: one change per entry, however often it was touched.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::changes::{Change, Guard};
use crate::entry::{Entry, EntryId, Version};
use crate::environment::host_of;
use crate::text::eq_ignore_case;

#[derive(Clone, Default)]
pub(super) struct Journal {
    changes: Vec<Option<Change>>,
    /// Where the change of an entry stands.
    latest: HashMap<EntryId, usize, RandomState>,
    /// Whether an account was removed; in most updates none is.
    removes_accounts: bool,
}

impl Journal {
    /// Notes a put of an entry that the store held in the version `replaces`.
    pub(super) fn put(&mut self, entry: Entry, replaces: Option<Version>, guard: Option<Guard>) {
        let id = entry.id.clone();
        // What the store held of an account is no condition once it is removed: what comes now signs it in again.
        let guard = guard.filter(|_| !self.removes_account_of(&entry));
        let at = self.latest.get(&id).copied();
        // The first change of this entry knows what the store held.
        let (guard, replaces) = match at.and_then(|at| self.changes[at].take()) {
            // A put that needed no guard once needs none.
            Some(Change::Put { guard: before, replaces: held, .. }) => (before.and(guard), held),
            Some(Change::Remove { if_match: held, .. }) => (guard, held),
            _ => (guard, replaces),
        };
        self.note(id, Change::Put { entry, replaces, guard });
    }

    /// Notes the removal of an entry that the store held in the version `if_match`; `None`: not at all.
    pub(super) fn remove(&mut self, id: EntryId, if_match: Option<Version>) {
        let at = self.latest.get(&id).copied();
        let held = match at.and_then(|at| self.changes[at].take()) {
            Some(Change::Put { replaces: held, .. } | Change::Remove { if_match: held, .. }) => held,
            _ => if_match,
        };
        match held {
            Some(version) => self.note(id.clone(), Change::Remove { id, if_match: Some(version) }),
            None => {
                self.latest.remove(&id);
            }
        }
    }

    /// Notes the removal of an account, which takes everything of it that the store holds by then. Puts of its own entries,
    /// `ids`, that are new to the store do not matter any more. Others stay, since the store may hold what they replace for
    /// another account.
    pub(super) fn remove_account(&mut self, home_account_id: &str, environments: Arc<[Box<str>]>, ids: &[EntryId]) {
        for id in ids {
            let at = self.latest.get(id).copied();
            if let Some(at) = at.filter(|at| matches!(self.changes[*at], Some(Change::Put { replaces: None, .. }))) {
                self.changes[at] = None;
                self.latest.remove(id);
            }
        }
        self.removes_accounts = true;
        self.changes.push(Some(Change::RemoveAccount { home_account_id: home_account_id.into(), environments }));
    }

    /// Replaces the entry of a put that is noted.
    pub(super) fn amend(&mut self, new: Entry) {
        let at = self.latest.get(&new.id).copied();
        if let Some(Change::Put { entry, .. }) = at.and_then(|at| self.changes[at].as_mut()) {
            *entry = new;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.iter().all(Option::is_none)
    }

    /// The ids of the entries that are put.
    pub(super) fn puts(&self) -> impl Iterator<Item = &EntryId> {
        self.changes.iter().flatten().filter_map(|change| match change {
            Change::Put { entry, .. } => Some(&entry.id),
            _ => None,
        })
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().flatten().collect()
    }

    fn removes_account_of(&self, entry: &Entry) -> bool {
        let Some(account) = entry.account.as_ref().filter(|_| self.removes_accounts) else { return false };
        let host = host_of(&account.environment);
        self.changes.iter().flatten().any(|change| match change {
            Change::RemoveAccount { home_account_id, environments } => {
                let is_there = environments.iter().any(|environment| eq_ignore_case(host_of(environment), host));
                is_there && *home_account_id == account.home_account_id
            }
            _ => false,
        })
    }

    /// At the end, also where an earlier change of the entry stood elsewhere: the store makes the changes in this order,
    /// and one between the two may remove the account, or need the entry as its guard.
    fn note(&mut self, id: EntryId, change: Change) {
        while self.changes.pop_if(|change| change.is_none()).is_some() {}
        self.latest.insert(id, self.changes.len());
        self.changes.push(Some(change));
    }
}
