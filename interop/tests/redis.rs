//! One Redis server, used by this toolkit, by Microsoft.Identity.Web over the Redis cache of .NET, and by MSAL Node's
//! `DistributedCachePlugin`: who reads whom, and what is left of what they write at once.
//!
//! `INTEROP_RUNS` times 20 is how many rounds of writing at once there are, 20 if nothing is said.
#![cfg(unix)]

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_testkit::redis::{Server, is_installed};
use interop::peers::{Library, Peer, available};
use interop::redis::{Flow, Held, Layout, Opened, Order, Worker, ask, partition};

const OURS: &str = env!("CARGO_BIN_EXE_ours");

/// Processes that write at once.
const WRITERS: usize = 4;

/// Who shares partitions with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    IdWeb,
    Node,
}

impl Other {
    /// Its program, if everything is there.
    fn find(self) -> Option<Peer> {
        let library = if self == Self::IdWeb { Library::Net } else { Library::Node };
        if !is_installed() {
            return None;
        }
        available(&[library]).pop().map(|(_, peer)| peer)
    }

    fn layout(self) -> Layout {
        if self == Self::IdWeb { Layout::Idweb } else { Layout::Node }
    }

    fn worker(self, peer: &Peer, id: usize, port: u16) -> Worker {
        match self {
            Self::IdWeb => Worker::net(peer, id, port),
            Self::Node => Worker::node(id, port),
        }
    }
}

#[test]
fn idweb_and_we_read_each_other() {
    read_each_other(Other::IdWeb, &[Flow::Silent, Flow::Client, Flow::Obo]);
}

#[test]
fn node_and_we_read_each_other() {
    read_each_other(Other::Node, &[Flow::Silent, Flow::Client]);
}

/// Each finds the tokens of the other, without a request to the identity provider.
fn read_each_other(other: Other, flows: &[Flow]) {
    let Some(peer) = other.find() else { return };
    let server = Server::start();
    let mut theirs = [other.worker(&peer, 0, server.port())];
    let mut ours = [Worker::ours(OURS, 1, server.port(), other.layout())];
    let opened = Opened::new(server.port(), other.layout()).expect("it opens");
    for (user, flow) in (1..).zip(flows.iter().copied()) {
        let what = format!("{other:?}, {flow:?}");
        if flow == Flow::Silent {
            opened.seed(user).expect("a sign-in");
        }
        let order = Order::new(flow, user);
        // They add a token to what we have written, if anything; we find it.
        done(&what, &mut theirs, &order);
        assert_eq!(held(&opened, flow, user).of_worker(0, 0), 1, "{what}: we see their token");
        asked(&server, &what, 0, || done(&what, &mut theirs, &order));
        // We add one; they find it, and theirs still.
        done(&what, &mut ours, &order);
        let both = held(&opened, flow, user);
        assert_eq!([both.of_worker(0, 0), both.of_worker(1, 0)], [1, 1], "{what}");
        asked(&server, &what, 0, || done(&what, &mut theirs, &order));
        asked(&server, &what, 0, || done(&what, &mut ours, &order));
        let same = Order { same: true, ..order.clone() };
        // For a scope of which one has got a token: us.
        asked(&server, &what, usize::from(flow != Flow::Silent), || done(&what, &mut ours, &same));
        asked(&server, &what, 0, || done(&what, &mut theirs, &same));
        asked(&server, &what, 0, || done(&what, &mut ours, &same));
        if flow == Flow::Silent {
            // By the refresh token that we have got.
            let next = Order { round: 1, ..order.clone() };
            done(&what, &mut theirs, &next);
            let held = held(&opened, flow, user);
            assert_eq!(held.refresh_number, Some(number(&server)), "{what}: the newest refresh token");
            assert_eq!([held.foreign, held.of_worker(0, 1)], [0, 1], "{what}");
        }
        let listed = opened.partitions().expect("partitions");
        assert!(listed.contains(&partition(flow, user)) || other == Other::Node, "{what}: {listed:?}");
        assert_eq!(listed.len(), user as usize + usize::from(other == Other::Node), "{what}: all are listed");
    }
    let stats = opened.store.as_ref().expect("of another library's layout").stats();
    assert_eq!((stats.foreign, stats.put_back, stats.removed_again), (0, 0, 0), "nobody wrote at once");
}

/// In turns nothing of anybody's is lost, by any number of nodes.
#[test]
fn idweb_and_we_take_turns() {
    take_turns(Other::IdWeb);
}

#[test]
fn node_and_we_take_turns() {
    take_turns(Other::Node);
}

fn take_turns(other: Other) {
    let Some(peer) = other.find() else { return };
    let server = Server::start();
    let mut theirs = [0, 2].map(|id| other.worker(&peer, id, server.port()));
    let mut ours = [1, 3].map(|id| Worker::ours(OURS, id, server.port(), other.layout()));
    let opened = Opened::new(server.port(), other.layout()).expect("it opens");
    opened.seed(1).expect("a sign-in");
    for round in 0..13 {
        let order = Order { round, ..Order::new(Flow::Silent, 1) };
        for n in 0..2 {
            done("turns", &mut theirs[n..=n], &order);
            done("turns", &mut ours[n..=n], &order);
        }
    }
    let held = held(&opened, Flow::Silent, 1);
    for worker in 0..4 {
        let kept: usize = (0..13).map(|round| held.of_worker(worker, round)).sum();
        assert_eq!(kept, 13, "worker {worker}");
    }
    assert_eq!(held.refresh_number, Some(number(&server)));
}

/// Who signs out by either is signed out for both, and nothing of a token stays in Redis.
#[test]
fn node_signs_out() {
    let Some(peer) = Other::Node.find() else { return };
    let server = Server::start();
    let opened = Opened::new(server.port(), Layout::Node).expect("it opens");
    let mut theirs = [Other::Node.worker(&peer, 0, server.port())];
    let mut ours = [Worker::ours(OURS, 1, server.port(), Layout::Node)];
    for user in [1, 2] {
        opened.seed(user).expect("a sign-in");
        let remove = Order::new(Flow::Remove, user);
        done("sign-out", if user == 1 { &mut theirs } else { &mut ours }, &remove);
        let held = held(&opened, Flow::Silent, user);
        assert_eq!((held.accounts, held.scopes.len()), (0, 0));
        let failed = ask(&mut theirs, &remove).remove(0);
        assert_eq!((failed.ok, failed.errors), (0, 1), "nobody is signed in any more");
        let key = interop::redis::home(user);
        assert!(!server.command(&["GET", &key]).to_string().contains("rrrr"), "a token is left");
    }
}

/// The scenario in which the libraries lose tokens, by each of them alone.
#[test]
fn of_four_writers_at_once_ours_lose_nothing() {
    let others: Vec<_> =
        [Other::IdWeb, Other::Node].into_iter().filter_map(|other| Some((other, other.find()?))).collect();
    if !is_installed() {
        return;
    }
    let _alone = alone();
    for delay in [0, 1] {
        let server = Server::start();
        let mut ours: Vec<_> = (0..WRITERS).map(|id| Worker::ours(OURS, id, server.port(), Layout::Fields)).collect();
        let score = write_at_once(&server, &mut ours, Layout::Fields, delay, 1);
        score.print("ours alone", delay);
        assert_eq!(score.lost("ours"), 0);
        assert_eq!(score.newest_kept, score.rounds, "the newest refresh token is kept in every round");
        assert_eq!((score.foreign, score.errors), (0, 0));
        for (other, peer) in &others {
            let server = Server::start();
            let mut theirs: Vec<_> = (0..WRITERS).map(|id| other.worker(peer, id, server.port())).collect();
            let score = write_at_once(&server, &mut theirs, other.layout(), delay, 1);
            score.print(&format!("{other:?} alone"), delay);
            assert!(score.writers.iter().all(|(_, written, _)| *written > 0), "they ran");
        }
    }
}

#[test]
fn beside_idweb_none_of_ours_is_lost() {
    beside(Other::IdWeb);
}

#[test]
fn beside_node_none_of_ours_is_lost() {
    beside(Other::Node);
}

fn beside(other: Other) {
    let Some(peer) = other.find() else { return };
    let _alone = alone();
    for delay in [0, 1] {
        let server = Server::start();
        let mut workers: Vec<_> = (0..WRITERS / 2).map(|id| other.worker(&peer, id, server.port())).collect();
        workers.extend((WRITERS / 2..WRITERS).map(|id| Worker::ours(OURS, id, server.port(), other.layout())));
        let score = write_at_once(&server, &mut workers, other.layout(), delay, 5);
        score.print(&format!("two of {other:?}, two of ours"), delay);
        assert_eq!(score.lost("ours"), 0);
        assert_eq!(score.foreign, 0);
    }
}

/// What became of the writes of all rounds.
#[derive(Debug, Default)]
struct Score {
    rounds: usize,
    /// Of each writer: whose it is, what it has written, what of that was there afterwards.
    writers: Vec<(&'static str, usize, usize)>,
    newest_kept: usize,
    foreign: usize,
    errors: usize,
    /// Whose call took how many milliseconds.
    took: Vec<(&'static str, f64)>,
}

impl Score {
    fn lost(&self, name: &str) -> usize {
        self.of(name).map(|(_, written, kept)| written - kept).sum()
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &(&'static str, usize, usize)> {
        self.writers.iter().filter(move |(of, ..)| *of == name)
    }

    #[allow(clippy::print_stderr)] // what the libraries lose is worth knowing where it is not a failure
    fn print(&self, what: &str, delay: u64) {
        let mut names: Vec<&str> = self.writers.iter().map(|(name, ..)| *name).collect();
        names.dedup();
        for name in names {
            let written: usize = self.of(name).map(|(_, written, _)| written).sum();
            let lost = self.lost(name);
            let mut took: Vec<f64> = self.took.iter().filter(|(of, _)| *of == name).map(|(_, took)| *took).collect();
            took.sort_by(f64::total_cmp);
            let [median, most] =
                [took.len() / 2, took.len() * 99 / 100].map(|at| took.get(at).copied().unwrap_or_default());
            eprintln!(
                "{what}, {delay} ms to each way, {} rounds: {name}: {lost} of {written} lost, {} errors, a call {median:.1} ms, \
                 99 of 100 within {most:.1} ms; newest refresh token kept in {} rounds, {} foreign tokens",
                self.rounds, self.errors, self.newest_kept, self.foreign
            );
        }
    }
}

/// Each worker adds tokens to one partition at the same moment, another user's in each round.
fn write_at_once(server: &Server, workers: &mut [Worker], layout: Layout, delay: u64, writes: usize) -> Score {
    // As long as programs take to become quick.
    const WARM_UP: u32 = 3;
    let opened = Opened::new(server.port(), layout).expect("it opens");
    let rounds = 20 * env::var("INTEROP_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    let writers = workers.iter().map(|worker| (worker.name(), 0, 0)).collect();
    let mut score = Score { rounds, writers, ..Score::default() };
    for user in 1..=WARM_UP + u32::try_from(rounds).unwrap_or(u32::MAX) {
        let round = user as usize;
        opened.seed(user).expect("a sign-in");
        server.command(&["SET", "seq", "0"]);
        let answers = ask(workers, &Order { round, delay, writes, ..Order::new(Flow::Silent, user) });
        if user <= WARM_UP {
            continue;
        }
        let held = held(&opened, Flow::Silent, user);
        for (n, (answer, (_, written, kept))) in answers.iter().zip(&mut score.writers).enumerate() {
            *written += answer.ok;
            *kept += held.of_worker(n, round).min(answer.ok);
            score.errors += answer.errors;
            score.took.extend(answer.ms.iter().map(|took| (workers[n].name(), *took)));
        }
        score.newest_kept += usize::from(held.refresh_number == Some(number(server)));
        score.foreign += held.foreign;
    }
    score
}

/// Follows an order, in which nothing fails.
#[track_caller]
fn done(what: &str, workers: &mut [Worker], order: &Order) {
    for answer in ask(workers, order) {
        assert_eq!((answer.ok, answer.errors), (order.writes, 0), "{what}");
    }
}

/// Does it; fails unless the identity provider was asked so often.
#[track_caller]
fn asked(server: &Server, what: &str, requests: usize, work: impl FnOnce()) {
    let before = number(server);
    work();
    assert_eq!(number(server) - before, requests as u64, "{what}: requests to the identity provider");
}

/// Of the last response of the identity provider.
fn number(server: &Server) -> u64 {
    server.command(&["GET", "seq"]).to_string().parse().unwrap_or_default()
}

#[track_caller]
fn held(opened: &Opened, flow: Flow, user: u32) -> Held {
    opened.held(flow, user).unwrap_or_else(|error| panic!("{:?} cannot be read: {error}", partition(flow, user)))
}

/// One meeting at a time: what is measured would be the other one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
