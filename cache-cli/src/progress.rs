//! The progress bar of commands that take long.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar on standard error that counts up to `length`, of `what`; on a terminal only. It goes when it is dropped.
pub(crate) fn progress_bar(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {what}, {{elapsed}}")) {
        bar.set_style(style);
    }
    bar
}
