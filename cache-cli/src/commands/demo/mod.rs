//! `demo`: processes that share an encrypted cache lose nothing, even when one of them is killed.
//!
//! The demo imports a document that MSAL.NET wrote into a new encrypted file, starts worker processes that add tokens
//! to it and look tokens up meanwhile, kills one of them half-way with nothing to warn it and starts it again, and has a
//! fresh process verify that every update that a worker was told to be stored is there.

mod crew;
mod measure;
mod report;
mod token;
pub(crate) mod verify;
pub(crate) mod worker;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cache_core::{Blob, Entry, UnifiedDocument};

use self::crew::Crew;
use self::report::{CacheFile, DemoReport, Killed};
use self::verify::Verified;
use crate::address::Address;
use crate::args::{Demo, Location, ProtectionArgs};
use crate::commands::import;
use crate::context::Context;
use crate::exit::Failure;
use crate::process;
use crate::progress::progress_bar;
use crate::store::Store;

/// What the cache holds before the workers start: a document that MSAL.NET wrote (`data/README.md`).
const DOCUMENT: &str = include_str!("../../../data/net-users-multi-tenant.json");

/// Runs the demo and prints what came of it. Exit 1: an update was lost, a lookup failed, or the file is damaged.
pub(crate) fn run(args: &Demo, context: &Context) -> Result<(), Failure> {
    // The demo has a key file of its own, and one protection is enough.
    let context = &context.without_passphrase();
    let folder = tempfile::Builder::new()
        .prefix("tokencache-demo-")
        .tempdir()
        .map_err(|error| Failure::io("creating a temporary folder", &error))?;
    let place = Place::in_folder(folder.path());
    let store = Store::open_creating_key(&place.location(), context)?;
    import::merge(&document_entries()?, false, &store)?;

    let began = Instant::now();
    let bar = progress_bar(u64::from(args.processes) * u64::from(args.updates), "updates");
    let crew = Crew::start(args, &place, context)?;
    let outcome = crew.run(|acknowledged| bar.set_position(acknowledged))?;
    bar.finish_and_clear();
    let took = began.elapsed();

    let verified = verify(&outcome.acknowledged, &place, context)?;
    let report = DemoReport {
        processes: args.processes,
        updates_per_process: args.updates,
        acknowledged: verified.acknowledged,
        lost: verified.lost.len(),
        killed: Killed { worker: crew::DOOMED, after: outcome.killed_after },
        lookups: outcome.lookups.summary(),
        file: CacheFile::of(&place.file, &verified),
        protection: store.protection().to_owned(),
        seconds: Duration::from_millis(took.as_millis() as u64).as_secs_f64(),
    };
    context.output.print(&report)?;
    report.verdict()
}

/// The files of the demo.
struct Place {
    file: PathBuf,
    key_file: PathBuf,
}

impl Place {
    fn in_folder(folder: &Path) -> Self {
        Self { file: folder.join("msal.cache"), key_file: folder.join("cache.key") }
    }

    fn location(&self) -> Location {
        let protection = ProtectionArgs { key_file: Some(self.key_file.clone()), ..ProtectionArgs::default() };
        Location { store: Address::File(self.file.clone()), protection, redis_password_file: None }
    }

    /// This program again, with a hidden command over the demo's cache and at its clock.
    fn command(&self, name: &str, context: &Context) -> Result<std::process::Command, Failure> {
        let mut command = process::again().map_err(|error| Failure::io("finding this program's own file", &error))?;
        command.arg(name).arg("--store").arg(Address::File(self.file.clone()).to_string());
        command.arg("--key-file").arg(&self.key_file);
        if let Some(now) = context.fixed {
            command.args(["--now", &now.to_string()]);
        }
        Ok(command)
    }
}

/// The entries of the bundled document.
fn document_entries() -> Result<Vec<Entry>, Failure> {
    Ok(UnifiedDocument::parse(&Blob::copy_of(DOCUMENT.as_bytes()))?.into_entries().collect())
}

/// Has a fresh process look for every acknowledged update.
fn verify(acknowledged: &[token::Update], place: &Place, context: &Context) -> Result<Verified, Failure> {
    let failed = |error: std::io::Error| Failure::io("running the verifying process", &error);
    let mut child =
        place.command("demo-verify", context)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let list = acknowledged.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let told = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(list.as_bytes()));
    let answer = child.wait_with_output().map_err(failed)?;
    // The process that ends early has said why; that its input broke off says nothing more.
    serde_json::from_slice(&answer.stdout).map_err(|_| match told {
        Ok(()) => Failure::error("the verifying process could not read the cache; its message stands above"),
        Err(error) => failed(error),
    })
}
