//! All that a store can be given, planted, and all that it shows of it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_core::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use cache_core::{
    AccessTokenQuery, CacheStore, Change, Changes, Clock, LookupTerm, ManualClock, PartitionKey, PersistedTokenCache,
    Result, TokenCache, TokenResponse, UnixSeconds, blocking,
};

use super::{Planted, shown};
use crate::entries::{access_token, unclassifiable, unknown_section};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// What a store is given, all of it planted, and everything that it has shown since.
#[derive(Debug)]
pub struct Exposure {
    /// The secret of every token.
    pub token: Planted,
    /// The session key of a long-running process, or whatever a test needs beside.
    pub session: Planted,
    /// The home account id.
    pub home: Planted,
    /// The client id.
    pub client: Planted,
    /// The tenant.
    pub tenant: Planted,
    /// The scope.
    pub scope: Planted,
    /// The user name.
    pub name: Planted,
    /// What a key or password of the test is made of.
    pub key: Planted,
    /// The name of a lease.
    pub lease: Planted,
    /// What was shown.
    seen: Mutex<String>,
}

impl Exposure {
    /// Nothing was shown yet.
    pub fn new() -> Self {
        let planted = Planted::new;
        Self {
            token: planted("token"),
            session: planted("session"),
            home: planted("home"),
            client: planted("client"),
            tenant: planted("tenant"),
            scope: planted("scope"),
            name: planted("name"),
            key: planted("key"),
            lease: planted("lease"),
            seen: Mutex::default(),
        }
    }

    /// All that is planted.
    pub fn all(&self) -> [&Planted; 9] {
        let Self { token, session, home, client, tenant, scope, name, key, lease, .. } = self;
        [token, session, home, client, tenant, scope, name, key, lease]
    }

    /// Takes down what the value's `Debug` says, in one line and in many.
    pub fn show(&self, value: &(impl Debug + ?Sized)) {
        self.text(&format!("{value:?}\n{value:#?}\n"));
    }

    /// All that was taken down so far.
    pub fn seen(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes down a text that was shown.
    pub fn text(&self, text: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    /// Takes down what was answered: a value, or an error with all that caused it.
    pub fn answer<T: Debug>(&self, result: Result<T>) {
        match result {
            Ok(value) => self.show(&value),
            Err(error) => self.text(&shown(&error)),
        }
    }

    /// The partitions whose names tell who they are of.
    pub fn partitions(&self) -> [PartitionKey; 4] {
        [
            PartitionKey::Shared,
            PartitionKey::user(self.home.text()),
            PartitionKey::long_running(self.session.text()),
            PartitionKey::app(self.client.text(), Some(self.tenant.text())),
        ]
    }

    fn response(&self) -> TokenResponse {
        let (home, client, realm) = (self.home.text(), self.client.text(), self.tenant.text());
        let environment = "login.windows.net";
        TokenResponse {
            access_token: Some(AccessToken {
                home_account_id: Some(home.into()),
                environment: environment.into(),
                client_id: client.into(),
                realm: realm.into(),
                target: self.scope.text().into(),
                secret: self.token.text().into(),
                cached_at: Some(NOW),
                expires_on: Some(NOW.plus(3600)),
                ..AccessToken::default()
            }),
            refresh_token: Some(RefreshToken {
                home_account_id: home.into(),
                environment: environment.into(),
                client_id: client.into(),
                secret: self.token.text().into(),
                ..RefreshToken::default()
            }),
            id_token: Some(IdToken {
                home_account_id: home.into(),
                environment: environment.into(),
                client_id: client.into(),
                realm: realm.into(),
                secret: format!("e30.e30.{}", self.token.text()).into(),
                ..IdToken::default()
            }),
            account: Some(Account {
                home_account_id: home.into(),
                environment: environment.into(),
                realm: realm.into(),
                username: self.name.text().into(),
                ..Account::default()
            }),
            app_metadata: Some(AppMetadata {
                client_id: client.into(),
                environment: environment.into(),
                ..AppMetadata::default()
            }),
        }
    }

    /// Uses all that a store has, with what is planted, and takes down what it shows.
    pub fn use_all<S: CacheStore + Clone>(&self, store: &S) {
        self.show(store);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let tokens =
            blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store.clone()).clock(clock).build());
        for partition in self.partitions() {
            // What the tokens themselves show is the core's own business.
            self.answer(tokens.update(&partition, |tokens| tokens.sign_in(self.response())).map(drop));
            self.answer(tokens.read(&partition, TokenCache::len));
            let query = AccessTokenQuery::user(self.home.text(), self.client.text(), self.scope.text());
            self.answer(tokens.access_token(&partition, &query.with_realm(self.tenant.text())).map(drop));
            let secret = format!(r#"{{"secret":"{}"}}"#, self.token.text());
            let odd = access_token(self.key.text()).of(self.home.text(), "host").secret(self.token.text()).entry();
            let entries = [
                odd.clone(),
                unclassifiable("RefreshToken", self.key.text(), &secret),
                unknown_section("Foreign", &secret),
            ];
            let changes = Changes::new(entries.into_iter().map(Change::put).collect());
            self.answer(pollster::block_on(store.commit(&partition, &changes)));
            self.answer(pollster::block_on(store.get(&partition, std::slice::from_ref(&odd.id))));
            let terms: Vec<LookupTerm> = odd.lookup_terms();
            self.answer(pollster::block_on(store.find(&partition, &terms)));
            self.answer(pollster::block_on(store.load_within(&partition, 1)));
            self.answer(pollster::block_on(store.stamp(&partition)));
            let lease = pollster::block_on(store.lease(&partition, self.lease.text(), Duration::ZERO));
            self.answer(pollster::block_on(store.lease(&partition, self.lease.text(), Duration::ZERO)));
            self.answer(lease);
        }
        self.answer(pollster::block_on(store.partitions(None, 9)));
    }

    /// # Panics
    /// If something planted was shown, or so little was shown that this proves nothing.
    pub fn finish(self) {
        let seen = self.seen();
        assert!(seen.len() > 10_000, "a great deal was shown: {} bytes", seen.len());
        for planted in self.all() {
            planted.assert_absent_from(&seen);
        }
    }
}

impl Default for Exposure {
    fn default() -> Self {
        Self::new()
    }
}
