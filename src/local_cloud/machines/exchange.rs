//! One HTTP request over a connection that is there already. It opens none, and retries nothing.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// Sends the request and reads the whole answer.
pub(super) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, String> {
    let text = |error: hyper::Error| format!("no HTTP answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let exchanged = async {
        let response = sender.send_request(request.map(Full::new)).await.map_err(text)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| format!("the answer broke off: {error}"))?;
        Ok(http::Response::from_parts(parts, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchanged);
    tokio::select! {
        outcome = &mut exchanged => outcome,
        // The connection may end in order before the answer was handed on.
        ended = &mut connection => match ended {
            Ok(()) => exchanged.await,
            Err(error) => Err(text(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answered(answer: &'static [u8]) -> Result<http::Response<Bytes>, String> {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let _ = far.read(&mut request).await;
            let _ = far.write_all(answer).await;
        });
        send(near, http::Request::post("/invoke").body(Bytes::from_static(b"\0event")).unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_is_whole_or_an_error() {
        let whole = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xffab").await.unwrap();
        assert_eq!(whole.body().as_ref(), b"\xffab");
        assert!(answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").await.is_err());
        assert!(answered(b"").await.is_err());
    }
}
