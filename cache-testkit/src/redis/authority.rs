//! A certificate authority for one server of one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a client is told by its certificate, and nothing that the machine's own settings add. A certificate of a server
/// must not be one of an authority: clients on rustls refuse that.
const SETTINGS: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
authorityKeyIdentifier = keyid
";

/// Where a throw-away authority and what it has signed lie. The certificates are good for a day.
#[derive(Debug)]
pub(super) struct Authority(PathBuf);

impl Authority {
    /// Makes the authority, `ca.crt`, and a certificate for a server at `127.0.0.1`, `redis.crt` with `redis.key`, in the
    /// folder.
    ///
    /// The `openssl` command does it: in Rust, `rcgen` would bring a cipher library, and a C compiler for it, to every
    /// crate that is tested with this one.
    pub(super) fn new(folder: &Path) -> Self {
        let authority = Self(folder.to_owned());
        fs::write(authority.path("openssl.cnf"), SETTINGS).expect("written");
        authority.request(&["-extensions", "authority", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.crt"]);
        authority.request(&[
            "-extensions",
            "server",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "redis.key",
            "-out",
            "redis.crt",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
        ]);
        authority
    }

    /// The certificate of the authority, in PEM.
    pub(super) fn certificate(&self) -> PathBuf {
        self.path("ca.crt")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn request(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(["req", "-x509", "-config", "openssl.cnf", "-days", "1", "-nodes"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("openssl does not start ({error}); on Debian and Ubuntu: apt-get install openssl")
            });
        assert!(
            output.status.success(),
            "openssl makes no certificate; it must be OpenSSL 3 or newer: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
