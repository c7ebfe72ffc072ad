//! A persisted cache over stores that fail on purpose, against a model: what was acknowledged is there, what failed is
//! there whole or not at all, what is read is what is there, and an outage is never an empty cache.
//!
//! Two healthy processes share the store with the one that suffers the faults. They also race: one commits while the
//! other is between its read and its commit.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    AccessContext, AccessTokenQuery, Blob, CacheStore, Clock, DocumentStore as _, Documents, Error, ErrorKind,
    Freshness, ManualClock, MemoryStore, PartitionKey, PersistedTokenCache, TokenCache, TokenResponse, UnixSeconds,
};
use cache_testkit::MemoryDocuments;
use cache_testkit::fault::{Fault, Faults, FaultyDocuments, FaultyStore, Operation};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const PLACE: PartitionKey = PartitionKey::Shared;
const HOST: &str = "login.windows.net";
const CLIENT: &str = "client";
const USERS: [&str; 2] = ["alice.tenant", "bob.tenant"];
const SCOPES: [&str; 3] = ["User.Read", "Mail.Read", "Files.Read"];

#[derive(Arbitrary, Debug)]
struct Run {
    documents: bool,
    strict: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Plan {
        fault: FaultSpec,
        nth: u8,
        operation: Option<u8>,
    },
    Reopen,
    Update(Vec<Edit>),
    /// Through the notifications of a library that has a cache of its own.
    Access(Vec<Edit>),
    Read,
    Find(Slot),
    RemovePartition,
    ByAnother {
        which: bool,
        edits: Vec<Edit>,
    },
    Race {
        edits: Vec<Edit>,
        meanwhile: Vec<Edit>,
    },
    Wait {
        seconds: u8,
    },
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum FaultSpec {
    Error(u8),
    LostAnswer(u8),
    Crash,
    CrashAfter,
    ShortWrite(u8),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Edit {
    Put(Slot),
    Remove(Slot),
    SignIn(bool),
    SignOut(bool),
}

/// The place of one access token.
#[derive(Arbitrary, Debug, Clone, Copy)]
struct Slot {
    user: bool,
    scope: u8,
}

/// What the store holds, in the terms of its users.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    tokens: BTreeMap<(&'static str, &'static str), String>,
    accounts: BTreeSet<&'static str>,
    refresh_tokens: BTreeMap<&'static str, String>,
}

fuzz_target!(|run: Run| {
    let mut tested = Tested::new(&run);
    for step in &run.steps {
        tested.step(step);
        assert_eq!(tested.stored(), tested.content);
    }
});

struct Tested {
    place: Place,
    faults: Faults,
    clock: Arc<ManualClock>,
    strict: bool,
    ours: PersistedTokenCache,
    others: [PersistedTokenCache; 2],
    content: Content,
    /// Every secret that a slot has held.
    history: BTreeSet<(&'static str, &'static str, String)>,
    secrets: u32,
}

/// Where the store keeps what it is given.
enum Place {
    Entries(MemoryStore),
    Documents(MemoryDocuments),
}

impl Tested {
    fn new(run: &Run) -> Self {
        let (faults, clock) = (Faults::new(), Arc::new(ManualClock::at(NOW)));
        let shared = || Arc::clone(&clock) as Arc<dyn Clock>;
        let place = if run.documents {
            Place::Documents(MemoryDocuments::new())
        } else {
            Place::Entries(MemoryStore::with_clock(shared()))
        };
        let failing: Arc<dyn CacheStore> = match &place {
            Place::Entries(store) => Arc::new(FaultyStore::new(store.clone(), faults.clone())),
            Place::Documents(documents) => {
                Arc::new(Documents::with_clock(FaultyDocuments::new(documents.clone(), faults.clone()), shared()))
            }
        };
        let freshness = if run.strict { Freshness::Strict } else { Freshness::Bounded(Duration::from_secs(30)) };
        let cache = |store| PersistedTokenCache::builder(store).clock(shared()).freshness(freshness).build();
        let others = [(); 2].map(|()| cache(place.healthy(&shared())));
        let (ours, strict) = (cache(failing), run.strict);
        let (content, history) = (Content::default(), BTreeSet::new());
        Self { place, faults, clock, strict, ours, others, content, history, secrets: 0 }
    }

    fn step(&mut self, step: &Step) {
        let struck = self.faults.struck();
        let document = self.place.document();
        match step {
            Step::Plan { fault, nth, operation } => self.plan(*fault, *nth, *operation),
            Step::Reopen => self.faults.reopen(),
            Step::Update(edits) => {
                let (edits, expected) = self.prepare(edits);
                let mut called = false;
                let updated = block_on(self.ours.update(&PLACE, |tokens| {
                    called = true;
                    edits.apply(tokens);
                }));
                let done = updated.map(|updated| assert!(updated.skipped.is_empty(), "nobody else has written"));
                self.settle(done, expected, struck, called);
            }
            Step::Access(edits) => {
                // A library that knows nothing of a user has signed nobody in.
                let edits: Vec<Edit> = edits.iter().copied().filter(|edit| !matches!(edit, Edit::SignIn(_))).collect();
                let (edits, expected) = self.prepare(&edits);
                let access = block_on(self.ours.before_access(&AccessContext::new(&PLACE)));
                let called = access.is_ok();
                let done = access.and_then(|access| {
                    let mut library = TokenCache::deserialize(access.document().unwrap_or_default())?;
                    edits.apply(&mut library);
                    let skipped = block_on(access.after_access(Some(library.serialize().expose())))?;
                    assert!(skipped.is_empty(), "nobody else has written");
                    Ok(())
                });
                self.settle(done, expected, struck, called);
            }
            Step::Read => match block_on(self.ours.read(&PLACE, Content::of)) {
                Ok(read) => assert_eq!(read, self.content),
                Err(error) => self.is_planned(&error, struck),
            },
            Step::Find(slot) => self.find(*slot, struck),
            Step::RemovePartition => {
                let done = block_on(self.ours.remove_partition(&PLACE));
                self.settle(done, Content::default(), struck, true);
            }
            Step::ByAnother { which, edits } => {
                let (edits, expected) = self.prepare(edits);
                let updated = block_on(self.others[usize::from(*which)].update(&PLACE, |tokens| edits.apply(tokens)));
                assert!(updated.expect("nothing fails").skipped.is_empty(), "nobody else has written");
                self.content = expected;
            }
            Step::Race { edits, meanwhile } => self.race(edits, meanwhile),
            Step::Wait { seconds } => self.clock.advance(Duration::from_secs(u64::from(*seconds))),
        }
        if let Some(restored) = document.filter(|_| self.is_torn(struck)) {
            self.refuses_torn();
            self.place.restore(restored);
        }
    }

    fn plan(&self, fault: FaultSpec, nth: u8, operation: Option<u8>) {
        let kinds = [ErrorKind::Unavailable, ErrorKind::Busy, ErrorKind::Denied, ErrorKind::Corrupt];
        let kind = |at: u8| kinds[usize::from(at) % kinds.len()];
        let fault = match fault {
            FaultSpec::Error(at) => Fault::Error(kind(at)),
            FaultSpec::LostAnswer(at) => Fault::LostAnswer(kind(at)),
            FaultSpec::CrashAfter => Fault::CrashAfter,
            FaultSpec::ShortWrite(length) if matches!(self.place, Place::Documents(_)) => {
                Fault::ShortWrite(usize::from(length) * 8)
            }
            // A store of entries that keeps a part of a commit breaks its own promise.
            FaultSpec::Crash | FaultSpec::ShortWrite(_) => Fault::Crash,
        };
        let operations = [Operation::Load, Operation::Read, Operation::Commit, Operation::Modify, Operation::StampNow];
        match operation {
            Some(at) => self.faults.at(operations[usize::from(at) % operations.len()], u64::from(nth % 3) + 1, fault),
            None => self.faults.at_any(u64::from(nth % 6) + 1, fault),
        }
    }

    /// Edits with secrets of their own, and what the store holds once they are acknowledged.
    fn prepare(&mut self, edits: &[Edit]) -> (Edits, Content) {
        let mut list = Vec::new();
        for edit in edits.iter().take(4) {
            self.secrets += 1;
            list.push((*edit, format!("secret {}", self.secrets)));
        }
        let edits = Edits { list, now: UnixSeconds(self.clock.now().0 / 1000) };
        let mut expected = self.content.clone();
        edits.apply_to(&mut expected);
        self.history.extend(expected.tokens.iter().map(|((user, scope), secret)| (*user, *scope, secret.clone())));
        (edits, expected)
    }

    /// Acknowledged: it is there. Failed: all of it, or nothing; nothing, if the content could not even be read.
    fn settle(&mut self, done: Result<(), Error>, expected: Content, struck: u64, called: bool) {
        match done {
            Ok(()) => self.content = expected,
            Err(error) => {
                self.is_planned(&error, struck);
                if !self.is_torn(struck) {
                    let stored = self.stored();
                    assert!(
                        stored == self.content || called && stored == expected,
                        "{stored:?}: neither all nor nothing"
                    );
                    self.content = stored;
                }
            }
        }
    }

    fn find(&mut self, slot: Slot, struck: u64) {
        let (user, scope) = slot.names();
        let query = AccessTokenQuery::user(user, CLIENT, scope).with_environment(HOST).with_realm("tenant");
        let expected = self.content.tokens.get(&(user, scope));
        match block_on(self.ours.access_token(&PLACE, &query)) {
            Ok(found) => {
                let found = found.map(|token| token.secret.expose().to_owned());
                let away = self.faults.is_crashed() || self.faults.struck() > struck;
                if found.as_ref() != expected {
                    // The last that was read serves while the store is out of reach.
                    let stale = found.expect("an outage is never a miss");
                    assert!(away && !self.strict, "{stale} is not what the store holds");
                    assert!(self.history.contains(&(user, scope, stale)));
                }
            }
            Err(error) => self.is_planned(&error, struck),
        }
    }

    /// One process commits between the read and the commit of another.
    fn race(&mut self, edits: &[Edit], meanwhile: &[Edit]) {
        let before = self.content.clone();
        let (theirs, between) = self.prepare(meanwhile);
        let (ours, _) = self.prepare(edits);
        let [one, two] = &self.others;
        let updated = block_on(one.update(&PLACE, |tokens| {
            let updated = block_on(two.update(&PLACE, |tokens| theirs.apply(tokens))).expect("nothing fails");
            assert!(updated.skipped.is_empty(), "nobody else has written");
            ours.apply(tokens);
        }));
        let skipped = updated.expect("nothing fails").skipped;
        let stored = self.stored();

        for user in USERS {
            let (mine, others) = (ours.of(user), theirs.of(user));
            let puts_only = mine.iter().all(|edit| matches!(edit, Edit::Put(_)));
            let signed_out = !between.accounts.contains(user) && !others.is_empty();
            if mine.is_empty() {
                assert_eq!(stored.of_user(user), between.of_user(user), "nothing of others is lost");
            } else if others.is_empty() {
                let mut expected = before.clone();
                ours.apply_to(&mut expected);
                assert_eq!(stored.of_user(user), expected.of_user(user), "nothing of ours is lost");
            } else if matches!(mine.last(), Some(Edit::SignOut(_))) {
                assert!(
                    stored.of_user(user) == Default::default(),
                    "a sign-out takes along what others wrote meanwhile"
                );
            } else if puts_only && before.accounts.contains(user) && signed_out {
                assert_eq!(stored.of_user(user), between.of_user(user), "what was signed out stays so");
                assert!(!skipped.is_empty(), "and that is told");
            }
        }
        for ((user, scope), secret) in &stored.tokens {
            assert!(self.history.contains(&(*user, *scope, secret.clone())));
        }
        self.content = stored;
    }

    fn stored(&self) -> Content {
        let store = self.place.healthy(&(Arc::clone(&self.clock) as Arc<dyn Clock>));
        let cache = PersistedTokenCache::builder(store).build();
        block_on(cache.read(&PLACE, Content::of)).expect("what is stored can be read")
    }

    /// Only what the plan says fails.
    fn is_planned(&self, error: &Error, struck: u64) {
        assert!(self.faults.is_crashed() || self.faults.struck() > struck, "nothing was to fail: {error}");
    }

    /// Whether this step's write left a part of a document.
    fn is_torn(&self, struck: u64) -> bool {
        self.faults.is_crashed() && self.faults.struck() > struck && self.place.is_unreadable()
    }

    /// A torn document is refused by everything, and stays as it is.
    fn refuses_torn(&self) {
        let torn = self.place.document();
        for cache in &self.others {
            let read = block_on(cache.read(&PLACE, |_| ()));
            assert_eq!(read.expect_err("a torn document").kind(), ErrorKind::Corrupt);
            let update = block_on(cache.update(&PLACE, |_| panic!("called with what was not read")));
            assert_eq!(update.expect_err("a torn document").kind(), ErrorKind::Corrupt);
        }
        assert_eq!(self.place.document(), torn);
    }
}

impl Place {
    fn healthy(&self, clock: &Arc<dyn Clock>) -> Arc<dyn CacheStore> {
        match self {
            Self::Entries(store) => Arc::new(store.clone()),
            Self::Documents(documents) => Arc::new(Documents::with_clock(documents.clone(), Arc::clone(clock))),
        }
    }

    /// The bytes of a document, none if there is none; `None` where entries are kept.
    fn document(&self) -> Option<Option<Blob>> {
        match self {
            Self::Entries(_) => None,
            Self::Documents(documents) => {
                Some(block_on(documents.read(&PLACE)).expect("nothing fails").map(|document| document.bytes))
            }
        }
    }

    /// Whether there is a document that is damaged, or was cut to nothing.
    fn is_unreadable(&self) -> bool {
        let document = self.document().flatten();
        document.is_some_and(|bytes| bytes.is_empty() || TokenCache::deserialize(bytes.expose()).is_err())
    }

    fn restore(&self, document: Option<Blob>) {
        if let Self::Documents(documents) = self {
            match document {
                Some(document) => documents.overwrite(&PLACE, document),
                None => block_on(Documents::new(documents.clone()).remove(&PLACE)).expect("nothing fails"),
            }
        }
    }
}

/// Edits, each with a secret of its own.
struct Edits {
    list: Vec<(Edit, String)>,
    now: UnixSeconds,
}

impl Edits {
    fn apply(&self, tokens: &mut TokenCache) {
        for (edit, secret) in &self.list {
            match edit {
                Edit::Put(slot) => {
                    let (user, scope) = slot.names();
                    tokens.insert(access_token(user, scope, secret, self.now)).expect("every field is there");
                }
                Edit::Remove(slot) => {
                    let (user, scope) = slot.names();
                    let ids = tokens
                        .access_tokens()
                        .filter(|(_, token)| token.home_account_id.as_deref() == Some(user) && *token.target == *scope);
                    let ids: Vec<_> = ids.map(|(id, _)| id).collect();
                    for id in &ids {
                        assert!(tokens.remove(id), "it was there");
                    }
                }
                Edit::SignIn(user) => {
                    tokens.sign_in(response(name(*user), secret, self.now)).expect("every field is there");
                }
                Edit::SignOut(user) => {
                    tokens.remove_account(name(*user), HOST);
                }
            }
        }
    }

    fn apply_to(&self, content: &mut Content) {
        for (edit, secret) in &self.list {
            match edit {
                Edit::Put(slot) => {
                    content.tokens.insert(slot.names(), secret.clone());
                }
                Edit::Remove(slot) => {
                    content.tokens.remove(&slot.names());
                }
                Edit::SignIn(user) => {
                    content.accounts.insert(name(*user));
                    content.refresh_tokens.insert(name(*user), secret.clone());
                }
                Edit::SignOut(user) => {
                    content.tokens.retain(|(owner, _), _| *owner != name(*user));
                    content.accounts.remove(name(*user));
                    content.refresh_tokens.remove(name(*user));
                }
            }
        }
    }

    fn of(&self, user: &str) -> Vec<Edit> {
        let edits = self.list.iter().map(|(edit, _)| *edit).filter(|edit| match edit {
            Edit::Put(slot) | Edit::Remove(slot) => name(slot.user) == user,
            Edit::SignIn(of) | Edit::SignOut(of) => name(*of) == user,
        });
        edits.collect()
    }
}

impl Content {
    fn of(tokens: &TokenCache) -> Self {
        let known = |user: &str| USERS.into_iter().find(|known| *known == user).expect("one of the two");
        let scope = |target: &str| SCOPES.into_iter().find(|known| *known == target).expect("one of the three");
        let mut content = Self::default();
        for (_, token) in tokens.access_tokens() {
            let slot = (known(token.home_account_id.as_deref().expect("a user's")), scope(&token.target));
            let twin = content.tokens.insert(slot, token.secret.expose().to_owned());
            assert_eq!(twin, None, "one token for each slot");
        }
        for (_, token) in tokens.all_refresh_tokens() {
            let twin = content.refresh_tokens.insert(known(&token.home_account_id), token.secret.expose().to_owned());
            assert_eq!(twin, None, "one refresh token for each user");
        }
        content.accounts = tokens.accounts().iter().map(|group| known(&group.home_account_id)).collect();
        content
    }

    /// Everything of one user: access tokens, and the refresh token beside the account.
    fn of_user(&self, user: &str) -> (BTreeMap<&'static str, &String>, Option<&String>, bool) {
        let tokens = self.tokens.iter().filter(|((owner, _), _)| *owner == user);
        (
            tokens.map(|((_, scope), secret)| (*scope, secret)).collect(),
            self.refresh_tokens.get(user),
            self.accounts.contains(user),
        )
    }
}

impl Slot {
    fn names(self) -> (&'static str, &'static str) {
        (name(self.user), SCOPES[usize::from(self.scope) % SCOPES.len()])
    }
}

fn name(user: bool) -> &'static str {
    USERS[usize::from(user)]
}

fn access_token(user: &str, scope: &str, secret: &str, now: UnixSeconds) -> AccessToken {
    AccessToken {
        home_account_id: Some(user.into()),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: "tenant".into(),
        target: scope.into(),
        secret: secret.into(),
        cached_at: Some(now),
        expires_on: Some(now.plus(1 << 20)),
        ..AccessToken::default()
    }
}

fn response(user: &str, secret: &str, now: UnixSeconds) -> TokenResponse {
    let account = Account {
        home_account_id: user.into(),
        environment: HOST.into(),
        realm: "tenant".into(),
        local_account_id: user.into(),
        username: user.into(),
        ..Account::default()
    };
    let refresh_token = RefreshToken {
        home_account_id: user.into(),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        secret: secret.into(),
        last_modification_time: Some(now.to_millis()),
        ..RefreshToken::default()
    };
    TokenResponse { account: Some(account), refresh_token: Some(refresh_token), ..TokenResponse::default() }
}
