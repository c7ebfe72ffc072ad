//! Writes that could not be sent, kept until they can be: bounded, and in order within each partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::schema::section;
use cache_core::{Change, Changes, PartitionKey, UnixMillis};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::count::{Count, Share, Size, What};
use crate::turn::Turn;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) changes: usize,
    pub(crate) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes: 10_000, bytes: 16 << 20 }
    }
}

/// How long a write is kept: about as long as an access token lives. What is older would come as a surprise.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// A write to one partition.
#[derive(Clone)]
pub(crate) enum Write {
    Commit(Changes),
    /// Of the whole partition.
    Removal,
}

/// The writes of all partitions that wait.
pub(crate) struct Queue {
    limits: Limits,
    waiting: Mutex<Waiting>,
    emptied: Notify,
    commits: Share,
    bytes: Share,
    /// How many were ever taken in.
    queued: Count,
    /// How many of these were sent.
    replayed: Count,
    /// How many were given up: too old, in the way of what matters more, or refused by the server.
    dropped: Count,
}

/// In the order in which they came, and by what they are looked for.
#[derive(Default)]
struct Waiting {
    next: u64,
    writes: BTreeMap<u64, Queued>,
    lines: HashMap<PartitionKey, Line>,
    /// Those that leave first when there is no room.
    expendable: BTreeSet<u64>,
    weight: Weight,
    expendable_weight: Weight,
}

struct Queued {
    partition: PartitionKey,
    write: Write,
    since: UnixMillis,
    weight: Weight,
}

/// What waits of one partition. The line stays while somebody has its turn or waits for it, empty or not.
#[derive(Default)]
struct Line {
    numbers: VecDeque<u64>,
    turn: Arc<Turn>,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: Mutex::default(),
            emptied: Notify::new(),
            commits: Share::of(Size::QueuedCommits),
            bytes: Share::of(Size::QueuedBytes),
            queued: Count::of(What::Queued),
            replayed: Count::of(What::Replayed),
            dropped: Count::of(What::Dropped),
        }
    }

    /// Keeps the write, as the last one of its partition. `false`: there is no room.
    ///
    /// Writes make room that only put access and ID tokens, the oldest ones first: what they put can be had again.
    pub(crate) fn add(&self, partition: &PartitionKey, write: Write, now: UnixMillis) -> bool {
        self.expire(now);
        let weight = Weight::of(&write);
        // Made before the lock is taken, and so dropped after it: secrets are wiped.
        let mut displaced = Vec::new();
        let mut waiting = self.waiting();
        if !waiting.weight.without(waiting.expendable_weight).and(weight).fits(self.limits) {
            return false;
        }
        while !waiting.weight.and(weight).fits(self.limits) {
            let Some(oldest) = waiting.expendable.first().copied() else { break };
            displaced.extend(waiting.take(oldest));
        }
        let is_first = waiting.writes.is_empty() && displaced.is_empty();
        waiting.push(Queued { partition: partition.clone(), write, since: now, weight });
        self.queued.add_one();
        self.dropped.add(displaced.len() as u64);
        self.show(&waiting);
        drop(waiting);
        if is_first {
            warn!("the server takes no commits; they are queued, and written when it is back");
        }
        warn_dropped(displaced.len(), "there is no room for them");
        true
    }

    /// The first write of the partition that is not too old, and its number.
    pub(crate) fn first(&self, partition: &PartitionKey, now: UnixMillis) -> Option<(u64, Write)> {
        self.expire(now);
        let waiting = self.waiting();
        let number = *waiting.lines.get(partition)?.numbers.front()?;
        let queued = waiting.writes.get(&number)?;
        Some((number, queued.write.clone()))
    }

    /// The write has been sent.
    pub(crate) fn note_sent(&self, number: u64) {
        // It may have had to make room meanwhile.
        if self.take(number, &self.replayed) && self.size().0 == 0 {
            info!("all queued commits are written, or were given up");
        }
    }

    /// The write cannot be sent, now or later.
    pub(crate) fn give_up(&self, number: u64) {
        if self.take(number, &self.dropped) {
            warn_dropped(1, "the server refuses them");
        }
    }

    /// Drops what is too old.
    pub(crate) fn expire(&self, now: UnixMillis) {
        let too_old = {
            let mut waiting = self.waiting();
            let too_old = waiting.take_older(now);
            self.dropped.add(too_old.len() as u64);
            self.show(&waiting);
            too_old
        };
        if !too_old.is_empty() {
            warn_dropped(too_old.len(), "they are too old");
            self.tell_if_empty();
        }
    }

    /// The turn to send what waits of the partition; `None`: nothing does.
    pub(crate) fn turn(&self, partition: &PartitionKey) -> Option<Arc<Turn>> {
        let waiting = self.waiting();
        waiting.lines.get(partition).map(|line| Arc::clone(&line.turn))
    }

    /// Whether it is still the turn of the partition: who waited for one may find that its line is no more.
    pub(crate) fn is_turn(&self, partition: &PartitionKey, turn: &Arc<Turn>) -> bool {
        self.turn(partition).is_some_and(|present| Arc::ptr_eq(&present, turn))
    }

    /// Ends the line of the partition if nothing waits in it. For who has its turn.
    pub(crate) fn end_line(&self, partition: &PartitionKey) {
        let mut waiting = self.waiting();
        if waiting.lines.get(partition).is_some_and(|line| line.numbers.is_empty()) {
            waiting.lines.remove(partition);
        }
    }

    /// Whether some partition has a line.
    pub(crate) fn has_lines(&self) -> bool {
        !self.waiting().lines.is_empty()
    }

    /// The partitions that have a line.
    pub(crate) fn partitions(&self) -> Vec<PartitionKey> {
        self.waiting().lines.keys().cloned().collect()
    }

    /// Whether a write waits that removes something from the partition.
    pub(crate) fn removes_from(&self, partition: &PartitionKey) -> bool {
        let waiting = self.waiting();
        waiting.of(partition).any(Write::removes)
    }

    /// The partitions for which a write waits that puts something of this account.
    pub(crate) fn partitions_with(&self, home_account_id: &str) -> Vec<PartitionKey> {
        let waiting = self.waiting();
        let with = waiting.lines.keys().filter(|of| waiting.of(of).any(|write| write.puts_of(home_account_id)));
        with.cloned().collect()
    }

    /// How many writes wait, and how many bytes they are.
    pub(crate) fn size(&self) -> (usize, usize) {
        let waiting = self.waiting();
        (waiting.writes.len(), waiting.weight.bytes)
    }

    /// The same, with what was ever taken in, was sent, and was given up, at one moment.
    pub(crate) fn account(&self) -> ((usize, usize), [u64; 3]) {
        let waiting = self.waiting();
        let counts = [&self.queued, &self.replayed, &self.dropped].map(Count::get);
        ((waiting.writes.len(), waiting.weight.bytes), counts)
    }

    /// Returns once nothing waits.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.size().0 == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Whether it was there; it counts so before anybody can see that it waits no more.
    fn take(&self, number: u64, counts: &Count) -> bool {
        let taken = {
            let mut waiting = self.waiting();
            let taken = waiting.take(number);
            counts.add(u64::from(taken.is_some()));
            self.show(&waiting);
            taken
        };
        self.tell_if_empty();
        taken.is_some()
    }

    fn tell_if_empty(&self) {
        if self.size().0 == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Shows what waits, for who sees to it that it is still so.
    fn show(&self, waiting: &Waiting) {
        self.commits.set(waiting.writes.len());
        self.bytes.set(waiting.weight.bytes);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn_dropped(writes: usize, why: &str) {
    if writes > 0 {
        warn!(commits = writes, "queued commits are dropped: {why}");
    }
}

impl Waiting {
    /// What waits of the partition, in order.
    fn of(&self, partition: &PartitionKey) -> impl Iterator<Item = &Write> {
        let numbers = self.lines.get(partition).into_iter().flat_map(|line| &line.numbers);
        numbers.filter_map(|number| self.writes.get(number)).map(|queued| &queued.write)
    }

    fn push(&mut self, queued: Queued) {
        let number = self.next;
        self.next += 1;
        self.weight = self.weight.and(queued.weight);
        if queued.write.is_expendable() {
            self.expendable.insert(number);
            self.expendable_weight = self.expendable_weight.and(queued.weight);
        }
        self.lines.entry(queued.partition.clone()).or_default().numbers.push_back(number);
        self.writes.insert(number, queued);
    }

    fn take(&mut self, number: u64) -> Option<Queued> {
        let queued = self.writes.remove(&number)?;
        self.weight = self.weight.without(queued.weight);
        if self.expendable.remove(&number) {
            self.expendable_weight = self.expendable_weight.without(queued.weight);
        }
        if let Some(line) = self.lines.get_mut(&queued.partition) {
            // Mostly the first one.
            line.numbers.retain(|other| *other != number);
            // Who has the turn, or waits for it, holds it too. Nobody can come to do so meanwhile.
            if line.numbers.is_empty() && Arc::strong_count(&line.turn) == 1 {
                self.lines.remove(&queued.partition);
            }
        }
        Some(queued)
    }

    fn take_older(&mut self, now: UnixMillis) -> Vec<Queued> {
        let mut older = Vec::new();
        while let Some((number, queued)) = self.writes.first_key_value()
            && now.since(queued.since) > KEPT_FOR
        {
            let number = *number;
            older.extend(self.take(number));
        }
        older
    }
}

impl Write {
    /// Whether it removes something, if it is there.
    fn removes(&self) -> bool {
        match self {
            Self::Commit(changes) => changes.remove_any(),
            Self::Removal => true,
        }
    }

    /// Whether it puts something of this account.
    fn puts_of(&self, home_account_id: &str) -> bool {
        let is_of = |change: &Change| match change {
            Change::Put { entry, .. } => {
                entry.account.as_ref().is_some_and(|account| *account.home_account_id == *home_account_id)
            }
            Change::Remove { .. } | Change::RemoveAccount { .. } => false,
        };
        match self {
            Self::Commit(changes) => changes.iter().any(is_of),
            Self::Removal => false,
        }
    }

    /// Whether what it puts can be had again from the identity provider without the user.
    fn is_expendable(&self) -> bool {
        let is_put = |change: &Change| match change {
            Change::Put { entry, .. } => [section::ACCESS_TOKEN, section::ID_TOKEN].contains(&entry.id.section()),
            Change::Remove { .. } | Change::RemoveAccount { .. } => false,
        };
        match self {
            Self::Commit(changes) => changes.iter().all(is_put),
            Self::Removal => false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Weight {
    changes: usize,
    bytes: usize,
}

impl Weight {
    /// What a write takes, in bytes about.
    fn of(write: &Write) -> Self {
        /// The places of a change, or of a write, beside its texts.
        const PLACE: usize = 256;
        let Write::Commit(changes) = write else { return Self { changes: 1, bytes: PLACE } };
        let bytes = changes.iter().map(|change| match change {
            Change::Put { entry, .. } => entry.id.section().len() + entry.id.key().len() + entry.json.len() + PLACE,
            Change::Remove { id, .. } => id.section().len() + id.key().len() + PLACE,
            Change::RemoveAccount { home_account_id, environments } => {
                home_account_id.len() + environments.iter().map(|host| host.len()).sum::<usize>() + PLACE
            }
        });
        Self { changes: changes.len(), bytes: bytes.sum::<usize>() + PLACE }
    }

    fn and(self, other: Self) -> Self {
        Self { changes: self.changes.saturating_add(other.changes), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn without(self, other: Self) -> Self {
        Self { changes: self.changes - other.changes, bytes: self.bytes - other.bytes }
    }

    fn fits(self, limits: Limits) -> bool {
        self.changes <= limits.changes && self.bytes <= limits.bytes
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (commits, bytes) = self.size();
        f.debug_struct("Queue").field("commits", &commits).field("bytes", &bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
