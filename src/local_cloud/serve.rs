//! The HTTP side: connections in, plain or over TLS, requests to the cloud, answers out.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::kubernetes::{self, Body};
use super::tls::TlsError;
use super::tls::server::{acceptor, peer};
use super::wire::{Peer, Request, Response};
use super::{LocalCloud, control};

/// The largest body: an object that is put in one piece.
const LARGEST_BODY: usize = 5 * 1024 * 1024 * 1024;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a cloud is served.
pub struct Listeners {
    plain: TcpListener,
    secure: Option<(TcpListener, TlsAcceptor)>,
}

impl From<TcpListener> for Listeners {
    /// Plain HTTP only.
    fn from(plain: TcpListener) -> Self {
        Listeners { plain, secure: None }
    }
}

impl Listeners {
    /// Plain HTTP, and the same over TLS with certificates of the cloud's own authority. From now on the cloud says that
    /// it is found there.
    ///
    /// # Errors
    /// If the authority can't be made or read.
    pub fn with_tls(cloud: &LocalCloud, plain: TcpListener, secure: TcpListener) -> Result<Self, TlsError> {
        let address = secure.local_addr().map_err(|error| TlsError::Setup(error.to_string()))?;
        let acceptor = acceptor(cloud.shared.authority()?, cloud.shared.wall_clock())?;
        cloud.shared.set_secure(address);
        Ok(Listeners { plain, secure: Some((secure, acceptor)) })
    }

    async fn accept(&self) -> std::io::Result<(TcpStream, IpAddr, Option<TlsAcceptor>)> {
        let (accepted, acceptor) = match &self.secure {
            None => (self.plain.accept().await, None),
            Some((secure, acceptor)) => tokio::select! {
                plain = self.plain.accept() => (plain, None),
                secure = secure.accept() => (secure, Some(acceptor.clone())),
            },
        };
        let (stream, from) = accepted?;
        Ok((stream, from.ip(), acceptor))
    }
}

/// Serves `cloud` on `listeners` until `shutdown` is ready; answers that are under way are finished.
pub async fn serve(cloud: Arc<LocalCloud>, listeners: impl Into<Listeners>, shutdown: impl Future) {
    let listeners = listeners.into();
    cloud.wake().await;
    let (ending, end) = watch::channel(false);
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            // An accept that fails is the client's loss; the next one may succeed.
            match listeners.accept().await {
                Ok((stream, from, None)) => drop(connections.spawn(plain(Arc::clone(&cloud), stream, from, end.clone()))),
                Ok((stream, from, Some(acceptor))) => {
                    drop(connections.spawn(secure(Arc::clone(&cloud), stream, from, acceptor, end.clone())));
                }
                Err(_) => tokio::task::yield_now().await,
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        _ = shutdown => {}
        () = accept => {}
    }
    ending.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// A request whose answer is lost: the connection breaks.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Dropped {}

async fn plain(cloud: Arc<LocalCloud>, stream: TcpStream, from: IpAddr, end: watch::Receiver<bool>) {
    // Answers are small: they leave at once.
    drop(stream.set_nodelay(true));
    connection(cloud, stream, (from, None), end).await;
}

async fn secure(cloud: Arc<LocalCloud>, stream: TcpStream, from: IpAddr, acceptor: TlsAcceptor, mut end: watch::Receiver<bool>) {
    drop(stream.set_nodelay(true));
    // Whoever does not agree on TLS, or takes too long, has no request either.
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => agreed,
        () = ended(&mut end) => return,
    };
    if let Ok(Ok(stream)) = agreed {
        let peer = peer(stream.get_ref().1);
        connection(cloud, stream, (from, peer), end).await;
    }
}

async fn connection(
    cloud: Arc<LocalCloud>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (from, peer): (IpAddr, Option<Peer>),
    mut end: watch::Receiver<bool>,
) {
    let ending = end.clone();
    let service = service_fn(|request| {
        let (cloud, peer, end) = (Arc::clone(&cloud), peer.clone(), ending.clone());
        async move {
            match answer(&cloud, request, (from, peer), end).await {
                Answer::Whole(response) if response.dropped => Err(Dropped),
                Answer::Whole(response) => Ok(into_http(response)),
                Answer::Stream(response) => Ok(response),
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a connection ends with is the client's business.
    let finished = tokio::select! {
        _ = connection.as_mut() => true,
        () = ended(&mut end) => false,
    };
    if !finished {
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}

async fn ended(end: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(end.wait_for(|end| *end).await);
}

/// What is sent back: as a whole, or as it comes.
enum Answer {
    Whole(Response),
    Stream(hyper::Response<Body>),
}

async fn answer(
    cloud: &LocalCloud,
    request: hyper::Request<hyper::body::Incoming>,
    (from, peer): (IpAddr, Option<Peer>),
    end: watch::Receiver<bool>,
) -> Answer {
    let (parts, body) = request.into_parts();
    // The client went away or sent too much; nobody reads an answer.
    let Ok(body) = whole(body).await else { return Answer::Whole(Response::lost()) };
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let host = headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let request = Request {
        host: host.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers,
        body,
        peer,
    };
    if request.path.starts_with(control::PREFIX) {
        return Answer::Whole(control::answer(cloud, &request, from).await);
    }
    if request.path.starts_with(kubernetes::PREFIX) {
        return Answer::Stream(kubernetes::api::serve(&cloud.shared, &request, end).await);
    }
    Answer::Whole(cloud.handle(request).await)
}

/// The body, in memory once: frames that are gathered first and joined then would be there twice.
async fn whole(body: hyper::body::Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, LARGEST_BODY);
    // No more than this is taken on a client's word.
    let mut bytes = BytesMut::with_capacity(told.min(64 * 1024 * 1024));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn into_http(response: Response) -> hyper::Response<Body> {
    let mut http = hyper::Response::new(Full::new(response.body).boxed());
    *http.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        // Values that a header can't hold come from stored metadata only; they are left out.
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            http.headers_mut().append(name, value);
        }
    }
    http
}
