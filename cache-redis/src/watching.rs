//! Who keeps copies in memory, and is told which partitions change.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use cache_core::{PartitionKey, Watcher};
use cache_crypto::rows::{PartitionTag, Tag};

use crate::count::{Count, Share, Size, What};
use crate::keys::Prefix;

/// Who watches, and what there is to tell them.
pub(crate) struct Watching {
    prefix: Prefix,
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    is_wanted: AtomicBool,
    known: Mutex<Known>,
    until: Mutex<Option<Instant>>,
    /// 1 while it is said that the servers are watched.
    share: Share,
    pub(crate) notices: Count,
}

/// The partitions that the store was asked for, by their tags: notices show no more than these. Of too many, the one that
/// came first is let go.
#[derive(Default)]
struct Known {
    partitions: HashMap<Tag, PartitionKey>,
    order: VecDeque<Tag>,
}

/// More than are in memory at a time, but for caches with a bound of some hundred MiB.
const MOST: usize = 1 << 17;

impl Watching {
    pub(crate) fn new(prefix: Prefix) -> Self {
        let (watchers, known, until) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (share, notices) = (Share::of(Size::Watching), Count::of(What::Notices));
        Self { prefix, watchers, is_wanted: AtomicBool::new(false), known, until, share, notices }
    }

    pub(crate) fn add(&self, watcher: Weak<dyn Watcher>) {
        lock(&self.watchers).push(watcher);
        self.is_wanted.store(true, Ordering::Release);
    }

    /// Whether anybody watches.
    pub(crate) fn is_wanted(&self) -> bool {
        if !self.is_wanted.load(Ordering::Acquire) {
            return false;
        }
        let mut watchers = lock(&self.watchers);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        let is_wanted = !watchers.is_empty();
        self.is_wanted.store(is_wanted, Ordering::Release);
        is_wanted
    }

    /// Whether the servers are watched at present.
    pub(crate) fn is_watched(&self) -> bool {
        lock(&self.until).is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Knows the partition by its tag from now on. To be called before the server is asked for something of it.
    pub(crate) fn note(&self, tag: PartitionTag, partition: &PartitionKey) {
        if !self.is_wanted.load(Ordering::Acquire) {
            return;
        }
        let let_go = lock(&self.known).note(tag.0, partition, MOST);
        if let Some(partition) = let_go {
            // Its changes will not be told: it is looked at once more, and so known again.
            self.tell(|watcher| watcher.changed(&partition));
        }
    }

    /// A server says that this key has changed.
    pub(crate) fn changed(&self, key: &[u8]) {
        let Some(tag) = self.prefix.partition_of(key) else { return };
        self.notices.add_one();
        let partition = lock(&self.known).partitions.get(&tag).cloned();
        if let Some(partition) = partition {
            self.tell(|watcher| watcher.changed(&partition));
        }
    }

    /// Any key may have changed.
    pub(crate) fn all_changed(&self) {
        self.tell(Watcher::all_changed);
    }

    /// The servers are watched, and will have been for so long from now.
    pub(crate) fn watched_for(&self, duration: Duration) {
        *lock(&self.until) = Instant::now().checked_add(duration);
        self.share.set(usize::from(!duration.is_zero()));
        self.tell(|watcher| watcher.watched_for(duration));
    }

    fn tell(&self, tell: impl Fn(&(dyn Watcher + 'static))) {
        // Not with the lock held: this may be the last hold of a watcher, and drop whatever that owns.
        let watchers: Vec<_> = lock(&self.watchers).iter().filter_map(Weak::upgrade).collect();
        for watcher in watchers {
            tell(&*watcher);
        }
    }
}

impl Known {
    /// Notes a partition; answers the one that was let go for it.
    fn note(&mut self, tag: Tag, partition: &PartitionKey, most: usize) -> Option<PartitionKey> {
        if self.partitions.contains_key(&tag) {
            return None;
        }
        let oldest = if self.order.len() >= most { self.order.pop_front() } else { None };
        self.order.push_back(tag);
        self.partitions.insert(tag, partition.clone());
        self.partitions.remove(&oldest?)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What it was told.
    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Said>>);

    #[derive(Debug, PartialEq)]
    enum Said {
        Changed(PartitionKey),
        AllChanged,
        WatchedFor(Duration),
    }

    impl Watcher for Told {
        fn changed(&self, partition: &PartitionKey) {
            lock(&self.0).push(Said::Changed(partition.clone()));
        }

        fn all_changed(&self) {
            lock(&self.0).push(Said::AllChanged);
        }

        fn watched_for(&self, duration: Duration) {
            lock(&self.0).push(Said::WatchedFor(duration));
        }
    }

    fn tag(n: u8) -> PartitionTag {
        PartitionTag([n; 16])
    }

    fn user(n: u8) -> PartitionKey {
        PartitionKey::user(&n.to_string())
    }

    #[test]
    fn who_watches_is_told_of_known_partitions() {
        let prefix = Prefix::new("p").expect("a prefix");
        let watching = Watching::new(prefix.clone());
        let told = Arc::new(Told::default());
        let watcher: Weak<dyn Watcher> = Arc::<Told>::downgrade(&told);
        watching.note(tag(1), &user(1));
        assert!(!watching.is_wanted(), "nobody watches, and nothing is kept for nobody");
        watching.add(watcher);
        assert!(watching.is_wanted());
        watching.note(tag(2), &user(2));
        for n in [1, 2] {
            watching.changed(&prefix.partition(&tag(n).0));
        }
        watching.changed(&prefix.expiries(&tag(2).0));
        watching.all_changed();
        let some_time = Duration::from_secs(3);
        watching.watched_for(some_time);
        assert!(watching.is_watched());
        watching.watched_for(Duration::ZERO);
        assert!(!watching.is_watched());
        let said =
            [Said::Changed(user(2)), Said::AllChanged, Said::WatchedFor(some_time), Said::WatchedFor(Duration::ZERO)];
        assert_eq!(*lock(&told.0), said);
        assert_eq!(watching.notices.get(), 2);
        drop(told);
        assert!(!watching.is_wanted());
    }

    #[test]
    fn of_too_many_partitions_the_oldest_is_let_go_and_told() {
        let mut known = Known::default();
        for n in 0..3 {
            assert_eq!(known.note([n; 16], &user(n), 3), None);
        }
        assert_eq!(known.note([1; 16], &user(1), 3), None, "it is known already");
        for n in 3..9 {
            assert_eq!(known.note([n; 16], &user(n), 3), Some(user(n - 3)));
            assert_eq!((known.partitions.len(), known.order.len()), (3, 3));
        }
    }
}
