//! The lock: over tasks, handles, processes and the MSAL libraries of other languages; recovered from the dead, never
//! taken from the living.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_core::{Blob, Context, DocumentStore as _, Edit, Error, ErrorKind, Protector, Result};
use cache_file::FileStore;
use cache_testkit::folder::{set_mode, text};
use cache_testkit::process::{self, Process};
use cache_testkit::secrets::hear_every_trace;
use cache_testkit::worker_name;

use common::{Folder, SHARED, failure, keys, protector, put, set_age, within_lock};

/// A process id that no process has: greater than Linux gives any.
const DEAD: &str = "4194305";

/// Enters the exclusive section, says so, and stays there until it is killed or hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn holder() {
    process::work(worker_name!(holder), |worker| {
        let store = FileStore::at(&worker.arguments()[0]).plaintext().build().expect("a path");
        let edit = |worker: &mut process::Worker| {
            worker.say("holds");
            worker.hear();
        };
        // The edit must be able to leave this thread, which the worker cannot: it is lent to it by a channel.
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                within_lock(&store, &SHARED, move || {
                    ask.send(()).expect("the worker waits");
                    answered.recv().expect("the worker answers");
                })
                .expect("locked");
            });
            asked.recv().expect("the edit has begun");
            edit(worker);
            answer.send(()).expect("the edit waits");
        });
        worker.say("released");
    });
}

fn start_holder(folder: &Folder) -> Process {
    let mut holder = Process::start(worker_name!(holder), &[&text(&folder.cache())]);
    holder.wait_for_lines(1);
    holder
}

fn lock_file_of_another(folder: &Folder, content: &[u8], age: Duration) {
    fs::write(folder.lock_file(), content).expect("written");
    set_age(&folder.lock_file(), age);
}

#[test]
fn a_living_holder_is_waited_for_and_named_and_its_lock_left_alone() {
    let folder = Folder::new();
    let mut holder = start_holder(&folder);
    // However old its file may look.
    set_age(&folder.lock_file(), Duration::from_secs(7200));
    let before = fs::read(folder.lock_file()).expect("read");
    let error = failure(put(&folder.impatient(), &SHARED, "a"));
    assert_eq!((error.kind(), error.store()), (ErrorKind::Busy, Some("file")), "{error}");
    assert!(error.message().contains(&format!("process {}", holder.id())), "{error}");
    let age = error.message().split(" for ").nth(1).and_then(|rest| rest.split(" s;").next());
    let age: f64 = age.and_then(|age| age.parse().ok()).expect("it says for how long");
    assert!(age >= 7200.0, "{error}");
    assert_eq!(fs::read(folder.lock_file()).expect("still there"), before);
    holder.say("go on");
    assert_eq!(holder.finish(), ["holds", "released"]);
    put(&folder.impatient(), &SHARED, "a").expect("free");
    assert_eq!(folder.names(), ["msal.cache"]);
}

#[test]
fn the_lock_of_a_killed_process_is_recovered_at_once() {
    let folder = Folder::new();
    for age in [None, Some(Duration::ZERO)] {
        let mut holder = start_holder(&folder);
        holder.kill();
        assert!(folder.lock_file().exists(), "it was killed while it held the lock");
        if let Some(age) = age {
            set_age(&folder.lock_file(), age);
        }
        // Not even a waiter without patience notices.
        let store = FileStore::at(folder.cache()).plaintext().lock_wait(Duration::ZERO).build().expect("a path");
        put(&store, &SHARED, "a").expect("recovered");
        assert!(!folder.lock_file().exists());
    }
}

#[test]
fn the_lock_file_is_what_the_other_libraries_expect() {
    let folder = Folder::new();
    let path = folder.lock_file();
    within_lock(&folder.plaintext(), &SHARED, move || {
        // Node and one Python: it exists. .NET, Go and the other Python: it is locked.
        let file = fs::File::options().read(true).write(true).open(&path).expect("it exists");
        assert!(matches!(fs4::FileExt::try_lock(&file), Err(fs4::TryLockError::WouldBlock)));
        // Java and all who read it: the process id comes first, on the one line that there is.
        let content = fs::read_to_string(&path).expect("read");
        assert!(content.starts_with(&format!("{} ", std::process::id())), "{content}");
        assert_eq!(content.find('\n'), Some(content.len() - 1), "{content}");
        if cfg!(target_os = "linux") {
            assert!(content.contains(" boot=") && content.contains(" pidns="), "{content}");
        }
    })
    .expect("locked");
    assert!(!folder.lock_file().exists());
}

#[test]
fn another_librarys_dead_holder_is_recovered_after_two_seconds() {
    for content in [format!("{DEAD} node"), format!("\u{feff}{DEAD} dotnet\n"), format!("{DEAD}\nboot=x pidns=y\n")] {
        let folder = Folder::new();
        lock_file_of_another(&folder, content.as_bytes(), Duration::ZERO);
        let at_once = FileStore::at(folder.cache()).plaintext().lock_wait(Duration::ZERO).build().expect("a path");
        let error = failure(put(&at_once, &SHARED, "a"));
        assert_eq!(error.kind(), ErrorKind::Busy, "a file this young is left alone: {error}");
        assert!(error.message().contains(DEAD), "{error}");
        set_age(&folder.lock_file(), Duration::from_secs(3));
        put(&folder.impatient(), &SHARED, "a").expect("recovered");
        assert_eq!(folder.names(), ["msal.cache"]);
    }
}

#[test]
fn a_waiter_with_patience_outlasts_the_two_seconds() {
    let folder = Folder::new();
    lock_file_of_another(&folder, format!("{DEAD} python").as_bytes(), Duration::ZERO);
    let started = Instant::now();
    put(&folder.plaintext(), &SHARED, "a").expect("recovered");
    assert!(started.elapsed() >= Duration::from_millis(1900), "not before");
}

#[test]
fn another_librarys_living_holder_is_left_alone_for_a_minute() {
    let folder = Folder::new();
    // Node and one Python hold the lock by the existence of a file that they do not lock.
    let me = std::process::id().to_string();
    lock_file_of_another(&folder, me.as_bytes(), Duration::from_secs(55));
    let error = failure(put(&folder.impatient(), &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(folder.lock_file().exists());
    // A file that says nothing, too.
    lock_file_of_another(&folder, b"", Duration::from_secs(55));
    assert_eq!(failure(put(&folder.impatient(), &SHARED, "a")).kind(), ErrorKind::Busy);
    // No library holds its lock for so long.
    for content in [&b""[..], me.as_bytes()] {
        lock_file_of_another(&folder, content, Duration::from_secs(61));
        put(&folder.impatient(), &SHARED, "a").expect("recovered");
    }
}

#[test]
fn a_lock_file_from_the_future_counts_as_old() {
    let folder = Folder::new();
    fs::write(folder.lock_file(), "").expect("written");
    let ahead = std::time::SystemTime::now() + Duration::from_secs(86_400);
    fs::File::options().write(true).open(folder.lock_file()).expect("opens").set_modified(ahead).expect("set");
    put(&folder.impatient(), &SHARED, "a").expect("recovered");
}

#[test]
fn a_clock_that_is_a_little_ahead_makes_nobody_old() {
    let folder = Folder::new();
    fs::write(folder.lock_file(), std::process::id().to_string()).expect("written");
    let ahead = std::time::SystemTime::now() + Duration::from_secs(30);
    fs::File::options().write(true).open(folder.lock_file()).expect("opens").set_modified(ahead).expect("set");
    assert_eq!(failure(put(&folder.impatient(), &SHARED, "a")).kind(), ErrorKind::Busy);
    assert!(folder.lock_file().exists(), "the lock of another program is left alone");
}

#[test]
fn whoever_locks_the_file_lives_whatever_it_says() {
    // As MSAL.NET and Go do.
    let folder = Folder::new();
    lock_file_of_another(&folder, format!("{DEAD} dotnet\n").as_bytes(), Duration::from_secs(7200));
    let file = fs::File::options().read(true).write(true).open(folder.lock_file()).expect("opens");
    fs4::FileExt::try_lock(&file).expect("free");
    assert_eq!(failure(put(&folder.impatient(), &SHARED, "a")).kind(), ErrorKind::Busy);
    drop(file);
    put(&folder.impatient(), &SHARED, "a").expect("recovered");
}

#[test]
fn something_else_at_the_locks_path_is_an_error_and_not_a_wait() {
    let folder = Folder::new();
    let patient = FileStore::at(folder.cache()).plaintext().lock_wait(Duration::MAX).build().expect("a path");
    let target = folder.path().join("target");
    let kinds: [fn(&Path, &Path); 4] = [
        |path, _| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is there").success()),
        |path, _| fs::create_dir(path).expect("a folder"),
        |path, target| symlink(target, path).expect("a dangling link"),
        |path, target| {
            fs::write(target, "").expect("written");
            symlink(target, path).expect("a link");
        },
    ];
    for make in kinds {
        make(&folder.lock_file(), &target);
        let error = failure(put(&patient, &SHARED, "a"));
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.message().contains("msal.cache.lockfile"), "{error}");
        let _ = fs::remove_dir(folder.lock_file());
        let _ = fs::remove_file(folder.lock_file());
    }
    assert_eq!(fs::read(&target).expect("the target is untouched"), b"");
    put(&patient, &SHARED, "a").expect("free, however long one would wait");
}

/// Runs one commit during which `disturb` is called in the exclusive section, the first time. Answers how often the
/// edit was called.
fn commit_disturbed(folder: &Folder, disturb: impl Fn() + Send + 'static) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let edit = move |document: Option<&Blob>| -> Result<Edit> {
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            disturb();
        }
        let text = document.map_or_else(String::new, |bytes| String::from_utf8(bytes.expose().to_vec()).expect("text"));
        let text = text.replacen("{\"AccessToken\":{", "{\"AccessToken\":{\"ours\":{\"secret\":\"s\"},", 1);
        Ok(Edit::Replace(Blob::new(text.into_bytes())))
    };
    pollster::block_on(folder.plaintext().modify(&SHARED, Box::new(edit))).expect("committed");
    calls.load(Ordering::SeqCst)
}

#[test]
fn who_removes_our_lock_file_makes_us_merge_again_and_nothing_is_lost() {
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let path = folder.lock_file();
    // What MSAL Node does after a read from its memory.
    assert_eq!(commit_disturbed(&folder, move || fs::remove_file(&path).expect("removed")), 2);
    assert_eq!(keys(&folder.plaintext(), &SHARED).expect("read"), ["a", "ours"]);
    assert_eq!(folder.names(), ["msal.cache"]);
}

#[test]
fn who_enters_after_our_lock_file_was_removed_keeps_its_change_and_its_lock() {
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let path = folder.lock_file();
    let other = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&other);
    let store = folder.plaintext();
    let cache = folder.cache();
    let disturb = move || {
        fs::remove_file(&path).expect("removed");
        // Another library locks, writes in place, and is still there.
        let lock = fs::File::create_new(&path).expect("the name is free");
        fs4::FileExt::try_lock(&lock).expect("free");
        let text = fs::read_to_string(&cache).expect("read");
        let text = text.replacen("{\"AccessToken\":{", "{\"AccessToken\":{\"theirs\":{\"secret\":\"s\"},", 1);
        fs::write(&cache, text).expect("written");
        let path = path.clone();
        let release = std::thread::spawn(move || {
            // It leaves while the other one waits, or before; both must do.
            assert!(path.exists(), "its lock file was removed by the one that no longer held it");
            fs::remove_file(&path).expect("it removes its own file");
            drop(lock);
        });
        kept.lock().expect("no panic").replace(release);
    };
    assert_eq!(commit_disturbed(&folder, disturb), 2);
    let release = other.lock().expect("no panic").take().expect("it was there");
    release.join().expect("its lock was respected");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "ours", "theirs"]);
}

#[test]
fn who_writes_in_spite_of_the_lock_makes_us_merge_again_and_nothing_is_lost() {
    let replaced: fn(&Path, &str) = |cache, text| {
        let temporary = cache.with_extension("other");
        fs::write(&temporary, text).expect("written");
        fs::rename(&temporary, cache).expect("renamed");
    };
    let in_place: fn(&Path, &str) = |cache, text| fs::write(cache, text).expect("written");
    for write in [replaced, in_place] {
        let folder = Folder::new();
        put(&folder.plaintext(), &SHARED, "a").expect("written");
        let cache = folder.cache();
        let disturb = move || {
            let text = fs::read_to_string(&cache).expect("read");
            write(&cache, &text.replacen("{\"AccessToken\":{", "{\"AccessToken\":{\"theirs\":{\"secret\":\"s\"},", 1));
        };
        assert_eq!(commit_disturbed(&folder, disturb), 2);
        assert_eq!(keys(&folder.plaintext(), &SHARED).expect("read"), ["a", "ours", "theirs"]);
    }
}

#[test]
fn who_never_stops_writing_in_spite_of_the_lock_is_told_of() {
    let folder = Folder::new();
    let store = folder.impatient();
    put(&store, &SHARED, "a").expect("written");
    let cache = folder.cache();
    let mut calls = 0;
    let edit = move |document: Option<&Blob>| -> Result<Edit> {
        calls += 1;
        fs::write(&cache, format!("{{\"Account\":{{\"{calls}\":{{\"x\":1}}}}}}")).expect("written");
        Ok(Edit::Replace(document.expect("there is one").clone()))
    };
    let error = failure(pollster::block_on(store.modify(&SHARED, Box::new(edit))));
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.message().contains("in spite of its lock"), "{error}");
    assert_eq!(folder.names(), ["msal.cache"]);
}

/// Asserts that no lock is held whenever it is called.
struct OutsideTheLock {
    lock_file: std::path::PathBuf,
    events: Arc<AtomicUsize>,
}

impl tracing::Subscriber for OutsideTheLock {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        assert!(!self.lock_file.exists(), "a subscriber is the caller's code");
        self.events.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn no_subscriber_of_traces_is_called_under_the_lock() {
    let folder = Folder::new();
    fs::write(folder.cache(), "{\"Account\":{}} and more").expect("written");
    set_age(&folder.cache(), Duration::from_secs(2));
    set_mode(&folder.cache(), 0o644);
    lock_file_of_another(&folder, DEAD.as_bytes(), Duration::from_secs(3));
    hear_every_trace();
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = OutsideTheLock { lock_file: folder.lock_file(), events: Arc::clone(&events) };
    tracing::subscriber::with_default(subscriber, || drop(put(&folder.plaintext(), &SHARED, "a").expect("written")));
    assert!(events.load(Ordering::SeqCst) >= 3, "the mode, the dead holder and the damage");
}

/// A protector whose keys must be prepared, and never under the lock. Each file needs a key of its own, and the first
/// preparation is slow: another process writes meanwhile.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Protector>,
    lock_file: std::path::PathBuf,
    prepared: Mutex<Vec<Vec<u8>>>,
    meanwhile: Mutex<Option<FileStore>>,
}

impl Protector for Slow {
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()> {
        assert!(!self.lock_file.exists(), "keys are prepared outside the lock");
        let Some(protected) = protected else { return Ok(()) };
        self.prepared.lock().expect("no panic").push(protected.to_vec());
        if let Some(other) = self.meanwhile.lock().expect("no panic").take() {
            put(&other, &SHARED, "theirs").expect("written");
        }
        Ok(())
    }

    fn is_prepared(&self, protected: &[u8]) -> bool {
        self.prepared.lock().expect("no panic").iter().any(|prepared| prepared == protected)
    }

    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
        self.inner.protect(plaintext, context)
    }

    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob> {
        if self.is_prepared(protected) {
            return self.inner.unprotect(protected, context);
        }
        Err(Error::new(ErrorKind::Internal, "it was to be prepared"))
    }
}

#[test]
fn keys_are_prepared_outside_the_lock_also_when_the_file_changes_meanwhile() {
    let folder = Folder::new();
    put(&folder.protected(), &SHARED, "a").expect("written");
    let slow = Arc::new(Slow {
        inner: protector(),
        lock_file: folder.lock_file(),
        prepared: Mutex::default(),
        meanwhile: Mutex::new(Some(folder.protected())),
    });
    let store =
        FileStore::at(folder.cache()).protector(Arc::clone(&slow) as Arc<dyn Protector>).build().expect("a path");
    put(&store, &SHARED, "ours").expect("written");
    assert_eq!(slow.prepared.lock().expect("no panic").len(), 2);
    assert_eq!(keys(&folder.protected(), &SHARED).expect("read"), ["a", "ours", "theirs"]);
}
