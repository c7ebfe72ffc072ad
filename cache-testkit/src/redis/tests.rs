//! What the servers promise to the tests that use them.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::*;
use crate::process::{self, Process};
use crate::worker_name;

/// What comes back over the network until the server closes; `PING` and `QUIT` are asked.
fn over_the_network(port: u16) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port is open");
    stream.set_read_timeout(Some(DEADLINE)).expect("a limit above zero");
    stream.write_all(b"PING\r\nQUIT\r\n").expect("the server reads");
    let mut answer = Vec::new();
    // What closes without having read everything resets the connection.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server closes");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_server_answers_on_its_port_and_nowhere_else_on_disk_or_network() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    assert_eq!(over_the_network(server.port()), "+PONG\r\n+OK\r\n");
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(server.command(&["INFO", "server"]).field("process_id"), server.id().map(|id| id.to_string()));
    for (name, value) in [("bind", "127.0.0.1"), ("save", ""), ("appendonly", "no")] {
        assert_eq!(server.command(&["CONFIG", "GET", name]).field(name).as_deref(), Some(value));
    }
}

#[test]
fn replies_of_every_kind_are_read() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let mut connection = server.connect();
    let value = b"\0\r\n$-1\r\n\xff";
    for (command, reply) in [
        (vec![&b"SET"[..], b"key", value], Reply::Status("OK".into())),
        (vec![b"GET", b"key"], Reply::Bytes(value.to_vec())),
        (vec![b"GET", b"none"], Reply::Nil),
        (vec![b"STRLEN", b"key"], Reply::Integer(9)),
        (vec![b"MGET", b"none", b"key"], Reply::List(vec![Reply::Nil, Reply::Bytes(value.to_vec())])),
        (vec![b"KEYS", b"none"], Reply::List(vec![])),
        (vec![b"FAIL"], Reply::Error("ERR unknown command 'FAIL', with args beginning with: ".into())),
    ] {
        assert_eq!(connection.command(&command).expect("answered"), reply);
    }
    server.flush();
    assert_eq!(server.command(&["DBSIZE"]), Reply::Integer(0));
}

#[test]
fn a_killed_server_keeps_what_it_answered_with_appendonly_and_nothing_without() {
    if !is_installed() {
        return;
    }
    for (options, kept) in [(Server::options().appendonly(), "1000"), (Server::options(), "")] {
        let mut server = options.start();
        let (id, port) = (server.id(), server.port());
        for n in 0..=1000 {
            server.command(&["SET", "key", &n.to_string()]);
        }
        server.kill();
        assert!(server.id().is_none() && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        server.restart();
        assert_ne!(server.id(), id);
        assert_eq!(server.port(), port);
        assert_eq!(server.command(&["GET", "key"]).to_string(), kept);
    }
}

#[test]
fn a_stopped_server_accepts_and_answers_once_it_goes_on() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let mut before = server.connect();
    for _ in 0..2 {
        server.stop();
        let mut after = server.connect();
        for connection in [&mut before, &mut after] {
            connection.send(&["PING"]).expect("the system takes it");
            assert!(!connection.hears_within(Duration::from_millis(100)));
        }
        server.go_on();
        for connection in [&mut before, &mut after] {
            assert_eq!(connection.receive().expect("answered").to_string(), "PONG");
        }
    }
}

#[test]
fn a_server_ends_with_its_handle_also_stopped_or_in_a_panic_and_no_other_does() {
    if !is_installed() {
        return;
    }
    let other = Server::start();
    let mut heard = other.connect();

    let dropped = Server::start();
    let connection = dropped.connect();
    drop(dropped);
    connection.wait_for_end();

    let stopped = Server::start();
    let connection = stopped.connect();
    stopped.stop();
    drop(stopped);
    connection.wait_for_end();

    let panicking = Server::start();
    let connection = panicking.connect();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _server = panicking;
        std::panic::resume_unwind(Box::new("the test fails"));
    }));
    assert!(result.is_err());
    connection.wait_for_end();

    // The same connection to the same process.
    assert_eq!(heard.command(&["PING"]).expect("answered").to_string(), "PONG");
}

#[test]
#[ignore = "a worker process of other tests"]
fn start_servers() {
    process::work(worker_name!(start_servers), |worker| {
        let servers = [Server::start(), Server::start()];
        servers[1].stop();
        for server in &servers {
            worker.say(&socket(server));
        }
        worker.hear();
    });
}

#[test]
fn a_server_ends_when_the_test_program_is_killed() {
    if !is_installed() {
        return;
    }
    let other = Server::start();
    let mut worker = Process::start(worker_name!(start_servers), &[]);
    worker.wait_for_lines(2);
    let sockets: Vec<_> = worker.lines().iter().map(PathBuf::from).collect();
    // The system accepts for the stopped one; its end closes the connection all the same.
    let connections: Vec<_> =
        sockets.iter().map(|socket| Connection::open(socket).expect("the server is there")).collect();
    worker.kill();
    connections.into_iter().for_each(Connection::wait_for_end);
    for socket in sockets {
        // Which a killed process leaves behind.
        fs::remove_dir_all(socket.parent().expect("in the server's folder")).expect("removed");
    }
    assert_eq!(other.command(&["PING"]).to_string(), "PONG");
}

#[test]
fn users_may_do_what_their_rules_say_and_no_more() {
    if !is_installed() {
        return;
    }
    let options = Server::options().password("all").user("app", "on >secret ~tc:* +get +set");
    assert!(!format!("{options:?}").contains("secret"));
    let mut server = options.start();
    for _ in 0..2 {
        let app = |command: &[&str]| server.command_as("app", "secret", command).to_string();
        assert_eq!(app(&["SET", "tc:key", "value"]), "OK");
        assert_eq!(app(&["GET", "tc:key"]), "value");
        for refused in [&["GET", "other"][..], &["DEL", "tc:key"], &["FLUSHALL"]] {
            assert!(app(refused).starts_with("NOPERM"), "{refused:?}");
        }
        assert!(over_the_network(server.port()).starts_with("-NOAUTH"));
        let mut stranger = Connection::open(Path::new(&socket(&server))).expect("the server runs");
        let refused = stranger.command(&["AUTH", "app", "wrong"]).expect("answered").to_string();
        assert!(refused.starts_with("WRONGPASS"), "{refused}");
        server.restart();
    }
    let port = server.port();
    assert_eq!(server.url(), format!("redis://:all@127.0.0.1:{port}"));
    assert_eq!(server.url_as("app", "secret"), format!("redis://app:secret@127.0.0.1:{port}"));
    assert!(!format!("{server:?}").contains("all"));
}

/// The socket's path, as clients read it from the URL.
fn socket(server: &Server) -> String {
    let url = server.unix_url();
    let path = url.strip_prefix("redis+unix://").expect("a URL of a socket");
    path.split_once('?').map_or(path, |(path, _)| path).to_owned()
}

#[test]
fn a_full_server_refuses_to_write() {
    if !is_installed() {
        return;
    }
    let server = Server::options().maxmemory("2mb").start();
    // Fills the memory past the limit, which commands that clients use do not.
    assert_eq!(server.command(&["DEBUG", "POPULATE", "50000"]).to_string(), "OK");
    assert!(server.command(&["SET", "other", "value"]).to_string().starts_with("OOM"));
    assert_eq!(server.command(&["EXISTS", "other"]), Reply::Integer(0));
}

/// Speaks to the server as a client that trusts this authority alone.
fn over_tls(server: &Server, ca_certificate: &Path) -> Output {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1", "-no-CApath", "-CAfile"])
        .arg(ca_certificate)
        .arg("-connect")
        .arg(format!("127.0.0.1:{}", server.port()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    // One that does not trust the server may be gone by now.
    let _ = client.stdin.take().expect("asked for above").write_all(b"PING\r\nQUIT\r\n");
    client.wait_with_output().expect("it ends")
}

#[test]
fn a_server_with_tls_is_trusted_by_its_own_authority_alone() {
    if !is_installed() {
        return;
    }
    let [server, other] = [(); 2].map(|()| Server::options().tls().start());
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    let output = over_tls(&server, &server.ca_certificate());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "+PONG\r\n+OK\r\n", "{output:?}");
    let output = over_tls(&server, &other.ca_certificate());
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("verify error"), "{output:?}");
    assert!(!over_the_network(server.port()).contains("PONG"));
}

#[test]
fn settings_that_redis_refuses_are_told() {
    if !is_installed() {
        return;
    }
    let result = catch_unwind(|| Server::options().setting("no-such-setting yes").start());
    let message = result.expect_err("refused").downcast::<String>().expect("a message");
    assert!(message.contains("no-such-setting"), "{message}");
}

#[test]
fn a_cluster_serves_every_key_and_sends_clients_to_the_right_node() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    assert_eq!(cluster.urls().len(), 6);
    let mut serving = std::collections::BTreeSet::new();
    for n in 0..100 {
        let key = format!("tc:{n}");
        let primary = cluster.primary_of(&key);
        assert_eq!(primary.command(&["SET", &key, "value"]).to_string(), "OK");
        let port = primary.port();
        serving.insert(port);
        for node in cluster.nodes().iter().filter(|node| node.port() != port) {
            let moved = node.command(&["GET", &key]).to_string();
            assert!(moved.starts_with("MOVED ") && moved.ends_with(&format!(" 127.0.0.1:{port}")), "{moved}");
        }
    }
    assert_eq!(serving.len(), 3);
    // The replica takes the place of a primary that is killed, with what it holds.
    let primary = cluster.primary_of("tc:0");
    let port = primary.port();
    assert_eq!(primary.command(&["WAIT", "1", "0"]), Reply::Integer(1));
    primary.kill();
    cluster.wait_for_fail_over_from(port, "tc:0");
    assert_eq!(cluster.primary_of("tc:0").command(&["GET", "tc:0"]).to_string(), "value");
}

#[test]
fn sentinels_name_the_replica_once_the_primary_is_killed() {
    if !is_installed() {
        return;
    }
    let mut sentinels = Sentinels::start();
    assert_eq!(sentinels.urls().len(), 3);
    let primary = sentinels.primary().expect("all name one");
    let port = primary.port();
    let mut connection = primary.connect();
    connection.command(&["SET", "key", "value"]).expect("answered");
    assert_eq!(connection.command(&["WAIT", "1", "0"]).expect("answered"), Reply::Integer(1));
    primary.kill();
    sentinels.wait_for_fail_over_from(port);
    let promoted = sentinels.primary().expect("all name one");
    assert_ne!(promoted.port(), port);
    assert_eq!(promoted.command(&["GET", "key"]).to_string(), "value");
    assert_eq!(promoted.command(&["SET", "key", "new"]).to_string(), "OK");
    // The old primary comes back as the replica of the new one, without what it missed.
    sentinels.nodes_mut()[0].restart();
    let old = &sentinels.nodes()[0];
    assert_eq!(old.port(), port);
    wait_until("it follows", || old.connect().command(&["GET", "key"]).is_ok_and(|value| value.to_string() == "new"));
}
