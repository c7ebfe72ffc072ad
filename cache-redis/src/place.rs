//! Where the data is: one server, a cluster, or what sentinels name; and what is shown to be let in.

use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, TlsMode};

use crate::error::of_redis;
use crate::link::Servers;

#[derive(Clone)]
pub(crate) enum Place {
    One(String),
    Cluster(Vec<String>),
    /// The sentinels, and the primary's name.
    Sentinel(Vec<String>, String),
}

/// What is shown to the servers, and how they are known.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// The user, if it is not the default one, and the password.
    pub(crate) credentials: Option<(Option<String>, String)>,
    #[cfg(feature = "tls")]
    pub(crate) certificates: Option<redis::TlsCertificates>,
}

impl Place {
    /// The servers, none of them connected. `InvalidInput`: there are no such addresses.
    pub(crate) fn servers(&self, access: &Access, deadline: Duration) -> Result<Servers> {
        #[cfg(feature = "tls")]
        access.check_certificates()?;
        match self {
            Self::One(url) => access.client(address(url)?).map(Servers::One),
            Self::Cluster(urls) => access.cluster(&addresses(urls)?, deadline),
            Self::Sentinel(urls, name) => access.sentinels(&addresses(urls)?, name),
        }
    }
}

impl Access {
    /// The client takes whatever it can read of a file, which may be nothing.
    #[cfg(feature = "tls")]
    fn check_certificates(&self) -> Result<()> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let Some(root) = self.certificates.as_ref().and_then(|certificates| certificates.root_cert.as_ref()) else {
            return Ok(());
        };
        let mut found = CertificateDer::pem_slice_iter(root).peekable();
        if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
            return Err(Error::new(ErrorKind::InvalidInput, "the root certificate is none in PEM; look at its file"));
        }
        Ok(())
    }

    fn client(&self, address: ConnectionInfo) -> Result<Client> {
        let settings = self.to(address.redis_settings().clone());
        let address = address.set_redis_settings(settings);
        #[cfg(feature = "tls")]
        if let (Some(certificates), ConnectionAddr::TcpTls { .. }) = (&self.certificates, address.addr()) {
            return Client::build_with_tls(address, certificates.clone()).map_err(of_redis);
        }
        Client::open(address).map_err(of_redis)
    }

    fn cluster(&self, nodes: &[ConnectionInfo], deadline: Duration) -> Result<Servers> {
        let nodes = nodes.iter().map(|node| node.clone().set_redis_settings(self.to(node.redis_settings().clone())));
        let builder = ClusterClientBuilder::new(nodes).connection_timeout(deadline).response_timeout(deadline);
        #[cfg(feature = "tls")]
        let builder = match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        };
        builder.build().map(Servers::Cluster).map_err(of_redis)
    }

    fn sentinels(&self, sentinels: &[ConnectionInfo], name: &str) -> Result<Servers> {
        let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master).map_err(of_redis)?;
        // The sentinels' own credentials stand in their URLs; the database is the primary's.
        let (own, is_secure) = match sentinels.first() {
            Some(first) => (first.redis_settings().clone(), matches!(first.addr(), ConnectionAddr::TcpTls { .. })),
            None => (RedisConnectionInfo::default(), false),
        };
        let primary = self.to(RedisConnectionInfo::default());
        let mut builder = builder.set_client_to_redis_db(own.db());
        builder = with(builder, own.username(), |builder, user| builder.set_client_to_sentinel_username(user));
        builder = with(builder, own.password(), |builder, password| builder.set_client_to_sentinel_password(password));
        builder = with(builder, primary.username(), |builder, user| builder.set_client_to_redis_username(user));
        builder = with(builder, primary.password(), |builder, password| builder.set_client_to_redis_password(password));
        if is_secure {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure);
            #[cfg(feature = "tls")]
            if let Some(certificates) = &self.certificates {
                builder = builder.set_client_to_redis_certificates(certificates.clone());
                builder = builder.set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build().map(|client| Servers::Sentinel(tokio::sync::Mutex::new(client))).map_err(of_redis)
    }

    fn to(&self, settings: RedisConnectionInfo) -> RedisConnectionInfo {
        match &self.credentials {
            None => settings,
            Some((None, password)) => settings.set_password(password),
            Some((Some(user), password)) => settings.set_username(user).set_password(password),
        }
    }
}

fn with<B>(builder: B, text: Option<&str>, set: fn(B, &str) -> B) -> B {
    match text {
        Some(text) => set(builder, text),
        None => builder,
    }
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
