//! Many writers at once, and what is left of their updates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::ours::{PARTITION, open_store, wall_clock};
use crate::peers::{Peer, Running, text};

/// How a peer updates: with the library's lock and file alone, or as an application does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lock, read, add, write.
    Raw,
    /// By the library's own cache.
    Library,
}

/// A process that updates the cache.
#[derive(Debug)]
pub struct Writer<'p> {
    /// The program.
    pub peer: &'p Peer,
    /// How it updates.
    pub mode: Mode,
    /// Names its updates.
    pub tag: String,
}

/// What a writer says at its end.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Names its updates.
    pub tag: String,
    /// The updates that the library reported as done.
    pub acked: BTreeSet<usize>,
    /// Those that failed, by kind of failure.
    pub errors: BTreeMap<String, u64>,
    /// How often this toolkit's writer found its account gone.
    #[serde(default)]
    pub sign_ins: u32,
}

impl Writer<'_> {
    /// Starts it: `count` updates from `start_at` on, in seconds since 1970, a pause of `pause_ms` in the mean between.
    pub fn start(&self, cache: &Path, count: usize, pause_ms: u32, start_at: i64) -> Running {
        let mode = if self.mode == Mode::Raw { "raw" } else { "library" };
        let [count, pause, start_at] = [count.to_string(), pause_ms.to_string(), start_at.to_string()];
        self.peer.start(&[
            "write",
            "--cache",
            text(cache),
            "--tag",
            &self.tag,
            "--mode",
            mode,
            "--count",
            &count,
            "--pause-ms",
            &pause,
            "--start-at",
            &start_at,
            "--progress",
            "yes",
        ])
    }
}

/// Runs all writers side by side, `count` updates each; returns when the last has ended.
///
/// # Panics
/// If one fails to write at all.
pub fn write_at_once(writers: &[Writer<'_>], cache: &Path, count: usize) -> Vec<Report> {
    // Time for interpreters to start, so that the fast ones do not write alone.
    let start_at = wall_clock() + 4;
    let running: Vec<_> = writers.iter().map(|writer| writer.start(cache, count, 5, start_at)).collect();
    running.into_iter().map(report).collect()
}

/// Waits for the end of a writer, which reports then.
///
/// # Panics
/// If it fails to write at all.
pub fn report(mut writer: Running) -> Report {
    let last = writer.rest().pop().expect("a writer reports");
    let status = writer.wait();
    assert_eq!(status, Some(0), "{last}");
    serde_json::from_value(last).expect("the report that the contract names")
}

/// The report of a writer that was killed, from what it had said by then.
pub fn report_of_killed(tag: &str, said: &[Value]) -> Report {
    let acked = said.iter().filter_map(|line| usize::try_from(line["ack"].as_u64()?).ok()).collect();
    Report { tag: tag.to_owned(), acked, errors: BTreeMap::new(), sign_ins: 0 }
}

/// Opens the cache as this toolkit's next process does, which puts back what is to be put back; answers how many
/// acknowledged updates of each writer are missing after that.
///
/// # Panics
/// If the cache cannot be read, or the file is not valid JSON afterwards.
pub fn lost(reports: &[Report], cache: &Path) -> BTreeMap<String, usize> {
    let opened = open_store(cache).expect("a usable path");
    let scopes: BTreeSet<String> = opened
        .read(&PARTITION, |tokens| tokens.access_tokens().map(|(_, token)| token.target.to_string()).collect())
        .expect("a cache that can be read");
    let bytes = std::fs::read(cache).expect("the file is there");
    assert!(serde_json::from_slice::<Value>(&bytes).is_ok(), "the file is not JSON");
    let missing = |report: &Report| {
        report.acked.iter().filter(|index| !scopes.iter().any(|scope| is_of(scope, &report.tag, **index))).count()
    };
    reports.iter().map(|report| (report.tag.clone(), missing(report))).collect()
}

/// Libraries add scopes that they ask for beside those of the update.
fn is_of(target: &str, tag: &str, index: usize) -> bool {
    let scope = format!("peer.{tag}.{index}");
    target.split(' ').any(|one| one.eq_ignore_ascii_case(&scope))
}
