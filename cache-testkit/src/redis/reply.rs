//! Commands to a server and its replies, as far as tests need them: RESP2 over the server's Unix socket.

use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::process::DEADLINE;

/// What a server answers to a command. Its `Display` is the text of it, a line per item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// A refusal, which begins with its kind: `NOPERM`, `MOVED`, `WRONGTYPE`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value.
    Bytes(Vec<u8>),
    /// No value.
    Nil,
    /// Several replies.
    List(Vec<Reply>),
}

impl Reply {
    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Reply] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// What follows `name` in a list of names and values, or after `name:` in a text of such lines: how `SENTINEL MASTER`
    /// and `INFO` answer.
    pub fn field(&self, name: &str) -> Option<String> {
        if let Self::List(items) = self {
            let value = items.chunks_exact(2).find(|pair| pair[0].to_string() == name);
            return value.map(|pair| pair[1].to_string());
        }
        let text = self.to_string();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
    }
}

impl Display for Reply {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) | Self::Error(text) => formatter.write_str(text),
            Self::Integer(number) => number.fmt(formatter),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).fmt(formatter),
            Self::Nil => Ok(()),
            Self::List(items) => items.iter().try_for_each(|item| writeln!(formatter, "{item}")),
        }
    }
}

/// A connection to a server, made by [`Server::connect`](super::Server::connect).
#[derive(Debug)]
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to the socket. Nothing is said yet.
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and answers its reply.
    ///
    /// An error of kind `WouldBlock` says that there is no reply within [`DEADLINE`], any other that the server is gone.
    pub fn command<S: AsRef<[u8]>>(&mut self, arguments: &[S]) -> io::Result<Reply> {
        self.send(arguments)?;
        self.receive()
    }

    /// Sends a command, and does not wait for the reply.
    pub fn send<S: AsRef<[u8]>>(&mut self, arguments: &[S]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments.iter().map(AsRef::as_ref) {
            request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request)
    }

    /// The next reply. Errors as for [`command`](Self::command).
    pub fn receive(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        let (kind, text) = line.split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
        let number = || text.parse::<i64>().map_err(|_| ErrorKind::InvalidData);
        Ok(match kind {
            "+" => Reply::Status(text.to_owned()),
            "-" => Reply::Error(text.to_owned()),
            ":" => Reply::Integer(number()?),
            // A negative length says that there is no value.
            "$" => match usize::try_from(number()?) {
                Ok(length) => Reply::Bytes(self.bytes(length)?),
                Err(_) => Reply::Nil,
            },
            "*" => match usize::try_from(number()?) {
                Ok(length) => Reply::List((0..length).map(|_| self.receive()).collect::<io::Result<_>>()?),
                Err(_) => Reply::Nil,
            },
            _ => return Err(ErrorKind::InvalidData.into()),
        })
    }

    /// Whether a part of a reply is there, or comes within so long.
    ///
    /// # Panics
    /// If the server is gone, or the limit is zero.
    pub fn hears_within(&mut self, limit: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(limit)).expect("a limit above zero");
        let heard = match self.0.fill_buf() {
            Ok(bytes) => {
                assert!(!bytes.is_empty(), "the server is gone");
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the server is gone: {error}"),
        };
        self.0.get_ref().set_read_timeout(Some(DEADLINE)).expect("a limit above zero");
        heard
    }

    /// Returns once the server has closed the connection, which a server that ends does.
    ///
    /// # Panics
    /// If it does not within [`DEADLINE`].
    pub fn wait_for_end(mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert!(error.kind() != ErrorKind::WouldBlock, "the server does not end");
        }
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}
