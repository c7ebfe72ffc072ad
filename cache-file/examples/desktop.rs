//! A desktop program or command line tool: one sign-in, shared by all of its processes through one encrypted file. No async
//! runtime.
//!
//!     cargo run -p cache-file --example desktop -- sign-in
//!     cargo run -p cache-file --example desktop -- token
//!     cargo run -p cache-file --example desktop -- sign-out

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use cache_core::schema::{AccessToken, Account};
use cache_core::{AccessTokenQuery, PartitionKey, PersistedTokenCache, TokenResponse, blocking};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;

const HOST: &str = "login.microsoftonline.com";
const CLIENT: &str = "00000000-0000-0000-0000-00000000000a";
const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const SCOPES: &str = "User.Read";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".token-cache-example");
    std::fs::create_dir_all(&folder)?;

    // The key lies apart from the cache in a real program: in the OS keychain, or where backups do not go.
    let key = Key::from_file_or_create(folder.join("key"))?;
    let store = FileStore::at(folder.join("tokens.bin")).protector(Arc::new(Envelope::with_key(key))).open()?;
    let cache = blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store).build());
    let mut out = std::io::stdout();

    // One partition: the one user's cache, whatever the number of accounts in it.
    match std::env::args().nth(1).as_deref() {
        Some("sign-in") => {
            let response = ask_the_identity_provider(cache.as_async().now());
            cache.update(&PartitionKey::Shared, |tokens| tokens.sign_in(response))?.value?;
            writeln!(out, "signed in")?;
        }
        Some("sign-out") => {
            let removed = cache.update(&PartitionKey::Shared, |tokens| {
                let accounts = tokens.accounts();
                accounts.iter().filter(|a| tokens.remove_account(&a.home_account_id, &a.environment)).count()
            })?;
            writeln!(out, "{} accounts signed out", removed.value)?;
        }
        _ => {
            let accounts = cache.read(&PartitionKey::Shared, cache_core::TokenCache::accounts)?;
            let Some(account) = accounts.first() else { return Err("nobody is signed in".into()) };
            let query = AccessTokenQuery::user(&account.home_account_id, CLIENT, SCOPES)
                .with_environment(HOST)
                .with_realm(TENANT);
            match cache.access_token(&PartitionKey::Shared, &query)? {
                Some(token) => writeln!(out, "{} has a token until {:?}", account.username, token.expires_on)?,
                None => writeln!(out, "{} must sign in again", account.username)?,
            }
        }
    }
    Ok(())
}

fn ask_the_identity_provider(now: cache_core::UnixSeconds) -> TokenResponse {
    let home_account_id = format!("00000000-0000-0000-0000-00000000a11c.{TENANT}");
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(home_account_id.as_str().into()),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: TENANT.into(),
            target: SCOPES.into(),
            secret: "the access token of the response".into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        account: Some(Account {
            home_account_id: home_account_id.as_str().into(),
            environment: HOST.into(),
            realm: TENANT.into(),
            username: "alice@contoso.example".into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}
