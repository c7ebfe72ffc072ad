//! The scripts that run inside the server.

use std::sync::LazyLock;

use cache_core::Result;
use redis::{Cmd, Value};

use crate::error::of_redis;
use crate::link::{Link, Within};

/// A script, and the hash by which servers know it.
pub(crate) struct Script(redis::Script, &'static str);

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script(redis::Script::new(include_str!($file)), include_str!($file)));
    };
}

script!(COMMIT, "commit.lua");
script!(READ, "read.lua");
script!(LEASE, "lease.lua");
script!(LIST, "list.lua");
script!(LIST_ACCOUNT, "list_account.lua");
script!(UNLIST, "unlist.lua");
script!(RESEAL, "reseal.lua");
script!(READ_DOCUMENT, "documents/read.lua");
script!(WRITE_DOCUMENT, "documents/write.lua");
script!(SCAN, "documents/scan.lua");

impl Script {
    /// Runs it. A server that does not know it, since it was started anew or its scripts were flushed, is told its text.
    pub(crate) async fn run(&self, link: &Link, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Result<Value> {
        self.run_within(Within::Request, link, keys, arguments).await
    }

    /// The same, within the time that there is for [what validates a copy](Link::ask_soon).
    pub(crate) async fn run_soon(&self, link: &Link, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Result<Value> {
        self.run_within(Within::Validation, link, keys, arguments).await
    }

    async fn run_within(&self, within: Within, link: &Link, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Result<Value> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let known = link.try_ask(within, &command("EVALSHA", self.0.get_hash())).await?;
        match known {
            Err(error) if is_unknown(&error) => link.try_ask(within, &command("EVAL", self.1)).await?.map_err(of_redis),
            known => known.map_err(of_redis),
        }
    }
}

fn is_unknown(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
