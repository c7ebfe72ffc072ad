//! Every fixture and every odd document through the real command: import, export, import again.

use std::collections::BTreeMap;

use cache_testkit::fixtures::{Fixture, Fixtures, odd_documents};
use serde_json::{Map, Value};

use crate::sandbox::{APP, Ran, Sandbox};

const SECTIONS: [&str; 5] = ["AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"];

#[test]
fn import_then_export_keeps_the_meaning_of_every_fixture() {
    for Fixture { name, bytes } in Fixtures::own().iter().chain(&Fixtures::beside()) {
        let sandbox = Sandbox::new();
        let first = sandbox.import(bytes).json();
        assert_eq!((&first["updated"], &first["skipped"]), (&0.into(), &0.into()), "{name}");
        let exported = sandbox.run(&["export"]);
        let exported: Value = serde_json::from_slice(&exported.stdout).expect("JSON");
        let original = serde_json::from_str(&strict(bytes)).expect("JSON but for trailing commas");
        assert_eq!(meaning(exported), meaning(original), "{name}");

        let again = sandbox.import(bytes).json();
        for count in ["inserted", "updated", "skipped"] {
            assert_eq!(again[count], 0, "{name} {count}");
        }
        assert_eq!(again["unchanged"], first["inserted"], "{name}");
    }
}

/// MSAL Go 1.0 left an entry under a key with capitals beside the current one: the current one answers.
#[test]
fn of_twins_the_good_one_answers() {
    let beside = Fixtures::beside();
    let Some(fixture) = beside.named("up-go-v1.0-v1.1") else { return };
    let sandbox = Sandbox::holding(&fixture.bytes);
    let tokens = sandbox.list()["access_tokens"].clone();
    let tokens = tokens.as_array().expect("a list");
    let lower = |entry: &str| entry.split_once('/').is_some_and(|(_, key)| key == key.to_lowercase());
    let good = tokens.iter().find(|token| lower(token["entry"].as_str().expect("a name"))).expect("a lower-case key");
    let shown = sandbox.run(&["show", good["id"].as_str().expect("an id"), "--show-secrets"]).json();
    let at = good["expires_on"].as_i64().expect("a time") - 600;
    let text = |field: &str| good[field].as_str().expect("text").to_owned();
    let (client, scope) = (text("client_id"), good["scopes"][0].as_str().expect("a scope").to_owned());
    let mut command = sandbox.command_at(at, &["get-token", "--client-id", &client, "--scope", &scope, "-o", "token"]);
    if let Some(account) = good["home_account_id"].as_str() {
        command.args(["--account", account]);
    }
    let token = Ran::of(&mut command).succeeds();
    assert_eq!(token.text().trim_end(), shown["fields"]["secret"].as_str().expect("a secret"));
}

#[test]
fn no_odd_document_breaks_the_command() {
    let mut refused = 0;
    for odd in odd_documents() {
        let sandbox = Sandbox::new();
        let first = sandbox.import(&odd.bytes);
        if first.code == Some(1) {
            refused += 1;
            first.fails(1, "document");
            assert!(!sandbox.store().exists(), "{}", odd.name);
            continue;
        }
        first.json();
        let again = sandbox.import(&odd.bytes).json();
        for count in ["inserted", "updated", "skipped"] {
            assert_eq!(again[count], 0, "{} {count}", odd.name);
        }
        let listed = sandbox.run(&["list", "-o", "tsv"]);
        assert_eq!(listed.code, Some(0), "{} {}", odd.name, listed.stderr);
        let token = sandbox.run(&["get-token", "--client-id", APP, "--scope", "User.Read", "-o", "token"]);
        assert!(matches!(token.code, Some(0 | 1 | 4)), "{} {token:?}", odd.name);
    }
    assert!(refused < 60, "{refused} of the odd documents are refused whole");
}

/// The document as strict JSON: without its byte order mark and without trailing commas.
fn strict(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).expect("UTF-8").trim_start_matches('\u{feff}');
    let (mut out, mut in_text, mut escaped) = (String::new(), false, false);
    for (at, char) in text.char_indices() {
        let ends = || text[at + 1..].trim_start().starts_with(['}', ']']);
        if in_text || char != ',' || !ends() {
            out.push(char);
        }
        (in_text, escaped) = match char {
            '"' if !escaped => (!in_text, false),
            '\\' if in_text => (true, !escaped),
            _ => (in_text, false),
        };
    }
    out
}

/// The sections, each of the five as an object, without entities that hold nothing.
pub(crate) fn meaning(document: Value) -> BTreeMap<String, Value> {
    let Value::Object(document) = document else { panic!("no object") };
    let mut sections: BTreeMap<String, Value> = document.into_iter().collect();
    for name in SECTIONS {
        let section = sections.entry(name.to_owned()).or_insert_with(|| Map::new().into());
        match section {
            Value::Null => *section = Map::new().into(),
            Value::Object(entries) => {
                entries
                    .retain(|_, entry| !entry.is_null() && entry.as_object().is_none_or(|entity| !entity.is_empty()));
            }
            _ => {}
        }
    }
    sections
}
