//! `--store sqlite:PATH`: every command, what shows without the key, damage.

use std::fs;
use std::sync::Arc;

use assert_cmd::Command;
use cache_core::{CacheStore as _, Change, Changes, PartitionKey, UnixMillis};
use cache_crypto::{Envelope, Key};
use cache_sqlite::SqliteStore;
use cache_testkit::entries::{access_token, account};
use cache_testkit::fixtures::{NOW, clock};
use cache_testkit::secrets::Planted;
use serde_json::{Value, json};

use crate::sandbox::{ALICE, APP, BOB, Ran, Sandbox, column, document, tokencache};

/// A folder with a database, its key file, and the command over them.
pub(crate) struct Database(Sandbox);

impl Database {
    /// A database that is not there yet.
    pub(crate) fn new() -> Self {
        Self(Sandbox::new())
    }

    /// An encrypted database whose shared partition holds a document.
    pub(crate) fn holding(document: &[u8]) -> Self {
        let database = Self::new();
        Ran::of(database.command(&["import", "-", "--create-key"]).write_stdin(document)).succeeds();
        database
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path(name)
    }

    /// The address of the database.
    pub(crate) fn address(&self) -> String {
        format!("sqlite:{}", self.path("tokens.db").display())
    }

    /// The command over the database, without protection, at the fixtures' clock.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = tokencache();
        command.args(arguments).args(["--store", &self.address(), "--now", &NOW.0.to_string()]);
        command
    }

    /// The same with the key file.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--key-file").arg(self.path("key"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// The database itself.
    pub(crate) fn open(&self) -> SqliteStore {
        let key = Key::from_file(self.path("key")).expect("a key");
        let store = SqliteStore::at(self.path("tokens.db")).clock(Arc::new(clock()));
        store.protector(Arc::new(Envelope::with_key(key))).open().expect("it opens")
    }

    /// Puts one access token and its account into a partition.
    pub(crate) fn put(&self, partition: &PartitionKey, user: &str) {
        let at = UnixMillis(NOW.0 * 1000);
        let token = access_token(&format!("{user}-token")).of(user, "login.windows.net").at(at).entry();
        let owner = account(user).of(user, "login.windows.net").entry();
        let changes = Changes::new(vec![Change::put(token), Change::put(owner)]);
        pollster::block_on(self.open().commit(partition, &changes)).expect("committed");
    }
}

/// The shared partition, two users', and one whose key is a capability.
pub(crate) fn with_partitions(session_key: &str) -> Database {
    let database = Database::holding(&document("net-user-single"));
    database.put(&PartitionKey::user("first.tenant"), "first.tenant");
    database.put(&PartitionKey::user("second.tenant"), "second.tenant");
    database.put(&PartitionKey::long_running(session_key), "third.tenant");
    database
}

#[test]
fn every_command_works_on_a_database() {
    let database = Database::new();
    let mut import = database.command(&["import", "-", "--create-key"]);
    let imported = Ran::of(import.write_stdin(document("net-users-multi-tenant"))).json();
    assert_eq!((&imported["inserted"], &imported["skipped"]), (&12.into(), &0.into()));
    #[cfg(unix)]
    for file in ["tokens.db", "key"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(database.path(file).metadata().expect("there").permissions().mode() & 0o777, 0o600, "{file}");
    }
    let list = database.run(&["list"]).json();
    assert_eq!(column(&list["accounts"], "home_account_id"), [ALICE, BOB]);
    assert_eq!(list, Sandbox::of("net-users-multi-tenant").list(), "as of a file");

    let id = list["access_tokens"][0]["id"].as_str().expect("an id");
    assert_eq!(database.run(&["show", id]).json()["fields"]["secret"], "[redacted]");
    let asked = ["get-token", "--client-id", APP, "--scope", "Calendars.Read", "--account", ALICE, "-o", "token"];
    let token = database.run(&asked).succeeds();
    let shown = database.run(&["show", id, "--show-secrets"]).json();
    assert_eq!(token.text().trim_end(), shown["fields"]["secret"]);

    let exported = database.run(&["export"]).json();
    assert_eq!(exported, Sandbox::of("net-users-multi-tenant").run(&["export"]).json());
    let database_file = database.path("tokens.db");
    for part in ["", "-wal", "-shm"] {
        let mut file = database_file.clone().into_os_string();
        file.push(part);
        if !std::path::Path::new(&file).exists() {
            fs::write(&file, "").expect("written");
        }
        let export = database.run(&["export", "--force", "--to", file.to_str().expect("text")]);
        assert_eq!(export.code, Some(1), "{part}: {}", export.stderr);
        assert!(export.stderr.contains("is the store itself"), "{}", export.stderr);
        if !part.is_empty() {
            // SQLite removes it when the last process closes the database.
            let _ = fs::remove_file(&file);
        }
    }

    let removed = database.run(&["remove", "--account", ALICE]).json();
    assert_ne!(removed["removed"], json!([]));
    assert_eq!(column(&database.run(&["list"]).json()["accounts"], "home_account_id"), [BOB]);
    let verified = database.run(&["verify"]).json();
    assert_eq!((&verified["sound"], &verified["unreadable"]), (&true.into(), &0.into()));
}

#[test]
fn a_database_has_exactly_one_protection() {
    let database = Database::holding(&document("net-user-single"));
    for arguments in
        [&["export"][..], &["show", "abcd"], &["remove", "--expired"], &["import", "-"], &["verify"], &["recover"]]
    {
        Ran::of(database.bare(arguments).write_stdin("{}")).fails(2, "--key-file");
        Ran::of(database.bare(arguments).arg("--plaintext").write_stdin("{}")).fails(1, "the store is protected");
    }
    Ran::of(database.command(&["list"]).arg("--plaintext")).fails(2, "cannot be used with");
    fs::rename(database.path("key"), database.path("moved")).expect("moved");
    let mut import = database.command(&["import", "-", "--create-key"]);
    Ran::of(import.write_stdin("{}")).fails(1, "which a new key would not open");
    Ran::of(tokencache().args(["list", "--store", "sqlite:"])).fails(2, "sqlite:PATH");

    let plain = Database::new();
    let mut import = plain.bare(&["import", "-", "--plaintext"]);
    Ran::of(import.write_stdin(document("net-user-single"))).succeeds();
    assert_eq!(Ran::of(&mut plain.bare(&["list", "--plaintext"])).json()["accounts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn without_the_key_a_database_shows_counts_and_expiries() {
    let database = with_partitions("session");
    let shown = Ran::of(&mut database.bare(&["list"])).json();
    assert!(shown["note"].as_str().is_some_and(|note| note.contains("names need the key")), "{shown}");
    let partitions = shown["partitions"].as_array().expect("a list");
    assert_eq!(partitions.len(), 4);
    let tokens = &partitions[0]["kinds"][0];
    let expires_on = database.run(&["list"]).json()["access_tokens"][0]["extended_expires_on"].clone();
    assert_eq!((&tokens["section"], &tokens["entries"]), (&"AccessToken".into(), &1.into()));
    assert_eq!((&tokens["expired"], &tokens["next_expires_on"]), (&0.into(), &expires_on));
    assert_eq!(partitions[0]["entries"], 5);

    let mut later = tokencache();
    later.args(["list", "--store", &database.address(), "--now", "1900000000"]);
    let later = Ran::of(&mut later).json();
    let tokens = &later["partitions"][0]["kinds"][0];
    assert_eq!((&tokens["expired"], &tokens["next_expires_on"]), (&1.into(), &Value::Null));

    let table = Ran::of(&mut database.bare(&["list", "-o", "table"])).succeeds();
    for part in ["Partition 1: 5 entries", "RefreshToken", "in 1 h", "names need the key"] {
        assert!(table.text().contains(part), "{part}: {}", table.text());
    }
    let rows = Ran::of(&mut database.bare(&["list", "-o", "tsv"])).succeeds();
    assert!(rows.text().lines().all(|row| row.split('\t').count() == 5), "{}", rows.text());
    // With the key all is there, by a passphrase of the environment too: then it is the wrong protection.
    Ran::of(database.bare(&["list"]).env("TOKENCACHE_PASSPHRASE", "words")).fails(1, "");
}

#[test]
fn without_the_key_no_name_and_no_secret_shows() {
    let planted = Planted::new("a session's key");
    let database = with_partitions(planted.text());
    let exported = database.run(&["export"]);
    let exported: Value = serde_json::from_slice(&exported.stdout).expect("JSON");
    let mut hidden = vec!["first.tenant".to_owned(), "third.tenant".to_owned(), planted.text().to_owned()];
    for section in exported.as_object().expect("an object").values().filter_map(Value::as_object) {
        for (key, entity) in section {
            hidden.push(key.clone());
            for field in ["home_account_id", "username", "secret", "client_id", "environment", "target"] {
                hidden.extend(entity[field].as_str().filter(|text| text.len() > 3).map(str::to_owned));
            }
        }
    }
    for format in ["table", "json", "tsv"] {
        let ran = Ran::of(&mut database.bare(&["list", "-vvv", "-o", format]));
        assert_eq!(ran.code, Some(0));
        for text in &hidden {
            assert!(!ran.text().contains(text.as_str()) && !ran.stderr.contains(text.as_str()), "{format} {text}");
        }
    }
    // With the key, whose the partitions are shows, but for keys that are capabilities.
    for arguments in [&["list"][..], &["list", "--all-partitions"]] {
        for format in ["table", "json", "tsv"] {
            let ran = database.run(&[arguments, &["-vvv", "-o", format]].concat());
            assert_eq!(ran.code, Some(0));
            planted.assert_absent_from(format!("{}\n{}", ran.text(), ran.stderr));
        }
    }
}

#[test]
fn other_partitions_are_counted_and_listed() {
    let database = with_partitions("session");
    let shared = database.run(&["list"]).json();
    assert_eq!(shared["other_partitions"], 3);
    assert_eq!(column(&shared["accounts"], "home_account_id"), [ALICE]);
    let table = database.run(&["list", "-o", "table"]).succeeds();
    assert!(table.text().contains("3 other partitions with --all-partitions"), "{}", table.text());

    let all = database.run(&["list", "--all-partitions"]).json();
    let partitions = all["partitions"].as_array().expect("a list");
    let mut owners: Vec<(&str, Option<&str>, usize)> = (partitions.iter())
        .map(|listed| {
            let accounts = listed["accounts"].as_array().expect("a list").len();
            (listed["partition"]["kind"].as_str().expect("a kind"), listed["partition"]["name"].as_str(), accounts)
        })
        .collect();
    owners.sort_unstable();
    assert_eq!(
        owners,
        [
            ("long-running", None, 1),
            ("shared", None, 1),
            ("user", Some("first.tenant"), 1),
            ("user", Some("second.tenant"), 1)
        ]
    );
    let table = database.run(&["list", "--all-partitions", "-o", "table"]).succeeds();
    assert!(table.text().contains("Partition: user second.tenant\n"), "{}", table.text());
    let rows = database.run(&["list", "--all-partitions", "-o", "tsv"]).succeeds();
    assert!(rows.text().lines().all(|row| row.split('\t').count() == 11), "{}", rows.text());
    let export = database.run(&["export"]);
    assert!(export.stderr.contains("3 other partitions are left out"), "{}", export.stderr);
}

#[test]
fn nothing_is_listed_of_what_is_not_there() {
    let database = Database::new();
    let list = Ran::of(&mut database.bare(&["list"]));
    assert_eq!(list.code, Some(0));
    assert!(list.stderr.contains("holds nothing"), "{}", list.stderr);
    for command in ["verify", "recover"] {
        Ran::of(&mut database.bare(&[command, "--plaintext"])).fails(4, "there is nothing at");
    }
    fs::write(database.path("tokens.db"), "some other program's file, and a long one").expect("written");
    Ran::of(&mut database.bare(&["list"])).fails(1, "no SQLite database");
    assert_eq!(fs::read_dir(database.path("")).expect("a folder").count(), 1, "nothing was made");
}

#[test]
fn damage_is_found_and_what_is_whole_is_kept() {
    let mut document: Value = serde_json::from_slice(&document("net-users-multi-tenant")).expect("JSON");
    for number in 0..500 {
        document["AppMetadata"][format!("app-{number}")] =
            json!({ "client_id": number.to_string(), "environment": "e" });
    }
    let database = Database::holding(document.to_string().as_bytes());
    let sound = database.run(&["recover"]).json();
    assert_eq!(sound["aside"], Value::Null, "a sound database stays");

    let path = database.path("tokens.db");
    let mut bytes = fs::read(&path).expect("read");
    let damaged = bytes.len() / 2..bytes.len() / 2 + 6000;
    bytes[damaged].fill(0xA5);
    fs::write(&path, &bytes).expect("written");
    let verify = database.run(&["verify"]);
    assert_eq!(verify.code, Some(1));
    assert!(verify.stderr.contains("tokencache recover"), "{}", verify.stderr);
    let found: Value = serde_json::from_slice(&verify.stdout).expect("JSON");
    assert_eq!(found["sound"], false);

    let mut recover = database.command(&["recover"]);
    let recover = Ran::of(&mut recover);
    assert_eq!(recover.code, Some(0), "{}", recover.stderr);
    let recovered: Value = serde_json::from_slice(&recover.stdout).expect("JSON");
    let aside = recovered["aside"].as_str().expect("a path");
    assert_eq!(fs::read(aside).expect("there").len(), bytes.len(), "the damaged one is kept");
    assert!(recovered["kept"].as_u64().is_some_and(|kept| kept > 100), "{recovered}");
    assert_eq!(database.run(&["verify"]).json()["entries"], recovered["kept"]);
    Ran::of(&mut Sandbox::of("net-user-single").command(&["recover"])).fails(2, "sqlite:PATH");
}

#[test]
fn a_file_is_verified_too() {
    let sandbox = Sandbox::of("net-user-single");
    let expected = json!({ "sound": true, "entries": 5, "unreadable": 0, "problems": [] });
    assert_eq!(sandbox.run(&["verify"]).json(), expected);
    let mut bytes = sandbox.stored();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(sandbox.store(), bytes).expect("written");
    sandbox.run(&["verify"]).fails(1, "damaged");
}
