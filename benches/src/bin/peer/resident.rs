//! How much memory this process takes, as Linux counts it.

use std::fs;

use crate::Failure;

/// Bytes that are resident now.
pub(crate) fn now() -> Result<f64, Failure> {
    status("VmRSS:")
}

/// The most bytes that were resident at a time.
pub(crate) fn peak() -> Result<f64, Failure> {
    status("VmHWM:")
}

fn status(name: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("/proc/self/status has no such line")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0)
}
