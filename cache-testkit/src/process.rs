//! Worker processes: real ones, started from the test executable itself, that can be killed at a chosen moment.
//!
//! A worker is a test function that does nothing unless it runs in a process started for it. It and the test talk in
//! lines; every wait ends with a line or with the process, never with a sleep.
//!
//! ```no_run
//! use cache_testkit::process::{self, Process};
//! use cache_testkit::worker_name;
//!
//! # fn store_token(_: &str, _: u32) {}
//! # fn stored_tokens(_: &str) -> Vec<String> { vec![] }
//! #[test]
//! #[ignore = "a worker process of other tests"]
//! fn writer() {
//!     process::work(worker_name!(writer), |worker| {
//!         let path = worker.arguments()[0].clone();
//!         for n in 0.. {
//!             store_token(&path, n);
//!             worker.say(&n.to_string()); // acknowledged: from here on it must not be lost
//!         }
//!     });
//! }
//!
//! #[test]
//! fn a_killed_writer_loses_nothing_that_it_acknowledged() {
//!     let mut writer = Process::start(worker_name!(writer), &["/tmp/cache"]);
//!     writer.wait_for_lines(10);
//!     writer.kill();
//!     let stored = stored_tokens("/tmp/cache");
//!     assert!(writer.lines().iter().all(|acknowledged| stored.contains(acknowledged)));
//!     writer.restart();
//!     writer.wait_for_lines(20);
//! }
//! ```

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Stdin, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long any wait may take before it counts as a failure: far longer than a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(120);

const NAME: &str = "CACHE_TESTKIT_WORKER";
const ARGUMENTS: &str = "CACHE_TESTKIT_ARGUMENTS";

/// Begins a message of a worker among the lines of the test harness. The message is `HELLO` or a JSON string.
const MARK: &str = "@worker ";
const HELLO: &str = "hello";

/// The name of a worker function of this module, for [`work`](crate::process::work) and
/// [`Process::start`](crate::process::Process::start).
#[macro_export]
macro_rules! worker_name {
    ($function:ident) => {
        concat!(module_path!(), "::", stringify!($function))
    };
}

/// Runs `work` if this process was started as the worker of this name; else returns at once.
///
/// # Panics
/// If the test that started the process has not said what it must.
pub fn work(name: &str, work: impl FnOnce(&mut Worker)) {
    if env::var_os(NAME).as_deref() != Some(OsStr::new(name)) {
        return;
    }
    let arguments = env::var(ARGUMENTS).expect("a worker is started by Process");
    let arguments = serde_json::from_str(&arguments).expect("arguments are a JSON list");
    let mut worker = Worker { arguments, incoming: BufReader::new(std::io::stdin()) };
    say(HELLO);
    work(&mut worker);
}

/// The worker's side.
#[derive(Debug)]
pub struct Worker {
    arguments: Vec<String>,
    incoming: BufReader<Stdin>,
}

impl Worker {
    /// What [`Process::start`] was given.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Says a line. When this returns the operating system has it: not even a kill takes it back.
    ///
    /// # Panics
    /// If the test is gone.
    pub fn say(&mut self, line: &str) {
        say(&encoded(line));
    }

    /// The next line of the test; `None` once it says no more.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.incoming.read_until(b'\n', &mut line).ok()?;
        serde_json::from_slice(&line).ok()
    }
}

/// A worker process, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    arguments: Vec<String>,
    wrapper: Vec<OsString>,
    running: Running,
    lines: Vec<String>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    outgoing: Option<ChildStdin>,
    incoming: Receiver<String>,
    ended: Option<ExitStatus>,
    killed: bool,
}

impl Process {
    /// Starts the worker of this [name](crate::worker_name); returns when its function has begun.
    ///
    /// # Panics
    /// If there is no such function, or it does not begin within [`DEADLINE`].
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_under::<&str>(&[], name, arguments)
    }

    /// Starts the worker by another program, which must become the worker by `exec`: `["setpriv", "--reuid=65534"]`
    /// runs it as another user, `["prlimit", "--fsize=65536"]` with little room on disk.
    ///
    /// # Panics
    /// As [`start`](Self::start), and if there is no such program.
    pub fn start_under<S: AsRef<OsStr>>(wrapper: &[S], name: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let wrapper: Vec<OsString> = wrapper.iter().map(|part| part.as_ref().to_owned()).collect();
        let running = Running::start(&wrapper, name, &arguments);
        Self { name: name.to_owned(), arguments, wrapper, running, lines: Vec::new() }
    }

    /// Everything that the worker has said and that was waited for or drained, in order, over all its lives.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The next line; `None` when the process has ended and everything it said was heard.
    ///
    /// # Panics
    /// If neither happens within [`DEADLINE`].
    pub fn next_line(&mut self) -> Option<&str> {
        let line = self.running.next(&self.name)?;
        self.lines.push(line);
        self.lines.last().map(String::as_str)
    }

    /// Waits until the worker has said `count` lines, over all its lives.
    ///
    /// # Panics
    /// If it ends before, or does not within [`DEADLINE`].
    pub fn wait_for_lines(&mut self, count: usize) {
        while self.lines.len() < count {
            let heard = self.lines.len();
            assert!(self.next_line().is_some(), "worker {} ended after {heard} lines of {count}", self.name);
        }
    }

    /// Says a line to the worker. Nothing happens if it has ended.
    pub fn say(&mut self, line: &str) {
        if let Some(outgoing) = &mut self.running.outgoing {
            // A worker that has ended is found out by the next wait.
            let _ = outgoing.write_all(format!("{}\n", encoded(line)).as_bytes());
        }
    }

    /// Kills the process at once, as `kill -9` does, and hears what it had said by then. Nothing happens if it has
    /// ended well by itself.
    ///
    /// # Panics
    /// If it had failed by itself.
    pub fn kill(&mut self) {
        if let (Some(status), false) = (self.running.ended(), self.running.killed) {
            assert!(status.success(), "worker {} failed before it was killed: {status}", self.name);
        }
        self.running.kill();
        while self.next_line().is_some() {}
    }

    /// Kills the process if it still runs, and starts it again in the same way.
    ///
    /// # Panics
    /// As [`kill`](Self::kill) and [`start`](Self::start).
    pub fn restart(&mut self) {
        self.kill();
        self.running = Running::start(&self.wrapper, &self.name, &self.arguments);
    }

    /// Says no more, waits for the end of the process, and answers all that it said.
    ///
    /// # Panics
    /// If it fails, or does not end within [`DEADLINE`].
    pub fn finish(mut self) -> Vec<String> {
        self.running.outgoing = None;
        while self.next_line().is_some() {}
        let status = self.running.wait();
        assert!(status.success(), "worker {} failed: {status}", self.name);
        std::mem::take(&mut self.lines)
    }

    /// The id that the operating system gave the process.
    pub fn id(&self) -> u32 {
        self.running.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.running.kill();
    }
}

impl Running {
    fn start(wrapper: &[OsString], name: &str, arguments: &[String]) -> Self {
        // The harness knows a test by its path without the crate.
        let test = name.split_once("::").map_or(name, |(_, test)| test);
        let executable = env::current_exe().expect("the test executable has a path");
        let mut command = match wrapper {
            [] => Command::new(executable),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(executable);
                command
            }
        };
        let mut child = command
            .args(["--exact", test, "--include-ignored", "--nocapture"])
            .env(NAME, name)
            .env(ARGUMENTS, serde_json::Value::from(arguments).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("worker {name} does not start: {error}"));
        let (sender, incoming) = channel();
        let stdout = child.stdout.take().expect("asked for above");
        std::thread::spawn(move || relay(stdout, &sender));
        let outgoing = child.stdin.take();
        let mut running = Self { child, outgoing, incoming, ended: None, killed: false };
        let first = running.next_raw(name);
        assert!(
            first.as_deref() == Some(HELLO),
            "worker {name} does not begin: is there a test function of this name that calls process::work with it?"
        );
        running
    }

    /// The next line that the worker said.
    fn next(&mut self, name: &str) -> Option<String> {
        let message = self.next_raw(name)?;
        Some(serde_json::from_str(&message).expect("a worker speaks by Worker::say"))
    }

    fn next_raw(&mut self, name: &str) -> Option<String> {
        match self.incoming.recv_timeout(DEADLINE) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                panic!("worker {name} said nothing for {DEADLINE:?}")
            }
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the process is ours");
        }
        self.ended
    }

    fn wait(&mut self) -> ExitStatus {
        match self.ended {
            Some(status) => status,
            None => *self.ended.insert(self.child.wait().expect("the process is ours")),
        }
    }

    fn kill(&mut self) {
        if self.ended().is_none() {
            // It may end by itself in this very moment.
            let _ = self.child.kill();
            self.killed = true;
            self.wait();
        }
    }
}

/// Sends the worker's messages on until its output ends. A last line without an end was cut by a kill: never said.
fn relay(stdout: ChildStdout, sender: &Sender<String>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        if let Some(message) = whole.and_then(|line| line.strip_prefix(MARK))
            && sender.send(message.to_owned()).is_err()
        {
            return;
        }
        line.clear();
    }
}

/// Past the harness, which has begun a line of its own (`test name ... `) and keeps what `println!` writes.
fn say(message: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(format!("\n{MARK}{message}\n").as_bytes()).and_then(|()| stdout.flush());
    written.expect("the test listens to its worker");
}

fn encoded(line: &str) -> String {
    serde_json::Value::from(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    #[ignore = "a worker process of other tests"]
    fn echo() {
        work(worker_name!(echo), |worker| {
            for argument in worker.arguments().to_vec() {
                worker.say(&argument);
            }
            while let Some(line) = worker.hear() {
                worker.say(&line);
            }
        });
    }

    #[test]
    #[ignore = "a worker process of other tests"]
    fn counter() {
        work(worker_name!(counter), |worker| {
            for n in 0.. {
                worker.say(&format!("{}:{n}", std::process::id()));
            }
        });
    }

    #[test]
    #[ignore = "a worker process of other tests"]
    fn failing() {
        work(worker_name!(failing), |worker| {
            worker.say("before");
            std::process::exit(3);
        });
    }

    #[test]
    fn lines_go_both_ways_whatever_is_in_them() {
        let odd = "two\nlines \0 @worker \"quoted\" \u{1f511}";
        let mut process = Process::start(worker_name!(echo), &["first", "", odd]);
        process.wait_for_lines(3);
        process.say(odd);
        assert_eq!(process.next_line(), Some(odd));
        process.say("last");
        assert_eq!(process.finish(), ["first", "", odd, odd, "last"]);
    }

    #[test]
    fn a_killed_process_says_no_more_and_starts_again() {
        let mut process = Process::start(worker_name!(counter), &[]);
        process.wait_for_lines(5);
        let first = process.id();
        process.kill();
        let heard = process.lines().len();
        assert_eq!(process.next_line(), None);
        let expected: Vec<String> = (0..heard).map(|n| format!("{first}:{n}")).collect();
        assert_eq!(process.lines(), expected, "no line is lost or torn");
        process.restart();
        process.wait_for_lines(heard + 1);
        assert_ne!(process.id(), first);
        assert_eq!(process.lines()[heard], format!("{}:0", process.id()));
    }

    #[test]
    fn a_worker_that_fails_fails_the_test() {
        let end = |end: fn(Process)| {
            let mut process = Process::start(worker_name!(failing), &[]);
            while process.next_line().is_some() {}
            process.running.wait();
            catch_unwind(AssertUnwindSafe(|| end(process))).is_err()
        };
        assert!(end(|process| drop(process.finish())));
        assert!(end(|mut process| process.kill()));
        assert!(end(|mut process| process.wait_for_lines(2)));
    }

    #[test]
    fn a_name_without_a_worker_is_found_out() {
        for name in ["cache_testkit::no_such_worker", worker_name!(lines_go_both_ways_whatever_is_in_them)] {
            // The second exists, and is no worker: it starts processes of its own instead of saying hello.
            assert!(catch_unwind(|| Process::start(name, &[])).is_err(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_worker_can_run_under_another_program() {
        let wrapper = ["sh", "-c", "umask 027; exec \"$0\" \"$@\""];
        let process = Process::start_under(&wrapper, worker_name!(echo), &["hello"]);
        assert_eq!(process.finish(), ["hello"]);
    }
}
