//! What was changed since the cache was loaded: one change per entry, however often it was touched.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::changes::{Change, Guard};
use crate::entry::{Entry, EntryId, Version};

#[derive(Clone, Default)]
pub(super) struct Journal {
    changes: Vec<Option<Change>>,
    /// Where the change of an entry stands.
    latest: HashMap<EntryId, usize, RandomState>,
}

impl Journal {
    /// Notes a put of an entry that the store held in the version `replaces`.
    pub(super) fn put(&mut self, entry: Entry, replaces: Option<Version>, guard: Option<Guard>) {
        let id = entry.id.clone();
        let at = self.latest.get(&id).copied();
        // The first change of this entry knows best what the store held.
        let (guard, replaces) = match at.and_then(|at| self.changes[at].take()) {
            Some(Change::Put { guard, replaces: held, .. }) => (guard, replaces.or(held)),
            Some(Change::Remove { if_match: held, .. }) => (guard, replaces.or(held)),
            _ => (guard, replaces),
        };
        self.note(at, id, Change::Put { entry, replaces, guard });
    }

    /// Notes the removal of an entry that the store held in the version `if_match`; `None`: not at all.
    pub(super) fn remove(&mut self, id: EntryId, if_match: Option<Version>) {
        let at = self.latest.get(&id).copied();
        let held = match at.and_then(|at| self.changes[at].take()) {
            Some(Change::Put { replaces: held, .. } | Change::Remove { if_match: held, .. }) => held,
            _ => None,
        };
        match if_match.or(held) {
            Some(version) => self.note(at, id.clone(), Change::Remove { id, if_match: Some(version) }),
            None => {
                self.latest.remove(&id);
            }
        }
    }

    /// Notes the removal of an account, which takes everything of it that the store holds by then. Of its own entries,
    /// `ids`, no earlier change matters any more; those of others stay as they are noted.
    pub(super) fn remove_account(&mut self, home_account_id: &str, environments: Arc<[Box<str>]>, ids: &[EntryId]) {
        for at in ids.iter().filter_map(|id| self.latest.remove(id)) {
            self.changes[at] = None;
        }
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

    fn note(&mut self, at: Option<usize>, id: EntryId, change: Change) {
        match at {
            Some(at) => self.changes[at] = Some(change),
            None => {
                self.latest.insert(id, self.changes.len());
                self.changes.push(Some(change));
            }
        }
    }
}
