//! Requests over TCP and TLS. It knows no product and no signature; it never follows a redirect, since a
//! signature is good for one host only, and never tries twice.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// One request, one answer.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Sends the request and reads the whole answer within `limit`.
    async fn exchange(&self, request: http::Request<Bytes>, limit: Duration) -> Result<http::Response<Bytes>, Failure>;
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What the transport said; without the address, whose query may hold a secret.
    pub reason: String,
    /// Whether the request may have left.
    pub sent: bool,
}

/// The network. Connections are kept and used again; certificates are read when the first secured one is needed.
#[derive(Debug)]
pub struct Network {
    user_agent: String,
    connect_limit: Duration,
    secured: OnceLock<Result<reqwest::Client, String>>,
    direct: OnceLock<Result<reqwest::Client, String>>,
}

impl Network {
    /// A network that introduces itself as `user_agent` and waits 5 s for a connection.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Network::with_connect_limit(user_agent, Duration::from_secs(5))
    }

    /// A network that waits as long as that for a connection.
    pub fn with_connect_limit(user_agent: impl Into<String>, connect_limit: Duration) -> Self {
        Network { user_agent: user_agent.into(), connect_limit, secured: OnceLock::new(), direct: OnceLock::new() }
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        // Whoever installed a provider first has the same need; a second one is refused and not missed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(self.user_agent.as_str())
            .connect_timeout(self.connect_limit)
            // Shorter than the service's own: a call on a connection that it is closing would be lost.
            .pool_idle_timeout(Duration::from_secs(15))
            .redirect(reqwest::redirect::Policy::none())
    }

    /// Plain requests to an address (the local cloud, the metadata service) go straight: through a proxy they
    /// would leave the machine, and a machine without certificates can make them too.
    fn client(&self, uri: &http::Uri) -> Result<&reqwest::Client, Failure> {
        let made = if is_direct(uri) {
            self.direct.get_or_init(|| self.builder().no_proxy().tls_certs_only([]).build().map_err(explain))
        } else {
            self.secured.get_or_init(|| self.builder().build().map_err(explain))
        };
        made.as_ref().map_err(|reason| Failure { reason: reason.clone(), sent: false })
    }
}

fn is_direct(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    uri.scheme() == Some(&http::uri::Scheme::HTTP) && (host == "localhost" || host.parse::<std::net::IpAddr>().is_ok())
}

/// An error with its causes and without the address.
fn explain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[async_trait]
impl Exchange for Network {
    async fn exchange(&self, request: http::Request<Bytes>, limit: Duration) -> Result<http::Response<Bytes>, Failure> {
        let client = self.client(request.uri())?;
        let unsent = |error| Failure { reason: explain(error), sent: false };
        let mut request = reqwest::Request::try_from(request).map_err(unsent)?;
        *request.timeout_mut() = Some(limit);
        let answer = client.execute(request).await.map_err(|error| {
            let sent = !(error.is_connect() || error.is_builder());
            Failure { reason: explain(error), sent }
        })?;
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = answer.bytes().await.map_err(|error| Failure { reason: explain(error), sent: true })?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::loopback::Loopback;
    use super::*;

    async fn fetch(uri: &str, limit: Duration) -> Result<http::Response<Bytes>, Failure> {
        let request = http::Request::get(uri).body(Bytes::new()).unwrap();
        Network::new("test/1").exchange(request, limit).await
    }

    #[test]
    fn only_plain_addresses_go_straight() {
        for (uri, direct) in [
            ("http://127.0.0.1:8090/", true),
            ("http://[::1]:8090/", true),
            ("http://localhost/", true),
            ("http://100.100.100.200/latest", true),
            ("https://127.0.0.1/", false),
            ("http://ecs.aliyuncs.com/", false),
        ] {
            assert_eq!(is_direct(&uri.parse().unwrap()), direct, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_sent_nothing() {
        let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for scheme in ["http", "https"] {
            let failure = fetch(&format!("{scheme}://{unused}/?secret=1"), Duration::from_secs(5)).await.unwrap_err();
            assert!(!failure.sent);
            assert!(!failure.reason.contains("secret"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_answer_may_have_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
        });
        let failure = fetch(&format!("http://{address}/"), Duration::from_secs(5)).await.unwrap_err();
        assert!(failure.sent, "{failure}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn redirects_are_handed_back() {
        let server =
            Loopback::serve(|_| http::Response::builder().status(302).header("location", "/elsewhere").body(String::new()).unwrap()).await;
        let answer = fetch(&server.base, Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.status(), 302);
        let received = server.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].header("user-agent"), "test/1");
    }
}
