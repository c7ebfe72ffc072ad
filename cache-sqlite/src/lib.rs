//! Token caches in SQLite: one database, a row per entry, any number of processes of one machine.
//!
//! A [`SqliteStore`] keeps the partitions of unified token caches in one database file. A commit merges its changes in one
//! transaction that reads and writes the rows it names and no others, so that a change to one token costs the same in a
//! database of ten entries and of a million.
//!
//! **When to use it**: a service or desktop application on one machine with many users, or with partitions of many tokens;
//! a cache that many processes write. **When not**: a cache that programs with MSAL libraries of other languages read (they
//! know documents in files; use `cache-file`), or one that several machines share (use a store made for it).
//!
//! # A cache for all users of a service, encrypted
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use cache_core::{PersistedTokenCache, Protector};
//! use cache_sqlite::SqliteStore;
//!
//! # fn open(protector: Arc<dyn Protector>) -> cache_core::Result<PersistedTokenCache> {
//! let store = SqliteStore::at("/var/lib/service/tokens.db").protector(protector).open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! # Ok(cache)
//! # }
//! ```
//!
//! # Dropping what has expired, now and then
//!
//! ```no_run
//! use cache_core::{Clock as _, SystemClock};
//! # use cache_sqlite::SqliteStore;
//!
//! # async fn prune(store: SqliteStore) -> cache_core::Result<()> {
//! let dropped = store.prune(SystemClock.now().to_seconds()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Another key
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::Protector;
//! use cache_sqlite::SqliteStore;
//!
//! # async fn rotate(new_then_old: Arc<dyn Protector>) -> cache_core::Result<()> {
//! // Writes with the new key and opens with both; afterwards the old one is needed no more.
//! let store = SqliteStore::at("tokens.db").protector(new_then_old).open()?;
//! store.reprotect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # After damage
//!
//! ```no_run
//! # use cache_sqlite::SqliteStore;
//! # async fn mend(store: SqliteStore) -> cache_core::Result<()> {
//! let found = store.verify().await?;
//! if !found.is_sound() {
//!     let recovered = store.recover().await?;
//!     println!("{} entries kept, {} lost; the old file is at {:?}", recovered.kept, recovered.lost, recovered.aside);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **Atomic and durable**: a commit is one transaction in a write-ahead log. When it has returned, it survives a loss of
//!   power ([`Durability::Full`], the default) or the end of every process ([`Durability::Normal`]).
//! - **No update is lost**: writers take turns, across processes by SQLite's lock, for which they wait up to
//!   [`lock_wait`](SqliteStoreBuilder::lock_wait), then `Busy`. Readers wait for nobody.
//! - **Changes are noticed**: a [stamp](cache_core::CacheStore::stamp_now) costs one `PRAGMA data_version` while nothing has
//!   changed. A database that was deleted or replaced is noticed within a second, by a write before it commits.
//! - **Large partitions are not loaded**: a token is found by keyed hashes of its owner, client, tenant and scope.
//!   See [`resident_entries`](cache_core::Builder::resident_entries).
//! - **Damage is survived**: a damaged entry is left out and told by
//!   [`Snapshot::unreadable`](cache_core::Snapshot::unreadable), and the next write of that entry heals it. All else is
//!   `Corrupt`, changes nothing, and waits for [`recover`](SqliteStore::recover). Never is a database replaced silently.
//! - **Leases expire** after 60 s without a renewal and carry fences, since the death of a process frees none.
//!
//! | the file is | every operation answers |
//! |---|---|
//! | not there | nothing is stored; a write makes it |
//! | a SQLite database with damage, cut off, empty, NUL bytes | `Corrupt`, as far as the damage is met |
//! | no SQLite database, or another program's | `Unsupported` |
//! | of a newer layout | `Unsupported` |
//! | protected, without or with another key | `KeyUnavailable`, `Undecryptable` |
//! | plaintext, opened with a protector | `Unsupported` |
//! | locked by another writer for longer than the wait | writes: `Busy` |
//! | a symbolic link, a folder, another user's | `Denied` |
//! | in a folder that every user can write to | `Denied`; one that a group can write to is warned of |
//! | on a network file system | `Unsupported` |
//! | not to be written to | writes: `Denied` |
//! | on a full disk | writes: `Unavailable`; nothing of them is there |
//!
//! # Security
//!
//! - Protection is chosen, never assumed. Each entry is protected for its place: with its partition, id, account and times,
//!   so that none can be put in another's place. Ids, accounts, partitions and what tokens are looked up by stand as keyed
//!   hashes; the key of these is random, sealed, and never changes.
//! - What shows without the key: how many partitions and entries of which sections there are, which of them belong to one
//!   account, their lengths, when they were written and when they expire.
//! - The database and its companions have mode 0600, new folders 0700. What is deleted is overwritten with zeros in the
//!   database (`secure_delete`) at the next checkpoint. Copies in the log last longer: until later writes overwrite them
//!   there, at the latest until the last process closes the database, which deletes the log without overwriting it.
//! - Not covered: another program of the same user, and putting back an older copy of the file or of a row.
//!
//! # Beside the database
//!
//! `-wal` and `-shm` while it is open; the first belongs to the content. `.lock`, empty, while a database is made or
//! recovered; it stays. Copy a database by `sqlite3 tokens.db ".backup copy.db"` or while no process has it open. Put a copy
//! back while no process has it open either, under a new file (`mv`, not `cp` over the old one), and remove `-wal` first.
//! A database must have one name: no hard links.
//!
//! # Platforms
//!
//! Linux is tested; macOS and the BSDs share its code. On Windows files inherit the access list of their folder; that part
//! has not been run there yet. SQLite is built with the crate.
//!
//! # Features
//!
//! `tokio`: database work runs on the blocking pool of the tokio runtime that is current. Without it, it runs on the
//! caller's thread.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod database;
mod error;
mod eviction;
mod inner;
mod inventory;
mod layout;
mod lease;
mod merging;
mod patience;
mod place;
mod pruning;
mod readers;
mod reading;
mod recovery;
mod removal;
mod reprotection;
mod row;
mod rows;
mod settings;
mod stamp;
mod store;
mod verification;

pub use cache_core::Protection;
pub use config::SqliteStoreBuilder;
pub use inventory::{PartitionInventory, SectionInventory};
pub use recovery::Recovered;
pub use settings::Durability;
pub use store::SqliteStore;
pub use verification::Verified;

/// The store's kind in errors, spans and protected entries.
const NAME: &str = "sqlite";
