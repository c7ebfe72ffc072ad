//! A token library that uses the schema alone: it reads a unified cache document that an MSAL library wrote, looks a token
//! up, adds what a token response brought, and writes the document again.
//!
//!     cargo run -p cache-core --example token_library -- <document>

use std::error::Error;
use std::io::Write as _;

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{AccessTokenQuery, Clock as _, RefreshTokenQuery, SystemClock, TokenCache, TokenResponse};

const HOST: &str = "login.microsoftonline.com";
const CLIENT: &str = "00000000-0000-0000-0000-00000000000a";
const SCOPES: &str = "User.Read Mail.Read";

fn main() -> Result<(), Box<dyn Error>> {
    let document = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => Vec::new(),
    };
    let mut cache = TokenCache::deserialize(&document)?;
    let now = SystemClock.now().to_seconds();

    // Who is signed in? The groups are the same whichever library wrote the entries.
    let home_account_id: String = match cache.accounts().first() {
        Some(account) => account.home_account_id.to_string(),
        None => "uid.utid".to_owned(),
    };
    let tenant = home_account_id.rsplit_once('.').map_or("", |(_, tenant)| tenant);

    // A token that is good for five minutes more, else the refresh tokens to try, best first.
    let query = AccessTokenQuery::user(&home_account_id, CLIENT, SCOPES).with_environment(HOST).with_realm(tenant);
    if cache.access_token(&query, now).is_none() {
        let candidates = cache.refresh_tokens(&RefreshTokenQuery::user(&home_account_id, CLIENT, HOST));
        let response = request_tokens(candidates.first().map(|(_, token)| &**token), &home_account_id, tenant);
        cache.sign_in(response)?;
    }

    let token = cache.access_token(&query, now).ok_or("the response brought no usable token")?;
    let stdout = &mut std::io::stdout();
    writeln!(stdout, "a token for {} that expires at {:?}", token.target, token.expires_on)?;
    writeln!(stdout, "the document has {} bytes", cache.serialize().len())?;
    Ok(())
}

/// Where a real library asks the identity provider.
fn request_tokens(_refresh_token: Option<&RefreshToken>, home_account_id: &str, tenant: &str) -> TokenResponse {
    let now = SystemClock.now().to_seconds();
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(home_account_id.into()),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: tenant.into(),
            target: SCOPES.into(),
            secret: "the access token of the response".into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: home_account_id.into(),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            secret: "the refresh token of the response".into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: home_account_id.into(),
            environment: HOST.into(),
            realm: tenant.into(),
            username: "alice@contoso.example".into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}
