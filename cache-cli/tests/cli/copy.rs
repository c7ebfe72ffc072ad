//! `copy`: everything arrives, nothing newer is lost, and a copy that was killed goes on.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use cache_core::PartitionKey;
use cache_testkit::fixtures::{Fixture, Fixtures, NOW};
use cache_testkit::secrets::Planted;
use serde_json::{Value, json};

use crate::documents::meaning;
use crate::sandbox::{Ran, Sandbox, document, tokencache};
use crate::sqlite::{Database, with_partitions};

/// A store with what protects it.
struct Place {
    address: String,
    protection: Vec<String>,
}

impl Place {
    fn keyed(kind: &str, folder: &Sandbox, name: &str) -> Self {
        let key = folder.path(&format!("{name}.key")).display().to_string();
        Self { address: format!("{kind}:{}", folder.path(name).display()), protection: vec!["key-file".into(), key] }
    }

    fn plain(kind: &str, folder: &Sandbox, name: &str) -> Self {
        Self { address: format!("{kind}:{}", folder.path(name).display()), protection: vec!["plaintext".into()] }
    }

    /// The store that a sandbox is about.
    fn of(sandbox: &Sandbox) -> Self {
        let key = sandbox.path("key").display().to_string();
        Self { address: format!("file:{}", sandbox.store().display()), protection: vec!["key-file".into(), key] }
    }

    fn of_database(database: &Database) -> Self {
        let key = database.path("key").display().to_string();
        Self { address: database.address(), protection: vec!["key-file".into(), key] }
    }

    /// The options that name this store, as those of `side`.
    fn options(&self, side: &str) -> Vec<String> {
        let (prefix, store) = if side.is_empty() { (String::new(), "store") } else { (format!("{side}-"), side) };
        let mut options = vec![format!("--{store}"), self.address.clone()];
        options.push(format!("--{prefix}{}", self.protection[0]));
        options.extend(self.protection.iter().skip(1).cloned());
        options
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = tokencache();
        Ran::of(command.args(arguments).args(self.options("")).args(["--now", &NOW.0.to_string()]))
    }

    fn import(&self, document: &[u8]) {
        let mut command = tokencache();
        command.args(["import", "-"]).args(self.options("")).args(["--now", &NOW.0.to_string()]);
        if self.protection[0] == "key-file" {
            command.arg("--create-key");
        }
        Ran::of(command.write_stdin(document)).succeeds();
    }

    fn export(&self) -> Value {
        let exported = self.run(&["export"]);
        assert_eq!(exported.code, Some(0), "{}", exported.stderr);
        serde_json::from_slice(&exported.stdout).expect("JSON")
    }
}

fn copy_command(from: &Place, to: &Place) -> Command {
    let mut command = tokencache();
    command.arg("copy").args(from.options("from")).args(to.options("to")).args(["--now", &NOW.0.to_string()]);
    command
}

fn copy(from: &Place, to: &Place) -> Ran {
    Ran::of(&mut copy_command(from, to))
}

fn counts(report: &Value) -> [u64; 6] {
    ["inserted", "updated", "present", "kept", "unreadable", "not_verified"]
        .map(|name| report[name].as_u64().expect("a count"))
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_fixture_comes_back_from_a_database_value_for_value() {
    for Fixture { name, bytes } in Fixtures::own().iter().chain(&Fixtures::beside()) {
        let folder = Sandbox::new();
        let first = Place::plain("file", &folder, "first");
        let (database, last) = (Place::keyed("sqlite", &folder, "tokens.db"), Place::plain("file", &folder, "last"));
        first.import(bytes);
        if fs::metadata(folder.path("first")).is_err() {
            copy(&first, &database).fails(4, "nothing to copy");
            continue;
        }
        let there = copy(&first, &database).json();
        let entries = there["inserted"].as_u64().expect("a count");
        assert_eq!(counts(&there), [entries, 0, 0, 0, 0, 0], "{name}");
        assert_eq!(counts(&copy(&first, &database).json()), [0, 0, entries, 0, 0, 0], "{name}: again");
        assert_eq!(counts(&copy(&database, &last).json()), [entries, 0, 0, 0, 0, 0], "{name}: back");
        assert_eq!(meaning(last.export()), meaning(first.export()), "{name}");
        assert_eq!(database.run(&["verify"]).json()["entries"], entries, "{name}");
    }
}

#[test]
fn what_the_target_has_newer_stays_and_nothing_is_removed() {
    let token = |secret: &str, cached_at: i64| {
        json!({ "environment": "e", "client_id": "c", "realm": "r", "target": "s", "secret": secret,
            "cached_at": cached_at.to_string(), "expires_on": "1800003600" })
    };
    let folder = Sandbox::new();
    let (from, to) = (Place::keyed("file", &folder, "from"), Place::keyed("sqlite", &folder, "to"));
    let source = json!({ "AccessToken": {
        "newer there": token("1", NOW.0 - 50), "older there": token("2", NOW.0 - 5), "same": token("3", NOW.0 - 5),
        "new": token("4", NOW.0 - 5),
    } });
    from.import(source.to_string().as_bytes());
    to.import(
        json!({ "AccessToken": {
            "newer there": token("5", NOW.0 - 10), "older there": token("6", NOW.0 - 500), "same": token("3", NOW.0 - 5),
            "only there": token("7", NOW.0 - 10),
        } })
        .to_string()
        .as_bytes(),
    );
    let before = fs::read(folder.path("from")).expect("read");
    let rehearsal = Ran::of(copy_command(&from, &to).arg("--dry-run")).json();
    assert_eq!(counts(&rehearsal), [1, 1, 1, 1, 0, 0]);
    let held = to.export();
    assert_eq!(held["AccessToken"]["older there"]["secret"], "6", "a dry run writes nothing");

    let report = copy(&from, &to).json();
    assert_eq!((&rehearsal["dry_run"], &report["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(counts(&report), counts(&rehearsal));
    assert_eq!(
        report["kept_entries"],
        json!([{
            "partition": { "kind": "shared", "id": report["kept_entries"][0]["partition"]["id"], "name": null },
            "entry": "AccessToken/newer there", "reason": "newer_present"
        }])
    );
    let tokens = to.export()["AccessToken"].clone();
    let secrets = ["newer there", "older there", "same", "new", "only there"].map(|key| tokens[key]["secret"].clone());
    assert_eq!(secrets, ["5", "2", "3", "4", "7"]);
    assert_eq!(fs::read(folder.path("from")).expect("read"), before, "the source is not changed");
    let table = Ran::of(copy_command(&from, &to).args(["-o", "table"])).succeeds();
    assert!(
        table
            .text()
            .starts_with("4 entries in 1 partition: 0 inserted, 0 updated, 3 present already, 1 kept, 0 unreadable\n"),
        "{}",
        table.text()
    );
    assert!(table.text().contains("AccessToken/newer there (shared)"), "{}", table.text());
    let rows = Ran::of(copy_command(&from, &to).args(["-o", "tsv"])).succeeds();
    assert!(rows.text().contains("\npresent\t3\nkept\t1\n"), "{}", rows.text());
}

#[test]
fn all_partitions_go_to_a_database_and_none_to_a_file() {
    let source = with_partitions("session");
    let (from, folder) = (Place::of_database(&source), Sandbox::new());
    let file = Place::keyed("file", &folder, "file");
    let refused = copy(&from, &file).fails(1, "has 3 partitions besides");
    assert!(refused.stderr.contains("nothing was copied"), "{}", refused.stderr);
    assert_eq!(names(&folder.path("")), [] as [String; 0], "no key either");

    let to = Place::keyed("sqlite", &folder, "to");
    let report = copy(&from, &to).json();
    assert_eq!((&report["partitions"], counts(&report)), (&4.into(), [11, 0, 0, 0, 0, 0]));
    let all = |place: &Place| {
        let mut listed =
            place.run(&["list", "--all-partitions"]).json()["partitions"].as_array().expect("a list").clone();
        listed.sort_by_key(|listed| listed["partition"]["id"].to_string());
        listed
    };
    assert_eq!(all(&to), all(&from));
}

#[test]
fn a_dry_run_makes_nothing() {
    let source = Sandbox::of("net-user-single");
    let folder = Sandbox::new();
    for kind in ["file", "sqlite"] {
        let mut dry = copy_command(&Place::of(&source), &Place::keyed(kind, &folder, "to"));
        let report = Ran::of(dry.arg("--dry-run")).json();
        assert_eq!((&report["dry_run"], counts(&report)), (&true.into(), [5, 0, 0, 0, 0, 0]));
        assert_eq!(names(&folder.path("")), [] as [String; 0], "{kind}");
    }
    let mut dry = copy_command(&Place::of(&source), &Place::plain("sqlite", &folder, "to"));
    let table = Ran::of(dry.args(["--dry-run", "-o", "table"])).succeeds();
    assert!(table.text().contains("nothing was written"), "{}", table.text());
    // The source is only looked at.
    assert_eq!(names(&source.path("")).len(), 2, "{:?}", names(&source.path("")));
}

#[test]
fn arguments_that_do_not_fit() {
    let source = Sandbox::of("net-user-single");
    let (from, folder) = (Place::of(&source), Sandbox::new());
    let run = |arguments: &[&str]| {
        let mut command = tokencache();
        Ran::of(command.arg("copy").args(from.options("from")).args(arguments))
    };
    let target = format!("sqlite:{}", folder.path("to").display());
    run(&["--to", &target]).fails(2, "--to-key-file");
    run(&["--to", &target, "--to-plaintext", "--to-key-file", "k"]).fails(2, "cannot be used with");
    run(&["--to", "preset:azure-cli"]).fails(2, "--write-shared");
    run(&["--to", &from.address, "--to-plaintext"]).fails(2, "are one place");
    run(&["--to", &format!("sqlite:{}", source.store().display()), "--to-plaintext"]).fails(2, "are one place");
    run(&["--to", &target, "--plaintext"]).fails(2, "--plaintext");
    run(&[]).fails(2, "--to");
    let mut bare = tokencache();
    bare.args(["copy", "--from", &from.address, "--to", &target, "--to-plaintext"]);
    Ran::of(&mut bare).fails(2, "--from-key-file");

    let nothing = Place::plain("file", &folder, "nothing");
    copy(&nothing, &Place::keyed("sqlite", &folder, "to")).fails(4, "nothing to copy");
    assert_eq!(names(&folder.path("")), [] as [String; 0]);

    // A source that does not open, for want of the right key.
    let elsewhere = Sandbox::of("net-user-single");
    let other = Place { protection: Place::of(&elsewhere).protection, ..Place::of(&source) };
    for kind in ["file", "sqlite"] {
        copy(&other, &Place::keyed(kind, &folder, "to")).fails(1, "");
        assert_eq!(names(&folder.path("")), [] as [String; 0], "{kind}");
    }

    // Another key than the one that the target was made with.
    let to = Place::keyed("sqlite", &folder, "to");
    copy(&from, &to).succeeds();
    fs::rename(folder.path("to.key"), folder.path("moved")).expect("moved");
    copy(&from, &to).fails(1, "which a new key would not open");
    assert!(!folder.path("to.key").exists());
}

#[test]
fn a_passphrase_of_the_environment_is_for_the_store_without_an_option() {
    let source = Sandbox::of("net-user-single");
    let (from, folder) = (Place::of(&source), Sandbox::new());
    let target = format!("sqlite:{}", folder.path("to").display());
    let mut command = tokencache();
    command.arg("copy").args(from.options("from")).args(["--to", &target, "--now", &NOW.0.to_string()]);
    Ran::of(command.env("TOKENCACHE_PASSPHRASE", "correct horse")).succeeds();
    let mut list = tokencache();
    let list = Ran::of(list.args(["list", "--store", &target]).env("TOKENCACHE_PASSPHRASE", "correct horse")).json();
    assert_eq!(list["accounts"].as_array().map(Vec::len), Some(1));
    let mut two = copy_command(&from, &Place::plain("file", &folder, "file"));
    Ran::of(two.env("TOKENCACHE_PASSPHRASE", "correct horse")).fails(2, "TOKENCACHE_PASSPHRASE");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_copied() {
    let folder = Sandbox::new();
    let (from, to) = (Place::plain("sqlite", &folder, "from"), Place::keyed("sqlite", &folder, "to"));
    from.import(&document("net-users-multi-tenant"));
    // The length of a text in the last row of an access token.
    let mut bytes = fs::read(folder.path("from")).expect("read");
    let head = b"\x0b\0\0\0\0\0\0\0AccessToken";
    let at = bytes.windows(head.len()).rposition(|window| window == head).expect("a row");
    bytes[at] = 0xFF;
    fs::write(folder.path("from"), bytes).expect("written");

    let ran = copy(&from, &to);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 entry of the source cannot be read and was not copied"), "{}", ran.stderr);
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(counts(&report), [11, 0, 0, 0, 1, 0]);
    assert_eq!(report["unreadable_entries"][0]["reason"], "unreadable");
    for command in ["list", "export"] {
        let told = from.run(&[command]);
        assert_eq!(told.code, Some(0));
        assert!(told.stderr.contains("1 entry of") && told.stderr.contains("cannot be read"), "{}", told.stderr);
    }
}

#[test]
fn no_secret_shows_in_any_report_or_error() {
    let planted = Planted::new("access token");
    let token = json!({ "environment": "e", "client_id": "c", "realm": "r", "target": "s", "secret": planted.text(),
        "home_account_id": "h", "cached_at": NOW.0.to_string(), "expires_on": "1800003600" });
    let source =
        Sandbox::holding(json!({ "AccessToken": { "k": token }, "Foreign": planted.text() }).to_string().as_bytes());
    let (from, folder) = (Place::of(&source), Sandbox::new());
    let silent = |ran: &Ran| planted.assert_absent_from(format!("{}\n{}", ran.text(), ran.stderr));
    for format in ["json", "table", "tsv"] {
        let to = Place::keyed("sqlite", &folder, &format!("to-{format}"));
        for more in [&["--dry-run"][..], &[], &[]] {
            let ran = Ran::of(copy_command(&from, &to).args(more).args(["-vvv", "-o", format]));
            assert_eq!(ran.code, Some(0));
            silent(&ran);
        }
        let stored = fs::read(folder.path(&format!("to-{format}"))).expect("read");
        assert_eq!(planted.found_in(&stored), None, "the target is encrypted");
        silent(&to.run(&["list", "-vvv"]));
        silent(&to.run(&["verify", "-vvv"]));
        silent(&to.run(&["recover", "-vvv"]));
    }
    let plain = Place::plain("sqlite", &folder, "plain");
    silent(&Ran::of(copy_command(&from, &plain).arg("-vvv")));
    assert!(planted.found_in(fs::read(folder.path("plain")).expect("read")).is_some(), "plaintext when told so");
    silent(&Ran::of(copy_command(&plain, &Place::plain("sqlite", &source, "key")).arg("-vvv")));
}

/// Killed between two commits of a large partition, and run again.
#[test]
fn a_copy_that_was_killed_goes_on() {
    const ENTRIES: u64 = 12_000;
    let mut document = String::from(r#"{"AccessToken":{"#);
    for n in 0..ENTRIES {
        let comma = if n == 0 { "" } else { "," };
        let times = format!(r#""cached_at":"{}","expires_on":"1800003600""#, NOW.0);
        let _ = write!(
            document,
            r#"{comma}"k{n}":{{"environment":"e","client_id":"c","realm":"r","target":"s{n}","secret":"x{n}",{times}}}"#
        );
    }
    document.push_str("}}");
    let folder = Sandbox::new();
    let (from, to) = (Place::plain("file", &folder, "from"), Place::keyed("sqlite", &folder, "to"));
    from.import(document.as_bytes());

    let whole = copy_command(&from, &to);
    let mut killed = std::process::Command::new(whole.get_program());
    killed.args(whole.get_args()).arg("-v").env_remove("TOKENCACHE_PASSPHRASE");
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut says = BufReader::new(killed.stderr.take().expect("a pipe")).lines();
    let batches = says.by_ref().map_while(Result::ok).filter(|line| line.contains("a batch is copied"));
    let said: Vec<String> = batches.take(2).collect();
    assert!(said.len() == 2 && said.iter().all(|line| line.contains("entries=1000 written=1000")), "{said:?}");
    killed.kill().expect("killed");
    assert!(!killed.wait().expect("it ends").success(), "it was killed before its end");

    let mut keyless = tokencache();
    let held = Ran::of(keyless.args(["list", "--store", &to.address])).json();
    let held = held["partitions"][0]["entries"].as_u64().expect("a count");
    assert!((2000..ENTRIES).contains(&held), "{held}");
    assert_eq!(held % 1000, 0, "commits are whole");
    assert_eq!(counts(&copy(&from, &to).json()), [ENTRIES - held, 0, held, 0, 0, 0]);
    assert_eq!(counts(&copy(&from, &to).json()), [0, 0, ENTRIES, 0, 0, 0]);
    assert_eq!(to.export(), from.export());
}

#[cfg(unix)]
#[test]
fn the_cache_of_a_product_is_a_source() {
    let home = Sandbox::new();
    fs::create_dir(home.path(".azure")).expect("made");
    let cache = home.path(".azure/msal_token_cache.json");
    fs::write(&cache, document("py-user-single")).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&cache, mode).expect("set");
    let to = Place::keyed("sqlite", &home, "to");
    let mut command = tokencache();
    command.args(["copy", "--from", "preset:azure-cli", "--now", &NOW.0.to_string()]).args(to.options("to"));
    let ran = Ran::of(command.env("HOME", home.path("")).env_remove("AZURE_CONFIG_DIR"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let names = names(&home.path(".azure"));
    assert_eq!(names, ["msal_token_cache.json"], "no lock file was made");
    assert!(to.run(&["list"]).json()["accounts"].as_array().is_some_and(|accounts| accounts.len() == 1));
}

#[test]
fn partitions_of_a_source_that_are_not_shared_arrive_alone() {
    let database = Database::holding(b"{}");
    database.put(&PartitionKey::app("client", Some("tenant")), "owner.tenant");
    let folder = Sandbox::new();
    let to = Place::keyed("sqlite", &folder, "to");
    assert_eq!(counts(&copy(&Place::of_database(&database), &to).json()), [2, 0, 0, 0, 0, 0]);
    let listed = to.run(&["list"]).json();
    assert_eq!((&listed["other_partitions"], &listed["accounts"]), (&1.into(), &json!([])));
}
