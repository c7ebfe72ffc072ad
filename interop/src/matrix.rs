//! Who reads whom: what is missing in each cell, what is expected to be, and the table in `docs/interop.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::answers::{SignIn, Silent};
use crate::flows::Flow;
use crate::peers::Library;

/// Who reads what the other has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The library signs in, we find what it left.
    WeRead,
    /// We sign in, the library finds what we left.
    ItReads,
}

/// A part of a cell that can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The library has no such flow.
    Flow,
    /// The access token, without a request to the identity provider.
    AccessToken,
    /// The account.
    Account,
    /// The refresh token that a new token is asked for with.
    RefreshToken,
}

/// A cell of the matrix.
pub type Cell = (Library, Flow, Direction);

/// What is missing in each cell that was looked at, with what the library said about it.
pub type Matrix = BTreeMap<Cell, (Vec<Part>, String)>;

/// What of a sign-in a reader did not find.
pub fn missing(signed_in: &SignIn, silent: &Silent, refresh_token: Option<&str>) -> Vec<Part> {
    let mut missing = Vec::new();
    if silent.http > 0 || silent.access_token.as_ref() != Some(&signed_in.access_token) {
        missing.push(Part::AccessToken);
    }
    if let Some(home) = signed_in.user() {
        let named = |username: &Option<String>| match (username.as_deref(), signed_in.username.as_deref()) {
            // Of a user without a name each library makes another one.
            (None | Some(""), _) | (_, None | Some("")) => true,
            (listed, known) => listed == known,
        };
        if !silent.accounts.iter().any(|account| account.home_account_id == home && named(&account.username)) {
            missing.push(Part::Account);
        }
    }
    if signed_in.refresh_token.is_some() && signed_in.refresh_token.as_deref() != refresh_token {
        missing.push(Part::RefreshToken);
    }
    missing
}

/// A part that is missing for a reason that is not ours.
struct Exception {
    library: Library,
    flows: &'static [Flow],
    directions: &'static [Direction],
    parts: &'static [Part],
    reason: &'static str,
}

const BOTH: &[Direction] = &[Direction::WeRead, Direction::ItReads];
const IT_READS: &[Direction] = &[Direction::ItReads];

/// Every cell that the library makes impossible. Anything else that is missing fails the test, and so does anything here
/// that is found.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        library: Library::Python,
        flows: &[Flow::Obo],
        directions: IT_READS,
        parts: &[Part::AccessToken],
        reason: "MSAL Python does not look for a token on behalf of an assertion, but asks for a new one each time \
                 (unified-cache schema 3.4)",
    },
    Exception {
        library: Library::Python,
        flows: &[Flow::Pop],
        directions: BOTH,
        parts: &[Part::Flow],
        reason: "MSAL Python proves possession by a broker only, which has a cache of its own",
    },
    Exception {
        library: Library::Node,
        flows: &[Flow::Pop],
        directions: BOTH,
        parts: &[Part::Flow],
        reason: "MSAL Node sets the scheme of a request for proof of possession to Bearer",
    },
    Exception {
        library: Library::Node,
        flows: &[Flow::Ssh],
        directions: IT_READS,
        parts: &[Part::AccessToken],
        reason: "MSAL Node sets the scheme of every silent request to Bearer, and does not find its own certificates either",
    },
    Exception {
        library: Library::Go,
        flows: &[Flow::Obo],
        directions: BOTH,
        parts: &[Part::Flow],
        reason: "MSAL Go gets a token on behalf of an assertion, but neither stores it nor loads one: it exports its other \
                 cache (unified-cache schema 8)",
    },
    Exception {
        library: Library::Java,
        flows: &[Flow::Pop],
        directions: BOTH,
        parts: &[Part::Flow],
        reason: "MSAL Java proves possession by a broker only, which has a cache of its own",
    },
    Exception {
        library: Library::Java,
        flows: &[Flow::Ssh],
        directions: BOTH,
        parts: &[Part::Flow],
        reason: "MSAL Java has no SSH certificates",
    },
    Exception {
        library: Library::Net,
        flows: &[Flow::Obo],
        directions: IT_READS,
        parts: &[Part::Account],
        reason: "MSAL.NET lists accounts that have a refresh token, and keeps none for an assertion (unified-cache schema \
                 2.2, 5.5)",
    },
];

/// What is expected to be missing in a cell.
pub fn expected(cell: Cell) -> Vec<Part> {
    let mut parts: Vec<Part> = exceptions(cell).flat_map(|(_, exception)| exception.parts).copied().collect();
    parts.sort_unstable();
    parts
}

fn exceptions((library, flow, direction): Cell) -> impl Iterator<Item = (usize, &'static Exception)> {
    let applies = move |exception: &Exception| {
        exception.library == library && exception.flows.contains(&flow) && exception.directions.contains(&direction)
    };
    EXCEPTIONS.iter().enumerate().filter(move |(_, exception)| applies(exception))
}

/// A line for each cell in which another part is missing than expected.
pub fn unexpected(matrix: &Matrix) -> Vec<String> {
    let differs = |(cell, (missing, said)): (&Cell, &(Vec<Part>, String))| {
        let (expected, (library, flow, direction)) = (expected(*cell), *cell);
        let heading = format!("{} {} {direction:?}", library.name(), flow.name());
        (*missing != expected).then(|| format!("{heading}: missing {missing:?}, expected {expected:?}; {said}"))
    };
    matrix.iter().filter_map(differs).collect()
}

/// Begins and ends what is generated in `docs/interop.md`.
const MARKS: [&str; 2] = ["<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"];

/// `document` with the table of `matrix` between its marks. Libraries that took no part stand there as expected.
///
/// # Panics
/// If the document has no marks.
pub fn inserted(document: &str, matrix: &Matrix) -> String {
    let [begin, end] = MARKS;
    let (before, rest) = document.split_once(begin).expect("docs/interop.md marks where the matrix begins");
    let (_, after) = rest.split_once(end).expect("and where it ends");
    format!("{before}{begin}{}{end}{after}", table(matrix))
}

fn table(matrix: &Matrix) -> String {
    let mut notes: Vec<usize> = Vec::new();
    let mut rows = String::new();
    for flow in Flow::ALL {
        let _ = write!(rows, "| {} |", flow.name());
        for library in Library::READERS {
            for direction in [Direction::WeRead, Direction::ItReads] {
                let cell = (library, flow, direction);
                let missing = matrix.get(&cell).map_or_else(|| expected(cell), |(missing, _)| missing.clone());
                let mut marks = String::new();
                for (number, _) in exceptions(cell) {
                    let place = notes.iter().position(|note| *note == number).unwrap_or_else(|| {
                        notes.push(number);
                        notes.len() - 1
                    });
                    let _ = write!(marks, " [{}]", place + 1);
                }
                let _ = write!(rows, " {}{marks} |", verdict(&missing));
            }
        }
        rows.push('\n');
    }
    let mut table = String::from("\n| flow |");
    for library in Library::READERS {
        let name = library.name();
        let _ = write!(table, " we read {name} | {name} reads us |");
    }
    let _ = write!(table, "\n|{}\n{rows}\n", " --- |".repeat(1 + 2 * Library::READERS.len()));
    for (place, number) in notes.iter().enumerate() {
        let _ = writeln!(table, "{}. {}.", place + 1, EXCEPTIONS[*number].reason);
    }
    table.push('\n');
    table
}

fn verdict(missing: &[Part]) -> &'static str {
    match missing {
        [] => "yes",
        [Part::Flow] => "does not have it",
        [Part::Account] => "yes, but not the account",
        [Part::RefreshToken] => "yes, but not the refresh token",
        [Part::Account, Part::RefreshToken] => "yes, but neither account nor refresh token",
        [Part::AccessToken] => "no",
        _ => "no, nor the rest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_the_only_cells_that_may_miss_something() {
        let cell = (Library::Python, Flow::Obo, Direction::ItReads);
        let one = |cell, missing: &[Part]| Matrix::from([(cell, (missing.to_vec(), String::new()))]);
        assert!(unexpected(&one(cell, &[Part::AccessToken])).is_empty());
        assert_eq!(unexpected(&one(cell, &[])).len(), 1, "an unexpected yes");
        let other = (Library::Python, Flow::User, Direction::ItReads);
        assert!(unexpected(&one(other, &[])).is_empty());
        assert_eq!(unexpected(&one(other, &[Part::RefreshToken])).len(), 1, "an unexpected no");
    }

    #[test]
    fn a_table_takes_the_place_of_the_last_one() {
        let [begin, end] = MARKS;
        let document = format!("before\n{begin}old\n{end}after\n");
        let new = inserted(&document, &Matrix::new());
        assert!(new.starts_with("before\n") && new.ends_with("after\n") && !new.contains("old"));
        assert_eq!(inserted(&new, &Matrix::new()), new);
    }
}
