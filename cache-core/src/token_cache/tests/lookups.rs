//! What is found, and in which order.

use super::*;

#[test]
fn accounts_are_grouped_with_the_home_tenant_first() {
    let profile = r#"{"tenantId":"guest","localAccountId":"g","name":"A","username":"a@guest","isHomeTenant":false}"#;
    let cache = filled(|cache| {
        put(cache, Account { realm: "other".into(), local_account_id: "o".into(), ..account("a@other") });
        put(cache, Account { tenant_profiles: vec![profile.into()], ..account("alice@example") });
        put(cache, Account { environment: "login.microsoftonline.us".into(), ..account("alice@us") });
    });
    let groups = cache.accounts();
    assert_eq!(groups.len(), 2);
    let group = cache.account(ALICE, "login.microsoft.com").expect("alice");
    assert_eq!(&*group.username, "alice@example");
    let tenants: Vec<_> =
        group.tenant_profiles.iter().map(|profile| (&*profile.tenant_id, profile.is_home_tenant)).collect();
    assert_eq!(tenants, [("home", true), ("guest", false), ("other", false)]);
}

#[test]
fn a_query_without_realm_finds_every_tenant() {
    let cache = filled(|cache| {
        put(cache, token("a", "home"));
        put(cache, AccessToken { realm: "guest".into(), ..token("a", "guest") });
    });
    let query = AccessTokenQuery::user(ALICE, "client", "a");
    assert_eq!(cache.matching_access_tokens(&query, NOW).count(), 2);
    assert_eq!(cache.matching_access_tokens(&user_query("a"), NOW).count(), 1);
    let empty = AccessTokenQuery::user(ALICE, "client", "");
    assert_eq!(cache.matching_access_tokens(&empty, NOW).count(), 0);
    assert_eq!(cache.matching_access_tokens(&user_query(""), NOW).count(), 0);
}

#[test]
fn the_host_of_the_session_s_newest_access_token_ranks_its_refresh_tokens() {
    let entry = |section: &str, key: &str, host: &str, more: &str| {
        format!(
            r#""{section}":{{"{key}":{{"home_account_id":"{ALICE}","environment":"{host}","client_id":"client",
                "secret":"s","user_assertion_hash":"session"{more}}}"#
        )
    };
    let refresh = |key: &str, host: &str| entry("RefreshToken", key, host, "").replace(r#""RefreshToken":{"#, "");
    let access = entry("AccessToken", "k", "login.windows.net", r#","realm":"t","target":"s","cached_at":"1""#);
    let document = format!(
        r#"{{"RefreshToken":{{{},{}}},{access}}}}}"#,
        refresh("a", "login.windows.net"),
        refresh("b", "sts.windows.net")
    );
    let cache = TokenCache::deserialize(document.as_bytes()).expect("sound");
    let query = RefreshTokenQuery::on_behalf_of("session", "client", "login.windows.net");
    let found = cache.refresh_tokens(&query);
    assert_eq!(found.iter().map(|(id, _)| id.key()).collect::<Vec<_>>(), ["a", "b"], "not by the key text");
}

#[test]
fn go_s_padded_hash_is_the_same_assertion() {
    let hash = crate::partition::assertion_hash("assertion");
    let padded = format!("{hash}=");
    let cache = filled(|cache| {
        put(cache, RefreshToken { assertion_hash: Some(padded.as_str().into()), ..refresh_token("RT") });
        put(cache, RefreshToken { assertion_hash: Some(hash.as_str().into()), ..refresh_token("RT-2") });
        put(cache, RefreshToken { assertion_hash: Some("session==".into()), ..refresh_token("S") });
    });
    for (asked, secret) in [(&*hash, "RT-2"), (&*padded, "RT-2"), ("session==", "S")] {
        let query = RefreshTokenQuery::on_behalf_of(asked, "client", "login.windows.net");
        let found = cache.refresh_tokens(&query);
        assert_eq!((found.len(), found[0].1.secret.expose()), (1, secret));
    }
    let json = String::from_utf8(cache.serialize().expose().to_vec()).expect("UTF-8");
    assert!(json.contains(&format!(r#""user_assertion_hash":"{hash}""#)), "{json}");
    assert!(json.contains(r#""user_assertion_hash":"session==""#), "a session key stays as it is: {json}");
}
