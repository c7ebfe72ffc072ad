//! A test's place between a store and its server: it sees each command before the server does, and may answer itself.

use std::io::{self, BufRead, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use cache_testkit::redis::Server;

/// A command of a store: its name and what follows.
pub(crate) struct Request(pub(crate) Vec<Vec<u8>>);

/// What a store asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Read,
    Commit,
    Lease,
    List,
    /// No script.
    Command,
}

impl Request {
    pub(crate) fn asked(&self) -> Asked {
        let holds = |text: &[u8]| self.0[3].windows(text.len()).any(|part| part == text);
        if !self.is("EVAL") && !self.is("EVALSHA") {
            Asked::Command
        } else if holds(b"{list-") || self.0[3].ends_with(b":i") {
            Asked::List
        } else if holds(b":l:") {
            Asked::Lease
        } else if self.0[2] == b"1" {
            Asked::Read
        } else {
            Asked::Commit
        }
    }

    /// Whether it is the command of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.0[0] == name.as_bytes()
    }

    pub(crate) fn has(&self, argument: &str) -> bool {
        self.0.iter().any(|one| one == argument.as_bytes())
    }

    /// Whether it is a commit whose partition is listed by now: it is about to be made.
    pub(crate) fn is_listed_commit(&self) -> bool {
        self.asked() == Asked::Commit && !self.0[8].is_empty()
    }
}

/// The address of a proxy in front of the server. What `answer` gives is the reply; where it gives none, the server's is. An
/// empty one is none at all: the store waits.
pub(crate) fn in_front_of(
    server: &Server,
    answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    let (port, answer) = (server.port(), Arc::new(answer));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            // Until one of the two ends is gone.
            std::thread::spawn(move || drop(serve(&client, port, &*answer)));
        }
    });
    url
}

/// One command after the other, so that replies come in the order of their commands.
fn serve(mut client: &TcpStream, port: u16, answer: &dyn Fn(&Request) -> Option<Vec<u8>>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut commands, mut replies) = (BufReader::new(client.try_clone()?), BufReader::new(server.try_clone()?));
    loop {
        let (bytes, texts) = read(&mut commands)?;
        match answer(&Request(texts)) {
            Some(reply) => client.write_all(&reply)?,
            None => {
                server.write_all(&bytes)?;
                client.write_all(&read(&mut replies)?.0)?;
            }
        }
    }
}

/// One value of the protocol: its bytes, and the texts in it.
fn read(from: &mut impl BufRead) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let (mut bytes, mut texts, mut left) = (Vec::new(), Vec::new(), 1);
    while left > 0 {
        left -= 1;
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&line);
        // A length below zero says that there is no value.
        let length = || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse::<usize>().ok());
        match (line[0], length()) {
            (b'*', Some(items)) => left += items,
            (b'$', Some(length)) => {
                let mut text = vec![0; length + 2];
                from.read_exact(&mut text)?;
                bytes.extend_from_slice(&text);
                text.truncate(length);
                texts.push(text);
            }
            _ => {}
        }
    }
    Ok((bytes, texts))
}
