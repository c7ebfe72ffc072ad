//! Whose turn it is within this process: tasks and handles queue here, and one of them at a time goes for the lock file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::platform::DirId;

/// A process that has used the lock again and again for this long, while other processes wait for it, ...
const STREAK: Duration = Duration::from_millis(100);

/// ... leaves it alone for this long. Every waiter has looked once by then.
const PAUSE: Duration = Duration::from_millis(50);

/// A gap of this length ends a streak: waiters had their chance in it.
const GAP: Duration = Duration::from_millis(20);

/// A lock file: the folder that it is in, whatever path led there, and its name.
type Key = (DirId, OsString);

/// The right to go for one lock file. The next one of this process has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<Queue>,
    contended: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held_since: Option<Instant>,
    released_at: Option<Instant>,
    streak_since: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Turn {
    /// Waits for the turn. Not had until `deadline`: how long the present holder has had it.
    pub(crate) fn take(key: Key, deadline: Instant) -> Result<Self, Duration> {
        let queue = queue(key);
        let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let until = match (state.held_since, state.paused_until) {
                (Some(_), _) => deadline,
                (None, Some(until)) if until > now => until.min(deadline),
                (None, _) => break,
            };
            if now >= deadline {
                return Err(state.held_since.map_or(Duration::ZERO, |since| now - since));
            }
            state = queue.freed.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        let now = Instant::now();
        if state.released_at.is_none_or(|at| now - at > GAP) {
            state.streak_since = None;
        }
        state.streak_since.get_or_insert(now);
        state.held_since = Some(now);
        drop(state);
        Ok(Self { queue, contended: false })
    }

    /// Says that another process holds the lock file: this one's streak, if it had one, is over.
    pub(crate) fn yields(&self) {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).streak_since = Some(Instant::now());
    }

    /// Says that other processes wait for the lock file.
    pub(crate) fn set_contended(&mut self) {
        self.contended = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.held_since = None;
        state.released_at = Some(now);
        if self.contended && state.streak_since.is_some_and(|since| now - since >= STREAK) {
            state.paused_until = Some(now + PAUSE);
        }
        drop(state);
        self.queue.freed.notify_all();
    }
}

/// The queue of this lock file, one for all handles of this process.
fn queue(key: Key) -> Arc<Queue> {
    static QUEUES: Mutex<Option<HashMap<Key, Arc<Queue>>>> = Mutex::new(None);
    let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
    let queues = queues.get_or_insert_default();
    if let Some(queue) = queues.get(&key) {
        return Arc::clone(queue);
    }
    // What nobody uses any more and what remembers nothing of worth goes, so that this map stays small.
    queues.retain(|_, queue| Arc::strong_count(queue) > 1 || !queue.is_idle());
    Arc::clone(queues.entry(key).or_default())
}

impl Queue {
    fn is_idle(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_since.is_none() && state.released_at.is_none_or(|at| at.elapsed() > PAUSE + GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock file of a folder of its own, and another one in the same.
    fn keys() -> [Key; 2] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = crate::platform::Dir::open(folder.path()).expect("opens").expect("is there");
        // The folder is gone with this call, and one of another test may get its id: the names tell them apart.
        let own = folder.path().file_name().expect("a name");
        ["a", "b"].map(|name| (dir.id(), [own, name.as_ref()].join(std::ffi::OsStr::new("-"))))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn one_at_a_time_has_the_turn_of_a_lock_file() {
        let [key, other] = keys();
        let first = Turn::take(key.clone(), soon()).expect("free");
        assert!(Turn::take(key.clone(), Instant::now()).is_err());
        Turn::take(other, Instant::now()).expect("another lock file");
        drop(first);
        Turn::take(key, Instant::now()).expect("free again");
    }

    #[test]
    fn a_waiter_gets_the_turn_when_it_is_given_back() {
        let [key, _] = keys();
        let first = Turn::take(key.clone(), soon()).expect("free");
        let waiter = std::thread::spawn(move || Turn::take(key, soon()).is_ok());
        drop(first);
        assert!(waiter.join().expect("no panic"));
    }

    #[test]
    fn a_long_streak_under_contention_ends_in_a_pause() {
        let [key, _] = keys();
        let mut turn = Turn::take(key.clone(), soon()).expect("free");
        std::thread::sleep(STREAK);
        turn.set_contended();
        let released = Instant::now();
        drop(turn);
        drop(Turn::take(key.clone(), soon()).expect("after the pause"));
        assert!(released.elapsed() >= PAUSE, "the waiters of other processes come first");
    }

    #[test]
    fn without_contention_no_streak_is_too_long() {
        let [key, _] = keys();
        let turn = Turn::take(key.clone(), soon()).expect("free");
        std::thread::sleep(STREAK);
        drop(turn);
        Turn::take(key, Instant::now()).expect("free at once");
    }
}
