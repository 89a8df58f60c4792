//! The way out of a machine: an HTTP proxy on its loopback, since it has no route of its own. It speaks CONNECT and
//! plain requests with a whole address; one connection carries one request, so that each may go somewhere else.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[cfg(target_os = "linux")]
use super::channel::{Channel, ToHost};
use super::note;
use super::routes::{Form, Refusal, Routes};

const HEAD_LIMIT: usize = 64 * 1024;

/// How connections are made.
#[derive(Clone)]
pub(super) enum Connector {
    /// From this process.
    Direct(Arc<Routes>),
    /// By the host's half.
    #[cfg(target_os = "linux")]
    Through(Arc<Switchboard>),
}

impl Connector {
    async fn connect(&self, host: &str, port: u16, tunnel: bool) -> Result<(TcpStream, Form), Refusal> {
        match self {
            Connector::Direct(routes) => routes.connect(host, port, tunnel).await,
            #[cfg(target_os = "linux")]
            Connector::Through(switchboard) => switchboard.connect(host, port, tunnel).await,
        }
    }
}

/// What the host's half answers to one request.
type Answer = Result<(OwnedFd, Form), Refusal>;

/// Requests to the host's half that wait for their answer.
#[cfg(target_os = "linux")]
pub(super) struct Switchboard {
    channel: Arc<Channel>,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
}

#[cfg(target_os = "linux")]
impl Switchboard {
    pub(super) fn new(channel: Arc<Channel>) -> Arc<Switchboard> {
        Arc::new(Switchboard { channel, next: AtomicU64::new(0), waiting: Mutex::default() })
    }

    pub(super) fn channel(&self) -> Arc<Channel> {
        self.channel.clone()
    }

    async fn connect(&self, host: &str, port: u16, tunnel: bool) -> Result<(TcpStream, Form), Refusal> {
        let lost = || Refusal::new(502, "the machine's other half on the host does not answer");
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        let request = ToHost::Connect { number, host: host.to_owned(), port, tunnel };
        self.channel.send(&request, None).await.map_err(|_| lost())?;
        let (socket, form) = receiver.await.map_err(|_| lost())??;
        let stream = std::net::TcpStream::from(socket);
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).map_err(|_| lost())?;
        Ok((stream, form))
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn answer(&self, number: u64, answer: Answer) {
        if let Some(sender) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number) {
            let _ = sender.send(answer);
        }
    }
}

/// The proxy.
pub(super) struct Proxy;

impl Proxy {
    /// Starts it and answers its address, `http://127.0.0.1:<port>`.
    pub(super) async fn start(connector: Connector) -> io::Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => {
                        let connector = connector.clone();
                        tokio::spawn(async move {
                            // A client that leaves early is its own business.
                            let _ = serve(client, &connector).await;
                        });
                    }
                    Err(error) => {
                        note(&format!("the proxy did not accept: {error}"));
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
        Ok(address)
    }
}

async fn serve(mut client: TcpStream, connector: &Connector) -> io::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let request = match Head::parse(&head) {
        Ok(request) => request,
        Err(refusal) => return refuse(&mut client, &refusal).await,
    };
    let (mut server, form) = match connector.connect(&request.host, request.port, request.is_tunnel()).await {
        Ok(connected) => connected,
        Err(refusal) => return refuse(&mut client, &refusal).await,
    };
    if request.is_tunnel() {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        server.write_all(&request.rewritten(&form)).await?;
    }
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Reads up to the blank line, and answers what came after it too.
async fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((head, rest));
        }
        if head.len() > HEAD_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request's head has no end"));
        }
        if client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn refuse(client: &mut TcpStream, refusal: &Refusal) -> io::Result<()> {
    let phrase = match refusal.status {
        400 => "Bad Request",
        403 => "Forbidden",
        504 => "Gateway Timeout",
        _ => "Bad Gateway",
    };
    let body = format!("aliform: {}\n", refusal.reason);
    let head = format!(
        "HTTP/1.1 {} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        refusal.status,
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}

/// A request's first lines.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    host: String,
    port: u16,
    /// The address as the client wrote it.
    target: String,
    /// The path with its query.
    path: String,
    version: String,
    /// The header lines, bytes as they came.
    lines: Vec<Vec<u8>>,
}

impl Head {
    fn parse(head: &[u8]) -> Result<Head, Refusal> {
        let bad = |what: &str| Refusal::new(400, format!("this is a proxy for outbound requests: {what}"));
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        let first = String::from_utf8(lines.next().unwrap_or_default()).map_err(|_| bad("the first line is not text"))?;
        let [method, target, version] = first.split(' ').collect::<Vec<_>>()[..] else {
            return Err(bad("the first line is not a request"));
        };
        let (authority, path, default) = if method == "CONNECT" {
            (target, String::new(), 443)
        } else {
            let Some(rest) = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and(target.get(7..)) else {
                return Err(bad("the address must start with `http://`"));
            };
            match rest.find(['/', '?']) {
                Some(at) if rest[at..].starts_with('?') => (&rest[..at], format!("/{}", &rest[at..]), 80),
                Some(at) => (&rest[..at], rest[at..].to_owned(), 80),
                None => (rest, "/".to_owned(), 80),
            }
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let (host, port) = split_port(authority, default).ok_or_else(|| bad("the address has no host"))?;
        Ok(Head {
            method: method.to_owned(),
            host,
            port,
            target: target.to_owned(),
            path,
            version: version.to_owned(),
            lines: lines.filter(|line| !line.is_empty()).collect(),
        })
    }

    fn is_tunnel(&self) -> bool {
        self.method == "CONNECT"
    }

    /// The head as the server gets it: asks for the connection's end after the answer, because the client's next request
    /// may go elsewhere. The Host header stays as it was.
    fn rewritten(&self, form: &Form) -> Vec<u8> {
        let target = if *form == Form::Origin { &self.path } else { &self.target };
        let mut head = format!("{} {target} {}\r\n", self.method, self.version).into_bytes();
        let upgrade = self.lines.iter().any(|line| header(line, "upgrade"));
        for line in &self.lines {
            let hop = header(line, "proxy-connection") || header(line, "proxy-authorization") || (!upgrade && header(line, "connection"));
            if !hop && !header(line, "keep-alive") {
                head.extend(line);
                head.extend(b"\r\n");
            }
        }
        if !upgrade {
            head.extend(b"Connection: close\r\n");
        }
        if let Form::Absolute { authorization: Some(authorization) } = form {
            head.extend(format!("Proxy-Authorization: {authorization}\r\n").as_bytes());
        }
        head.extend(b"\r\n");
        head
    }
}

fn header(line: &[u8], name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes())) && line.get(name.len()) == Some(&b':')
}

fn split_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => default,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Head, Refusal> {
        Head::parse(head.as_bytes())
    }

    #[test]
    fn a_plain_request_reaches_its_server_with_the_path_alone() {
        let head = parse(
            "PUT http://b.oss.aliyuncs.com/a/b?x=1 HTTP/1.1\r\nHost: b.oss.aliyuncs.com\r\nProxy-Connection: keep-alive\r\n\
             Proxy-Authorization: Basic x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.host.as_str(), head.port), ("b.oss.aliyuncs.com", 80));
        let sent = String::from_utf8(head.rewritten(&Form::Origin)).unwrap();
        assert_eq!(sent, "PUT /a/b?x=1 HTTP/1.1\r\nHost: b.oss.aliyuncs.com\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn the_hosts_proxy_gets_the_whole_address_and_its_login() {
        let head = parse("GET http://example.org?q HTTP/1.1\r\nHost: example.org\r\n\r\n").unwrap();
        assert_eq!(head.path, "/?q");
        let sent = String::from_utf8(head.rewritten(&Form::Absolute { authorization: Some("Basic abc".to_owned()) })).unwrap();
        assert!(sent.starts_with("GET http://example.org?q HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("Proxy-Authorization: Basic abc\r\n\r\n"), "{sent}");
    }

    #[test]
    fn a_tunnel_names_host_and_port() {
        let head = parse("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n\r\n").unwrap();
        assert!(head.is_tunnel());
        assert_eq!((head.host.as_str(), head.port), ("2001:db8::1", 8443));
    }

    #[test]
    fn what_is_not_for_a_proxy_is_refused() {
        for head in ["GET / HTTP/1.1\r\n\r\n", "GET ftp://x/ HTTP/1.1\r\n\r\n", "GET http:///x HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"] {
            assert_eq!(parse(head).unwrap_err().status, 400, "{head}");
        }
    }

    #[test]
    fn an_upgrade_keeps_its_connection_header() {
        let head = parse("GET http://x/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
        let sent = String::from_utf8(head.rewritten(&Form::Origin)).unwrap();
        assert!(sent.contains("Connection: Upgrade\r\n") && !sent.contains("close"), "{sent}");
    }
}
