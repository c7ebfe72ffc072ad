//! `list` and `show`.

use serde_json::{Value, json};

use crate::sandbox::{ALICE, APP, BOB, Ran, Sandbox, T1, T2, column};

#[test]
fn list_shows_accounts_and_tokens() {
    let list = Sandbox::of("net-users-multi-tenant").list();
    assert_eq!(column(&list["accounts"], "home_account_id"), [ALICE, BOB]);
    assert_eq!(column(&list["accounts"], "username"), ["Alice@contoso.example", "bob@fabrikam.example"]);
    let tenants = &list["accounts"][0]["tenants"];
    assert_eq!(column(tenants, "tenant"), [T1, T2]);
    assert_eq!((&tenants[0]["home"], &tenants[1]["home"]), (&true.into(), &false.into()));
    assert_eq!(list["accounts"][0]["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(list["access_tokens"].as_array().map(Vec::len), Some(3));
    let token = &list["access_tokens"][0];
    assert_eq!(token["scopes"], json!(["Calendars.Read", "openid", "profile", "User.Read"]));
    assert_eq!((&token["client_id"], &token["tenant"]), (&APP.into(), &T1.into()));
    assert_eq!((&token["expires_on"], &token["expires_at"]), (&1_800_003_599.into(), &"2027-01-15T08:59:59Z".into()));
    assert_eq!((&token["expired"], &token["token_type"]), (&false.into(), &"Bearer".into()));
    assert_eq!(column(&list["refresh_tokens"], "username"), ["Alice@contoso.example", "bob@fabrikam.example"]);
    assert_eq!(list["id_tokens"].as_array().map(Vec::len), Some(3));
    assert_eq!(column(&list["app_metadata"], "client_id"), [APP]);
    assert_eq!(list["not_understood"], json!([]));
}

#[test]
fn list_tells_special_tokens_apart() {
    let list = Sandbox::of("net-app-tokens").list();
    assert_eq!(list["access_tokens"][0]["home_account_id"], Value::Null);
    let list = Sandbox::of("net-pop").list();
    assert!(column(&list["access_tokens"], "token_type").contains(&"pop"));
    let list = Sandbox::of("net-obo").list();
    assert_eq!(list["access_tokens"][0]["on_behalf_of"], true);
    let list = Sandbox::of("net-app-extended").list();
    let extended = list["access_tokens"].as_array().expect("a list").iter().filter(|token| token["extended"] == true);
    assert_eq!(extended.count(), 3);
    let table = Sandbox::of("net-obo").run(&["list", "-o", "table"]).succeeds();
    assert!(table.text().contains("Bearer, on behalf of"), "{}", table.text());
    let list = Sandbox::of("py-foci").list();
    assert!(column(&list["refresh_tokens"], "family_id").contains(&"1"));
}

#[test]
fn list_counts_what_it_does_not_understand() {
    let sandbox = Sandbox::of("net-unknown-preserved");
    let list = sandbox.list();
    let unknown = column(&list["not_understood"], "entry");
    assert!(!unknown.is_empty());
    let table = sandbox.run(&["list", "-o", "table"]).succeeds();
    let title = format!("Not understood, carried along as they are ({})", unknown.len());
    assert!(table.text().contains(&title), "{}", table.text());
}

#[test]
fn list_of_nothing() {
    let sandbox = Sandbox::new();
    sandbox.import(b"{}").succeeds();
    for format in ["table", "json", "tsv"] {
        let list = sandbox.run(&["list", "-o", format]);
        assert_eq!(list.code, Some(0));
        assert!(list.stderr.contains("holds nothing"), "{}", list.stderr);
        assert_eq!(list.stdout.is_empty(), format != "json", "{format}");
    }
}

#[test]
fn the_table_lines_up() {
    let table = Sandbox::of("net-users-multi-tenant").run(&["list", "-o", "table"]).succeeds();
    let text = table.text();
    for part in ["Accounts (2)", "Access tokens (3)", "Refresh tokens (2)", "ID tokens (3)", "Applications (1)"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.contains("in 59 min (2027-01-15T08:59:59Z)"));
    assert!(!text.contains('\u{1b}'), "colour is for terminals");
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("Access tokens")).skip(1).take(4).collect();
    let columns: Vec<_> = rows.iter().map(|row| row.find("EXPIRES").or_else(|| row.find("in 59 min"))).collect();
    assert!(columns[0].is_some() && columns.iter().all(|column| *column == columns[0]), "{rows:#?}");
}

#[test]
fn every_row_of_tsv_has_ten_fields() {
    let sandbox = Sandbox::of("py-unknown-preserved");
    let list = sandbox.list();
    let tsv = sandbox.run(&["list", "-o", "tsv"]).succeeds();
    let rows: Vec<Vec<&str>> = tsv.text().lines().map(|line| line.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 10), "{rows:#?}");
    let kinds = ["account", "access_token", "refresh_token", "id_token", "app_metadata", "not_understood"];
    for kind in kinds {
        assert!(rows.iter().any(|row| row[0] == kind), "{kind}");
    }
    let token = rows.iter().find(|row| row[0] == "access_token").expect("an access token");
    let expected = &list["access_tokens"][0];
    assert_eq!(token[1], expected["id"]);
    assert_eq!(token[8], expected["expires_on"].to_string());
    assert_eq!(token[9], expected["entry"]);
}

#[test]
fn every_listed_id_can_be_shown() {
    for fixture in ["net-users-multi-tenant", "py-unknown-preserved", "node-app-extended", "py-adfs"] {
        let sandbox = Sandbox::of(fixture);
        let tsv = sandbox.run(&["list", "-o", "tsv"]).succeeds();
        for row in tsv.text().lines() {
            let fields: Vec<&str> = row.split('\t').collect();
            let (id, entry) = (fields[1], fields[9].replace("\\\\", "\\"));
            for name in [id, &entry, &id[..4]] {
                let shown = sandbox.run(&["show", name]).json();
                assert_eq!(
                    (shown["id"].as_str(), shown["entry"].as_str()),
                    (Some(id), Some(&*entry)),
                    "{fixture} {name}"
                );
                assert_eq!(shown["understood"], fields[0] != "not_understood");
            }
        }
    }
}

#[test]
fn show_redacts_all_but_what_is_known_to_be_harmless() {
    let document = json!({
        "AccessToken": { "k": {
            "home_account_id": "h", "environment": "e", "client_id": "c", "realm": "r", "target": "s", "secret": "S1",
            "cached_at": 1_800_000_000, "expires_on": "1800003600", "user_assertion_hash": "S2", "client_info": "shown",
            "new_field": "S3", "key_id": { "inner": "S4" }, "persisted_cache_parameters": { "p": "S5" }
        } },
        "Account": { "a": {
            "home_account_id": "h", "environment": "e", "realm": "r", "username": "shown", "name": "shown",
            "secret": "S6", "other": "S7"
        } },
        "RefreshToken": { "username": { "username": "S8" }, "text": "S9" },
        "Foreign": "S10"
    });
    let sandbox = Sandbox::holding(document.to_string().as_bytes());
    for (name, hidden, seen) in [
        ("AccessToken/k", 5, 8),
        ("Account/a", 2, 5),
        ("RefreshToken/username", 1, 0),
        ("RefreshToken/text", 1, 0),
        ("Foreign", 1, 0),
    ] {
        let shown = sandbox.run(&["show", name]).json();
        assert_eq!(shown["redacted"], true);
        let values: Vec<Value> = match &shown["fields"] {
            Value::Object(fields) => fields.values().cloned().collect(),
            _ => vec![shown["value"].clone()],
        };
        let redacted = values.iter().filter(|value| **value == "[redacted]").count();
        assert_eq!((redacted, values.len() - redacted), (hidden, seen), "{name} {shown}");

        let open = sandbox.run(&["show", name, "--show-secrets"]).json();
        assert_eq!(open["redacted"], false);
        let (section, key) = name.split_once('/').unwrap_or((name, ""));
        let stored = if key.is_empty() { &document[section] } else { &document[section][key] };
        let content = if stored.is_object() { &open["fields"] } else { &open["value"] };
        assert_eq!(content, stored, "{name}");
    }
    let table = sandbox.run(&["show", "AccessToken/k", "-o", "table"]).succeeds();
    let line = |name: &str| table.text().lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
    assert!(line("expires_on").ends_with("1800003600  in 1 h (2027-01-15T09:00:00Z)"));
    assert!(line("cached_at").ends_with("1800000000  2027-01-15T08:00:00Z"));
    assert!(line("secret").ends_with("[redacted]"));
    let tsv = sandbox.run(&["show", "Foreign", "-o", "tsv", "--show-secrets"]).succeeds();
    assert!(tsv.text().ends_with("\nvalue\tS10\n"), "{}", tsv.text());
}

#[test]
fn show_of_what_is_not_there() {
    let sandbox = Sandbox::of("net-user-single");
    for name in ["AccessToken/nothing", "AccessToken", "ffff0000ffff", "ab", "", "zzzz"] {
        sandbox.run(&["show", name]).fails(4, "no entry is called");
    }
}

#[test]
fn names_cannot_steer_the_terminal() {
    let account = json!({
        "home_account_id": "h", "environment": "e", "realm": "r", "username": "a\u{1b}[2Jb\u{202e}c\td\ne"
    });
    let sandbox = Sandbox::holding(json!({ "Account": { "k": account } }).to_string().as_bytes());
    let table = sandbox.run(&["list", "-o", "table"]).succeeds();
    assert!(table.text().contains(r"a\u{1b}[2Jb\u{202e}c\u{9}d\u{a}e"), "{}", table.text());
    let tsv = sandbox.run(&["list", "-o", "tsv"]).succeeds();
    assert_eq!(tsv.text().lines().count(), 1);
    assert!(tsv.text().contains(r"c\td\ne"), "{}", tsv.text());
    let failed = Ran::of(&mut sandbox.command(&["show", "x\u{1b}[31m"]));
    failed.fails(4, r"x\u{1b}[31m");
}
