//! What is shown to servers to be let in, and clients that show it.

use std::time::Duration;

use cache_core::Result;
#[cfg(feature = "tls")]
use cache_core::{Error, ErrorKind};
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult, TlsMode};

use crate::error::of_redis;
use crate::link::Servers;

/// What is shown to the servers, and how they are known.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// The user, if it is not the default one, and the password.
    pub(crate) credentials: Option<(Option<String>, String)>,
    #[cfg(feature = "tls")]
    pub(crate) certificates: Option<redis::TlsCertificates>,
}

impl Access {
    /// The client takes whatever it can read of a file, which may be nothing.
    #[cfg(feature = "tls")]
    pub(crate) fn check_certificates(&self) -> Result<()> {
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

    pub(crate) fn client(&self, address: ConnectionInfo) -> RedisResult<Client> {
        let settings = self.to(address.redis_settings().clone());
        let address = address.set_redis_settings(settings);
        #[cfg(feature = "tls")]
        if let (Some(certificates), ConnectionAddr::TcpTls { .. }) = (&self.certificates, address.addr()) {
            return Client::build_with_tls(address, certificates.clone());
        }
        Client::open(address)
    }

    pub(crate) fn cluster(&self, nodes: &[ConnectionInfo], deadline: Duration) -> Result<Servers> {
        let nodes = nodes.iter().map(|node| node.clone().set_redis_settings(self.to(node.redis_settings().clone())));
        let builder = ClusterClientBuilder::new(nodes).connection_timeout(deadline).response_timeout(deadline);
        #[cfg(feature = "tls")]
        let builder = match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        };
        builder.build().map(Servers::Cluster).map_err(of_redis)
    }

    pub(crate) fn sentinels(
        &self,
        sentinels: &[ConnectionInfo],
        name: &str,
        protocol: ProtocolVersion,
    ) -> Result<SentinelClient> {
        let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master).map_err(of_redis)?;
        // The sentinels' own credentials stand in their URLs; the database is the primary's.
        let (own, is_secure) = match sentinels.first() {
            Some(first) => (first.redis_settings().clone(), matches!(first.addr(), ConnectionAddr::TcpTls { .. })),
            None => (RedisConnectionInfo::default(), false),
        };
        let primary = self.to(RedisConnectionInfo::default());
        let mut builder = builder.set_client_to_redis_db(own.db()).set_client_to_redis_protocol(protocol);
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
        builder.build().map_err(of_redis)
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
