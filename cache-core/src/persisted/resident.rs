//! The partitions that are kept in memory, bounded in bytes.
//!
//! A look takes no lock and writes nothing that another thread reads, so that looks do not slow each other down,
//! whatever their number. The partitions lie in a hash table of fixed length. What is in a bucket never changes: the
//! whole bucket is exchanged behind an atomic pointer. A look keeps alive what it looks at, and content that was
//! replaced is freed, and its secrets wiped, when the last look at it ends. Whoever exchanges buckets holds the ledger,
//! which is locked for no I/O.
//!
//! At the bound, a clock hand goes round the table and takes out what was not used since it last came by. A look marks
//! what it uses; it writes the mark only where it is missing, which is once per turn of the hand.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

use super::loaded::Loaded;
use crate::changes::Changes;
use crate::observe::ResidentMetrics;
use crate::partition::PartitionKey;

/// Loaded partitions; those that nobody uses leave when the bound is reached. A partition larger than the bound is
/// never kept, and so is loaded at every look.
pub(super) struct Resident {
    places: Box<[Place]>,
    /// How often the store told that any partition may have changed.
    notices: AtomicU64,
    hashing: RandomState,
    bound: u64,
    ledger: Mutex<Ledger>,
    metrics: ResidentMetrics,
}

/// One place of the table.
#[derive(Default)]
struct Place {
    bucket: ArcSwapOption<Bucket>,
    /// How often the store told that a partition of this place has changed. It stays when the partitions leave, so that
    /// content which was under way when the notice came is known to be from before it.
    notices: AtomicU64,
}

/// The partitions of one place of the table, in no order; mostly one.
type Bucket = Vec<Arc<Loaded>>;

/// What a change of the table took out of it. Made before the ledger is locked, so that it is dropped after that: to
/// wipe a large partition takes long.
type Displaced = Vec<Arc<Bucket>>;

struct Ledger {
    bytes: u64,
    partitions: usize,
    /// The bucket that the clock hand comes to next.
    hand: usize,
    /// Counts what makes loaded content old: commits and removals of this process. Partitions share counters, by which
    /// now and then one is not kept that could be.
    epochs: [u64; EPOCHS],
}

const EPOCHS: usize = 64;

/// The moment before an operation on the store: what it brings is kept only if nothing else happened since.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    at: usize,
    epoch: u64,
}

/// A commit or removal under way. Whatever becomes of it, content that was loaded before is not fresh any more.
pub(super) struct Write<'r> {
    resident: &'r Resident,
    partition: &'r PartitionKey,
    began: Moment,
    /// Whether content from before may answer in an outage if nobody knows what became of it.
    removes: bool,
    is_over: bool,
}

impl Resident {
    pub(super) fn bounded(bytes: u64) -> Self {
        /// A partition of one token: with these alone there is one in a bucket.
        const SMALL: u64 = 4 * 1024;
        let places = usize::try_from(bytes / SMALL).unwrap_or(usize::MAX).clamp(16, 1 << 20).next_power_of_two();
        Self {
            places: std::iter::repeat_with(Place::default).take(places).collect(),
            notices: AtomicU64::new(0),
            hashing: RandomState::default(),
            bound: bytes,
            ledger: Mutex::new(Ledger { bytes: 0, partitions: 0, hand: 0, epochs: [0; EPOCHS] }),
            metrics: ResidentMetrics::register(),
        }
    }

    /// The partition's content, to be held on to.
    pub(super) fn get(&self, partition: &PartitionKey) -> Option<Arc<Loaded>> {
        self.look(partition, Arc::clone)
    }

    /// What `look` says of the partition's content. What it looks at is not freed before it ends, so that it must not
    /// wait for anything.
    pub(super) fn look<R>(&self, partition: &PartitionKey, look: impl FnOnce(&Arc<Loaded>) -> R) -> Option<R> {
        self.look_and_notices(partition, |loaded, _| look(loaded))
    }

    /// The same with the number of notices that had come before the look.
    pub(super) fn look_and_notices<R>(
        &self,
        partition: &PartitionKey,
        look: impl FnOnce(&Arc<Loaded>, u64) -> R,
    ) -> Option<R> {
        let place = &self.places[self.place(partition)];
        let notices = self.notices_of(place);
        let bucket = place.bucket.load();
        let loaded = bucket.as_ref()?.iter().find(|loaded| loaded.partition == *partition)?;
        loaded.mark_used();
        Some(look(loaded, notices))
    }

    /// How many notices have come that the partition may have changed. Partitions of one place share them, by which now and
    /// then one is validated that has not changed.
    pub(super) fn notices(&self, partition: &PartitionKey) -> u64 {
        self.notices_of(&self.places[self.place(partition)])
    }

    /// Takes a notice that the partition may have changed: what is there of it, and what is under way, is to be validated.
    /// It is not known to be old, since the notice may be of a commit that it came from.
    pub(super) fn notice(&self, partition: &PartitionKey) {
        self.places[self.place(partition)].notices.fetch_add(1, Ordering::Release);
    }

    /// The same of all partitions.
    pub(super) fn notice_all(&self) {
        self.notices.fetch_add(1, Ordering::Release);
    }

    /// The present moment, for [`keep`](Self::keep).
    pub(super) fn moment(&self, partition: &PartitionKey) -> Moment {
        let at = self.place(partition) % EPOCHS;
        Moment { at, epoch: self.ledger().epochs[at] }
    }

    /// Keeps what was loaded, unless something was written since `began`, or what is there was found to be the store's
    /// at a later time than this.
    pub(super) fn keep(&self, loaded: &Arc<Loaded>, began: Moment) {
        let mut displaced = Displaced::new();
        self.keep_by(&mut self.ledger(), &mut displaced, loaded, began);
    }

    /// The same if what is there of the partition is still `seen`; answers whether it was.
    pub(super) fn keep_instead(&self, seen: Option<&Arc<Loaded>>, loaded: &Arc<Loaded>, began: Moment) -> bool {
        let mut displaced = Displaced::new();
        let mut ledger = self.ledger();
        let is_seen = |present: &Arc<Loaded>| seen.is_some_and(|seen| Arc::ptr_eq(present, seen));
        let unchanged = self.look(&loaded.partition, is_seen).unwrap_or(seen.is_none());
        if unchanged {
            self.keep_by(&mut ledger, &mut displaced, loaded, began);
        }
        unchanged
    }

    /// Forgets content that turned out to be old, and keeps `anew` in its place, unless it has been replaced already.
    /// What a commit of ours left or will leave is not displaced: it has replaced the old content, or will replace `anew`.
    pub(super) fn forget(&self, old: &Arc<Loaded>, anew: Option<&Arc<Loaded>>) {
        let mut displaced = Displaced::new();
        let mut ledger = self.ledger();
        let is_there = self.look(&old.partition, |present| Arc::ptr_eq(present, old)) == Some(true);
        match anew {
            Some(anew) if is_there => self.put(&mut ledger, &mut displaced, anew),
            _ => self.take_out(&mut ledger, &mut displaced, self.place(&old.partition), |one| Arc::ptr_eq(one, old)),
        }
    }

    /// Forgets all content that `leaves`, and what is under way of any.
    pub(super) fn forget_all(&self, leaves: impl Fn(&Loaded) -> bool) {
        self.ledger().epochs.iter_mut().for_each(|epoch| *epoch += 1);
        for at in 0..self.places.len() {
            let leaves = |loaded: &Arc<Loaded>| leaves(loaded);
            // The ledger is not held while all is looked at.
            if self.places[at].bucket.load().iter().flat_map(|bucket| bucket.iter()).any(leaves) {
                let mut displaced = Displaced::new();
                self.take_out(&mut self.ledger(), &mut displaced, at, leaves);
            }
        }
    }

    /// Begins a removal, or a commit that may remove something.
    pub(super) fn write<'r>(&'r self, partition: &'r PartitionKey) -> Write<'r> {
        let at = self.place(partition) % EPOCHS;
        let mut ledger = self.ledger();
        ledger.epochs[at] += 1;
        Write {
            resident: self,
            partition,
            began: Moment { at, epoch: ledger.epochs[at] },
            removes: true,
            is_over: false,
        }
    }

    /// How many partitions there are, and what they take, in bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        let ledger = self.ledger();
        (ledger.partitions, ledger.bytes)
    }

    fn keep_by(&self, ledger: &mut Ledger, displaced: &mut Displaced, loaded: &Arc<Loaded>, began: Moment) {
        let is_late = self.look(&loaded.partition, |present| present.checked_at() > loaded.checked_at()) == Some(true);
        if ledger.epochs[began.at] == began.epoch && !is_late {
            self.put(ledger, displaced, loaded);
        }
    }

    /// Puts `loaded` in the place of what there is of its partition, and makes room for it.
    fn put(&self, ledger: &mut Ledger, displaced: &mut Displaced, loaded: &Arc<Loaded>) {
        let at = self.place(&loaded.partition);
        if loaded.weight() > self.bound {
            return self.take_out(ledger, displaced, at, |other| other.partition == loaded.partition);
        }
        let mut bucket = self.places[at].bucket.load().as_deref().cloned().unwrap_or_default();
        bucket.retain(|other| other.partition != loaded.partition);
        bucket.push(Arc::clone(loaded));
        self.exchange(ledger, displaced, at, bucket);
        self.make_room(ledger, displaced, loaded);
    }

    /// Turns the clock hand until the bound is kept. `newest`, which fits alone, stays.
    fn make_room(&self, ledger: &mut Ledger, displaced: &mut Displaced, newest: &Arc<Loaded>) {
        /// So many marks are honoured at a time: with everything in use, room must be found all the same, and soon.
        const HONOURED: usize = 1000;
        let mut honoured = 0;
        let mut excess = ledger.bytes.saturating_sub(self.bound);
        while excess > 0 {
            let at = ledger.hand;
            ledger.hand = (at + 1) % self.places.len();
            self.take_out(ledger, displaced, at, |loaded| {
                if excess == 0 || Arc::ptr_eq(loaded, newest) {
                    return false;
                }
                if honoured < HONOURED && loaded.take_mark() {
                    honoured += 1;
                    return false;
                }
                excess = excess.saturating_sub(loaded.weight());
                self.metrics.count_eviction();
                true
            });
        }
    }

    /// Takes out of a bucket what `leaves`.
    fn take_out(
        &self,
        ledger: &mut Ledger,
        displaced: &mut Displaced,
        at: usize,
        mut leaves: impl FnMut(&Arc<Loaded>) -> bool,
    ) {
        let present = self.places[at].bucket.load();
        let Some(present) = &*present else { return };
        let leaving: Vec<_> = present.iter().filter(|loaded| leaves(loaded)).map(Arc::as_ptr).collect();
        if !leaving.is_empty() {
            let stays = |loaded: &&Arc<Loaded>| !leaving.contains(&Arc::as_ptr(loaded));
            self.exchange(ledger, displaced, at, present.iter().filter(stays).cloned().collect());
        }
    }

    fn exchange(&self, ledger: &mut Ledger, displaced: &mut Displaced, at: usize, bucket: Bucket) {
        let bytes = |bucket: &Bucket| bucket.iter().map(|loaded| loaded.weight()).sum::<u64>();
        ledger.bytes += bytes(&bucket);
        ledger.partitions += bucket.len();
        let bucket = if bucket.is_empty() { None } else { Some(Arc::new(bucket)) };
        if let Some(old) = self.places[at].bucket.swap(bucket) {
            ledger.bytes -= bytes(&old);
            ledger.partitions -= old.len();
            displaced.push(old);
        }
        self.metrics.set(ledger.partitions, ledger.bytes);
    }

    /// Both numbers only rise: the sum is the same if neither has.
    fn notices_of(&self, place: &Place) -> u64 {
        place.notices.load(Ordering::Acquire) + self.notices.load(Ordering::Acquire)
    }

    fn place(&self, partition: &PartitionKey) -> usize {
        // The length is a power of two.
        self.hashing.hash_one(partition) as usize & (self.places.len() - 1)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write<'_> {
    /// The same of these changes. If they only put, then what is resident stays after a failure: each token in it is as good as
    /// before, but it is not known to be what the store holds.
    pub(super) fn of(mut self, changes: &Changes) -> Self {
        self.removes = changes.remove_any();
        self
    }

    /// Whether no other write of this process has begun or ended between then and the beginning of this one.
    pub(super) fn is_first_since(&self, moment: Moment) -> bool {
        self.began.epoch == moment.epoch + 1
    }

    /// Forgets what is resident: the store holds something else.
    pub(super) fn forget(mut self) {
        self.removes = true;
    }

    /// Keeps the content that the commit left or will leave, unless something else was written since it began.
    pub(super) fn adopt(mut self, loaded: Loaded) {
        let (loaded, mut displaced) = (Arc::new(loaded), Displaced::new());
        let mut ledger = self.resident.ledger();
        let epoch = &mut ledger.epochs[self.began.at];
        if *epoch == self.began.epoch {
            *epoch += 1;
            self.resident.put(&mut ledger, &mut displaced, &loaded);
            self.is_over = true;
        } else if !loaded.is_ahead() {
            // What is here is not what the store holds by now.
            self.removes = true;
        }
        // Before `self`, which may need the ledger.
        drop(ledger);
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut displaced = Displaced::new();
        let mut ledger = self.resident.ledger();
        ledger.epochs[self.began.at] += 1;
        if !self.removes {
            self.resident.look(self.partition, |loaded| loaded.distrust());
            return;
        }
        let at = self.resident.place(self.partition);
        self.resident.take_out(&mut ledger, &mut displaced, at, |loaded| loaded.partition == *self.partition);
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partitions, bytes) = self.size();
        f.debug_struct("Resident").field("partitions", &partitions).field("bytes", &bytes).finish()
    }
}

#[cfg(test)]
mod tests;
