//! Where a machine's outbound connections go: names of Alibaba Cloud to the local cloud, all else where the host itself
//! would go, through its proxy if it has one. It never lets a machine reach what listens on the host's own loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::note;
use crate::local_cloud::machines::wire::HostEnvironment;

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Where an instance asks about itself. Source: ECS, instance metadata.
const METADATA: &str = "100.100.100.200";

/// How a plain request is to be written onto a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    /// To the server itself: only the path.
    Origin,
    /// To a proxy: the whole address, and what the proxy wants to see.
    Absolute { authorization: Option<String> },
}

/// Why there is no connection: an HTTP status for the machine, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into() }
    }
}

/// A proxy of the host's.
#[derive(Clone, PartialEq, Eq)]
struct Upstream {
    host: String,
    port: u16,
    authorization: Option<String>,
}

/// The ways out.
pub(super) struct Routes {
    gateway: SocketAddr,
    plain: Option<Upstream>,
    tunnel: Option<Upstream>,
    exempt: Vec<String>,
}

impl Routes {
    pub(super) fn new(gateway: SocketAddr, host: &HostEnvironment) -> Routes {
        let exempt = host.no_proxy.as_deref().unwrap_or_default();
        Routes {
            gateway,
            plain: host.http_proxy.as_deref().and_then(upstream),
            tunnel: host.https_proxy.as_deref().and_then(upstream),
            exempt: exempt.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// Connects to a name for a tunnel, or for one plain request.
    pub(super) async fn connect(&self, host: &str, port: u16, tunnel: bool) -> Result<(TcpStream, Form), Refusal> {
        let connecting = self.choose(host, port, tunnel);
        match tokio::time::timeout(LIMIT, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::new(504, format!("`{host}:{port}` did not answer within {} s", LIMIT.as_secs()))),
        }
    }

    async fn choose(&self, host: &str, port: u16, tunnel: bool) -> Result<(TcpStream, Form), Refusal> {
        let failed = |error: io::Error| Refusal::new(502, format!("`{host}:{port}` can't be reached: {error}"));
        if is_cloud(host) {
            if tunnel && port == 443 {
                return Err(Refusal::new(502, format!("the local cloud answers http only: use `http://{host}`")));
            }
            return TcpStream::connect(self.gateway).await.map(|stream| (stream, Form::Origin)).map_err(|error| {
                Refusal::new(502, format!("the local cloud at `{}`, which stands for `{host}`, can't be reached: {error}", self.gateway))
            });
        }
        let upstream = if tunnel { &self.tunnel } else { &self.plain };
        if let Some(upstream) = upstream
            && !self.is_exempt(host)
            && forbidden(host).is_none()
        {
            let stream = TcpStream::connect((upstream.host.as_str(), upstream.port)).await.map_err(failed)?;
            if tunnel {
                return upstream.tunnel(stream, host, port).await.map(|stream| (stream, Form::Origin));
            }
            return Ok((stream, Form::Absolute { authorization: upstream.authorization.clone() }));
        }
        let mut last = Refusal::new(502, format!("`{host}` has no address"));
        for address in tokio::net::lookup_host((host, port)).await.map_err(failed)? {
            if is_own(address.ip()) {
                last = Refusal::new(403, format!("`{host}` is the machine's host itself, which a machine can't see"));
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok((stream, Form::Origin)),
                Err(error) => last = failed(error),
            }
        }
        Err(last)
    }

    fn is_exempt(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.exempt.iter().any(|entry| {
            let suffix = entry.trim_start_matches("*.").trim_start_matches('.');
            let network = || Some(entry.parse::<ipnet::IpNet>().ok()?.contains(&host.parse::<IpAddr>().ok()?));
            entry == "*" || host == suffix || host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')) || network() == Some(true)
        })
    }
}

/// Whether the name belongs to what the local cloud stands for.
fn is_cloud(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == METADATA || host == "aliyuncs.com" || host.ends_with(".aliyuncs.com")
}

/// Whether the address is the host's own loopback. The public addresses of machines, `127.64.0.0/10`, are not.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_unspecified() || (v4.is_loopback() && !is_public_of_machine(v4)),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| is_own(IpAddr::V4(v4))),
    }
}

fn is_public_of_machine(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 127 && (64..128).contains(&second)
}

/// Addresses written as such that no proxy may be asked for either.
fn forbidden(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.parse().ok().filter(|address: &IpAddr| address.is_loopback() || address.is_unspecified())
}

/// Reads `http://user:password@host:port`, the form of the `http_proxy` variables. Other kinds of proxies are not spoken.
fn upstream(text: &str) -> Option<Upstream> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            note(&format!("the host's proxy speaks `{scheme}`, which machines can't use: they connect directly"));
            return None;
        }
        None => text,
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(login, address)| (Some(login), address));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (address, 80),
    };
    let authorization = login.map(|login| {
        let login: Vec<u8> = percent_encoding::percent_decode_str(login).collect();
        format!("Basic {}", STANDARD.encode(login))
    });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (!host.is_empty()).then_some(Upstream { host, port, authorization })
}

impl Upstream {
    /// Asks the proxy for a tunnel. The answer is read byte by byte: what follows it belongs to the machine.
    async fn tunnel(&self, mut stream: TcpStream, host: &str, port: u16) -> Result<TcpStream, Refusal> {
        let failed = |error: io::Error| Refusal::new(502, format!("the host's proxy gave no tunnel to `{host}:{port}`: {error}"));
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 16 * 1024 {
                return Err(Refusal::new(502, "the host's proxy answers without end"));
            }
            head.push(stream.read_u8().await.map_err(failed)?);
        }
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or_default();
        if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            Ok(stream)
        } else {
            Err(Refusal::new(502, format!("the host's proxy gave no tunnel to `{host}:{port}`: {line}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(no_proxy: &str) -> Routes {
        let host = HostEnvironment { no_proxy: Some(no_proxy.to_owned()), ..HostEnvironment::default() };
        Routes::new(SocketAddr::from(([127, 0, 0, 1], 1)), &host)
    }

    #[test]
    fn only_names_of_the_cloud_go_to_the_local_one() {
        assert!(is_cloud("bucket.oss-cn-hangzhou-internal.aliyuncs.com"));
        assert!(is_cloud("ECS.aliyuncs.com."));
        assert!(is_cloud("100.100.100.200"));
        assert!(!is_cloud("notaliyuncs.com"));
        assert!(!is_cloud("aliyuncs.com.example.org"));
    }

    #[test]
    fn the_hosts_loopback_is_out_of_reach_and_other_machines_are_not() {
        for own in ["127.0.0.1", "127.63.0.1", "127.128.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        for other in ["127.64.0.1", "127.127.255.1", "10.0.0.1", "2001:db8::1"] {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }

    #[tokio::test]
    async fn a_service_on_the_hosts_loopback_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(routes("").connect("127.0.0.1", port, false).await.unwrap_err().status, 403);
        assert_eq!(routes("").connect("localhost", port, true).await.unwrap_err().status, 403);
    }

    /// A proxy that hands out one tunnel, or refuses it, and answers what it was asked.
    async fn proxy(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://me:secret@{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head[..length].to_vec()).unwrap()
        });
        (address, serving)
    }

    #[tokio::test]
    async fn the_hosts_proxy_is_asked_for_a_tunnel_and_nothing_of_the_tunnel_is_lost() {
        let (address, serving) = proxy("HTTP/1.1 200 OK\r\nX: y\r\n\r\nfirst bytes").await;
        let host = HostEnvironment { https_proxy: Some(address), ..HostEnvironment::default() };
        let routes = Routes::new(SocketAddr::from(([127, 0, 0, 1], 1)), &host);
        let (mut stream, form) = routes.connect("example.org", 443, true).await.unwrap();
        assert_eq!(form, Form::Origin);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "first bytes");
        let asked = serving.await.unwrap();
        assert!(asked.starts_with("CONNECT example.org:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_tunnel_that_the_hosts_proxy_refuses_is_refused_with_its_words() {
        let (address, _serving) = proxy("HTTP/1.1 407 Who are you\r\n\r\n").await;
        let host = HostEnvironment { https_proxy: Some(address), ..HostEnvironment::default() };
        let routes = Routes::new(SocketAddr::from(([127, 0, 0, 1], 1)), &host);
        let refusal = routes.connect("example.org", 443, true).await.unwrap_err();
        assert_eq!(refusal.status, 502);
        assert!(refusal.reason.contains("407 Who are you"), "{}", refusal.reason);
    }

    #[tokio::test]
    async fn plain_requests_go_to_the_hosts_proxy_whole() {
        let (address, _serving) = proxy("").await;
        let host = HostEnvironment { http_proxy: Some(address), ..HostEnvironment::default() };
        let routes = Routes::new(SocketAddr::from(([127, 0, 0, 1], 1)), &host);
        let (_stream, form) = routes.connect("example.org", 80, false).await.unwrap();
        assert_eq!(form, Form::Absolute { authorization: Some("Basic bWU6c2VjcmV0".to_owned()) });
    }

    #[test]
    fn a_proxy_is_read_with_its_login() {
        let found = upstream("http://me:p%40ss@proxy.example:3128/").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("proxy.example", 3128));
        assert_eq!(found.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert!(upstream("socks5://proxy.example:1080").is_none());
        assert_eq!(upstream("proxy.example:8080").map(|found| found.port), Some(8080));
    }

    #[test]
    fn exempt_names_cover_their_subdomains_and_networks() {
        let routes = routes("example.org, .inner,10.0.0.0/8");
        for exempt in ["example.org", "a.example.org", "x.inner", "10.2.3.4"] {
            assert!(routes.is_exempt(exempt), "{exempt}");
        }
        for other in ["badexample.org", "11.0.0.1", "example.com"] {
            assert!(!routes.is_exempt(other), "{other}");
        }
    }
}
