//! Where a Redis store is, as `--store` names it.

use std::fmt;

use cache_redis::{RedisStore, RedisStoreBuilder};

/// The servers and the prefix that `redis://HOST:PORT/DB?prefix=NAME` and its like name.
///
/// It never holds a password, since every process of the machine can read the arguments of every other.
#[derive(Debug, Clone)]
pub(crate) struct RedisAddress {
    /// As it was written.
    text: String,
    servers: Servers,
    user: Option<String>,
    prefix: Option<String>,
}

/// By URLs that say everything, so that two of one server are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Servers {
    One(String),
    Cluster(Vec<String>),
    Sentinels(Vec<String>, String),
}

/// How each kind is written.
const FORMS: &str = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB with TLS, redis+unix:///PATH, redis+cluster://HOST:PORT,... or \
                     redis+sentinel://HOST:PORT,.../NAME, each with ?prefix=NAME if the keys have one of their own";

/// What a URL with a password in it is answered.
const NO_PASSWORD: &str = "a password does not belong into an argument, which every process can read; change it if it is in use, \
                           set TOKENCACHE_REDIS_PASSWORD or give --redis-password-file FILE (of `copy`, \
                           --from-redis-password-file or --to-redis-password-file), and leave at most a user of plain letters \
                           before the @";

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl RedisAddress {
    /// Whether an address of this scheme is one of Redis.
    pub(crate) fn has_scheme(scheme: &str) -> bool {
        matches!(scheme, "redis" | "redis+unix" | "redis+cluster" | "redis+sentinel" | "rediss")
    }

    /// The address that begins with `scheme`, and goes on with `rest` behind the colon. An error shows nothing of it.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Result<Self, String> {
        let wrong = || format!("no Redis server has such an address; write {FORMS}");
        let whole = rest.strip_prefix("//").ok_or_else(wrong)?;
        let (place, query) = whole.split_once('?').unwrap_or((whole, ""));
        let (db, prefix) = settings(query)?;
        let (authority, path) = match place.split_once('/') {
            Some((authority, _)) if scheme == "redis+unix" => (authority, &place[authority.len()..]),
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (place, ""),
        };
        let (user, hosts) = user(authority)?;
        if whole.contains('#') || (scheme != "redis+unix" && path.contains('@')) {
            return Err(NO_PASSWORD.to_owned());
        }
        let db_of = |path| if db.is_empty() { path } else { db };
        let servers = match (scheme, hosts, path) {
            ("redis" | "rediss", host, path) if !host.contains(',') => {
                let db = if path.is_empty() { "0" } else { path };
                let node = node(host, PORT);
                let host = node.strip_prefix("redis").unwrap_or_default();
                Servers::One(format!("{scheme}{host}/{}", db_of(db)))
            }
            ("redis+unix", "", path) if path.len() > 1 => {
                Servers::One(format!("redis+unix://{path}?db={}", db_of("0")))
            }
            ("redis+cluster", hosts, "") if db.is_empty() => Servers::Cluster(nodes(hosts, PORT)),
            ("redis+sentinel", hosts, name) if db.is_empty() && !name.is_empty() && !name.contains('/') => {
                Servers::Sentinels(nodes(hosts, SENTINEL_PORT), name.to_owned())
            }
            _ => return Err(wrong()),
        };
        let address = Self { text: format!("{scheme}:{rest}"), servers, user, prefix };
        // Connects to nothing.
        match address.store().insecure_plaintext().open() {
            Ok(_) => Ok(address),
            Err(error) => Err(format!("{}; write {FORMS}", error.message())),
        }
    }

    /// The store at this address, to be set up further.
    pub(crate) fn store(&self) -> RedisStoreBuilder {
        let store = match &self.servers {
            Servers::One(url) => RedisStore::at(url),
            Servers::Cluster(urls) => RedisStore::cluster(urls),
            Servers::Sentinels(urls, name) => RedisStore::sentinel(urls, name),
        };
        match &self.prefix {
            Some(prefix) => store.prefix(prefix),
            None => store,
        }
    }

    /// The user, if the address names one.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

/// What stands before the `@`, if there is one, and the hosts.
fn user(authority: &str) -> Result<(Option<String>, &str), String> {
    let Some((user, hosts)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    // Others, which a URL would need escapes for, come in the environment.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if user.is_empty() || !user.chars().all(is_plain) {
        return Err(NO_PASSWORD.to_owned());
    }
    Ok((Some(user.to_owned()), hosts))
}

/// The database and the prefix that a query sets.
fn settings(query: &str) -> Result<(&str, Option<String>), String> {
    let (mut db, mut prefix) = ("", None);
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=') {
            Some(("prefix", value)) => prefix = Some(value.to_owned()),
            Some(("db", value)) => db = value,
            Some(("pass" | "password" | "user" | "username", _)) => return Err(NO_PASSWORD.to_owned()),
            _ => return Err(format!("a Redis address has no such setting; write {FORMS}")),
        }
    }
    Ok((db, prefix))
}

fn nodes(hosts: &str, port: u16) -> Vec<String> {
    hosts.split(',').map(|host| node(host, port)).collect()
}

/// The URL of a server, with the usual port if none is named.
fn node(host: &str, port: u16) -> String {
    // Not one of those in the brackets of an IPv6 address.
    let has_port = host.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    if has_port { format!("redis://{host}") } else { format!("redis://{host}:{port}") }
}

impl PartialEq for RedisAddress {
    /// Whether both are one place, whoever asks there and however it is written.
    fn eq(&self, other: &Self) -> bool {
        (&self.servers, &self.prefix) == (&other.servers, &other.prefix)
    }
}

impl Eq for RedisAddress {}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisAddress, String> {
        let (scheme, rest) = text.split_once(':').expect("a scheme");
        assert!(RedisAddress::has_scheme(scheme), "{text}");
        RedisAddress::parse(scheme, rest)
    }

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in [
            "redis://localhost",
            "redis://app@10.0.0.1:7000/2?prefix=app:tokens",
            "redis://[::1]:7000",
            "redis+cluster://a:7000,b,[::1]:7001?prefix=x",
            "redis+sentinel://s1:26379,s2/tokens",
        ] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
        #[cfg(unix)]
        for text in ["redis+unix:///run/redis.sock", "redis+unix:///run/a@b.sock?db=1&prefix=x"] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
        assert_eq!(parse("redis://app@host").expect("an address").user(), Some("app"));
    }

    #[test]
    fn one_place_is_one_however_it_is_written() {
        let same = |one: &str, other: &str| parse(one).expect(one) == parse(other).expect(other);
        assert!(same("redis://host", "redis://app@host:6379/0"));
        assert!(same("redis://[::1]", "redis://[::1]:6379"));
        assert!(same("redis+sentinel://s/n", "redis+sentinel://s:26379/n"));
        assert!(!same("redis://host", "redis://host/1"));
        assert!(!same("redis://host", "redis://host?prefix=x"));
        assert!(!same("redis://host", "redis+cluster://host"));
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "redis://:secret@host",
            "redis://app:secret@host",
            "redis://app:sec/ret@host",
            "redis://app:sec?ret=@host",
            "redis://app:sec#ret@host",
            "redis://se%63ret@host",
            "redis://@host",
            "redis://host?password=secret",
            "redis+unix:///run/redis.sock?pass=secret",
            "redis+cluster://a,app:secret@b",
            "redis+sentinel://:secret@s/name",
            "rediss://:secret@host",
        ] {
            let refused = parse(text).expect_err(text);
            assert!(!refused.contains("secret") && !refused.contains("ret="), "{text}: {refused}");
        }
        assert_eq!(parse("redis://app:secret@host").expect_err("refused"), NO_PASSWORD);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "redis:host",
            "redis://",
            "redis://host:port",
            "redis://host/db",
            "redis://a,b",
            "redis://host?prefix=",
            "redis://host?prefix={a}",
            "redis://host?no=such",
            "redis+unix://run/redis.sock",
            "redis+unix:///",
            "redis+cluster://a/1",
            "redis+cluster://a,,b",
            "redis+sentinel://s1",
            "redis+sentinel://s1/",
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains("redis+sentinel://HOST"), "{text}: {refused}");
        }
        assert_eq!(
            parse("rediss://host/1").map(|address| address.servers),
            Ok(Servers::One("rediss://host:6379/1".into()))
        );
    }
}
