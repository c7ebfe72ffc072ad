//! This toolkit as one of the peers of `benches/peers`: measures one cache of `caches.py` and prints one JSON line (see
//! `benches/peers/README.md` for its fields).
//!
//!     peer DOCUMENT PROBES [--budget SECONDS] [--directory DIRECTORY]
//!
//! `--directory` also measures an encrypted file in that directory, which must be empty.

#![forbid(unsafe_code)]

mod calls;
mod case;
mod document;
mod file;
mod limits;
mod resident;
mod storage;
mod timer;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use self::case::Case;
use self::timer::Timer;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse(std::env::args().skip(1))?;
    let case = Case::read(&options.probes)?;
    let timer = Timer { budget: options.budget };
    let mut report = Report::default();

    let cache = document::measure(&options.document, &case, &timer, &mut report)?;
    storage::measure(&cache, &case, &timer, &mut report)?;
    calls::measure(&cache, &case, &timer, &mut report)?;
    if let Some(directory) = &options.directory {
        file::measure(&cache, &case, &timer, directory, &mut report)?;
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

/// The line that a peer prints.
#[derive(Serialize)]
struct Report {
    versions: BTreeMap<&'static str, &'static str>,
    /// Digests of the tokens that were handed out for the probes to check.
    digests: BTreeMap<&'static str, String>,
    /// Nanoseconds per call; bytes under `memory`.
    figures: BTreeMap<&'static str, f64>,
}

impl Default for Report {
    fn default() -> Self {
        let versions = BTreeMap::from([("token-cache", env!("CARGO_PKG_VERSION"))]);
        Self { versions, digests: BTreeMap::new(), figures: BTreeMap::new() }
    }
}

impl Report {
    fn digest(&mut self, name: &'static str, digest: String) {
        self.digests.insert(name, digest);
    }

    fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }
}

struct Options {
    document: PathBuf,
    probes: PathBuf,
    /// Time for each figure.
    budget: Duration,
    directory: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        const USAGE: &str = "usage: peer DOCUMENT PROBES [--budget SECONDS] [--directory DIRECTORY]";
        let (Some(document), Some(probes)) = (arguments.next(), arguments.next()) else { return Err(USAGE.into()) };
        let mut options = Self {
            document: document.into(),
            probes: probes.into(),
            budget: Duration::from_millis(200),
            directory: None,
        };
        while let Some(name) = arguments.next() {
            match (name.as_str(), arguments.next()) {
                ("--budget", Some(seconds)) => options.budget = Duration::try_from_secs_f64(seconds.parse()?)?,
                ("--directory", Some(directory)) => options.directory = Some(directory.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}
