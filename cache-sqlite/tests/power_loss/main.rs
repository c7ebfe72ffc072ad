//! Losses of power, on the real SQLite and its real system calls: a worker's calls are written down, a model of a disk
//! replays them, and what it may have left at any moment is opened.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs more updates and more losses. Needs `strace`; without it the tests
//! say so and show nothing, and where `CI` is set they fail.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod disk;
mod log;

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

use cache_core::{CacheStore as _, Change, Changes};
use cache_sqlite::{Durability, SqliteStore};
use cache_testkit::access_tokens::{ALICE, HOST, put};
use cache_testkit::entries::access_token;
use cache_testkit::folder::text;
use cache_testkit::process::{self, Process};
use cache_testkit::promises::{length, say};
use cache_testkit::random::Random;
use cache_testkit::worker_name;

use common::{Folder, SHARED, can_trace, integrity, protector, rows};
use disk::{Disk, Image, Left};
use log::Event;

/// The entries that an update adds, all or none, beside the one that each update writes anew.
const ADDED: usize = 3;
const LATEST: &str = "latest";
const DELETED: &str = "deleted";

fn update(store: &SqliteStore, n: usize, size: usize) {
    let entry = |key: &str, secret: &str| Change::put(access_token(key).of(ALICE, HOST).secret(secret).entry());
    let mut changes: Vec<Change> = (0..ADDED)
        .map(|part| entry(&format!("{n}/{part}"), &format!("{n}:{}", "x".repeat(size))))
        .chain([entry(LATEST, &format!("{n}:"))])
        .collect();
    changes.rotate_left(n % ADDED);
    let committed = pollster::block_on(store.commit(&SHARED, &Changes::new(changes))).expect("a usable database");
    assert!(committed.skipped.is_empty());
}

/// Makes updates and says each that is stored. Closes the database now and then in the first half of them, which ends the
/// log; makes them so large in the second that the log is ended while the database is open. At the update `deletes` it
/// deletes the database before, as a user may who wants to be signed out of everything.
#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| {
        let [path, count, durability, deletes] = worker.arguments().to_vec().try_into().expect("four arguments");
        let count: usize = count.parse().expect("a number");
        let open = || {
            let durability = if durability == "Full" { Durability::Full } else { Durability::Normal };
            let store = SqliteStore::at(&path).protector(protector()).durability(durability);
            store.open().expect("a usable path")
        };
        let mut store = open();
        for n in 0..count {
            if deletes == n.to_string() {
                worker.say(DELETED);
                fs::remove_file(&path).expect("it is there");
            }
            let is_early = n < count / 2;
            if is_early && n % 5 == 4 {
                drop(store);
                store = open();
            }
            update(&store, n, if is_early { 1_500 } else { 130_000 });
            worker.say(&n.to_string());
        }
    });
}

struct Traced {
    folder: Folder,
    events: Vec<Event>,
}

impl Traced {
    /// `None`: nothing can be traced here, which was said.
    fn writer(count: usize, durability: Durability, deletes: &str) -> Option<Self> {
        if !can_trace() {
            return None;
        }
        let folder = Folder::new();
        let beside = Folder::in_memory();
        let log = beside.path().join("log");
        let arguments = [&*folder.argument(), &count.to_string(), &format!("{durability:?}"), deletes];
        Process::start_under(&log::tracer(&text(&log)), worker_name!(writer), &arguments).finish();
        let events = log::read(&log);
        let said = events.iter().filter(|event| matches!(event, Event::Said(line) if line != DELETED)).count();
        assert_eq!(said, count, "every acknowledgement is in the log");
        Some(Self { folder, events })
    }

    /// Calls `look` at every acknowledgement and after a share of the other calls, while the disk is as it was then.
    fn replay(&self, lies_about: Option<&'static str>, mut look: impl FnMut(&Disk, &Told)) {
        let share = length(16, 32);
        let mut disk = Disk::new(&text(self.folder.path()), lies_about);
        let (mut told, mut random) = (Told::default(), Random(0x9E37_79B9_7F4A_7C15));
        for event in &self.events {
            // Every call while a database is made, and until the first update is in it.
            let is_new = told.acknowledged.is_none();
            let is_change = disk.apply(event) && (is_new || random.below(share) == 0);
            if told.hear(event) || is_change {
                look(&disk, &told);
            }
        }
    }
}

/// What was said before a loss of power.
#[derive(Default)]
struct Told {
    /// The last update that was acknowledged since the database was deleted, if it was.
    acknowledged: Option<usize>,
    /// The updates before the deletion.
    deleted: Option<usize>,
}

impl Told {
    fn hear(&mut self, event: &Event) -> bool {
        let Event::Said(line) = event else { return false };
        if line == DELETED {
            self.deleted = self.acknowledged.take();
        } else {
            self.acknowledged = Some(line.parse().expect("a number"));
        }
        true
    }

    /// The updates that must be there.
    fn expected(&self) -> Option<RangeInclusive<usize>> {
        let first = self.deleted.map_or(0, |last| last + 1);
        self.acknowledged.map(|last| first..=last)
    }
}

/// The updates that an image has; `None`: there is no database in it, or an empty one.
///
/// # Panics
/// If it is damaged, has a part of an update, or an update without those before it.
fn updates(image: &Image, what: &str) -> Option<RangeInclusive<usize>> {
    let folder = Folder::in_memory();
    for (name, content) in image {
        fs::write(folder.path().join(name), content).expect("the memory has room");
    }
    if !folder.database().exists() {
        return None;
    }
    let store = folder.at().protector(protector()).durability(Durability::Normal).open().expect("a usable path");
    let loaded = pollster::block_on(store.load(&SHARED));
    let loaded = loaded.unwrap_or_else(|error| panic!("{what}: {error}"));
    let snapshot = loaded.map_or_else(Vec::new, |snapshot| {
        assert!(snapshot.unreadable.is_empty(), "{what}: {:?}", snapshot.unreadable);
        snapshot.entries
    });
    assert_eq!(rows(&folder.database(), "entry"), snapshot.len(), "{what}: rows that belong to nobody");
    let (mut parts, mut latest) = (BTreeMap::<usize, usize>::new(), None);
    for stored in &snapshot {
        let json: serde_json::Value = serde_json::from_slice(stored.entry.json.expose()).expect("JSON");
        let secret = json["secret"].as_str().expect("a secret").split_once(':').expect("a number").0;
        let n: usize = secret.parse().expect("a number");
        match stored.entry.id.key().split_once('/') {
            Some((key, _)) => {
                assert_eq!(key, secret, "{what}");
                *parts.entry(n).or_default() += 1;
            }
            None => latest = Some(n),
        }
    }
    assert!(parts.values().all(|parts| *parts == ADDED), "{what}: a part of an update: {parts:?}");
    let found = parts.first_key_value().zip(latest).map(|((first, _), last)| *first..=last);
    let expected: Vec<usize> = found.clone().into_iter().flatten().collect();
    assert_eq!(parts.into_keys().collect::<Vec<_>>(), expected, "{what}: updates without those before them");
    put(&store, &SHARED, "afterwards").unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(store);
    assert_eq!(integrity(&folder.database()), "ok", "{what}");
    found
}

/// The losses of power that are tried at one moment: many while a database takes the place of a deleted one.
fn losses(told: &Told) -> impl Iterator<Item = Left> {
    let is_replaced = told.deleted.is_some() && told.acknowledged.is_none();
    let some = if is_replaced { 6 } else { length(4, 1) };
    [Left::Nothing, Left::Everything].into_iter().chain(std::iter::repeat_n(Left::Some, some))
}

/// How many updates were acknowledged and are missing after losses of power at many moments, and how many losses there
/// were. All that is left is sound.
fn missing(traced: &Traced, lies_about: Option<&'static str>) -> (usize, usize) {
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let (mut missing, mut tried) = (0, 0);
    traced.replay(lies_about, |disk, told| {
        for left in losses(told) {
            let image = disk.image(left, &mut random);
            let what = format!("{left:?} is left after {:?}, deleted {:?}", told.acknowledged, told.deleted);
            let found = updates(&image, &what);
            tried += 1;
            match (told.expected(), found) {
                (Some(expected), Some(found)) => {
                    assert_eq!(expected.start(), found.start(), "{what}: {found:?}, what was deleted is back");
                    assert!(*found.end() <= expected.end() + 1, "{what}: {found:?}");
                    missing += expected.end().saturating_sub(*found.end());
                }
                (Some(expected), None) => missing += expected.count(),
                // What was deleted, the first update of the new database, or nothing.
                (None, _) => {}
            }
        }
    });
    (missing, tried)
}

fn updates_made() -> usize {
    length(24, 20)
}

#[test]
fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    let Some(traced) = Traced::writer(updates_made(), Durability::Full, "") else { return };
    let (missing, losses) = missing(&traced, None);
    say(&format!(
        "{} calls, {losses} losses of power with Full: {missing} acknowledged updates missing",
        traced.events.len()
    ));
    assert_eq!(missing, 0);
}

#[test]
fn a_loss_of_power_takes_only_the_last_updates_with_less_durability() {
    let Some(traced) = Traced::writer(updates_made(), Durability::Normal, "") else { return };
    let (missing, losses) = missing(&traced, None);
    say(&format!("{losses} losses of power with Normal: all sound, {missing} times an acknowledged update missing"));
    assert!(missing > 0, "the model finds what is not synced");
}

#[test]
fn a_disk_that_lies_about_the_log_is_found_out() {
    let Some(traced) = Traced::writer(10, Durability::Full, "") else { return };
    let mut random = Random(1);
    let mut is_found = false;
    traced.replay(Some("-wal"), |disk, told| {
        // A log that is never written ends where the database is written from it, which no database survives: only the
        // time before counts.
        if told.acknowledged.is_some_and(|last| last < 4) {
            let found = updates(&disk.image(Left::Nothing, &mut random), "lied about");
            is_found |= found.map(|found| *found.end()) < told.acknowledged;
        }
    });
    assert!(is_found, "what the syncs of the log are for");
}

#[test]
fn a_new_database_takes_nothing_of_a_deleted_one() {
    let Some(traced) = Traced::writer(14, Durability::Full, "3") else { return };
    let (missing, losses) = missing(&traced, None);
    say(&format!("{losses} losses of power around a deletion: {missing} acknowledged updates missing"));
    assert_eq!(missing, 0);
}
