//! Invocations against a bucket in memory and a function that answers what it is told to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::cloud::call::{Call, Cloud, Link};
use crate::model::address::{Address, Kind};
use crate::model::clock::SystemClock;
use crate::model::event::{Event, EventSink};
use crate::model::secret::{Secret, SecretSource, Secrets};
use crate::model::value::Value;
use crate::resources::kind::{Artifacts, Delivery, Identity, Received};

const PREFIX: &str = "runs/train/run-1/";
const RESULT_OF_ANOTHER: &[u8] = br#"{"exit":4,"missing":[],"delivered":false,"trouble":[]}"#;

/// A bucket, and a function that answers what it is told to.
struct Fake {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// How often the folder was looked at.
    looks: Mutex<usize>,
    /// When the result of somebody else's call comes.
    result_at: usize,
    answer: fn(&Fake) -> Result<Answer, ApiError>,
    events: Mutex<Vec<Bytes>>,
    said: Mutex<String>,
}

fn answer(body: &[u8]) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: Bytes::copy_from_slice(body) }
}

fn lost() -> ApiError {
    ApiError::Lost { action: "InvokeFunction", reason: "reset".to_owned(), sent: true }
}

impl Fake {
    fn with(names: &[&str], result_at: usize, answer: fn(&Fake) -> Result<Answer, ApiError>) -> Self {
        let objects = names.iter().map(|name| (format!("{PREFIX}{name}"), Bytes::new())).collect();
        let (events, said) = (Mutex::default(), Mutex::default());
        Fake { objects: Mutex::new(objects), looks: Mutex::new(0), result_at, answer, events, said }
    }

    fn put(&self, name: &str, content: &[u8]) {
        self.objects.lock().unwrap().insert(format!("{PREFIX}{name}"), Bytes::copy_from_slice(content));
    }

    fn list(&self) -> Answer {
        let mut looks = self.looks.lock().unwrap();
        *looks += 1;
        if *looks == self.result_at {
            self.put(LOG, b"line\nend");
            self.put(RESULT, RESULT_OF_ANOTHER);
        }
        let objects = self.objects.lock().unwrap();
        let rows = objects.iter().map(|(key, content)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>",
                content.len()
            )
        });
        answer(format!("<ListBucketResult>{}</ListBucketResult>", rows.collect::<String>()).as_bytes())
    }

    async fn run(&self) -> Result<Outcome, ResourceError> {
        let (identity, address) = (Identity { stack: "lab".to_owned(), lineage: "0".to_owned() }, Address::new(Kind::Invocation, "train"));
        let context = Context {
            cloud: self,
            clock: &SystemClock,
            region: "cn-hangzhou",
            identity: &identity,
            address: &address,
            token: "0123456789abcdef",
            deadline: None,
            events: self,
            secrets: self,
            artifacts: self,
        };
        let spec = InvocationSpec {
            gpu: None,
            package: None,
            part: None,
            job: "train".to_owned(),
            digest: "00".to_owned(),
            function: Value::Known("f".to_owned()),
            bucket: Value::Known("b".to_owned()),
            asynchronous: false,
            command: "true".to_owned(),
            limit: 30,
            timeout: 330,
            environment: BTreeMap::new(),
            secrets: BTreeMap::from([("TOKEN".to_owned(), SecretSource { variable: "TOKEN".to_owned() })]),
            outputs: Vec::new(),
            cpu: 1.into(),
            memory: 2048,
            disk: 512,
        };
        to_its_end(&context, &spec, &Place::of("f/run-1", &spec)?, true).await
    }

    fn has(&self, name: &str) -> bool {
        self.objects.lock().unwrap().contains_key(&format!("{PREFIX}{name}"))
    }

    fn invoked(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

#[async_trait]
impl Cloud for Fake {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let key = call.path.trim_start_matches('/').to_owned();
        let missing = || {
            let (code, message, request_id) = ("NoSuchKey".to_owned(), String::new(), String::new());
            ApiError::Refused { action: call.action, status: 404, code, message, request_id, retry_after: None }
        };
        let object = || self.objects.lock().unwrap().get(&key).cloned().ok_or_else(missing);
        match call.action {
            "ListObjectsV2" => Ok(self.list()),
            "PutObject" => {
                self.objects.lock().unwrap().insert(key, call.body);
                Ok(answer(b""))
            }
            "GetObject" => object().map(|content| answer(&content)),
            "HeadObject" => {
                object().map(|content| Answer { headers: vec![("content-length".to_owned(), content.len().to_string())], ..answer(b"") })
            }
            "InvokeFunction" => {
                self.events.lock().unwrap().push(call.body);
                (self.answer)(self)
            }
            other => panic!("{other} was not expected"),
        }
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        Ok(format!("http://b/{}?signed", link.key))
    }
}

impl EventSink for Fake {
    fn emit(&self, event: Event) {
        if let Event::StepOutput { text, .. } = event {
            *self.said.lock().unwrap() += &text;
        }
    }
}

impl Secrets for Fake {
    fn read(&self, _source: &SecretSource) -> Option<Secret> {
        Some(Secret::new("s3cret"))
    }
}

impl Artifacts for Fake {
    fn archive(&self, _digest: &str) -> Option<Bytes> {
        None
    }

    fn room(&self, _place: &str) -> Result<(), String> {
        Ok(())
    }

    fn receive(&self, _delivery: &Delivery<'_>) -> Result<Received, String> {
        Ok(Received::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_its_ticket_first_and_is_told_everything_that_it_needs() {
    let fake = Fake::with(&[], 0, |fake| {
        assert!(fake.has(TICKET), "the ticket comes first");
        Ok(answer(br#"{"exit":3,"missing":["model/"],"delivered":true,"trouble":[]}"#))
    });
    let outcome = fake.run().await.unwrap();
    assert_eq!((outcome.exit, outcome.delivered, fake.invoked()), (3, true, 1));
    let event: serde_json::Value = serde_json::from_slice(&fake.events.lock().unwrap()[0]).unwrap();
    assert_eq!((&event["environment"]["TOKEN"], &event["ticket"]), (&"s3cret".into(), &"0123456789abcdef".into()));
    for link in ["log", "result", "outputs", "begun", "gone", "ticket"] {
        assert!(event["links"][link].as_str().unwrap().starts_with("http://b/runs/train/run-1/"), "{link}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_an_earlier_program_began_is_followed_and_not_made_again() {
    let fake = Fake::with(&["begun-a"], 4, |_| panic!("it runs twice"));
    assert_eq!(fake.run().await.unwrap().exit, 4);
    assert_eq!((fake.invoked(), fake.said.lock().unwrap().as_str()), (0, "line\nend"));
    // The other program died before its call came through, or the call found this one in its place.
    for names in [&["ticket"][..], &["begun-a", "gone-a"]] {
        let fake = Fake::with(names, 0, |_| Ok(answer(RESULT_OF_ANOTHER)));
        assert_eq!((fake.run().await.unwrap().exit, fake.invoked()), (4, 1), "{names:?}");
    }
    // It ended while nobody looked.
    let fake = Fake::with(&["begun-a"], 1, |_| panic!("it runs twice"));
    assert_eq!(fake.run().await.unwrap().exit, 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_left_nothing_is_given_up_after_its_time_and_the_next_one_runs() {
    let fake = Fake::with(&["begun-a"], 0, |_| Ok(answer(RESULT_OF_ANOTHER)));
    let error = fake.run().await.unwrap_err();
    assert!(error.to_string().contains("it left no result"), "{error}");
    assert_eq!((fake.run().await.unwrap().exit, fake.invoked()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_is_lost_is_followed_if_it_began() {
    let began = Fake::with(&[], 6, |fake| {
        fake.put("begun-0123456789abcdef", b"");
        Err(lost())
    });
    assert_eq!((began.run().await.unwrap().exit, began.invoked()), (4, 1));
    let never = Fake::with(&[], 0, |_| Err(lost()));
    assert!(never.run().await.unwrap_err().is_uncertain());
}

fn because(ending: Ending) -> String {
    match ending {
        Ending::Over(outcome) => format!("exit {}", outcome.exit),
        Ending::Broken { because, tail } => format!("{because} / {tail}"),
    }
}

#[test]
fn an_answer_is_a_result_or_says_why_there_is_none() {
    let answer = |headers: &[(&str, &str)], body: &'static str| Answer {
        status: 200,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::from_static(body.as_bytes()),
    };
    let result = r#"{"exit":3,"missing":["model/"],"delivered":false,"trouble":[]}"#;
    assert_eq!(because(of_answer(&answer(&[], result))), "exit 3");
    let failed = [("x-fc-error-type", "UnhandledInvocationError"), ("x-fc-log-result", "dGhlIGxvZw==")];
    let body = r#"{"errorMessage":"Function timed out after 3 seconds"}"#;
    assert_eq!(because(of_answer(&answer(&failed, body))), "Function timed out after 3 seconds / the log");
    assert_eq!(because(of_answer(&answer(&failed, "no JSON"))), "UnhandledInvocationError / the log");
    assert!(because(of_answer(&answer(&[], r#"{"superseded":true}"#))).starts_with("its answer can't be read"));
}

#[test]
fn a_task_that_ended_badly_says_why() {
    let task = |status: &str, error: &str| {
        let text = serde_json::json!({ "status": status, "taskErrorMessage": error });
        reason(&serde_json::from_value(text).unwrap())
    };
    assert_eq!(task("Failed", r#"{"errorMessage":"Process exited"}"#), "Process exited");
    assert_eq!(task("Failed", r#"{"errorMessage": "no \"room\"", "stackTrace": [["File"#), "no \"room\"");
    assert_eq!(task("Failed", "FunctionNotFound: gone"), "FunctionNotFound: gone");
    assert_eq!(task("Expired", ""), "its task is `Expired`");
    assert_eq!(task("Failed", ""), "its task is `Failed`");
}
