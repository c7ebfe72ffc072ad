//! What the identity provider answers, as the stubs of all workers have it.

use cache_core::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use cache_core::{TokenResponse, UnixMillis, UnixSeconds, assertion_hash};
use serde_json::json;

use super::{CLIENT, Flow, HOST, TENANT, assertion, home, object_id, tenant};
use crate::flows::encoded;
use crate::ours::wall_clock;

/// A response of the token endpoint as all stubs give it, the tokens as large as real ones.
pub(super) fn response(flow: Flow, user: u32, scope: &str, number: u64, at: UnixMillis) -> TokenResponse {
    let now = UnixSeconds(wall_clock());
    let (home, local) = (home(user), object_id(user));
    let client_info = encoded(&json!({ "uid": local, "utid": TENANT }));
    let is_app = flow == Flow::Client;
    let access_token = AccessToken {
        home_account_id: (!is_app).then(|| home.as_str().into()),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: if is_app { tenant(user) } else { TENANT.to_owned() }.into(),
        target: scope.into(),
        secret: format!("{}.{}", encoded(&json!({ "user": user, "number": number })), "s".repeat(1_440)).into(),
        cached_at: Some(now),
        expires_on: Some(now.plus(3600)),
        assertion_hash: (flow == Flow::Obo).then(|| assertion_hash(&assertion(user)).into()),
        ..AccessToken::default()
    };
    let app_metadata =
        Some(AppMetadata { client_id: CLIENT.into(), environment: HOST.into(), ..AppMetadata::default() });
    if is_app {
        return TokenResponse { access_token: Some(access_token), app_metadata, ..TokenResponse::default() };
    }
    let claims = json!({
        "oid": local, "tid": TENANT, "sub": format!("sub{user}"), "preferred_username": format!("user{user}@contoso.test"),
        "name": format!("User {user}"), "iss": format!("https://{HOST}/{TENANT}/v2.0"), "aud": CLIENT, "ver": "2.0",
    });
    let refresh_token = (flow == Flow::Silent).then(|| RefreshToken {
        home_account_id: home.as_str().into(),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        secret: format!("0.{number}.{user}.{}", "r".repeat(1_300)).into(),
        last_modification_time: Some(at),
        client_info: Some(client_info.as_str().into()),
        ..RefreshToken::default()
    });
    TokenResponse {
        access_token: Some(AccessToken { client_info: Some(client_info.as_str().into()), ..access_token }),
        refresh_token,
        id_token: Some(IdToken {
            home_account_id: home.as_str().into(),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: TENANT.into(),
            secret: format!("{}.{}.{}", encoded(&json!({ "alg": "none" })), encoded(&claims), "s".repeat(342)).into(),
            client_info: Some(client_info.as_str().into()),
            ..IdToken::default()
        }),
        account: Some(Account {
            home_account_id: home.as_str().into(),
            environment: HOST.into(),
            realm: TENANT.into(),
            local_account_id: local.as_str().into(),
            username: format!("user{user}@contoso.test").into(),
            authority_type: "MSSTS".into(),
            client_info: Some(client_info.as_str().into()),
            ..Account::default()
        }),
        app_metadata,
    }
}

/// Which response a refresh token came with, as all stubs write it.
pub(super) fn number(refresh_token: &str) -> Option<u64> {
    refresh_token.split('.').nth(1)?.parse().ok()
}
