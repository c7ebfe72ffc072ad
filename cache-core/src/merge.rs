//! The merge rules: what each change does to what is stored. One place for every store that holds its entries in
//! memory while it merges; stores that merge elsewhere (SQL, Lua) follow the same table, and the conformance suite holds
//! all of them to it.
//!
//! | change | present in the store | result |
//! |---|---|---|
//! | put | nothing | insert |
//! | put | same content | nothing happens |
//! | put with `replaces` | exactly that version | replace, whatever the clocks say |
//! | put, otherwise | an entry with a newer time | skip: [`NewerPresent`](Skip::NewerPresent) |
//! | put, otherwise | an entry with an older time, or none where the new one has one | replace |
//! | put, otherwise | an entry with a time where the new one has none | skip: `NewerPresent` |
//! | put, otherwise | same time, or neither has one | replace if `replaces` was not given, else skip: `NewerPresent` |
//! | | a time beyond the merging store's clock | counts as that clock: a machine ten minutes ahead freezes nothing |
//! | put with guard | no account entry of that account / that entry gone | skip: [`GuardGone`](Skip::GuardGone), before every other row |
//! | remove | anything | gone; removing what is not there is no error |
//! | remove `if_match` | another version | skip: [`NoMatch`](Skip::NoMatch) |
//! | remove account | entries of that home account id in those environments | gone; other accounts, app metadata and unknown data stay |
//! | fence lower than one seen of the same lease | | skip all: [`Fenced`](Skip::Fenced) |
//! | any | unknown sections, entries not named, unreadable entries | untouched |
//! | the same commit twice | | same result as once |

use crate::changes::{Change, Changes, Guard, Skip};
use crate::entry::{Entry, EntryId, Version};
use crate::time::UnixMillis;

/// The entries of one partition while changes are merged into them.
pub(crate) trait Entries {
    /// What is known of the entry that stands where `entry` wants to go.
    fn facts(&self, entry: &Entry) -> Option<Facts>;
    /// What is known of the entry with this id; `same_content` is not looked at.
    fn facts_of(&self, id: &EntryId) -> Option<Facts>;
    /// Whether there is an `Account` entry of this account in one of these environments.
    fn holds_account(&self, home_account_id: &str, environments: &[Box<str>]) -> bool;
    /// Inserts or replaces.
    fn put(&mut self, entry: &Entry);
    /// Deletes; what is not there is no error.
    fn remove(&mut self, id: &EntryId);
    /// Deletes every entry of this account in these environments.
    fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]);
}

/// All that a rule may know of a stored entry: no rule needs its plaintext.
pub(crate) struct Facts {
    pub(crate) written_at: Option<UnixMillis>,
    pub(crate) version: Version,
    pub(crate) same_content: bool,
}

/// Applies `changes` in order and answers what did not apply. The caller makes it all or nothing.
pub(crate) fn merge(entries: &mut impl Entries, changes: &Changes, now: UnixMillis) -> Vec<(EntryId, Skip)> {
    let mut skipped = Vec::new();
    for change in changes {
        match change {
            Change::Put { entry, replaces, guard } => {
                let skip = if guard.as_ref().is_some_and(|guard| !holds(entries, guard)) {
                    Some(Skip::GuardGone)
                } else {
                    match entries.facts(entry).map(|present| decide(entry, replaces.as_ref(), &present, now)) {
                        Some(Decision::Skip) => Some(Skip::NewerPresent),
                        Some(Decision::Nothing) => None,
                        Some(Decision::Replace) | None => {
                            entries.put(entry);
                            None
                        }
                    }
                };
                skipped.extend(skip.map(|skip| (entry.id.clone(), skip)));
            }
            Change::Remove { id, if_match } => {
                let matches = match (if_match, entries.facts_of(id)) {
                    (Some(version), Some(present)) => present.version == *version,
                    _ => true,
                };
                if matches {
                    entries.remove(id);
                } else {
                    skipped.push((id.clone(), Skip::NoMatch));
                }
            }
            Change::RemoveAccount { home_account_id, environments } => {
                entries.remove_account(home_account_id, environments);
            }
        }
    }
    skipped
}

enum Decision {
    Replace,
    Nothing,
    Skip,
}

fn decide(entry: &Entry, replaces: Option<&Version>, present: &Facts, now: UnixMillis) -> Decision {
    if present.same_content {
        return Decision::Nothing;
    }
    if replaces == Some(&present.version) {
        return Decision::Replace;
    }
    let bounded = |time: Option<UnixMillis>| time.map(|time| time.min(now));
    match (bounded(entry.written_at), bounded(present.written_at)) {
        (Some(new), Some(old)) if new > old => Decision::Replace,
        (Some(new), Some(old)) if new < old => Decision::Skip,
        (Some(_), None) => Decision::Replace,
        (None, Some(_)) => Decision::Skip,
        _ if replaces.is_none() => Decision::Replace,
        _ => Decision::Skip,
    }
}

fn holds(entries: &impl Entries, guard: &Guard) -> bool {
    match guard {
        Guard::Account { home_account_id, environments } => entries.holds_account(home_account_id, environments),
        Guard::Entry(id) => entries.facts_of(id).is_some(),
    }
}
