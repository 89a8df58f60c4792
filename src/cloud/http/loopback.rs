//! A server of the tests on a loopback port. It answers by a function and keeps what it received.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(in crate::cloud) struct Received {
    pub(in crate::cloud) method: String,
    pub(in crate::cloud) uri: http::Uri,
    pub(in crate::cloud) headers: Vec<(String, String)>,
    pub(in crate::cloud) body: Bytes,
}

impl Received {
    /// The header's value, or the empty text.
    pub(in crate::cloud) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The decoded query.
    pub(in crate::cloud) fn query(&self) -> Vec<(String, String)> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let pairs = self.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(key, value)| (decode(key), decode(value))).collect()
    }

    /// The decoded value of a query parameter, or the empty text.
    pub(in crate::cloud) fn parameter(&self, name: &str) -> String {
        self.query().into_iter().find(|(key, _)| key == name).map_or(String::new(), |(_, value)| value)
    }
}

/// A running server; it ends with the test's runtime.
pub(in crate::cloud) struct Loopback {
    /// `http://127.0.0.1:PORT`.
    pub(in crate::cloud) base: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Loopback {
    /// Answers every request by `answer`.
    pub(in crate::cloud) async fn serve(answer: impl Fn(&Received) -> http::Response<String> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (answer, kept) = (Arc::new(answer), Arc::clone(&received));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                    async move {
                        let (head, body) = request.into_parts();
                        let text =
                            |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
                        let received = Received {
                            method: head.method.to_string(),
                            uri: head.uri,
                            headers: head.headers.iter().map(text).collect(),
                            body: body.collect().await?.to_bytes(),
                        };
                        let response = answer(&received);
                        kept.lock().unwrap().push(received);
                        Ok::<_, hyper::Error>(response.map(|body| Full::new(Bytes::from(body))))
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service));
            }
        });
        Loopback { base, received }
    }

    /// What came in so far.
    pub(in crate::cloud) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// An answer with a body.
pub(in crate::cloud) fn reply(status: u16, body: &str) -> http::Response<String> {
    http::Response::builder().status(status).body(body.to_owned()).unwrap()
}
