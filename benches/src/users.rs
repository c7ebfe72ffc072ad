//! Users of a web app, each with a partition: an access token, a refresh token, an ID token and an account, with secrets as long as
//! those of Entra.

use std::sync::Arc;

use cache_core::schema::{AccessToken, Account, IdToken, RefreshToken};
use cache_core::{AccessTokenQuery, PartitionKey, TokenCache, UnixSeconds};

const CLIENT: &str = "c4b61b3a-ba11-4eec-9d3a-f12c515e48f6";
const HOST: &str = "login.windows.net";
const TENANT: &str = "11111111-1111-4111-8111-111111111111";

/// Characters of secrets.
const ACCESS_TOKEN: usize = 1_500;
const REFRESH_TOKEN: usize = 1_300;
const ID_TOKEN: usize = 700;

/// The user's home account id.
pub fn home_account_id(user: usize) -> Arc<str> {
    format!("{user:08}-0000-4000-8000-000000000000.{TENANT}").into()
}

/// The partition of a user.
pub fn partition(user: usize) -> PartitionKey {
    PartitionKey::User(home_account_id(user))
}

/// Whose partition it is; `None`: none of a user.
pub fn user_of(partition: &PartitionKey) -> Option<usize> {
    let PartitionKey::User(home_account_id) = partition else { return None };
    home_account_id.get(..8)?.parse().ok()
}

/// Asks for the user's first access token.
pub fn query(home_account_id: &str) -> AccessTokenQuery<'_> {
    AccessTokenQuery::user(home_account_id, CLIENT, "api://contoso.example/Resource0.Read").with_realm(TENANT)
}

/// How often the token had been refreshed that a cache has handed out.
pub fn serial(token: &AccessToken) -> u32 {
    token.secret.expose().split('.').next().and_then(|serial| serial.parse().ok()).expect("every secret begins so")
}

/// Puts what a sign-in brings: `access_tokens` for as many resources, and what stands beside them.
pub fn sign_in(tokens: &mut TokenCache, user: usize, access_tokens: usize, serial: u32, at: UnixSeconds) {
    (0..access_tokens).for_each(|resource| {
        tokens.insert(access_token(user, resource, serial, at)).expect("complete");
    });
    tokens.insert(refresh_token(user, serial, at)).expect("complete");
    let id_token = IdToken {
        home_account_id: home_account_id(user),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: TENANT.into(),
        // A JWT with no claims.
        secret: format!("e30.e30.{}", "s".repeat(ID_TOKEN)).into(),
        ..IdToken::default()
    };
    let account = Account {
        home_account_id: home_account_id(user),
        environment: HOST.into(),
        realm: TENANT.into(),
        ..Account::default()
    };
    tokens.insert(id_token).expect("complete");
    tokens.insert(account).expect("complete");
}

/// Puts what a refresh brings: the first access token and the refresh token.
pub fn refresh(tokens: &mut TokenCache, user: usize, serial: u32, at: UnixSeconds) {
    tokens.insert(access_token(user, 0, serial, at)).expect("complete");
    tokens.insert(refresh_token(user, serial, at)).expect("complete");
}

fn secret(serial: u32, length: usize) -> String {
    format!("{serial}.{}", "s".repeat(length))
}

fn access_token(user: usize, resource: usize, serial: u32, at: UnixSeconds) -> AccessToken {
    AccessToken {
        home_account_id: Some(home_account_id(user)),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: TENANT.into(),
        target: format!("api://contoso.example/Resource{resource}.Read").into(),
        secret: secret(serial, ACCESS_TOKEN).into(),
        cached_at: Some(at),
        // Entra gives 60 to 90 minutes.
        expires_on: Some(at.plus(3_600 + (user % 1_800) as i64)),
        ..AccessToken::default()
    }
}

fn refresh_token(user: usize, serial: u32, at: UnixSeconds) -> RefreshToken {
    RefreshToken {
        home_account_id: home_account_id(user),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        secret: secret(serial, REFRESH_TOKEN).into(),
        last_modification_time: Some(at.to_millis()),
        ..RefreshToken::default()
    }
}
