//! What a library made of the document it was given becomes changes.

use super::*;
use crate::changes::{Change, Guard};
use crate::partition::PartitionKey;
use crate::schema::ExtendedKey;

#[test]
fn what_a_library_only_spells_differently_is_no_change() {
    let base = stored(&filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, token("User.Read Mail.Read", "AT"));
        put(cache, AccessToken { home_account_id: None, ..token("app", "APP") });
    }));
    // As MSAL.NET writes: other key texts, no Bearer, no empty home account id, other order, both extended spellings.
    let theirs = br#"{"AccessToken":{
        "x":{"home_account_id":"alice.home","environment":"login.windows.net","client_info":null,"client_id":"Client",
            "secret":"AT","credential_type":"AccessToken","realm":"home","target":"Mail.Read User.Read",
            "cached_at":"1800000000","expires_on":"1800003600","ext_expires_on":"1800003600"},
        "y":{"environment":"login.windows.net","client_id":"Client","secret":"APP","credential_type":"AccessToken",
            "realm":"home","target":"app","cached_at":"1800000000","expires_on":"1800003600",
            "extended_expires_on":"1800003600"}},
        "Account":{"Z":{"home_account_id":"alice.home","environment":"login.windows.net","realm":"home",
            "local_account_id":"alice","username":"alice@example","authority_type":"MSSTS"}}}"#;
    let theirs = TokenCache::deserialize(theirs).expect("sound");
    let changes = base.difference(&theirs, &PartitionKey::Shared, NOW.to_millis(), NOW.to_millis());
    assert!(
        changes.iter().all(|change| matches!(change, Change::Put { entry, .. } if entry.id.section() == "AccessToken")),
        "{changes:?}"
    );
    // The order of scopes is in `target` itself, so that one token does differ.
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_library_that_touches_nothing_changes_nothing() {
    let base = stored(&filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, refresh_token("RT"));
        put(cache, token("a", "AT"));
    }));
    assert!(difference(&base, |_| {}).is_empty());
}

#[test]
fn a_library_s_put_keeps_our_key_and_unknown_fields() {
    let mut base = filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, refresh_token("old"));
    });
    let old = base.all_refresh_tokens().next().expect("one").0;
    base.remove(&old);
    let json = r#"{"home_account_id":"alice.home","environment":"login.windows.net","client_id":"client","secret":"old","x":1}"#;
    base.insert_entry(Entry {
        id: EntryId::new("RefreshToken", "their key"),
        account: None,
        written_at: None,
        expires_on: None,
        json: Blob::copy_of(json.as_bytes()),
    });
    let base = stored(&base);
    let changes = difference(&base, |theirs| {
        let ids: Vec<_> = theirs.all_refresh_tokens().map(|(id, _)| id).collect();
        for id in &ids {
            assert!(theirs.remove(id));
        }
        put(theirs, refresh_token("new"));
    });
    let [Change::Put { entry, replaces: Some(_), guard: Some(Guard::Account { .. }) }] = &changes[..] else {
        panic!("one guarded put of a known entry: {changes:?}");
    };
    assert_eq!(entry.id.key(), "their key");
    assert_eq!(entry.written_at, Some(NOW.plus(1).to_millis()), "given the time of the access");
    let json = String::from_utf8(entry.json.expose().to_vec()).expect("UTF-8");
    assert!(json.contains(r#""x":1"#) && json.contains(r#""secret":"new""#), "{json}");
}

#[test]
fn a_library_s_eviction_is_conditional_and_its_sign_out_is_not() {
    let base = stored(&filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, refresh_token("RT"));
        put(cache, token("a", "A"));
        put(cache, token("b", "B"));
        put(cache, AppMetadata { client_id: "c".into(), environment: "e".into(), ..AppMetadata::default() });
    }));
    let evicted = difference(&base, |theirs| {
        let id = theirs.access_tokens().find(|(_, token)| token.secret.expose() == "A").expect("A").0;
        theirs.remove(&id);
    });
    assert!(matches!(&evicted[..], [Change::Remove { if_match: Some(_), .. }]), "{evicted:?}");
    let signed_out = difference(&base, |theirs| {
        theirs.remove_account(ALICE, "login.windows.net");
        let metadata = theirs.all_app_metadata().next().expect("metadata").0;
        theirs.remove(&metadata);
    });
    assert!(matches!(&signed_out[..], [Change::RemoveAccount { .. }]), "{signed_out:?}");
}

#[test]
fn a_library_s_overlay_does_not_bring_an_account_back() {
    let base = stored(&TokenCache::default());
    let overlay = difference(&base, |theirs| {
        put(theirs, account("alice@example"));
        put(theirs, refresh_token("RT"));
        put(theirs, AccessToken { cached_at: Some(NOW.plus(-60)), ..token("a", "old") });
    });
    assert!(overlay.is_empty(), "{overlay:?}");
    let sign_in = difference(&base, |theirs| {
        put(theirs, account("alice@example"));
        put(theirs, refresh_token("RT"));
        put(theirs, token("a", "just received"));
    });
    assert_eq!(sign_in.len(), 3, "{sign_in:?}");
}

fn rt_json(environment: &str, secret: &str) -> String {
    format!(
        r#"{{"home_account_id":"alice.home","environment":"{environment}","client_id":"client","secret":"{secret}"}}"#
    )
}

#[test]
fn twins_that_a_library_only_gives_other_keys_stay_as_they_are() {
    let (old, new) = (rt_json("login.microsoftonline.com", "RT-1"), rt_json("login.windows.net", "RT-9"));
    let base = held(&format!(r#"{{"RefreshToken":{{"a":{old},"b":{new}}}}}"#));
    for theirs in [
        format!(r#"{{"RefreshToken":{{"x":{old},"y":{new}}}}}"#),
        format!(r#"{{"RefreshToken":{{"y":{new},"x":{old}}}}}"#),
        // MSAL.NET keeps one of two twins, and not always the newer.
        format!(r#"{{"RefreshToken":{{"x":{old}}}}}"#),
    ] {
        let theirs = TokenCache::deserialize(theirs.as_bytes()).expect("sound");
        let changes = base.difference(&theirs, &PartitionKey::Shared, NOW.to_millis(), NOW.to_millis());
        assert!(changes.is_empty(), "{changes:?}");
    }
}

#[test]
fn a_renewed_refresh_token_is_not_lost_to_the_removal_of_its_twin() {
    let (old, twin) = (rt_json("login.microsoftonline.com", "RT-1"), rt_json("login.windows.net", "RT-9"));
    let base = held(&format!(r#"{{"RefreshToken":{{"a":{old},"b":{twin}}}}}"#));
    let theirs = format!(r#"{{"RefreshToken":{{"x":{}}}}}"#, rt_json("login.windows.net", "RT-10"));
    let theirs = TokenCache::deserialize(theirs.as_bytes()).expect("sound");
    let changes = base.difference(&theirs, &PartitionKey::Shared, NOW.to_millis(), NOW.to_millis());
    let [Change::Put { entry, guard: Some(Guard::Entry(guard)), .. }, Change::Remove { id, .. }] = &changes[..] else {
        panic!("a put that its own entry guards, then the removal of the twin: {changes:?}");
    };
    assert_eq!((entry.id.key(), guard.key(), id.key()), ("b", "b", "a"));
}

#[test]
fn a_bound_token_stays_bound_when_a_library_drops_what_binds_it() {
    let base = stored(&filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, RefreshToken { assertion_hash: Some("session".into()), ..refresh_token("RT") });
        let extended = Some(ExtendedKey::new([("fmi_path", "p")]));
        put(cache, AccessToken { extended, assertion_hash: Some("session".into()), ..token("s", "AT") });
    }));
    let changes = difference(&base, |theirs| {
        let json = String::from_utf8(theirs.serialize().expose().to_vec()).expect("UTF-8");
        let json = ["user_assertion_hash", "ext_cache_key", "additionalCacheKeyComponents", "\"ext\""]
            .iter()
            .fold(json, |json, name| json.replace(name, &name.replace(['e', 'u', 'a'], "z")));
        *theirs = TokenCache::deserialize(json.replace("-atext-", "-accesstoken-").as_bytes()).expect("sound");
    });
    let puts = changes.iter().filter_map(|change| match change {
        Change::Put { entry, .. } => Some(String::from_utf8(entry.json.expose().to_vec()).expect("UTF-8")),
        _ => None,
    });
    for json in puts {
        assert!(json.contains(r#""user_assertion_hash":"session""#), "{json}");
    }
    assert!(changes.iter().all(|change| matches!(change, Change::Put { .. })), "{changes:?}");
}

#[test]
fn a_library_s_new_entry_does_not_take_the_key_of_a_kept_one() {
    let base = stored(&filled(|cache| put(cache, token("s", "kept"))));
    let key = base.access_tokens().next().expect("one").0.key().to_owned();
    let changes = difference(&base, |theirs| {
        let mut entries: Vec<Entry> = theirs.entries().collect();
        entries[0].id = EntryId::new("AccessToken", "moved");
        let mut other = TokenCache::default();
        put(&mut other, AccessToken { target: "other".into(), ..token("other", "new") });
        let new = other.entries().next().expect("one").json;
        entries.push(Entry { id: EntryId::new("AccessToken", key.clone()), json: new, ..entries[0].clone() });
        *theirs = TokenCache::default();
        for entry in entries {
            theirs.insert_entry(entry);
        }
    });
    let [Change::Put { entry, replaces: None, .. }] = &changes[..] else { panic!("one new entry: {changes:?}") };
    assert_ne!(entry.id.key(), key);
}

#[test]
fn a_user_s_partition_takes_no_entries_of_others() {
    let base = stored(&filled(|cache| put(cache, account("alice@example"))));
    let mut theirs = base.clone();
    put(&mut theirs, AccessToken { home_account_id: Some("bob".into()), ..token("s", "BOB") });
    put(&mut theirs, token("s", "ALICE"));
    let user = PartitionKey::user(ALICE);
    let changes = base.difference(&theirs, &user, NOW.to_millis(), NOW.to_millis());
    assert!(
        matches!(&changes[..], [Change::Put { entry, .. }] if entry.account.as_ref().is_some_and(|a| *a.home_account_id == *ALICE))
    );
}
