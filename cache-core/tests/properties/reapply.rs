//! A document that two processes of ours share with a careless library: whatever that does to it, ours comes back, what was
//! signed out does not, and a second look changes nothing.

use std::collections::BTreeSet;

use cache_core::schema::{AccessToken, Account, AppMetadata, RefreshToken};
use cache_core::{Blob, Entry, ReapplyJournal, Seen, TokenCache, TokenResponse, UnixMillis};
use proptest::prelude::*;

use super::alphabet::NOW;
use super::cases;

const HOST: &str = "login.windows.net";
const THEIRS: &str = "theirs";
const USERS: usize = 3;

/// So many processes of ours; the first one keeps the last good copy.
const PROCESSES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// A process of ours signs a user in.
    SignIn(usize, usize),
    /// A process of ours gets new tokens for a user, if there is one.
    Refresh(usize, usize),
    /// A process of ours signs a user out.
    SignOut(usize, usize),
    Look(usize),
    /// The library puts an earlier document in place.
    Overlay(usize),
    /// The library deletes what it cannot load, and begins anew.
    Wipe,
    /// The file is emptied, and one of ours is the first to see it.
    Empty(usize),
    TheySignIn(usize),
    /// At once, or entry by entry as MSAL Python does, with a look of ours after each of them; of all clients or of its own.
    TheySignOut {
        user: usize,
        by_entry: bool,
        of_all: bool,
    },
    /// The library writes the keys of refresh tokens as MSAL Node does, or as MSAL Python.
    Respell,
}

fn steps() -> impl Strategy<Value = Step> {
    let (process, user) = (0..PROCESSES, 0..USERS);
    prop_oneof![
        4 => (process.clone(), user.clone()).prop_map(|(process, user)| Step::SignIn(process, user)),
        4 => (process.clone(), user.clone()).prop_map(|(process, user)| Step::Refresh(process, user)),
        2 => (process.clone(), user.clone()).prop_map(|(process, user)| Step::SignOut(process, user)),
        2 => process.clone().prop_map(Step::Look),
        4 => (0..8_usize).prop_map(Step::Overlay),
        1 => Just(Step::Wipe),
        1 => process.prop_map(Step::Empty),
        3 => user.clone().prop_map(Step::TheySignIn),
        3 => (user, any::<bool>(), any::<bool>())
            .prop_map(|(user, by_entry, of_all)| Step::TheySignOut { user, by_entry, of_all }),
        2 => Just(Step::Respell),
    ]
}

fn home(user: usize) -> String {
    format!("user-{user}.tenant")
}

/// A client of ours for each user: its app metadata tells whether the document knows of the user's sign-in.
fn ours(user: usize) -> String {
    format!("ours-{user}")
}

/// The secrets of the user's access and refresh tokens.
fn secrets(cache: &TokenCache, user: usize) -> BTreeSet<String> {
    let home = home(user);
    let access_tokens = cache.access_tokens().filter(|(_, token)| token.home_account_id.as_deref() == Some(&*home));
    let refresh_tokens = cache.all_refresh_tokens().filter(|(_, token)| *token.home_account_id == *home);
    (access_tokens.map(|(_, token)| token.secret.expose().to_owned()))
        .chain(refresh_tokens.map(|(_, token)| token.secret.expose().to_owned()))
        .collect()
}

/// What is expected of a user.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expected {
    /// Our newest refresh token; `None`: nothing is known of one.
    ours: Option<String>,
    /// Theirs, if nobody but they can have touched it.
    theirs: Option<String>,
    /// Nothing of the user may be there.
    is_out: bool,
    /// The secrets that went when it was us who signed the user out.
    taken: BTreeSet<String>,
}

struct Shared {
    document: Blob,
    journal: Option<Blob>,
    /// Every document that was at rest, the newest last.
    history: Vec<Blob>,
    expected: [Expected; USERS],
    /// Whether the account was first written by us.
    is_account_ours: [bool; USERS],
    now: UnixMillis,
    number: usize,
}

impl Shared {
    fn new() -> Self {
        Self {
            document: Blob::copy_of(b"{}"),
            journal: None,
            history: Vec::new(),
            expected: Default::default(),
            is_account_ours: [false; USERS],
            now: NOW.to_millis(),
            number: 0,
        }
    }

    fn cache(&self) -> TokenCache {
        TokenCache::deserialize(self.document.expose()).expect("sound")
    }

    fn open(&self, process: usize) -> ReapplyJournal {
        let keeps_copy = process == 0;
        let journal = self.journal.as_ref();
        journal.map_or_else(|| ReapplyJournal::new(keeps_copy), |bytes| ReapplyJournal::from_bytes(bytes, keeps_copy))
    }

    /// A look, as a store makes it; answers whether anything was written.
    fn look(&mut self, process: usize) -> bool {
        let mut journal = self.open(process);
        let seen = if self.document.is_empty() { Seen::Wiped } else { Seen::Document(&self.document) };
        let done = journal.reconcile(seen, self.now);
        if let Some(document) = done.document {
            self.document = journal.note(Some(&document), Some(&document), self.now).expect("written");
        } else if !journal.is_changed() {
            return false;
        }
        self.journal = journal.to_bytes();
        true
    }

    /// A write of ours, as a store makes it.
    fn we_write(&mut self, process: usize, change: impl FnOnce(&mut TokenCache)) {
        let mut journal = self.open(process);
        let done = journal.reconcile(Seen::Document(&self.document), self.now);
        let before = journal.shown(&done.document.unwrap_or_else(|| self.document.clone()));
        let mut cache = TokenCache::deserialize(before.expose()).expect("sound");
        change(&mut cache);
        let after = cache.serialize();
        self.document = journal.note(Some(&before), Some(&after), self.now).expect("written");
        self.journal = journal.to_bytes();
    }

    fn they_write(&mut self, change: impl FnOnce(&mut TokenCache)) {
        let mut cache = self.cache();
        change(&mut cache);
        self.document = cache.serialize();
    }

    fn response(&mut self, user: usize, client: &str) -> (TokenResponse, String) {
        self.number += 1;
        let (home, now) = (home(user), self.now.to_seconds());
        let secret = format!("{client}-{}", self.number);
        let response = TokenResponse {
            access_token: Some(AccessToken {
                home_account_id: Some((&*home).into()),
                environment: HOST.into(),
                client_id: client.into(),
                realm: "tenant".into(),
                target: "read".into(),
                secret: format!("at-{secret}").into(),
                cached_at: Some(now),
                expires_on: Some(now.plus(3600)),
                ..AccessToken::default()
            }),
            refresh_token: Some(RefreshToken {
                home_account_id: (&*home).into(),
                environment: HOST.into(),
                client_id: client.into(),
                secret: (&*secret).into(),
                // Our stores give them times, other libraries do not.
                last_modification_time: (client != THEIRS).then_some(now.to_millis()),
                ..RefreshToken::default()
            }),
            id_token: None,
            account: Some(Account {
                home_account_id: (&*home).into(),
                environment: HOST.into(),
                realm: "tenant".into(),
                authority_type: "MSSTS".into(),
                ..Account::default()
            }),
            app_metadata: Some(AppMetadata {
                client_id: client.into(),
                environment: HOST.into(),
                ..AppMetadata::default()
            }),
        };
        (response, secret)
    }

    /// The secrets of the user's refresh tokens.
    fn refresh_tokens(&self, user: usize) -> BTreeSet<String> {
        let (cache, home) = (self.cache(), home(user));
        let tokens = cache.all_refresh_tokens().filter(|(_, token)| *token.home_account_id == *home);
        tokens.map(|(_, token)| token.secret.expose().to_owned()).collect()
    }

    fn has_account(&self, user: usize) -> bool {
        self.cache().account(&home(user), HOST).is_some()
    }

    fn apply(&mut self, step: &Step) {
        // So little that nothing is confirmed before the end.
        self.now.0 += 2000;
        match *step {
            Step::SignIn(process, user) => {
                let (response, secret) = self.response(user, &ours(user));
                let mut is_new = false;
                self.we_write(process, |cache| {
                    is_new = cache.account(&home(user), HOST).is_none();
                    cache.sign_in(response).expect("complete");
                });
                self.is_account_ours[user] |= is_new;
                self.expected[user] =
                    Expected { ours: Some(secret), theirs: self.expected[user].theirs.take(), ..Expected::default() };
            }
            Step::Refresh(process, user) => {
                let (response, secret) = self.response(user, &ours(user));
                let response = TokenResponse { account: None, ..response };
                let mut is_put = false;
                self.we_write(process, |cache| {
                    is_put = cache.account(&home(user), HOST).is_some();
                    if is_put {
                        cache.sign_in(response).expect("complete");
                    }
                });
                if is_put {
                    self.expected[user].ours = Some(secret);
                }
            }
            Step::SignOut(process, user) => {
                let mut taken = BTreeSet::new();
                let mut was_here = false;
                self.we_write(process, |cache| {
                    was_here = cache.account(&home(user), HOST).is_some();
                    taken = secrets(cache, user);
                    cache.remove_account(&home(user), HOST);
                });
                if was_here {
                    self.is_account_ours[user] = false;
                    self.expected[user] = Expected { is_out: true, taken, ..Expected::default() };
                }
            }
            Step::Look(process) => _ = self.look(process),
            Step::Overlay(back) => self.overlay(back),
            Step::Wipe => {
                let metadata =
                    AppMetadata { client_id: THEIRS.into(), environment: HOST.into(), ..AppMetadata::default() };
                self.document = Blob::copy_of(b"{}");
                self.they_write(|cache| cache.insert(metadata).expect("complete"));
                self.expected.iter_mut().for_each(|expected| expected.theirs = None);
            }
            Step::Empty(process) => {
                self.document = Blob::copy_of(b"");
                // What is not in the copy is lost, and what is in it may be older than a sign-out that nobody has seen.
                self.look(process);
                if self.document.is_empty() {
                    self.document = Blob::copy_of(b"{}");
                }
                self.expected.iter_mut().for_each(|expected| expected.theirs = None);
            }
            Step::TheySignIn(user) => {
                let (response, secret) = self.response(user, THEIRS);
                self.is_account_ours[user] &= self.has_account(user);
                self.they_write(|cache| cache.sign_in(response).expect("complete"));
                self.expected[user] =
                    Expected { ours: self.expected[user].ours.take(), theirs: Some(secret), ..Expected::default() };
            }
            Step::TheySignOut { user, by_entry, of_all } => self.they_sign_out(user, by_entry, of_all),
            Step::Respell => {
                let text = String::from_utf8(self.document.expose().to_vec()).expect("text");
                let text =
                    if text.contains("---\"") { text.replace("---\"", "--\"") } else { text.replace("--\"", "---\"") };
                self.document = Blob::new(text.into_bytes());
            }
        }
        self.history.push(self.document.clone());
    }

    fn overlay(&mut self, back: usize) {
        let Some(at) = self.history.len().checked_sub(back + 1) else { return };
        self.document = self.history[at].clone();
        for user in 0..USERS {
            let has_account = self.has_account(user);
            let secrets = secrets(&self.cache(), user);
            let is_account_ours = self.is_account_ours[user];
            let expected = &mut self.expected[user];
            expected.theirs = None;
            if !expected.is_out && !has_account && !is_account_ours {
                // Whoever was there without us was signed out, or was not in yet.
                *expected = Expected::default();
                continue;
            }
            if expected.is_out {
                // What they bring back stays, unless it is what we have signed out ourselves.
                let is_out = !has_account && secrets.is_empty();
                let is_taken = !expected.taken.is_empty() && secrets.is_subset(&expected.taken);
                if !is_out && !is_taken {
                    *expected = Expected::default();
                }
            }
        }
    }

    fn they_sign_out(&mut self, user: usize, by_entry: bool, of_all: bool) {
        if !self.has_account(user) {
            return;
        }
        self.is_account_ours[user] = false;
        let home = home(user);
        let is_known = ReapplyJournal::unmark(&self.document) != self.document;
        if by_entry {
            let cache = self.cache();
            let of_user = cache.all_refresh_tokens().filter(|(_, token)| *token.home_account_id == *home);
            let mut ids: Vec<_> =
                of_user.filter(|(_, token)| of_all || &*token.client_id == THEIRS).map(|(id, _)| id).collect();
            let tokens = cache.access_tokens().filter(|(_, token)| token.home_account_id.as_deref() == Some(&*home));
            ids.extend(tokens.map(|(id, _)| id));
            let accounts = cache.entries().filter(|entry| entry.id.section() == "Account");
            let of_user = |entry: &Entry| entry.account.as_ref().is_some_and(|of| *of.home_account_id == *home);
            ids.extend(accounts.filter(of_user).map(|entry| entry.id));
            for (n, id) in ids.iter().enumerate() {
                self.they_write(|cache| _ = cache.remove(id));
                self.history.push(self.document.clone());
                self.look(n % PROCESSES);
            }
        } else {
            self.they_write(|cache| _ = cache.remove_account(&home, HOST));
            self.look(0);
        }
        let left = secrets(&self.cache(), user);
        // Where our mark is gone as well, everything was begun anew.
        let is_out = is_known && left.is_empty();
        self.expected[user] = Expected { is_out, ..Expected::default() };
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        for process in 0..PROCESSES {
            self.look(process);
        }
        for (user, expected) in self.expected.clone().iter().enumerate() {
            let found = self.refresh_tokens(user);
            for secret in expected.ours.iter().chain(&expected.theirs) {
                prop_assert!(found.contains(secret), "{secret} is lost: {found:?}");
                prop_assert!(self.has_account(user), "the account of {secret}");
            }
            let other = |secret: &&String| expected.ours.as_ref() != Some(*secret) && secret.starts_with("ours");
            prop_assert!(
                expected.ours.is_none() || !found.iter().any(|secret| other(&secret)),
                "two of ours: {found:?}"
            );
            if expected.is_out {
                let found = secrets(&self.cache(), user);
                prop_assert!(found.is_empty() && !self.has_account(user), "came back: {found:?}");
            }
        }
        for process in 0..PROCESSES {
            prop_assert!(!self.look(process), "a second look wrote");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn ours_comes_back_and_what_was_signed_out_does_not(steps in prop::collection::vec(steps(), 1..24)) {
        let mut shared = Shared::new();
        for step in &steps {
            shared.apply(step);
        }
        shared.check()?;
    }
}

#[test]
fn what_the_first_step_of_a_sign_out_left_does_not_come_back() {
    let sign_out = Step::TheySignOut { user: 0, by_entry: true, of_all: true };
    let mut shared = Shared::new();
    for step in [Step::SignIn(0, 0), Step::TheySignIn(0), sign_out, Step::Empty(0)] {
        shared.apply(&step);
    }
    shared.check().expect("signed out");
}
