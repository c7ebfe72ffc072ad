//! Memory, and a cache of a million tokens: each in a process of its own, so that nothing else is counted.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use benches::measure::{nanoseconds, passes};
use benches::{Asked, Population, probes};
use cache_core::TokenCache;

use crate::table::{Table, Time};

/// The argument that makes this program the measured process.
pub(crate) const CHILD: &str = "measure-in-fresh-process";

/// What the fresh process found.
struct Found {
    /// Bytes of resident memory that the loaded cache takes, the text freed.
    resident: f64,
    /// The highest resident memory, in bytes.
    peak: f64,
    /// Bytes of the document.
    text: f64,
    /// Nanoseconds.
    load: f64,
    lookup: f64,
    save: f64,
}

pub(crate) fn measure(table: &mut Table) {
    const TOKENS: usize = 100_000;
    const MOST: f64 = 3.1;
    let measured = "resident memory of a fresh process that loaded 100k user tokens and freed the text, less what it took \
                    before, per access token; refresh tokens, ID tokens and accounts are part of it";
    match in_fresh_process(TOKENS) {
        Some(found) => {
            let kilobytes = found.resident / 1e3 / TOKENS as f64;
            let target = (format!("<= {MOST} KB"), kilobytes <= MOST);
            table.value("memory per user access token", measured, format_args!("{kilobytes:.2} KB"), Some(target));
        }
        None => table.value("memory per user access token", measured, "not measured on this system", None),
    }
}

pub(crate) fn measure_million(table: &mut Table) {
    let measured = "one fresh process: load of the document, 2,000 hot probes (exact hits), save";
    let Some(found) = in_fresh_process(1_000_000) else {
        return table.value("1M user tokens", measured, "not measured on this system", None);
    };
    let gigabytes = |bytes: f64| format!("{:.2} GB", bytes / 1e9);
    for (figure, value) in [
        (format!("1M user tokens, load of {}", gigabytes(found.text)), Time(found.load).to_string()),
        ("1M user tokens, exact hit".to_owned(), Time(found.lookup).to_string()),
        (format!("1M user tokens, save of {}", gigabytes(found.text)), Time(found.save).to_string()),
        ("1M user tokens, memory, text freed".to_owned(), gigabytes(found.resident)),
        ("1M user tokens, peak memory with the document".to_owned(), gigabytes(found.peak)),
    ] {
        table.value(&figure, measured, value, None);
    }
}

/// Measures, and prints the fields of [`Found`] in their order.
pub(crate) fn run_child(tokens: usize) {
    let before = status("VmRSS:").expect("the parent checked that this system tells");
    let text = Population::Users.document(tokens);
    let length = text.len();
    let started = Instant::now();
    let cache = TokenCache::deserialize(&text).expect("sound");
    let load = nanoseconds(started.elapsed());
    drop(text);
    let resident = status("VmRSS:").expect("it did before") - before;
    let probes = probes(Population::Users, tokens, Asked::Exact);
    let lookup = passes(&probes, Duration::from_secs(1), |probe| probe.look_up(&cache).expect("a hit"))();
    let started = Instant::now();
    drop(black_box(cache.serialize()));
    let save = nanoseconds(started.elapsed());
    let peak = status("VmHWM:").expect("it did before");
    println!("{resident} {peak} {length} {load} {lookup} {save}");
}

fn in_fresh_process(tokens: usize) -> Option<Found> {
    status("VmRSS:")?;
    let program = std::env::current_exe().expect("this program runs");
    let output = Command::new(program).args([CHILD, &tokens.to_string()]).output().expect("it can be run again");
    assert!(output.status.success(), "the fresh process failed: {}", String::from_utf8_lossy(&output.stderr));
    let values: Vec<f64> =
        String::from_utf8_lossy(&output.stdout).split_whitespace().filter_map(|value| value.parse().ok()).collect();
    let [resident, peak, text, load, lookup, save] = values[..] else { panic!("the fresh process prints six numbers") };
    Some(Found { resident, peak, text, load, lookup, save })
}

/// A line of what Linux tells about this process, in bytes; `None` on other systems.
fn status(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
