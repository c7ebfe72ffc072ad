//! The caches of other products: listed, read, and written only with consent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::sandbox::{ALICE, Ran, column, document, tokencache};

/// A home folder with caches in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir_all(home.path(".local/share")).expect("made");
        home
    }

    /// A home of one who is signed in with Azure CLI.
    fn with_azure_cli() -> Self {
        let home = Self::new();
        home.put(AZURE_CLI, &document("py-user-single"));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, content).expect("written");
        set_mode(&path, 0o600);
        // Older than what another program may still be writing.
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(7200)).expect("set");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tokencache();
        command.args(arguments).env("HOME", self.0.path()).current_dir(self.0.path());
        for variable in ["AZURE_CONFIG_DIR", "XDG_DATA_HOME"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// What `stores` says of the cache of a preset.
    fn store(&self, preset: &str) -> Value {
        row(&self.run(&["stores"]).json(), preset)
    }
}

const AZURE_CLI: &str = ".azure/msal_token_cache.json";
const AZURE_IDENTITY: &str = ".IdentityService/msal.cache.nocae";
const GCM: &str = ".local/.IdentityService/msal.cache";

/// The row of a preset.
fn row(stores: &Value, preset: &str) -> Value {
    let rows = stores["stores"].as_array().expect("a list");
    let is_named = |row: &&Value| row["presets"].as_array().is_some_and(|names| names.contains(&preset.into()));
    rows.iter().find(is_named).unwrap_or_else(|| panic!("{preset} in {stores}")).clone()
}

/// The warnings of a row, as one text.
fn warnings(row: &Value) -> String {
    row["warnings"].as_array().expect("a list").iter().map(Value::to_string).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
}

/// A user's cache with an app token in it that MSAL Python wrote.
fn mixture() -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&document("net-user-single")).expect("JSON");
    document["AccessToken"]["app"] = serde_json::json!({ "home_account_id": null, "client_id": "c", "secret": "x" });
    document.to_string().into_bytes()
}

#[test]
fn the_cache_of_azure_cli_is_read_by_name() {
    let home = Home::with_azure_cli();
    let store = ["--store", "preset:azure-cli"];
    let listed = home.run(&[&["list"], &store[..]].concat()).json();
    assert_eq!(column(&listed["accounts"], "home_account_id"), [ALICE]);
    // A passphrase for stores of one's own is no hindrance; `--plaintext` says what is so anyway.
    Ran::of(home.command(&["list", "--plaintext"]).args(store).env("TOKENCACHE_PASSPHRASE", "words")).succeeds();
    let exported = home.run(&[&["export"], &store[..]].concat()).succeeds();
    assert!(!exported.stdout.is_empty());

    let other = Home::new();
    fs::rename(home.path(".azure"), other.path("moved")).expect("moved");
    let listed = Ran::of(other.command(&["list"]).args(store).env("AZURE_CONFIG_DIR", other.path("moved"))).json();
    assert_eq!(column(&listed["accounts"], "home_account_id"), [ALICE]);
}

#[test]
fn reading_a_preset_changes_nothing() {
    let home = Home::with_azure_cli();
    set_mode(&home.path(AZURE_CLI), 0o644);
    let before = fs::metadata(home.path(AZURE_CLI)).expect("there");
    let listed = home.run(&["list", "--store", "preset:azure-cli"]);
    assert_eq!(listed.code, Some(0));
    assert!(listed.stderr.contains("warning: others can open this file"), "{}", listed.stderr);
    home.run(&["stores"]).succeeds();
    let after = fs::metadata(home.path(AZURE_CLI)).expect("there");
    assert_eq!(after.permissions(), before.permissions());
    assert_eq!(after.modified().expect("a time"), before.modified().expect("a time"));
    let names: Vec<_> = fs::read_dir(home.path(".azure")).expect("listed").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_preset_is_written_only_with_consent() {
    let home = Home::with_azure_cli();
    let before = fs::read(home.path(AZURE_CLI)).expect("read");
    let remove = ["remove", "--account", ALICE, "--store", "preset:azure-cli"];
    home.run(&remove).fails(2, "--write-shared");
    let import = ["import", "-", "--store", "preset:azure-cli"];
    Ran::of(home.command(&import).write_stdin(document("net-user-single"))).fails(2, "--write-shared");
    assert_eq!(fs::read(home.path(AZURE_CLI)).expect("read"), before);

    Ran::of(home.command(&import).arg("--write-shared").write_stdin(document("net-user-single"))).json();
    let removed = home.run(&[&remove[..], &["--write-shared"]].concat()).json();
    assert_ne!(removed["removed"], Value::Array(Vec::new()));
    assert_ne!(fs::read(home.path(AZURE_CLI)).expect("read"), before);
}

#[test]
fn a_preset_takes_no_key() {
    let home = Home::with_azure_cli();
    for option in ["--key-file", "--passphrase-file"] {
        home.run(&["list", "--store", "preset:azure-cli", option, "key"]).fails(2, "leave --key-file");
    }
    let import = ["import", "-", "--store", "preset:azure-cli", "--key-file", "key", "--create-key", "--write-shared"];
    Ran::of(home.command(&import).write_stdin("{}")).fails(2, "leave --key-file");
    assert!(!home.path("key").exists());
    home.run(&["list", "--store", "preset:no-such"]).fails(2, "azure-cli, azure-cli-encrypted");
}

#[test]
fn an_export_does_not_replace_the_cache_of_a_preset() {
    let home = Home::with_azure_cli();
    let target = home.path(AZURE_CLI);
    let target = target.to_str().expect("text");
    home.run(&["export", "--store", "preset:azure-cli", "--force", "--to", target]).fails(1, "is the store itself");
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;

    #[test]
    fn a_preset_in_a_keyring_is_named() {
        let home = Home::new();
        home.run(&["list", "--store", "preset:azure-cli-encrypted"]).fails(1, "Secret Service");
    }

    #[test]
    fn each_cache_is_told_for_what_it_is() {
        let home = Home::with_azure_cli();
        home.put(AZURE_IDENTITY, b"");
        home.put(".IdentityService/msal.cache.cae", b"eyJhbGciOiJkaXIifQ..AAAA.BBBB.CCCC");
        home.put(".azure/msal_token_cache.bin", b"");
        home.put(GCM, b"{}");
        let stores = home.run(&["stores"]).json();

        let cli = row(&stores, "azure-cli");
        assert_eq!(
            (&cli["content"], &cli["exists"], &cli["mode"]),
            (&"plaintext".into(), &true.into(), &"0600".into())
        );
        let path = home.path(AZURE_CLI).to_string_lossy().into_owned();
        assert_eq!((&cli["accounts"], &cli["path"]), (&1.into(), &path.into()));
        assert!(cli["entries"].as_u64().expect("a count") > 1);
        assert_eq!(cli["presets"], serde_json::json!(["azure-cli", "azure-cli-plaintext"]), "one file is listed once");
        assert_eq!(cli["libraries"], serde_json::json!([{ "library": "MSAL Python", "wrappers": ["plaintext file"] }]));
        assert_eq!(warnings(&cli), "");

        for (preset, content, warned) in [
            ("azure-cli-encrypted", "marker", false),
            ("azure-identity", "empty", true),
            ("azure-identity-cae", "protected", false),
            ("git-credential-manager", "empty", true),
            ("developer-tools", "empty", true),
            ("azure-powershell", "nothing", false),
        ] {
            let row = row(&stores, preset);
            assert_eq!((&row["content"], &row["accounts"]), (&content.into(), &Value::Null), "{preset}");
            assert_eq!(warnings(&row).contains("marker"), warned, "{preset} {row}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_cache_is_warned_about() {
        let home = Home::new();
        home.put(GCM, &mixture());
        set_mode(&home.path(GCM), 0o644);
        let gcm = home.store("git-credential-manager");
        assert_eq!((&gcm["content"], &gcm["mode"]), (&"plaintext".into(), &"0644".into()));
        assert!(warnings(&gcm).contains("others can open this file"), "{gcm}");
        assert!(warnings(&gcm).contains("tokens of applications and of users in one document"), "{gcm}");

        // The same where no .NET takes part is no matter.
        home.put(AZURE_CLI, &mixture());
        assert_eq!(warnings(&home.store("azure-cli")), "");

        let whole = document("py-user-single");
        home.put(AZURE_CLI, &whole[..whole.len() / 2]);
        let torn = home.store("azure-cli");
        assert!(warnings(&torn).contains("damaged"), "{torn}");

        fs::remove_file(home.path(AZURE_CLI)).expect("removed");
        std::os::unix::fs::symlink(home.path(GCM), home.path(AZURE_CLI)).expect("linked");
        let linked = home.store("azure-cli");
        assert_eq!((&linked["content"], &linked["bytes"]), (&"unreadable".into(), &Value::Null));
        assert!(warnings(&linked).contains("symbolic link"), "{linked}");
    }

    #[test]
    fn the_caches_of_dotnet_are_found_where_it_keeps_them() {
        let home = Home::new();
        home.put("data/.IdentityService/msal.cache.nocae", &document("net-user-single"));
        home.put(".IdentityService/msal.cache.nocae", b"{}");
        let stores = |home: &Home, data: &str| {
            let ran = Ran::of(home.command(&["stores"]).env("XDG_DATA_HOME", home.path(data))).json();
            row(&ran, "azure-identity-dotnet")["accounts"].clone()
        };
        assert_eq!(stores(&home, "data"), 1);
        assert_eq!(stores(&home, "none"), Value::Null, "the working directory, where there are no entries");
        home.put(".IdentityService/msal.cache.nocae", &document("net-user-single"));
        assert_eq!(stores(&home, "none"), 1);
    }

    #[test]
    fn a_table_shows_what_is_here_and_what_is_not() {
        let home = Home::with_azure_cli();
        home.put(GCM, &mixture());
        let table = home.run(&["stores", "-o", "table"]).succeeds();
        for words in ["Caches (2)", "azure-cli azure-cli-plaintext", "0600", "2 h ago", "Warnings (1)", "Not here ("] {
            assert!(table.text().contains(words), "{words}: {}", table.text());
        }
        let rows = home.run(&["stores", "-o", "tsv"]).succeeds();
        let fields: Vec<usize> = rows.text().lines().map(|line| line.split('\t').count()).collect();
        assert_eq!(fields, vec![11; home.run(&["stores"]).json()["stores"].as_array().expect("a list").len()]);
        let none = Home::new().run(&["stores", "-o", "table"]).succeeds();
        assert!(none.text().starts_with("None of these products"), "{}", none.text());
    }

    #[test]
    fn no_secret_and_no_user_name_is_shown() {
        let home = Home::with_azure_cli();
        home.put(GCM, &mixture());
        let listed = home.run(&["list", "--store", "preset:azure-cli"]).json();
        let username = listed["accounts"][0]["username"].as_str().expect("a name").to_owned();
        for format in ["json", "table", "tsv"] {
            let text = home.run(&["stores", "-o", format, "-vvv"]);
            for word in [&*username, ALICE, "secret"] {
                assert!(!text.text().contains(word) && !text.stderr.contains(word), "{format} {word}");
            }
        }
    }

    #[test]
    fn a_mixture_is_told_by_every_command_that_reads_it() {
        let home = Home::new();
        home.put(GCM, &mixture());
        let listed = home.run(&["list", "--store", "preset:git-credential-manager"]);
        assert_eq!(listed.code, Some(0));
        assert!(listed.stderr.contains("warning: MSAL.NET shares this cache"), "{}", listed.stderr);
    }
}
