//! What a store is set up with.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Protection};
use tokio::runtime::Handle;

use crate::keys::Prefix;
use crate::queue::Limits;

pub(crate) struct Settings {
    pub(crate) prefix: Prefix,
    pub(crate) protection: Protection,
    /// How long what does not say when it expires is kept after its last write.
    pub(crate) kept_for: Duration,
    pub(crate) most_entries: Option<usize>,
    /// How much is kept that cannot be written yet.
    pub(crate) queue: Limits,
    /// `None`: the server's.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// `None`: the runtime that is current.
    pub(crate) runtime: Option<Handle>,
}
