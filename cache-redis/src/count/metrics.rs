//! What is counted, for the recorder of the `metrics` facade. Here is the one place that gives names to it; the table on the
//! crate's page is that of the names.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::{Size, What};

const UNANSWERED: &str = "token_cache.unanswered";
const CONNECTIONS: &str = "token_cache.connections";
const UNREADABLE: &str = "token_cache.unreadable";
const QUEUE_COMMITS: &str = "token_cache.queue.commits";
const NOTICES: &str = "token_cache.notices";
const SHARED_ENTRIES: &str = "token_cache.shared.entries";
const BREAKER_STATE: &str = "token_cache.breaker.state";
const QUEUE_DEPTH: &str = "token_cache.queue.depth";
const QUEUE_BYTES: &str = "token_cache.queue.bytes";
const WATCHING: &str = "token_cache.watching";

/// A counter of the recorder.
#[derive(Debug)]
pub(super) struct Counted(Counter);

impl Counted {
    /// The counter of the recorder that is installed now.
    pub(super) fn register(what: What) -> Self {
        let (name, description) = match what {
            What::Unanswered => (UNANSWERED, "Requests that the server has not answered within the deadline."),
            What::Connections => (CONNECTIONS, "Connections that were opened."),
            What::Damaged | What::OtherKey => (UNREADABLE, "Times that an entry was read which cannot be opened."),
            What::Queued | What::Replayed | What::Dropped => (QUEUE_COMMITS, "Commits that an outage held up."),
            What::Notices => (NOTICES, "Notices of changes that servers have pushed."),
            What::Foreign | What::PutBack | What::RemovedAgain => {
                (SHARED_ENTRIES, "Entries of partitions that another library writes too, and what it did to them.")
            }
        };
        describe_counter!(name, Unit::Count, description);
        Self(match what {
            What::Damaged => counter!(name, "why" => "damaged"),
            What::OtherKey => counter!(name, "why" => "other_key"),
            What::Queued => counter!(name, "event" => "queued"),
            What::Replayed => counter!(name, "event" => "replayed"),
            What::Dropped => counter!(name, "event" => "dropped"),
            What::Foreign => counter!(name, "event" => "foreign"),
            What::PutBack => counter!(name, "event" => "put_back"),
            What::RemovedAgain => counter!(name, "event" => "removed_again"),
            What::Unanswered | What::Connections | What::Notices => counter!(name),
        })
    }

    pub(super) fn add(&self, number: u64) {
        self.0.increment(number);
    }
}

/// What one store adds to a gauge. It is taken back when the store ends.
#[derive(Debug)]
pub(crate) struct Share {
    gauge: Gauge,
    present: AtomicUsize,
}

impl Share {
    /// Nothing yet, of the gauge of the recorder that is installed now.
    pub(crate) fn of(size: Size) -> Self {
        let (name, unit, description) = match size {
            Size::OpenBreaker => {
                (BREAKER_STATE, Unit::Count, "Stores whose requests fail at once, since the server is away.")
            }
            Size::QueuedCommits => (QUEUE_DEPTH, Unit::Count, "Commits that wait for the server."),
            Size::QueuedBytes => (QUEUE_BYTES, Unit::Bytes, "What these take, about."),
            Size::Watching => (WATCHING, Unit::Count, "Stores that servers push their changes to."),
        };
        describe_gauge!(name, unit, description);
        let gauge = gauge!(name);
        // A gauge that nobody has touched may not be shown.
        gauge.increment(0.0);
        Self { gauge, present: AtomicUsize::new(0) }
    }

    // Sizes in memory are far below 2^53, up to which the difference is exact.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn set(&self, size: usize) {
        let before = self.present.swap(size, Ordering::Relaxed);
        self.gauge.increment(size as f64 - before as f64);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_page_has_every_name() {
        let page = include_str!("../lib.rs");
        for name in [
            UNANSWERED,
            CONNECTIONS,
            UNREADABLE,
            QUEUE_COMMITS,
            NOTICES,
            SHARED_ENTRIES,
            BREAKER_STATE,
            QUEUE_DEPTH,
            QUEUE_BYTES,
            WATCHING,
        ] {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not documented");
        }
    }
}
