//! Every document of the fixtures in the form of every profile.

use std::collections::BTreeMap;

use cache_core::schema::section;
use cache_core::{Blob, Consequence, EntryId, Peer, Profile, Reason, UnifiedDocument, dotnet_deletes};
use cache_testkit::fixtures::{Fixtures, NOW, odd_documents};
use serde_json::Value;
use serde_json::value::RawValue;

use super::profiles;

/// Every document that can be taken apart, by name.
pub(super) fn every_document() -> impl Iterator<Item = (String, UnifiedDocument)> {
    let fixtures = Fixtures::own().into_iter().chain(Fixtures::beside()).map(|fixture| (fixture.name, fixture.bytes));
    let odd = odd_documents().map(|document| (document.name, document.bytes));
    fixtures.chain(odd).filter_map(|(name, bytes)| Some((name, UnifiedDocument::parse(&Blob::new(bytes)).ok()?)))
}

#[test]
fn applied_twice_is_as_once_and_leaves_only_what_cannot_be_mended() {
    for profile in profiles() {
        for (name, mut document) in every_document() {
            let applied = profile.apply(&mut document, NOW);
            let written = document.render();
            let read = UnifiedDocument::parse(&written).expect("what we write");
            assert_eq!(profile.objections(&read), applied.objections, "{name}");
            for again in [&mut document, &mut read.clone()] {
                let applied = profile.apply(again, NOW);
                assert!(applied.rewritten.is_empty() && applied.dropped.is_empty(), "{name}: {profile:?} {applied:?}");
                assert!(again.render() == written, "{name}: {profile:?}");
            }
            for objection in applied.objections {
                assert!(cannot_be_mended(objection.peer(), objection.reason()), "{name}: {profile:?} {objection}");
            }
        }
    }
}

/// As the documentation of [`Profile::objections`] says.
fn cannot_be_mended(peer: Peer, reason: Reason) -> bool {
    match reason {
        Reason::UsersBesideApplications
        | Reason::SameKey
        | Reason::NotAnEntity
        | Reason::SectionName
        | Reason::TakenForPlain
        | Reason::CredentialType
        | Reason::AuthorityType
        | Reason::TenantProfiles => true,
        Reason::HomeAccountId => peer != Peer::DotNet,
        _ => false,
    }
}

#[test]
fn fields_that_no_library_knows_keep_their_text() {
    for (name, document) in every_document() {
        let unknown = unknown_fields(&document);
        for profile in profiles() {
            let mut document = document.clone();
            let applied = profile.apply(&mut document, NOW);
            let after = unknown_fields(&document);
            for ((id, field), json) in &unknown {
                if applied.dropped.contains(id) || is_beyond_dotnet(json) && profile.names(Peer::DotNet) {
                    continue;
                }
                assert_eq!(after.get(&(id.clone(), field.clone())), Some(json), "{name}: {profile:?} {id:?}");
            }
        }
    }
}

/// What is not in the schema, as raw JSON. Of fields that stand twice the last one.
fn unknown_fields(document: &UnifiedDocument) -> BTreeMap<(EntryId, String), String> {
    let mut fields = BTreeMap::new();
    for entry in document.clone().into_entries() {
        let Ok(json) = std::str::from_utf8(entry.json.expose()) else { continue };
        if !section::ALL.contains(&entry.id.section()) {
            fields.insert((entry.id, String::new()), json.to_owned());
        } else if let Ok(entity) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) {
            let unknown = entity.into_iter().filter(|(name, _)| !KNOWN.contains(&&**name));
            fields.extend(unknown.map(|(name, json)| ((entry.id.clone(), name), json.get().to_owned())));
        }
    }
    fields
}

/// Nested too deep, or with half of a surrogate pair.
fn is_beyond_dotnet(json: &str) -> bool {
    json.contains(&"[".repeat(60)) || serde_json::from_str::<Value>(json).is_err()
}

/// Fields that some library reads, and so may find in another form.
const KNOWN: [&str; 37] = [
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
    "client_info",
    "family_id",
    "local_account_id",
    "username",
    "authority_type",
    "name",
    "given_name",
    "family_name",
    "account_source",
    "wam_account_ids",
    "tenantProfiles",
    "last_modification_time",
    "resource",
    "alternative_account_id",
];

#[test]
fn the_default_profile_changes_no_document() {
    for (name, mut document) in every_document() {
        let (before, was_changed) = (document.render(), document.is_changed());
        let applied = Profile::default().apply(&mut document, NOW);
        assert!(applied.rewritten.is_empty() && applied.dropped.is_empty() && applied.objections.is_empty(), "{name}");
        assert!(document.render() == before && document.is_changed() == was_changed, "{name}");
    }
}

/// What MSAL.NET answered is written down beside each odd document.
#[test]
fn dotnet_deletes_the_documents_that_it_could_not_load() {
    let mut wrong = Vec::new();
    for document in odd_documents() {
        let (name, net) = (document.name, document.net);
        // Asked as a cache of applications, where it takes null home account ids, and of users, where it does not mind
        // tokens of applications. Whether a document is deleted must be said for both.
        let for_the_other_cache = ["app-02-home-null", "30-AT-absent-home", "32-AT-empty-home", "user-2"];
        if for_the_other_cache.iter().any(|other| name.starts_with(other)) {
            assert!(dotnet_deletes(&Blob::new(document.bytes)), "{name}");
            continue;
        }
        let failed_to_load = net.starts_with("FAIL")
            || net.contains("combined_user_app_cache_not_supported")
            || net.contains("Null") && name.contains("null-home_account_id");
        if dotnet_deletes(&Blob::new(document.bytes)) != failed_to_load {
            wrong.push(format!("{name}: {net}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn in_its_profile_dotnet_deletes_nothing_but_mixtures() {
    let profile = Profile::shared_with([Peer::DotNet]);
    for (name, mut document) in every_document() {
        let applied = profile.apply(&mut document, NOW);
        let mixture = applied.objections.iter().any(|objection| objection.consequence() == Consequence::DeletesCache);
        assert_eq!(dotnet_deletes(&document.render()), mixture, "{name}");
    }
}
