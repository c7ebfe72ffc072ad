//! Planted secrets: none is shown unless it is asked for, by any command, in any form, at any verbosity, in any error.

use std::fs;

use cache_testkit::secrets::Planted;
use serde_json::json;

use crate::sandbox::{Ran, Sandbox};

struct Case {
    planted: Vec<Planted>,
    document: String,
}

/// A document with a secret in every place that can hold one.
fn case() -> Case {
    let planted: Vec<Planted> = [
        "access token",
        "assertion hash",
        "session key",
        "unknown field",
        "nested field",
        "cache parameter",
        "component",
        "refresh token",
        "refresh token's hash",
        "id token",
        "account's unknown field",
        "tenant profile",
        "unclassifiable",
        "text for an entity",
        "unknown section",
        "scalar section",
    ]
    .map(Planted::new)
    .into();
    let secret = |label: &str| {
        planted.iter().find(|planted| format!("{planted:?}").contains(&format!("({label})"))).expect("planted").text()
    };
    let token = json!({ "home_account_id": "h.t", "environment": "login.windows.net", "client_id": "c", "realm": "t", "target": "s",
        "cached_at": "1800000000", "expires_on": "1800003600" });
    let with = |mut entity: serde_json::Value, more: &[(&str, serde_json::Value)]| {
        for (name, value) in more {
            entity[name] = value.clone();
        }
        entity
    };
    let document = json!({
        "AccessToken": {
            "plain": with(token.clone(), &[
                ("secret", secret("access token").into()),
                ("new", secret("unknown field").into()),
                ("nested", json!({ "list": [secret("nested field")] })),
                ("persisted_cache_parameters", json!({ "p": secret("cache parameter") })),
            ]),
            "obo": with(token.clone(), &[("secret", "x".into()), ("user_assertion_hash", secret("assertion hash").into())]),
            "node": with(token.clone(), &[("secret", "x".into()), ("userAssertionHash", secret("session key").into())]),
            "extended": with(token.clone(), &[("secret", "x".into()), ("ext", json!({ "claims": secret("component") }))]),
            "unclassifiable": { "secret": { "secret": secret("unclassifiable") } },
            "text": secret("text for an entity"),
        },
        "RefreshToken": { "r": with(token.clone(), &[
            ("secret", secret("refresh token").into()),
            ("user_assertion_hash", secret("refresh token's hash").into()),
        ]) },
        "IdToken": { "i": with(token, &[("secret", secret("id token").into())]) },
        "Account": { "a": {
            "home_account_id": "h.t", "environment": "login.windows.net", "realm": "t", "username": "user@name",
            "unknown": secret("account's unknown field"),
            "tenantProfiles": [json!({ "tenantId": "t", "other": secret("tenant profile") }).to_string()],
        } },
        "Foreign": { "deep": [{ "secret": secret("unknown section") }] },
        "Scalar": secret("scalar section"),
    });
    Case { document: document.to_string(), planted }
}

impl Case {
    fn assert_silent(&self, what: &str, ran: &Ran) {
        for planted in &self.planted {
            let shown = format!("{what}\n{}\n{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
            planted.assert_absent_from(shown);
        }
    }
}

#[test]
fn nothing_that_shows_a_cache_shows_its_secrets() {
    let case = case();
    let sandbox = Sandbox::new();
    let mut import = sandbox.command(&["import", "-", "--create-key", "-vvv"]);
    case.assert_silent("import", &Ran::of(import.write_stdin(case.document.as_str())));
    let export = sandbox.run(&["export"]).succeeds();
    for planted in &case.planted {
        assert!(planted.found_in(&export.stdout).is_some(), "{planted:?} is in the cache");
    }
    let mut names = Vec::new();
    for format in ["table", "json", "tsv"] {
        let list = sandbox.run(&["list", "-o", format, "-vvv"]);
        assert_eq!(list.code, Some(0));
        case.assert_silent("list", &list);
        if format == "tsv" {
            names = list.text().lines().map(|row| row.split('\t').nth(1).expect("an id").to_owned()).collect();
        }
    }
    assert_eq!(names.len(), 11, "every entry is listed");
    for name in &names {
        for format in ["table", "json", "tsv"] {
            let show = sandbox.run(&["show", name, "-o", format, "-vvv"]);
            assert_eq!(show.code, Some(0));
            case.assert_silent("show", &show);
        }
    }
    for arguments in [
        &["get-token", "--client-id", "c", "--scope", "other", "--account", "h.t"][..],
        &["get-token", "--client-id", "c", "--scope", "s"],
        &["show", "nothing"],
        &["remove", "--expired"],
        &["remove", "--client-id", "c", "-o", "table"],
        &["remove", "--account", "user@name"],
    ] {
        let mut arguments = arguments.to_vec();
        arguments.push("-vvv");
        case.assert_silent(&arguments.join(" "), &sandbox.run(&arguments));
    }
}

#[test]
fn no_error_shows_what_it_is_about() {
    let case = case();
    let sandbox = Sandbox::new();
    let plain = |arguments: &[&str], input: &[u8]| {
        let mut command = sandbox.bare(arguments);
        Ran::of(command.args(["--plaintext", "-vvv"]).write_stdin(input))
    };
    // A document that breaks off, or breaks, at many places.
    let document = case.document.as_bytes();
    for cut in (1..document.len()).step_by(97) {
        let mut broken = document.to_vec();
        broken[cut] = b'\x01';
        for input in [&document[..cut], &broken] {
            case.assert_silent("a damaged document", &plain(&["import", "-"], input));
        }
    }
    for input in [format!("[{}]", case.document), format!("\"{}\"", case.planted[0].text())] {
        case.assert_silent("no document", &plain(&["import", "-"], input.as_bytes()));
    }
    // A store that is damaged, or not what it is said to be.
    for (content, option) in [(&document[..document.len() / 2], "--plaintext"), (document, "--passphrase-file")] {
        fs::write(sandbox.store(), content).expect("written");
        for arguments in [&["list"][..], &["export"], &["remove", "--expired"]] {
            let mut command = sandbox.bare(arguments);
            command.args(["-vvv", option]);
            if option != "--plaintext" {
                private(&sandbox, case.planted[0].text());
                command.arg(sandbox.path("secret"));
            }
            let ran = Ran::of(&mut command);
            let ran = Ran { stdout: if arguments[0] == "export" { Vec::new() } else { ran.stdout }, ..ran };
            case.assert_silent("a store that is not sound", &ran);
        }
    }
}

#[test]
fn keys_and_passphrases_stay_where_they_are() {
    let planted = Planted::new("passphrase");
    let sandbox = Sandbox::new();
    private(&sandbox, planted.text());
    let silent =
        |ran: &Ran| planted.assert_absent_from(format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), ran.stderr));
    let mut import = sandbox.bare(&["import", "-", "-vvv"]);
    let imported = Ran::of(import.env("TOKENCACHE_PASSPHRASE", planted.text()).write_stdin("{\"Foreign\":1}"));
    assert_eq!(imported.code, Some(0));
    silent(&imported);
    assert_eq!(planted.found_in(sandbox.stored()), None);
    for option in ["--key-file", "--passphrase-file"] {
        silent(&Ran::of(sandbox.bare(&["list", "-vvv"]).arg(option).arg(sandbox.path("secret"))));
    }
    silent(&Ran::of(sandbox.bare(&["list", "--plaintext", "-vvv"]).env("TOKENCACHE_PASSPHRASE", planted.text())));
    silent(&Ran::of(sandbox.bare(&["list", "--help"]).env("TOKENCACHE_PASSPHRASE", planted.text())));
}

/// A private file `secret` with this content.
fn private(sandbox: &Sandbox, content: &str) {
    let path = sandbox.path("secret");
    fs::write(&path, content).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    }
}
