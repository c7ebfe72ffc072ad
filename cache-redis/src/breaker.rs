//! Not waiting for a server that does not answer: after some requests in vain the next ones fail at once. Behind the callers, one
//! now and then tries again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Result};
use cache_crypto::rows::random;
use tracing::{info, warn};

use crate::count::{Share, Size};

/// So many requests in vain, one after the other, each within the window after the one before.
const MOST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The pause until one may try again. It doubles each time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// After the pause, who is to try again has this long to do so before a caller does.
const GRACE: Duration = Duration::from_secs(1);

/// Knows from the last requests whether the next one is worth sending.
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// 1 while it is open.
    share: Share,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: Mutex::default(), share: Share::of(Size::OpenBreaker) }
    }
}

#[derive(Default)]
struct State {
    in_vain: u32,
    last: Option<Instant>,
    /// Requests fail until then; `None`: they are sent.
    open_until: Option<Instant>,
    pause: Duration,
    /// Whether one is trying.
    is_tried: bool,
}

/// The right to send a request. Who drops it without a word has given up waiting.
pub(crate) struct Sent<'a> {
    breaker: &'a Breaker,
    /// Whether it is the one that tries again.
    is_trial: bool,
    is_over: bool,
}

impl Breaker {
    /// `Unavailable`: it would be in vain.
    pub(crate) fn send(&self, now: Instant) -> Result<Sent<'_>> {
        let mut state = self.state();
        state.check(now)?;
        state.is_tried = state.open_until.is_some();
        Ok(Sent { breaker: self, is_trial: state.is_tried, is_over: false })
    }

    /// Whether a request would be sent.
    pub(crate) fn check(&self, now: Instant) -> Result<()> {
        self.state().check(now)
    }

    /// The right to try whether the server answers again; `None`: it does, or it is not yet time, or another one tries.
    pub(crate) fn retry(&self, now: Instant) -> Option<Sent<'_>> {
        let mut state = self.state();
        if state.is_tried || now < state.open_until? {
            return None;
        }
        state.is_tried = true;
        Some(Sent { breaker: self, is_trial: true, is_over: false })
    }

    /// When it is time to try again; `None`: requests are sent.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        self.state().open_until
    }

    /// It is time to try again.
    pub(crate) fn hurry(&self, now: Instant) {
        let mut state = self.state();
        state.open_until = state.open_until.map(|until| until.min(now));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, now: Instant) -> Result<()> {
        if self.open_until.is_some_and(|until| now < until + GRACE || self.is_tried) {
            let message = "the server has not answered for some time; it is asked again in a few seconds";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }
}

impl Sent<'_> {
    /// The server has answered, whatever it was. Whether it had not done so before.
    pub(crate) fn answered(mut self) -> bool {
        self.is_over = true;
        let mut state = self.breaker.state();
        let (is_back, was_open) = (state.in_vain > 0, state.open_until.is_some());
        if is_back {
            *state = State::default();
            self.breaker.share.set(0);
        }
        drop(state);
        if was_open {
            info!("the server answers again");
        }
        is_back
    }

    /// There was no answer. Whether the next requests fail at once for that.
    pub(crate) fn in_vain(mut self, now: Instant) -> bool {
        self.is_over = true;
        let mut state = self.breaker.state();
        let is_in_a_row = state.open_until.is_some() || state.last.is_some_and(|last| now < last + WINDOW);
        state.in_vain = if is_in_a_row { state.in_vain.saturating_add(1) } else { 1 };
        state.last = Some(now);
        // Requests that were sent before the others failed do not prolong the pause.
        let was_open = state.open_until.is_some();
        let opens = state.in_vain >= MOST && (!was_open || self.is_trial);
        if opens {
            self.breaker.share.set(1);
            state.pause = (state.pause * 2).clamp(SHORTEST, LONGEST);
            state.open_until = Some(now + uneven(state.pause));
            state.is_tried = false;
        }
        drop(state);
        if opens && !was_open {
            warn!("the server does not answer; requests fail at once, and one now and then tries again");
        }
        opens
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if self.is_trial && !self.is_over {
            self.breaker.state().is_tried = false;
        }
    }
}

/// A duration about as long, so that nodes do not try again together.
pub(crate) fn uneven(duration: Duration) -> Duration {
    let mut byte = [0];
    // Without a random number it is even.
    random(&mut byte).map_or(duration, |()| duration.mul_f64(0.75 + f64::from(byte[0]) / 512.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..MOST {
            breaker.send(now).expect("it is tried").in_vain(now);
        }
        assert_eq!(breaker.send(now).err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
        breaker
    }

    #[test]
    fn after_some_in_vain_one_may_try_now_and_then() {
        let now = Instant::now();
        let breaker = broken(now);
        let mut pause = SHORTEST;
        let mut now = now;
        for _ in 0..8 {
            let until = breaker.open_until().expect("it is open");
            assert!(until < now + pause.mul_f64(1.3));
            assert!(breaker.retry(now + pause.mul_f64(0.7)).is_none());
            now = until;
            assert!(breaker.send(now).is_err(), "no caller waits to find out");
            let one = breaker.retry(now).expect("one may try");
            assert!(breaker.retry(now).is_none() && breaker.send(now + GRACE).is_err(), "one, and no other");
            one.in_vain(now);
            pause = (pause * 2).min(LONGEST);
        }
        now += LONGEST * 2;
        assert!(breaker.retry(now).expect("one may try").answered());
        assert!(breaker.retry(now).is_none(), "there is no need to");
        breaker.send(now).expect("all is well").in_vain(now);
        breaker.send(now).expect("once is not enough").answered();
    }

    #[test]
    fn a_caller_tries_if_nobody_else_does() {
        let now = Instant::now();
        let breaker = broken(now);
        let until = breaker.open_until().expect("it is open");
        assert!(breaker.send(until).is_err(), "it is another one's turn");
        let later = until + GRACE;
        assert!(breaker.check(later).is_ok());
        let one = breaker.send(later).expect("one may try");
        assert!(breaker.check(later).is_err() && breaker.retry(later).is_none(), "one, and no other");
        one.answered();
        breaker.check(now).expect("all is well");
    }

    #[test]
    fn whoever_is_in_a_hurry_tries_at_once() {
        let now = Instant::now();
        let breaker = Breaker::default();
        breaker.hurry(now);
        assert_eq!(breaker.open_until(), None);
        let breaker = broken(now);
        assert!(breaker.retry(now).is_none());
        breaker.hurry(now);
        breaker.retry(now).expect("one may try").answered();
    }

    #[test]
    fn an_answer_in_between_makes_it_begin_anew() {
        let (now, breaker) = (Instant::now(), Breaker::default());
        for _ in 0..3 {
            for _ in 1..MOST {
                breaker.send(now).expect("it is tried").in_vain(now);
            }
            breaker.send(now).expect("it is tried").answered();
        }
        // Seldom is not often.
        for n in 0..2 * MOST {
            let now = now + WINDOW * (n + 1);
            breaker.send(now).expect("it is tried").in_vain(now);
        }
    }

    #[test]
    fn who_gives_up_trying_leaves_it_to_the_next() {
        let now = Instant::now();
        let breaker = broken(now);
        let later = now + SHORTEST * 2;
        drop(breaker.retry(later).expect("one may try"));
        breaker.retry(later).expect("another may try").answered();
    }

    #[test]
    fn what_was_sent_before_does_not_prolong_the_pause() {
        let (now, breaker) = (Instant::now(), Breaker::default());
        let sent: Vec<_> = (0..100).map(|_| breaker.send(now).expect("it is tried")).collect();
        for one in sent {
            one.in_vain(now);
        }
        breaker.retry(now + SHORTEST * 2).expect("one may try").answered();
    }
}
