//! How a store is protected: exactly one way is named, and nothing is written that was not opened first.

use std::fs;

use assert_cmd::Command;

use crate::sandbox::{Ran, Sandbox, document};

const VARIABLE: &str = "TOKENCACHE_PASSPHRASE";

fn with_option(sandbox: &Sandbox, arguments: &[&str], option: &str, file: &str) -> Command {
    let mut command = sandbox.bare(arguments);
    command.arg(option).arg(sandbox.path(file)).args(["--now", "1800000000"]);
    command
}

/// Commands that read and commands that write.
const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["export"],
    &["show", "abcd"],
    &["get-token", "--client-id", "c", "--scope", "s"],
    &["remove", "--expired"],
    &["import", "-"],
];

#[test]
fn without_a_protection_the_choice_is_told() {
    let sandbox = Sandbox::of("net-user-single");
    let stored = sandbox.stored();
    for arguments in COMMANDS {
        let ran = Ran::of(sandbox.bare(arguments).env(VARIABLE, "").write_stdin("{}")).fails(2, "protected");
        for choice in ["--key-file", "--passphrase-file", VARIABLE, "--plaintext"] {
            assert!(ran.stderr.contains(choice), "{choice}: {}", ran.stderr);
        }
    }
    assert_eq!(sandbox.stored(), stored);
}

#[test]
fn only_one_protection_may_be_given() {
    let sandbox = Sandbox::of("net-user-single");
    fs::write(sandbox.path("words"), "words").expect("written");
    let two = || with_option(&sandbox, &["list"], "--key-file", "key");
    Ran::of(two().arg("--plaintext")).fails(2, "cannot be used with");
    Ran::of(two().arg("--passphrase-file").arg(sandbox.path("words"))).fails(2, "cannot be used with");
    Ran::of(two().env(VARIABLE, "words")).fails(2, VARIABLE);
    Ran::of(sandbox.bare(&["list", "--plaintext"]).env(VARIABLE, "words")).fails(2, VARIABLE);
    let mut create = sandbox.command(&["import", "-", "--create-key"]);
    Ran::of(create.env(VARIABLE, "words").write_stdin("{}")).fails(2, VARIABLE);
    Ran::of(two().env(VARIABLE, "")).succeeds();
}

#[test]
fn a_key_file_is_created_only_when_asked_for_and_only_for_a_new_store() {
    let sandbox = Sandbox::new();
    let import = |more: &[&str]| {
        let mut arguments = vec!["import", "-"];
        arguments.extend(more);
        Ran::of(sandbox.command(&arguments).write_stdin(document("net-user-single")))
    };
    import(&[]).fails(1, "--create-key");
    assert!(!sandbox.path("key").exists() && !sandbox.store().exists());
    import(&["--create-key"]).succeeds();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for file in ["key", "cache"] {
            let mode = sandbox.path(file).metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
    // A key that is there is used.
    let key = fs::read(sandbox.path("key")).expect("there");
    assert_eq!(import(&["--create-key"]).json()["unchanged"], 5);
    assert_eq!(fs::read(sandbox.path("key")).expect("there"), key);

    let stored = sandbox.stored();
    fs::rename(sandbox.path("key"), sandbox.path("moved")).expect("moved");
    import(&["--create-key"]).fails(1, "which a new key would not open");
    sandbox.run(&["list"]).fails(1, "there is no key file");
    assert!(!sandbox.path("key").exists());
    assert_eq!(sandbox.stored(), stored);
}

#[test]
fn a_passphrase_comes_from_a_file_or_the_environment() {
    let sandbox = Sandbox::new();
    private(&sandbox, "words", "correct horse battery staple\n");
    private(&sandbox, "other", "incorrect horse");
    private(&sandbox, "empty", "\n");
    let mut import = with_option(&sandbox, &["import", "-"], "--passphrase-file", "words");
    Ran::of(import.write_stdin(document("net-user-single"))).succeeds();
    let stored = sandbox.stored();
    let mut list = sandbox.bare(&["list"]);
    let listed = Ran::of(list.env(VARIABLE, "correct horse battery staple")).json();
    assert_eq!(listed["access_tokens"].as_array().map(Vec::len), Some(1));
    let wrong = Ran::of(&mut with_option(&sandbox, &["list"], "--passphrase-file", "other"));
    wrong.fails(1, "another passphrase");
    Ran::of(&mut with_option(&sandbox, &["list"], "--passphrase-file", "empty")).fails(1, "empty");
    Ran::of(&mut with_option(&sandbox, &["list"], "--passphrase-file", "missing")).fails(1, "passphrase file");
    assert_eq!(sandbox.stored(), stored);
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let sandbox = Sandbox::of("net-user-single");
    fs::set_permissions(sandbox.path("key"), fs::Permissions::from_mode(0o644)).expect("set");
    sandbox.run(&["list"]).fails(1, "chmod 600");
}

/// Whatever cannot be opened is an error of exit code 1 and stays byte for byte as it was, for writers too.
#[test]
fn what_does_not_open_is_not_touched() {
    let sandbox = Sandbox::of("net-user-single");
    let sealed = sandbox.stored();
    let plaintext = document("net-user-single");
    let mut damaged = sealed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    private(&sandbox, "wrong", "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01");

    for (content, option, file, saying) in [
        (&sealed, "--key-file", "wrong", "another key"),
        (&damaged, "--key-file", "key", "damaged"),
        (&sealed[..sealed.len() - 1].to_vec(), "--key-file", "key", "damaged"),
        (&sealed[..5].to_vec(), "--key-file", "key", ""),
        (&plaintext, "--key-file", "key", "plaintext"),
    ] {
        fs::write(sandbox.store(), content).expect("written");
        for arguments in COMMANDS {
            let mut command = with_option(&sandbox, arguments, option, file);
            Ran::of(command.write_stdin(document("net-users-multi-tenant"))).fails(1, saying);
            assert_eq!(&sandbox.stored(), content, "{arguments:?}");
        }
    }

    // An encrypted file that is said to be plaintext is not taken for a damaged document.
    fs::write(sandbox.store(), &sealed).expect("written");
    for arguments in COMMANDS {
        let mut command = sandbox.bare(arguments);
        command.args(["--plaintext", "--now", "1800000000"]).write_stdin(document("net-users-multi-tenant"));
        Ran::of(&mut command).fails(1, "");
        assert_eq!(sandbox.stored(), sealed, "{arguments:?}");
    }
    let list = sandbox.list();
    assert_eq!(list["access_tokens"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_plaintext_store_is_a_document() {
    let sandbox = Sandbox::new();
    let plain = |arguments: &[&str]| {
        let mut command = sandbox.bare(arguments);
        command.args(["--plaintext", "--now", "1800000000"]);
        command
    };
    Ran::of(plain(&["import", "-"]).write_stdin(document("net-user-single"))).succeeds();
    let stored: serde_json::Value = serde_json::from_slice(&sandbox.stored()).expect("JSON");
    assert_eq!(stored["AccessToken"].as_object().map(serde_json::Map::len), Some(1));
    let exported = Ran::of(&mut plain(&["export"])).json();
    assert_eq!(exported, stored);
}

fn private(sandbox: &Sandbox, name: &str, content: &str) {
    let path = sandbox.path(name);
    fs::write(&path, content).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    }
}
