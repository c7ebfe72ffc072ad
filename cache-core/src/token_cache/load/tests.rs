//! Whatever layouts a cache has learned, an entity is read as parsing reads it, and written as it was read.

use super::*;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken};

/// Compares a loaded document with every entity of it parsed by itself.
fn is_read_as_parsed(document: &str) {
    fn compare<'c, E: Entity + std::fmt::Debug>(
        document: &UnifiedDocument,
        loaded: impl Iterator<Item = (EntryId, &'c std::sync::Arc<E>)>,
        case: &str,
    ) {
        for (id, entity) in loaded {
            let entry = document.entry(&id).unwrap_or_else(|| panic!("{id:?} of {case}"));
            assert_eq!(E::read(id.key(), &entry.json).as_ref(), Some(&**entity), "{} in {case}", id.key());
        }
    }
    let cache = TokenCache::deserialize(document.as_bytes()).expect("sound");
    let parsed = UnifiedDocument::parse(&Blob::copy_of(document.as_bytes())).expect("sound");
    compare::<AccessToken>(&parsed, cache.access_tokens(), document);
    compare::<RefreshToken>(&parsed, cache.all_refresh_tokens(), document);
    compare::<IdToken>(&parsed, cache.id_tokens(), document);
    compare::<Account>(&parsed, cache.accounts.iter().map(|row| (row.id(), &row.entity)), document);
    compare::<AppMetadata>(&parsed, cache.all_app_metadata(), document);
    // In the same words, whatever their order.
    let words = |entries: Vec<Entry>| {
        let mut words: Vec<_> = entries.into_iter().map(|entry| (entry.id, entry.json.expose().to_vec())).collect();
        words.sort();
        words
    };
    assert_eq!(words(cache.entries().collect()), words(parsed.into_entries().collect()), "{document}");
}

#[test]
fn neighbours_of_other_shape_are_parsed() {
    let account = |key: &str, rest: &str| format!(r#""{key}":{{"home_account_id":"{key}","environment":"e",{rest}}}"#);
    let accounts = |all: [&str; 3]| {
        let [a, b, c] = [("a", all[0]), ("b", all[1]), ("d", all[2])].map(|(key, rest)| account(key, rest));
        format!(r#"{{"Account":{{{a},{b},{c}}}}}"#)
    };
    for document in [
        accounts([r#""name":"n""#, r#""name":"x\\u0041""#, r#""name":"x\u0041""#]),
        accounts([r#""username":"n""#, r#""username":"CORP\\nina""#, r#""username":"CORP\nina""#]),
        accounts([
            r#""name":"n","given_name":"g""#,
            r#""name":"x\",\"given_name\":\"y","given_name":"g""#,
            r#""name":"x","given_name":"y","given_name":"z""#,
        ]),
        accounts([r#""name":"","name":null"#, r#""name":"Bob","name":null"#, r#""name":null"#]),
        r#"{"AccessToken":{
            "c":{"client_id":"c","environment":"e","secret":"s","home_account_id":"","home_account_id":null},
            "d":{"client_id":"d","environment":"e","secret":"s","home_account_id":"u.t","home_account_id":null}}}"#
            .to_owned(),
        r#"{"RefreshToken":{
            "a":{"home_account_id":"a","environment":"e","client_id":"c","secret":"s","user_assertion_hash":"A","userAssertionHash":"B"},
            "b":{"home_account_id":"b","environment":"e","client_id":"c","secret":"t","user_assertion_hash":"","userAssertionHash":"B"}}}"#
            .to_owned(),
        r#"{"AccessToken":{
            "h":{"home_account_id":"h","environment":"e","client_id":"c","secret":"s"},
            "":{"home_account_id":"","environment":"e","client_id":"c","secret":"t"}}}"#
            .to_owned(),
        r#"{"AccessToken":{
            "h-e-accesstoken-c-r-s":{"home_account_id":"h","environment":"e","client_id":"c","realm":"r","target":"S","secret":"s","expires_on":"1"},
            "h-e-accesstoken-c-r-t":{"home_account_id":"h","environment":"e","client_id":"c","realm":"r","target":"T","secret":"s","expires_on":"0"},
            "h-e-accesstoken-c-r-u":{"home_account_id":"h","environment":"e","client_id":"c","realm":"r","target":"U","secret":"s","expires_on":"01"},
            "h-e-atext-c-r-v":{"home_account_id":"h","environment":"e","client_id":"c","realm":"r","target":"V","secret":"s","expires_on":"2"},
            "H-e-accesstoken-c-r-W":{"home_account_id":"H","environment":"e","client_id":"c","realm":"r","target":"W","secret":"s","expires_on":"2.5"}}}"#
            .to_owned(),
    ] {
        is_read_as_parsed(&document);
    }
}

#[test]
fn what_is_not_json_stays_damaged_beside_neighbours_that_are() {
    for (like, damaged) in [(r"x\\q", r"x\q"), (r"x\ny", "x\ny")] {
        let account = |key: &str, name: &str| {
            format!(r#""{key}":{{"home_account_id":"{key}","environment":"e","name":"{name}"}}"#)
        };
        let document =
            format!(r#"{{"Account":{{{},{},{}}}}}"#, account("a", "n"), account("b", like), account("d", damaged));
        assert!(TokenCache::deserialize(document.as_bytes()).is_err(), "{document}");
    }
}

#[test]
fn no_layout_holds_what_the_schema_does_not_name() {
    let laid = |more: &str| {
        let entity = |id: &str| {
            format!(
                r#""{id}-e-rt-c":{{"home_account_id":"{id}","environment":"e","client_id":"c","secret":"s{id}"{more}}}"#
            )
        };
        let document = format!(r#"{{"RefreshToken":{{{},{}}}}}"#, entity("alice"), entity("bob"));
        is_read_as_parsed(&document);
        let cache = TokenCache::deserialize(document.as_bytes()).expect("sound");
        cache.refresh_tokens.iter().filter(|row| row.is_laid()).count()
    };
    assert_eq!(laid(""), 2);
    assert_eq!(laid(r#","credential_type":"RefreshToken""#), 2);
    for more in [r#","unknown":"planted""#, r#","unknown":null"#, r#","userAssertionHash":"planted""#] {
        assert_eq!(laid(more), 0, "{more}");
    }
    assert_eq!(laid(&format!(r#","family_id":"{}""#, "1".repeat(100))), 0, "longer than any that is written");
}

#[test]
fn a_foreign_entry_keeps_the_version_that_the_store_holds() {
    let id = EntryId::new("RefreshToken", "k");
    let held = Version::of_content(&Blob::copy_of(br#"{"x":1}"#));
    let mut cache = TokenCache::default();
    let changed = entry_of(id.clone(), Blob::copy_of(br#"{"x":2}"#));
    cache.load(changed, Some(&held), &mut Texts::default());
    assert_eq!(cache.version(&id), Some(held));
}
