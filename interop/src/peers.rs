//! Which libraries there are, where their programs are, and how they are run.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::flows;

/// How long any wait may take before it counts as a failure: far longer than a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// An MSAL library with its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    /// MSAL Python with msal-extensions, whose lock is a file that is created exclusively.
    Python,
    /// The same with portalocker beside it, by which the lock is `flock` too.
    PythonPortalocker,
    /// MSAL Node.
    Node,
    /// MSAL Go.
    Go,
    /// MSAL Java.
    Java,
    /// MSAL.NET.
    Net,
}

impl Library {
    /// Those that read and write documents each in a way of their own, in the order of the matrix.
    pub const READERS: [Self; 5] = [Self::Python, Self::Node, Self::Go, Self::Java, Self::Net];

    /// The name of the product.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "MSAL Python",
            Self::PythonPortalocker => "MSAL Python with portalocker",
            Self::Node => "MSAL Node",
            Self::Go => "MSAL Go",
            Self::Java => "MSAL Java",
            Self::Net => "MSAL.NET",
        }
    }

    /// Its program, if it is installed.
    pub fn peer(self) -> Option<Peer> {
        let (installed, sources) = (installed(), Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"));
        let python = |environment: &str, program: &str| {
            vec![installed.join(environment).join("bin/python"), sources.join("python").join(program)]
        };
        // What must be there, in the order of the command line, the interpreter aside.
        let (interpreter, parts) = match self {
            Self::Python => (None, python("python-excl", "peer.py")),
            Self::PythonPortalocker => (None, python("python-portalocker", "peer.py")),
            Self::Node => (Some("node"), vec![sources.join("node/peer.mjs")]),
            Self::Go => (None, vec![installed.join("go/peer")]),
            Self::Java => (Some("java"), vec![installed.join("java/peer.jar")]),
            Self::Net => (None, vec![net_program(&installed)]),
        };
        let modules = installed.join("node/node_modules");
        if !parts.iter().all(|part| part.exists()) || self == Self::Node && !modules.is_dir() {
            return None;
        }
        let mut command: Vec<OsString> = interpreter.into_iter().map(OsString::from).collect();
        if self == Self::Java {
            command.push("-jar".into());
        }
        command.extend(parts.into_iter().map(OsString::from));
        if self == Self::Net {
            command.push("storage".into());
        }
        Some(Peer { name: self.name(), command, modules })
    }
}

/// The libraries among these that are installed, with their programs; says of each other one that it is missing.
///
/// # Panics
/// If one is missing where none may be.
pub fn available(libraries: &[Library]) -> Vec<(Library, Peer)> {
    let find = |&library: &Library| {
        let peer = library.peer();
        if peer.is_none() {
            say_missing(library.name());
        }
        Some((library, peer?))
    };
    libraries.iter().filter_map(find).collect()
}

/// Says that this takes no part.
///
/// # Panics
/// Where none may be missing: with `INTEROP_REQUIRE=1`, which `run.sh` sets where `CI=true`.
#[allow(clippy::print_stderr)] // a test that shows less than its name says must tell
pub fn say_missing(name: &str) {
    let is_required = env::var("INTEROP_REQUIRE").is_ok_and(|require| require == "1");
    assert!(!is_required, "{name} is missing: interop/run.sh installs it");
    eprintln!("{name} is missing and takes no part: interop/run.sh installs it");
}

/// Where `run.sh` installs the peers: `INTEROP_PEERS`, else `interop` in the target folder that this program runs from.
pub fn installed() -> PathBuf {
    let beside_this = || {
        let program = env::current_exe().ok()?;
        Some(program.ancestors().nth(3)?.join("interop"))
    };
    env::var_os("INTEROP_PEERS").map(PathBuf::from).or_else(beside_this).unwrap_or_default()
}

/// A program with the commands of `peers/README.md`.
#[derive(Debug, Clone)]
pub struct Peer {
    name: &'static str,
    command: Vec<OsString>,
    modules: PathBuf,
}

impl Peer {
    /// This toolkit's own, by the path of the program `ours`.
    pub fn ours(program: &str) -> Self {
        Self { name: "ours", command: vec![program.into()], modules: PathBuf::new() }
    }

    /// Whose program it is.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The program itself, with no command.
    pub(crate) fn program(&self) -> &OsString {
        &self.command[0]
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .env("INTEROP_FLOWS", flows::PATH)
            .env("INTEROP_NODE_MODULES", &self.modules)
            // Advice of libraries about their own settings.
            .env("PYTHONWARNINGS", "ignore")
            .env("NODE_NO_WARNINGS", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.name));
        let lines = spoken(child.stdout.take().expect("asked for above"));
        let stdin = child.stdin.take();
        let doing = format!("{} {}", self.name, arguments.join(" "));
        Running { doing, child, stdin, lines }
    }

    /// Runs a command to its end; answers its last line. `Err`: why the library does not have the flow or command.
    ///
    /// # Panics
    /// If it fails.
    pub fn run<T: for<'d> Deserialize<'d>>(&self, arguments: &[&str]) -> Result<T, String> {
        let mut running = self.start(arguments);
        let last = running.rest().pop().unwrap_or_else(|| panic!("{} says nothing", running.doing));
        match running.wait() {
            Some(0) => Ok(serde_json::from_value(last).expect("the line that the contract names")),
            Some(3) => Err(last["unsupported"].as_str().unwrap_or_default().to_owned()),
            status => panic!("{} fails with status {status:?}: {last}", running.doing),
        }
    }
}

/// A command under way; killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    doing: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Running {
    /// The next line; `None` when the process has ended and everything it said was heard.
    ///
    /// # Panics
    /// If neither happens within [`DEADLINE`].
    pub fn next_line(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{} says nothing for {DEADLINE:?}", self.doing),
        }
    }

    /// Whatever it says within this time; for showing that it does *not* say something.
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        self.lines.recv_timeout(time).ok()
    }

    /// Waits for this event.
    ///
    /// # Panics
    /// If the next line is another, or none.
    pub fn expect(&mut self, event: &str) {
        let line = self.next_line();
        assert_eq!(line.as_ref().and_then(|line| line["event"].as_str()), Some(event), "{}: {line:?}", self.doing);
    }

    /// Every further line.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.next_line()).collect()
    }

    /// Lets the process go on that waits for a line.
    pub fn proceed(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            // A process that has ended is found out by the next wait.
            let _ = stdin.write_all(b"\n").and_then(|()| stdin.flush());
        }
    }

    /// Kills the process as `kill -9` does; answers what it had said.
    pub fn kill(&mut self) -> Vec<Value> {
        // It may end by itself in this very moment.
        let _ = self.child.kill();
        self.wait();
        self.rest()
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    /// If the operating system does not know the process.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_some()
    }

    /// Waits for the end; answers the exit status, `None` if it was killed.
    ///
    /// # Panics
    /// If the operating system does not know the process.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("the process is ours").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process says in lines of JSON, until its output ends. Other lines say nothing: one that was cut by a kill, for one.
pub(crate) fn spoken<T: DeserializeOwned + Send + 'static>(stdout: ChildStdout) -> Receiver<T> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The path of MSAL.NET's program: `NET_PEER`, else one in a folder beside the repository, else where `run.sh` builds it.
fn net_program(installed: &Path) -> PathBuf {
    if let Some(program) = env::var_os("NET_PEER") {
        return program.into();
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/peers/net/net-peer");
    if beside.exists() { beside } else { installed.join("net/net-peer") }
}

/// A path as an argument.
///
/// # Panics
/// If it is not UTF-8; the tests make their folders themselves.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have ordinary names")
}
