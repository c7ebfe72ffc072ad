//! The unified token cache of the Microsoft Authentication Library (MSAL) family, read and written as the MSAL libraries
//! do, over any store.
//!
//! # What it is
//!
//! Every MSAL library keeps its tokens in one JSON format, and every one of them stores it as a blob that it reads, changes
//! and writes back whole. Processes that write at once lose each other's updates. Here **a write is a set of changes to
//! entries**, merged inside the store, so that no update is lost, whoever writes at the same time.
//!
//! | you want to | use |
//! |---|---|
//! | look into, or build, a unified cache document | [`TokenCache`] |
//! | keep tokens in a store, shared with other tasks, processes and nodes | [`PersistedTokenCache`] |
//! | give a library that has its own cache a store | [`PersistedTokenCache::before_access`] |
//! | do either without an async runtime | [`blocking`] |
//! | keep tokens in a place of your own | [`DocumentStore`] and [`Documents`], or [`CacheStore`] |
//! | share a document with MSAL libraries of other languages | [`Profile`] |
//! | protect stored bytes in a way of your own | [`Protector`] |
//!
//! The stores are crates of their own: `cache-file` (one encrypted file, or one per partition), `cache-sqlite`
//! (a database with a row per entry), and [`MemoryStore`] here.
//! The keys and the envelope are in `cache-crypto`.
//!
//! # What it is not
//!
//! It acquires no tokens and validates none. It holds no cipher, no key derivation, no code for one operating system,
//! and no runtime.
//!
//! # Promises
//!
//! 1. No update is lost, whatever number of threads, processes and nodes write, and whatever moment one is killed at.
//! 2. What was removed stays removed; the newest refresh token wins.
//! 3. A lookup that hits costs no I/O beyond one cheap stamp check, no parsing, no allocation, and does not slow down as
//!    the cache grows.
//! 4. Nothing foreign is lost: unknown sections, unknown fields and entries of other libraries survive every write.
//! 5. Damage gives a typed error or a salvage, never a crash, never a silent wipe.
//!
//! # Features
//!
//! - `tokio` (off): blocking stores run their work on tokio's blocking pool when a tokio runtime is current, instead of on
//!   the polling thread. Nothing else changes.
//! - `metrics` (off): what is counted also goes to the recorder of the program. See [Observability](#observability).
//!
//! # Observability
//!
//! [`Stats`] has the counts of one cache at any time. Spans of `tracing`, all of them debug, are around every operation that a
//! [`PersistedTokenCache`] asks its store for, and hold what the store traces:
//!
//! | span | fields | the store is asked |
//! |---|---|---|
//! | `token_cache.load` | `partition` | for a whole partition |
//! | `token_cache.find` | `partition` | for the tokens that may answer a lookup |
//! | `token_cache.stamp` | `partition` | whether what is in memory is still right; not where it can tell without waiting |
//! | `token_cache.commit` | `partition`, `changes`: how many | to merge changes |
//! | `token_cache.remove` | `partition` | to delete a partition |
//! | `token_cache.list` | none | for the partitions that may hold an account |
//!
//! `partition` is a hash with a salt that each process draws anew: it tells partitions apart, and nothing of whose they are.
//!
//! With the feature `metrics`, counts go through the facade of the crate [`metrics`](https://docs.rs/metrics), to whatever
//! recorder the program has: an exporter for Prometheus, OpenTelemetry, StatsD. No label holds an id, a key or a partition.
//!
//! | name | kind | unit | labels | |
//! |---|---|---|---|---|
//! | `token_cache.requests` | counter | lookups | `level`, `result` | each call of [`access_token`](PersistedTokenCache::access_token), once |
//! | `token_cache.duration` | histogram | seconds | `level`, `op` | how long the store took, whether it succeeded or not |
//! | `token_cache.errors` | counter | operations | `op`, `result` | operations of the store that failed |
//! | `token_cache.merge` | counter | changes | `outcome` | what became of the changes that were committed |
//! | `token_cache.l1.bytes` | gauge | bytes | | what the resident partitions take, about |
//! | `token_cache.l1.partitions` | gauge | partitions | | how many are resident |
//! | `token_cache.l1.evictions` | counter | partitions | | how many left memory since others needed the room |
//!
//! - `level`: `l1` if memory alone answered, beyond a stamp that is read without waiting; `l2` if the store was asked, be it for
//!   a stamp. Durations are all `l2`: a hit in memory reads no clock.
//! - `result` of a lookup: `hit`, `miss`; `stale_hit`, a token from memory while the store is out of reach; and those of an
//!   error: `unavailable` ([`Unavailable`](ErrorKind::Unavailable), [`Busy`](ErrorKind::Busy)), `undecipherable`
//!   ([`Undecryptable`](ErrorKind::Undecryptable), [`KeyUnavailable`](ErrorKind::KeyUnavailable)), `error`.
//! - `op`: `load`, `find`, `stamp`, `commit`, `remove`, `list`, as the spans are called.
//! - `outcome`: `applied`; `skipped_older`, the store holds something newer; `guard_failed`, the account was removed meanwhile;
//!   `fenced`, the lease had passed to another; `no_match`, what was to be removed has changed.
//!
//! **Install the recorder before a cache is built**: a cache asks for its series once, when it is built, so that no lookup
//! does. One that is built without a recorder counts for none. A hit then costs an atomic addition more, to a number that the
//! threads share; it allocates nothing and takes no lock, if counters of the recorder do neither. Gauges are sums over the
//! caches of the process.
//!
//! # Secrets
//!
//! Tokens are held in [`Secret`] and [`Blob`], which are wiped on drop and print nothing; no error, span or `Debug`
//! holds one. [`PartitionKey`] prints its kind only.

#![forbid(unsafe_code)]

pub mod blocking;
pub mod blocking_work;
mod changes;
mod document;
mod document_store;
mod entry;
mod environment;
mod error;
mod json;
mod lease;
mod lookup_term;
mod memory;
pub mod merge;
mod observe;
mod partition;
mod persisted;
mod profile;
mod protector;
mod reapply;
pub mod schema;
mod scopes;
mod secret;
mod store;
mod text;
mod time;
mod token_cache;
mod watch;

pub use async_trait::async_trait;

pub use changes::{Change, Changes, Committed, Fence, Guard, Skip};
pub use document::UnifiedDocument;
pub use document_store::{DocumentStore, Documents, Edit, EditFn, Modified, StoredDocument};
pub use entry::{AccountRef, Entry, EntryId, Extent, Snapshot, Stored, Version};
pub use environment::Environments;
pub use error::{Error, ErrorKind, Result};
pub use lookup_term::LookupTerm;
pub use memory::MemoryStore;
pub use observe::Stats;
pub use partition::{AppPartition, PartitionKey, assertion_hash};
pub use persisted::{Access, AccessContext, Builder, Freshness, PersistedTokenCache, Updated};
pub use profile::{Applied, Consequence, Objection, Peer, Profile, Reason, dotnet_deletes};
pub use protector::{Context, Part, Protection, Protector};
pub use reapply::{Reapplied, ReapplyJournal, Seen};
pub use secret::{Blob, Secret, SecretBuffer};
pub use store::{CacheStore, Lease, LeaseHandle};
pub use time::{Clock, ManualClock, SystemClock, UnixMillis, UnixSeconds};
pub use token_cache::{
    AccessTokenQuery, AccountGroup, Insertable, RefreshTokenQuery, Scopes, TenantProfile, TokenCache, TokenResponse,
};
pub use watch::Watcher;
