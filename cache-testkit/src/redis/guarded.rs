//! A process that does not outlive the test program, however that ends.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid};

/// Becomes the program, and leaves a guard beside it: a shell that waits for a line on the pipe which only the test
/// program holds the other end of. The pipe's end without a line means that the test program is gone, and the guard kills
/// the process. The shell's id is the process's after `exec`.
///
/// A group of processes that loses its parent while one of it is stopped is sent a hang-up, which the guard must survive.
const GUARDED: &str = r#"
exec 3<&0 </dev/null
{ trap '' HUP; read -r _ <&3 || kill -KILL $$; } >/dev/null 2>&1 &
exec "$@" 3<&-
"#;

/// A process and its guard. It is killed when it is dropped.
pub(super) struct Guarded {
    child: Child,
    guard: ChildStdin,
}

impl Guarded {
    /// Starts the program in the folder, with both its outputs in the log.
    pub(super) fn start(program: &str, arguments: &[&str], folder: &Path, log: File) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", GUARDED, "sh", program])
            .args(arguments)
            .current_dir(folder)
            // An interrupt from the keyboard is for the test program; the guard must outlive it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a handle of a file"))
            .stderr(log)
            .spawn()
            .expect("sh starts");
        let guard = child.stdin.take().expect("asked for above");
        Self { child, guard }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state(WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_some()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state(WaitIdOptions::STOPPED | WaitIdOptions::NOHANG).is_some_and(|state| state.stopped())
    }

    /// Whether the process is stopped by it: it may be gone.
    pub(super) fn stop(&self) -> bool {
        self.signal(Signal::STOP);
        self.state(WaitIdOptions::STOPPED | WaitIdOptions::EXITED).is_some_and(|state| state.stopped())
    }

    pub(super) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child, and not waited for");
    }

    /// Looks without waiting for the child in the sense of the system, which only [`drop`](Self::drop) does: its id stays
    /// its own, for our signals and for the guard's.
    fn state(&self, options: WaitIdOptions) -> Option<WaitIdStatus> {
        let child = WaitId::Pid(Pid::from_child(&self.child));
        waitid(child, options | WaitIdOptions::NOWAIT).expect("it is our child, and not waited for")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // The guard is sent home before the process is waited for: from then on its id may be another's.
        let _ = self.guard.write_all(b"\n");
        let _ = self.child.wait();
    }
}
