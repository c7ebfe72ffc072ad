use super::*;
use crate::changes::{Change, Guard};
use crate::entry::{Snapshot, Version};
use crate::error::ErrorKind;
use crate::partition::PartitionKey;
use crate::schema::ExtendedKey;
use crate::secret::Blob;
use crate::time::{UnixMillis, UnixSeconds};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ALICE: &str = "alice.home";
const JWT: &str = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJhbGljZSJ9.c2ln";

fn token(target: &str, secret: &str) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: "login.microsoftonline.com".into(),
        client_id: "Client".into(),
        realm: "home".into(),
        target: target.into(),
        secret: secret.into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn refresh_token(secret: &str) -> RefreshToken {
    RefreshToken {
        home_account_id: ALICE.into(),
        environment: "login.microsoftonline.com".into(),
        client_id: "client".into(),
        secret: secret.into(),
        ..RefreshToken::default()
    }
}

fn account(username: &str) -> Account {
    Account {
        home_account_id: ALICE.into(),
        environment: "login.microsoftonline.com".into(),
        realm: "home".into(),
        local_account_id: "alice".into(),
        username: username.into(),
        ..Account::default()
    }
}

fn filled(fill: impl FnOnce(&mut TokenCache)) -> TokenCache {
    let mut cache = TokenCache::default();
    fill(&mut cache);
    cache
}

/// The cache as a store holds it.
fn stored(cache: &TokenCache) -> TokenCache {
    let entries = cache.entries().map(|entry| Stored { version: Version::of_content(&entry.json), entry }).collect();
    let snapshot = Snapshot { entries, unreadable: Vec::new(), stamp: Version::new(b"1") };
    TokenCache::from_snapshot(Some(&snapshot), Environments::default())
}

fn put<E: Insertable>(cache: &mut TokenCache, entity: E) {
    cache.insert(entity).expect("a complete entity");
}

fn user_query(scopes: &str) -> AccessTokenQuery<'_> {
    AccessTokenQuery::user(ALICE, "CLIENT", scopes).with_realm("HOME").with_environment("sts.windows.net")
}

fn secrets(cache: &TokenCache) -> Vec<String> {
    let mut secrets: Vec<_> = cache.access_tokens().map(|(_, token)| token.secret.expose().to_owned()).collect();
    secrets.sort();
    secrets
}

#[test]
fn a_new_entry_gets_the_canonical_form() {
    let cache = filled(|cache| put(cache, token("User.Read Mail.Read", "AT")));
    let (id, _) = cache.access_tokens().next().expect("one token");
    assert_eq!(id.key(), "alice.home-login.windows.net-accesstoken-client-home-user.read mail.read");
    let json = String::from_utf8(cache.serialize().expose().to_vec()).expect("UTF-8");
    for part in [
        r#""environment":"login.windows.net""#,
        r#""target":"User.Read Mail.Read""#,
        r#""token_type":"Bearer""#,
        r#""expires_on":"1800003600""#,
        r#""extended_expires_on":"1800003600""#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
}

#[test]
fn keys_differ_where_the_schema_key_would_not() {
    let plain = token("s", "1");
    let bound = AccessToken { token_type: Some("pop".into()), key_id: Some("k1".into()), ..token("s", "2") };
    let other_bound = AccessToken { key_id: Some("k2".into()), ..bound.clone() };
    let on_behalf = AccessToken { assertion_hash: Some("h".into()), ..token("s", "3") };
    let extended = AccessToken { extended: Some(ExtendedKey::new([("fmi_path", "p")])), ..token("s", "4") };
    let adfs = AccessToken { home_account_id: Some("aB".into()), ..token("s", "5") };
    let other_adfs = AccessToken { home_account_id: Some("Ab".into()), ..token("s", "6") };
    let all = [plain, bound, other_bound, on_behalf, extended, adfs, other_adfs];
    let cache = filled(|cache| all.iter().for_each(|token| put(cache, token.clone())));
    assert_eq!(cache.access_tokens().count(), all.len());
    assert_eq!(stored(&cache).access_tokens().count(), all.len(), "read back under their keys");
}

#[test]
fn a_new_token_evicts_those_whose_scopes_intersect() {
    let cache = filled(|cache| {
        put(cache, token("User.Read openid", "old"));
        put(cache, token("Calendars.Read openid", "stays"));
        put(cache, AccessToken { realm: "guest".into(), ..token("User.Read", "other tenant") });
        put(cache, AccessToken { environment: "login.microsoftonline.us".into(), ..token("User.Read", "other cloud") });
        put(cache, AccessToken { client_id: "other".into(), ..token("User.Read", "other client") });
        put(cache, AccessToken { assertion_hash: Some("h".into()), ..token("User.Read", "on behalf") });
        put(cache, AccessToken { environment: "sts.windows.net".into(), ..token("user.read Mail.Read", "new") });
    });
    assert_eq!(secrets(&cache), ["new", "on behalf", "other client", "other cloud", "other tenant", "stays"]);
}

#[test]
fn a_twin_is_updated_in_place() {
    let document = br#"{"AccessToken":{"Foreign KEY":{"home_account_id":"alice.home","environment":"STS.windows.net",
        "client_id":"client","realm":"home","target":"Mail.Read User.Read","secret":"old","expires_on":"1800000100",
        "x_unknown":{"a":[1]}}}}"#;
    let mut cache = TokenCache::deserialize(document).expect("sound");
    put(&mut cache, token("user.read mail.read", "new"));
    let (id, found) = cache.access_tokens().next().expect("one token");
    assert_eq!((id.key(), &*found.environment, found.secret.expose()), ("Foreign KEY", "STS.windows.net", "new"));
    assert_eq!(found.additional_fields.raw("x_unknown").expect("kept").expose(), br#"{"a":[1]}"#);
    assert_eq!(cache.access_tokens().count(), 1);
}

#[test]
fn an_app_token_keeps_the_null_that_python_looks_for() {
    let document =
        br#"{"AccessToken":{"k":{"home_account_id":null,"environment":"login.windows.net","client_id":"client",
        "realm":"home","target":"api://r/.default","secret":"old","expires_on":"1800000100"}}}"#;
    let app = AccessToken { home_account_id: None, ..token("api://r/.default", "new") };
    let mut cache = TokenCache::deserialize(document).expect("sound");
    put(&mut cache, app.clone());
    let json = |cache: &TokenCache| String::from_utf8(cache.serialize().expose().to_vec()).expect("UTF-8");
    assert!(json(&cache).contains(r#""home_account_id":null"#), "{}", json(&cache));
    assert!(json(&filled(|cache| put(cache, app))).contains(r#""home_account_id":"""#));
}

#[test]
fn an_incomplete_entity_is_refused_and_changes_nothing() {
    let mut cache = TokenCache::default();
    let response = TokenResponse {
        access_token: Some(token("s", "AT")),
        id_token: Some(IdToken { secret: "no jwt".into(), ..id_token() }),
        ..TokenResponse::default()
    };
    assert_eq!(cache.sign_in(response).expect_err("no JWT").kind(), ErrorKind::InvalidInput);
    assert!(cache.is_empty());
    for broken in [token("s", ""), AccessToken { client_id: "".into(), ..token("s", "AT") }] {
        assert_eq!(cache.insert(broken).expect_err("incomplete").kind(), ErrorKind::InvalidInput);
    }
    put(&mut cache, id_token());
}

fn id_token() -> IdToken {
    IdToken {
        home_account_id: ALICE.into(),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "home".into(),
        secret: JWT.into(),
        ..IdToken::default()
    }
}

#[test]
fn a_refresh_token_supersedes_its_twins() {
    let mut cache = filled(|cache| put(cache, refresh_token("1")));
    put(&mut cache, RefreshToken { environment: "sts.windows.net".into(), ..refresh_token("2") });
    put(&mut cache, RefreshToken { family_id: Some("1".into()), ..refresh_token("F") });
    let query = RefreshTokenQuery::user(ALICE, "client", "login.microsoft.com");
    let found = |cache: &TokenCache| -> Vec<String> {
        cache.refresh_tokens(&query).iter().map(|(_, token)| token.secret.expose().to_owned()).collect()
    };
    assert_eq!(found(&cache), ["F", "2"], "family first where nothing is known of the client");
    let metadata =
        AppMetadata { client_id: "client".into(), environment: "login.windows.net".into(), ..AppMetadata::default() };
    put(&mut cache, metadata);
    assert_eq!(found(&cache), ["2", "F"], "known to be in no family: its own before what it once got as a family's");
}

#[test]
fn removing_an_account_takes_every_alias_client_and_family() {
    let mut cache = filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, id_token());
        put(cache, RefreshToken { family_id: Some("1".into()), ..refresh_token("F") });
        put(cache, AccessToken { environment: "sts.windows.net".into(), client_id: "b".into(), ..token("s", "AT") });
        put(cache, AccessToken { assertion_hash: Some("h".into()), ..token("s", "OBO") });
        put(cache, AccessToken { environment: "login.microsoftonline.us".into(), ..token("s", "US") });
        put(cache, AccessToken { home_account_id: Some("bob".into()), ..token("s", "BOB") });
        put(cache, AppMetadata { client_id: "c".into(), environment: "e".into(), ..AppMetadata::default() });
    });
    let foreign = Entry {
        id: EntryId::new("AccessToken", "odd"),
        account: Some(crate::entry::AccountRef {
            home_account_id: ALICE.into(),
            environment: "login.microsoft.com".into(),
        }),
        written_at: None,
        expires_on: None,
        json: Blob::copy_of(br#"{"home_account_id":"alice.home","environment":"login.microsoft.com"}"#),
    };
    cache.insert_entry(foreign);
    cache.insert_entry(Entry {
        id: EntryId::new("RefreshToken", "names no host"),
        account: Some(crate::entry::AccountRef { home_account_id: ALICE.into(), environment: "".into() }),
        written_at: None,
        expires_on: None,
        json: Blob::copy_of(br#"{"home_account_id":"alice.home","secret":"RT"}"#),
    });
    assert!(cache.remove_account(ALICE, "login.windows.net"));
    assert_eq!(secrets(&cache), ["BOB", "US"]);
    assert_eq!((cache.len(), cache.all_app_metadata().count()), (3, 1));
    assert!(!cache.remove_account(ALICE, "login.windows.net"));
}

#[test]
fn expired_tokens_go_on_request() {
    let mut cache = filled(|cache| {
        put(cache, AccessToken { expires_on: Some(NOW.plus(-1)), ..token("a", "expired") });
        let extended = Some(NOW.plus(60));
        put(
            cache,
            AccessToken { expires_on: Some(NOW.plus(-1)), extended_expires_on: extended, ..token("b", "extended") },
        );
        put(cache, token("c", "good"));
    });
    assert_eq!(cache.remove_expired(NOW), 1);
    assert_eq!(secrets(&cache), ["extended", "good"]);
}

#[test]
fn changes_name_what_the_store_held() {
    let base = filled(|cache| {
        put(cache, account("alice@example"));
        put(cache, token("a", "old"));
    });
    let mut cache = stored(&base);
    put(&mut cache, token("a", "new"));
    put(&mut cache, token("b", "first"));
    put(&mut cache, token("b", "second"));
    put(&mut cache, AccessToken { home_account_id: Some("bob".into()), ..token("a", "bob") });
    let changes = cache.take_changes(NOW.to_millis());
    let puts: Vec<_> = changes
        .iter()
        .map(|change| match change {
            Change::Put { entry, replaces, guard } => {
                let json = String::from_utf8(entry.json.expose().to_vec()).expect("UTF-8");
                let secret =
                    ["old", "new", "first", "second", "bob"].into_iter().find(|s| json.contains(&format!("\"{s}\"")));
                (secret.expect("a secret"), replaces.is_some(), matches!(guard, Some(Guard::Account { .. })))
            }
            other => panic!("no removal was made: {other:?}"),
        })
        .collect();
    assert_eq!(puts, [("new", true, true), ("second", false, true), ("bob", false, false)]);
    assert!(cache.take_changes(NOW.to_millis()).is_empty(), "changes are handed out once");
}

#[test]
fn a_sign_in_is_not_guarded_and_a_refresh_token_gets_its_time() {
    let base = filled(|cache| put(cache, account("alice@example")));
    let response = || TokenResponse {
        refresh_token: Some(refresh_token("RT")),
        account: Some(account("a")),
        ..Default::default()
    };
    let guards = |cache: &mut TokenCache| -> Vec<bool> {
        let changes = cache.take_changes(UnixMillis(1_800_000_000_123));
        let puts = changes.iter().filter_map(|change| match change {
            Change::Put { entry, guard, .. } => {
                let timed =
                    entry.written_at == Some(UnixMillis(1_800_000_000_000)) || entry.id.section() != "RefreshToken";
                assert!(timed || entry.written_at == Some(UnixMillis(1_800_000_000_123)));
                Some(guard.is_some())
            }
            _ => None,
        });
        puts.collect()
    };
    let (mut signed_in, mut refreshed) = (stored(&base), stored(&base));
    signed_in.sign_in(response()).expect("complete");
    refreshed.insert_response(response()).expect("complete");
    assert_eq!(guards(&mut signed_in), [false, false]);
    assert_eq!(guards(&mut refreshed), [true, true]);
}

#[test]
fn an_entry_that_comes_and_goes_leaves_no_change() {
    let mut cache = stored(&TokenCache::default());
    put(&mut cache, token("a", "AT"));
    let (id, _) = cache.access_tokens().next().expect("one token");
    assert!(cache.remove(&id));
    assert!(!cache.remove(&id));
    assert!(cache.take_changes(NOW.to_millis()).is_empty());
}

#[test]
fn expired_extended_tokens_go_with_every_write() {
    let key = Some(ExtendedKey::new([("fmi_path", "p")]));
    let base = filled(|cache| {
        put(cache, AccessToken { extended: key.clone(), expires_on: Some(NOW.plus(-1)), ..token("a", "expired") });
        put(cache, AccessToken { extended: key, ..token("b", "good") });
    });
    let mut cache = stored(&base);
    assert!(cache.take_changes(NOW.to_millis()).is_empty(), "no write of its own");
    put(&mut cache, token("c", "AT"));
    let changes = cache.take_changes(NOW.to_millis());
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Remove { if_match: Some(_), .. })).count(), 1);
    assert_eq!(secrets(&cache), ["AT", "good"]);
}

fn difference(base: &TokenCache, theirs: impl FnOnce(&mut TokenCache)) -> Vec<Change> {
    let mut after = TokenCache::deserialize(base.serialize().expose()).expect("our own document");
    theirs(&mut after);
    let after = TokenCache::deserialize(after.serialize().expose()).expect("their document");
    base.difference(&after, &PartitionKey::Shared, NOW.to_millis(), NOW.plus(1).to_millis())
}

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
fn many_tokens_of_one_account_come_and_go() {
    let mut cache = TokenCache::default();
    for n in 0..2_000 {
        put(&mut cache, token(&format!("api://{n}/.default openid"), &format!("AT-{n}")));
    }
    for n in (0..2_000).step_by(97) {
        let scope = format!("API://{n}/.default");
        assert_eq!(cache.access_token(&user_query(&scope), NOW).expect("a hit").secret.expose(), format!("AT-{n}"));
    }
    let ids: Vec<_> = cache.access_tokens().map(|(id, _)| id).collect();
    assert!(ids.iter().all(|id| cache.remove(id)));
    assert!(cache.is_empty());
    assert!(cache.access_token(&user_query("openid"), NOW).is_none());
}

/// A document with these entries as their writers spelled them, as a store holds it.
fn held(document: &str) -> TokenCache {
    stored(&TokenCache::deserialize(document.as_bytes()).expect("sound"))
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
fn a_token_without_scopes_is_left_alone() {
    let json = r#"{"home_account_id":"alice.home","environment":"e","client_id":"c","secret":"AT","expires_on":"1"}"#;
    let base = held(&format!(r#"{{"AccessToken":{{"k":{json}}}}}"#));
    assert!(difference(&base, |_| {}).is_empty());
    let mut cache = TokenCache::default();
    for broken in [token("", "AT"), AccessToken { expires_on: None, ..token("s", "AT") }] {
        assert_eq!(cache.insert(broken).expect_err("required").kind(), ErrorKind::InvalidInput);
    }
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

#[test]
fn one_entry_put_removed_and_put_in_one_update_is_one_change() {
    let base = filled(|cache| put(cache, token("A", "old")));
    let id = base.access_tokens().next().expect("one").0;
    let mut cache = stored(&base);
    cache.remove(&id);
    put(&mut cache, token("A", "new"));
    cache.remove(&id);
    let changes = cache.take_changes(NOW.to_millis());
    assert!(matches!(&changes[..], [Change::Remove { if_match: Some(_), .. }]), "{changes:?}");

    let mut cache = stored(&base);
    put(&mut cache, AccessToken { home_account_id: Some("bob".into()), ..token("A", "1") });
    cache.remove_account("carol", "login.windows.net");
    put(&mut cache, AccessToken { home_account_id: Some("bob".into()), ..token("A", "2") });
    put(&mut cache, RefreshToken { home_account_id: "bob".into(), ..refresh_token("RT") });
    let changes = cache.take_changes(NOW.to_millis());
    let puts = changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
    assert_eq!((puts, changes.len()), (2, 3), "{changes:?}");
}

#[test]
fn a_refresh_of_a_user_who_is_gone_is_not_put() {
    let response = || TokenResponse { access_token: Some(token("s", "AT")), ..TokenResponse::default() };
    let mut cache = TokenCache::default();
    assert!(!cache.insert_response(response()).expect("complete"));
    assert!(cache.is_empty());
    put(&mut cache, refresh_token("RT"));
    assert!(cache.insert_response(response()).expect("complete"));
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

#[test]
fn no_name_is_written_twice() {
    let mut cache = TokenCache::deserialize(
        br#"{"Account":{"k":{"home_account_id":"alice.home","environment":"login.windows.net","realm":"home",
            "tenantProfiles":[{"tenantId":"x"}],"x":1,"x":2}}}"#,
    )
    .expect("sound");
    put(&mut cache, Account { tenant_profiles: vec!["{}".into()], ..account("alice@example") });
    let json = String::from_utf8(cache.serialize().expose().to_vec()).expect("UTF-8");
    assert_eq!((json.matches("tenantProfiles").count(), json.matches(r#""x":"#).count()), (1, 1), "{json}");
}
