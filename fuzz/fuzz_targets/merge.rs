//! Random commits to four stores against a model of the merge rules, written from the table in `cache_core::merge`.
//!
//! The stores keep readable entries, sealed entries, documents, and rows of a database. Each has a model of its own, since
//! sealed ones take the same content in other words for other content.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use cache_core::schema::section;
use cache_core::{
    Blob, CacheStore, Change, Changes, Clock, Documents, Entry, EntryId, Guard, ManualClock, MemoryStore, PartitionKey,
    Skip, UnixMillis, UnixSeconds, Version,
};
use cache_crypto::{Envelope, Key};
use cache_sqlite::SqliteStore;
use cache_testkit::MemoryDocuments;
use cache_testkit::entries::{self, EntryBuilder};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const SECTIONS: [&str; 6] = [
    section::ACCOUNT,
    section::ACCESS_TOKEN,
    section::REFRESH_TOKEN,
    section::ID_TOKEN,
    section::APP_METADATA,
    "Other",
];
const KEYS: [&str; 4] = ["a", "A", "b", ""];
const USERS: [&str; 4] = ["uid.utid", "UID.utid", "other.utid", ""];
const HOSTS: [&str; 5] =
    ["login.windows.net", "LOGIN.windows.net:443", "login.microsoftonline.com", "login.microsoftonline.us", ""];
const CLOUDS: [&[&str]; 4] = [
    &["login.windows.net", "login.microsoftonline.com"],
    &["login.microsoftonline.us"],
    &["Login.Windows.Net:8443"],
    &[],
];
const LEASES: [&str; 2] = ["refresh", "Refresh"];

#[derive(Arbitrary, Debug)]
enum Operation {
    Commit { partition: bool, fence: Option<(bool, u8)>, steps: Vec<Step>, twice: bool },
    RemovePartition { partition: bool },
    Clock { seconds: i8 },
}

#[derive(Arbitrary, Debug)]
enum Step {
    Put { place: Place, content: Content, replaces: Option<Seen>, guard: Option<Guarded> },
    Remove { place: Place, if_match: Option<Seen> },
    RemoveAccount { user: u8, cloud: u8 },
}

#[derive(Arbitrary, Debug)]
struct Place {
    section: u8,
    key: u8,
}

#[derive(Arbitrary, Debug)]
struct Content {
    user: u8,
    host: u8,
    seconds: Option<i8>,
    text: u8,
    other_words: bool,
}

/// Which version of an entry a writer has seen.
#[derive(Arbitrary, Debug)]
enum Seen {
    Present,
    Earlier(u8),
    Never,
}

#[derive(Arbitrary, Debug)]
enum Guarded {
    Account { user: u8, cloud: u8 },
    Entry(Place),
}

fuzz_target!(|operations: Vec<Operation>| {
    let clock = Arc::new(ManualClock::at(NOW));
    let shared = || Arc::clone(&clock) as Arc<dyn Clock>;
    let mut stores = vec![
        Tested::new(MemoryStore::with_clock(shared()), true),
        Tested::new(MemoryStore::sealed(shared()), false),
        Tested::new(Documents::with_clock(MemoryDocuments::new(), shared()), true),
    ];
    // To make a database takes longer than all the rest.
    let folder = (operations.len() % 4 == 3).then(|| tempfile::tempdir_in("/dev/shm").expect("a folder in memory"));
    if let Some(folder) = &folder {
        let database = SqliteStore::at(folder.path().join("tokens.db")).protector(protector());
        stores.push(Tested::new(database.clock(shared()).open().expect("sound settings"), false));
    }
    for operation in &operations {
        match operation {
            Operation::Commit { partition, fence, steps, twice } => {
                let fence = fence.map(|(lease, number)| (LEASES[usize::from(lease)], u64::from(number % 4)));
                for store in &mut stores {
                    let steps: Vec<Planned> = steps.iter().map(|step| store.plan(*partition, step)).collect();
                    store.commit(*partition, fence, &steps, clock.now());
                    if *twice {
                        let once = store.models[usize::from(*partition)].entries.clone();
                        store.commit(*partition, fence, &steps, clock.now());
                        let model = &store.models[usize::from(*partition)];
                        assert!(!is_plain(&steps) || model.holds_the_same(&once), "the same commit twice is as once");
                    }
                }
            }
            Operation::RemovePartition { partition } => {
                for store in &mut stores {
                    store.remove_partition(*partition);
                }
            }
            Operation::Clock { seconds } => {
                clock.set(UnixMillis(clock.now().0 + i64::from(*seconds) * 1000));
            }
        }
        for store in &stores {
            store.check_partitions();
        }
    }
});

fn protector() -> Arc<Envelope> {
    static PROTECTOR: OnceLock<Arc<Envelope>> = OnceLock::new();
    Arc::clone(PROTECTOR.get_or_init(|| Arc::new(Envelope::with_key(Key::from_bytes(&[7; Key::LEN])))))
}

/// A step with all that it refers to looked up: what a writer has seen is named by its JSON, whose version each store
/// has given.
#[derive(Clone)]
enum Planned {
    Put { entry: Entry, replaces: Option<Blob>, guard: Option<Guard> },
    Remove { id: EntryId, if_match: Option<Blob> },
    RemoveAccount { home_account_id: &'static str, environments: &'static [&'static str] },
}

/// Whether no step meets what another one did. A put that is guarded by what the same commit brings applies at the
/// second time only, for example.
fn is_plain(steps: &[Planned]) -> bool {
    let mut met = BTreeSet::new();
    steps.iter().all(|step| match step {
        Planned::Put { entry, guard, .. } => guard.is_none() && met.insert(&entry.id),
        Planned::Remove { id, .. } => met.insert(id),
        Planned::RemoveAccount { .. } => steps.len() == 1,
    })
}

/// The rules over a plain map.
struct Model {
    /// Whether the same content in other words is the same.
    by_meaning: bool,
    entries: BTreeMap<EntryId, Entry>,
    fences: BTreeMap<&'static str, u64>,
}

impl Model {
    /// Applies the steps; answers what was skipped, and whether anything was written.
    fn commit(
        &mut self,
        fence: Option<(&'static str, u64)>,
        steps: &[Planned],
        now: UnixMillis,
    ) -> (Vec<(EntryId, Skip)>, bool) {
        if let Some((lease, number)) = fence {
            let highest = self.fences.entry(lease).or_insert(number);
            if number < *highest {
                return (steps.iter().map(|step| (id_of(step), Skip::Fenced)).collect(), false);
            }
            *highest = number;
        }
        let (mut skipped, mut written) = (Vec::new(), false);
        for step in steps {
            match step {
                Planned::Put { entry, replaces, guard } => {
                    match self.put(entry, replaces.as_ref(), guard.as_ref(), now) {
                        Put::Written => {
                            self.entries.insert(entry.id.clone(), entry.clone());
                            written = true;
                        }
                        Put::Nothing => {}
                        Put::Skipped(reason) => skipped.push((entry.id.clone(), reason)),
                    }
                }
                Planned::Remove { id, if_match } => match (self.entries.get(id), if_match) {
                    (Some(present), Some(seen)) if !self.same(&present.json, seen) => {
                        skipped.push((id.clone(), Skip::NoMatch));
                    }
                    (present, _) => {
                        written |= present.is_some();
                        self.entries.remove(id);
                    }
                },
                Planned::RemoveAccount { home_account_id, environments } => {
                    let before = self.entries.len();
                    self.entries.retain(|_, entry| !is_of(entry, home_account_id, environments));
                    written |= self.entries.len() < before;
                }
            }
        }
        (skipped, written)
    }

    fn put(&self, entry: &Entry, replaces: Option<&Blob>, guard: Option<&Guard>, now: UnixMillis) -> Put {
        if !guard.is_none_or(|guard| self.holds(guard)) {
            return Put::Skipped(Skip::GuardGone);
        }
        let Some(present) = self.entries.get(&entry.id) else { return Put::Written };
        if self.same(&present.json, &entry.json) {
            return Put::Nothing;
        }
        if replaces.is_some_and(|seen| self.same(seen, &present.json)) {
            return Put::Written;
        }
        // A time beyond the clock counts as the clock; no time is older than any.
        let time = |entry: &Entry| entry.written_at.map(|time| time.min(now));
        match time(entry).cmp(&time(present)) {
            std::cmp::Ordering::Greater => Put::Written,
            std::cmp::Ordering::Equal if replaces.is_none() => Put::Written,
            _ => Put::Skipped(Skip::NewerPresent),
        }
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Entry(id) => self.entries.contains_key(id),
            Guard::Account { home_account_id, environments } => {
                let hosts: Vec<&str> = environments.iter().map(|host| &**host).collect();
                let mut accounts = self.entries.values().filter(|entry| entry.id.section() == section::ACCOUNT);
                accounts.any(|entry| is_of(entry, home_account_id, &hosts))
            }
        }
    }

    /// Whether these are the entries that are held, in whatever words.
    fn holds_the_same<'e>(&self, entries: impl IntoIterator<Item = (&'e EntryId, &'e Entry)>) -> bool {
        let mut others = entries.into_iter();
        let same = self.entries.values().all(|entry| {
            others.next().is_some_and(|(_, other)| {
                let in_same_words = Entry { json: entry.json.clone(), ..other.clone() };
                in_same_words == *entry && self.same(&other.json, &entry.json)
            })
        });
        same && others.next().is_none()
    }

    fn same(&self, a: &Blob, b: &Blob) -> bool {
        let value = |json: &Blob| serde_json::from_slice::<serde_json::Value>(json.expose()).ok();
        if self.by_meaning { value(a) == value(b) } else { a == b }
    }
}

enum Put {
    Written,
    Nothing,
    Skipped(Skip),
}

/// Whether the entry goes with this account: one that names no host goes with its user in any cloud.
fn is_of(entry: &Entry, home_account_id: &str, environments: &[&str]) -> bool {
    let bare = |host: &str| host.split(':').next().unwrap_or_default().to_lowercase();
    entry.account.as_ref().is_some_and(|account| {
        *account.home_account_id == *home_account_id
            && (account.environment.is_empty()
                || environments.iter().any(|host| bare(host) == bare(&account.environment)))
    })
}

/// What a skipped step is reported under.
fn id_of(step: &Planned) -> EntryId {
    match step {
        Planned::Put { entry, .. } => entry.id.clone(),
        Planned::Remove { id, .. } => id.clone(),
        Planned::RemoveAccount { .. } => EntryId::new(section::ACCOUNT, ""),
    }
}

/// A store, its model, and what it has given so far.
struct Tested {
    store: Box<dyn CacheStore>,
    models: [Model; 2],
    /// Every content that an entry has had in each partition, and its version there.
    versions: [BTreeMap<EntryId, Vec<(Blob, Version)>>; 2],
    stamps: Vec<Version>,
}

impl Tested {
    fn new(store: impl CacheStore, by_meaning: bool) -> Self {
        let models = [(); 2].map(|()| Model { by_meaning, entries: BTreeMap::new(), fences: BTreeMap::new() });
        Self { store: Box::new(store), models, versions: Default::default(), stamps: Vec::new() }
    }

    fn plan(&self, partition: bool, step: &Step) -> Planned {
        let seen = |id: &EntryId, seen: &Seen| match seen {
            Seen::Present => self.models[usize::from(partition)].entries.get(id).map(|entry| entry.json.clone()),
            Seen::Earlier(n) => {
                let known = self.versions[usize::from(partition)].get(id)?;
                Some(known[usize::from(*n) % known.len()].0.clone())
            }
            Seen::Never => None,
        };
        // Content that no store has held, of which no store has a version.
        let seen = |id: &EntryId, asked: &Seen| seen(id, asked).unwrap_or_else(|| Blob::copy_of(b"\"never stored\""));
        match step {
            Step::Put { place, content, replaces, guard } => {
                let entry = entry(place, content);
                let replaces = replaces.as_ref().map(|asked| seen(&entry.id, asked));
                let guard = guard.as_ref().map(|guard| match guard {
                    Guarded::Account { user, cloud } => Guard::Account {
                        home_account_id: pick(&USERS, *user).into(),
                        environments: hosts(pick(&CLOUDS, *cloud)),
                    },
                    Guarded::Entry(place) => Guard::Entry(place.id()),
                });
                Planned::Put { entry, replaces, guard }
            }
            Step::Remove { place, if_match } => {
                let id = place.id();
                Planned::Remove { if_match: if_match.as_ref().map(|asked| seen(&id, asked)), id }
            }
            Step::RemoveAccount { user, cloud } => {
                Planned::RemoveAccount { home_account_id: pick(&USERS, *user), environments: pick(&CLOUDS, *cloud) }
            }
        }
    }

    fn commit(&mut self, partition: bool, fence: Option<(&'static str, u64)>, steps: &[Planned], now: UnixMillis) {
        let place = key_of(partition);
        let mut changes = Changes::new(steps.iter().map(|step| self.change(partition, step)).collect());
        if let Some((lease, number)) = fence {
            changes = changes.with_fence(lease, number);
        }
        let before = block_on(self.store.stamp(&place)).expect("nothing fails");
        let committed = block_on(self.store.commit(&place, &changes)).expect("nothing fails");
        let after = block_on(self.store.stamp(&place)).expect("nothing fails");

        let model = &mut self.models[usize::from(partition)];
        let held = model.entries.clone();
        let (skipped, written) = model.commit(fence, steps, now);
        assert_eq!(committed.skipped, skipped, "{}", self.store.name());
        assert_eq!((&committed.before, &committed.after), (&before, &after));
        assert!(written || before == after, "nothing was written, so that nothing changed");
        let other_content = !model.holds_the_same(&held);
        let stamps = &mut self.stamps;
        if let Some(stamp) = after.filter(|_| other_content) {
            assert!(before.as_ref() != Some(&stamp) && !stamps.contains(&stamp), "a stamp is given once");
            stamps.push(stamp);
        }
        self.check(partition);
        if is_plain(steps) {
            let ids: Vec<EntryId> = committed.written.iter().map(|(id, _)| id.clone()).collect();
            let present = block_on(self.store.get(&place, &ids)).expect("nothing fails");
            let present = present.into_iter().map(|stored| stored.map(|stored| stored.version));
            assert!(committed.written.iter().map(|(_, version)| Some(version.clone())).eq(present));
            let puts = steps.iter().filter(|step| matches!(step, Planned::Put { .. })).map(id_of);
            assert!(ids.into_iter().eq(puts.filter(|id| skipped.iter().all(|(other, _)| other != id))));
        }
    }

    fn remove_partition(&mut self, partition: bool) {
        block_on(self.store.remove(&key_of(partition))).expect("nothing fails");
        self.models[usize::from(partition)].entries.clear();
        self.check(partition);
    }

    fn change(&self, partition: bool, step: &Planned) -> Change {
        let version = |id: &EntryId, seen: &Blob| {
            let known = self.versions[usize::from(partition)]
                .get(id)
                .and_then(|known| known.iter().find(|(json, _)| json == seen));
            known.map_or_else(|| Version::new(b"never given"), |(_, version)| version.clone())
        };
        match step.clone() {
            Planned::Put { entry, replaces, guard } => {
                Change::Put { replaces: replaces.map(|seen| version(&entry.id, &seen)), entry, guard }
            }
            Planned::Remove { id, if_match } => {
                Change::Remove { if_match: if_match.map(|seen| version(&id, &seen)), id }
            }
            Planned::RemoveAccount { home_account_id, environments } => {
                Change::RemoveAccount { home_account_id: home_account_id.into(), environments: hosts(environments) }
            }
        }
    }

    /// The store holds what the model holds.
    fn check(&mut self, partition: bool) {
        let (place, model) = (key_of(partition), &mut self.models[usize::from(partition)]);
        let snapshot = block_on(self.store.load(&place)).expect("nothing fails");
        assert_eq!(snapshot.is_none(), model.entries.is_empty());
        let stamp = block_on(self.store.stamp(&place)).expect("nothing fails");
        assert_eq!(snapshot.as_ref().map(|snapshot| &snapshot.stamp), stamp.as_ref());
        let stored = snapshot.map(|snapshot| snapshot.entries).unwrap_or_default();
        let held: BTreeMap<EntryId, Entry> =
            stored.iter().map(|held| (held.entry.id.clone(), held.entry.clone())).collect();
        assert_eq!(held.len(), stored.len(), "each entry once");
        let (name, expected) = (self.store.name(), &model.entries);
        assert!(model.holds_the_same(&held), "{name}: {held:?}\nbut {expected:?}");
        // What comes and goes and comes again in one commit may stand in the words of before or of after.
        model.entries = held;
        for held in stored {
            let known = self.versions[usize::from(partition)].entry(held.entry.id).or_default();
            if known.iter().all(|(json, _)| *json != held.entry.json) {
                known.push((held.entry.json, held.version));
            }
        }
    }

    fn check_partitions(&self) {
        let listed = block_on(self.store.partitions(None, 9)).expect("nothing fails");
        let held = [false, true].into_iter().filter(|at| !self.models[usize::from(*at)].entries.is_empty());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), held.map(key_of).collect());
    }
}

impl Place {
    /// An unknown section is one entry with an empty key.
    fn id(&self) -> EntryId {
        match pick(&SECTIONS, self.section) {
            "Other" => EntryId::new("Other", ""),
            section => EntryId::new(section, pick(&KEYS, self.key)),
        }
    }
}

/// An entry whose facts are those of its JSON.
fn entry(place: &Place, content: &Content) -> Entry {
    let id = place.id();
    let text = (content.text % 4).to_string();
    let mut entry = match id.section() {
        "Other" => entries::unknown_section("Other", &format!("[{text}]")),
        section if content.text >= 192 => {
            entries::unclassifiable(section, id.key(), &format!(r#"{{"content":"{text}"}}"#))
        }
        section::ACCESS_TOKEN => at(entries::access_token(id.key()), content, 0).field("secret", &text).entry(),
        section::REFRESH_TOKEN => at(entries::refresh_token(id.key()), content, 500).field("secret", &text).entry(),
        section::ACCOUNT => at(entries::account(id.key()), content, 500).field("username", &text).entry(),
        section::ID_TOKEN => of(entries::id_token(id.key()), content).field("secret", &text).entry(),
        _ => of(entries::app_metadata(id.key()), content).field("family_id", &text).entry(),
    };
    if content.other_words {
        let json = entry.json.expose();
        entry.json = Blob::new([&json[..1], b" ", &json[1..]].concat());
    }
    entry
}

fn at(builder: EntryBuilder, content: &Content, millis: i64) -> EntryBuilder {
    let builder = of(builder, content);
    match content.seconds {
        Some(seconds) => builder.at(UnixMillis(NOW.plus(seconds.into()).to_millis().0 + millis)),
        None => builder,
    }
}

fn of(builder: EntryBuilder, content: &Content) -> EntryBuilder {
    builder.of(pick(&USERS, content.user), pick(&HOSTS, content.host))
}

fn key_of(partition: bool) -> PartitionKey {
    if partition { PartitionKey::user("uid.utid") } else { PartitionKey::Shared }
}

fn hosts(names: &[&str]) -> Arc<[Box<str>]> {
    names.iter().map(|host| Box::from(*host)).collect()
}

fn pick<T: Copy>(list: &[T], at: u8) -> T {
    list[usize::from(at) % list.len()]
}
