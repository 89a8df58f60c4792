//! The HTTP side: connections in, requests to the cloud, answers out.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::wire::{Request, Response};
use super::{LocalCloud, control};

/// The largest body: an object that is put in one piece.
const LARGEST_BODY: usize = 5 * 1024 * 1024 * 1024;

/// Serves `cloud` on `listener` until `shutdown` is ready; answers that are under way are finished.
pub async fn serve(cloud: Arc<LocalCloud>, listener: TcpListener, shutdown: impl Future) {
    cloud.wake().await;
    let (ending, end) = watch::channel(false);
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            // An accept that fails is the client's loss; the next one may succeed.
            if let Ok((stream, peer)) = listener.accept().await {
                connections.spawn(connection(Arc::clone(&cloud), stream, peer.ip(), end.clone()));
            } else {
                tokio::task::yield_now().await;
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

async fn connection(cloud: Arc<LocalCloud>, stream: TcpStream, peer: IpAddr, mut end: watch::Receiver<bool>) {
    // Answers are small: they leave at once.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| {
        let cloud = Arc::clone(&cloud);
        async move {
            let Ok(response) = answer(&cloud, request, peer).await;
            if response.dropped { Err(Dropped) } else { Ok(into_http(response)) }
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

async fn answer(cloud: &LocalCloud, request: hyper::Request<hyper::body::Incoming>, peer: IpAddr) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    // The client went away or sent too much; nobody reads an answer.
    let Ok(body) = whole(body).await else { return Ok(Response::lost()) };
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
    };
    if request.path.starts_with(control::PREFIX) {
        return Ok(control::answer(cloud, &request, peer).await);
    }
    Ok(cloud.handle(request).await)
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

fn into_http(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut http = hyper::Response::new(Full::new(response.body));
    *http.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        // Values that a header can't hold come from stored metadata only; they are left out.
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            http.headers_mut().append(name, value);
        }
    }
    http
}
