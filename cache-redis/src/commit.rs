//! A commit: what its changes are for the script that merges them, and what the script says it did.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cache_core::merge::Merged;
use cache_core::{
    Change, Changes, Committed, Entry, EntryId, Error, ErrorKind, Guard, PartitionKey, Protection, Result, Skip,
    Version, blocking_work,
};
use cache_crypto::rows::{PartitionTag, SealedEntry, Tag, kind, random, seal_name, seal_value};
use futures_util::future::{try_join_all, try_join3};

use crate::NAME;
use crate::error::unexpected;
use crate::head::{Head, Presence, emptied};
use crate::inner::Inner;
use crate::listing::{list, list_account};
use crate::reading::texts;
use crate::script::COMMIT;
use crate::stored;

/// Whoever empties the server again and again is not written to for ever.
const TRIES: usize = 5;

/// Merges `changes`, which were [checked](check()), into the partition.
pub(crate) async fn commit(inner: &Arc<Inner>, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
    let nothing = Committed { before: None, after: None, skipped: vec![], written: vec![], others_changed: false };
    // Nothing is made to remove something from it.
    let puts = changes.iter().any(|change| matches!(change, Change::Put { .. }));
    inner.prepared.get_or_try_init(|| prepare(&inner.settings.protection)).await?;
    for _ in 0..TRIES {
        let head = if puts || changes.fence().is_some() {
            inner.head().find_or_make().await?
        } else {
            match inner.head().find().await? {
                Some(head) => head,
                None => return Ok(nothing),
            }
        };
        let merging = Merging { inner, head: &head, partition, tag: inner.tag(&head, partition) };
        if let Some(done) = merging.run(changes).await? {
            // What is not there may be there under other names.
            let is_there = done.before.is_some() || done.after.is_some();
            if is_there || !inner.head().is_superseded(&head, Duration::ZERO).await? {
                return Ok(done);
            }
        }
    }
    Err(emptied())
}

/// `TooLarge`, `InvalidInput`: the server would not take these.
pub(crate) fn check(changes: &Changes) -> Result<()> {
    if changes.len() > MOST {
        return Err(Error::new(ErrorKind::TooLarge, "a commit has more than 100,000 changes; nothing was written"));
    }
    if changes.fence().is_some_and(|fence| fence.number > HIGHEST_FENCE) {
        return Err(Error::new(ErrorKind::InvalidInput, "a fence beyond 2^52 is none that this store has given"));
    }
    Ok(())
}

/// Has the key that entries are sealed with, which may take long.
async fn prepare(protection: &Protection) -> Result<()> {
    let protection = protection.clone();
    blocking_work::run(move || protection.protector().map_or(Ok(()), |protector| protector.prepare(None))).await
}

/// A commit by the names of one head.
struct Merging<'a> {
    inner: &'a Arc<Inner>,
    head: &'a Arc<Head>,
    partition: &'a PartitionKey,
    tag: PartitionTag,
}

impl Merging<'_> {
    /// `None`: these are not the store's names any more.
    async fn run(&self, changes: &Changes) -> Result<Option<Committed>> {
        let keys = self.keys(changes);
        let mut arguments = self.arguments(changes)?;
        let mut until = b"0".to_vec();
        for _ in 0..TRIES {
            let answer = texts(COMMIT.run(&self.inner.link, &keys, &arguments).await?)?;
            match &answer[..] {
                [done, before, after, outcome, dropped] => {
                    // The server may have been emptied just before: others must find it also then.
                    let is_listed = !arguments[LISTED].is_empty() && !after.is_empty();
                    if is_listed && !self.is_findable(changes, &until).await? {
                        return Ok(None);
                    }
                    let others_changed = !dropped.is_empty();
                    let (is_fenced, stamps) = (done == b"fenced", [before, after]);
                    let done = self.committed(changes, is_fenced, stamps, outcome)?;
                    return Ok(Some(Committed { others_changed, ..done }));
                }
                [verb, time, latest] if verb == b"list" => {
                    until.clone_from(latest);
                    // From now on others must find it, and by these names.
                    if !self.is_findable(changes, &until).await? {
                        return Ok(None);
                    }
                    arguments[LISTED] = [time, &b" "[..], latest].concat();
                }
                _ => return Err(unexpected()),
            }
        }
        Err(emptied())
    }

    /// Whether others find the partition: by these names, in the list, and `until` then by the accounts that the changes put.
    async fn is_findable(&self, changes: &Changes, until: &[u8]) -> Result<bool> {
        let head = self.inner.head();
        let accounts: HashSet<Tag> = changes.iter().filter_map(|change| self.account_anywhere(change)).collect();
        let accounts = accounts.iter().map(|account| list_account(self.inner, account, &self.tag.0, until));
        let listed = try_join3(head.put_back(self.head), list(self.inner, &self.tag.0), try_join_all(accounts));
        let (presence, (), _) = listed.await?;
        Ok(presence == Presence::There)
    }

    fn account_anywhere(&self, change: &Change) -> Option<Tag> {
        let Change::Put { entry, .. } = change else { return None };
        entry.account.as_ref().map(|account| self.head.index.account_anywhere(&account.home_account_id))
    }

    /// Of the partition, and of the lease whose fence the commit carries.
    fn keys(&self, changes: &Changes) -> Vec<Vec<u8>> {
        let prefix = &self.inner.settings.prefix;
        let lease = changes.fence().map(|fence| self.head.index.lease(self.tag, &fence.lease));
        let lease = lease.map(|lease| prefix.lease(self.tag, &lease));
        [prefix.partition(&self.tag.0), prefix.expiries(&self.tag.0)].into_iter().chain(lease).collect()
    }

    fn arguments(&self, changes: &Changes) -> Result<Vec<Vec<u8>>> {
        let settings = &self.inner.settings;
        let mut generation = [0; 16];
        random(&mut generation)?;
        let name = seal_name(NAME, settings.protection.protector(), self.partition)?;
        let mut arguments = vec![
            self.inner.script_clock(),
            generation.to_vec(),
            name,
            Vec::new(), // LISTED
            changes.fence().map_or_else(Vec::new, |fence| fence.number.to_string().into()),
            settings.kept_for.as_millis().to_string().into(),
            settings.most_entries.map_or_else(Vec::new, |most| most.to_string().into()),
        ];
        for change in changes {
            match change {
                Change::Put { entry, replaces, guard } => {
                    let tag = self.entry(&entry.id);
                    arguments.extend([
                        b"p".to_vec(),
                        tag.to_vec(),
                        self.seal(entry, &tag)?,
                        replaces.as_ref().map_or_else(Vec::new, version),
                        guard.as_ref().map_or_else(Vec::new, |guard| self.guard(guard)),
                        self.inner.unreadable.get(self.tag, tag).map_or_else(Vec::new, Into::into),
                    ]);
                }
                Change::Remove { id, if_match } => arguments.extend([
                    b"r".to_vec(),
                    self.entry(id).to_vec(),
                    if_match.as_ref().map_or_else(Vec::new, version),
                ]),
                Change::RemoveAccount { home_account_id, environments } => {
                    arguments.extend([b"a".to_vec(), self.accounts(home_account_id, environments)]);
                }
            }
        }
        Ok(arguments)
    }

    fn seal(&self, entry: &Entry, tag: &Tag) -> Result<Vec<u8>> {
        let index = &self.head.index;
        let account = index.account_of(self.tag, entry);
        let terms: Vec<Tag> = entry.lookup_terms().iter().map(|term| index.term(self.tag, term)).collect();
        let protector = self.inner.settings.protection.protector();
        let sealed = SealedEntry {
            account,
            written_at: entry.written_at,
            expires_on: entry.expires_on,
            version: index.version(self.tag, entry),
            value: seal_value(NAME, protector, self.partition, tag, account.as_ref(), entry)?,
        };
        let stored = stored::encode(kind(entry.id.section()), &sealed, &terms);
        stored
            .ok_or_else(|| Error::new(ErrorKind::TooLarge, "an entry has more than 65,535 scopes; nothing was written"))
    }

    fn guard(&self, guard: &Guard) -> Vec<u8> {
        match guard {
            Guard::Account { home_account_id, environments } => {
                [&b"a"[..], &self.accounts(home_account_id, environments)].concat()
            }
            Guard::Entry(id) => [&b"e"[..], &self.entry(id)].concat(),
        }
    }

    /// The tags of the account in each of these environments, one after the other.
    fn accounts(&self, home_account_id: &str, environments: &[Box<str>]) -> Vec<u8> {
        // An entry that names no host goes with its user in any cloud.
        let hosts = environments.iter().map(|environment| &**environment).chain([""]);
        let tags: Vec<Tag> = hosts.map(|host| self.head.index.account(self.tag, home_account_id, host)).collect();
        tags.concat()
    }

    fn entry(&self, id: &EntryId) -> Tag {
        self.head.index.entry(self.tag, id)
    }

    fn committed(
        &self,
        changes: &Changes,
        is_fenced: bool,
        stamps: [&Vec<u8>; 2],
        outcome: &[u8],
    ) -> Result<Committed> {
        let [before, after] = stamps.map(|stamp| (!stamp.is_empty()).then(|| Version::new(stamp)));
        if is_fenced {
            let Merged { skipped, written } = Merged::fenced(changes);
            return Ok(Committed { before, after, skipped, written, others_changed: false });
        }
        if outcome.len() != changes.len() {
            return Err(unexpected());
        }
        let (mut skipped, mut written) = (Vec::new(), Vec::new());
        for (change, outcome) in changes.iter().zip(outcome) {
            let (Change::Put { entry: Entry { id, .. }, .. } | Change::Remove { id, .. }) = change else { continue };
            match outcome {
                b'.' => {}
                b'n' => skipped.push((id.clone(), Skip::NewerPresent)),
                b'g' => skipped.push((id.clone(), Skip::GuardGone)),
                b'm' => skipped.push((id.clone(), Skip::NoMatch)),
                _ => return Err(unexpected()),
            }
            if let (Change::Put { entry, .. }, b'.') = (change, outcome) {
                written.push((id.clone(), Version::new(&self.head.index.version(self.tag, entry))));
            }
        }
        // As `cache_core::merge` tells it: nothing of an entry that another change of this commit did not apply to.
        let not_applied: HashSet<EntryId> = skipped.iter().map(|(id, _)| id.clone()).collect();
        written.retain(|(id, _)| !not_applied.contains(id));
        Ok(Committed { before, after, skipped, written, others_changed: false })
    }
}

/// A request has at most 1,048,576 parts (redis/redis, src/networking.c), a change up to six.
const MOST: usize = 100_000;
/// Numbers in scripts are exact up to twice as much: there is room for the fences after it.
const HIGHEST_FENCE: u64 = 1 << 52;

/// The place of the time that was answered before the partition was listed, among the arguments.
const LISTED: usize = 3;

/// The version as it is stored. One that this store has not given is none that is stored.
fn version(version: &Version) -> Vec<u8> {
    const NONE: &[u8] = b"none";
    version.as_bytes().unwrap_or(NONE).to_vec()
}
