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
