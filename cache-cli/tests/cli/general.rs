//! What holds for every command: usage errors, help, completions, a reader that goes away, the clock.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use cache_testkit::fixtures::NOW;

use crate::sandbox::{APP, Ran, Sandbox, tokencache};

#[test]
fn arguments_that_do_not_fit_exit_2() {
    let sandbox = Sandbox::of("net-user-single");
    for (arguments, saying) in [
        (&["list", "--no-such-option"][..], "--no-such-option"),
        (&["list", "-o", "yaml"], "yaml"),
        (&["list", "-o", "token"], "get-token"),
        (&["get-token", "--client-id", APP, "--scope", "x", "-o", "tsv"], "-o token"),
        (&["get-token", "--client-id", APP, "--scope", " "], "no scope"),
        (&["get-token", "--scope", "x"], "--client-id"),
        (&["remove"], "--expired"),
        (&["remove", "--expired", "--account", "a"], "cannot be used with"),
        (&["show"], "<ENTRY>"),
        (&["import"], "<DOC>"),
        (&["import", "-", "--plaintext"], "cannot be used with"),
    ] {
        sandbox.run(arguments).fails(2, saying);
    }
    Ran::of(tokencache().arg("list")).fails(2, "--store");
    Ran::of(tokencache().args(["list", "--plaintext", "--store", "/tmp/cache"])).fails(2, "file:PATH");
    // An argument may hold a password.
    for store in ["redis://app:pa55@host", "rediss://:pa55@host", "redsi://app:pa55@host", "redis+cluster://h,:pa55@h"]
    {
        let refused =
            Ran::of(tokencache().args(["list", "--plaintext", "--store", store])).fails(2, "'--store <STORE>'");
        assert!(!refused.stderr.contains("pa55"), "{store}: {}", refused.stderr);
    }
    Ran::of(tokencache().args(["list", "--now", "tomorrow"])).fails(2, "tomorrow");
    Ran::of(tokencache().args(["demo", "--processes", "0"])).fails(2, "--processes");
}

#[test]
fn without_a_command_the_help_comes_with_exit_2() {
    let ran = Ran::of(&mut tokencache());
    assert_eq!((ran.code, ran.text()), (Some(2), ""));
    assert!(ran.stderr.contains("Usage: tokencache"), "{}", ran.stderr);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = Ran::of(tokencache().arg("--help")).succeeds();
    for word in [
        "import",
        "export",
        "list",
        "show",
        "get-token",
        "remove",
        "copy",
        "verify",
        "recover",
        "demo",
        "completions",
        "Exit codes",
    ] {
        assert!(help.text().contains(word), "{word}");
    }
    assert!(!help.text().contains("demo-worker") && !help.text().contains("demo-verify"));
    let version = Ran::of(tokencache().arg("--version")).succeeds();
    assert_eq!(version.text(), format!("tokencache {}\n", env!("CARGO_PKG_VERSION")));
    Ran::of(tokencache().args(["get-token", "--help"])).succeeds();
}

#[test]
fn every_shell_has_a_completion() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Ran::of(tokencache().args(["completions", shell])).succeeds();
        for word in [
            "get-token",
            "--passphrase-file",
            "--show-secrets",
            "--to-passphrase-file",
            "--redis-password-file",
            "recover",
        ] {
            // fish writes options without their dashes.
            assert!(ran.text().contains(word.trim_start_matches('-')), "{shell} {word}");
        }
        assert!(!ran.text().contains("demo-worker"), "{shell}");
    }
    Ran::of(tokencache().args(["completions", "tcsh"])).fails(2, "tcsh");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut document = String::from(r#"{"AccessToken":{"#);
    for n in 0..2000 {
        let comma = if n == 0 { "" } else { "," };
        let times = format!(r#""cached_at":"{0}","expires_on":"{0}""#, NOW.0);
        let _ = write!(
            document,
            r#"{comma}"k{n}":{{"environment":"e","client_id":"c","realm":"r","target":"s{n}","secret":"x",{times}}}"#
        );
    }
    document.push_str("}}");
    let sandbox = Sandbox::holding(document.as_bytes());
    for format in ["table", "json", "tsv"] {
        let command = sandbox.command(&["list", "-o", format]);
        let mut list = std::process::Command::new(command.get_program());
        list.args(command.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut list = list.spawn().expect("it starts");
        let mut first = String::new();
        let mut stdout = BufReader::with_capacity(64, list.stdout.take().expect("a pipe"));
        stdout.read_line(&mut first).expect("a line");
        assert!(!first.is_empty());
        drop(stdout);
        let mut stderr = String::new();
        list.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        let status = list.wait().expect("it ends");
        assert_eq!((status.code(), &*stderr), (Some(0), ""), "{format}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let sandbox = Sandbox::of("net-user-single");
    let command = sandbox.command(&["list"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    let mut list = std::process::Command::new(command.get_program());
    let output = list.args(command.get_args()).stdout(full).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("writing the output"), "{stderr}");
}

#[test]
fn now_drives_expiry() {
    let sandbox = Sandbox::of("net-user-single");
    let expires_on = sandbox.list()["access_tokens"][0]["expires_on"].as_i64().expect("a time");
    for (now, expired) in [(expires_on, false), (expires_on + 1, true)] {
        let list = Ran::of(&mut sandbox.command_at(now, &["list"])).json();
        assert_eq!((&list["now"], &list["access_tokens"][0]["expired"]), (&now.into(), &expired.into()));
    }
    let table = Ran::of(&mut sandbox.command_at(expires_on - 3599, &["list", "-o", "table"])).succeeds();
    assert!(table.text().contains("in 59 min (2027-01-15T"), "{}", table.text());
    let table = Ran::of(&mut sandbox.command_at(expires_on + 7200, &["list", "-o", "table"])).succeeds();
    assert!(table.text().contains("expired 2 h ago (2027-01-15T"), "{}", table.text());
}

#[test]
fn now_drives_the_merge() {
    let token = |secret: &str, cached_at: i64| {
        let times = format!(r#""cached_at":"{cached_at}","expires_on":"{}""#, cached_at + 3600);
        format!(
            r#"{{"AccessToken":{{"k":{{"environment":"e","client_id":"c","realm":"r","target":"s","secret":"{secret}",{times}}}}}}}"#
        )
    };
    let sandbox = Sandbox::new();
    let import = |now: i64, document: String| {
        let mut command = sandbox.command_at(now, &["import", "-", "--create-key"]);
        Ran::of(command.write_stdin(document)).json()
    };
    assert_eq!(import(NOW.0 + 1000, token("late", NOW.0 + 1000))["inserted"], 1);
    // By a clock past both, the token in the store is the newer one.
    let skipped = import(NOW.0 + 2000, token("early", NOW.0 + 100));
    assert_eq!((&skipped["skipped"], &skipped["skipped_entries"][0]["reason"]), (&1.into(), &"newer_present".into()));
    // By a clock before both, both count as received now, and the last writer wins.
    assert_eq!(import(NOW.0 + 50, token("early", NOW.0 + 100))["updated"], 1);
}

/// The clock of a machine decides where nobody names another.
#[test]
fn without_now_the_computers_clock_counts() {
    let sandbox = Sandbox::of("net-user-single");
    let list = Ran::of(sandbox.bare(&["list"]).arg("--key-file").arg(sandbox.path("key"))).json();
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let shown = list["now"].as_u64().expect("a time");
    assert!((real - 600..=real).contains(&shown), "{shown} {real}");
}
