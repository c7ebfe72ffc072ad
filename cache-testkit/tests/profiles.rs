//! Documents in the form of a write profile: those that MSAL libraries wrote, the odd ones, and random ones; in stores, and
//! under a resident cache.

mod profiles {
    mod documents;
    mod random;
    mod stores;

    use cache_core::{Peer, Profile};

    const EVERY: [Peer; 5] = [Peer::Python, Peer::Node, Peer::Go, Peer::Java, Peer::DotNet];

    /// Each library alone, all of them, and Python's applications.
    fn profiles() -> Vec<Profile> {
        let alone = EVERY.map(|peer| Profile::shared_with([peer]));
        let others = Profile::shared_with([Peer::Python, Peer::Node, Peer::Go, Peer::Java]);
        let null = others.with_null_home_account_ids().expect("without MSAL.NET");
        alone.into_iter().chain([Profile::shared_with(EVERY), others, null]).collect()
    }
}
