//! Training jobs under a clock that stands still: what holds one up, what ends it, and answers that never came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::cloud::call::{Answer, Call, Cloud, Link};
use aliform::cloud::credentials::Credentials;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::error::ApiError;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::oss;
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::model::address::Address;
use aliform::model::clock::{Clock, RuntimeClock};
use aliform::model::event::{Event, EventSink};
use aliform::model::secret::{Secret, SecretSource, Secrets};
use aliform::model::value::Value;
use aliform::resources::kind::{Artifacts, Context, Delivery, Identity, Received, ResourceKind};
use aliform::resources::training_job::{TrainingJobAttributes, TrainingJobKind, TrainingJobSpec};
use aliform::resources::workspace::{WorkspaceKind, WorkspaceSpec};
use async_trait::async_trait;
use bytes::Bytes;

use crate::faulty::{BadLine, Dice};

const REGION: &str = "cn-hangzhou";
const IMAGE: &str = "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/python:3.10.19-cpu-ubuntu22.04-de657118-1764321500";
const BUCKET: &str = "aliform-lab";

/// A cloud whose answers to some calls never come.
struct Forgetful {
    inner: HttpCloud,
    /// Whether the answer to the next creation of a job is lost.
    creation: AtomicBool,
    /// How many looks at jobs get no answer.
    looks: AtomicUsize,
    creations: AtomicUsize,
}

#[async_trait]
impl Cloud for Forgetful {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let lost = |action| Err(ApiError::Lost { action, reason: "the line is dead".to_owned(), sent: true });
        let action = call.action;
        if action == "GetJob" && self.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return lost(action);
        }
        let answer = self.inner.send(call).await;
        if action == "CreateJob" {
            self.creations.fetch_add(1, Ordering::Relaxed);
            if self.creation.swap(false, Ordering::Relaxed) {
                return lost(action);
            }
        }
        answer
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

struct Nothing;

impl Secrets for Nothing {
    fn read(&self, _source: &SecretSource) -> Option<Secret> {
        None
    }
}

impl Artifacts for Nothing {
    fn archive(&self, _digest: &str) -> Option<Bytes> {
        None
    }

    fn room(&self, _place: &str) -> Result<(), String> {
        Ok(())
    }

    fn receive(&self, _delivery: &Delivery<'_>) -> Result<Received, String> {
        Ok(Received { place: "outputs".to_owned(), ..Received::default() })
    }
}

#[derive(Default)]
struct Heard(Mutex<String>);

impl EventSink for Heard {
    fn emit(&self, event: Event) {
        if let Event::StepOutput { text, .. } = event {
            *self.0.lock().unwrap() += &text;
        }
    }
}

struct Lab {
    local: Arc<LocalCloud>,
    cloud: Forgetful,
    clock: Arc<dyn Clock>,
    identity: Identity,
    address: Address,
    heard: Heard,
    spec: TrainingJobSpec,
}

impl Lab {
    async fn new(config: Config, script: impl Fn(&BTreeMap<String, String>) -> Behaviour + Send + Sync + 'static) -> Lab {
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()));
        let machines = Simulated::with(move |_, command| script(&command.environment));
        let local = Arc::new(LocalCloud::new(config, clock.clone(), Arc::new(machines)));
        let line = BadLine::new(local.clone(), 1);
        line.bad.store(false, Ordering::Relaxed);
        let key = Credentials::lasting("local", Secret::new("local"), "simulation");
        let inner = HttpCloud::new(Endpoint::Fixed("http://127.0.0.1:1".to_owned()), Arc::new(key), Arc::new(line), clock.clone())
            .with_nonces(Arc::new(Dice::new(1)));
        let cloud = Forgetful { inner, creation: AtomicBool::new(false), looks: AtomicUsize::new(0), creations: AtomicUsize::new(0) };
        let spec = TrainingJobSpec {
            mark: None,
            part: None,
            job: "train".to_owned(),
            digest: "00".to_owned(),
            workspace_id: Value::Known(String::new()),
            job_type: "PyTorchJob".to_owned(),
            image: IMAGE.to_owned(),
            instance_type: "ecs.g7.large".to_owned(),
            workers: 1,
            limit: 600,
            max_minutes: 40,
            bucket: Value::Known(BUCKET.to_owned()),
            bundle_key: Value::Known("bundles/train/00.tar.gz".to_owned()),
            bundle_digest: "00".to_owned(),
            secrets: BTreeMap::new(),
            outputs: vec!["model/".to_owned()],
            network: None,
            script: "true".to_owned(),
        };
        let identity = Identity { stack: "lab".to_owned(), lineage: "0123".to_owned() };
        let address = "training_job.train".parse().unwrap();
        let mut lab = Lab { local, cloud, clock, identity, address, heard: Heard::default(), spec };
        oss::put_bucket(&lab.cloud, REGION, BUCKET, &[]).await.unwrap();
        let home = WorkspaceSpec { name: "lab".to_owned(), description: "a lab".to_owned() };
        let id = WorkspaceKind::create(&lab.context(), &home).await.unwrap();
        WorkspaceKind::converge(&lab.context(), &id, &home).await.unwrap();
        lab.spec.workspace_id = Value::Known(id);
        lab
    }

    fn context(&self) -> Context<'_> {
        Context {
            cloud: &self.cloud,
            clock: &*self.clock,
            region: REGION,
            identity: &self.identity,
            address: &self.address,
            token: "0123456789abcdef0123456789abcdef",
            deadline: None,
            events: &self.heard,
            secrets: &Nothing,
            artifacts: &Nothing,
        }
    }

    async fn create(&self) -> String {
        TrainingJobKind::create(&self.context(), &self.spec).await.unwrap()
    }

    async fn run(&self) -> TrainingJobAttributes {
        let id = self.create().await;
        let ended = TrainingJobKind::converge(&self.context(), &id, &self.spec).await.unwrap();
        assert!(self.jobs().is_empty(), "{:?}", self.jobs());
        ended
    }

    fn jobs(&self) -> Vec<String> {
        self.local.resources().into_iter().filter(|row| row.kind == "training_job").map(|row| row.status).collect()
    }

    fn heard(&self) -> String {
        self.heard.0.lock().unwrap().clone()
    }
}

/// A script that writes so much, and says how it ended.
fn ends(seconds: u64, text: &str, code: i32) -> Behaviour {
    let output = format!("{text}aliform-00 exit={code}\n").into_bytes();
    Behaviour { takes: Duration::from_secs(seconds), output, exit_code: code }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_can_not_be_pulled_stops_the_job_after_five_minutes() {
    let mut lab = Lab::new(Config::default(), |_| ends(1, "", 0)).await;
    lab.spec.image = "registry.example.com/none:1".to_owned();
    let begun = tokio::time::Instant::now();
    let ended = lab.run().await;
    let because = ended.because.unwrap();
    assert!(
        because.contains("its image could not be pulled for 5 minutes") && because.contains("registry.example.com/none:1"),
        "{because}"
    );
    let took = begun.elapsed().as_secs();
    assert!((300..400).contains(&took), "{took}");
    assert!(lab.heard().contains("ErrImagePull"), "{}", lab.heard());
    assert_eq!((ended.exit_code, lab.heard().matches("Pulling image").count()), (None, 1), "{}", lab.heard());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_never_begins_says_what_holds_it_up_and_is_given_up() {
    let config = Config { stalled_images: vec!["python:3.10".to_owned()], ..Config::default() };
    let lab = Lab::new(config, |_| ends(1, "", 0)).await;
    let begun = tokio::time::Instant::now();
    let because = lab.run().await.because.unwrap();
    assert!(because.contains("it did not begin within 120 minutes: it is EnvPreparing"), "{because}");
    assert!((7200..7300).contains(&begun.elapsed().as_secs()));
    assert!(lab.heard().contains("Pulling image"), "{}", lab.heard());
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_is_waited_for() {
    let mut config = Config::default();
    config.latency.job_queuing = Duration::from_secs(600);
    let lab = Lab::new(config, |_| ends(30, "hello\n", 0)).await;
    let ended = lab.run().await;
    assert_eq!((ended.exit_code, ended.because), (Some(0), None));
    assert_eq!(lab.heard().matches("hello").count(), 1, "{}", lab.heard());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_creation_was_not_answered_is_found_and_not_made_twice() {
    let lab = Lab::new(Config::default(), |_| ends(1, "", 0)).await;
    lab.cloud.creation.store(true, Ordering::Relaxed);
    let id = lab.create().await;
    assert_eq!((lab.cloud.creations.load(Ordering::Relaxed), lab.jobs().len()), (1, 1));
    assert_eq!(TrainingJobKind::find(&lab.context(), &lab.spec).await.unwrap(), Some(id));
}

#[tokio::test(start_paused = true)]
async fn how_it_ended_is_known_even_if_nobody_heard_of_it_before_it_was_deleted() {
    let lab = Lab::new(Config::default(), |_| ends(1, "", 3)).await;
    let id = lab.create().await;
    let first = TrainingJobKind::converge(&lab.context(), &id, &lab.spec).await.unwrap();
    let second = TrainingJobKind::converge(&lab.context(), &id, &lab.spec).await.unwrap();
    assert_eq!((first.exit_code, second.exit_code, &first.ended_at), (Some(3), Some(3), &second.ended_at));
    assert!(lab.heard().contains("the training job is Failed"), "{}", lab.heard());
    // The next one starts with nothing of it.
    lab.create().await;
    let left = oss::list_objects(&lab.cloud, REGION, BUCKET, "outputs/").await.unwrap();
    assert!(left.is_empty(), "{} are left", left.len());
    let gone = TrainingJobKind::converge(&lab.context(), "dlc1gone", &lab.spec).await.unwrap();
    assert!(TrainingJobKind::failure(&gone).unwrap().contains("it was deleted before it was over"));
}

#[tokio::test(start_paused = true)]
async fn the_cloud_ends_what_runs_too_long() {
    let lab = Lab::new(Config::default(), |_| ends(100_000, "", 0)).await;
    let begun = tokio::time::Instant::now();
    // It wrote its mark and runs on all the same.
    let ended = lab.run().await;
    assert!((2400..2430).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(lab.heard().contains("the training job is Stopped"), "{}", lab.heard());
    assert!(TrainingJobKind::failure(&ended).unwrap().contains("JobExceededMaxRunningTime"), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_the_cloud_would_not_end_is_stopped() {
    let mut lab = Lab::new(Config::default(), |_| ends(500, "", 0)).await;
    let id = lab.create().await;
    lab.spec.max_minutes = 30;
    let ended = TrainingJobKind::converge(&lab.context(), &id, &lab.spec).await.unwrap();
    let because = ended.because.unwrap();
    assert!(because.contains("after 30 minutes at the latest, and the cloud says 40"), "{because}");
    assert!(lab.jobs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_worker_that_fails_is_the_end_of_all() {
    let mut lab = Lab::new(Config::default(), |environment| match &*environment["RANK"] {
        "1" => ends(5, "I am the second\n", 3),
        _ => Behaviour { takes: Duration::from_secs(500), output: b"I am the first\n".to_vec(), exit_code: 0 },
    })
    .await;
    lab.spec.workers = 2;
    let ended = lab.run().await;
    assert_eq!(ended.exit_code, Some(3));
    let heard = lab.heard();
    assert!(heard.contains("master-0 | I am the first\n") && heard.contains("worker-0 | I am the second\n"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_service_out_of_reach_for_minutes_does_not_end_a_job() {
    let lab = Lab::new(Config::default(), |_| ends(60, "", 0)).await;
    lab.cloud.looks.store(50, Ordering::Relaxed);
    assert_eq!(lab.run().await.exit_code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_while_it_runs_is_stopped_first() {
    let lab = Lab::new(Config::default(), |_| ends(500, "", 0)).await;
    let id = lab.create().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lab.jobs(), ["Running"]);
    TrainingJobKind::delete(&lab.context(), &id, &lab.spec).await.unwrap();
    TrainingJobKind::delete(&lab.context(), &id, &lab.spec).await.unwrap();
    assert!(lab.jobs().is_empty());
}
