//! The MSAL libraries of other languages and this toolkit on one cache.
//!
//! A *peer* is a program over one library's public API, with a stub in place of the identity provider: see
//! `peers/README.md` for the commands that all of them have. The program `ours` has some of them too, so that the tests
//! treat this toolkit as one more writer and holder of locks.
//!
//! | module | |
//! |---|---|
//! | [`flows`] | the ways to get a token, as `peers/flows.json` tells every peer |
//! | [`peers`] | which libraries there are, where their programs are, and how they are run |
//! | [`answers`] | what they answer |
//! | [`reader`] | one of them as a reader and writer of a cache file |
//! | [`net`] | MSAL.NET, whose program has commands of its own for reading and making documents |
//! | [`ours`] | the same flows by this toolkit |
//! | [`matrix`] | who reads whom, what is expected not to, and the table in `docs/interop.md` |
//! | [`contention`] | many writers at once, and what is left of their updates |
//! | [`redis`] | processes of several libraries over one Redis server |
//!
//! `run.sh` installs the peers and runs the tests. A peer that is missing is left out with one printed line; with
//! `INTEROP_REQUIRE=1` it fails the test.

#![forbid(unsafe_code)]

pub mod answers;
pub mod contention;
pub mod flows;
pub mod matrix;
pub mod net;
pub mod ours;
pub mod peers;
pub mod reader;
pub mod redis;
