//! The processes that get tokens.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use clap::ValueEnum as _;

use super::{Answer, Layout, Order, now_millis};
use crate::peers::{DEADLINE, Peer, installed, spoken};

/// A process that gets tokens.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<Answer>,
}

impl Worker {
    /// Starts MSAL.NET's program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn net(peer: &Peer, id: usize, port: u16) -> Self {
        let mut command = Command::new(peer.program());
        command.args(["distributed", "worker", &id.to_string(), &format!("127.0.0.1:{port}")]);
        Self::start("Microsoft.Identity.Web", command)
    }

    /// Starts MSAL Node's program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn node(id: usize, port: u16) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/node/redis.mjs");
        let mut command = Command::new("node");
        command.args([program, "--id", &id.to_string(), "--port", &port.to_string()]);
        command.env("INTEROP_NODE_MODULES", installed().join("node/node_modules"));
        Self::start("MSAL Node", command)
    }

    /// Starts this toolkit's, by the path of the program `ours`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn ours(program: &str, id: usize, port: u16, layout: Layout) -> Self {
        let layout = layout.to_possible_value().expect("none is hidden").get_name().to_owned();
        let mut command = Command::new(program);
        command.args(["redis-worker", "--id", &id.to_string(), "--port", &port.to_string(), "--layout", &layout]);
        Self::start("ours", command)
    }

    fn start(name: &'static str, mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let answers = spoken(stdout.expect("asked for above"));
        Self { name, child, stdin: stdin.expect("asked for above"), answers }
    }

    /// Whose it is.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("plain data is JSON");
        writeln!(self.stdin, "{line}").unwrap_or_else(|error| panic!("{} has ended: {error}", self.name));
    }

    fn hear(&mut self) -> Answer {
        match self.answers.recv_timeout(DEADLINE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => panic!("{} has ended without an answer", self.name),
            Err(RecvTimeoutError::Timeout) => panic!("{} gives no answer for {DEADLINE:?}", self.name),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives all workers the same order, for the same moment; answers what each has done.
///
/// # Panics
/// If one ends, or does not answer within [`DEADLINE`].
pub fn ask(workers: &mut [Worker], order: &Order) -> Vec<Answer> {
    let order = Order { at: now_millis() + 15, ..order.clone() };
    for worker in &mut *workers {
        worker.tell(&order);
    }
    workers.iter_mut().map(Worker::hear).collect()
}
