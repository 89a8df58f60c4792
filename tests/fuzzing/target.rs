//! What is fuzzed: the local cloud from outside, whole stories of signed calls, and requests as they come. The same
//! functions run under `cargo fuzz` and in a bounded run of the ordinary tests; they panic when something is wrong.
//!
//! A story is lines of fields with tabs between them; what can't be read is left out:
//!
//! | line | meaning |
//! |---|---|
//! | `rpc`, version, action, query | an RPC call signed with ACS3, its parameters in the query |
//! | `xml`, version, action, query | the same, signed the old way in a form and answered in XML |
//! | `roa`, version, method, path and query, body | a ROA call |
//! | `oss`, method, bucket, key and query, headers, body | a request of OSS; headers as `name=value;name=value` |
//! | `as`, `root`, `user` or `session` | who goes on |
//! | `wait`, milliseconds | time passes |
//!
//! `${Name}` stands for the last field of that name in an answer, whatever its case and underscores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::{Request, Response};
use aliform::model::clock::{Clock, RuntimeClock};
use serde_json::Value as Json;

use crate::sign::{self, Key};

/// What the clock of all that is fuzzed starts at: signatures of the documents are good then.
const START: &str = "2026-01-02T03:04:05Z";
/// How many lines of a story are played.
const LONGEST: usize = 64;
/// The longest time that passes at once, in milliseconds.
const LONGEST_WAIT: u64 = 7 * 24 * 3600 * 1000;

/// Runs `what` on a runtime whose time stands still but for what is awaited.
fn run(what: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs nothing from outside").block_on(what);
}

/// Plays a story.
pub(crate) fn story(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    run(async {
        let mut player = Player::new();
        for line in text.lines().take(LONGEST) {
            player.play(line).await;
        }
        // Whatever was left there can be listed.
        player.cloud.resources();
        player.cloud.bills();
    });
}

/// Sends one request as it is: method and target, headers line by line, an empty line, the body.
pub(crate) fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let Some(mut request) = sign::bare(method, "", target, body) else { return };
    let headers = lines.filter_map(|line| line.split_once(':'));
    request.headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    request.host = request.header("host").unwrap_or_default().to_owned();
    run(async {
        let player = Player::new();
        check(&player.cloud.handle(request.clone()).await);
        check(&player.cloud.handle(request).await);
    });
}

struct Player {
    cloud: LocalCloud,
    clock: Arc<RuntimeClock>,
    key: Key,
    session: Option<Key>,
    fields: BTreeMap<String, String>,
    nonce: u64,
}

fn lasting(name: &str) -> Key {
    Key { id: name.to_owned(), secret: name.to_owned(), token: None }
}

impl Player {
    fn new() -> Player {
        let clock = Arc::new(RuntimeClock::starting_at(START.parse().expect("a moment")));
        let cloud = LocalCloud::new(Config::default(), clock.clone(), Arc::new(Simulated::default()));
        Player { cloud, clock, key: lasting("local"), session: None, fields: BTreeMap::new(), nonce: 0 }
    }

    async fn play(&mut self, line: &str) {
        let line = self.filled(line);
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        self.nonce += 1;
        let now = self.clock.now();
        let request = match fields[0] {
            "rpc" => sign::bare("POST", "127.0.0.1", &format!("/?{}", field(3)), "").map(|mut request| {
                request.headers.push(("accept".to_owned(), "application/json".to_owned()));
                sign::acs3(request, &self.key, field(1), field(2), self.nonce, now)
            }),
            "xml" => {
                let mut params = sign::pairs(field(3));
                params.extend([("Version", field(1)), ("Action", field(2))].map(|(name, value)| (name.to_owned(), value.to_owned())));
                let form = sign::rpc_v1(params, &self.key, self.nonce, now);
                sign::bare("POST", "127.0.0.1", "/", &form).map(|mut request| {
                    request.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
                    request
                })
            }
            "roa" => sign::bare(field(2), "127.0.0.1", field(3), field(4))
                .map(|request| sign::acs3(request, &self.key, field(1), "Fuzzed", self.nonce, now)),
            "oss" => self.oss(field(1), field(2), field(3), field(4), field(5), now),
            "as" => return self.become_somebody(field(1)),
            "wait" => {
                let wait = field(1).parse().unwrap_or(1000).min(LONGEST_WAIT);
                return tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            _ => None,
        };
        if let Some(request) = request {
            let response = self.cloud.handle(request).await;
            check(&response);
            self.remember(&response);
        }
    }

    fn oss(&self, method: &str, bucket: &str, target: &str, headers: &str, body: &str, now: jiff::Timestamp) -> Option<Request> {
        let (key, query) = target.split_once('?').unwrap_or((target, ""));
        let path: Vec<String> = key.split('/').map(sign::encode).collect();
        let (resource, path) = if bucket.is_empty() {
            ("/".to_owned(), "/".to_owned())
        } else {
            (format!("/{bucket}/{key}"), format!("/{}/{}", sign::encode(bucket), path.join("/")))
        };
        let mut request = sign::bare(method, "127.0.0.1", &format!("{path}?{query}"), body)?;
        let pairs = headers.split(';').filter_map(|pair| pair.split_once('='));
        request.headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(sign::oss4(request, &resource, &self.key, now))
    }

    fn become_somebody(&mut self, who: &str) {
        self.key = match who {
            "user" => lasting("local-user"),
            "session" => self.session.clone().unwrap_or_else(|| lasting("local")),
            _ => lasting("local"),
        };
    }

    /// The line with what was answered put into it.
    fn filled(&self, line: &str) -> String {
        let mut parts = line.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            filled.push_str(self.fields.get(&plain(name)).map_or("", String::as_str));
            filled.push_str(rest);
        }
        filled
    }

    fn remember(&mut self, response: &Response) {
        let Ok(answer) = serde_json::from_slice::<Json>(&response.body) else { return };
        let credential = |name: &str| answer.pointer(&format!("/Credentials/{name}")).and_then(Json::as_str).map(str::to_owned);
        if let (Some(id), Some(secret)) = (credential("AccessKeyId"), credential("AccessKeySecret")) {
            self.session = Some(Key { id, secret, token: credential("SecurityToken") });
        }
        walk(&answer, "", &mut self.fields);
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn walk(value: &Json, name: &str, fields: &mut BTreeMap<String, String>) {
    match value {
        Json::Object(object) => object.iter().for_each(|(name, value)| walk(value, name, fields)),
        Json::Array(values) => values.iter().for_each(|value| walk(value, name, fields)),
        Json::String(text) => drop(fields.insert(plain(name), text.clone())),
        _ => {}
    }
}

/// What every answer has to be.
fn check(response: &Response) {
    assert!(!response.dropped, "nothing goes wrong on purpose, and the answer is lost");
    let text = || String::from_utf8_lossy(&response.body).into_owned();
    assert!((200..600).contains(&response.status) && response.status != 500, "{}: {}", response.status, text());
    let kind = response.header("content-type").unwrap_or_default();
    let own = response.header("x-acs-request-id").is_some() || response.status >= 400;
    if own && kind.starts_with("application/json") && !response.body.is_empty() {
        assert!(serde_json::from_slice::<Json>(&response.body).is_ok(), "not JSON: {}", text());
    }
    if own && (kind.starts_with("text/xml") || kind.starts_with("application/xml")) {
        let text = text();
        let mut reader = quick_xml::Reader::from_str(&text);
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(error) => panic!("not XML: {error}: {text}"),
            }
        }
    }
}
