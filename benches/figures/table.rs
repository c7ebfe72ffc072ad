//! The table: rows are printed as they are measured, what was measured after the last one.

use std::fmt;
use std::thread::available_parallelism;

use benches::measure::{Ratio, Samples};

/// Prints a markdown table.
pub(crate) struct Table {
    measured: Vec<(String, &'static str)>,
}

/// What a figure must reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing: the row is there to read another one by.
    None,
}

impl Table {
    pub(crate) fn begin() -> Self {
        let cores = available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
        println!("{cores} processors; load average at the start {load}\n");
        println!("| figure | ours | limit | ratio (quartiles) | target | met |");
        println!("|---|---|---|---|---|---|");
        Self { measured: Vec::new() }
    }

    /// A row of times per operation: ours over the limit.
    pub(crate) fn times(&mut self, figure: &str, measured: &'static str, [ours, limit]: [&Samples; 2], target: Target) {
        let [ours_text, limit_text] = [ours, limit].map(|samples| Time(samples.median()).to_string());
        self.compared(figure, measured, [ours_text, limit_text], ours.over(limit), target);
    }

    /// A row of times per operation, shown as rates of `per_operation` units: our rate over the limit's.
    pub(crate) fn rates(
        &mut self,
        figure: &str,
        measured: &'static str,
        [ours, limit]: [&Samples; 2],
        (per_operation, unit): (f64, &str),
        target: Target,
    ) {
        let rate = |samples: &Samples| {
            let rate = per_operation / samples.median() * 1e9;
            format!("{rate:.*} {unit}", if rate < 100.0 { 2 } else { 0 })
        };
        self.compared(figure, measured, [rate(ours), rate(limit)], limit.over(ours), target);
    }

    /// A row without a limit: a value, and whether it reaches its target, if it has one.
    pub(crate) fn value(
        &mut self,
        figure: &str,
        measured: &'static str,
        ours: impl fmt::Display,
        target: Option<(String, bool)>,
    ) {
        let (target, met) = target.map_or(("-".to_owned(), "-"), |(target, met)| (target, met_text(met)));
        self.row(figure, measured, format_args!("{ours} | - | - | {target} | {met}"));
    }

    /// Prints what each row measures.
    pub(crate) fn end(self) {
        println!();
        for (figure, measured) in self.measured {
            println!("- **{figure}**: {measured}");
        }
    }

    fn compared(
        &mut self,
        figure: &str,
        measured: &'static str,
        [ours, limit]: [String; 2],
        ratio: Ratio,
        target: Target,
    ) {
        let Ratio { median, lower, upper } = ratio;
        let (target, met) = match target {
            Target::AtMost(most) => (format!("<= {most}x"), met_text(median <= most)),
            Target::AtLeast(least) => (format!(">= {least}x"), met_text(median >= least)),
            Target::None => ("-".to_owned(), "-"),
        };
        self.row(
            figure,
            measured,
            format_args!("{ours} | {limit} | {median:.2}x ({lower:.2}-{upper:.2}) | {target} | {met}"),
        );
    }

    fn row(&mut self, figure: &str, measured: &'static str, cells: fmt::Arguments<'_>) {
        println!("| {figure} | {cells} |");
        // Rows of several sizes measure the same.
        if self.measured.iter().all(|(_, earlier)| *earlier != measured) {
            self.measured.push((figure.to_owned(), measured));
        }
    }
}

fn met_text(met: bool) -> &'static str {
    if met { "met" } else { "**not met**" }
}

/// Nanoseconds in the unit that suits them.
pub(crate) struct Time(pub(crate) f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            nanoseconds if nanoseconds < 1e3 => write!(f, "{nanoseconds:.0} ns"),
            nanoseconds if nanoseconds < 1e6 => write!(f, "{:.2} us", nanoseconds / 1e3),
            nanoseconds if nanoseconds < 1e9 => write!(f, "{:.2} ms", nanoseconds / 1e6),
            nanoseconds => write!(f, "{:.2} s", nanoseconds / 1e9),
        }
    }
}
