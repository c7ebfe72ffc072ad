//! What the tests of the journal are made of: a document that we share with a careless library.

mod damaged;
mod dropped;
mod signed_out;

use super::*;
use crate::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use crate::time::UnixSeconds;
use crate::token_cache::{TokenCache, TokenResponse};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOST: &str = "login.microsoftonline.com";
const OURS: &str = "our-client";
const THEIRS: &str = "their-client";
const ALICE: &str = "alice.tenant";

fn later(seconds: i64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

fn access_token(client: &str, target: &str, secret: &str, cached_at: UnixMillis) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: HOST.into(),
        client_id: client.into(),
        realm: "tenant".into(),
        target: target.into(),
        secret: secret.into(),
        cached_at: Some(cached_at.to_seconds()),
        expires_on: Some(cached_at.to_seconds().plus(3600)),
        ..AccessToken::default()
    }
}

fn refresh_token(client: &str, secret: &str) -> RefreshToken {
    RefreshToken {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        client_id: client.into(),
        secret: secret.into(),
        ..RefreshToken::default()
    }
}

fn sign_in(cache: &mut TokenCache, client: &str, n: &str) {
    let account = Account {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        realm: "tenant".into(),
        local_account_id: "alice".into(),
        username: "alice@example.com".into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    };
    let app_metadata = AppMetadata { client_id: client.into(), environment: HOST.into(), ..AppMetadata::default() };
    let response = TokenResponse {
        access_token: Some(access_token(client, "read", &format!("at-{n}"), NOW)),
        refresh_token: Some(refresh_token(client, &format!("rt-{n}"))),
        id_token: None::<IdToken>,
        account: Some(account),
        app_metadata: Some(app_metadata),
    };
    cache.sign_in(response).expect("complete");
}

/// A shared document, and our journal of it.
struct Shared {
    journal: ReapplyJournal,
    document: Option<Blob>,
}

impl Shared {
    fn new(keeps_copy: bool) -> Self {
        Self { journal: ReapplyJournal::new(keeps_copy), document: None }
    }

    fn cache(&self) -> TokenCache {
        self.document
            .as_ref()
            .map_or_else(TokenCache::default, |bytes| TokenCache::deserialize(bytes.expose()).expect("sound"))
    }

    /// A write of ours, as a store makes it.
    fn we_write(&mut self, at: UnixMillis, change: impl FnOnce(&mut TokenCache)) {
        self.look(at);
        let before = self.document.as_ref().map(ReapplyJournal::unmark);
        let mut cache = TokenCache::deserialize(before.as_ref().map_or(&[], Blob::expose)).expect("sound");
        change(&mut cache);
        let mut after = cache.serialize();
        if self.document.is_none() {
            after = self.journal.reconcile(Seen::Begun(&after), at).document.unwrap_or(after);
        }
        self.document = self.journal.note(before.as_ref(), Some(&after), at);
        self.reopen();
    }

    /// A write of another library.
    fn they_write(&mut self, change: impl FnOnce(&mut TokenCache)) {
        let mut cache = self.cache();
        change(&mut cache);
        self.document = Some(cache.serialize());
    }

    /// A write of a library that had read the document before any of our writes.
    fn they_drop(&mut self, change: impl FnOnce(&mut TokenCache)) {
        self.document = self.document.as_ref().map(ReapplyJournal::unmark);
        self.they_write(change);
    }

    fn look(&mut self, at: UnixMillis) -> Reapplied {
        let seen = self.document.clone();
        let done = self.journal.reconcile(seen.as_ref().map_or(Seen::Nothing, Seen::Document), at);
        self.document = match &done.document {
            Some(document) => self.journal.note(Some(document), Some(document), at),
            None => seen,
        };
        self.reopen();
        done
    }

    /// Another process takes over.
    fn reopen(&mut self) {
        let keeps_copy = self.journal.keeps_copy;
        self.journal = match self.journal.to_bytes() {
            Some(bytes) => ReapplyJournal::from_bytes(&bytes, keeps_copy),
            None => ReapplyJournal::new(keeps_copy),
        };
    }

    fn secrets(&self) -> Vec<String> {
        let cache = self.cache();
        let found = cache.credentials_of(ALICE, HOST);
        let mut secrets: Vec<String> = found.into_iter().map(|(_, secret)| secret.expose().to_owned()).collect();
        secrets.sort();
        secrets
    }

    fn has_account(&self) -> bool {
        self.cache().holds_account(ALICE, HOST)
    }
}

/// As we leave it after a sign-in of ours and one of a neighbour.
fn signed_in(keeps_copy: bool) -> Shared {
    let mut shared = Shared::new(keeps_copy);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| sign_in(cache, OURS, "ours"));
    shared
}

fn remove_token(cache: &mut TokenCache, secret: &str) {
    let found = cache.credentials_of(ALICE, HOST);
    let id = found.iter().find(|(_, known)| known.expose() == secret).map(|(id, _)| id.clone());
    assert!(cache.remove(&id.expect("is there")));
}

fn guest_account(realm: &str) -> Account {
    Account {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        realm: realm.into(),
        local_account_id: realm.into(),
        username: format!("alice@{realm}").into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    }
}

fn remove_account_entry(cache: &mut TokenCache, realm: &str) {
    let of_realm = |entry: &Entry| {
        entry.id.section() == section::ACCOUNT
            && std::str::from_utf8(entry.json.expose())
                .is_ok_and(|json| json.contains(&format!("\"realm\":\"{realm}\"")))
    };
    let id = cache.entries().find(of_realm).expect("is there").id;
    assert!(cache.remove(&id));
}

/// The document before our sign-in.
fn before_ours() -> Option<Blob> {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.document
}

fn count(shared: &Shared, secret: &str) -> usize {
    shared.secrets().iter().filter(|known| *known == secret).count()
}

/// The document with one text in place of another.
fn respelled(document: Option<&Blob>, from: &str, to: &str) -> Option<Blob> {
    let text = std::str::from_utf8(document?.expose()).expect("text");
    assert!(text.contains(from), "{text}");
    Some(Blob::new(text.replace(from, to).into_bytes()))
}

fn user_of(home_account_id: &str) -> Account {
    Account {
        home_account_id: home_account_id.into(),
        environment: HOST.into(),
        realm: "tenant".into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    }
}
