//! Token caches in files: encrypted or plaintext, replaced atomically, shared by any number of processes.
//!
//! A [`FileStore`] keeps unified cache documents of the Microsoft Authentication Library (MSAL) family in files. Any
//! number of tasks, handles and processes write one file without losing a token, together with programs that use the
//! MSAL libraries of other languages, whose lock it respects and holds.
//!
//! **When to use it**: a desktop application or command-line tool that keeps one sign-in for all its processes
//! ([`FileStore::at`]); a service on one machine with many users ([`FileStore::in_dir`]). **When not**: several machines
//! that share the cache (locks over network file systems are best effort; use a store made for it), or secrets that
//! the operating system should hold (use its keychain).
//!
//! # One shared cache, encrypted
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use cache_core::{PersistedTokenCache, Protector};
//! use cache_file::FileStore;
//!
//! # fn open(protector: Arc<dyn Protector>) -> cache_core::Result<PersistedTokenCache> {
//! let store = FileStore::at("/home/alice/.local/share/tool/tokens.bin").protector(protector).open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! # Ok(cache)
//! # }
//! ```
//!
//! # A cache per user of a service
//!
//! ```no_run
//! # use std::sync::Arc;
//! use cache_core::{CacheStore, PartitionKey};
//! # use cache_core::Protector;
//! use cache_file::FileStore;
//!
//! # async fn list(protector: Arc<dyn Protector>) -> cache_core::Result<()> {
//! let store = FileStore::in_dir("/var/lib/service/tokens").protector(protector).open()?;
//! let alice = store.load(&PartitionKey::user("uid.utid")).await?;
//! let first_users = store.partitions(None, 100).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The plaintext file of an MSAL library
//!
//! ```no_run
//! use cache_file::FileStore;
//! use cache_file::presets::Preset;
//!
//! # fn open() -> cache_core::Result<()> {
//! let of_a_program = FileStore::at("/home/alice/.local/share/tool/msal.cache").plaintext().open()?;
//! // Of a product, at the path where it keeps it: read-only.
//! let azure_cli = FileStore::preset(Preset::AzureCli)?.open()?;
//! # Ok(())
//! # }
//! ```
//!
//! # A file that programs in other languages write too
//!
//! ```no_run
//! use cache_core::PersistedTokenCache;
//! use cache_file::FileStore;
//!
//! # fn open() -> cache_core::Result<PersistedTokenCache> {
//! let store = FileStore::at("/home/alice/.IdentityService/msal.cache.nocae").plaintext().shared_with_msal().open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! # Ok(cache)
//! # }
//! ```
//!
//! # Moving a plaintext cache under protection
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::Protector;
//! use cache_file::FileStore;
//!
//! # fn open(protector: Arc<dyn Protector>) -> cache_core::Result<()> {
//! // Reads the plaintext; the first write protects it. Take the switch out again once that has happened.
//! let store = FileStore::at("tokens.bin").protector(protector).migrate_plaintext(true).open()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Another key
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::Protector;
//! use cache_file::FileStore;
//!
//! # async fn rotate(new_then_old: Arc<dyn Protector>) -> cache_core::Result<()> {
//! // Writes with the new key and opens with both; afterwards the old one is needed no more.
//! let store = FileStore::at("tokens.bin").protector(new_then_old).build()?;
//! store.reprotect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Beginning anew, where a file cannot be opened any more
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::{PartitionKey, Protector};
//! use cache_file::FileStore;
//!
//! # async fn begin_anew(protector: Arc<dyn Protector>) -> cache_core::Result<()> {
//! let store = FileStore::at("tokens.bin").protector(protector).build()?;
//! let kept_at = store.move_aside(&PartitionKey::Shared).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **Atomic and durable**: a new file is written beside the old one, made durable and put in its place in one step. A
//!   reader sees the content of before or of after, whatever moment a process or machine stops at.
//! - **No update is lost**: a write reads, merges and replaces under a lock over tasks, processes and the other
//!   libraries, which is recovered when its holder was killed. Where other libraries ignore the lock or remove it, that
//!   is noticed just before the replacement, and the change is merged again. Nobody's keys are derived, nobody is asked
//!   and no code of the caller runs under the lock, but the merge itself.
//! - **Changes are noticed**: a [stamp](cache_core::DocumentStore::stamp_now) is one look at the file's times, size and
//!   identity, and a look too soon after a change to be sure is not relied upon. Watchers of other libraries see every
//!   write too.
//! - **Damage is survived**: see the table.
//!
//! | the file is | a read answers | a write |
//! |---|---|---|
//! | plaintext, torn or with something behind its end | what is left of it, with a warning; moves nothing | moves it aside to `<cache>.corrupt-<unix time>` (two are kept) and goes on with what was left |
//! | plaintext, NUL bytes only | as above; nothing is left | as above |
//! | plaintext, no byte | none; `Corrupt` once, if this handle's last look saw content | the same |
//! | not a JSON object, opened as plaintext | `Unsupported` | `Unsupported`; the file stays as it is |
//! | protected, and does not open | the protector's error; no byte: `Corrupt` | the same; the file stays as it is |
//! | in a folder or file system that cannot be written to, or of a read-only store | the document, without a lock file | `Denied` |
//!
//! An empty or torn plaintext file may be one that another library is writing: it is looked at again for up to a
//! second, and then under the lock.
//!
//! # Sharing with MSAL libraries
//!
//! The lock alone does not save our entries from programs that decide what to write before they have it, or that delete
//! what they cannot load. [`shared_with_msal`](FileStoreBuilder::shared_with_msal) makes good what they do:
//!
//! - What we write is noted in `<cache>.journal` before it is written. At every look at a file that has changed, and at every
//!   write, what others have dropped is put back, by this process or another one of ours, for ten minutes; it is let go of
//!   once it has stood for a minute. The rules, and what tells a sign-out from a loss, are those of
//!   [`ReapplyJournal`](cache_core::ReapplyJournal): **a sign-out by another program is never undone**, and what we have
//!   signed out does not come back.
//! - A file that was emptied, or that nobody can load, gets back what the journal holds, and the rest from its copy of the last
//!   good document ([`last_good_copy`](FileStoreBuilder::last_good_copy)). A torn one is repaired by the next look, not only by
//!   the next write. Both are said by a warning. What is no text may be protected by another program: it stays as it is.
//! - A file that is gone stays gone until somebody writes it again. Then it gets what the journal waits for, unless its
//!   [absence is a sign-out](FileStoreBuilder::absence_is_sign_out). If our last look saw what MSAL.NET deletes a file for, it
//!   is restored as if it was emptied, in a [form](FileStoreBuilder::profile) that all can bear.
//! - Each write of ours leaves a mark in the file, an access token of nobody's: by it is told what others had seen when they
//!   wrote, and so what they have taken out from what they have dropped. It does not show in the cache.
//!
//! Reading may write then: what is put back, and the journal. A commit writes two files instead of one.
//!
//! # Security
//!
//! - Protection is chosen, never assumed: without [`protector`](FileStoreBuilder::protector) or
//!   [`plaintext`](FileStoreBuilder::plaintext) there is no store, and a protected store never falls back to plaintext.
//! - Files have mode 0600 and new folders 0700, whatever the umask. A file that others can open is corrected, with a
//!   warning.
//! - `Denied`: a symbolic link at the path of the cache (a link to its folder is fine), a file of another user, a
//!   folder that other users can write to, sticky ones such as `/tmp` included. A group-writable folder gets a warning.
//! - File names in a folder of partitions are hashes under a random key, `names.key`, which is protected as the caches
//!   are; so is each partition's own key in `<name>.key`. Whoever lists the folder learns how many partitions there
//!   are and when they change, not whose. `names.key` belongs to the caches: back it up with them.
//! - `<cache>.journal` holds tokens. It is protected as the cache is, and is mode 0600: beside a plaintext cache it is plaintext.
//! - The document that was written last stays in memory, in plaintext and up to 8 MiB of it, until the next write or the
//!   end of the store, when it is wiped.
//! - A [read-only](FileStoreBuilder::read_only) store writes nothing: it makes no file and no folder, and corrects no mode.
//! - Not covered: another program of the same user, and putting back an older copy of a file.
//!
//! # The lock
//!
//! `<cache>.lockfile`, as MSAL.NET, Python, Node and Go use it: it exists, and it is locked (`flock`) before it does.
//! Waiting takes up to [`lock_wait`](FileStoreBuilder::lock_wait), then `Busy` names the holder's process id and the
//! lock's age. MSAL Java locks another file and is not kept out. The cache file itself is never locked: MSAL.NET would
//! take it for an empty one.
//!
//! # Platforms
//!
//! Linux is tested; macOS and the BSDs share its code. Linux alone tells which boot and process namespace a lock file
//! is from, so that a killed process's lock is recovered at once; elsewhere it is after 2 s. On Windows, files inherit
//! the access list of their folder, and locks vanish with their process; that part has not been run there yet.
//!
//! # Features
//!
//! `tokio`: file work runs on the blocking pool of the tokio runtime that is current. Without it, it runs on the
//! caller's thread.
#![forbid(unsafe_code)]

mod config;
mod damage;
mod folder;
mod inner;
mod journal;
mod last;
mod layout;
mod lease;
mod lock;
mod look;
mod names;
mod notes;
mod partitions;
mod platform;
pub mod presets;
mod reading;
mod replace;
mod sharing;
mod stale;
mod stamp;
mod store;
mod turn;
mod writing;

pub use cache_core::Protection;
pub use config::FileStoreBuilder;
pub use store::FileStore;

/// The store's kind in errors, spans and protected files.
const NAME: &str = "file";

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
