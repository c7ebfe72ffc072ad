//! Each library signs in, and we find what it left; we sign in, and each library finds what we left: every flow that the
//! library has.
//!
//! `INTEROP_WRITE_DOCS=1` writes the matrix into `docs/interop.md`; otherwise it must be there.

use std::path::Path;

use interop::answers::SignIn;
use interop::flows::Flow;
use interop::matrix::{self, Direction, Matrix, Part};
use interop::ours;
use interop::peers::{Library, available};
use interop::reader::Reader;

#[test]
fn every_library_and_flow() {
    let mut matrix = Matrix::new();
    for (library, peer) in available(&Library::READERS) {
        let reader = Reader::new(library, peer);
        for flow in Flow::ALL {
            look(&reader, flow, &mut matrix);
        }
    }
    let unexpected = matrix::unexpected(&matrix);
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    compare_with_document(&matrix);
}

/// Fills both cells of the library and flow.
fn look(reader: &Reader, flow: Flow, matrix: &mut Matrix) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (theirs, ours) = (folder.path().join("theirs.json"), folder.path().join("ours.json"));
    let cells = [Direction::WeRead, Direction::ItReads].map(|direction| (reader.library(), flow, direction));
    match reader.sign_in(flow, &theirs) {
        Ok(signed_in) => {
            matrix.insert(cells[0], we_read(flow, &signed_in, &theirs, reader.now()));
            matrix.insert(cells[1], it_reads(reader, flow, &signed_in, &ours));
        }
        Err(reason) => matrix.extend(cells.map(|cell| (cell, (vec![Part::Flow], reason.clone())))),
    }
}

fn we_read(flow: Flow, signed_in: &SignIn, cache: &Path, now: i64) -> (Vec<Part>, String) {
    let (silent, refresh_token) = ours::read(flow, signed_in, cache, now).expect("a document of an MSAL library");
    let missing = matrix::missing(signed_in, &silent, refresh_token.as_deref());
    (missing, format!("{signed_in:?} found as {silent:?}, {refresh_token:?}"))
}

fn it_reads(reader: &Reader, flow: Flow, like: &SignIn, cache: &Path) -> (Vec<Part>, String) {
    let signed_in = ours::sign_in(reader.library(), flow, like, cache, reader.now()).expect("a sign-in");
    match reader.read(flow, cache) {
        Ok((silent, refresh_token)) => {
            let missing = matrix::missing(&signed_in, &silent, refresh_token.as_deref());
            (missing, format!("{signed_in:?} found as {silent:?}, {refresh_token:?}"))
        }
        Err(reason) => (vec![Part::Flow], reason),
    }
}

fn compare_with_document(matrix: &Matrix) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interop.md");
    let committed = std::fs::read_to_string(&path).expect("docs/interop.md");
    let generated = matrix::inserted(&committed, matrix);
    if std::env::var("INTEROP_WRITE_DOCS").is_ok_and(|write| write == "1") {
        std::fs::write(&path, generated).expect("docs/interop.md can be written");
    } else {
        assert_eq!(committed, generated, "INTEROP_WRITE_DOCS=1 interop/run.sh writes the matrix");
    }
}
