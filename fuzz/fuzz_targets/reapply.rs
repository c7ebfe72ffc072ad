//! A shared document that we write, and that others overlay, wipe, tear and sign out of: what we wrote and nobody
//! superseded or signed out is there after a look, what was signed out is not, others keep what they wrote, and a second
//! look changes nothing. Hostile journals change none of that into a panic.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use cache_core::schema::{AccessToken, Account, AppMetadata, RefreshToken};
use cache_core::{
    Blob, Reapplied, ReapplyJournal, Seen, TokenCache, TokenResponse, UnifiedDocument, UnixMillis, UnixSeconds,
};
use libfuzzer_sys::fuzz_target;

const START: i64 = 1_800_000_000;
const HOST: &str = "login.windows.net";
const USERS: [&str; 2] = ["alice.tenant", "bob.tenant"];
const OURS: &str = "ours";
const THEIRS: &str = "theirs";
/// All steps of a run lie within the time that everything is waited for, and long before anything expires.
const STEPS: usize = 40;

#[derive(Arbitrary, Debug)]
struct Run {
    keeps_copy: bool,
    steps: Vec<Step>,
    journal: Option<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// We sign a user in, or write one more token of a user who is signed in.
    Write {
        user: bool,
        scope: u8,
    },
    /// We sign a user out.
    SignOut {
        user: bool,
    },
    /// Another library signs a user in with its own client, or out.
    TheyWrite {
        user: bool,
        scope: u8,
    },
    TheySignOut {
        user: bool,
    },
    /// Another library writes a document back that it has read some steps ago.
    TheyOverlay {
        ago: u8,
    },
    /// Another library deletes what it cannot load, and begins anew with a sign-in of its own.
    TheyBeginAnew {
        user: bool,
    },
    /// No byte, or a torn document, that one of ours finds.
    Empty,
    Tear {
        at: u16,
    },
    Look,
}

fuzz_target!(|run: Run| {
    if let Some(bytes) = &run.journal {
        hostile(bytes);
    }
    let mut shared = Shared::new(run.keeps_copy);
    for step in run.steps.iter().take(STEPS) {
        shared.step(step);
    }
    shared.look();
    shared.holds_what_it_should();
    assert!(shared.look().document.is_none(), "a second look changes nothing");
});

/// Whatever stands in the journal, looking and noting do not panic, and what is written is a document.
fn hostile(bytes: &[u8]) {
    let document = Blob::copy_of(br#"{"AppMetadata":{"m":{"client_id":"ours","environment":"login.windows.net"}}}"#);
    for seen in [Seen::Document(&document), Seen::Salvage(&document), Seen::Wiped, Seen::Nothing] {
        let mut journal = ReapplyJournal::from_bytes(&Blob::copy_of(bytes), true);
        let now = UnixMillis(START * 1000);
        let done = journal.reconcile(seen, now);
        if let Some(written) = &done.document {
            UnifiedDocument::parse(written).expect("a document");
        }
        journal.note(done.document.as_ref(), Some(&document), now);
        if let Some(bytes) = journal.to_bytes() {
            let again = ReapplyJournal::from_bytes(&bytes, true);
            assert_eq!(again.to_bytes(), Some(bytes), "a journal is read as it was written");
        }
    }
}

struct Shared {
    keeps_copy: bool,
    journal: ReapplyJournal,
    document: Option<Blob>,
    before: Vec<Option<Blob>>,
    seconds: i64,
    /// What of ours must be there: the newest refresh token and the tokens by scope, of each user.
    ours: [Option<Held>; 2],
    /// Whether the account was first written by us.
    is_account_ours: [bool; 2],
}

#[derive(Clone, Default)]
struct Held {
    refresh_token: String,
    access_tokens: BTreeMap<u8, String>,
}

impl Shared {
    fn new(keeps_copy: bool) -> Self {
        let journal = ReapplyJournal::new(keeps_copy);
        Self {
            keeps_copy,
            journal,
            document: None,
            before: Vec::new(),
            seconds: 0,
            ours: [None, None],
            is_account_ours: [false; 2],
        }
    }

    fn now(&self) -> UnixSeconds {
        UnixSeconds(START + self.seconds)
    }

    fn cache(&self) -> TokenCache {
        let bytes = self.document.as_ref().map_or(&[][..], Blob::expose);
        TokenCache::deserialize(bytes).expect("nobody leaves a torn document for long")
    }

    fn step(&mut self, step: &Step) {
        // A second each: nothing is confirmed within a run.
        self.seconds += 1;
        self.before.push(self.document.clone());
        match *step {
            Step::Write { user, scope } => self.write(usize::from(user), scope % 4),
            Step::SignOut { user } => self.sign_out(usize::from(user)),
            Step::TheyWrite { user, scope } => {
                let response = response(USERS[usize::from(user)], THEIRS, scope % 4, self.seconds, self.now());
                self.they(|cache| cache.sign_in(response).expect("complete"));
            }
            Step::TheySignOut { user } => self.they_sign_out(usize::from(user)),
            Step::TheyOverlay { ago } => self.they_overlay(usize::from(ago)),
            Step::TheyBeginAnew { user } => {
                let response = response(USERS[usize::from(user)], THEIRS, 0, self.seconds, self.now());
                self.document = None;
                self.they(|cache| cache.sign_in(response).expect("complete"));
            }
            Step::Empty => {
                if self.document.is_some() {
                    self.reconcile(Seen::Wiped);
                }
            }
            Step::Tear { at } => self.tear(usize::from(at)),
            Step::Look => drop(self.look()),
        }
    }

    fn write(&mut self, user: usize, scope: u8) {
        self.look();
        let (n, now) = (self.seconds, self.now());
        let response = response(USERS[user], OURS, scope, n, now);
        self.is_account_ours[user] |= self.cache().account(USERS[user], HOST).is_none();
        self.we(|cache| cache.sign_in(response).expect("complete"));
        let held = self.ours[user].get_or_insert_default();
        held.refresh_token = format!("rt-ours-{n}");
        held.access_tokens.insert(scope, format!("at-ours-{n}"));
    }

    fn sign_out(&mut self, user: usize) {
        self.look();
        self.we(|cache| _ = cache.remove_account(USERS[user], HOST));
        (self.ours[user], self.is_account_ours[user]) = (None, false);
    }

    /// After a look, so that it has seen what we wrote.
    fn they_sign_out(&mut self, user: usize) {
        self.look();
        self.they(|cache| _ = cache.remove_account(USERS[user], HOST));
        (self.ours[user], self.is_account_ours[user]) = (None, false);
        self.look();
    }

    /// A library that holds on to an older document, written before this step and after the last sign-out that it knows
    /// of: what it brings back of others is its own affair.
    fn they_overlay(&mut self, ago: usize) {
        let stale = self.before.iter().rev().nth(ago % 3).cloned().flatten();
        let Some(stale) = stale else { return };
        let cache = TokenCache::deserialize(stale.expose()).expect("a document");
        // Who was signed out meanwhile would be back by that library, not by us; and whom it does not know, but somebody
        // else had signed in before us, it may have signed out.
        let knows = |user: &str| cache.accounts().iter().any(|account| *account.home_account_id == *user);
        for (at, user) in USERS.iter().enumerate() {
            if self.ours[at].is_some() && !knows(user) && !self.is_account_ours[at] {
                return;
            }
            if self.ours[at].is_none() && cache.all_refresh_tokens().any(|(_, token)| *token.home_account_id == **user)
            {
                return;
            }
        }
        self.document = Some(stale);
    }

    fn tear(&mut self, at: usize) {
        let Some(document) = &self.document else { return };
        let torn = document.slice(0..at % document.len().max(1));
        match UnifiedDocument::salvage(&torn) {
            Some(left) => self.reconcile(Seen::Salvage(&left.render())),
            None => self.reconcile(Seen::Wiped),
        };
    }

    fn look(&mut self) -> Reapplied {
        match self.document.clone() {
            Some(document) => self.reconcile(Seen::Document(&document)),
            None => self.reconcile(Seen::Nothing),
        }
    }

    fn reconcile(&mut self, seen: Seen<'_>) -> Reapplied {
        let done = self.journal.reconcile(seen, self.now().to_millis());
        let left = match seen {
            Seen::Document(left) | Seen::Salvage(left) => Some(left.clone()),
            Seen::Wiped | Seen::Nothing | Seen::Begun(_) => None,
        };
        self.document = match &done.document {
            Some(document) => self.journal.note(Some(document), Some(document), self.now().to_millis()),
            None => left,
        };
        self.pass_on();
        done
    }

    fn we(&mut self, change: impl FnOnce(&mut TokenCache)) {
        let before = self.document.as_ref().map(ReapplyJournal::unmark);
        let mut cache = TokenCache::deserialize(before.as_ref().map_or(&[], Blob::expose)).expect("a document");
        change(&mut cache);
        let mut after = cache.serialize();
        if before.is_none() {
            let done = self.journal.reconcile(Seen::Begun(&after), self.now().to_millis());
            after = done.document.unwrap_or(after);
        }
        self.document = self.journal.note(before.as_ref(), Some(&after), self.now().to_millis());
        self.pass_on();
    }

    fn they(&mut self, change: impl FnOnce(&mut TokenCache)) {
        let mut cache = self.cache();
        change(&mut cache);
        self.document = Some(cache.serialize());
    }

    /// To another process, by way of the file.
    fn pass_on(&mut self) {
        self.journal = match self.journal.to_bytes() {
            Some(bytes) => ReapplyJournal::from_bytes(&bytes, self.keeps_copy),
            None => ReapplyJournal::new(self.keeps_copy),
        };
    }

    fn holds_what_it_should(&self) {
        if self.document.is_none() {
            return;
        }
        let cache = self.cache();
        for (user, ours) in USERS.iter().zip(&self.ours) {
            let refresh_tokens = cache.all_refresh_tokens();
            let mut of_user =
                refresh_tokens.filter(|(_, token)| *token.home_account_id == **user && &*token.client_id == OURS);
            match ours {
                None => assert!(of_user.next().is_none(), "{user} was signed out"),
                Some(held) => {
                    let secrets: Vec<_> = of_user.map(|(_, token)| token.secret.expose()).collect();
                    assert_eq!(secrets, [&*held.refresh_token], "{user}");
                    let tokens: Vec<_> = cache.access_tokens().map(|(_, token)| token.secret.expose()).collect();
                    for token in held.access_tokens.values() {
                        assert!(tokens.contains(&&**token), "{token} of {user} is lost: {tokens:?}");
                    }
                }
            }
        }
    }
}

fn response(user: &str, client: &str, scope: u8, n: i64, now: UnixSeconds) -> TokenResponse {
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(user.into()),
            environment: HOST.into(),
            client_id: client.into(),
            realm: "tenant".into(),
            target: format!("scope-{scope}").into(),
            secret: format!("at-{client}-{n}").into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: user.into(),
            environment: HOST.into(),
            client_id: client.into(),
            secret: format!("rt-{client}-{n}").into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: user.into(),
            environment: HOST.into(),
            realm: "tenant".into(),
            local_account_id: user.into(),
            username: user.into(),
            authority_type: "MSSTS".into(),
            ..Account::default()
        }),
        app_metadata: Some(AppMetadata {
            client_id: client.into(),
            environment: HOST.into(),
            ..AppMetadata::default()
        }),
        ..TokenResponse::default()
    }
}
