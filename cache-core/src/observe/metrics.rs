//! What is counted, for the recorder of the `metrics` facade. Here is the one place that gives names to counts; the table on
//! the crate's page is that of the names.
//!
//! A handle is made for each series when a cache is built. To make one is to look it up by name and labels, behind a lock;
//! to count by one is, with common recorders, to add to an atomic number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{Lookup, Operation};
use crate::changes::{Changes, Committed, Skip};
use crate::error::ErrorKind;

const REQUESTS: &str = "token_cache.requests";
const DURATION: &str = "token_cache.duration";
const ERRORS: &str = "token_cache.errors";
const MERGE: &str = "token_cache.merge";
const L1_BYTES: &str = "token_cache.l1.bytes";
const L1_PARTITIONS: &str = "token_cache.l1.partitions";
const L1_EVICTIONS: &str = "token_cache.l1.evictions";

/// Lookups, and what the store is asked for.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Requests,
    operations: [OperationMetrics; OPERATIONS.len()],
    merge: Merge,
}

impl Metrics {
    /// The handles of the recorder that is installed now.
    pub(super) fn register() -> Self {
        describe_counter!(REQUESTS, Unit::Count, "Lookups of access tokens, by who answered and how.");
        describe_histogram!(DURATION, Unit::Seconds, "How long the store took to answer.");
        describe_counter!(ERRORS, Unit::Count, "Operations of the store that failed.");
        describe_counter!(MERGE, Unit::Count, "Changes that were committed, by what became of them.");
        Self {
            requests: Requests::register(),
            operations: OPERATIONS.map(|(_, name)| OperationMetrics::register(name)),
            merge: Merge::register(),
        }
    }

    pub(super) fn count_lookup(&self, lookup: Lookup) {
        let requests = &self.requests;
        let counter = match lookup {
            Lookup::L1Hit => &requests.l1_hit,
            Lookup::L1Miss => &requests.l1_miss,
            Lookup::L1StaleHit => &requests.l1_stale_hit,
            Lookup::L2Hit => &requests.l2_hit,
            Lookup::L2Miss => &requests.l2_miss,
            Lookup::Failed(kind) => requests.l2_failed.of(kind),
        };
        counter.increment(1);
    }

    pub(super) fn time_answer(&self, operation: Operation, Began(began): Began) {
        self.of(operation).duration.record(began.elapsed());
    }

    pub(super) fn count_failure(&self, operation: Operation, kind: ErrorKind) {
        self.of(operation).errors.of(kind).increment(1);
    }

    pub(super) fn count_merge(&self, changes: &Changes, committed: &Committed) {
        let applied = changes.len().saturating_sub(committed.skipped.len());
        self.merge.applied.increment(applied as u64);
        for (_, why) in &committed.skipped {
            let outcome = match why {
                Skip::NewerPresent => &self.merge.skipped_older,
                Skip::GuardGone => &self.merge.guard_failed,
                Skip::NoMatch => &self.merge.no_match,
                Skip::Fenced => &self.merge.fenced,
            };
            outcome.increment(1);
        }
    }

    fn of(&self, operation: Operation) -> &OperationMetrics {
        &self.operations[operation as usize]
    }
}

/// A moment from which an answer is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(Instant);

impl Began {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }
}

/// What is resident in one cache. Gauges are of the whole process: each cache adds its share, and takes it back when it ends.
#[derive(Debug)]
pub(crate) struct ResidentMetrics {
    bytes: Share,
    partitions: Share,
    evictions: Counter,
}

impl ResidentMetrics {
    /// The handles of the recorder that is installed now.
    pub(crate) fn register() -> Self {
        describe_gauge!(L1_BYTES, Unit::Bytes, "What the resident partitions take, about.");
        describe_gauge!(L1_PARTITIONS, Unit::Count, "Partitions that are resident.");
        describe_counter!(L1_EVICTIONS, Unit::Count, "Partitions that left memory since others needed the room.");
        Self {
            bytes: Share::of(gauge!(L1_BYTES)),
            partitions: Share::of(gauge!(L1_PARTITIONS)),
            evictions: counter!(L1_EVICTIONS),
        }
    }

    /// So much is resident now.
    pub(crate) fn set(&self, partitions: usize, bytes: u64) {
        self.bytes.set(bytes);
        self.partitions.set(partitions as u64);
    }

    pub(crate) fn count_eviction(&self) {
        self.evictions.increment(1);
    }
}

/// What one cache adds to a gauge.
#[derive(Debug)]
struct Share {
    gauge: Gauge,
    present: AtomicU64,
}

impl Share {
    fn of(gauge: Gauge) -> Self {
        // A gauge that nobody has touched may not be shown.
        gauge.increment(0.0);
        Self { gauge, present: AtomicU64::new(0) }
    }

    // Bytes and counts are far below 2^53, up to which the difference is exact.
    #[allow(clippy::cast_precision_loss)]
    fn set(&self, share: u64) {
        let before = self.present.swap(share, Ordering::Relaxed);
        self.gauge.increment(share as f64 - before as f64);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Lookups by level and result: those that there are.
#[derive(Debug)]
struct Requests {
    l1_hit: Counter,
    l1_miss: Counter,
    l1_stale_hit: Counter,
    l2_hit: Counter,
    l2_miss: Counter,
    l2_failed: Failures,
}

impl Requests {
    fn register() -> Self {
        let of = |level: &'static str, result: &'static str| counter!(REQUESTS, "level" => level, "result" => result);
        Self {
            l1_hit: of("l1", "hit"),
            l1_miss: of("l1", "miss"),
            l1_stale_hit: of("l1", "stale_hit"),
            l2_hit: of("l2", "hit"),
            l2_miss: of("l2", "miss"),
            l2_failed: Failures::register(|result| of("l2", result)),
        }
    }
}

/// The values of the label `op`, in the order of the operations.
const OPERATIONS: [(Operation, &str); 6] = [
    (Operation::Load, "load"),
    (Operation::Find, "find"),
    (Operation::Stamp, "stamp"),
    (Operation::Commit, "commit"),
    (Operation::Remove, "remove"),
    (Operation::List, "list"),
];

#[derive(Debug)]
struct OperationMetrics {
    duration: Histogram,
    errors: Failures,
}

impl OperationMetrics {
    fn register(name: &'static str) -> Self {
        Self {
            duration: histogram!(DURATION, "level" => "l2", "op" => name),
            errors: Failures::register(|result| counter!(ERRORS, "op" => name, "result" => result)),
        }
    }
}

/// Failures by what they call for: waiting, a key, a look at the logs.
#[derive(Debug)]
struct Failures {
    unavailable: Counter,
    undecipherable: Counter,
    other: Counter,
}

impl Failures {
    fn register(of: impl Fn(&'static str) -> Counter) -> Self {
        Self { unavailable: of("unavailable"), undecipherable: of("undecipherable"), other: of("error") }
    }

    fn of(&self, kind: ErrorKind) -> &Counter {
        match kind {
            ErrorKind::Unavailable | ErrorKind::Busy => &self.unavailable,
            ErrorKind::Undecryptable | ErrorKind::KeyUnavailable => &self.undecipherable,
            _ => &self.other,
        }
    }
}

/// Changes by what became of them.
#[derive(Debug)]
struct Merge {
    applied: Counter,
    skipped_older: Counter,
    guard_failed: Counter,
    fenced: Counter,
    no_match: Counter,
}

impl Merge {
    fn register() -> Self {
        let of = |outcome: &'static str| counter!(MERGE, "outcome" => outcome);
        Self {
            applied: of("applied"),
            skipped_older: of("skipped_older"),
            guard_failed: of("guard_failed"),
            fenced: of("fenced"),
            no_match: of("no_match"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_stand_in_the_order_of_their_names() {
        for (at, (operation, name)) in OPERATIONS.iter().enumerate() {
            assert_eq!(*operation as usize, at, "{name}");
        }
    }

    #[test]
    fn the_crate_page_has_every_name() {
        let page = include_str!("../lib.rs");
        for name in [REQUESTS, DURATION, ERRORS, MERGE, L1_BYTES, L1_PARTITIONS, L1_EVICTIONS] {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not documented");
        }
    }
}
