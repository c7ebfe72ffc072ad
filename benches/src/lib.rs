//! Caches of any size for the benchmarks: deterministic, with tokens of realistic length.

#![forbid(unsafe_code)]

use cache_core::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use cache_core::{TokenCache, UnixSeconds};

/// The clock of every benchmark.
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// The client of every token.
pub const CLIENT: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
/// The host of every token.
pub const HOST: &str = "login.microsoftonline.com";

const TENANTS: usize = 2;
const RESOURCES: usize = 5;
/// Access tokens of one account.
pub const PER_ACCOUNT: usize = TENANTS * RESOURCES;

/// A user's home account id.
pub fn home_account_id(account: usize) -> String {
    format!("{account:08x}-0000-4000-8000-000000000001.{}", tenant(0))
}

/// A tenant's id.
pub fn tenant(number: usize) -> String {
    format!("{number:08x}-1111-4111-8111-111111111111")
}

/// The first scope of a resource.
pub fn scope(resource: usize) -> String {
    format!("https://resource-{resource}.example/Data.Read")
}

/// A cache of users with ten access tokens each: two tenants, five resources. `tokens` counts access tokens; there is a
/// refresh token per user, and an ID token and an account per user and tenant.
pub fn users(tokens: usize) -> TokenCache {
    let mut cache = TokenCache::default();
    for n in 0..tokens {
        let (account, tenant_number, resource) = (n / PER_ACCOUNT, n / RESOURCES % TENANTS, n % RESOURCES);
        let home = home_account_id(account);
        put(&mut cache, user_token(&home, &tenant(tenant_number), resource));
        if resource == 0 {
            put(
                &mut cache,
                IdToken {
                    home_account_id: home.as_str().into(),
                    environment: HOST.into(),
                    client_id: CLIENT.into(),
                    realm: tenant(tenant_number).into(),
                    secret: format!("eyJhbGciOiJub25lIn0.eyJvaWQiOiJhbGljZSJ9.{}", filler(1200, n)).into(),
                    ..IdToken::default()
                },
            );
            put(
                &mut cache,
                Account {
                    home_account_id: home.as_str().into(),
                    environment: HOST.into(),
                    realm: tenant(tenant_number).into(),
                    local_account_id: format!("{n:08x}").into(),
                    username: format!("user{account}@contoso.example").into(),
                    ..Account::default()
                },
            );
        }
        if n % PER_ACCOUNT == 0 {
            put(
                &mut cache,
                RefreshToken {
                    home_account_id: home.as_str().into(),
                    environment: HOST.into(),
                    client_id: CLIENT.into(),
                    secret: filler(1300, n).into(),
                    ..RefreshToken::default()
                },
            );
        }
    }
    put(&mut cache, AppMetadata { client_id: CLIENT.into(), environment: HOST.into(), ..AppMetadata::default() });
    cache
}

/// A cache of one user with `tokens` access tokens, one per resource.
pub fn one_user(tokens: usize) -> TokenCache {
    let mut cache = TokenCache::default();
    for resource in 0..tokens {
        put(&mut cache, user_token(&home_account_id(0), &tenant(0), resource));
    }
    cache
}

/// A cache of one application with `tokens` access tokens, one per tenant.
pub fn app(tokens: usize) -> TokenCache {
    let mut cache = TokenCache::default();
    for number in 0..tokens {
        put(&mut cache, AccessToken { home_account_id: None, ..user_token("", &tenant(number), 0) });
    }
    cache
}

/// One access token.
pub fn user_token(home_account_id: &str, realm: &str, resource: usize) -> AccessToken {
    let read = scope(resource);
    AccessToken {
        home_account_id: Some(home_account_id.into()),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: realm.into(),
        target: format!("{read} https://resource-{resource}.example/Data.Write openid profile offline_access").into(),
        secret: filler(1800, resource).into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn put(cache: &mut TokenCache, entity: impl cache_core::Insertable) {
    cache.insert(entity).expect("the benchmark's entities are complete");
}

/// Text that does not repeat, of the alphabet of tokens.
fn filler(length: usize, seed: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state % 64) as usize])
    };
    std::iter::repeat_with(next).take(length).collect()
}
