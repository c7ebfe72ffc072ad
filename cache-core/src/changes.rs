//! The unit of every write: puts and removals of single entries, with the conditions under which they apply.

use std::fmt;
use std::sync::Arc;

use crate::entry::{Entry, EntryId, Version};

/// Changes to the entries of one partition, applied in order, all or nothing. Cheap to clone.
///
/// Applying the same changes twice gives the same result as once, so that a retry after a time-out is safe.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    list: Arc<Vec<Change>>,
    fence: Option<Fence>,
}

/// The fence of a lease. Fences of one name rise with every lease; those of different names say nothing of each other,
/// since their holders work at the same time.
#[derive(Clone, PartialEq, Eq)]
pub struct Fence {
    /// The name of the lease.
    pub lease: Arc<str>,
    /// What [`LeaseHandle::fence`](crate::LeaseHandle::fence) gave.
    pub number: u64,
}

/// One change to one entry, or to all entries of one account.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes an entry.
    Put {
        /// The entry to write.
        entry: Entry,
        /// The version that this writer saw: if it is still the one stored, the put applies whatever the clocks say.
        replaces: Option<Version>,
        /// What must be in the store for the put to apply.
        guard: Option<Guard>,
    },
    /// Deletes an entry.
    Remove {
        /// The entry to delete.
        id: EntryId,
        /// Delete only if this version is the one stored.
        if_match: Option<Version>,
    },
    /// Deletes every entry of an account in these environments, whoever wrote it and whenever.
    RemoveAccount {
        /// The account's home account id, compared exactly.
        home_account_id: Arc<str>,
        /// The host names of the cloud, compared ignoring case and port.
        environments: Arc<[Box<str>]>,
    },
}

/// A condition on a put: it applies only while this is in the store. So a refresh that began before a sign-out cannot
/// bring the account back.
#[derive(Clone, PartialEq, Eq)]
pub enum Guard {
    /// Some `Account` entry of this account in one of these environments.
    Account {
        /// The account's home account id, compared exactly.
        home_account_id: Arc<str>,
        /// The host names of the cloud, compared ignoring case and port.
        environments: Arc<[Box<str>]>,
    },
    /// This entry, in whatever version.
    Entry(EntryId),
}

/// What a commit did.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The partition's stamp before the commit; `None`: it held nothing.
    pub before: Option<Version>,
    /// The partition's stamp after the commit; `None`: it holds nothing. Equal to `before` if nothing changed.
    pub after: Option<Version>,
    /// Changes that did not apply, each with its reason.
    pub skipped: Vec<(EntryId, Skip)>,
    /// The version that each put which did apply has in the store now, in the order of the changes.
    pub written: Vec<(EntryId, Version)>,
    /// Whether the store changed entries beyond those changes, as a [write profile](crate::Profile) does: a copy of the
    /// partition that the changes were made on is then not what is stored.
    pub others_changed: bool,
}

/// Why a change did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Put: the store holds an entry that is newer, or that changed since this writer saw it.
    NewerPresent,
    /// Put: what its guard names is not in the store.
    GuardGone,
    /// Remove: the version to match is not the one stored.
    NoMatch,
    /// Every change of a commit whose fence is lower than one seen of the same lease.
    Fenced,
}

impl Changes {
    /// These changes, in this order.
    pub fn new(list: Vec<Change>) -> Self {
        Self { list: Arc::new(list), fence: None }
    }

    /// The same changes under the fence of the lease of this name: a store that has seen a higher fence of it in this
    /// partition applies none of them.
    #[must_use]
    pub fn with_fence(mut self, lease: impl Into<Arc<str>>, number: u64) -> Self {
        self.fence = Some(Fence { lease: lease.into(), number });
        self
    }

    /// The changes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.list.iter()
    }

    /// The fence of the lease that these changes were made under.
    pub fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// The same changes under the same fence, each as `change` gives it.
    pub(crate) fn map(&self, change: impl FnMut(&Change) -> Change) -> Self {
        Self { list: Arc::new(self.iter().map(change).collect()), fence: self.fence.clone() }
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether entries may be gone after these changes that were there before.
    pub fn remove_any(&self) -> bool {
        self.iter().any(|change| matches!(change, Change::Remove { .. } | Change::RemoveAccount { .. }))
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

impl From<Vec<Change>> for Changes {
    fn from(list: Vec<Change>) -> Self {
        Self::new(list)
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Change {
    /// A put without any condition.
    pub fn put(entry: Entry) -> Self {
        Self::Put { entry, replaces: None, guard: None }
    }

    /// A removal without any condition.
    pub fn remove(id: EntryId) -> Self {
        Self::Remove { id, if_match: None }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { entry, replaces, guard } => f
                .debug_struct("Put")
                .field("id", &entry.id)
                .field("replaces", replaces)
                .field("guard", guard)
                .finish_non_exhaustive(),
            Self::Remove { id, if_match } => {
                f.debug_struct("Remove").field("id", id).field("if_match", if_match).finish()
            }
            Self::RemoveAccount { environments, .. } => {
                f.debug_struct("RemoveAccount").field("environments", environments).finish_non_exhaustive()
            }
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Leases may be named by what their holders spend.
        write!(f, "Fence({})", self.number)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { .. } => f.write_str("Account(..)"),
            Self::Entry(id) => write!(f, "Entry({id:?})"),
        }
    }
}
