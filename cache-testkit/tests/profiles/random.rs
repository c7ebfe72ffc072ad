//! Random entities in the form of random profiles.

use cache_core::schema::{AccessToken, Entity as _, section};
use cache_core::{Blob, EntryId, Peer, Profile, UnifiedDocument, dotnet_deletes};
use cache_testkit::fixtures::NOW;
use proptest::prelude::*;
use proptest::sample::select;

use super::EVERY;

/// Names of fields, mostly those that some library reads in a way of its own.
const NAMES: [&str; 30] = [
    "home_account_id",
    "environment",
    "credential_type",
    "client_id",
    "secret",
    "realm",
    "target",
    "cached_at",
    "expires_on",
    "extended_expires_on",
    "ext_expires_on",
    "refresh_on",
    "token_type",
    "key_id",
    "kid",
    "keyid",
    "user_assertion_hash",
    "userAssertionHash",
    "ext_cache_key",
    "ext_cache_key_hash",
    "ext",
    "additionalCacheKeyComponents",
    "persisted_cache_parameters",
    "family_id",
    "username",
    "authority_type",
    "wam_account_ids",
    "tenantProfiles",
    "unknown",
    r"\ud800",
];

/// Values, sound and unsound.
const VALUES: [&str; 34] = [
    "null",
    "5",
    "-1.50",
    "1800003600",
    "1e400",
    "123456789012345678901234567890",
    "true",
    "[]",
    "{}",
    "[1,null]",
    r#"[{"a":1}]"#,
    r#"{"x":null}"#,
    r#"{"a":"b"}"#,
    r#"{"a":"b","a":5}"#,
    r#"{"ext_cache_key":"hash"}"#,
    r#""""#,
    r#""x""#,
    r#""\ud800""#,
    r#""pop""#,
    r#""bearer""#,
    r#""AccessToken""#,
    r#""AccessToken_With_AuthScheme""#,
    r#""ATExt""#,
    r#""accesstoken""#,
    r#""u.t""#,
    r#""login.windows.net""#,
    r#""sts.windows.net""#,
    r#""1800003600""#,
    r#""1799999999""#,
    r#""1800003600.5""#,
    r#"" +1800003600 ""#,
    r#""9223372036854775807""#,
    r#""h.eyJhIjoxfQ.s""#,
    r#""HASH""#,
];

prop_compose! {
    fn entity()(
        fields in proptest::collection::vec((select(&NAMES[..]), select(&VALUES[..])), 0..8),
        is_sound in any::<bool>(),
    ) -> String {
        let sound = r#""environment":"login.windows.net","client_id":"c","secret":"s","target":"x""#;
        let sound = is_sound.then(|| sound.to_owned());
        let fields = fields.into_iter().map(|(name, value)| format!(r#""{name}":{value}"#));
        format!("{{{}}}", sound.into_iter().chain(fields).collect::<Vec<_>>().join(","))
    }
}

prop_compose! {
    fn document()(
        entries in proptest::collection::vec((select(&section::ALL[..]), select(&["a", "B", "c-atext-d"][..]), entity()), 0..6),
        odd in select(&["", r#","accesstoken":{"x":"\ud800"}"#, r#","Z":[[1,{"a":1,"a":2}]]"#, r#","Account":[5]"#][..]),
    ) -> String {
        let sections = section::ALL.map(|name| {
            let of_section = entries.iter().filter(|(section, ..)| *section == name);
            let entries: Vec<String> = of_section.map(|(_, key, entity)| format!(r#""{key}":{entity}"#)).collect();
            format!(r#""{name}":{{{}}}"#, entries.join(","))
        });
        format!("{{{}{odd}}}", sections.join(","))
    }
}

fn profile() -> impl Strategy<Value = Profile> {
    (proptest::sample::subsequence(&EVERY[..], 0..=5), any::<bool>()).prop_map(|(peers, null)| {
        let profile = Profile::shared_with(peers);
        if null { profile.with_null_home_account_ids().unwrap_or(profile) } else { profile }
    })
}

fn tokens(document: &UnifiedDocument) -> Vec<(EntryId, AccessToken)> {
    let of_section = document.clone().into_entries().filter(|entry| entry.id.section() == section::ACCESS_TOKEN);
    of_section.filter_map(|entry| Some((entry.id.clone(), AccessToken::read(entry.id.key(), &entry.json)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_form_is_stable_sound_and_means_the_same(json in document(), profile in profile()) {
        let mut document = UnifiedDocument::parse(&Blob::copy_of(json.as_bytes())).expect("lenient");
        let before = tokens(&document);
        let applied = profile.apply(&mut document, NOW);
        let written = document.render();

        let mut read = UnifiedDocument::parse(&written).expect("what we write");
        let again = profile.apply(&mut read, NOW);
        prop_assert!(again.rewritten.is_empty() && again.dropped.is_empty(), "{again:?}");
        prop_assert!(!read.is_changed());
        prop_assert!(read.render() == written);
        prop_assert_eq!(&again.objections, &applied.objections);

        if profile.names(Peer::DotNet) {
            let deletes = |objection: &cache_core::Objection| objection.to_string().contains("MSAL.NET deletes");
            prop_assert_eq!(dotnet_deletes(&written), applied.objections.iter().any(deletes));
        }
        for (id, token) in before.into_iter().filter(|(id, _)| !applied.dropped.contains(id)) {
            let now = document.entry(&id).and_then(|entry| AccessToken::read(id.key(), &entry.json));
            let now = now.expect("what could be read can be read");
            prop_assert_eq!(&now.home_account_id, &token.home_account_id);
            prop_assert_eq!(&now.key_id, &token.key_id);
            prop_assert_eq!(&now.secret, &token.secret);
            prop_assert_eq!(now.scheme(), token.scheme());
            prop_assert_eq!(&now.assertion_hash, &token.assertion_hash);
            prop_assert_eq!(now.is_usable(NOW, 0), token.is_usable(NOW, 0));
            if token.is_usable(NOW, 0) {
                prop_assert_eq!(&now.extended, &token.extended);
            }
        }
    }
}
