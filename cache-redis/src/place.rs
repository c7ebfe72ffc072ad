//! Where the data is: one server, a cluster, or what sentinels name.

use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

use crate::access::Access;
use crate::error::of_redis;
use crate::link::Servers;
use crate::primaries::Primaries;

#[derive(Clone)]
pub(crate) enum Place {
    One(String),
    Cluster(Vec<String>),
    /// The sentinels, and the primary's name.
    Sentinel(Vec<String>, String),
}

impl Place {
    /// The servers, none of them connected. `InvalidInput`: there are no such addresses.
    pub(crate) fn servers(&self, access: &Access, deadline: Duration) -> Result<Servers> {
        #[cfg(feature = "tls")]
        access.check_certificates()?;
        match self {
            Self::One(url) => access.client(address(url)?).map(Servers::One).map_err(of_redis),
            Self::Cluster(urls) => access.cluster(&addresses(urls)?, deadline),
            Self::Sentinel(urls, name) => {
                let client = access.sentinels(&addresses(urls)?, name, ProtocolVersion::default())?;
                Ok(Servers::Sentinel(tokio::sync::Mutex::new(client)))
            }
        }
    }

    /// The same servers, to be watched.
    pub(crate) fn primaries(&self, access: &Access) -> Result<Primaries> {
        match self {
            Self::One(url) => access.client(telling(address(url)?)).map(Primaries::One).map_err(of_redis),
            Self::Cluster(urls) => {
                let nodes = addresses(urls)?.into_iter().map(telling).collect();
                Ok(Primaries::Cluster(nodes, access.clone()))
            }
            Self::Sentinel(urls, name) => {
                let client = access.sentinels(&addresses(urls)?, name, ProtocolVersion::RESP3)?;
                Ok(Primaries::Sentinel(tokio::sync::Mutex::new(client)))
            }
        }
    }
}

/// The same server, which may tell something unasked.
fn telling(address: ConnectionInfo) -> ConnectionInfo {
    let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    address.set_redis_settings(settings)
}

fn addresses(urls: &[String]) -> Result<Vec<ConnectionInfo>> {
    if urls.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "no address was given; name one server or more"));
    }
    urls.iter().map(|url| address(url)).collect()
}

/// The address that a URL names. `InvalidInput`: none; the URL is not shown, since it may hold a password.
fn address(url: &str) -> Result<ConnectionInfo> {
    let invalid = |message| Error::new(ErrorKind::InvalidInput, message);
    if url.starts_with("rediss:") && cfg!(not(feature = "tls")) {
        return Err(invalid("this program was built without TLS; enable the feature `tls` of cache-redis"));
    }
    let address = url.into_connection_info().map_err(|_| {
        invalid("this is no URL of a Redis server; write it as redis://host:6379, rediss://host or redis+unix:///path")
    })?;
    if let ConnectionAddr::TcpTls { insecure: true, .. } = address.addr() {
        return Err(invalid(
            "a server whose certificate is not looked at can be anybody; give the root certificate that it is signed by",
        ));
    }
    #[cfg(feature = "tls")]
    if let (ConnectionAddr::TcpTls { .. }, None) = (address.addr(), rustls::crypto::CryptoProvider::get_default()) {
        // The program may have installed one meanwhile, and then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_and_not_shown() {
        for url in ["", "host:6379", "http://:hunter2@host", "redis://", "rediss://:hunter2@host/#insecure"] {
            let error = address(url).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(addresses(&[]).expect_err("none").kind(), ErrorKind::InvalidInput);
    }
}
