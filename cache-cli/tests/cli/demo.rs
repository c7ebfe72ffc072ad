//! `demo`, and the processes that it is made of.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, document, tokencache};

#[test]
fn a_small_demo_loses_nothing() {
    let mut demo = tokencache();
    demo.args(["demo", "--processes", "3", "--updates", "8"]);
    // The processes of the demo have a key file; a passphrase that reached them would be one protection too many.
    demo.env("TOKENCACHE_PASSPHRASE", "not for the children");
    let report = Ran::of(&mut demo).json();
    assert_eq!((&report["acknowledged"], &report["lost"]), (&24.into(), &0.into()));
    assert_eq!(report["killed"]["worker"], 0);
    let after = report["killed"]["after"].as_u64().expect("a count");
    assert!((4..=8).contains(&after), "{after}");
    assert_eq!((&report["file"]["imported_lost"], &report["file"]["entries"]), (&0.into(), &36.into()));
    assert_eq!(report["protection"], "AES-256-GCM, key file");
    assert_eq!(report["lookups"]["missed"], 0);
    assert!(report["lookups"]["hits"].as_u64().is_some_and(|hits| hits > 0));
    if cfg!(unix) {
        assert_eq!(report["file"]["mode"], "0600");
    }
}

#[test]
fn the_smallest_demo_in_every_form() {
    let run = |format: &str| {
        let mut demo = tokencache();
        Ran::of(demo.args(["demo", "--processes", "1", "--updates", "1", "-o", format])).succeeds()
    };
    let table = run("table");
    for line in ["updates acknowledged  1\n", "updates lost          0\n", "file valid            yes, 13 entries"] {
        assert!(table.text().contains(line), "{}", table.text());
    }
    assert!(run("tsv").text().contains("updates lost\t0\n"));
}

#[test]
fn the_demo_runs_at_the_clock_that_it_is_given() {
    let mut demo = tokencache();
    let report = Ran::of(demo.args(["demo", "--processes", "2", "--updates", "2", "--now", "1800000000"])).json();
    assert_eq!((&report["lost"], &report["lookups"]["missed"]), (&0.into(), &0.into()));
}

/// Nothing of a demo stays behind.
#[test]
fn the_demo_cleans_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = tokencache();
    demo.args(["demo", "--processes", "2", "--updates", "2"]).env("TMPDIR", folder.path());
    Ran::of(&mut demo).succeeds();
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// A worker process and the lines that it says.
struct Worker {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Worker {
    fn start(sandbox: &Sandbox, updates: u32) -> Self {
        let whole =
            sandbox.command(&["demo-worker", "--worker", "7", "--from", "0", "--updates", &updates.to_string()]);
        let mut command = Command::new(whole.get_program());
        command.args(whole.get_args()).env_remove("TOKENCACHE_PASSPHRASE");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("it listens");
    }

    fn hear(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("text"))
    }
}

#[test]
fn a_worker_says_what_is_stored_and_the_verifier_misses_what_is_not() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let mut worker = Worker::start(&sandbox, 3);
    assert_eq!(worker.hear().as_deref(), Some("ready"));
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.child.id())).expect("its limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    }
    worker.say("go");
    for number in 0..3 {
        assert_eq!(worker.hear(), Some(format!("added 7 {number}")));
    }
    worker.say("finish");
    let mut last = String::new();
    while let Some(line) = worker.hear() {
        assert!(line.starts_with("lookup"), "{line}");
        last = line;
    }
    assert!(last.starts_with("lookups ") && last.ends_with(" 0"), "no lookup missed: {last}");
    assert!(worker.child.wait().expect("it ends").success());

    let verify = |claims: &str| {
        let ran = Ran::of(sandbox.command(&["demo-verify"]).write_stdin(claims));
        (ran.code, serde_json::from_slice::<Value>(&ran.stdout).expect("JSON"), ran.stderr)
    };
    let (code, found, _) = verify("7 0\n7 1\n7 2\n");
    assert_eq!((code, found), (Some(0), json!({ "acknowledged": 3, "lost": [], "entries": 15, "imported_lost": 0 })));
    let (code, found, stderr) = verify("7 0\n7 3\n8 0\n");
    assert_eq!(code, Some(1));
    assert_eq!(found["lost"], json!([{ "worker": 7, "number": 3 }, { "worker": 8, "number": 0 }]));
    assert!(stderr.contains("2 of 3 acknowledged updates are not in the cache"), "{stderr}");
    Ran::of(sandbox.command(&["demo-verify"]).write_stdin("seven\n")).fails(2, "WORKER NUMBER");
}

#[test]
fn the_verifier_misses_what_was_imported_too() {
    let sandbox = Sandbox::of("net-user-single");
    let missing = Ran::of(sandbox.command(&["demo-verify"]).write_stdin("")).json();
    assert!(missing["imported_lost"].as_u64().is_some_and(|lost| lost > 0), "{missing}");
    sandbox.import(&document("net-users-multi-tenant")).succeeds();
    let all = Ran::of(sandbox.command(&["demo-verify"]).write_stdin("")).json();
    assert_eq!(all["imported_lost"], 0);
}

/// A worker whose starter is gone ends by itself.
#[test]
fn no_worker_outlives_the_demo() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let mut worker = Worker::start(&sandbox, 10_000);
    assert_eq!(worker.hear().as_deref(), Some("ready"));
    drop(worker.child.stdin.take());
    assert_eq!(worker.hear(), None);
    assert!(!worker.child.wait().expect("it ends").success());
}

/// The document that the demo imports is the fixture of that name.
#[test]
fn the_bundled_document_is_the_fixture() {
    let bundled = include_bytes!("../../data/net-users-multi-tenant.json");
    assert_eq!(bundled[..], document("net-users-multi-tenant"));
}
