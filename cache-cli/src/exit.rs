//! Exit codes, and the one way in which a command fails.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::text::printable;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// Failed; the message says why and what to do.
    Error = 1,
    /// The arguments do not fit.
    Usage = 2,
    /// Nothing was found that answers: no valid token, no such account or entry, nothing to remove or to copy.
    Nothing = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends early: the exit code, what failed with the next step, and lines that belong to it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    lines: Vec<String>,
}

impl Failure {
    /// Exit 1.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// Exit 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit 4.
    pub(crate) fn nothing(message: impl Into<String>) -> Self {
        Self::new(Exit::Nothing, message)
    }

    /// Exit 1, from an operation of the system.
    pub(crate) fn io(action: impl Display, error: &io::Error) -> Self {
        Self::error(format!("{action}: {error}"))
    }

    /// What a failed write to standard output means. Whoever closed it early, as `head` does, has got what it wanted.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Success, ""),
            _ => Self::io("writing the output", error),
        }
    }

    /// The same failure with lines below its message, for example the candidates of an ambiguous name.
    pub(crate) fn with_lines(self, lines: impl IntoIterator<Item = String>) -> Self {
        Self { lines: lines.into_iter().collect(), ..self }
    }

    /// Prints the failure to standard error, and answers how to exit.
    pub(crate) fn report(self) -> Exit {
        if !self.message.is_empty() {
            warn(&self.message);
            // What cannot be said has no other place to be said at.
            let mut stderr = anstream::stderr().lock();
            let _ = self.lines.iter().try_for_each(|line| writeln!(stderr, "  {}", printable(line)));
        }
        self.exit
    }

    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), lines: Vec::new() }
    }
}

impl From<cache_core::Error> for Failure {
    fn from(error: cache_core::Error) -> Self {
        use cache_core::ErrorKind;
        // Where the library names its own functions.
        let names = |name: &str| error.message().contains(name);
        let here = match error.store() {
            Some("sqlite") if error.kind() == ErrorKind::Corrupt => "; see `tokencache recover`",
            Some("redis") if names("RedisStore::cluster") => "; here that is redis+cluster://HOST:PORT",
            Some("redis") if names("RedisStore::at") => "; here that is redis://HOST:PORT",
            Some("redis") if names("password") => {
                "; here the user stands in the URL or in TOKENCACHE_REDIS_USER, the password in \
                 TOKENCACHE_REDIS_PASSWORD or a password file"
            }
            Some("redis") if names("root certificate") => "; here SSL_CERT_FILE names its file",
            _ => "",
        };
        Self::error(format!("{error}{here}"))
    }
}

/// Prints a message to standard error.
pub(crate) fn warn(message: &str) {
    let _ = writeln!(anstream::stderr().lock(), "tokencache: {}", printable(message));
}

/// Prints what the argument parser answered: help and version to standard output, errors to standard error.
pub(crate) fn of_arguments(answer: &clap::Error) -> Exit {
    if !answer.use_stderr() {
        let _ = answer.print();
        return Exit::Success;
    }
    let text = answer.render().to_string();
    // The parser's own prefix gives way to ours; a help text has none.
    let _ = match text.strip_prefix("error: ") {
        Some(message) => write!(anstream::stderr().lock(), "tokencache: {message}"),
        None => answer.print(),
    };
    Exit::Usage
}
