//! A peer signs the user out: we do not bring the user back.
//!
//! `INTEROP_RUNS` times ten is how often each peer does, ten times if nothing is said.

use std::path::PathBuf;

use interop::contention::report;
use interop::flows;
use interop::ours::{PARTITION, open_store, wall_clock, writer_response};
use interop::peers::{Library, Peer, Running, available, text};
use serde_json::Value;
use tempfile::TempDir;

const REMOVING: [Library; 5] = [Library::Python, Library::Node, Library::Go, Library::Java, Library::Net];

/// What was written a moment ago, and may still be put back where a careless writer has dropped it, is not put back then.
#[test]
fn what_a_peer_signs_out_is_not_put_back() {
    for (library, peer) in available(&REMOVING) {
        for run in 0..runs() {
            let shared = Shared::signed_in(&peer);
            // Another number of updates each time.
            assert_eq!(report(shared.write(1 + run % 10)).acked.len(), 1 + run % 10);
            shared.sign_out(library, &peer);
            shared.assert_signed_out(library, run);
            assert!(report(shared.write(10)).acked.is_empty(), "{}, run {run}: no refresh goes on", library.name());
            shared.assert_signed_out(library, run);
        }
    }
}

#[test]
#[allow(clippy::print_stderr)] // that the writes ran beside the sign-outs is worth seeing
fn a_sign_out_beside_our_writes_stands() {
    const UPDATES: usize = 1000;
    for (library, peer) in available(&REMOVING) {
        let mut counts = Vec::new();
        for run in 0..runs() {
            let shared = Shared::signed_in(&peer);
            let mut writing = shared.write(UPDATES);
            for _ in 0..=run % 10 {
                assert!(writing.next_line().is_some_and(|line| line["ack"].is_u64()), "the user is signed in");
            }
            shared.sign_out(library, &peer);
            let stored = report(writing).acked.len();
            assert!(stored < UPDATES, "{}, run {run}: we notice the sign-out", library.name());
            shared.assert_signed_out(library, run);
            counts.push(stored);
        }
        eprintln!("{}: sign-outs, each after so many updates of ours: {counts:?}", library.name());
    }
}

/// A cache in which the peers' user is signed in.
struct Shared(TempDir);

impl Shared {
    fn signed_in(peer: &Peer) -> Self {
        let shared = Self(tempfile::tempdir().expect("a temporary folder"));
        // First as the library itself writes the account: MSAL.NET lists it under the host only that it writes.
        let cache = shared.cache();
        let arguments = ["write", "--cache", text(&cache), "--tag", "theirs", "--count", "1", "--mode", "library"];
        peer.run::<Value>(&arguments).expect("every library writes");
        let write = flows::write();
        let response = writer_response(&write.home_account_id, &write.client_id, "first", "synthetic", wall_clock());
        let updated = open_store(&cache).and_then(|cache| cache.update(&PARTITION, |tokens| tokens.sign_in(response)));
        updated.expect("an update").value.expect("a whole response");
        shared
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("msal.cache")
    }

    /// A process of ours that refreshes the user's tokens, until the user is signed out.
    fn write(&self, count: usize) -> Running {
        let (cache, count) = (self.cache(), count.to_string());
        let arguments = ["write", "--cache", text(&cache), "--tag", "ours", "--count", &count, "--pause-ms", "10"];
        let ours = Peer::ours(env!("CARGO_BIN_EXE_ours"));
        ours.start(&[&arguments[..], &["--progress", "yes", "--until-signed-out"]].concat())
    }

    fn sign_out(&self, library: Library, peer: &Peer) {
        let removed: Value =
            peer.run(&["remove", "--cache", text(&self.cache())]).expect("every library removes accounts");
        let home = flows::write().home_account_id.as_str();
        let listed = removed["removed"].as_array().is_some_and(|ids| ids.iter().any(|id| id == home));
        assert!(listed, "{} signs the user out: {removed}", library.name());
    }

    fn assert_signed_out(&self, library: Library, run: usize) {
        let left: Vec<String> = open_store(&self.cache())
            .and_then(|cache| {
                cache.read(&PARTITION, |tokens| {
                    let accounts = tokens.accounts().into_iter().map(|account| account.home_account_id.to_string());
                    let refresh_tokens = tokens.all_refresh_tokens().map(|(id, _)| id.key().to_owned());
                    accounts.chain(refresh_tokens).collect()
                })
            })
            .expect("a valid cache");
        assert!(left.is_empty(), "{}, run {run}: {left:?} is back after the sign-out", library.name());
    }
}

fn runs() -> usize {
    10 * std::env::var("INTEROP_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1)
}
