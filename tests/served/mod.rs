//! The real program as a server, and somebody who calls it over a connection that stays: signs with nothing but the
//! documented algorithms, and waits for each answer before the next question.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aliform::model::clock::{Clock, SystemClock};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

pub(crate) const ECS: &str = "2014-05-26";
pub(crate) const VPC: &str = "2016-04-28";
pub(crate) const TYPE: &str = "ecs.u1-c1m2.large";
pub(crate) const IMAGE: &str = "aliyun_3_x64_20G_alibase_20260513.vhd";
const REGION: &str = "cn-hangzhou";
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Makes nonces differ within this process; the moment makes them differ from those of others.
static NONCE: AtomicU64 = AtomicU64::new(0);

/// `aliform cloud serve` in a folder. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits for its address.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Server {
        let mut child = command(folder, &[&["cloud", "serve"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says something");
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("it says `{line}`"));
        Server { address: address.parse().expect("an address"), child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it from one moment to the next, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself; then both of these have nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The program in a folder, with a clean environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aliform"));
    command.args(arguments).current_dir(folder).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder);
    command.stdin(Stdio::null());
    command
}

/// Where the local cloud of a folder keeps its things.
pub(crate) fn home(folder: &Path) -> PathBuf {
    folder.join(".aliform").join("cloud")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The bytes of a signed RPC call, everything in the query as the SDKs send it.
pub(crate) fn rpc(address: SocketAddr, version: &str, action: &str, params: &[(&str, &str)]) -> Vec<u8> {
    let mut pairs: Vec<(&str, &str)> = params.to_vec();
    if !pairs.iter().any(|(name, _)| *name == "RegionId") {
        pairs.push(("RegionId", REGION));
    }
    pairs.sort_unstable();
    let query = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
    let now = SystemClock.now();
    let date = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nonce = format!("{}-{}-{}", std::process::id(), now.as_microsecond(), NONCE.fetch_add(1, Ordering::Relaxed));
    let headers = [
        ("host", address.to_string()),
        ("accept", "application/json".to_owned()),
        ("x-acs-action", action.to_owned()),
        ("x-acs-content-sha256", EMPTY.to_owned()),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-version", version.to_owned()),
    ];
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n{query}\n{lines}\n{names}\n{EMPTY}");
    let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let signature = hex::encode(hmac(b"local", text.as_bytes()));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let authorization = format!("ACS3-HMAC-SHA256 Credential=local,SignedHeaders={names},Signature={signature}");
    format!("POST /?{query} HTTP/1.1\r\n{lines}authorization: {authorization}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// The bytes of a signed OSS request by path.
pub(crate) fn object(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let date = SystemClock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/{REGION}/oss/aliyun_v4_request", &date[..8]);
    let signed = format!("x-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:{date}\n");
    let canonical = format!("{method}\n{path}\n\n{signed}\n\nUNSIGNED-PAYLOAD");
    let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = scope.split('/').fold(b"aliyun_v4local".to_vec(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex::encode(hmac(&key, text.as_bytes()));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nx-oss-content-sha256: UNSIGNED-PAYLOAD\r\nx-oss-date: {date}\r\n\
         authorization: OSS4-HMAC-SHA256 Credential=local/{scope},Signature={signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A connection that stays.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, stream: None, buffer: Vec::new() }
    }

    /// A call: its status and its answer.
    pub(crate) fn call(&mut self, version: &str, action: &str, params: &[(&str, &str)]) -> io::Result<(u16, Json)> {
        let request = rpc(self.address, version, action, params);
        self.json(&request)
    }

    /// A call that has to succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, version: &str, action: &str, params: &[(&str, &str)]) -> Json {
        let (status, answer) = self.call(version, action, params).unwrap();
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// A request of one of the paths that are no part of the real API.
    pub(crate) fn control(&mut self, method: &str, what: &str, body: &str) -> io::Result<(u16, Json)> {
        let (address, length) = (self.address, body.len());
        self.json(format!("{method} /_aliform/{what} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
    }

    fn json(&mut self, request: &[u8]) -> io::Result<(u16, Json)> {
        let (status, body) = self.exchange(request)?;
        Ok((status, serde_json::from_slice(body).map_err(io::Error::other)?))
    }

    /// Sends bytes and reads one answer: its status and its body.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        let outcome = self.try_exchange(request);
        if outcome.is_err() {
            self.stream = None;
        }
        let (status, from, to) = outcome?;
        Ok((status, &self.buffer[from..to]))
    }

    fn try_exchange(&mut self, request: &[u8]) -> io::Result<(u16, usize, usize)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        stream.write_all(request)?;
        if self.buffer.is_empty() {
            self.buffer.resize(256 * 1024, 0);
        }
        let (mut filled, mut head) = (0, None);
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if head.is_none() {
                head = head_of(&self.buffer[..filled], request.starts_with(b"HEAD"));
            }
            if let Some((status, from, length)) = head
                && filled >= from + length
            {
                return Ok((status, from, from + length));
            }
        }
    }
}

/// Status, where the body begins, and how long it is; `None` until the head is there.
fn head_of(bytes: &[u8], without_body: bool) -> Option<(u16, usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
    Some((status, end + 4, if without_body { 0 } else { told.unwrap_or(0) }))
}

/// A text in an answer.
#[track_caller]
pub(crate) fn text(json: &Json, pointer: &str) -> String {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {json}")).to_owned()
}
