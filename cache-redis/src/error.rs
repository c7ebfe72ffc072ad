//! Redis' failures as the kinds that a caller can act upon.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use cache_core::{Error, ErrorKind};
use redis::{RedisError, ServerErrorKind};

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another connection, at once: this one is broken, or leads to a server that takes no writes any more.
    Reconnect,
    /// Another try a little later: the server is about to be ready.
    Wait,
    /// Nothing: it would fail again.
    Fail,
}

pub(crate) fn next(error: &RedisError) -> Next {
    use redis::ErrorKind as Kind;
    match error.kind() {
        Kind::Server(ServerErrorKind::ReadOnly) => Next::Reconnect,
        Kind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown,
        )
        | Kind::ClusterConnectionNotFound
        | Kind::MasterNameNotFoundBySentinel
        | Kind::NoValidReplicasFoundBySentinel => Next::Wait,
        Kind::Io if !is_distrusted(error) => Next::Reconnect,
        _ => Next::Fail,
    }
}

/// The error of a request. No text of the server is in it: that may hold names of keys.
#[allow(clippy::needless_pass_by_value)] // for `map_err`
pub(crate) fn of_redis(error: RedisError) -> Error {
    use redis::ErrorKind as Kind;
    let (kind, message) = match error.kind() {
        Kind::AuthenticationFailed => (
            ErrorKind::Denied,
            "the server refuses these credentials; look at the user and the password, and at the server's ACL",
        ),
        Kind::Server(ServerErrorKind::NoPerm) => (ErrorKind::Denied, NOT_PERMITTED),
        Kind::Server(ServerErrorKind::ReadOnly) => {
            (ErrorKind::Unavailable, "the server is a replica and takes no writes; a fail-over may be under way")
        }
        Kind::Server(ServerErrorKind::BusyLoading) => (ErrorKind::Unavailable, "the server is loading its data"),
        Kind::Server(ServerErrorKind::TryAgain | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown)
        | Kind::ClusterConnectionNotFound => (ErrorKind::Unavailable, "a part of the cluster is not there"),
        Kind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
            (ErrorKind::InvalidInput, "the server is a node of a cluster; open the store by `RedisStore::cluster`")
        }
        Kind::MasterNameNotFoundBySentinel | Kind::NoValidReplicasFoundBySentinel => {
            (ErrorKind::Unavailable, "the sentinels know no server of this name that is alive")
        }
        Kind::InvalidClientConfig | Kind::EmptySentinelList => {
            (ErrorKind::InvalidInput, "no server can be reached by these settings")
        }
        Kind::Parse | Kind::UnexpectedReturnType => {
            (ErrorKind::Unsupported, "the answer is not one of Redis; something else listens there")
        }
        _ => of_code(&error),
    };
    Error::new(kind, message)
}

/// Kinds that only the code of the server's answer tells apart.
fn of_code(error: &RedisError) -> (ErrorKind, &'static str) {
    match error.code() {
        Some("WRONGTYPE") => {
            (ErrorKind::Unsupported, "another program has a value of its own under this prefix; choose another prefix")
        }
        // By the scripts.
        Some("CORRUPT") => (
            ErrorKind::Corrupt,
            "the head of a partition is damaged; `CacheStore::remove` it, and its users sign in again",
        ),
        Some("NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Denied, "the server asks for other credentials; give the store a user and a password")
        }
        Some("NOPERM") => (ErrorKind::Denied, NOT_PERMITTED),
        Some("BUSY" | "UNKILLABLE") => (
            ErrorKind::Unavailable,
            "the server is busy with a script that takes long; look for the program that runs it",
        ),
        Some("OOM") => (ErrorKind::Unavailable, FULL),
        Some("MISCONF") => {
            (ErrorKind::Unavailable, "the server takes no writes since it cannot save them; look at its disk")
        }
        Some("NOREPLICAS") => {
            (ErrorKind::Unavailable, "the server takes no writes since too few replicas are connected")
        }
        _ if is_distrusted(error) => (
            ErrorKind::Denied,
            "the server's certificate is not trusted, or not for this name; give the root certificate that it is signed by",
        ),
        _ if error.is_timeout() => (ErrorKind::Unavailable, LATE),
        _ if error.is_connection_refusal() => {
            (ErrorKind::Unavailable, "no server listens there, or it refuses the connection")
        }
        _ if error.is_io_error() => (ErrorKind::Unavailable, "the connection to the server broke"),
        _ => of_text(error.detail().unwrap_or_default()),
    }
}

/// Kinds that only the text of the server's answer tells apart (redis/redis, src/networking.c, src/script.c and
/// src/script_lua.c). It is not shown.
fn of_text(text: &str) -> (ErrorKind, &'static str) {
    let says = |part: &str| text.contains(part);
    if says("The user executing the script can't") || says("ACL failure") {
        return (ErrorKind::Denied, NOT_PERMITTED);
    }
    if says("DB index is out of range") {
        return (ErrorKind::InvalidInput, "the server has no database of this number");
    }
    if says("cluster support disabled") {
        return (ErrorKind::InvalidInput, "the server is no node of a cluster; open the store by `RedisStore::at`");
    }
    if says("invalid bulk length") || says("invalid multibulk length") {
        return (ErrorKind::TooLarge, "the server takes no value, or no commit, as large as that; nothing was written");
    }
    // Lua was given something else than a number.
    if says("attempt to") || says("bad argument") {
        let message = "the numbers of a partition or lease are damaged; remove the partition to make it anew";
        return (ErrorKind::Corrupt, message);
    }
    (ErrorKind::Internal, "the server refused the request; this is a defect of this program")
}

const NOT_PERMITTED: &str =
    "the server's ACL does not let this user do what the store needs; its documentation has the rule";

/// Whether the other end does not prove by TLS who it is.
fn is_distrusted(error: &RedisError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn StdError + Send + Sync>>());
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

const FULL: &str = "the server's memory is full; nothing was written";

/// Whether it is worth while to write the same again when the server is back. Not to one whose memory is full: it lets removals
/// through, and these must not wait for what came before them.
pub(crate) fn is_away(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.message() != FULL
}

/// Whether what is queued need not wait on, since it can never be written, or must not keep removals waiting. Anything else may
/// pass: a server comes back before its users are known to it, a proxy answers for it, a protector has no key for a moment. A
/// sign-out that was given up for that would be undone by the next read.
pub(crate) fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::InvalidInput | ErrorKind::Corrupt)
        || error.message() == FULL
}

const LATE: &str = "the server has not answered within the deadline; what it did is unknown";

/// No answer in time.
pub(crate) fn late() -> Error {
    Error::new(ErrorKind::Unavailable, LATE)
}

/// Another caller has just tried in vain to write what was queued before.
pub(crate) fn behind() -> Error {
    Error::new(ErrorKind::Unavailable, "what was queued before it cannot be written yet")
}

/// An answer that the scripts do not give.
pub(crate) fn unexpected() -> Error {
    Error::new(ErrorKind::Corrupt, "what is stored is not what this program writes")
}
