//! SQLite's failures as the kinds that a caller can act upon.

use cache_core::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// The error of a read.
pub(crate) fn reading(error: rusqlite::Error) -> Error {
    of_sqlite("reading", error)
}

/// The error of `action`. Its message is SQLite's own text for the code, which holds no values.
#[allow(clippy::needless_pass_by_value)] // for `map_err`
pub(crate) fn of_sqlite(action: &str, error: rusqlite::Error) -> Error {
    let Some(cause) = error.sqlite_error() else {
        let (kind, message) = match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => (ErrorKind::Corrupt, "a row is not what this program writes"),
            // Statements are fixed: what they name is in every database of this layout that is whole.
            rusqlite::Error::SqlInputError { .. } => (ErrorKind::Corrupt, "the tables are not those of this program"),
            _ => (ErrorKind::Internal, "the database was asked for what it cannot do"),
        };
        return Error::new(kind, format!("{action}: {message}"));
    };
    let code = rusqlite::ffi::code_to_str(cause.extended_code);
    let (kind, next) = match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => (
            ErrorKind::Busy,
            "another process has held the database for longer than the lock wait; try again, or look for a process that hangs",
        ),
        // A row that its table or index cannot hold is none that this program asks for: the index is damaged.
        ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation => {
            (ErrorKind::Corrupt, "the database is damaged; `SqliteStore::recover` keeps what can be read of it")
        }
        ErrorCode::NotADatabase => {
            (ErrorKind::Unsupported, "the file is no SQLite database; give a path of its own to the token cache")
        }
        ErrorCode::ReadOnly => {
            (ErrorKind::Denied, "the database or its folder cannot be written to; nothing was written")
        }
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (ErrorKind::Denied, "the operating system refuses access")
        }
        ErrorCode::CannotOpen => (
            ErrorKind::Denied,
            "the database cannot be opened; look at the rights of the file, of its folder and of the files `-wal` and `-shm`",
        ),
        ErrorCode::DiskFull => (ErrorKind::Unavailable, "the disk is full; nothing was written"),
        ErrorCode::SystemIoFailure => {
            (ErrorKind::Unavailable, "reading or writing failed; look at the disk, then try again")
        }
        ErrorCode::TooBig => (ErrorKind::TooLarge, "SQLite keeps no value as large as this; nothing was written"),
        _ => (ErrorKind::Internal, "SQLite refused; this is a defect of this program"),
    };
    Error::new(kind, format!("{action}: {code}: {next}"))
}
