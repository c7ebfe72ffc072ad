//! What this process does to keep its memory to itself, and what it hands on to its children.

use std::process::Command;

/// The variable that a passphrase may come in.
pub(crate) const PASSPHRASE_VARIABLE: &str = "TOKENCACHE_PASSPHRASE";

/// The variable that the password of a Redis server may come in, and the one of the user that it belongs to.
pub(crate) const REDIS_PASSWORD_VARIABLE: &str = "TOKENCACHE_REDIS_PASSWORD";
pub(crate) const REDIS_USER_VARIABLE: &str = "TOKENCACHE_REDIS_USER";

/// Lets no crash write the memory of this process, which holds tokens and keys, to a file or hand it to a collector.
///
/// On Linux the process is made undumpable too: a collector behind a pipe ignores the limit, and other processes of the
/// same user can then read neither the memory nor the environment, where a passphrase or a password may stand.
pub(crate) fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // Lowering a limit is always allowed. Where it fails all the same, there is nothing better to do.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// A command that runs this program again, without the secrets of the environment.
pub(crate) fn again() -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_remove(PASSPHRASE_VARIABLE).env_remove(REDIS_PASSWORD_VARIABLE);
    Ok(command)
}
