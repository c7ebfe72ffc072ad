//! What the rules of a profile are applied with.

use super::objection::Notes;
use super::{Peer, Profile, Reason};
use crate::time::UnixSeconds;

/// What a rule goes by, and where it says what it met.
pub(super) struct Context<'n> {
    pub(super) profile: Profile,
    /// `None`: any time may come.
    pub(super) now: Option<UnixSeconds>,
    pub(super) notes: &'n mut Notes,
}

impl Context<'_> {
    pub(super) fn names(&self, peer: Peer) -> bool {
        self.profile.names(peer)
    }

    /// Notes a reason for each of these libraries that shares the cache; answers whether one does.
    pub(super) fn note(&mut self, peers: impl IntoIterator<Item = Peer>, reason: Reason) -> bool {
        let mut shares = false;
        for peer in peers {
            shares |= self.notes.note(peer, reason);
        }
        shares
    }
}
