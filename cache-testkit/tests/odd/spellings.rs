//! One thing under the names that different libraries give it: each name alone says it.

use cache_core::{TokenCache, UnixSeconds};

use super::ask::{ALICE_ASKS, Ask, Owner, T1, secret};

/// Alice's Bearer token `AT` for `User.Read` under this key text, with further fields.
fn cache(key: &str, fields: &str) -> TokenCache {
    let Owner::User(home) = ALICE_ASKS.owner else { unreachable!("Alice is a user") };
    let document = format!(
        r#"{{"AccessToken":{{"{key}":{{"home_account_id":"{home}","environment":"login.windows.net","client_id":"{}",
            "secret":"AT","realm":"{T1}","target":"User.Read","cached_at":"1800000000","expires_on":"1800003600",
            {fields}}}}}}}"#,
        ALICE_ASKS.client,
    );
    TokenCache::deserialize(document.as_bytes()).expect("it loads")
}

#[test]
fn of_the_key_id() {
    for name in ["key_id", "kid", "keyid"] {
        let cache = cache("k", &format!(r#""token_type":"pop","{name}":"Key""#));
        let with_key = |key_id| secret(&cache, Ask { bound: Some(("POP", key_id)), ..ALICE_ASKS });
        assert_eq!(with_key(Some("Key")).as_deref(), Some("AT"), "{name}");
        assert_eq!([with_key(Some("key")), with_key(None), secret(&cache, ALICE_ASKS)], [None, None, None], "{name}");
    }
}

#[test]
fn of_the_assertion_hash() {
    for name in ["user_assertion_hash", "userAssertionHash"] {
        for hash in ["Hash", "Hash="] {
            let cache = cache("k", &format!(r#""{name}":"{hash}""#));
            let for_hash = |hash| secret(&cache, Ask { owner: Owner::Assertion(hash), ..ALICE_ASKS });
            assert_eq!([for_hash("Hash").as_deref(), for_hash("Hash==").as_deref()], [Some("AT"); 2], "{name} {hash}");
            assert_eq!([for_hash("hash"), secret(&cache, ALICE_ASKS)], [None, None], "{name} {hash}");
        }
    }
}

#[test]
fn of_an_extended_token() {
    const PATH: &[(&str, &str)] = &[("fmi_path", "SomeFmiPath/FmiCredentialPath")];
    let hash = "cojvfy5tzae3njpkvcebguvvx5vvmnj8hphqrbogjoi";
    let components = r#"{"fmi_path":"SomeFmiPath/FmiCredentialPath"}"#;
    for fields in [
        format!(r#""ext_cache_key":"{hash}""#),
        format!(r#""ext_cache_key_hash":"{}""#, hash.to_uppercase()),
        format!(r#""ext":{components}"#),
        format!(r#""additionalCacheKeyComponents":{components}"#),
        // The hash alone, kept apart for MSAL.NET.
        format!(r#""ext":{{"ext_cache_key":"{hash}"}}"#),
        format!(r#""ext":{{"ext_cache_key":"{hash}"}},"additionalCacheKeyComponents":{components}"#),
    ] {
        let cache = cache("k", &fields);
        assert_eq!(secret(&cache, ALICE_ASKS), None, "{fields}");
        assert_eq!(secret(&cache, Ask { components: PATH, ..ALICE_ASKS }).as_deref(), Some("AT"), "{fields}");
        assert_eq!(secret(&cache, Ask { components: &[("fmi_path", "x")], ..ALICE_ASKS }), None, "{fields}");
    }
    // Extended, and it does not say by what: found by no request.
    for (key, fields) in [
        ("k", r#""credential_type":"ATExt""#),
        ("k", r#""credential_type":"AText""#),
        ("u-login.windows.net-atext-c-r-t-hash", r#""credential_type":"AccessToken""#),
        ("U-LOGIN.WINDOWS.NET-ATEXT-C-R-T-HASH", r#""credential_type":"AccessToken""#),
    ] {
        let cache = cache(key, fields);
        assert_eq!(secret(&cache, ALICE_ASKS), None, "{key} {fields}");
        assert_eq!(secret(&cache, Ask { components: PATH, ..ALICE_ASKS }), None, "{key} {fields}");
        assert_eq!(cache.access_tokens().count(), 1, "{key} {fields}");
    }
}

#[test]
fn of_a_token_that_is_none_of_these() {
    for fields in [
        r#""ext":{}"#,
        r#""ext":null,"additionalCacheKeyComponents":{},"ext_cache_key":"""#,
        r#""kid":null,"key_id":"","user_assertion_hash":"","userAssertionHash":null"#,
        r#""token_type":null,"credential_type":"ACCESSTOKEN""#,
    ] {
        assert_eq!(secret(&cache("k", fields), ALICE_ASKS).as_deref(), Some("AT"), "{fields}");
    }
    // Bound to something, and it does not say to what.
    let bound = cache("k", r#""credential_type":"AccessToken_With_AuthScheme""#);
    assert_eq!(secret(&bound, ALICE_ASKS), None);
}

#[test]
fn of_something_that_cannot_be_read() {
    // These fields narrow who may have the token; a value of another shape is not the same as none.
    for name in [
        "home_account_id",
        "token_type",
        "credential_type",
        "kid",
        "key_id",
        "keyid",
        "user_assertion_hash",
        "userAssertionHash",
        "ext_cache_key",
        "ext_cache_key_hash",
        "ext",
        "additionalCacheKeyComponents",
    ] {
        for value in ["true", "[1]", "[]", r#"{"x":1}"#, "5", "1.5", r#""\ud800""#] {
            let cache = cache("k", &format!(r#""{name}":{value}"#));
            for ask in [ALICE_ASKS, Ask { owner: Owner::App, ..ALICE_ASKS }] {
                assert_eq!(secret(&cache, ask), None, "{name}: {value}");
            }
            assert_eq!(cache.len(), 1, "it stays: {name}: {value}");
        }
    }
}

#[test]
fn of_the_extended_expiry() {
    let read = |fields: &str| {
        let cache = cache("k", fields);
        let (_, token) = cache.access_tokens().next().expect("a token");
        token.extended_expires_on
    };
    assert_eq!(read(r#""extended_expires_on":"1800007200""#), Some(UnixSeconds(1_800_007_200)));
    assert_eq!(read(r#""ext_expires_on":"1800007200""#), Some(UnixSeconds(1_800_007_200)));
    assert_eq!(read(r#""extended_expires_on":"0","ext_expires_on":"1800007200""#), Some(UnixSeconds(1_800_007_200)));
    assert_eq!(read(r#""ext_expires_on":"5","extended_expires_on":"1800007200""#), Some(UnixSeconds(1_800_007_200)));
}
