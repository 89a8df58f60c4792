//! Asks the running server what is no part of the real API.

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::home::{Home, Running};
use crate::error::CommandError;

/// What the server answers to a question.
pub(super) async fn get(home: &Home, running: &Running, what: &str) -> Result<Json, CommandError> {
    ask(home, running, "GET", what, "").await
}

/// Hands something over to the server.
pub(super) async fn put(home: &Home, running: &Running, what: &str, body: &Json) -> Result<Json, CommandError> {
    ask(home, running, "PUT", what, &body.to_string()).await
}

async fn ask(home: &Home, running: &Running, method: &str, what: &str, body: &str) -> Result<Json, CommandError> {
    let address = running.address;
    let length = body.len();
    let head = format!("{method} /_aliform/{what} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|error| home.wrong("the local cloud does not answer", error))?;
    let strange = |error: &dyn std::fmt::Display| home.wrong("the local cloud answers something else", error);
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| strange(&"it has no body"))?;
    let body: Json = serde_json::from_slice(&answer[at + 4..]).map_err(|error| strange(&error))?;
    if answer.get(9..12) == Some(b"200") {
        return Ok(body);
    }
    Err(home.wrong(&format!("the local cloud refuses `{what}`"), body["message"].as_str().unwrap_or_default()))
}
