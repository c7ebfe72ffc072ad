//! Whose turn it is to send what waits of a partition.

use std::sync::atomic::{AtomicU64, Ordering};

/// The right to send the writes of a partition, which one has at a time: so they stay in order.
#[derive(Default)]
pub(crate) struct Turn {
    taken: tokio::sync::Mutex<()>,
    tries: AtomicU64,
    failed: AtomicU64,
}

/// The turn, as long as it is held.
pub(crate) struct Taken<'a> {
    turn: &'a Turn,
    number: u64,
    _alone: tokio::sync::MutexGuard<'a, ()>,
}

impl Turn {
    /// Waits for the turn. `None`: a try has failed meanwhile which began after this was called, so that another would tell
    /// nothing new. With one that ran already it would: what it was told may hold no more.
    pub(crate) async fn take(&self) -> Option<Taken<'_>> {
        let before = self.tries.load(Ordering::SeqCst);
        let alone = self.taken.lock().await;
        if self.failed.load(Ordering::SeqCst) > before {
            return None;
        }
        let number = self.tries.fetch_add(1, Ordering::SeqCst) + 1;
        Some(Taken { turn: self, number, _alone: alone })
    }
}

impl Taken<'_> {
    pub(crate) fn note_failure(&self) {
        self.turn.failed.store(self.number, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn whoever_waited_for_a_whole_try_that_failed_does_not_try_again() {
        let turn = Turn::default();
        let first = pollster::block_on(turn.take()).expect("it is free");
        let mut nobody = Context::from_waker(Waker::noop());
        let mut waiting = [Box::pin(turn.take()), Box::pin(turn.take())];
        for one in &mut waiting {
            assert!(one.as_mut().poll(&mut nobody).is_pending());
        }
        first.note_failure();
        drop(first);
        let [second, third] = waiting;
        let second = pollster::block_on(second).expect("the first try had begun before");
        second.note_failure();
        drop(second);
        assert!(pollster::block_on(third).is_none());
        let late = pollster::block_on(turn.take()).expect("no try runs");
        // One that did not fail.
        let mut waiting = Box::pin(turn.take());
        assert!(waiting.as_mut().poll(&mut nobody).is_pending());
        drop(late);
        assert!(pollster::block_on(waiting).is_some());
    }
}
