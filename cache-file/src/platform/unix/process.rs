//! Which kernel this is, and which processes live.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::stale::Marks;

/// The kernel that runs, by the id of its boot, and the namespace that process ids count in; `None` where the system
/// does not tell. Linux does. macOS tells its boot time only to `sysctl`, which cannot be called without unsafe code:
/// there, locks that a kill left behind are recovered by the rule for other libraries' locks.
pub(crate) fn here() -> Option<Marks> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Marks::new(boot.trim(), namespace.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?)
}

/// Whether a process with this id runs in the namespace of this one.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().filter(|&pid| pid > 0).and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_an_impossible_one_does_not() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
        assert!(!is_alive(u32::MAX));
        assert!(!is_alive(i32::MAX.unsigned_abs()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_its_boot_and_namespace() {
        assert!(here().is_some());
        assert_eq!(here(), here());
    }
}
