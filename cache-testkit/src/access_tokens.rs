//! Access tokens of one account, told apart by a name: put into a store and listed again.

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{CacheStore, Change, Changes, Committed, Entry, PartitionKey, Result, TokenResponse, UnixSeconds};
use pollster::block_on;

use crate::entries::access_token;

/// The home account id of the account.
pub const ALICE: &str = "alice.home";

/// The environment of the account.
pub const HOST: &str = "login.windows.net";

/// The secret of the access token of this name.
pub fn secret_of(name: &str) -> String {
    format!("secret of {name}")
}

/// The access token of this name as a token library has it: cached now, valid for an hour, for a target of its own.
pub fn token(name: &str, now: UnixSeconds) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: HOST.into(),
        client_id: "client".into(),
        realm: "home".into(),
        target: format!("api://{name}/.default").into(),
        secret: secret_of(name).into(),
        cached_at: Some(now),
        expires_on: Some(now.plus(3600)),
        ..AccessToken::default()
    }
}

/// What the token endpoint answers a sign-in or a refresh of the account: the [`token`] of this name, a refresh token with the
/// name for its secret, and the account.
pub fn response(name: &str, now: UnixSeconds) -> TokenResponse {
    TokenResponse {
        access_token: Some(token(name, now)),
        refresh_token: Some(RefreshToken {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            client_id: "client".into(),
            secret: name.into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            realm: "home".into(),
            username: "alice@contoso.example".into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}

/// Puts an access token with this key text into the store.
pub fn put(store: &dyn CacheStore, partition: &PartitionKey, key: &str) -> Result<Committed> {
    let entry = access_token(key).of(ALICE, HOST).secret(&secret_of(key)).entry();
    block_on(store.commit(partition, &Changes::new(vec![Change::put(entry)])))
}

/// The key texts that the store has, sorted; all of tokens that [`put`] put there.
///
/// # Panics
/// If one of them has another secret than [`put`] gave it.
pub fn keys(store: &dyn CacheStore, partition: &PartitionKey) -> Result<Vec<String>> {
    let key = |entry: Entry| {
        let (key, json) = (entry.id.key(), String::from_utf8_lossy(entry.json.expose()));
        assert!(json.contains(&format!("\"{}\"", secret_of(key))), "{key} has another secret");
        key.to_owned()
    };
    sorted(store, partition, key)
}

/// The key texts that the store has, sorted, whoever wrote what is under them.
pub fn anybodys_keys(store: &dyn CacheStore, partition: &PartitionKey) -> Result<Vec<String>> {
    sorted(store, partition, |entry| entry.id.key().to_owned())
}

fn sorted(store: &dyn CacheStore, partition: &PartitionKey, key: impl Fn(Entry) -> String) -> Result<Vec<String>> {
    let entries = block_on(store.load(partition))?.map_or_else(Vec::new, |snapshot| snapshot.entries);
    let mut keys: Vec<String> = entries.into_iter().map(|stored| key(stored.entry)).collect();
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache_core::MemoryStore;

    const SHARED: PartitionKey = PartitionKey::Shared;

    #[test]
    fn what_was_put_is_listed() {
        let store = MemoryStore::new();
        assert!(keys(&store, &SHARED).expect("loaded").is_empty());
        for key in ["b", "a"] {
            put(&store, &SHARED, key).expect("stored");
        }
        for keys in [keys, anybodys_keys] {
            assert_eq!(keys(&store, &SHARED).expect("loaded"), ["a", "b"]);
        }
    }

    #[test]
    #[should_panic(expected = "a has another secret")]
    fn another_secret_under_the_key_is_found_out() {
        let store = MemoryStore::new();
        let other = access_token("a").of(ALICE, HOST).secret("secret of b").entry();
        block_on(store.commit(&SHARED, &Changes::new(vec![Change::put(other)]))).expect("stored");
        assert_eq!(anybodys_keys(&store, &SHARED).expect("loaded"), ["a"]);
        let _ = keys(&store, &SHARED);
    }
}
