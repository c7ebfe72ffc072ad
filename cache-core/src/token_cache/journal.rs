//! What was changed since the cache was loaded: one change per entry, however often it was touched.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::changes::{Change, Guard};
use crate::entry::{Entry, EntryId, Version};

#[derive(Clone, Default)]
pub(super) struct Journal {
    changes: Vec<Option<Change>>,
    /// Where the change of an entry stands, unless an account was removed after it: order matters across that.
    latest: HashMap<EntryId, usize, RandomState>,
}

impl Journal {
    /// Notes a put of an entry that the store held in the version `replaces`.
    pub(super) fn put(&mut self, entry: Entry, replaces: Option<Version>, guard: Option<Guard>) {
        let id = entry.id.clone();
        let at = self.latest.get(&id).copied();
        // The first change of this entry knows best what the store held.
        let (guard, replaces) = match at.and_then(|at| self.changes[at].as_ref()) {
            Some(Change::Put { guard, .. }) => (guard.clone(), replaces),
            Some(Change::Remove { if_match, .. }) => (guard, replaces.or_else(|| if_match.clone())),
            _ => (guard, replaces),
        };
        self.note(at, id, Change::Put { entry, replaces, guard });
    }

    /// Notes the removal of an entry that the store held in the version `if_match`; `None`: not at all.
    pub(super) fn remove(&mut self, id: EntryId, if_match: Option<Version>) {
        let at = self.latest.get(&id).copied();
        match (at, if_match) {
            (Some(at), None) => {
                self.changes[at] = None;
                self.latest.remove(&id);
            }
            (None, None) => {}
            (at, Some(version)) => self.note(at, id.clone(), Change::Remove { id, if_match: Some(version) }),
        }
    }

    /// Notes the removal of an account, which takes everything of it that the store holds by then.
    pub(super) fn remove_account(&mut self, home_account_id: &str, environments: Arc<[Box<str>]>) {
        self.changes.push(Some(Change::RemoveAccount { home_account_id: home_account_id.into(), environments }));
        self.latest.clear();
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
