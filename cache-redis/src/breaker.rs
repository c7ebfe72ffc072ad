//! Not waiting for a server that does not answer: after some requests in vain the next ones fail at once, but for one now and
//! then that tries again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Result};
use cache_crypto::rows::random;

/// So many requests in vain, one after the other, each within the window after the one before.
const MOST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// The pause until one may try again. It doubles each time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Knows from the last requests whether the next one is worth sending.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

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
        if let Some(until) = state.open_until {
            if now < until || state.is_tried {
                let message = "the server has not answered for some time; it is asked again in a few seconds";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            state.is_tried = true;
        }
        Ok(Sent { breaker: self, is_trial: state.is_tried, is_over: false })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent<'_> {
    /// The server has answered, whatever it was.
    pub(crate) fn answered(mut self) {
        self.is_over = true;
        let mut state = self.breaker.state();
        if state.in_vain > 0 {
            *state = State::default();
        }
    }

    /// There was no answer. Whether the next requests fail at once for that.
    pub(crate) fn in_vain(mut self, now: Instant) -> bool {
        self.is_over = true;
        let mut state = self.breaker.state();
        let is_in_a_row = state.open_until.is_some() || state.last.is_some_and(|last| now < last + WINDOW);
        state.in_vain = if is_in_a_row { state.in_vain.saturating_add(1) } else { 1 };
        state.last = Some(now);
        // Requests that were sent before the others failed do not prolong the pause.
        let opens = state.in_vain >= MOST && (state.open_until.is_none() || self.is_trial);
        if opens {
            state.pause = (state.pause * 2).clamp(SHORTEST, LONGEST);
            state.open_until = Some(now + uneven(state.pause));
            state.is_tried = false;
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
fn uneven(duration: Duration) -> Duration {
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
            assert!(breaker.send(now + pause.mul_f64(0.7)).is_err());
            now += pause.mul_f64(1.3);
            let one = breaker.send(now).expect("one may try");
            assert!(breaker.send(now).is_err(), "one, and no other");
            one.in_vain(now);
            pause = (pause * 2).min(LONGEST);
        }
        now += LONGEST * 2;
        breaker.send(now).expect("one may try").answered();
        breaker.send(now).expect("all is well").in_vain(now);
        breaker.send(now).expect("once is not enough").answered();
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
        drop(breaker.send(later).expect("one may try"));
        breaker.send(later).expect("another may try").answered();
    }

    #[test]
    fn what_was_sent_before_does_not_prolong_the_pause() {
        let (now, breaker) = (Instant::now(), Breaker::default());
        let sent: Vec<_> = (0..100).map(|_| breaker.send(now).expect("it is tried")).collect();
        for one in sent {
            one.in_vain(now);
        }
        breaker.send(now + SHORTEST * 2).expect("one may try").answered();
    }
}
