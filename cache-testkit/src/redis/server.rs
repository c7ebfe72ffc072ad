//! One server: its settings, its process, and the faults that tests put on it.

use std::fmt::{self, Debug, Formatter};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::authority::Authority;
use super::guarded::Guarded;
use super::reply::{Connection, Reply};
use super::{MISSING, PAUSE, PROGRAM, is_there};
use crate::folder::Folder;
use crate::process::DEADLINE;

/// For one process alone, on loopback, without anything that lasts.
const DEFAULTS: &str = "\
bind 127.0.0.1
unixsocket redis.sock
save \"\"
appendonly no
enable-debug-command yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
";

/// Where the [`Authority`] leaves what a server needs. Clients need no certificate.
const TLS: &str = "\
tls-auth-clients no
tls-ca-cert-file ca.crt
tls-cert-file redis.crt
tls-key-file redis.key
";

/// How often other ports are tried when some are taken.
const ATTEMPTS: usize = 20;

/// Settings of a server that is to start: by default one node that keeps nothing over a restart.
///
/// The user `default` may do everything, and tests use it to look into the server.
#[derive(Clone, Default)]
pub struct Options {
    lines: Vec<String>,
    password: Option<String>,
    tls: bool,
    role: Role,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Node,
    ClusterNode,
    Sentinel,
}

impl Options {
    pub(super) fn cluster_node() -> Self {
        Self { role: Role::ClusterNode, ..Self::default() }
    }

    pub(super) fn sentinel() -> Self {
        Self { role: Role::Sentinel, ..Self::default() }
    }

    /// Writes every command to disk before it is answered: what was answered is there after a kill and a restart.
    #[must_use]
    pub fn appendonly(self) -> Self {
        self.setting("appendonly yes").setting("appendfsync always")
    }

    /// The password of the user `default`: letters and digits, since it also stands in URLs.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        let line = format!("requirepass {password}");
        self.setting(&line)
    }

    /// One more user, by rules as in an ACL file: `on >secret ~tc:* +get`.
    #[must_use]
    pub fn user(self, name: &str, rules: &str) -> Self {
        let line = format!("user {name} {rules}");
        self.setting(&line)
    }

    /// The limit of its memory, such as `2mb`: from there on it refuses to write.
    #[must_use]
    pub fn maxmemory(self, limit: &str) -> Self {
        let line = format!("maxmemory {limit}");
        self.setting(&line).setting("maxmemory-policy noeviction")
    }

    /// Listens with TLS alone. [`Server::ca_certificate`] tells what to trust.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Any other line of `redis.conf`. The last of two that contradict each other holds.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the server; returns when it answers.
    ///
    /// # Panics
    /// If Redis is not installed, refuses the settings, or does not answer within [`DEADLINE`]. The message holds what it
    /// logged.
    pub fn start(self) -> Server {
        assert!(is_there(), "{MISSING}");
        for _ in 0..ATTEMPTS {
            let mut server = Server::new(self.clone());
            match server.launch() {
                Ok(()) => return server,
                Err(output) if output.contains("Address already in use") => {}
                Err(output) => panic!("{PROGRAM} does not start: {output}"),
            }
        }
        panic!("no port is free on this machine")
    }
}

impl Debug for Options {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A server of the test's own. It is killed when it is dropped, and when the test program ends in any other way.
pub struct Server {
    // Dropped before the folder that it writes to.
    running: Option<Guarded>,
    folder: Folder,
    options: Options,
    port: u16,
    bus_port: u16,
    authority: Option<Authority>,
}

impl Server {
    /// Starts a server without any [options](Server::options).
    ///
    /// # Panics
    /// As [`Options::start`].
    pub fn start() -> Self {
        Self::options().start()
    }

    /// What to start another server with.
    pub fn options() -> Options {
        Options::default()
    }

    /// How clients reach it, as the user `default`: `redis://127.0.0.1:17001`, `rediss://` with TLS.
    pub fn url(&self) -> String {
        match &self.options.password {
            Some(password) => self.url_with(&format!(":{password}@")),
            None => self.url_with(""),
        }
    }

    /// How clients reach it as another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    /// How clients reach it without the network: `redis+unix:///folder/redis.sock`.
    pub fn unix_url(&self) -> String {
        let query = self.options.password.as_ref().map(|password| format!("?pass={password}"));
        format!("redis+unix://{}{}", self.socket().display(), query.unwrap_or_default())
    }

    /// The port of 127.0.0.1 that clients use. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it answers: it is neither killed nor stopped.
    pub(super) fn answers(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_stopped())
    }

    /// The port that nodes of a cluster use among themselves.
    pub(super) fn bus_port(&self) -> u16 {
        self.bus_port
    }

    /// The id that the operating system gave the process; `None` after [`kill`](Self::kill).
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Guarded::id)
    }

    /// The file of the authority that has signed the server's certificate, in PEM.
    ///
    /// # Panics
    /// If the server was not started with [TLS](Options::tls).
    pub fn ca_certificate(&self) -> PathBuf {
        self.authority.as_ref().expect("the server has TLS").certificate()
    }

    /// What the server has logged, over all its lives.
    ///
    /// # Panics
    /// If the log cannot be read.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).expect("a log is there")).into_owned()
    }

    /// What the server answers to the user `default`.
    ///
    /// # Panics
    /// If it is gone, or does not answer within [`DEADLINE`].
    pub fn command<S: AsRef<[u8]>>(&self, arguments: &[S]) -> Reply {
        self.answered(self.connect(), arguments)
    }

    /// What the server answers to another user.
    ///
    /// # Panics
    /// As [`command`](Self::command), and if there is no such user with this password.
    pub fn command_as<S: AsRef<[u8]>>(&self, user: &str, password: &str, arguments: &[S]) -> Reply {
        let mut connection = Connection::open(&self.socket()).expect("the server runs");
        let reply = connection.command(&["AUTH", user, password]).expect("the server answers");
        assert_eq!(reply.to_string(), "OK");
        self.answered(connection, arguments)
    }

    /// A connection of the user `default`. It goes through the server's Unix socket, where no other server can answer.
    ///
    /// # Panics
    /// As [`command`](Self::command).
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap_or_else(|error| panic!("{self:?} does not answer: {error}"))
    }

    /// Removes all keys.
    ///
    /// # Panics
    /// As [`command`](Self::command), and if the server is a replica.
    pub fn flush(&self) {
        assert_eq!(self.command(&["FLUSHALL"]).to_string(), "OK");
    }

    /// Stops the process: it keeps its connections, the system accepts more for it, and it answers nothing. It has stopped
    /// when this returns. [`command`](Self::command) and whatever else asks it then waits for [`DEADLINE`] and panics.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn stop(&self) {
        assert!(self.running().stop(), "{self:?} is gone");
    }

    /// Lets a stopped process go on.
    ///
    /// # Panics
    /// If the process was killed.
    pub fn go_on(&self) {
        self.running().go_on();
    }

    /// Kills the process as `kill -9` does. It is gone when this returns.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Kills the process if it still runs, and starts it on the same port and folder; returns when it answers.
    ///
    /// # Panics
    /// As [`Options::start`], and if another process has taken the port meanwhile.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(output) = self.launch() {
            panic!("{PROGRAM} does not start again: {output}");
        }
    }

    /// A server that is set up and does not run.
    fn new(options: Options) -> Self {
        let folder = Folder::new();
        let authority = options.tls.then(|| Authority::new(folder.path()));
        let (port, bus_port) = (next_port(), next_port());
        let server = Self { running: None, folder, options, port, bus_port, authority };
        fs::write(server.path("redis.conf"), server.settings()).expect("written");
        server
    }

    /// The lines of `redis.conf`. Files are named as in the folder, where the process runs.
    fn settings(&self) -> String {
        let port = match &self.authority {
            Some(_) => format!("port 0\ntls-port {}\n{TLS}", self.port),
            None => format!("port {}\n", self.port),
        };
        let cluster = match self.options.role {
            Role::ClusterNode => format!("cluster-enabled yes\ncluster-port {}\n", self.bus_port),
            Role::Node | Role::Sentinel => String::new(),
        };
        format!("{DEFAULTS}{port}{cluster}{}\n", self.options.lines.join("\n"))
    }

    /// Starts the process and waits until it answers; what it logged if it ends instead.
    fn launch(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log can be written");
        let arguments: &[_] = match self.options.role {
            Role::Node | Role::ClusterNode => &["redis.conf"],
            Role::Sentinel => &["redis.conf", "--sentinel"],
        };
        let running = Guarded::start(PROGRAM, arguments, self.folder.path(), log);
        let begin = Instant::now();
        loop {
            if running.has_ended() {
                return Err(self.log());
            }
            // While it loads what it has on disk it says so to every command.
            let reply = self.try_connect().and_then(|mut connection| connection.command(&["PING"]));
            if reply.is_ok_and(|reply| reply.to_string() == "PONG") {
                self.running = Some(running);
                return Ok(());
            }
            assert!(begin.elapsed() < DEADLINE, "{self:?} does not answer: {}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    fn try_connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::open(&self.socket())?;
        if let Some(password) = &self.options.password {
            connection.command(&["AUTH", password])?;
        }
        Ok(connection)
    }

    fn answered<S: AsRef<[u8]>>(&self, mut connection: Connection, arguments: &[S]) -> Reply {
        connection.command(arguments).unwrap_or_else(|error| panic!("{self:?} does not answer: {error}"))
    }

    fn running(&self) -> &Guarded {
        self.running.as_ref().expect("the server was not killed")
    }

    fn url_with(&self, user: &str) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        format!("{scheme}://{user}127.0.0.1:{}", self.port)
    }

    fn socket(&self) -> PathBuf {
        self.path("redis.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Debug for Server {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Another port at every call. Whether it is free shows when the server listens.
///
/// It lies below those that systems give to outgoing connections. One of these could take the port of a server that is to
/// restart; and a client that connects again and again to such a port at last connects to itself. Test programs that run
/// at the same time begin at different ones.
fn next_port() -> u16 {
    const FIRST: u32 = 16_000;
    const COUNT: u32 = 16_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id() * 61));
    (FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) as u16
}
