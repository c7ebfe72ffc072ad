//! Another user of the machine: who owns files, and runs worker processes. Only root can show anything with one.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::folder::text;
use crate::process::Process;
use crate::promises::say;

/// The id of another user than this process may run as, and of that user's group: `nobody` on most systems.
pub const NOBODY: u32 = 65_534;

/// Whether this process may do everything; said aloud where a test then has nothing to show.
pub fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        say("not root: the parts of this test that need another user or a mount are left out");
    }
    is_root
}

/// Makes what lies at `path` the other user's, and of that user's group.
///
/// # Panics
/// If this process is not root.
pub fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
}

/// Starts a worker as [`Process::start`] does, as the other user. The test program is copied into `folder`, where that
/// user must be able to start it: the folder of the build may be closed to others.
///
/// # Panics
/// As [`Process::start`], if the program cannot be copied, and if this process is not root.
pub fn start(folder: &Path, worker: &str, arguments: &[&str]) -> Process {
    let program = folder.join("worker");
    fs::copy(std::env::current_exe().expect("the test executable has a path"), &program).expect("copied");
    // The program that `Process` names is the one that the other user may not reach: the copy takes its place.
    let script = format!(
        "program=$1; shift 2; cd /; exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups \"$program\" \"$@\""
    );
    Process::start_under(&["sh", "-c", &script, "sh", &text(&program)], worker, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{Folder, set_mode};
    use crate::process;
    use crate::worker_name;

    #[test]
    #[ignore = "a worker process of other tests"]
    fn who_am_i() {
        process::work(worker_name!(who_am_i), |worker| {
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            worker.say(&format!("{user} {group} {}", fs::read(&worker.arguments()[0]).is_ok()));
        });
    }

    #[test]
    fn a_worker_of_the_other_user_has_its_rights_alone() {
        if !is_root() {
            return;
        }
        let folder = Folder::new();
        set_mode(folder.path(), 0o755);
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        for path in [&ours, &theirs] {
            fs::write(path, "").expect("written");
            set_mode(path, 0o600);
        }
        give(&theirs);
        for (path, may_read) in [(&ours, false), (&theirs, true)] {
            let lines = start(folder.path(), worker_name!(who_am_i), &[&text(path)]).finish();
            assert_eq!(lines, [format!("{NOBODY} {NOBODY} {may_read}")]);
        }
    }
}
