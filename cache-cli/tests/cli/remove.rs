//! `remove`.

use serde_json::{Value, json};

use crate::sandbox::{ALICE, APP, BOB, Ran, Sandbox, column, document};

fn entries(sandbox: &Sandbox) -> Vec<String> {
    let tsv = sandbox.run(&["list", "-o", "tsv"]);
    let mut entries: Vec<String> =
        tsv.text().lines().map(|row| row.rsplit('\t').next().expect("a field").to_owned()).collect();
    entries.sort();
    entries
}

#[test]
fn an_account_goes_with_everything_of_it() {
    for name in [ALICE, "alice@contoso.example"] {
        let sandbox = Sandbox::of("net-users-multi-tenant");
        let before = entries(&sandbox);
        let report = sandbox.run(&["remove", "--account", name]).json();
        let after = entries(&sandbox);
        assert_eq!(report["kept"], json!([]));
        let mut removed = column(&report["removed"], "entry");
        removed.sort_unstable();
        let gone: Vec<&String> = before.iter().filter(|entry| !after.contains(entry)).collect();
        assert_eq!(removed, gone);
        // Two accounts, two access tokens, two ID tokens, a refresh token; the application stays.
        assert_eq!(removed.len(), 7);
        assert_eq!(column(&sandbox.list()["accounts"], "home_account_id"), [BOB]);
        assert!(after.iter().any(|entry| entry.starts_with("AppMetadata/")));
        assert!(!after.iter().any(|entry| entry.contains("a11ce000")));
        sandbox.run(&["remove", "--account", name]).fails(4, "no account is called");
    }
}

#[test]
fn an_account_goes_from_every_cloud_and_alias() {
    let entry = |environment: &str| json!({ "home_account_id": "h.t", "environment": environment, "client_id": "c", "secret": "s" });
    let document = json!({
        "RefreshToken": { "a": entry("login.windows.net"), "b": entry("login.microsoftonline.com"), "c": entry("login.microsoftonline.us") },
        "Foreign": { "home_account_id": "h.t" }
    });
    let sandbox = Sandbox::holding(document.to_string().as_bytes());
    let report = sandbox.run(&["remove", "--account", "h.t"]).json();
    assert_eq!(report["removed"].as_array().map(Vec::len), Some(3));
    assert_eq!(entries(&sandbox), ["Foreign"]);
}

#[test]
fn a_client_goes_and_accounts_stay() {
    let sandbox = Sandbox::of("py-foci");
    let report = sandbox.run(&["remove", "--client-id", &APP.to_uppercase()]).json();
    assert!(!column(&report["removed"], "entry").is_empty());
    let list = sandbox.list();
    for section in ["access_tokens", "refresh_tokens", "id_tokens", "app_metadata"] {
        assert!(!column(&list[section], "client_id").contains(&APP), "{section}");
    }
    assert!(!column(&list["accounts"], "username").is_empty());
    sandbox.run(&["remove", "--client-id", APP]).fails(4, "nothing to remove");
}

#[test]
fn expired_tokens_go_once_they_serve_no_more() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let at = |now: i64| Ran::of(&mut sandbox.command_at(now, &["remove", "--expired"]));
    at(1_800_003_599).fails(4, "nothing to remove");
    at(1_800_003_600).fails(4, "3 expired ones serve during outages still");
    let report = at(1_800_007_200).json();
    assert_eq!(column(&report["removed"], "section"), ["AccessToken"; 3]);
    assert_eq!(sandbox.list()["access_tokens"], json!([]));
    assert_eq!(sandbox.list()["refresh_tokens"].as_array().map(Vec::len), Some(2));
}

#[test]
fn every_form_of_the_report() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let table = sandbox.run(&["remove", "--account", BOB, "-o", "table"]).succeeds();
    let first = table.text().lines().next().expect("a line");
    assert_eq!(first, "removed 1 account entry, 1 access token, 1 refresh token, 1 ID token");
    assert_eq!(table.text().lines().count(), 5);
    sandbox.import(&document("net-users-multi-tenant")).succeeds();
    let tsv = sandbox.run(&["remove", "--account", BOB, "-o", "tsv"]).succeeds();
    let rows: Vec<Vec<&str>> = tsv.text().lines().map(|row| row.split('\t').collect()).collect();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row[0] == "removed" && row[1].len() == 8 && row[2].contains('/')), "{rows:?}");
}

/// What was removed can come back only by an import.
#[test]
fn an_import_after_a_removal_stands() {
    let sandbox = Sandbox::of("net-user-single");
    let before = entries(&sandbox);
    sandbox.run(&["remove", "--account", ALICE]).succeeds();
    let counts: Value = sandbox.import(&document("net-user-single")).json();
    assert_eq!((&counts["inserted"], &counts["unchanged"]), (&4.into(), &1.into()));
    assert_eq!(entries(&sandbox), before);
}
