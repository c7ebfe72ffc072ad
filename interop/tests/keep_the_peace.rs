//! Locks: while one holds, the others wait; who is killed with the lock, or loses its lock file to a peer, does no harm.
//!
//! No test compares times. That somebody waits shows by its silence until the other has let go; a wait that is too short
//! makes a test show less, and never fail.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::{DocumentStore as _, Edit, ErrorKind, Result};
use interop::ours::{PARTITION, open_store, shared, wall_clock, writer_account, writer_response};
use interop::peers::{Library, Peer, Running, available, text};
use tempfile::TempDir;

/// MSAL Java locks a file of another name.
const LOCKING: [Library; 5] = [Library::Python, Library::PythonPortalocker, Library::Node, Library::Go, Library::Net];

/// Longer than a peer needs to start, shorter than MSAL Python waits for a lock.
const SILENCE: Duration = Duration::from_secs(2);

/// A cache in a folder of its own, and no other test beside this one: peers wait for a few seconds only.
struct Shared {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Shared {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder: tempfile::tempdir().expect("a temporary folder"), _alone: alone }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("msal.cache")
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.path().join("msal.cache.lockfile")
    }

    /// Adds a token as a sign-in does.
    fn add(&self, tag: &str) -> Result<()> {
        add(&self.cache(), tag)
    }

    fn has(&self, tag: &str) -> bool {
        let scope = format!("peer.{tag}.0");
        let has = |tokens: &cache_core::TokenCache| tokens.access_tokens().any(|(_, token)| *token.target == *scope);
        open_store(&self.cache()).and_then(|cache| cache.read(&PARTITION, has)).expect("a valid cache")
    }

    /// Fails with `Busy` if somebody holds the lock.
    fn try_lock(&self) -> Result<()> {
        let store = shared(&self.cache()).lock_wait(Duration::from_millis(300)).build()?;
        pollster::block_on(store.modify(&PARTITION, Box::new(|_| Ok(Edit::Keep)))).map(drop)
    }

    fn assert_locked(&self, by: &str) {
        let error = self.try_lock().expect_err(by);
        assert_eq!(error.kind(), ErrorKind::Busy, "{by}: {error}");
    }

    /// A process of ours that holds the lock, and adds a token when it goes on.
    fn hold(&self, tag: &str) -> Running {
        let ours = Peer::ours(env!("CARGO_BIN_EXE_ours"));
        let mut holder = ours.start(&["hold", "--cache", text(&self.cache()), "--tag", tag]);
        holder.expect("held");
        holder
    }

    fn peer_holds(&self, peer: &Peer, time: Duration) -> Running {
        let mut holder = self.peer_comes(peer, time);
        holder.expect("held");
        holder
    }

    fn peer_comes(&self, peer: &Peer, time: Duration) -> Running {
        let time = time.as_millis().to_string();
        peer.start(&["hold", "--cache", text(&self.cache()), "--hold-ms", &time])
    }
}

fn add(cache: &Path, tag: &str) -> Result<()> {
    let (home, client) = writer_account();
    let response = writer_response(home, client, &format!("peer.{tag}.0"), "synthetic", wall_clock());
    open_store(cache)?.update(&PARTITION, |tokens| tokens.sign_in(response))?.value
}

#[test]
fn each_peer_waits_while_we_hold() {
    for (library, peer) in available(&LOCKING) {
        let shared = Shared::new();
        let mut ours = shared.hold("ours");
        let mut theirs = shared.peer_comes(&peer, Duration::ZERO);
        let early = theirs.next_within(SILENCE);
        assert!(early.is_none(), "{} enters our lock: {early:?}", library.name());
        release(&mut ours);
        theirs.expect("held");
        assert!(shared.has("ours"));
    }
}

#[test]
fn we_wait_while_a_peer_holds() {
    for (library, peer) in available(&LOCKING) {
        let shared = Shared::new();
        let mut theirs = shared.peer_holds(&peer, Duration::from_secs(3));
        shared.assert_locked(library.name());
        let cache = shared.cache();
        let ours = std::thread::spawn(move || add(&cache, "ours"));
        theirs.expect("released");
        ours.join().expect("no panic").expect("an update once the lock is free");
        assert!(shared.has("ours"));
    }
}

#[test]
fn java_locks_another_file() {
    for (_, peer) in available(&[Library::Java]) {
        let shared = Shared::new();
        let mut ours = shared.hold("ours");
        // Not kept out: beside MSAL Java only what is read anew and put back helps.
        shared.peer_holds(&peer, Duration::ZERO).rest();
        release(&mut ours);
        assert!(shared.has("ours"));
    }
}

/// Lets our holder go on. It begins anew if the file is another by then: some peers make an empty one when they start.
fn release(holder: &mut Running) {
    holder.proceed();
    let last = holder.rest().pop().expect("it says how it ends");
    assert_eq!(last["event"], "released", "{last}");
}

#[test]
fn a_lock_that_a_killed_peer_left_is_recovered() {
    for (library, peer) in available(&LOCKING) {
        let shared = Shared::new();
        let mut killed = shared.peer_holds(&peer, Duration::from_secs(600));
        shared.assert_locked(library.name());
        killed.kill();
        shared.add("ours").unwrap_or_else(|error| panic!("{}: {error}", library.name()));
        assert!(shared.has("ours") && !shared.lock_file().exists());
    }
}

#[test]
fn a_lock_that_we_left_killed_is_recovered_by_us_and_by_whoever_looks_at_flock() {
    let shared = Shared::new();
    shared.hold("killed").kill();
    assert!(shared.lock_file().exists());
    shared.add("ours").expect("a lock that nobody holds is taken over");
    drop(shared);
    for (_, peer) in available(&[Library::Net, Library::Go, Library::PythonPortalocker]) {
        let shared = Shared::new();
        shared.hold("killed").kill();
        shared.peer_holds(&peer, Duration::ZERO).expect("released");
    }
}

#[test]
fn nodes_stray_unlink_of_our_lock_file_loses_nothing() {
    for (_, peer) in available(&[Library::Node]) {
        let shared = Shared::new();
        let mut node = peer.start(&["stray-unlink", "--cache", text(&shared.cache())]);
        node.expect("ready");
        let mut first = shared.hold("first");
        node.proceed();
        node.expect("read");
        assert!(!shared.lock_file().exists(), "the read deletes our lock file");
        shared.add("second").expect("the next one enters beside the first");
        assert_both_are_stored(&shared, &mut first);
    }
}

#[test]
fn nets_release_that_unlinks_our_lock_file_loses_nothing() {
    for (_, peer) in available(&[Library::Net]) {
        let shared = Shared::new();
        let mut net = shared.peer_holds(&peer, Duration::from_secs(4));
        // As a read of MSAL Node does.
        std::fs::remove_file(shared.lock_file()).expect("the lock file");
        let mut first = shared.hold("first");
        net.expect("released");
        assert!(!shared.lock_file().exists(), "the release deletes our lock file");
        shared.add("second").expect("the next one enters beside the first");
        assert_both_are_stored(&shared, &mut first);
    }
}

/// The first holder finds that its lock is no longer its own, and begins anew with what the second has written.
fn assert_both_are_stored(shared: &Shared, first: &mut Running) {
    first.proceed();
    first.expect("again");
    first.expect("released");
    assert!(shared.has("first") && shared.has("second"));
}

#[test]
fn we_do_not_enter_between_unlock_and_removal() {
    for (_, peer) in available(&[Library::PythonPortalocker]) {
        let shared = Shared::new();
        let mut slow = peer.start(&["release-slowly", "--cache", text(&shared.cache())]);
        slow.expect("held");
        slow.expect("unlocked");
        shared.assert_locked("a live process has not removed its lock file");
        // MSAL.NET does enter, and its lock file is removed under it.
        let net = available(&[Library::Net]).pop();
        let inside = net.map(|(_, net)| shared.peer_holds(&net, Duration::from_secs(1)));
        slow.proceed();
        slow.expect("released");
        shared.add("ours").expect("the lock file is gone");
        if let Some(mut net) = inside {
            net.expect("released");
        }
        assert!(shared.has("ours"));
    }
}
