//! The worker processes of a demo: starts them, follows what they acknowledge, kills one half-way and starts it again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::Place;
use super::measure::Lookups;
use super::token::Update;
use crate::args::Demo;
use crate::context::Context;
use crate::exit::Failure;

/// The worker that is killed.
pub(crate) const DOOMED: u16 = 0;

/// The workers of a demo. Dropping the crew ends them.
pub(crate) struct Crew<'d> {
    args: &'d Demo,
    place: &'d Place,
    context: &'d Context,
    workers: Vec<Worker>,
    says: Receiver<Said>,
    sender: Sender<Said>,
    outcome: Outcome,
}

/// What the workers did.
pub(crate) struct Outcome {
    /// Every update that a worker was told to be stored.
    pub(crate) acknowledged: Vec<Update>,
    /// How many of them the killed worker had acknowledged when it was gone.
    pub(crate) killed_after: u32,
    /// The lookups of the workers that lived to tell.
    pub(crate) lookups: Lookups,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
    acknowledged: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Started, and not yet ready.
    Starting,
    /// Ready, and waiting for the others.
    Ready,
    /// At work.
    Working,
    /// Killed; what it had said by then is still to be read.
    Killed,
    /// All is told.
    Done,
}

/// A line of a worker, or the end of its output.
struct Said {
    worker: u16,
    line: Option<String>,
}

impl<'d> Crew<'d> {
    /// Starts the workers; they wait for each other.
    pub(crate) fn start(args: &'d Demo, place: &'d Place, context: &'d Context) -> Result<Self, Failure> {
        let (sender, says) = channel();
        let outcome = Outcome { acknowledged: Vec::new(), killed_after: 0, lookups: Lookups::new() };
        let mut crew = Self { args, place, context, workers: Vec::new(), says, sender, outcome };
        for worker in 0..args.processes {
            let worker = crew.spawn(worker, 0)?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    /// Lets the workers go and follows them to their end. `progress` is told how many updates are acknowledged.
    pub(crate) fn run(mut self, progress: impl Fn(u64)) -> Result<Outcome, Failure> {
        while !self.all(State::Done) {
            // The crew holds a sender itself, so that the channel stays open.
            let Ok(Said { worker, line }) = self.says.recv() else { break };
            match line {
                Some(line) => self.heard(worker, &line)?,
                None => self.ended(worker)?,
            }
            progress(self.outcome.acknowledged.len() as u64);
        }
        for worker in &mut self.workers {
            // A worker that has told everything only has to end.
            let _ = worker.child.wait();
        }
        let nothing = Outcome { acknowledged: Vec::new(), killed_after: 0, lookups: Lookups::new() };
        Ok(std::mem::replace(&mut self.outcome, nothing))
    }

    fn heard(&mut self, worker: u16, line: &str) -> Result<(), Failure> {
        let half = self.args.updates.div_ceil(2);
        let restarted = self.outcome.killed_after > 0;
        let member = &mut self.workers[usize::from(worker)];
        if line == "ready" {
            member.state = State::Ready;
            if restarted {
                member.tell("go")?;
                member.state = State::Working;
            } else if self.all(State::Ready) {
                self.tell_all("go")?;
                self.workers.iter_mut().for_each(|worker| worker.state = State::Working);
            }
        } else if let Some(update) = line.strip_prefix("added ").and_then(|update| update.parse().ok()) {
            self.outcome.acknowledged.push(update);
            member.acknowledged += 1;
            if worker == DOOMED && !restarted && member.acknowledged == half {
                member.kill();
                member.state = State::Killed;
            }
        } else {
            match self.outcome.lookups.read_line(line) {
                Some(true) => member.state = State::Done,
                Some(false) => {}
                None => return Err(Failure::error(format!("process {worker} of the demo said something unknown"))),
            }
            return Ok(());
        }
        let expected = usize::from(self.args.processes) * self.args.updates as usize;
        if self.outcome.acknowledged.len() == expected && self.all(State::Working) {
            self.tell_all("finish")?;
        }
        Ok(())
    }

    /// The killed worker is started again where it stood; no other may end before it has told everything.
    fn ended(&mut self, worker: u16) -> Result<(), Failure> {
        let index = usize::from(worker);
        match self.workers[index] {
            Worker { state: State::Done, .. } => Ok(()),
            Worker { state: State::Killed, acknowledged, .. } => {
                self.outcome.killed_after = acknowledged;
                self.workers[index] = self.spawn(worker, acknowledged)?;
                Ok(())
            }
            _ => Err(Failure::error(format!("process {worker} of the demo ended early; its message stands above"))),
        }
    }

    fn all(&self, state: State) -> bool {
        self.workers.iter().all(|worker| worker.state == state)
    }

    fn tell_all(&mut self, line: &str) -> Result<(), Failure> {
        self.workers.iter_mut().try_for_each(|worker| worker.tell(line))
    }

    fn spawn(&self, worker: u16, from: u32) -> Result<Worker, Failure> {
        let failed = |error| Failure::io(format_args!("starting process {worker} of the demo"), &error);
        let mut command = self.place.command("demo-worker", self.context)?;
        command.args(["--worker", &worker.to_string()]);
        command.args(["--from", &from.to_string(), "--updates", &self.args.updates.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(Failure::error(format!("process {worker} of the demo has no pipes")));
        };
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = String::new();
                // Half a line is what a killed process did not come to say.
                let whole = stdout.read_line(&mut line).is_ok() && line.ends_with('\n');
                let line = whole.then(|| line.trim_end().to_owned());
                let ended = line.is_none();
                if sender.send(Said { worker, line }).is_err() || ended {
                    return;
                }
            }
        });
        Ok(Worker { child, stdin, acknowledged: from, state: State::Starting })
    }
}

impl Worker {
    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let told = self.stdin.write_all(format!("{line}\n").as_bytes());
        told.map_err(|error| Failure::io("speaking to a process of the demo", &error))
    }

    /// Ends the process with nothing to warn it.
    fn kill(&mut self) {
        // A process that has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(Worker::kill);
    }
}
