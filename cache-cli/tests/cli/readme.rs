//! The README documents the JSON that the command prints: same names, same nesting.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sandbox::{ALICE, APP, Ran, Sandbox, document, tokencache};
use crate::sqlite::Database;

const README: &str = include_str!("../../README.md");

/// The JSON under a heading of the README.
fn documented(heading: &str) -> Value {
    documented_in(heading, "\n")
}

/// The first JSON behind these words under a heading of the README.
fn documented_in(heading: &str, words: &str) -> Value {
    let section = README.split(&format!("\n## {heading}\n")).nth(1).expect("the heading");
    let section = section.split_once(words).expect("the words").1;
    let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of JSON");
    serde_json::from_str(block).expect("JSON")
}

/// The paths of every value: member names, and `[]` for the items of a list.
fn paths(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    walk(value, &format!("{path}.{name}"), paths);
                }
            }
            Value::Array(items) => {
                for value in items {
                    walk(value, &format!("{path}[]"), paths);
                }
            }
            _ => {
                paths.insert(path.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

#[test]
fn every_report_is_as_documented() {
    let sandbox = Sandbox::of("py-unknown-preserved");
    assert_eq!(paths(&sandbox.list()), paths(&documented("list")));

    let sandbox = Sandbox::of("net-users-multi-tenant");
    let asked = ["get-token", "--client-id", APP, "--scope", "Calendars.Read", "--account", ALICE];
    assert_eq!(paths(&sandbox.run(&asked).json()), paths(&documented("get-token")));

    let account = sandbox.list()["accounts"][0]["entries"][0]["id"].as_str().expect("an id").to_owned();
    let without_fields = |value: &Value| {
        let mut value = value.clone();
        value["fields"] = "fields".into();
        paths(&value)
    };
    let shown = sandbox.run(&["show", &account]).json();
    assert_eq!(without_fields(&shown), without_fields(&documented("show")));

    let later = Ran::of(&mut sandbox.command_at(1_900_000_000, &["remove", "--expired"])).json();
    assert_eq!(paths(&later), paths(&documented("remove")));
}

#[test]
fn reports_about_databases_are_as_documented() {
    let database = Database::holding(&document("net-user-single"));
    let keyless = Ran::of(&mut database.bare(&["list"])).json();
    assert_eq!(paths(&keyless), paths(&documented_in("list", "### Without the key")));
    assert_eq!(paths(&database.run(&["verify"]).json()), paths(&documented("verify")));
    assert_eq!(paths(&database.run(&["recover"]).json()), paths(&documented("recover")));

    let all = database.run(&["list", "--all-partitions"]).json();
    let named = documented_in("list", "With `--all-partitions`");
    assert_eq!(paths(&all["partitions"][0]["partition"]), paths(&named["partitions"][0]["partition"]));

    // The target holds a newer token.
    let target = Database::new();
    let mut newer: Value = serde_json::from_slice(&document("net-user-single")).expect("JSON");
    for token in newer["AccessToken"].as_object_mut().expect("a section").values_mut() {
        token["cached_at"] = "1800000000".into();
        token["expires_on"] = "1800009999".into();
    }
    let mut older = newer.clone();
    for token in older["AccessToken"].as_object_mut().expect("a section").values_mut() {
        token["cached_at"] = "1".into();
    }
    let source = Database::holding(older.to_string().as_bytes());
    let import = |database: &Database, document: &Value| {
        Ran::of(database.command(&["import", "-", "--create-key"]).write_stdin(document.to_string())).succeeds();
    };
    import(&target, &newer);
    let mut copy = tokencache();
    copy.args(["copy", "--from", &source.address(), "--to", &target.address(), "--now", "1800000000"]);
    copy.arg("--from-key-file").arg(source.path("key")).arg("--to-key-file").arg(target.path("key"));
    assert_eq!(paths(&Ran::of(&mut copy).json()), paths(&documented("copy")));
}

#[test]
fn an_import_is_as_documented() {
    let sandbox = Sandbox::of("net-user-single");
    let mut older: Value = serde_json::from_slice(&document("net-user-single")).expect("JSON");
    for token in older["AccessToken"].as_object_mut().expect("a section").values_mut() {
        token["cached_at"] = "1".into();
    }
    let report = sandbox.import(older.to_string().as_bytes()).json();
    assert_eq!(paths(&report), paths(&documented("import")));
}

#[test]
fn the_stores_are_as_documented() {
    let home = Sandbox::new();
    std::fs::create_dir(home.path(".azure")).expect("made");
    // Torn and of a wide mode, so that there are warnings.
    let torn = document("py-user-single");
    std::fs::write(home.path(".azure/msal_token_cache.json"), &torn[..torn.len() - 1]).expect("written");
    let mut command = tokencache();
    command.arg("stores").env("HOME", home.path("")).env("USERPROFILE", home.path("")).env_remove("AZURE_CONFIG_DIR");
    assert_eq!(paths(&Ran::of(&mut command).json()), paths(&documented("stores")));
}

#[test]
fn a_demo_is_as_documented() {
    let report = Ran::of(tokencache().args(["demo", "--processes", "1", "--updates", "2"])).json();
    assert_eq!(paths(&report), paths(&documented("demo")));
}
