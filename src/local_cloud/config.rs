//! How a local cloud behaves: its account, how long things take, what is in stock, what goes wrong.

use std::time::Duration;

use rust_decimal::Decimal;

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
    /// What public addresses are derived from besides the resource's id; `LocalCloud::open` takes the directory.
    pub address_space: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            account: ACCOUNT.to_owned(),
            keys: vec![AccessKey { id: "local".to_owned(), secret: Secret::new("local"), user: None }],
            balance: Decimal::from(10_000),
            least_balance: Decimal::from(100),
            latency: Latency::default(),
            stock: Vec::new(),
            spot: SpotMarket::default(),
            quotas: Quotas::default(),
            faults: None,
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
#[derive(Clone, Debug)]
pub struct Latency {
    /// Factor on all of them; 0 makes everything immediate.
    pub scale: f64,
    /// A VPC from `Pending` to `Available`.
    pub vpc_ready: Duration,
    /// A vSwitch from `Pending` to `Available`; the VPC takes no other change meanwhile.
    pub vswitch_ready: Duration,
    /// A deleted network until it is gone from descriptions.
    pub network_deleting: Duration,
    /// An instance in `Pending`.
    pub instance_pending: Duration,
    /// An instance in `Starting`.
    pub instance_starting: Duration,
    /// An instance in `Stopping`, also before it is released.
    pub instance_stopping: Duration,
    /// A running instance until its agent answers.
    pub agent: Duration,
    /// An elastic address while it is bound or unbound.
    pub eip: Duration,
    /// A NAT gateway from `Creating` to `Available`, and in `Deleting`.
    pub nat_gateway: Duration,
    /// A SNAT entry from `Pending` to `Available`, and in `Deleting`.
    pub snat_entry: Duration,
    /// How long the parent of something deleted still believes in it.
    pub delete_consistency: Duration,
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
            delete_consistency: ms(500),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockRule {
    /// A zone or a region; everywhere without it.
    pub place: Option<String>,
    /// An instance type; every type without it.
    pub instance_type: Option<String>,
    /// What is there.
    pub stock: Stock,
}

/// How much of an instance type is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
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
    pub vcpus: Option<u32>,
    /// Elastic addresses.
    pub eips: usize,
    /// Buckets.
    pub buckets: usize,
    /// NAT gateways in a VPC.
    pub nat_gateways: usize,
    /// SNAT entries of a NAT gateway.
    pub snat_entries: usize,
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
