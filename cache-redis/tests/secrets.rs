//! Planted secrets: tokens, keys and ids stand in no `Debug`, error or trace, whatever goes well or wrong; and in nothing that
//! the server of a protected store holds, logs, or shows to whoever watches it.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::Protector;
use cache_crypto::{Envelope, Key};
use cache_redis::RedisStore;
use cache_testkit::redis::{Connection, Reply, Server, is_installed};
use cache_testkit::secrets::{Exposure, capture_traces, shown};

use common::{at, fields, names, protector_of, set_field};

#[test]
fn nothing_shows_while_a_store_is_used_and_abused() {
    if !is_installed() {
        return;
    }
    let check = Exposure::new();
    let traces = capture_traces(|| {
        for is_protected in [false, true] {
            let server = Server::options().user("planted", &format!("on >{} ~* +@all", check.key.text())).start();
            let builder = |seed: u8| {
                let at = at(&server).credentials(Some("planted"), check.key.text());
                if is_protected { at.protector(protector_of(seed)) } else { at.insecure_plaintext() }
            };
            check.show(&builder(7));
            let store = builder(7).open().expect("a usable address");
            check.use_all(&store);
            // Other keys, other choices, other passwords, no server.
            let url = server.url_as("planted", check.session.text());
            for other in [
                builder(9),
                at(&server).insecure_plaintext(),
                common::at_url(&url).insecure_plaintext(),
                common::at_url(&format!("redis://user:{}@127.0.0.1:1", check.key.text()))
                    .deadline(Duration::from_millis(100))
                    .insecure_plaintext(),
                common::at_url(&format!("redis:{}", check.key.text())).insecure_plaintext(),
            ] {
                check.show(&other);
                match other.open() {
                    Ok(other) => {
                        check.use_all(&other);
                        // With what it has queued by now.
                        check.show(&other);
                    }
                    Err(error) => check.text(&shown(&error)),
                }
            }
            // Fields that do not open, and what is none of ours.
            for (n, key) in names(&server, "*:h").into_iter().enumerate() {
                for (field, mut value) in fields(&server, &key) {
                    *value.last_mut().expect("not empty") ^= 1;
                    set_field(&server, &key, &field, if n == 0 { check.token.text().as_bytes() } else { &value });
                }
            }
            check.use_all(&store);
            check.use_all(&builder(7).open().expect("a usable address"));
            for key in names(&server, "*") {
                server.command(&["DEL", &key]);
                server.command(&["SET", &key, check.token.text()]);
            }
            check.use_all(&store);
            check.use_all(&builder(7).open().expect("a usable address"));
        }
    });
    assert!(traces.contains("token_cache.commit"), "the spans were seen");
    check.text(&traces);
    check.finish();
}

/// A key made of planted text, which must show nowhere either.
fn planted_key(check: &Exposure) -> Arc<dyn Protector> {
    let mut bytes = [b'.'; Key::LEN];
    let text = check.key.text().as_bytes();
    let length = text.len().min(Key::LEN);
    bytes[..length].copy_from_slice(&text[..length]);
    Arc::new(Envelope::with_key(Key::from_bytes(&bytes)))
}

/// All that the server holds of it, and all that it shows while the store is used: to `MONITOR`, and in its slow log.
fn exposed(server: &Server, check: &Exposure, store: &RedisStore) -> Vec<u8> {
    const MARK: &str = "the end of what is monitored";
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "100000"]);
    let mut monitor = server.connect();
    assert_eq!(monitor.command(&["MONITOR"]).expect("a server").to_string(), "OK");
    check.use_all(store);
    server.command(&["ECHO", MARK]);
    let mut all = monitored(&mut monitor, MARK).into_bytes();
    assert!(all.len() > 50_000, "commands were seen: {} bytes", all.len());
    all.extend(unescaped(&all.clone()));
    let slow = server.command(&["SLOWLOG", "GET", "-1"]);
    assert!(slow.items().len() > 20);
    add_bytes(&slow, &mut all);
    for key in names(server, "*") {
        all.extend(key.as_bytes());
        let read: &[&str] = match &*server.command(&["TYPE", &key]).to_string() {
            "string" => &["GET", &key],
            "hash" => &["HGETALL", &key],
            "zset" => &["ZRANGE", &key, "0", "-1", "WITHSCORES"],
            other => panic!("a {other} is not among what the store makes"),
        };
        add_bytes(&server.command(read), &mut all);
    }
    all.extend(server.log().as_bytes());
    all
}

fn monitored(monitor: &mut Connection, mark: &str) -> String {
    let mut all = String::new();
    while !all.contains(mark) {
        all.push_str(&monitor.receive().expect("the server runs").to_string());
        all.push('\n');
    }
    all
}

/// The bytes that `MONITOR` shows as `\xff`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        let escape = rest.get(..4).filter(|escape| escape.starts_with(b"\\x"));
        let byte = escape.and_then(|escape| u8::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { after };
    }
    bytes
}

fn add_bytes(reply: &Reply, all: &mut Vec<u8>) {
    match reply {
        Reply::Bytes(bytes) => all.extend(bytes),
        Reply::List(items) => items.iter().for_each(|item| add_bytes(item, all)),
        other => all.extend(other.to_string().into_bytes()),
    }
}

#[test]
fn a_protected_store_tells_the_server_no_name() {
    if !is_installed() {
        return;
    }
    let (check, server) = (Exposure::new(), Server::start());
    let store = at(&server).protector(planted_key(&check)).open().expect("a usable address");
    let exposed = exposed(&server, &check, &store);
    for planted in check.all() {
        planted.assert_absent_from(&exposed);
    }
    for plain in ["login.windows.net", "AccessToken", "home_account_id", &check.key.text()[..20]] {
        let found = exposed.windows(plain.len()).any(|window| window.eq_ignore_ascii_case(plain.as_bytes()));
        assert!(!found, "{plain} is in it");
    }
}

/// The same search does find what is there.
#[test]
fn a_plaintext_store_tells_them() {
    if !is_installed() {
        return;
    }
    let (check, server) = (Exposure::new(), Server::start());
    let store = at(&server).insecure_plaintext().open().expect("a usable address");
    let exposed = exposed(&server, &check, &store);
    for planted in check.all().into_iter().filter(|planted| planted.text() != check.lease.text()) {
        assert!(planted.found_in(&exposed).is_some(), "{planted:?}");
    }
}
