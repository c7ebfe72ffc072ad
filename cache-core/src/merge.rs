//! The merge rules: what each change does to what is stored. One place for every store that can be asked about single
//! entries while it merges ([`Entries`]); stores that merge elsewhere (a script inside a server) follow the same table, and
//! the conformance suite holds all of them to it.
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

use std::borrow::Cow;
use std::collections::HashSet;

use crate::changes::{Change, Changes, Guard, Skip};
use crate::entry::{Entry, EntryId, Version};
use crate::environment::host_of;
use crate::time::UnixMillis;

/// The entries of one partition while changes are merged into them: what a store implements to have [`merge`] apply the
/// rules. It is asked about the entries that the changes name, and about no others.
///
/// The store makes it all or nothing: a transaction around the merge, or a copy that replaces the entries afterwards.
pub trait Entries {
    /// What goes wrong while entries are read or written; `Infallible` in memory.
    type Error;

    /// What is known of the entry that stands where `entry` wants to go; `None`: nothing does.
    fn facts(&mut self, entry: &Entry) -> Result<Option<Facts>, Self::Error>;

    /// What is known of the entry with this id; [`same_content`](Facts::same_content) is not looked at.
    fn facts_of(&mut self, id: &EntryId) -> Result<Option<Facts>, Self::Error>;

    /// Whether there is an `Account` entry of this account in one of these environments. Home account ids are compared
    /// exactly, hosts ignoring case and port; an entry that names no host belongs to every environment.
    fn holds_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<bool, Self::Error>;

    /// Inserts or replaces.
    fn put(&mut self, entry: &Entry) -> Result<(), Self::Error>;

    /// Deletes; what is not there is no error.
    fn remove(&mut self, id: &EntryId) -> Result<(), Self::Error>;

    /// Deletes every entry of this account in these environments, compared as
    /// [`holds_account`](Self::holds_account) does; app metadata and unknown data are nobody's.
    fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<(), Self::Error>;

    /// The version that `entry` has, or would have, in this store.
    fn version(&self, entry: &Entry) -> Version;
}

/// All that a rule may know of a stored entry: no rule needs its plaintext.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When it was written, as it says itself.
    pub written_at: Option<UnixMillis>,
    /// Its present version.
    pub version: Version,
    /// Whether it says what the entry asked about says. A store that sees no plaintext may take the same content in
    /// other words for other content.
    pub same_content: bool,
}

/// What a merge did, for [`Committed`](crate::Committed).
#[derive(Debug, Default)]
pub struct Merged {
    /// Changes that did not apply, each with its reason.
    pub skipped: Vec<(EntryId, Skip)>,
    /// The version that each put which did apply has now, in the order of the changes.
    pub written: Vec<(EntryId, Version)>,
}

impl Merged {
    /// Of changes whose fence came too late: none applies.
    pub fn fenced(changes: &Changes) -> Self {
        Self { skipped: changes.iter().map(|change| (id_of(change), Skip::Fenced)).collect(), written: Vec::new() }
    }
}

/// The host by which accounts are compared: of an environment as an entry spells it, in lower case and without its port.
/// Empty: the entry names none.
pub fn account_host(environment: &str) -> Cow<'_, str> {
    let host = host_of(environment);
    // As nearly all writers spell it.
    if host.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(host);
    }
    Cow::Owned(host.chars().flat_map(char::to_lowercase).collect())
}

/// Applies `changes` in order. `now` is the merging store's clock. The first error of `entries` ends it; the caller then
/// undoes what was done.
pub fn merge<E: Entries>(entries: &mut E, changes: &Changes, now: UnixMillis) -> Result<Merged, E::Error> {
    let mut skipped = Vec::new();
    for change in changes {
        let reason = match change {
            Change::Put { entry, replaces, guard } => put(entries, entry, replaces.as_ref(), guard.as_ref(), now)?,
            Change::Remove { id, if_match } => remove(entries, id, if_match.as_ref())?,
            Change::RemoveAccount { home_account_id, environments } => {
                entries.remove_account(home_account_id, environments)?;
                None
            }
        };
        skipped.extend(reason.map(|reason| (id_of(change), reason)));
    }
    let written = written(entries, changes, &skipped);
    Ok(Merged { skipped, written })
}

fn put<E: Entries>(
    entries: &mut E,
    entry: &Entry,
    replaces: Option<&Version>,
    guard: Option<&Guard>,
    now: UnixMillis,
) -> Result<Option<Skip>, E::Error> {
    if let Some(guard) = guard
        && !holds(entries, guard)?
    {
        return Ok(Some(Skip::GuardGone));
    }
    match entries.facts(entry)?.map(|present| decide(entry, replaces, &present, now)) {
        Some(Decision::Skip) => return Ok(Some(Skip::NewerPresent)),
        Some(Decision::Nothing) => {}
        Some(Decision::Replace) | None => entries.put(entry)?,
    }
    Ok(None)
}

fn remove<E: Entries>(entries: &mut E, id: &EntryId, if_match: Option<&Version>) -> Result<Option<Skip>, E::Error> {
    if let Some(version) = if_match
        && entries.facts_of(id)?.is_some_and(|present| present.version != *version)
    {
        return Ok(Some(Skip::NoMatch));
    }
    entries.remove(id)?;
    Ok(None)
}

/// The puts that are not among the skipped ones.
fn written<E: Entries>(entries: &E, changes: &Changes, skipped: &[(EntryId, Skip)]) -> Vec<(EntryId, Version)> {
    let skipped: HashSet<&EntryId> = skipped.iter().map(|(id, _)| id).collect();
    let puts = changes.iter().filter_map(|change| match change {
        Change::Put { entry, .. } => Some(entry),
        _ => None,
    });
    let applied = puts.filter(|entry| !skipped.contains(&entry.id));
    applied.map(|entry| (entry.id.clone(), entries.version(entry))).collect()
}

/// The entry that a skipped change is reported under; a removal of an account has no single one.
fn id_of(change: &Change) -> EntryId {
    match change {
        Change::Put { entry, .. } => entry.id.clone(),
        Change::Remove { id, .. } => id.clone(),
        Change::RemoveAccount { .. } => EntryId::new(crate::schema::section::ACCOUNT, ""),
    }
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

fn holds<E: Entries>(entries: &mut E, guard: &Guard) -> Result<bool, E::Error> {
    match guard {
        Guard::Account { home_account_id, environments } => entries.holds_account(home_account_id, environments),
        Guard::Entry(id) => Ok(entries.facts_of(id)?.is_some()),
    }
}
