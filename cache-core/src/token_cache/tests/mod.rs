//! What the tests of the cache are made of.

mod after_access;
mod lookups;
mod writes;

use super::*;
use crate::changes::Change;
use crate::entry::{Snapshot, Version};
use crate::partition::PartitionKey;
use crate::secret::Blob;
use crate::time::UnixSeconds;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ALICE: &str = "alice.home";
const JWT: &str = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJhbGljZSJ9.c2ln";

fn token(target: &str, secret: &str) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: "login.microsoftonline.com".into(),
        client_id: "Client".into(),
        realm: "home".into(),
        target: target.into(),
        secret: secret.into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn refresh_token(secret: &str) -> RefreshToken {
    RefreshToken {
        home_account_id: ALICE.into(),
        environment: "login.microsoftonline.com".into(),
        client_id: "client".into(),
        secret: secret.into(),
        ..RefreshToken::default()
    }
}

fn account(username: &str) -> Account {
    Account {
        home_account_id: ALICE.into(),
        environment: "login.microsoftonline.com".into(),
        realm: "home".into(),
        local_account_id: "alice".into(),
        username: username.into(),
        ..Account::default()
    }
}

fn filled(fill: impl FnOnce(&mut TokenCache)) -> TokenCache {
    let mut cache = TokenCache::default();
    fill(&mut cache);
    cache
}

/// The cache as a store holds it.
fn stored(cache: &TokenCache) -> TokenCache {
    let entries = cache.entries().map(|entry| Stored { version: Version::of_content(&entry.json), entry }).collect();
    let snapshot = Snapshot { entries, unreadable: Vec::new(), stamp: Version::new(b"1") };
    TokenCache::from_snapshot(Some(&snapshot), Environments::default())
}

fn put<E: Insertable>(cache: &mut TokenCache, entity: E) {
    cache.insert(entity).expect("a complete entity");
}

fn user_query(scopes: &str) -> AccessTokenQuery<'_> {
    AccessTokenQuery::user(ALICE, "CLIENT", scopes).with_realm("HOME").with_environment("sts.windows.net")
}

fn secrets(cache: &TokenCache) -> Vec<String> {
    let mut secrets: Vec<_> = cache.access_tokens().map(|(_, token)| token.secret.expose().to_owned()).collect();
    secrets.sort();
    secrets
}

fn id_token() -> IdToken {
    IdToken {
        home_account_id: ALICE.into(),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "home".into(),
        secret: JWT.into(),
        ..IdToken::default()
    }
}

/// A document with these entries as their writers spelled them, as a store holds it.
fn held(document: &str) -> TokenCache {
    stored(&TokenCache::deserialize(document.as_bytes()).expect("sound"))
}

fn difference(base: &TokenCache, theirs: impl FnOnce(&mut TokenCache)) -> Vec<Change> {
    let mut after = TokenCache::deserialize(base.serialize().expose()).expect("our own document");
    theirs(&mut after);
    let after = TokenCache::deserialize(after.serialize().expose()).expect("their document");
    base.difference(&after, &PartitionKey::Shared, NOW.to_millis(), NOW.plus(1).to_millis())
}
