//! What puts and removals leave behind, and the changes that they become.

use super::*;
use crate::changes::{Change, Guard};
use crate::error::ErrorKind;
use crate::schema::ExtendedKey;
use crate::time::UnixMillis;

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

#[test]
fn a_refresh_makes_no_account() {
    let mut cache = filled(|cache| put(cache, refresh_token("rt-1")));
    let refreshed = TokenResponse {
        refresh_token: Some(refresh_token("rt-2")),
        account: Some(account("alice@example.com")),
        ..TokenResponse::default()
    };
    assert!(cache.insert_response(refreshed).expect("complete"));
    assert!(cache.accounts().is_empty(), "the user may be in the middle of a sign-out");
    assert_eq!(cache.all_refresh_tokens().next().map(|(_, token)| token.secret.clone()), Some("rt-2".into()));
}
