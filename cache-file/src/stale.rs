//! What a lock file says of its holder, and when it is a dead one's.
//!
//! | the file is | its holder is dead if its `flock` is free and |
//! |---|---|
//! | of this library, this boot and this process namespace | nothing else: whatever its age |
//! | of this library and this boot, from another container | it is 2 s old: one kernel, so its `flock` tells |
//! | of this library, from another boot or machine | it is over 60 s old: its process id means nothing here |
//! | of another library | it is 2 s old and its process is gone, or it is over 60 s old |
//!
//! The `flock` of a file that is less than 2 s old is left alone, except in the first row: MSAL.NET and Go make the
//! file first and lock it then, and a probe in between takes away their first attempt. 60 s is longer than any of the
//! libraries holds its lock for a cause. A time in the future counts as old.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

/// Younger lock files of other libraries are not probed.
pub(crate) const PROBE_AGE: Duration = Duration::from_secs(2);

/// Lock files of holders that cannot be asked for are dead when they are older than this.
pub(crate) const DEAD_AGE: Duration = Duration::from_secs(60);

/// Where a process id counts: a boot of a kernel, and a namespace within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marks {
    boot: String,
    namespace: String,
}

impl Marks {
    /// `None` if one of the two could not stand in a lock file's line.
    pub(crate) fn new(boot: &str, namespace: &str) -> Option<Self> {
        let sound =
            |mark: &str| !mark.is_empty() && mark.len() <= 64 && mark.bytes().all(|byte| byte.is_ascii_graphic());
        (sound(boot) && sound(namespace)).then(|| Self { boot: boot.to_owned(), namespace: namespace.to_owned() })
    }
}

/// What the one line of a lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The holder's process id.
    pub(crate) pid: Option<u32>,
    marks: Option<Marks>,
}

impl Holder {
    /// Reads the lock file.
    pub(crate) fn read(file: &mut File) -> io::Result<Self> {
        // Longer lines than any library writes; all of them write in one go.
        let mut content = [0; 512];
        let length = file.read(&mut content)?;
        Ok(Self::parse(&content[..length]))
    }

    /// What the first line of a lock file says, whoever wrote it: a byte order mark or none, digits, anything. What a
    /// longer line of an earlier holder left behind stands on the second line (MSAL.NET overwrites in place).
    pub(crate) fn parse(content: &[u8]) -> Self {
        let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
        let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
        // MSAL Go writes `{pid} {program}`, braces and all.
        let line = line.strip_prefix(b"{").unwrap_or(line);
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let pid =
            std::str::from_utf8(&line[..digits]).ok().and_then(|digits| digits.parse().ok()).filter(|&pid| pid != 0);
        let marks = std::str::from_utf8(line).ok().and_then(|line| {
            let mut words = line.trim_end_matches('\r').split(' ').skip(2);
            let boot = words.next()?.strip_prefix("boot=")?;
            let namespace = words.next()?.strip_prefix("pidns=")?;
            if words.next().is_none() { Marks::new(boot, namespace) } else { None }
        });
        Self { pid, marks }
    }

    /// Whether this is a lock file of this library, made in this process's own surroundings.
    pub(crate) fn is_one_of_us(&self, here: Option<&Marks>) -> bool {
        here.is_some() && self.marks.as_ref() == here
    }

    /// Whether the file may be probed for its `flock` at this age; `None`: from the future.
    pub(crate) fn may_be_probed(&self, here: Option<&Marks>, age: Option<Duration>) -> bool {
        self.is_one_of_us(here) || age.is_none_or(|age| age >= PROBE_AGE)
    }

    /// Whether the holder of a file whose `flock` is free is dead.
    pub(crate) fn is_dead(&self, here: Option<&Marks>, age: Option<Duration>, is_alive: impl Fn(u32) -> bool) -> bool {
        let Some(age) = age else { return true };
        match (&self.marks, here) {
            (Some(marks), Some(here)) if marks == here => true,
            (Some(marks), Some(here)) if marks.boot == here.boot => age >= PROBE_AGE,
            (Some(_), _) => age > DEAD_AGE,
            (None, _) => age > DEAD_AGE || (age >= PROBE_AGE && self.pid.is_some_and(|pid| !is_alive(pid))),
        }
    }
}

/// The line that this process writes into its lock files: `pid program boot=… pidns=…`.
pub(crate) fn line(here: Option<&Marks>) -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    render(std::process::id(), &program, here)
}

fn render(pid: u32, program: &str, here: Option<&Marks>) -> String {
    let clean = |character: char| if character.is_ascii_graphic() { character } else { '_' };
    let program: String = program.chars().take(64).map(clean).collect();
    let program = if program.is_empty() { "-" } else { &program };
    match here {
        Some(marks) => format!("{pid} {program} {marks}\n"),
        None => format!("{pid} {program}\n"),
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot={} pidns={}", self.boot, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(boot: &str, namespace: &str) -> Marks {
        Marks::new(boot, namespace).expect("sound marks")
    }

    #[allow(clippy::unnecessary_wraps)] // an age may be unknown
    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        let here = marks("b-1", "4026531836");
        for program in ["tokencache", "a b", "x boot=b-1 pidns=1", "", "Größe\n"] {
            let holder = Holder::parse(render(77, program, Some(&here)).as_bytes());
            assert_eq!(holder, Holder { pid: Some(77), marks: Some(here.clone()) }, "{program:?}");
        }
        assert_eq!(Holder::parse(render(77, "p", None).as_bytes()), Holder { pid: Some(77), marks: None });
    }

    #[test]
    fn lines_of_every_library_give_the_process_id() {
        // In this order: MSAL.NET, Python, Java, Node, Go, and what is none of them.
        for (content, pid) in [
            (&b"\xEF\xBB\xBF4321 dotnet\n"[..], Some(4321)),
            (b"4321 /usr/bin/az", Some(4321)),
            (b"4321 host.example", Some(4321)),
            (b"4321", Some(4321)),
            (b"{4321} {/usr/bin/tool}", Some(4321)),
            (b"", None),
            (b"0", None),
            (b"dotnet 4321", None),
            (b"99999999999999999999", None),
            (b"\xFF\xFE\n4321", None),
        ] {
            assert_eq!(Holder::parse(content), Holder { pid, marks: None }, "{content:?}");
        }
    }

    #[test]
    fn marks_left_on_the_second_line_count_for_nothing() {
        // MSAL.NET has written its shorter line over one of ours.
        let content = b"\xEF\xBB\xBF4321 dotnet\noot=b-1 pidns=4026531836\n";
        assert_eq!(Holder::parse(content), Holder { pid: Some(4321), marks: None });
    }

    #[test]
    fn our_dead_are_told_at_any_age_and_others_by_the_rule() {
        let here = marks("b-1", "1");
        let holder = |marks: Option<Marks>| Holder { pid: Some(9), marks };
        let dead = |marks, age, alive| holder(marks).is_dead(Some(&here), age, |_| alive);
        let probed = |marks, age| holder(marks).may_be_probed(Some(&here), age);

        assert!(probed(Some(here.clone()), secs(0)) && dead(Some(here.clone()), secs(0), true));
        let container = Some(marks("b-1", "2"));
        assert!(!probed(container.clone(), secs(1)) && !dead(container.clone(), secs(1), false));
        assert!(probed(container.clone(), secs(2)) && dead(container, secs(2), true));
        let machine = Some(marks("b-2", "1"));
        assert!(!dead(machine.clone(), secs(60), false) && dead(machine, secs(61), true));

        assert!(!probed(None, secs(1)) && !dead(None, secs(1), false));
        assert!(probed(None, secs(2)) && dead(None, secs(2), false) && !dead(None, secs(2), true));
        assert!(!dead(None, secs(60), true) && dead(None, secs(61), true));
        assert!(probed(None, None) && dead(None, None, true));
    }

    #[test]
    fn without_marks_of_our_own_nobody_is_one_of_us() {
        let holder = Holder { pid: Some(9), marks: Some(marks("b-1", "1")) };
        assert!(!holder.may_be_probed(None, secs(1)));
        assert!(!holder.is_dead(None, secs(60), |_| false) && holder.is_dead(None, secs(61), |_| true));
        assert!(!Holder { pid: Some(9), marks: None }.is_one_of_us(None));
    }
}
