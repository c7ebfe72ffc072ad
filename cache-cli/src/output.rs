//! What is printed, and how: every command builds a [`Report`] and prints it in one write.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use cache_core::SecretBuffer;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::args::Format;
use crate::exit::Failure;
use crate::text::{printable, tsv_field};

/// The result of a command. Its JSON is documented in the README.
pub(crate) trait Report: Serialize {
    /// The result for people.
    fn table(&self, page: &mut Page);

    /// The result as rows of fields.
    fn rows(&self, rows: &mut Rows);
}

/// Standard output in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// The form asked for; without one a table on a terminal, else JSON.
    pub(crate) fn new(format: Option<Format>) -> Self {
        let by_itself = if Self::is_terminal() { Format::Table } else { Format::Json };
        Self { format: format.unwrap_or(by_itself) }
    }

    /// The form of the output.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Prints a report in the form asked for.
    pub(crate) fn print(self, report: &impl Report) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let mut page = Page::default();
                report.table(&mut page);
                let mut stdout = anstream::stdout().lock();
                let written = stdout.write_all(page.text.expose()).and_then(|()| stdout.flush());
                written.map_err(|error| Failure::of_output(&error))
            }
            Format::Tsv => {
                let mut rows = Rows::default();
                report.rows(&mut rows);
                Self::write(rows.text.expose())
            }
            Format::Json | Format::Token => Self::json(report),
        }
    }

    /// Prints a value as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
        let mut text = SecretBuffer::with_capacity(4096);
        serde_json::to_writer_pretty(&mut text, value)
            .map_err(|_| Failure::error("the result has no form in JSON; this is a defect of tokencache"))?;
        text.push(b"\n");
        Self::write(text.expose())
    }

    /// Prints bytes as they are.
    pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::of_output(&error))
    }
}

/// A page for people: lines and tables.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: SecretBuffer,
}

impl Page {
    /// A line.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.push(&printable(&text.to_string()));
        self.push("\n");
    }

    /// An empty line, except at the beginning of the page.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() {
            self.push("\n");
        }
    }

    /// A title, and below it a table with its columns named; nothing at all for no rows.
    pub(crate) fn section<const N: usize>(&mut self, title: &str, columns: [&str; N], rows: &[[Cell<'_>; N]]) {
        if rows.is_empty() {
            return;
        }
        self.gap();
        self.line(format_args!("{title} ({})", rows.len()));
        let header = columns.map(|name| Cell { text: Cow::Borrowed(name), style: Style::new().bold() });
        self.table(std::iter::once(&header).chain(rows));
    }

    /// Rows in aligned columns.
    pub(crate) fn table<'r, 't: 'r, const N: usize>(&mut self, rows: impl Iterator<Item = &'r [Cell<'t>; N]> + Clone) {
        let mut widths = [0; N];
        for row in rows.clone() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.width().max(*width);
            }
        }
        for row in rows {
            for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
                let style = cell.style;
                self.push(&style.render().to_string());
                self.push(&cell.text);
                self.push(&style.render_reset().to_string());
                if n + 1 < N {
                    self.push(&" ".repeat(width - cell.text.width() + 2));
                }
            }
            self.push("\n");
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push(text.as_bytes());
    }
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell<'t> {
    text: Cow<'t, str>,
    style: Style,
}

impl<'t> Cell<'t> {
    /// A cell with this text.
    pub(crate) fn of(text: impl Into<Cow<'t, str>>) -> Self {
        let text = match text.into() {
            Cow::Borrowed(text) => printable(text),
            Cow::Owned(text) => match printable(&text) {
                Cow::Borrowed(_) => Cow::Owned(text),
                Cow::Owned(escaped) => Cow::Owned(escaped),
            },
        };
        Self { text, style: Style::new() }
    }

    /// The same cell, standing out if `condition` holds.
    pub(crate) fn alarming_if(self, condition: bool) -> Self {
        let style = if condition { AnsiColor::Red.on_default() } else { self.style };
        Self { style, ..self }
    }
}

/// Rows of tab-separated fields.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    text: SecretBuffer,
}

impl Rows {
    /// One row.
    pub(crate) fn row(&mut self, fields: &[&str]) {
        for (n, field) in fields.iter().enumerate() {
            self.text.push(if n == 0 { b"" } else { b"\t" });
            self.text.push(tsv_field(field).as_bytes());
        }
        self.text.push(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut page = Page::default();
        let rows = [["\u{4f60}\u{597d}", "1"], ["ab", "2"], ["\u{1b}[0m", "3"]].map(|row| row.map(Cell::of));
        page.table(rows.iter());
        let text = anstream::adapter::strip_bytes(page.text.expose()).into_vec();
        assert_eq!(String::from_utf8_lossy(&text), "\u{4f60}\u{597d}       1\nab         2\n\\u{1b}[0m  3\n");
    }

    #[test]
    fn a_row_is_one_line() {
        let mut rows = Rows::default();
        rows.row(&["a\tb", "", "c\nd"]);
        assert_eq!(rows.text.expose(), b"a\\tb\t\tc\\nd\n");
    }
}
