//! One Redis server, and processes of several libraries that get tokens for the users of one application, each told line by line
//! what to do.
//!
//! MSAL.NET's program has this as `distributed worker`; MSAL Node's is `peers/node/redis.mjs`, this toolkit's `ours redis-worker`.
//! A worker reads an [`Order`] in each line and answers it by an [`Answer`].

mod opened;
mod ours;
mod responses;
mod workers;

use std::time::{SystemTime, UNIX_EPOCH};

use cache_core::PartitionKey;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use self::opened::{Held, Opened};
pub use self::ours::work;
pub use self::workers::{Worker, ask};

/// The application that all workers are, as MSAL.NET's program has it.
pub const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
/// The application's tenant.
pub const TENANT: &str = "00000000-0000-0000-0000-0000000000bb";
/// What MSAL.NET's program puts before its keys.
pub const INSTANCE: &str = "web:";
/// The host that entries stand under.
const HOST: &str = "login.windows.net";

/// How this toolkit keeps the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// In its own layout, a field for each entry.
    Fields,
    /// As Microsoft.Identity.Web does.
    Idweb,
    /// As MSAL Node does.
    Node,
}

/// How a worker gets a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// From the cache, else by the refresh token.
    Silent,
    /// For the application itself.
    Client,
    /// On behalf of the user's assertion. MSAL Node's worker does not have it.
    Obo,
    /// None: signs the user out. MSAL.NET's worker does not have it.
    Remove,
}

/// What a worker is to do: tokens for as many scopes as it says, or for one that all workers ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Order {
    /// How.
    pub flow: Flow,
    /// For which user; client credentials in the tenant of this number.
    pub user: u32,
    /// Stands in the scopes.
    pub round: usize,
    /// For how many scopes, one after the other.
    pub writes: usize,
    /// By one application object.
    pub shared: bool,
    /// With the first-level cache of Microsoft.Identity.Web.
    pub l1: bool,
    /// Milliseconds that are added to each way to the server.
    pub delay: u64,
    /// Whether all ask for the scope that `seed` has left a token for.
    pub same: bool,
    /// When to begin, in milliseconds since 1970.
    pub at: i64,
}

impl Order {
    /// One token for a scope of the worker's own, at once.
    pub fn new(flow: Flow, user: u32) -> Self {
        Self { flow, user, round: 0, writes: 1, shared: true, l1: false, delay: 0, same: false, at: 0 }
    }
}

/// What a worker has done.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Tokens that were got.
    pub ok: usize,
    /// Calls that failed.
    pub errors: usize,
    /// How long each took, in milliseconds.
    pub ms: Vec<f64>,
}

/// The scope of a worker's write.
pub fn scope(worker: usize, round: usize, write: usize) -> String {
    format!("w{worker}r{round}x{write}/.default")
}

/// The home account id of a user.
pub fn home(user: u32) -> String {
    format!("{}.{TENANT}", object_id(user))
}

fn object_id(user: u32) -> String {
    format!("aaaaaaaa-0000-4000-8000-{user:012}")
}

/// The partition of a user, of the application in the tenant of this number, or of the user's assertion.
pub fn partition(flow: Flow, user: u32) -> PartitionKey {
    match flow {
        Flow::Silent | Flow::Remove => PartitionKey::user(&home(user)),
        Flow::Client => PartitionKey::app(CLIENT, Some(&tenant(user))),
        Flow::Obo => PartitionKey::obo(&assertion(user)),
    }
}

fn tenant(number: u32) -> String {
    format!("cccccccc-0000-4000-8000-{number:012}")
}

fn assertion(user: u32) -> String {
    format!("u{user}.incoming-assertion")
}

/// The present time, in milliseconds since 1970.
fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
