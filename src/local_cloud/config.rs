//! How a local cloud behaves: its account, how long things take, what is in stock, what goes wrong.

use std::time::Duration;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::rule::CallRule;
use crate::model::secret::Secret;

/// The account that a local cloud has unless told otherwise.
pub const ACCOUNT: &str = "1000000000000001";

/// Everything about a local cloud that can be chosen.
#[derive(Clone, Debug)]
pub struct Config {
    /// What ids and request ids are made from; the same seed and calls give the same ids.
    pub seed: u64,
    /// The account's number.
    pub account: String,
    /// The access keys that are known.
    pub keys: Vec<AccessKey>,
    /// The names of the RAM roles that there are; `None` if there is every role that somebody may ask for.
    pub roles: Option<Vec<String>>,
    /// What the account had at the start, in CNY.
    pub balance: Decimal,
    /// What must be left for a pay-as-you-go resource to be created, in CNY.
    pub least_balance: Decimal,
    /// How long things take.
    pub latency: Latency,
    /// What differs from full stock; of several rules that fit, the last counts.
    pub stock: Vec<StockRule>,
    /// Which spot instances are taken back.
    pub spot: SpotMarket,
    /// How much of everything a region may hold.
    pub quotas: Quotas,
    /// What goes wrong; nothing without it.
    pub faults: Option<Faults>,
    /// How particular calls go.
    pub calls: Vec<CallRule>,
    /// What the draws of `calls` are made from.
    pub calls_seed: u64,
    /// What differs from the catalogue's prices; factors of all rules that fit are multiplied.
    pub prices: Vec<PriceRule>,
    /// How many seconds of the cloud's time pass in one of the wall clock; `None` leaves it as it is.
    pub clock_speed: Option<f64>,
    /// Images whose pull never ends, by a part of their names.
    pub stalled_images: Vec<String>,
    /// Container images that are not there, besides those whose name says so: whole references, or names without a tag.
    pub missing_images: Vec<String>,
    /// What public addresses are derived from besides the resource's id; `LocalCloud::open` takes the directory.
    pub address_space: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            account: ACCOUNT.to_owned(),
            keys: vec![
                AccessKey { id: "local".to_owned(), secret: Secret::new("local"), user: None },
                // The account itself may not assume roles: there is somebody who may.
                AccessKey { id: "local-user".to_owned(), secret: Secret::new("local-user"), user: Some("local".to_owned()) },
            ],
            roles: None,
            balance: Decimal::from(10_000),
            least_balance: Decimal::from(100),
            latency: Latency::default(),
            stock: Vec::new(),
            spot: SpotMarket::default(),
            quotas: Quotas::default(),
            faults: None,
            calls: Vec::new(),
            calls_seed: 0,
            prices: Vec::new(),
            clock_speed: None,
            stalled_images: Vec::new(),
            missing_images: Vec::new(),
            address_space: String::new(),
        }
    }
}

/// An access key.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
    /// The RAM user whose it is; `None` for the account itself.
    pub user: Option<String>,
}

/// How long things take, before `scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Factor on all of them; 0 makes everything immediate.
    pub scale: f64,
    /// A VPC from `Pending` to `Available`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub vpc_ready: Duration,
    /// A vSwitch from `Pending` to `Available`; the VPC takes no other change meanwhile.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub vswitch_ready: Duration,
    /// A deleted network until it is gone from descriptions.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub network_deleting: Duration,
    /// An instance in `Pending`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub instance_pending: Duration,
    /// An instance in `Starting`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub instance_starting: Duration,
    /// An instance in `Stopping`, also before it is released.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub instance_stopping: Duration,
    /// A running instance until its agent answers.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub agent: Duration,
    /// An elastic address while it is bound or unbound.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub eip: Duration,
    /// A NAT gateway from `Creating` to `Available`, and in `Deleting`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub nat_gateway: Duration,
    /// A SNAT entry from `Pending` to `Available`, and in `Deleting`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub snat_entry: Duration,
    /// An instance of a function without anything to do until it is removed.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub function_idle: Duration,
    /// A failed asynchronous invocation until its first retry; each further one waits twice as long.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub function_retry: Duration,
    /// How long the parent of something deleted still believes in it.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub delete_consistency: Duration,
    /// A workspace until it can be used.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub workspace_ready: Duration,
    /// How long nobody else can have the name of a deleted workspace.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub workspace_name: Duration,
    /// A training job in `Creating`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub job_creating: Duration,
    /// A training job in `Queuing`, if there is stock.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub job_queuing: Duration,
    /// The image of a pod until it is there.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub image_pull: Duration,
    /// A pod that failed until it is started again.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub pod_restart: Duration,
    /// A cluster from `initial` to `running`.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub cluster_creating: Duration,
    /// A cluster that is deleted, at least.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub cluster_deleting: Duration,
    /// An instance that runs until it is a node of its cluster.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub node_joining: Duration,
    /// The first pause after a container or a job's pod failed, or an image could not be pulled; it doubles each time.
    #[serde(with = "super::scenario::text::duration")]
    #[schemars(with = "String")]
    pub container_retry: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Latency {
            scale: 1.0,
            vpc_ready: ms(300),
            vswitch_ready: ms(300),
            network_deleting: ms(100),
            instance_pending: ms(300),
            instance_starting: ms(700),
            instance_stopping: ms(300),
            agent: ms(300),
            eip: ms(200),
            nat_gateway: ms(400),
            snat_entry: ms(200),
            function_idle: ms(60_000),
            function_retry: ms(500),
            delete_consistency: ms(500),
            workspace_ready: ms(300),
            // The recycle bin of workspaces keeps them for 14 days.
            workspace_name: Duration::from_secs(14 * 24 * 3600),
            job_creating: ms(100),
            job_queuing: ms(200),
            image_pull: ms(300),
            pod_restart: ms(300),
            cluster_creating: ms(2000),
            cluster_deleting: ms(500),
            node_joining: ms(500),
            container_retry: ms(1000),
        }
    }
}

impl Latency {
    /// One of the durations, scaled.
    pub(crate) fn of(&self, pick: fn(&Latency) -> Duration) -> Duration {
        pick(self).mul_f64(self.scale.max(0.0))
    }
}

/// Where a stock rule counts and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StockRule {
    /// A zone or a region; everywhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// An instance type; every type without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// What is there.
    pub stock: Stock,
}

/// A price that differs from the catalogue's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// A region; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// An instance type; every type without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// What the hourly price of the instance type is multiplied by; disks and bandwidth cost what they cost.
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f64", range(min = 0))]
    pub factor: Decimal,
}

impl Config {
    /// What the catalogue's price of an instance type is multiplied by.
    pub(crate) fn price_factor(&self, region: &str, instance_type: &str) -> Decimal {
        let fits = |own: &Option<String>, name: &str| own.as_ref().is_none_or(|own| own == name);
        let rules = self.prices.iter().filter(|rule| fits(&rule.region, region) && fits(&rule.instance_type, instance_type));
        rules.map(|rule| rule.factor).product()
    }
}

/// How much of an instance type is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stock {
    /// As much as anyone wants.
    Plenty,
    /// It is sold there, and sold out: `OperationDenied.NoStock`.
    SoldOut,
    /// It is not sold there: `InvalidResourceType.NotSupported`.
    NotSold,
    /// At most so many instances of it at a time.
    Limited(u32),
    /// Descriptions say that there is stock, and RunInstances finds none.
    Misreported,
    /// Instances are accepted and vanish before they run.
    Vanishing,
}

/// The market of spot instances. What they cost follows from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotMarket {
    /// Which instances are taken back whatever they bid; the first rule that fits counts. Without one an instance stays
    /// until the price is above its bid.
    pub reclaims: Vec<ReclaimRule>,
}

/// Which spot instances are taken back, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimRule {
    /// A zone or a region; everywhere without it.
    pub place: Option<String>,
    /// An instance type; every type without it.
    pub instance_type: Option<String>,
    /// How long an instance lasts from its creation until it is warned, five minutes before it is taken. The time that
    /// its `SpotDuration` protects comes first.
    pub after: Duration,
}

/// How much of everything a region may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// VPCs.
    pub vpcs: usize,
    /// vSwitches in a VPC.
    pub vswitches: usize,
    /// Security groups.
    pub security_groups: usize,
    /// Rules in a security group.
    pub rules: usize,
    /// vCPUs of pay-as-you-go instances; no limit without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Elastic addresses.
    pub eips: usize,
    /// Buckets.
    pub buckets: usize,
    /// NAT gateways in a VPC.
    pub nat_gateways: usize,
    /// SNAT entries of a NAT gateway.
    pub snat_entries: usize,
    /// Instances of functions.
    pub function_instances: usize,
    /// Key pairs.
    pub key_pairs: usize,
    /// Stored commands.
    pub commands: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas {
            vpcs: 1000,
            vswitches: 150,
            security_groups: 500,
            rules: 200,
            vcpus: None,
            eips: 1000,
            buckets: 100,
            nat_gateways: 5,
            snat_entries: 200,
            function_instances: 300,
            key_pairs: 500,
            commands: 500,
        }
    }
}

/// What goes wrong, each with its probability per call, drawn from `seed`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// What the draws are made from.
    pub seed: u64,
    /// `Throttling.User`, half of them with a time to wait.
    pub throttle: f64,
    /// An answer of 500 or 503; the call did not happen.
    pub server_error: f64,
    /// The call happens and its answer is lost.
    pub lost_answer: f64,
    /// The call is lost before it happens.
    pub lost_request: f64,
    /// The longest time that a call takes; each takes an even share of it.
    pub latency: Duration,
}
