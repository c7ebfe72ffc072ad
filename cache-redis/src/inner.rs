//! The store behind its handles: what each operation needs, and where it runs.

use std::sync::atomic::AtomicBool;

use cache_core::{Clock as _, Error, ErrorKind, PartitionKey, Result, SystemClock, UnixMillis};
use cache_crypto::rows::PartitionTag;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::NAME;
use crate::guesses::Guesses;
use crate::head::{Finding, Head, Heads};
use crate::link::{Link, Within};
use crate::queue::Queue;
use crate::settings::Settings;
use crate::unreadable::Unreadable;
use crate::watch::Watch;

/// The store behind its handles.
pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) settings: Settings,
    /// Whether the protector has had its keys.
    pub(crate) prepared: OnceCell<()>,
    /// What was met and could not be read.
    pub(crate) unreadable: Unreadable,
    /// What could not be written yet.
    pub(crate) queue: Queue,
    /// Whether a task looks for the server and writes what is queued.
    pub(crate) is_recovering: AtomicBool,
    pub(crate) watch: Watch,
    /// What was found before.
    pub(crate) guesses: Guesses,
    heads: Heads,
}

impl Inner {
    pub(crate) fn new(link: Link, watch: Watch, settings: Settings) -> Self {
        Self {
            link,
            prepared: OnceCell::new(),
            unreadable: Unreadable::new(),
            queue: Queue::new(settings.queue),
            is_recovering: AtomicBool::new(false),
            watch,
            guesses: Guesses::default(),
            heads: Heads::default(),
            settings,
        }
    }

    pub(crate) fn head(&self) -> Finding<'_> {
        self.head_within(Within::Request)
    }

    pub(crate) fn head_within(&self, within: Within) -> Finding<'_> {
        let Settings { prefix, protection, .. } = &self.settings;
        Finding { heads: &self.heads, link: &self.link, prefix, protection, within }
    }

    /// What the partition is named by. Before the server is asked for something of it: from here on its changes are told.
    pub(crate) fn tag(&self, head: &Head, partition: &PartitionKey) -> PartitionTag {
        let tag = head.index.partition(partition);
        self.watch.watching.note(tag, partition);
        tag
    }

    /// The clock that a script goes by, as it takes it: empty for the server's own.
    pub(crate) fn script_clock(&self) -> Vec<u8> {
        self.settings.clock.as_ref().map_or_else(Vec::new, |clock| clock.now().0.to_string().into())
    }

    /// The clock of this process, for what it holds itself.
    pub(crate) fn now(&self) -> UnixMillis {
        self.settings.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now())
    }

    /// The runtime that drives the connection. `InvalidInput`: there is none.
    pub(crate) fn runtime(&self) -> Result<Handle> {
        let given = self.settings.runtime.clone();
        given.map_or_else(|| Handle::try_current().map_err(|_| no_runtime()), Ok)
    }
}

fn no_runtime() -> Error {
    let message =
        "there is no tokio runtime; call the store within one, or give it one by `RedisStoreBuilder::runtime`";
    Error::new(ErrorKind::InvalidInput, message)
}

pub(crate) fn named(error: Error) -> Error {
    if error.store().is_some() { error } else { error.in_store(NAME) }
}
