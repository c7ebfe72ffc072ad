//! What every command works with: the form of the output, the clock, the passphrase of the environment, a runtime.

use std::sync::{Arc, OnceLock};

use cache_core::{Clock, ManualClock, Secret, SystemClock, UnixSeconds};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::args::{Cli, Common};
use crate::exit::Failure;
use crate::output::Output;
use crate::process::PASSPHRASE_VARIABLE;

/// What every command works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Standard output.
    pub(crate) output: Output,
    /// The clock of the whole command.
    pub(crate) clock: Arc<dyn Clock>,
    /// The time that `--now` gave.
    pub(crate) fixed: Option<UnixSeconds>,
    /// The passphrase that came in the environment; an empty one counts as none.
    pub(crate) passphrase: Option<Secret>,
    runtime: Arc<OnceLock<Runtime>>,
}

impl Context {
    /// Exit 2: the form of the output does not fit the command, or the passphrase of the environment is not text.
    pub(crate) fn new(cli: &Cli) -> Result<Self, Failure> {
        cli.check()?;
        let Common { output, now, .. } = cli.common;
        let fixed = now.map(UnixSeconds);
        let clock: Arc<dyn Clock> = match fixed {
            Some(now) => Arc::new(ManualClock::at(now)),
            None => Arc::new(SystemClock),
        };
        Ok(Self { output: Output::new(output), clock, fixed, passphrase: passphrase()?, runtime: Arc::default() })
    }

    /// The present time.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.clock.now().to_seconds()
    }

    /// The same for a store that has another protection.
    pub(crate) fn without_passphrase(&self) -> Self {
        Self { passphrase: None, ..self.clone() }
    }

    /// The runtime of stores over the network, which is made when the first of them is opened. Exit 1: the system gives no
    /// thread.
    pub(crate) fn runtime(&self) -> Result<Handle, Failure> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.handle().clone());
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("starting a thread for the network", &error))?;
        Ok(self.runtime.get_or_init(|| runtime).handle().clone())
    }
}

fn passphrase() -> Result<Option<Secret>, Failure> {
    let Some(words) = std::env::var_os(PASSPHRASE_VARIABLE).filter(|words| !words.is_empty()) else { return Ok(None) };
    match words.into_string() {
        Ok(words) => Ok(Some(Secret::new(words))),
        Err(_) => Err(Failure::usage(format!("{PASSPHRASE_VARIABLE} is not UTF-8 text; use --passphrase-file"))),
    }
}
