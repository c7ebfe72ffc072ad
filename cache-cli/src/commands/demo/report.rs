//! What came of a demo.

use std::path::Path;

use serde::Serialize;

use super::measure::Summary;
use super::verify::Verified;
use crate::exit::Failure;
use crate::output::{Cell, Page, Report, Rows};

/// What came of a demo.
#[derive(Debug, Serialize)]
pub(crate) struct DemoReport {
    pub(crate) processes: u16,
    pub(crate) updates_per_process: u32,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) killed: Killed,
    pub(crate) lookups: Summary,
    pub(crate) file: CacheFile,
    pub(crate) protection: String,
    pub(crate) seconds: f64,
}

/// The process that was killed and started again.
#[derive(Debug, Serialize)]
pub(crate) struct Killed {
    pub(crate) worker: u16,
    /// How many updates it had acknowledged.
    pub(crate) after: u32,
}

/// The cache file at the end.
#[derive(Debug, Serialize)]
pub(crate) struct CacheFile {
    pub(crate) entries: usize,
    pub(crate) imported_lost: usize,
    pub(crate) bytes: u64,
    /// Four octal digits; `None` where files have no mode.
    pub(crate) mode: Option<String>,
}

impl CacheFile {
    pub(crate) fn of(path: &Path, verified: &Verified) -> Self {
        let metadata = path.metadata().ok();
        Self {
            entries: verified.entries,
            imported_lost: verified.imported_lost,
            bytes: metadata.as_ref().map_or(0, std::fs::Metadata::len),
            mode: metadata.as_ref().and_then(mode),
        }
    }

    fn is_valid(&self) -> bool {
        self.imported_lost == 0
    }
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps)] // elsewhere files have none
fn mode(metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(format!("{:04o}", metadata.permissions().mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> Option<String> {
    None
}

impl DemoReport {
    /// Exit 1: something was lost.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let expected = usize::from(self.processes) * self.updates_per_process as usize;
        let failed = |what: String| Err(Failure::error(format!("the demo failed: {what}; please report this")));
        if self.lost > 0 {
            return failed(format!("{} acknowledged updates are lost", self.lost));
        }
        if self.acknowledged != expected {
            return failed(format!("{} of {expected} updates were acknowledged", self.acknowledged));
        }
        if !self.file.is_valid() {
            return failed(format!("{} imported entries are lost or changed", self.file.imported_lost));
        }
        if self.lookups.missed > 0 {
            return failed(format!("{} lookups missed a token that was stored", self.lookups.missed));
        }
        Ok(())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let Self { processes, updates_per_process, lookups, file, .. } = self;
        let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), duration);
        let valid = if file.is_valid() { "yes" } else { "NO" };
        vec![
            ("processes", format!("{processes}, each with {updates_per_process} updates")),
            ("killed and restarted", format!("process {} after {} updates", self.killed.worker, self.killed.after)),
            ("updates acknowledged", self.acknowledged.to_string()),
            ("updates lost", self.lost.to_string()),
            ("lookups", format!("{} hits, {} missed", lookups.hits, lookups.missed)),
            ("lookups per second", format!("{} in each process", lookups.per_second_and_process)),
            ("lookup time p50, p99", format!("{}, {}", time(lookups.p50_ns), time(lookups.p99_ns))),
            ("file valid", format!("{valid}, {} entries in {} bytes", file.entries, file.bytes)),
            ("file mode", file.mode.clone().unwrap_or_else(|| "-".to_owned())),
            ("protection", self.protection.clone()),
            ("time", format!("{:.1} s", self.seconds)),
        ]
    }
}

impl Report for DemoReport {
    fn table(&self, page: &mut Page) {
        let rows: Vec<_> = self
            .lines()
            .into_iter()
            .map(|(name, value)| [Cell::of(name), Cell::of(value).alarming_if(name == "updates lost" && self.lost > 0)])
            .collect();
        page.table(rows.iter());
    }

    fn rows(&self, rows: &mut Rows) {
        self.lines().iter().for_each(|(name, value)| rows.row(&[name, value]));
    }
}

fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        ..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{}.{} \u{b5}s", nanoseconds / 1_000, nanoseconds % 1_000 / 100),
        _ => format!("{}.{} ms", nanoseconds / 1_000_000, nanoseconds % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DemoReport {
        DemoReport {
            processes: 2,
            updates_per_process: 5,
            acknowledged: 10,
            lost: 0,
            killed: Killed { worker: 0, after: 2 },
            lookups: Summary { hits: 1, missed: 0, per_second_and_process: 1, p50_ns: Some(1), p99_ns: Some(1) },
            file: CacheFile { entries: 20, imported_lost: 0, bytes: 1, mode: None },
            protection: "none".to_owned(),
            seconds: 1.0,
        }
    }

    #[test]
    fn any_loss_fails_the_demo() {
        assert!(report().verdict().is_ok());
        let broken: [fn(&mut DemoReport); 4] = [
            |report| report.lost = 1,
            |report| report.acknowledged = 9,
            |report| report.file.imported_lost = 1,
            |report| report.lookups.missed = 1,
        ];
        for (n, break_it) in broken.iter().enumerate() {
            let mut report = report();
            break_it(&mut report);
            assert!(report.verdict().is_err(), "case {n}");
        }
    }

    #[test]
    fn times_read_well() {
        for (nanoseconds, shown) in [(999, "999 ns"), (1_250, "1.2 \u{b5}s"), (3_100_000, "3.1 ms")] {
            assert_eq!(duration(nanoseconds), shown);
        }
    }
}
