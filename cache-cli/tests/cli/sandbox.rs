//! A folder with a store in it, and the command run over that.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use cache_testkit::fixtures::{Fixtures, NOW};
use serde_json::Value;
use tempfile::TempDir;

/// The clients, tenants and accounts of the fixtures.
pub(crate) const APP: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
pub(crate) const ALICE: &str = "a11ce000-0000-4000-8000-000000000001.11111111-1111-4111-8111-111111111111";
pub(crate) const BOB: &str = "b0b00000-0000-4000-8000-000000000002.22222222-2222-4222-8222-222222222222";
pub(crate) const T1: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const T2: &str = "22222222-2222-4222-8222-222222222222";

/// A folder of its own, with places for a store and a key file.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// A store that holds nothing, and no key file.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// An encrypted store that holds a fixture.
    pub(crate) fn of(fixture: &str) -> Self {
        Self::holding(&document(fixture))
    }

    /// An encrypted store that holds a document.
    pub(crate) fn holding(document: &[u8]) -> Self {
        let sandbox = Self::new();
        sandbox.import(document).succeeds();
        sandbox
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("cache")
    }

    /// The content of the store's file.
    pub(crate) fn stored(&self) -> Vec<u8> {
        fs::read(self.store()).expect("the store has a file")
    }

    /// The command over the store, without protection and at the computer's clock.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = tokencache();
        command.args(arguments).arg("--store").arg(format!("file:{}", self.store().display()));
        command
    }

    /// The command over the store with its key file, at the fixtures' clock.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_at(NOW.0, arguments)
    }

    /// The same at another time.
    pub(crate) fn command_at(&self, now: i64, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--key-file").arg(self.path("key")).args(["--now", &now.to_string()]);
        command
    }

    /// Runs the command over the store with its key file, at the fixtures' clock.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Imports a document through standard input.
    pub(crate) fn import(&self, document: &[u8]) -> Ran {
        Ran::of(self.command(&["import", "-", "--create-key"]).write_stdin(document))
    }

    /// What `list` shows.
    pub(crate) fn list(&self) -> Value {
        self.run(&["list"]).json()
    }
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the command runs");
        let stderr = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("output is UTF-8")
    }

    /// Exit code 0 with nothing on standard error.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{}", self.text());
        self
    }

    /// Exit code 0, and standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let ran = self.succeeds();
        serde_json::from_slice(&ran.stdout).expect("the output is JSON")
    }

    /// This exit code, nothing on standard output, and one message that holds `saying`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, saying: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.text(), "");
        assert!(self.stderr.starts_with("tokencache: ") && self.stderr.contains(saying), "{}", self.stderr);
        self
    }
}

/// The command, with an environment that says nothing about it.
pub(crate) fn tokencache() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokencache"));
    command.env_remove("TOKENCACHE_REDIS_PASSWORD").env_remove("TOKENCACHE_REDIS_USER");
    command.env_remove("TOKENCACHE_PASSPHRASE").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// A fixture's document.
pub(crate) fn document(fixture: &str) -> Vec<u8> {
    Fixtures::own().named(fixture).unwrap_or_else(|| panic!("the fixture {fixture}")).bytes.clone()
}

/// The values of a field over a list of objects.
pub(crate) fn column<'v>(rows: &'v Value, field: &str) -> Vec<&'v str> {
    let rows = rows.as_array().expect("a list");
    rows.iter().map(|row| row[field].as_str().unwrap_or_default()).collect()
}
