//! Every odd document against its expectation; all that fail are reported, each by name.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cache_core::{Blob, ErrorKind, RefreshTokenQuery, TokenCache, UnifiedDocument};
use cache_testkit::fixtures::{OddDocument, odd_documents};

use super::ask::{
    ALICE, ALICE_ASKS, APP, APP_ASKS, Ask, BOB, ONLINE, Owner, T1, T2, WINDOWS, known, refresh_secrets, secret,
};
use super::expected::{Answers, Expect, JWT, expected};
use super::importing::{imports, stores};
use super::meaning::{Json, SECTIONS, cache_meaning};

#[test]
fn every_document_gives_what_is_expected() {
    let documents: Vec<OddDocument> = odd_documents().collect();
    let names: BTreeSet<&str> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!((documents.len(), names.len()), (257, 257));
    let meanings: BTreeMap<&str, Option<Json>> =
        documents.iter().map(|document| (document.name.as_str(), cache_meaning(&document.bytes))).collect();

    let mut failures = Vec::new();
    for document in &documents {
        let checked = catch_unwind(AssertUnwindSafe(|| check(document, &meanings)));
        let wrong = checked.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            vec![format!("panics: {}", text.unwrap_or_else(|| "without a text".into()))]
        });
        failures.extend(wrong.iter().map(|wrong| format!("{}: {wrong} [net: {}]", document.name, document.net)));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn check(document: &OddDocument, meanings: &BTreeMap<&str, Option<Json>>) -> Vec<String> {
    let loaded = TokenCache::deserialize(&document.bytes);
    let salvaged = UnifiedDocument::salvage(&Blob::copy_of(&document.bytes));
    match (expected(&document.name), loaded) {
        (Expect::Load(answers), Ok(cache)) => {
            let mut wrong = differences(&cache, &answers);
            let written = cache.serialize();
            match TokenCache::deserialize(written.expose()) {
                Ok(again) => wrong.extend(differences(&again, &answers).into_iter().map(|w| format!("{w}, written"))),
                Err(error) => wrong.push(format!("what is written does not load: {error}")),
            }
            let meaning = &meanings[answers.written_as.unwrap_or(&document.name)];
            let meaning = meaning.as_ref().expect("what loads has a meaning");
            if cache_meaning(written.expose()).as_ref() != Some(meaning) {
                wrong.push("it is written with another meaning".into());
            }
            if entries(meaning) != cache.len() {
                wrong.push(format!("{} of {} entries are kept", cache.len(), entries(meaning)));
            }
            for store in stores() {
                imports(&document.name, &*store, &document.bytes, meaning);
            }
            wrong.extend(left_after_removal(cache));
            wrong
        }
        (Expect::NoDocument, Err(error)) if error.kind() == ErrorKind::Corrupt => match salvaged {
            None => Vec::new(),
            Some(_) => vec!["a salvage takes it for a document".into()],
        },
        (Expect::Damaged(answers), Err(error)) if error.kind() == ErrorKind::Corrupt => {
            let mut cache = TokenCache::default();
            let Some(salvaged) = salvaged else { return vec!["no salvage".into()] };
            salvaged.into_entries().for_each(|entry| cache.insert_entry(entry));
            differences(&cache, &answers)
        }
        (expected, Ok(_)) => vec![format!("loads, and should be {expected:?}")],
        (expected, Err(error)) => vec![format!("{error}, and should be {expected:?}")],
    }
}

/// Every answer that is not as expected.
fn differences(cache: &TokenCache, expected: &Answers) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong.push(format!("{what} is {found}, should be {expected}"));
        }
    };
    let text = |found: Option<String>| found.unwrap_or_else(|| "nothing".into());
    let literal = |expected: Option<&str>| expected.unwrap_or("nothing").to_owned();

    compare("silent", text(secret(cache, ALICE_ASKS)), literal(expected.silent));
    let by_another_host = Ask { environment: ONLINE, ..ALICE_ASKS };
    compare("silent by another host", text(secret(cache, by_another_host)), literal(expected.silent));
    compare("plain", text(secret(cache, APP_ASKS)), literal(expected.plain));
    let fmi = Ask { components: &[("fmi_path", "SomeFmiPath/FmiCredentialPath")], ..APP_ASKS };
    compare("fmi", text(secret(cache, fmi)), literal(expected.fmi));
    for (ask, expected) in expected.also {
        compare(&format!("{ask:?}"), text(secret(cache, *ask)), (*expected).to_owned());
    }
    // Nobody else gets anything, whatever is wrong with the entries.
    for ask in [
        Ask { owner: Owner::User(BOB), ..ALICE_ASKS },
        Ask { realm: Some(T2), ..ALICE_ASKS },
        Ask { client: "another client", ..ALICE_ASKS },
        Ask { realm: Some(T2), ..APP_ASKS },
    ] {
        compare(&format!("{ask:?}"), text(secret(cache, ask)), literal(None));
    }

    let refresh = refresh_secrets(cache, ALICE, APP, WINDOWS);
    compare("refresh", format!("{refresh:?}"), format!("{:?}", expected.refresh));
    compare("refresh of Bob", format!("{:?}", refresh_secrets(cache, BOB, APP, WINDOWS)), "[]".into());
    let session = cache.refresh_tokens(&RefreshTokenQuery::on_behalf_of("HASH", APP, WINDOWS));
    let session: Vec<_> = session.iter().map(|(_, token)| token.secret.expose()).collect();
    compare("session", format!("{session:?}"), format!("{:?}", expected.session));

    let id_token = cache.id_token(ALICE, WINDOWS, APP, T1);
    let has_claims = id_token.is_some_and(|token| token.claims().is_some());
    compare("id_token", text(id_token.map(|token| token.secret.expose().to_owned())), literal(expected.id_token));
    compare("having claims", has_claims.to_string(), (expected.id_token == Some(JWT)).to_string());
    let account = cache.account(ALICE, WINDOWS).map(|account| account.username.to_string());
    compare("account", format!("{account:?}"), format!("{:?}", expected.account));
    compare("known", format!("{:?}", known(cache, WINDOWS, APP)), format!("{:?}", expected.known));
    wrong
}

/// How many entries a document has: entities, and unknown sections as one each.
fn entries(document: &Json) -> usize {
    let Json::Object(sections) = document else { panic!("a document is an object") };
    let count = |(name, section): (&Vec<u8>, &Json)| match section {
        Json::Object(entities) if SECTIONS.iter().any(|known| known.as_bytes() == name) => entities.len(),
        _ => 1,
    };
    sections.iter().map(count).sum()
}

/// Once Alice is removed from the public cloud, nothing there names her, also nothing that could not be read.
fn left_after_removal(mut cache: TokenCache) -> Vec<String> {
    const HOSTS: [&str; 4] = [WINDOWS, ONLINE, "login.microsoft.com", "sts.windows.net"];
    cache.remove_account(ALICE, WINDOWS);
    let left = cache_meaning(cache.serialize().expose()).expect("a document");
    let is_hers = |entity: &Json| {
        let host = entity.get("environment").and_then(Json::text).unwrap_or_default().to_lowercase();
        entity.get("home_account_id").and_then(Json::text) == Some(ALICE) && HOSTS.contains(&host.as_str())
    };
    let mut wrong = Vec::new();
    for section in SECTIONS.into_iter().filter(|section| *section != "AppMetadata") {
        let Some(Json::Object(entities)) = left.get(section) else { continue };
        let hers = entities.iter().filter(|(_, entity)| is_hers(entity));
        wrong.extend(hers.map(|(key, _)| format!("her removal leaves {}", String::from_utf8_lossy(key))));
    }
    wrong
}
