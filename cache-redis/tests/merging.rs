//! The script that merges, against the rules of `cache_core::merge` as [`MemoryStore`] applies them: random commits give the
//! same entries, the same skipped and written changes, and other stamps at the same moments.
#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cache_core::{
    CacheStore, Change, Changes, Clock, Entry, EntryId, Guard, LookupTerm, ManualClock, MemoryStore, PartitionKey,
    Snapshot, UnixMillis, UnixSeconds, Version,
};
use cache_redis::RedisStore;
use cache_testkit::entries::{EntryBuilder, access_token, account, app_metadata, refresh_token, unknown_section};
use cache_testkit::promises::length;
use cache_testkit::redis::{Server, is_installed};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use common::{at, entries, fields, names, protector};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const USERS: [&str; 2] = ["uid.utid", "other.utid"];
const HOSTS: [&str; 4] = ["login.windows.net", "LOGIN.windows.net:443", "login.microsoftonline.us", ""];
const CLOUDS: [&[&str]; 3] = [&["login.windows.net", "login.microsoftonline.com"], &["login.microsoftonline.us"], &[]];
const LEASES: [&str; 2] = ["refresh", "Refresh"];
const PREFIX: &str = "merging";

#[derive(Debug, Clone)]
enum Step {
    Commit { fence: Option<(&'static str, u64)>, changes: Vec<Asked>, twice: bool },
    RemovePartition,
    Clock { seconds: i64 },
}

/// A change whose versions are named by when they were seen: each store has given versions of its own.
#[derive(Debug, Clone)]
enum Asked {
    Put { entry: Entry, replaces: Option<Seen>, guard: Option<Guard> },
    Remove { id: EntryId, if_match: Option<Seen> },
    RemoveAccount { user: &'static str, cloud: &'static [&'static str] },
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Present,
    /// One that a commit has told, the last ones first.
    Earlier(usize),
    Never,
}

fn steps() -> impl Strategy<Value = Step> {
    let fence = prop::option::weighted(0.3, (select(&LEASES[..]), 0..4_u64));
    let commit = (fence, prop::collection::vec(asked(), 0..7), prop::bool::weighted(0.2));
    prop_oneof![
        12 => commit.prop_map(|(fence, changes, twice)| Step::Commit { fence, changes, twice }),
        1 => Just(Step::RemovePartition),
        2 => (-3..4_i64).prop_map(|seconds| Step::Clock { seconds }),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let seen = || {
        let seen =
            prop_oneof![3 => Just(Seen::Present), 2 => (0..4_usize).prop_map(Seen::Earlier), 1 => Just(Seen::Never)];
        prop::option::weighted(0.4, seen)
    };
    let guard = prop_oneof![
        (select(&USERS[..]), select(&CLOUDS[..]))
            .prop_map(|(user, cloud)| Guard::Account { home_account_id: user.into(), environments: hosts(cloud) }),
        entry().prop_map(|entry| Guard::Entry(entry.id)),
    ];
    prop_oneof![
        6 => (entry(), seen(), prop::option::weighted(0.25, guard))
            .prop_map(|(entry, replaces, guard)| Asked::Put { entry, replaces, guard }),
        2 => (entry(), seen()).prop_map(|(entry, if_match)| Asked::Remove { id: entry.id, if_match }),
        1 => (select(&USERS[..]), select(&CLOUDS[..])).prop_map(|(user, cloud)| Asked::RemoveAccount { user, cloud }),
    ]
}

/// Of few ids, times and contents, so that they meet each other. None has expired: a commit drops what has.
fn entry() -> impl Strategy<Value = Entry> {
    let owner = prop::option::weighted(0.8, (select(&USERS[..]), select(&HOSTS[..])));
    let facts = (owner, prop::option::of(-2..3_i64), prop::option::of(select(vec![60, 600, 9_000])));
    (0..5_usize, select(vec!["a", "A", "b"]), facts, select(vec!["User.Read", "Mail.Read User.Read"]), 0..3_u8)
        .prop_map(|(kind, key, (owner, written, expires), target, text)| {
            let text = text.to_string();
            let owned = |builder: EntryBuilder| match owner {
                Some((user, host)) => builder.of(user, host),
                None => builder,
            };
            let at = |builder: EntryBuilder| match written {
                Some(seconds) => builder.at(NOW.plus(seconds).to_millis()),
                None => builder,
            };
            match kind {
                0 => {
                    let token = at(owned(access_token(key)).field("target", target).secret(&text));
                    expires.map_or(token.clone(), |seconds| token.expires(NOW.plus(seconds))).entry()
                }
                1 => at(owned(refresh_token(key)).secret(&text)).entry(),
                2 => at(owned(account(key)).field("username", &text)).entry(),
                3 => owned(app_metadata(key)).field("family_id", &text).entry(),
                _ => unknown_section("Other", &format!("{{\"text\":\"{text}\"}}")),
            }
        })
}

fn hosts(cloud: &[&str]) -> Arc<[Box<str>]> {
    cloud.iter().copied().map(Box::from).collect()
}

#[test]
fn random_commits_give_what_the_rules_say() {
    if !is_installed() {
        return;
    }
    let clock = Arc::new(ManualClock::at(NOW));
    let server = Server::start();
    let cases = u32::try_from(length(5_000, 150)).expect("a number");
    for is_protected in [false, true] {
        let open = || {
            let store = at(&server).prefix(PREFIX).clock(Arc::clone(&clock) as Arc<dyn Clock>);
            let store = if is_protected { store.protector(protector()) } else { store.insecure_plaintext() };
            store.open().expect("a usable address")
        };
        server.flush();
        let stores = [open(), open()];
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&prop::collection::vec(steps(), 1..8), |steps| {
                clock.set(NOW.to_millis());
                let run = Run::new(&server, &stores, &clock);
                run.play(&steps)
            })
            .unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// A partition of both stores.
struct Run<'a> {
    server: &'a Server,
    /// Two of the same partitions, which take turns.
    redis: &'a [RedisStore; 2],
    model: MemoryStore,
    clock: &'a ManualClock,
    partition: PartitionKey,
    /// The versions that commits have told, in Redis and in the model.
    versions: BTreeMap<EntryId, Vec<[Version; 2]>>,
}

impl<'a> Run<'a> {
    fn new(server: &'a Server, redis: &'a [RedisStore; 2], clock: &'a Arc<ManualClock>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let partition = PartitionKey::user(&COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        // By keyed hashes of the content, as Redis merges: the same content in other words is another one.
        let model = MemoryStore::sealed(Arc::clone(clock) as Arc<dyn Clock>);
        Self { server, redis, model, clock, partition, versions: BTreeMap::new() }
    }

    fn play(mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for (n, step) in steps.iter().enumerate() {
            let redis = &self.redis[n % 2];
            match step {
                Step::Commit { fence, changes, twice } => {
                    let changes = self.changes(*fence, changes);
                    for _ in 0..=usize::from(*twice) {
                        self.commit(redis, &changes)?;
                    }
                }
                Step::RemovePartition => {
                    for store in [redis as &dyn CacheStore, &self.model] {
                        pollster::block_on(store.remove(&self.partition)).expect("removed");
                    }
                }
                Step::Clock { seconds } => self.clock.set(UnixMillis(self.clock.now().0 + seconds * 1000)),
            }
            self.compare(redis)?;
            self.check_fields()?;
        }
        // So that the next case finds only its own partition.
        pollster::block_on(self.redis[0].remove(&self.partition)).expect("removed");
        Ok(())
    }

    /// The changes for Redis and for the model.
    fn changes(&self, fence: Option<(&str, u64)>, asked: &[Asked]) -> [Changes; 2] {
        let seen = |id: &EntryId, seen: Seen| {
            let known = self.versions.get(id).map_or(&[][..], Vec::as_slice);
            match seen {
                Seen::Present => known.last().cloned(),
                Seen::Earlier(n) => known.iter().rev().nth(n).cloned(),
                Seen::Never => None,
            }
        };
        let never = || [(); 2].map(|()| Version::new(b"of another store"));
        [0, 1].map(|which| {
            let version = |id: &EntryId, asked: Option<Seen>| {
                asked.map(|asked| seen(id, asked).unwrap_or_else(never)[which].clone())
            };
            let changes = asked.iter().map(|asked| match asked {
                Asked::Put { entry, replaces, guard } => {
                    let replaces = version(&entry.id, *replaces);
                    Change::Put { entry: entry.clone(), replaces, guard: guard.clone() }
                }
                Asked::Remove { id, if_match } => Change::Remove { id: id.clone(), if_match: version(id, *if_match) },
                Asked::RemoveAccount { user, cloud } => {
                    Change::RemoveAccount { home_account_id: (*user).into(), environments: hosts(cloud) }
                }
            });
            let changes = Changes::new(changes.collect());
            match fence {
                Some((lease, number)) => changes.with_fence(lease, number),
                None => changes,
            }
        })
    }

    fn commit(&mut self, redis: &RedisStore, [ours, models]: &[Changes; 2]) -> Result<(), TestCaseError> {
        let done = pollster::block_on(redis.commit(&self.partition, ours)).expect("committed");
        let model = pollster::block_on(self.model.commit(&self.partition, models)).expect("committed");
        prop_assert_eq!(&done.skipped, &model.skipped);
        let ids = |written: &[(EntryId, Version)]| written.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        prop_assert_eq!(ids(&done.written), ids(&model.written));
        prop_assert_eq!((done.before.is_some(), done.after.is_some()), (model.before.is_some(), model.after.is_some()));
        if model.before != model.after {
            prop_assert_ne!(&done.before, &done.after);
        } else if done.before != done.after {
            // Redis counts a write, also of what was there before the commit that has changed it meanwhile.
            prop_assert!(writes_twice(ours), "nothing changed, but the stamp did");
        }
        for ((id, ours), (_, models)) in done.written.into_iter().zip(model.written) {
            self.versions.entry(id).or_default().push([ours, models]);
        }
        Ok(())
    }

    /// Every way to read gives what the model has.
    fn compare(&self, redis: &RedisStore) -> Result<(), TestCaseError> {
        let loaded = pollster::block_on(redis.load(&self.partition)).expect("loaded");
        let expected = pollster::block_on(self.model.load(&self.partition)).expect("loaded");
        let stamp = pollster::block_on(redis.stamp(&self.partition)).expect("read");
        prop_assert_eq!(stamp.as_ref(), loaded.as_ref().map(|loaded| &loaded.stamp));
        prop_assert_eq!(content(loaded.clone()), content(expected.clone()));
        let Some(expected) = expected else { return Ok(()) };
        let ids: Vec<EntryId> = expected.entries.iter().map(|stored| stored.entry.id.clone()).collect();
        let got = pollster::block_on(redis.get(&self.partition, &ids)).expect("read");
        let got: Vec<Entry> = got.into_iter().flatten().map(|stored| stored.entry).collect();
        prop_assert_eq!(got, expected.entries.iter().map(|stored| stored.entry.clone()).collect::<Vec<_>>());
        for token in expected.entries.iter().filter(|stored| !stored.entry.lookup_terms().is_empty()) {
            let terms: Vec<LookupTerm> = token.entry.lookup_terms();
            for terms in std::iter::once(&terms[..]).chain(terms.chunks(1)) {
                let [found, model] = [redis as &dyn CacheStore, &self.model]
                    .map(|store| content(pollster::block_on(store.find(&self.partition, terms)).expect("found")));
                prop_assert_eq!(found, model);
            }
        }
        Ok(())
    }

    /// What the script keeps beside the entries fits them: their number, the lists by account and by term, and until when the
    /// partition is listed with which accounts.
    fn check_fields(&self) -> Result<(), TestCaseError> {
        let Some(key) = names(self.server, &format!("{PREFIX}:{{*}}:h")).pop() else { return Ok(()) };
        let (all, entries) = (fields(self.server, &key), entries(self.server, &key));
        prop_assert_eq!(String::from_utf8_lossy(&all[&b"n"[..]]), entries.len().to_string());
        let lists = all.iter().filter(|(name, _)| name.len() == 17 && b"cat".contains(&name[0]));
        for (_, records) in lists {
            prop_assert!(!records.is_empty());
            for tag in records.chunks(16) {
                prop_assert!(entries.contains_key(tag), "a list names an entry that is gone");
            }
        }
        let accounts_of = |kinds: &[u8]| -> BTreeSet<&[u8]> {
            all.keys().filter(|name| name.len() == 17 && kinds.contains(&name[0])).map(|name| &name[1..]).collect()
        };
        prop_assert_eq!(accounts_of(b"i"), accounts_of(b"ca"));
        prop_assert_eq!(all.keys().filter(|name| name.len() != 17).count(), 5, "g, v, n, m, x");
        Ok(())
    }
}

/// The entries by their ids.
fn content(snapshot: Option<Snapshot>) -> Option<BTreeMap<EntryId, Entry>> {
    let entries = snapshot?.entries.into_iter().map(|stored| (stored.entry.id.clone(), stored.entry));
    Some(entries.collect())
}

/// Whether a change may undo what another one of the same commit did.
fn writes_twice(changes: &Changes) -> bool {
    let puts = changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
    puts > 0 && changes.len() > 1
}
