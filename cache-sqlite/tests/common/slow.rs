//! A protector that a test holds up, as a key service may be slow.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use cache_core::{Blob, Context, Protector, Result};

use super::protector;

/// Where a [`SlowProtector`] can be held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// While the key of a database that is there is had.
    Key,
    /// While something is protected.
    Protection,
}

/// The [protector] of the other tests, slow where it is asked to be.
#[derive(Debug)]
pub(crate) struct SlowProtector {
    protector: Arc<dyn Protector>,
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug)]
struct Gate {
    step: Step,
    arrives: Sender<()>,
    goes_on: Receiver<()>,
}

/// The next call of a step, which goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldUp {
    arrived: Receiver<()>,
    _lets_go_on: Sender<()>,
}

impl SlowProtector {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { protector: protector(), gate: Mutex::default() })
    }

    /// Holds up the next call of this step.
    pub(crate) fn hold_up(&self, step: Step) -> HeldUp {
        let ((arrives, arrived), (lets_go_on, goes_on)) = (channel(), channel());
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(Gate { step, arrives, goes_on });
        HeldUp { arrived, _lets_go_on: lets_go_on }
    }

    fn pass(&self, step: Step) {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take_if(|gate| gate.step == step);
        if let Some(Gate { arrives, goes_on, .. }) = gate {
            // A test that has ended lets it go on, too.
            let _ = arrives.send(());
            let _ = goes_on.recv();
        }
    }
}

impl HeldUp {
    /// Returns when the call is there.
    pub(crate) fn wait(&self) {
        self.arrived.recv().expect("the protector is there");
    }
}

impl Protector for SlowProtector {
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()> {
        if protected.is_some() {
            self.pass(Step::Key);
        }
        self.protector.prepare(protected)
    }

    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
        self.pass(Step::Protection);
        self.protector.protect(plaintext, context)
    }

    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob> {
        self.protector.unprotect(protected, context)
    }
}
