//! One library as a reader and writer of a cache file, whatever its program is like.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::answers::{SignIn, Silent};
use crate::flows::Flow;
use crate::peers::{Library, Peer, text};
use crate::{net, ours};

/// What a library does with a cache file, each time in a new process. `Err` of its methods: why it cannot.
#[derive(Debug)]
pub struct Reader {
    library: Library,
    peer: Peer,
}

impl Reader {
    /// The library by its program.
    pub fn new(library: Library, peer: Peer) -> Self {
        Self { library, peer }
    }

    /// Which library it is.
    pub fn library(&self) -> Library {
        self.library
    }

    /// The present time of what it writes and reads, in seconds since 1970.
    pub fn now(&self) -> i64 {
        if self.library == Library::Net { net::NOW } else { ours::wall_clock() }
    }

    /// Signs in by the library into a new file.
    pub fn sign_in(&self, flow: Flow, cache: &Path) -> Result<SignIn, String> {
        match self.library {
            Library::Net => net::sign_in(&self.peer, flow, cache),
            _ => self.ask("sign-in", flow, cache),
        }
    }

    /// Asks the library for the token that the file holds, and for the refresh token that it sends for a new one.
    pub fn read(&self, flow: Flow, cache: &Path) -> Result<(Silent, Option<String>), String> {
        if self.library == Library::Net {
            return Ok(net::read(&self.peer, flow, cache));
        }
        let silent = self.ask("silent", flow, cache)?;
        let sent: Value = self.ask("refresh", flow, cache)?;
        Ok((silent, sent["refresh_token_sent"].as_str().map(str::to_owned)))
    }

    fn ask<T: for<'d> Deserialize<'d>>(&self, command: &str, flow: Flow, cache: &Path) -> Result<T, String> {
        self.peer.run(&[command, "--flow", flow.name(), "--cache", text(cache)])
    }
}
