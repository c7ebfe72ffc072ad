//! The flows by this toolkit, and the store that all of its side of the suite opens.

use std::path::Path;
use std::sync::Arc;

use cache_core::schema::{AccessToken, Account, AppMetadata, ExtendedKey, IdToken, RefreshToken};
use cache_core::{
    AccessTokenQuery, Clock, Documents, Environments, ManualClock, PartitionKey, Peer, PersistedTokenCache, Profile,
    RefreshTokenQuery, Result, SystemClock, TokenResponse, UnixSeconds, assertion_hash, blocking,
};
use cache_file::{FileStore, FileStoreBuilder};

use crate::answers::{Listed, SignIn, Silent};
use crate::flows::{self, Flow, Response};
use crate::peers::Library;

/// The partition of a file that is shared with MSAL libraries.
pub const PARTITION: PartitionKey = PartitionKey::Shared;

/// The file as this toolkit shares it with MSAL libraries: the one place that says how.
pub fn shared(path: &Path) -> FileStoreBuilder {
    FileStore::at(path).plaintext().shared_with_msal()
}

/// The cache in a file that MSAL libraries share.
pub fn open_store(path: &Path) -> Result<blocking::PersistedTokenCache> {
    open_at(path, Arc::new(SystemClock))
}

fn open_at(path: &Path, clock: Arc<dyn Clock>) -> Result<blocking::PersistedTokenCache> {
    open_beside(Profile::default(), Environments::default(), path, clock)
}

fn open_beside(
    profile: Profile,
    environments: Environments,
    path: &Path,
    clock: Arc<dyn Clock>,
) -> Result<blocking::PersistedTokenCache> {
    let store = Documents::with_clock(shared(path).build()?, clock.clone()).with_profile(profile);
    let cache = PersistedTokenCache::builder(store).clock(clock).environments(environments);
    Ok(blocking::PersistedTokenCache::new(cache.build()))
}

/// How a cache is written that this library alone shares with us.
fn beside(library: Library) -> Result<(Profile, Environments)> {
    let peer = match library {
        Library::Python | Library::PythonPortalocker => Peer::Python,
        Library::Node => Peer::Node,
        Library::Go => Peer::Go,
        Library::Java => Peer::Java,
        Library::Net => Peer::DotNet,
    };
    let (profile, environments) = (Profile::shared_with([peer]), Environments::default());
    Ok(match peer {
        // It finds applications' tokens under the host of its authority, and by a home account id of null.
        Peer::Python => {
            let hosts = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];
            (profile.with_null_home_account_ids()?, environments.with_group(hosts))
        }
        _ => (profile, environments),
    })
}

/// The present second.
pub fn wall_clock() -> i64 {
    SystemClock.now().to_seconds().0
}

fn open_with(path: &Path, now: i64) -> Result<blocking::PersistedTokenCache> {
    open_at(path, Arc::new(ManualClock::at(UnixSeconds(now))))
}

/// Signs in as the flow does, into the file at `path` that this library shares with us, at `now`; answers what that left.
///
/// `like` names the tenant and the key as the library does that is to read it: both are the caller's to choose.
pub fn sign_in(library: Library, flow: Flow, like: &SignIn, path: &Path, now: i64) -> Result<SignIn> {
    let (profile, environments) = beside(library)?;
    let cache = open_beside(profile, environments, path, Arc::new(ManualClock::at(UnixSeconds(now))))?;
    if let Some(first) = flow.definition().after {
        let tenant = first.definition().tenant();
        let response = response_of(first, tenant, None, now);
        cache.update(&PARTITION, |tokens| tokens.sign_in(response))?.value?;
    }
    let realm = like.realm.as_deref().unwrap_or_default();
    let response = response_of(flow, realm, like.key_id.as_deref(), now);
    let refresh_token = response.refresh_token.as_ref().map(|token| token.secret.expose().to_owned());
    let username = response.account.as_ref().map(|account| account.username.to_string());
    cache.update(&PARTITION, |tokens| tokens.sign_in(response))?.value?;
    Ok(SignIn {
        access_token: ours(&flow.definition().response.access_token),
        refresh_token,
        home_account_id: flow.definition().home_account_id(),
        username,
        ..like.clone()
    })
}

/// What a fresh handle finds in the file at `path`: the access token, the accounts, and the refresh token that it would
/// send. `signed_in` is what the library says that it left there.
pub fn read(flow: Flow, signed_in: &SignIn, path: &Path, now: i64) -> Result<(Silent, Option<String>)> {
    let cache = open_with(path, now)?;
    let definition = flow.definition();
    let components = definition.components.iter().map(|(name, value)| (&**name, &**value));
    let extended = ExtendedKey::new(components);
    let (scopes, hash) = match &signed_in.asked {
        Some(asked) => (asked.scopes.clone(), asked.assertion_hash.clone()),
        None => (definition.scopes.join(" "), definition.assertion.as_deref().map(assertion_hash)),
    };
    // MSAL Java makes an id of its own for B2C.
    let home = signed_in.user();
    let (client, host) = (&*definition.client_id, definition.host());

    let mut query = match (home, &hash) {
        // A library that keeps no assertion hash keeps an ordinary token of the user.
        (_, Some(hash)) if signed_in.assertion_hash.is_some() => AccessTokenQuery::on_behalf_of(hash, client, &scopes),
        (Some(home), _) => AccessTokenQuery::user(home, client, &scopes),
        (None, _) => AccessTokenQuery::app(client, &scopes),
    };
    query = query.with_environment(host).with_realm(signed_in.realm.as_deref().unwrap_or_default());
    if !definition.components.is_empty() {
        query = query.with_extended(&extended);
    }
    if matches!(flow, Flow::Pop | Flow::Ssh) {
        query = query.with_token_type(&definition.response.token_type, signed_in.key_id.as_deref());
    }
    let access_token = cache.access_token(&PARTITION, &query)?.map(|token| token.secret.expose().to_owned());
    cache.read(&PARTITION, |tokens| {
        let accounts = tokens.accounts().into_iter().map(|account| Listed {
            home_account_id: account.home_account_id.to_string(),
            username: Some(account.username.to_string()),
        });
        let query = home.map(|home| RefreshTokenQuery::user(home, client, host));
        let refresh_tokens = query.map_or_else(Vec::new, |query| tokens.refresh_tokens(&query));
        let best = refresh_tokens.first().map(|(_, token)| token.secret.expose().to_owned());
        (Silent { access_token, accounts: accounts.collect(), ..Silent::default() }, best)
    })
}

/// Marks a token as got by this toolkit.
fn ours(secret: &str) -> String {
    format!("ours-{secret}")
}

fn response_of(flow: Flow, realm: &str, key_id: Option<&str>, now: i64) -> TokenResponse {
    let definition = flow.definition();
    let response = &definition.response;
    let home = definition.home_account_id();
    let (environment, client_id) = (definition.host(), &*definition.client_id);
    let bound = matches!(flow, Flow::Pop | Flow::Ssh);
    let components = definition.components.iter().map(|(name, value)| (&**name, &**value));
    let client_info = response.client_info().map(Into::into);
    let cached_at = UnixSeconds(now);
    let access_token = AccessToken {
        home_account_id: home.as_deref().map(Into::into),
        environment: environment.into(),
        client_id: client_id.into(),
        realm: realm.into(),
        target: response.scope.clone().unwrap_or_else(|| definition.scopes.join(" ")).into(),
        secret: ours(&response.access_token).into(),
        cached_at: Some(cached_at),
        expires_on: Some(cached_at.plus(response.expires_in)),
        extended_expires_on: response.ext_expires_in.map(|seconds| cached_at.plus(seconds)),
        token_type: bound.then(|| response.token_type.as_str().into()),
        key_id: key_id.filter(|_| bound).map(Into::into),
        assertion_hash: definition.assertion.as_deref().map(|assertion| assertion_hash(assertion).into()),
        extended: (!definition.components.is_empty()).then(|| ExtendedKey::new(components)),
        client_info: client_info.clone(),
        ..AccessToken::default()
    };
    let app_metadata = AppMetadata {
        client_id: client_id.into(),
        environment: environment.into(),
        family_id: response.foci.as_deref().map(Into::into),
        ..AppMetadata::default()
    };
    let Some(home) = home else {
        let access_token = Some(access_token);
        return TokenResponse { access_token, app_metadata: Some(app_metadata), ..TokenResponse::default() };
    };
    let refresh_token = response.refresh_token.as_deref().map(|secret| RefreshToken {
        home_account_id: home.as_str().into(),
        environment: environment.into(),
        client_id: client_id.into(),
        secret: ours(secret).into(),
        family_id: response.foci.as_deref().map(Into::into),
        client_info: client_info.clone(),
        ..RefreshToken::default()
    });
    let id_token = response.id_token(now).map(|secret| IdToken {
        home_account_id: home.as_str().into(),
        environment: environment.into(),
        client_id: client_id.into(),
        realm: realm.into(),
        secret: secret.into(),
        client_info: client_info.clone(),
        ..IdToken::default()
    });
    let account = Account {
        home_account_id: home.as_str().into(),
        environment: environment.into(),
        realm: realm.into(),
        local_account_id: response.claim("oid").or(response.claim("sub")).unwrap_or_default().into(),
        username: username(response).into(),
        authority_type: if flow == Flow::Adfs { "ADFS" } else { "MSSTS" }.into(),
        name: response.claim("name").map(Into::into),
        client_info,
        ..Account::default()
    };
    TokenResponse {
        access_token: Some(access_token),
        // The refresh token of an assertion serves a long-running process only, which this flow is not.
        refresh_token: refresh_token.filter(|_| flow != Flow::Obo),
        id_token,
        account: Some(account),
        app_metadata: Some(app_metadata),
    }
}

fn username(response: &Response) -> &str {
    response.claim("preferred_username").or(response.claim("upn")).unwrap_or_default()
}

/// The account that the program `ours` signs in beside the peers' writers, with a client of its own.
pub fn writer_account() -> (&'static str, &'static str) {
    (
        "0000000a-0000-4000-8000-0000000000a1.00000000-0000-0000-0000-0000000000bb",
        "99999999-2222-3333-4444-555555555555",
    )
}

/// What the sign-in of a writer leaves, and each of its later responses: everything that a refresh brings.
pub fn writer_response(home_account_id: &str, client_id: &str, scope: &str, secret: &str, now: i64) -> TokenResponse {
    let write = flows::write();
    let (environment, realm) = (write.environment.as_str(), write.realm.as_str());
    let local = home_account_id.split('.').next().unwrap_or_default();
    let claims = serde_json::json!({
        "aud": client_id, "iss": format!("https://{environment}/{realm}/v2.0"), "sub": local, "oid": local, "tid": realm,
        "preferred_username": write.username, "iat": now, "exp": now + 3600,
    });
    let id_token = format!("{}.{}.c2ln", flows::encoded(&serde_json::json!({"alg": "none"})), flows::encoded(&claims));
    let now = UnixSeconds(now);
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(home_account_id.into()),
            environment: environment.into(),
            client_id: client_id.into(),
            realm: realm.into(),
            target: scope.into(),
            secret: secret.into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: home_account_id.into(),
            environment: environment.into(),
            client_id: client_id.into(),
            secret: format!("refresh-{secret}").into(),
            ..RefreshToken::default()
        }),
        id_token: Some(IdToken {
            home_account_id: home_account_id.into(),
            environment: environment.into(),
            client_id: client_id.into(),
            realm: realm.into(),
            secret: id_token.into(),
            ..IdToken::default()
        }),
        account: Some(Account {
            home_account_id: home_account_id.into(),
            environment: environment.into(),
            realm: realm.into(),
            local_account_id: local.into(),
            username: write.username.as_str().into(),
            ..Account::default()
        }),
        app_metadata: Some(AppMetadata {
            client_id: client_id.into(),
            environment: environment.into(),
            ..AppMetadata::default()
        }),
    }
}
