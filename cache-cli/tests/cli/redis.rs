//! `--store redis://...`: every command, on one server, a cluster and behind sentinels; credentials; a server that is away.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use assert_cmd::Command;
use cache_testkit::fixtures::NOW;
use cache_testkit::redis::{Cluster, Reply, Sentinels, Server, is_installed};
use cache_testkit::secrets::Planted;
use serde_json::{Value, json};

use crate::documents::meaning;
use crate::sandbox::{ALICE, APP, BOB, Ran, Sandbox, column, document, tokencache};
use crate::sqlite::{Database, with_partitions};

/// The command over a store with a key file in the folder, at the fixtures' clock.
fn command(folder: &Sandbox, address: &str, arguments: &[&str]) -> Command {
    let mut command = tokencache();
    command.args(arguments).args(["--store", address, "--now", &NOW.0.to_string()]);
    command.arg("--key-file").arg(folder.path("key"));
    command
}

fn run(folder: &Sandbox, address: &str, arguments: &[&str]) -> Ran {
    Ran::of(&mut command(folder, address, arguments))
}

fn import(folder: &Sandbox, address: &str, fixture: &str) -> Value {
    Ran::of(command(folder, address, &["import", "-", "--create-key"]).write_stdin(document(fixture))).json()
}

/// Imports, lists, shows, finds, exports, verifies and removes.
fn round_trip(address: &str) {
    let folder = Sandbox::new();
    run(&folder, address, &["list"]).fails(1, "there is no key file");
    let imported = import(&folder, address, "net-users-multi-tenant");
    assert_eq!((&imported["inserted"], &imported["skipped"]), (&12.into(), &0.into()));
    let list = run(&folder, address, &["list"]).json();
    assert_eq!(list, Sandbox::of("net-users-multi-tenant").list(), "as of a file");

    let id = list["access_tokens"][0]["id"].as_str().expect("an id");
    assert_eq!(run(&folder, address, &["show", id]).json()["fields"]["secret"], "[redacted]");
    let asked = ["get-token", "--client-id", APP, "--scope", "Calendars.Read", "--account", ALICE, "-o", "token"];
    let token = run(&folder, address, &asked).succeeds();
    let shown = run(&folder, address, &["show", id, "--show-secrets"]).json();
    assert_eq!(token.text().trim_end(), shown["fields"]["secret"]);
    let exported = run(&folder, address, &["export"]).json();
    assert_eq!(exported, Sandbox::of("net-users-multi-tenant").run(&["export"]).json());
    let verified = run(&folder, address, &["verify"]).json();
    assert_eq!(verified, json!({ "sound": true, "entries": 12, "unreadable": 0, "problems": [] }));

    assert_ne!(run(&folder, address, &["remove", "--account", ALICE]).json()["removed"], json!([]));
    assert_eq!(column(&run(&folder, address, &["list"]).json()["accounts"], "home_account_id"), [BOB]);
    run(&folder, address, &asked).fails(4, "no account");
}

#[test]
fn every_command_works_on_one_server_by_network_and_by_socket() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    round_trip(&server.url());
    // The server holds it encrypted, and other prefixes and databases are other stores.
    let folder = Sandbox::new();
    for address in [
        server.unix_url(),
        format!("{}/1", server.url()),
        format!("{}?prefix=app:tokens", server.url()),
        format!("{}?db=2", server.unix_url()),
    ] {
        if address != server.unix_url() {
            assert_eq!(import(&folder, &address, "net-user-single")["inserted"], 5, "{address}");
        }
    }
    round_trip(&format!("{}?prefix=another", server.unix_url()));
    assert_eq!(server.command(&["EXISTS", "token-cache:head", "app:tokens:head"]).to_string(), "2");
}

#[test]
fn every_command_works_on_a_cluster_and_behind_sentinels() {
    if !is_installed() {
        return;
    }
    let hosts = |urls: &[String]| {
        urls.iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect::<Vec<_>>().join(",")
    };
    let cluster = Cluster::start();
    let nodes = hosts(&cluster.urls());
    round_trip(&format!("redis+cluster://{nodes}"));
    // One of the nodes that do not serve the key.
    let other = cluster.urls().iter().map(|url| list_plain(url)).find(|ran| ran.code != Some(0));
    other.expect("one primary serves it").fails(1, "redis+cluster://HOST:PORT");

    let sentinels = Sentinels::start();
    round_trip(&format!("redis+sentinel://{}/{}", hosts(&sentinels.urls()), Sentinels::NAME));
}

/// `list` without a key.
fn list_plain(address: &str) -> Ran {
    Ran::of(tokencache().args(["list", "--plaintext", "--store", address]))
}

#[test]
fn a_copy_there_and_back_is_the_same() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let source = with_partitions("session");
    let (address, back) = (server.url(), Database::new());
    let [key, redis_key, back_key] = [source.path("key"), source.path("redis.key"), back.path("key")];
    let copy = |from: [&str; 2], to: [&str; 2]| {
        let mut copy = tokencache();
        copy.args(["copy", "--from", from[0], "--from-key-file", from[1], "--to", to[0], "--to-key-file", to[1]]);
        copy.args(["--now", &NOW.0.to_string()]);
        copy
    };
    let [key, redis_key, back_key] = [&key, &redis_key, &back_key].map(|path| path.to_str().expect("UTF-8"));
    let mut there = copy([&source.address(), key], [&address, redis_key]);
    let mut again = copy([&address, redis_key], [&back.address(), back_key]);
    let rehearsed = Ran::of(copy([&source.address(), key], [&address, redis_key]).arg("--dry-run")).json();
    assert_eq!(server.command(&["DBSIZE"]).to_string(), "0", "a dry run writes nothing");
    assert!(!source.path("redis.key").exists());
    let copied = Ran::of(&mut there).json();
    assert_eq!((&copied["partitions"], &copied["inserted"]), (&4.into(), &11.into()));
    assert_eq!(rehearsed["inserted"], copied["inserted"]);
    assert_eq!(Ran::of(&mut there).json()["present"], 11, "a second time");
    let returned = Ran::of(&mut again).json();
    assert_eq!((&returned["partitions"], &returned["inserted"]), (&4.into(), &11.into()));
    assert_eq!(shared(&back), shared(&source));

    let mut all = tokencache();
    all.args(["list", "--all-partitions", "--store", &address, "--now", &NOW.0.to_string()]);
    let all = Ran::of(all.arg("--key-file").arg(source.path("redis.key"))).json();
    let of_source = by_partition(&source.run(&["list", "--all-partitions"]).json());
    assert_eq!(by_partition(&all), of_source);
    assert_eq!(by_partition(&back.run(&["list", "--all-partitions"]).json()), of_source);

    // The same place, however it is written.
    let mut same = tokencache();
    same.args(["copy", "--from", &address, "--to", &format!("{address}/0"), "--from-plaintext", "--to-plaintext"]);
    Ran::of(&mut same).fails(2, "are one place");
    // A file has no room for them.
    let mut file = tokencache();
    file.args(["copy", "--from", &address, "--to", &format!("file:{}", source.path("file").display())]);
    file.arg("--from-key-file").arg(source.path("redis.key")).arg("--to-plaintext");
    Ran::of(&mut file).fails(1, "3 partitions besides; nothing was copied");
}

/// The partitions of a listing, each by its id: stores have different orders.
fn by_partition(list: &Value) -> BTreeMap<String, Value> {
    let partitions = list["partitions"].as_array().expect("a list");
    partitions.iter().map(|partition| (partition["partition"]["id"].to_string(), partition.clone())).collect()
}

/// What the shared partition holds; the command says that there are others.
fn shared(database: &Database) -> BTreeMap<String, Value> {
    meaning(serde_json::from_slice(&database.run(&["export"]).stdout).expect("JSON"))
}

#[test]
fn a_new_key_is_made_for_a_new_store_alone() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let folder = Sandbox::new();
    import(&folder, &server.url(), "net-user-single");
    fs::rename(folder.path("key"), folder.path("moved")).expect("moved");
    Ran::of(command(&folder, &server.url(), &["import", "-", "--create-key"]).write_stdin("{}"))
        .fails(1, "which a new key would not open");
    assert!(!folder.path("key").exists());
    list_plain(&server.url()).fails(1, "the store is protected");
    Ran::of(tokencache().args(["list", "--store", &server.url()])).fails(2, "--key-file FILE");
    let nothing = Server::start();
    Ran::of(tokencache().args(["verify", "--plaintext", "--store", &nothing.url()])).fails(4, "there is nothing at");
    Ran::of(tokencache().args(["recover", "--plaintext", "--store", &nothing.url()])).fails(2, "sqlite:PATH");
    assert_eq!(nothing.command(&["DBSIZE"]).to_string(), "0", "looking writes nothing");
}

#[test]
fn an_entry_that_cannot_be_read_is_told_and_the_rest_is_shown() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let folder = Sandbox::new();
    import(&folder, &server.url(), "net-user-single");
    let keys = server.command(&["KEYS", "token-cache:{*}:h"]);
    let partition = keys.items()[0].to_string();
    let fields = server.command(&["HKEYS", &partition]);
    let entry = fields.items().iter().filter_map(bytes).find(|field| field[0] == b'e').expect("an entry");
    server.command(&[b"HSET", partition.as_bytes(), entry, b"damaged"]);
    let ran = run(&folder, &server.url(), &["list"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("1 entry of redis://") && ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    let verified = run(&folder, &server.url(), &["verify"]);
    assert_eq!(verified.code, Some(1));
    assert!(verified.stderr.contains("1 entry of redis://"), "{}", verified.stderr);
    let found: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!((&found["entries"], &found["unreadable"]), (&4.into(), &1.into()));
    // As the message says.
    import(&folder, &server.url(), "net-user-single");
    run(&folder, &server.url(), &["verify"]).succeeds();
}

fn bytes(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

#[test]
fn passwords_come_by_environment_or_by_file_and_are_never_shown() {
    if !is_installed() {
        return;
    }
    let (password, of_app) = (Planted::new("password"), Planted::new("app-password"));
    let rules = format!("on >{} ~* +@all", of_app.text());
    let server = Server::options().password(password.text()).user("app", &rules).start();
    let address = format!("redis://127.0.0.1:{}", server.port());
    let folder = Sandbox::new();
    let file = folder.path("password");
    fs::write(&file, format!("{}\n", password.text())).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the mode is set");
    let file = file.display().to_string();
    let silent = |ran: Ran| {
        for planted in [&password, &of_app] {
            planted.assert_absent_from(&ran.stderr);
            planted.assert_absent_from(&ran.stdout);
        }
        ran
    };
    let list = |address: &str| command(&folder, address, &["list", "-vvv"]);

    let mut by_environment = command(&folder, &address, &["import", "-", "--create-key"]);
    by_environment.env("TOKENCACHE_REDIS_PASSWORD", password.text());
    Ran::of(by_environment.write_stdin(document("net-user-single"))).succeeds();
    let by_file = silent(Ran::of(list(&address).args(["--redis-password-file", &file])));
    assert_eq!(by_file.code, Some(0), "{}", by_file.stderr);
    let mut as_app = list(&address);
    as_app.env("TOKENCACHE_REDIS_USER", "app").env("TOKENCACHE_REDIS_PASSWORD", of_app.text());
    assert_eq!(silent(Ran::of(&mut as_app)).code, Some(0));
    let mut as_app = list(&format!("redis://app@127.0.0.1:{}", server.port()));
    as_app.env("TOKENCACHE_REDIS_USER", "nobody").env("TOKENCACHE_REDIS_PASSWORD", of_app.text());
    assert_eq!(silent(Ran::of(&mut as_app)).code, Some(0), "the user of the URL counts");

    let unknown = "TOKENCACHE_REDIS_PASSWORD or a password file";
    silent(Ran::of(&mut list(&address)).fails(1, unknown));
    silent(Ran::of(list(&address).env("TOKENCACHE_REDIS_PASSWORD", of_app.text())).fails(1, unknown));
    silent(Ran::of(list(&address).env("TOKENCACHE_REDIS_USER", "app")).fails(2, "no password for the user app"));
    let mut both = list(&address);
    both.args(["--redis-password-file", &file]).env("TOKENCACHE_REDIS_PASSWORD", of_app.text());
    silent(Ran::of(&mut both).fails(2, "leave the option out"));
    for url in [
        format!("redis://:{}@127.0.0.1:{}", password.text(), server.port()),
        server.url_as("app", of_app.text()),
        server.unix_url(),
    ] {
        let url = url.replace("?pass=", &format!("?pass={}", password.text()));
        silent(Ran::of(&mut list(&url)).fails(2, "a password does not belong into an argument"));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("the mode is set");
    silent(Ran::of(list(&address).args(["--redis-password-file", &file])).fails(1, "chmod 600"));
    let missing = folder.path("none").display().to_string();
    silent(Ran::of(list(&address).args(["--redis-password-file", &missing])).fails(1, "there is no password file"));
    let sqlite = Database::holding(&document("net-user-single"));
    Ran::of(sqlite.command(&["list"]).args(["--redis-password-file", &file])).fails(2, "has no password");
}

#[test]
fn a_server_that_is_away_is_told_and_no_key_is_made_for_it() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start();
    let folder = Sandbox::new();
    import(&folder, &server.url(), "net-user-single");
    server.kill();
    run(&folder, &server.url(), &["list"]).fails(1, "redis: no server listens there");
    fs::remove_file(folder.path("key")).expect("removed");
    Ran::of(command(&folder, &server.url(), &["import", "-", "--create-key"]).write_stdin("{}"))
        .fails(1, "no server listens there");
    assert!(!folder.path("key").exists());
}
