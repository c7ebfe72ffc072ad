//! `import` and `export`.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, document};

#[test]
fn import_counts_what_it_does() {
    let sandbox = Sandbox::new();
    let fixture = document("net-user-single");
    let counts = |ran: Ran| {
        let report = ran.json();
        ["inserted", "updated", "unchanged", "skipped"].map(|name| report[name].as_u64().expect("a count"))
    };
    assert_eq!(counts(sandbox.import(&fixture)), [5, 0, 0, 0]);
    let stored = sandbox.stored();
    assert_eq!(counts(sandbox.import(&fixture)), [0, 0, 5, 0]);
    assert_eq!(sandbox.stored(), stored, "importing twice writes nothing");

    // A name changes, a token is older than the one stored, an account is new.
    let mut other: Value = serde_json::from_slice(&fixture).expect("JSON");
    let account = first(&mut other["Account"]);
    account["name"] = "Alice Renamed".into();
    let mut bob = account.clone();
    bob["home_account_id"] = "bob.t2".into();
    first(&mut other["AccessToken"])["cached_at"] = "1700000000".into();
    other["Account"]["bob.t2-e-t2"] = bob;
    let report = sandbox.import(other.to_string().as_bytes()).json();
    assert_eq!(
        [&report["inserted"], &report["updated"], &report["unchanged"], &report["skipped"]],
        [&json!(1), &json!(1), &json!(3), &json!(1)]
    );
    assert!(report["skipped_entries"][0]["entry"].as_str().expect("a name").starts_with("AccessToken/"));
}

#[test]
fn every_form_of_the_report() {
    let sandbox = Sandbox::new();
    sandbox.import(b"{}").succeeds();
    let path = sandbox.path("document");
    fs::write(&path, document("net-user-single")).expect("written");
    let path = path.to_str().expect("UTF-8");
    let table = sandbox.run(&["import", path, "-o", "table"]).succeeds();
    assert_eq!(table.text(), "5 entries: 5 inserted, 0 updated, 0 unchanged, 0 skipped\n");
    let tsv = sandbox.run(&["import", path, "-o", "tsv"]).succeeds();
    assert_eq!(tsv.text(), "inserted\t0\nupdated\t0\nunchanged\t5\nskipped\t0\n");
}

#[test]
fn a_damaged_document_is_refused_or_salvaged() {
    let sandbox = Sandbox::new();
    let whole = document("net-user-single");
    let torn = &whole[..whole.len() * 3 / 4];
    sandbox.import(torn).fails(1, "--salvage imports its complete entries");
    assert!(!sandbox.store().exists(), "nothing is written");

    let mut salvage = sandbox.command(&["import", "-", "--create-key", "--salvage"]);
    let report = Ran::of(salvage.write_stdin(torn)).json();
    assert_eq!(report["salvaged"], true);
    assert!((1..5).contains(&report["inserted"].as_u64().expect("a count")), "{report}");

    let mut salvage = sandbox.command(&["import", "-", "--salvage"]);
    assert_eq!(Ran::of(salvage.write_stdin(whole)).json()["salvaged"], false);
    for nonsense in [&b"no JSON"[..], b"[1, 2]", b"\xff\xfe\x00"] {
        sandbox.import(nonsense).fails(1, "document");
        let mut salvage = sandbox.command(&["import", "-", "--salvage"]);
        Ran::of(salvage.write_stdin(nonsense)).fails(1, "document");
    }
    sandbox.run(&["import", "/nowhere/at/all.json"]).fails(1, "/nowhere/at/all.json");
}

#[test]
fn an_empty_document_is_no_failure() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.import(b"").json()["inserted"], 0);
    let export = sandbox.run(&["export"]);
    assert_eq!(export.code, Some(0));
    assert!(export.stderr.contains("holds nothing"), "{}", export.stderr);
    let exported: Value = serde_json::from_slice(&export.stdout).expect("JSON");
    assert!(exported.as_object().expect("an object").values().all(|section| *section == json!({})), "{exported}");
}

#[test]
fn export_to_a_file() {
    let sandbox = Sandbox::of("net-user-single");
    let target = sandbox.path("out.json");
    let to = target.to_str().expect("UTF-8");
    let report = sandbox.run(&["export", "--to", to]).json();
    assert_eq!(report, json!({ "path": to, "entries": 5 }));
    assert_eq!(fs::read(&target).expect("written"), sandbox.run(&["export"]).succeeds().stdout);
    #[cfg(unix)]
    assert_eq!(mode(&target), 0o600);

    fs::write(&target, "mine").expect("written");
    sandbox.run(&["export", "--to", to]).fails(1, "--force");
    assert_eq!(fs::read(&target).expect("there"), b"mine");
    let table = sandbox.run(&["export", "--to", to, "--force", "-o", "table"]).succeeds();
    assert_eq!(table.text(), format!("5 entries written to {to}\n"));
    assert!(fs::read(&target).expect("there").starts_with(b"{"));

    let store = sandbox.store();
    let stored = sandbox.stored();
    sandbox.run(&["export", "--force", "--to", store.to_str().expect("UTF-8")]).fails(1, "the store itself");
    assert_eq!(sandbox.stored(), stored);
    sandbox.run(&["export", "--to", sandbox.path("").to_str().expect("UTF-8"), "--force"]).fails(1, "not a file");
    sandbox.run(&["export", "--to", "/nowhere/at/all.json"]).fails(1, "/nowhere/at/all.json");
    let left: Vec<_> =
        fs::read_dir(sandbox.path("")).expect("a folder").flatten().map(|file| file.file_name()).collect();
    assert_eq!(left.len(), 3, "no temporary file is left: {left:?}");
}

#[cfg(unix)]
#[test]
fn export_never_writes_through_a_link() {
    let sandbox = Sandbox::of("net-user-single");
    let (link, target) = (sandbox.path("link"), sandbox.path("target"));
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    let to = link.to_str().expect("UTF-8");
    for existing in [false, true] {
        if existing {
            fs::write(&target, "mine").expect("written");
        }
        sandbox.run(&["export", "--force", "--to", to]).fails(1, "symbolic link");
        assert_eq!(fs::read(&target).ok(), existing.then(|| b"mine".to_vec()));
    }
}

#[cfg(unix)]
#[test]
fn an_export_is_private_whatever_the_umask() {
    let sandbox = Sandbox::of("net-user-single");
    let target = sandbox.path("out.json");
    let export = sandbox.command(&["export", "--to", target.to_str().expect("UTF-8")]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(export.get_program()).args(export.get_args());
    assert!(shell.output().expect("it runs").status.success());
    assert_eq!(mode(&target), 0o600);
}

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

fn first(section: &mut Value) -> &mut Value {
    section.as_object_mut().expect("a section").values_mut().next().expect("an entry")
}
