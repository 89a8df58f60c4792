//! The server's side of TLS: certificates for the names that clients ask for, and who a client's certificate says it
//! is. Clients need none; one that is not this cloud's ends the handshake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::{PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use tokio_rustls::TlsAcceptor;

use super::TlsError;
use super::authority::Authority;
use super::subject::Parts;
use crate::local_cloud::time::after;
use crate::local_cloud::wire::Peer;
use crate::model::clock::Clock;

/// How long a server's certificate is valid, and when it is made anew.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
const RENEWED_AFTER: Duration = Duration::from_secs(60 * 24 * 3600);
/// How many names are kept at most; more clients than that are not honest ones.
const MOST_NAMES: usize = 1024;
/// Names of the real endpoints: clients may be led here by a hosts file.
const REAL: &str = ".aliyuncs.com";

/// Accepts connections over TLS, with certificates of `authority` and the time of `clock`.
pub(crate) fn acceptor(authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Result<TlsAcceptor, TlsError> {
    let setup = |error: &dyn std::fmt::Display| TlsError::Setup(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()?).map_err(|error| setup(&error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| setup(&error))?;
    let certificates = Arc::new(Certificates { authority, clock: Arc::clone(&clock), made: Mutex::default() });
    // A certificate that can't be made is to be known now and not by the first client.
    certificates.of(None)?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(CloudTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whose certificate came with a connection.
pub(crate) fn peer(connection: &rustls::ServerConnection) -> Option<Peer> {
    Parts::of(connection.peer_certificates()?.first()?)?.peer()
}

/// The cloud's clock as TLS asks it.
struct CloudTime(Arc<dyn Clock>);

impl std::fmt::Debug for CloudTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CloudTime")
    }
}

impl TimeProvider for CloudTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Makes the server's certificates: one for the machine itself, and one for each other name that clients ask for.
struct Certificates {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    made: Mutex<BTreeMap<Option<String>, Made>>,
}

struct Made {
    renewed_at: Timestamp,
    certificate: Arc<CertifiedKey>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    fn of(&self, name: Option<String>) -> Result<Arc<CertifiedKey>, TlsError> {
        let now = self.clock.now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(&name).filter(|known| now < known.renewed_at) {
            return Ok(Arc::clone(&known.certificate));
        }
        let certificate = Arc::new(self.make(name.clone(), now)?);
        if made.len() >= MOST_NAMES {
            made.clear();
        }
        made.insert(name, Made { renewed_at: after(now, RENEWED_AFTER), certificate: Arc::clone(&certificate) });
        Ok(certificate)
    }

    fn make(&self, name: Option<String>, now: Timestamp) -> Result<CertifiedKey, TlsError> {
        let itself = ["localhost", "*.localhost", "*.aliyuncs.com", "127.0.0.1", "::1"].map(str::to_owned);
        let names: Vec<String> = name.into_iter().chain(itself).collect();
        let issued = self.authority.issue_server(&names, now, after(now, LIFETIME))?;
        let key = PrivatePkcs8KeyDer::from(issued.key.serialize_der());
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&key.into()).map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(CertifiedKey::new(vec![issued.certificate], key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().map(str::to_ascii_lowercase);
        // A wildcard covers one label, and many clients take none for a name of two labels: others get their own.
        let own = named.filter(|name| name.ends_with(REAL) || name.ends_with(".localhost"));
        // Without a certificate the handshake fails, which tells the client all that there is to tell.
        self.of(own).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::RuntimeClock;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    const NOW: &str = "2026-01-02T03:04:05Z";

    struct Side {
        authority: Arc<Authority>,
        clock: Arc<RuntimeClock>,
    }

    fn side() -> Side {
        let now = NOW.parse().unwrap();
        Side { authority: Arc::new(Authority::open(None, now).unwrap()), clock: Arc::new(RuntimeClock::starting_at(now)) }
    }

    impl Side {
        /// Connects as a client that trusts this side's authority, and says who the server takes it for.
        async fn meet(&self, name: &str, certificate: Option<(String, String)>) -> Result<Option<Peer>, String> {
            let acceptor = acceptor(Arc::clone(&self.authority), self.clock.clone()).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.certificate().unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_details(provider, Arc::new(CloudTime(self.clock.clone())))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            let config = match certificate {
                None => config.with_no_client_auth(),
                Some((certificate, key)) => {
                    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                    config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
                }
            };
            let (near, far) = tokio::io::duplex(64 * 1024);
            let server = tokio::spawn(async move {
                let mut stream = acceptor.accept(far).await.map_err(|error| error.to_string())?;
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
                Ok(peer(stream.get_ref().1))
            });
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let met = async {
                let mut stream = TlsConnector::from(Arc::new(config)).connect(name, near).await.map_err(|error| error.to_string())?;
                let mut text = String::new();
                stream.read_to_string(&mut text).await.map_err(|error| error.to_string())?;
                assert_eq!(text, "hello");
                Ok::<(), String>(())
            };
            let met = met.await;
            let peer = server.await.unwrap();
            met?;
            peer
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_reach_it_by_every_name_that_leads_here_and_no_other() {
        let side = side();
        let names = ["127.0.0.1", "::1", "localhost", "mybucket.localhost", "a.b.localhost", "vpc.aliyuncs.com"];
        for name in names.into_iter().chain(["ecs.cn-beijing.aliyuncs.com", "mybucket.oss-cn-hangzhou.aliyuncs.com"]) {
            assert_eq!(side.meet(name, None).await, Ok(None), "{name}");
        }
        for name in ["example.com", "aliyuncs.com.example.com", "127.0.0.2"] {
            assert!(side.meet(name, None).await.unwrap_err().contains("invalid peer certificate"), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_who_its_certificate_says_while_it_is_valid() {
        let side = side();
        let now = side.clock.now();
        let groups = vec!["system:users".to_owned(), "admins".to_owned()];
        let issued = side.authority.issue_client("ann", &groups, now, after(now, Duration::from_secs(60))).unwrap();
        let ann = Peer { common_name: "ann".to_owned(), organizations: groups };
        assert_eq!(side.meet("127.0.0.1", Some(issued.clone())).await, Ok(Some(ann)));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(side.meet("127.0.0.1", Some(issued)).await.is_err());
        // The server's own certificate is made anew in time.
        tokio::time::advance(LIFETIME * 3).await;
        assert_eq!(side.meet("localhost", None).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_of_somebody_else_is_refused() {
        let [side, other] = std::array::from_fn(|_| side());
        let now = side.clock.now();
        let forged = other.authority.issue_client("root", &[], now, after(now, Duration::from_secs(60))).unwrap();
        assert!(side.meet("127.0.0.1", Some(forged)).await.is_err());
    }
}
