//! What the account holds. One `World` behind one lock: every row of every product, and indexes that follow from the
//! rows. It does no input or output; the log beside it does.

pub(crate) mod blobs;
pub(crate) mod ids;
pub mod log;
pub(crate) mod shown;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::assistant::command::StoredCommand;
use super::assistant::{Invocation, Run, SentFile};
use super::billing::{Bill, Spending};
use super::config::{ReclaimRule, StockRule};
use super::cs::Cluster;
use super::cs::pool::NodePool;
use super::cs::task::ClusterTask;
use super::disk::Volume;
use super::eip::Eip;
use super::fc::function::Function;
use super::fc::pool::Pool;
use super::fc::task::AsyncTask;
use super::fc::trigger::Trigger;
use super::idempotency::Token;
use super::instance::Instance;
use super::key_pair::{FreshKey, KeyPair};
use super::kubernetes::kubelet::PodKey;
use super::kubernetes::log::Log as PodLog;
use super::kubernetes::space::Memory;
use super::market::{self, Market};
use super::nat::{NatGateway, snat::SnatEntry};
use super::oss::rows::{Bucket, Object, Part, Upload};
use super::pai::job::Job;
use super::pai::log::Part as LogPart;
use super::pai::mount::Mounted;
use super::pai::workspace::Workspace;
use super::security_group::Group;
use super::time::after;
use super::vpc::Vpc;
use super::vswitch::VSwitch;
use table::{Record, Table};

macro_rules! world {
    ($($table:ident: $row:ty,)*) => {
        /// All rows and what follows from them.
        #[derive(Default)]
        pub(crate) struct World {
            $(pub(crate) $table: Table<$row>,)*
            pub(crate) index: Index,
        }

        impl World {
            /// What changed since the last call.
            pub(crate) fn changes(&mut self) -> Vec<Record> {
                let mut out = Vec::new();
                $(self.$table.changes(stringify!($table), &mut out);)*
                out
            }

            /// Every row.
            pub(crate) fn all(&self) -> Vec<Record> {
                let mut out = Vec::new();
                $(self.$table.all(stringify!($table), &mut out);)*
                out
            }

            /// Takes a row that was written down; `build_index` is due afterwards.
            pub(crate) fn load(&mut self, record: Record) -> Result<(), serde_json::Error> {
                match record.table.as_str() {
                    $(stringify!($table) => self.$table.load(record.key, record.row),)*
                    // To pass over it would be to lose it with the next snapshot.
                    other => Err(serde::de::Error::custom(format!("there is no table `{other}`"))),
                }
            }
        }
    };
}

world! {
    vpcs: Vpc,
    vswitches: VSwitch,
    groups: Group,
    instances: Instance,
    disks: Volume,
    key_pairs: KeyPair,
    eips: Eip,
    nat_gateways: NatGateway,
    snat_entries: SnatEntry,
    commands: StoredCommand,
    invocations: Invocation,
    past_runs: Run,
    files: SentFile,
    buckets: Bucket,
    objects: Object,
    uploads: Upload,
    parts: Part,
    functions: Function,
    function_triggers: Trigger,
    function_tasks: AsyncTask,
    clusters: Cluster,
    node_pools: NodePool,
    cluster_tasks: ClusterTask,
    kubernetes: serde_json::Value,
    kubernetes_logs: PodLog,
    tokens: Token,
    bills: Bill,
    workspaces: Workspace,
    jobs: Job,
    pod_logs: LogPart,
    pod_mounts: Mounted,
    meta: u64,
}

/// Something that happens by itself at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Something that an instance's times say: its release, its end as a spot instance, the end of its subscription.
    Instance(String),
    /// A deleted VPC is gone.
    Vpc(String),
    /// A deleted vSwitch is gone.
    VSwitch(String),
    /// A released address is gone.
    Eip(String),
    /// A deleted NAT gateway is gone.
    NatGateway(String),
    /// A deleted SNAT entry is gone.
    SnatEntry(String),
    /// Spot instances are billed at another price.
    Market,
    /// A token is forgotten.
    Token(String),
}

/// Work that a call leaves to be done after it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Looks after an instance's machine until the instance is gone.
    Keep(String),
    /// Hands a command to an instance: invocation and instance.
    Deliver(String, String),
    /// Has a scheduled command run whenever its time has come: invocation.
    Schedule(String),
    /// Runs the user data of an instance.
    UserData(String),
    /// Hands a file to an instance: sending and instance.
    Send(String, String),
    /// Looks after a training job until it has ended and its machines are gone.
    Train(String),
    /// Forgets an object's bytes if nothing names them any more.
    Forget(String),
    /// Carries out an asynchronous invocation of a function.
    Invoke(String),
    /// Rules a cluster until it is gone.
    Govern(String),
    /// Looks after a pod until it is over or gone.
    Pod(PodKey),
}

/// Output of a command that still runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub(crate) output: Vec<u8>,
    pub(crate) dropped: u64,
}

/// What follows from the rows, or lives only as long as the server.
#[derive(Default)]
pub(crate) struct Index {
    /// Addresses in use, by vSwitch.
    pub(crate) addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Public addresses in use.
    pub(crate) public: BTreeSet<Ipv4Addr>,
    /// What happens by itself, by time.
    pub(crate) due: BTreeSet<(Timestamp, Due)>,
    /// vSwitches in a VPC.
    pub(crate) vswitches: BTreeMap<String, BTreeSet<String>>,
    /// Commands that went to an instance.
    pub(crate) invoked: BTreeMap<String, Vec<String>>,
    /// Instances in a security group.
    pub(crate) members: BTreeMap<String, BTreeSet<String>>,
    /// How many objects, parts and functions name the bytes of a digest, or hold it for the time of a request.
    pub(crate) blobs: BTreeMap<String, usize>,
    /// What the account has spent.
    pub(crate) spending: Spending,
    /// Children that are gone but still believed in, by parent: what they were, and until when.
    ghosts: BTreeMap<String, Vec<(&'static str, Timestamp)>>,
    /// Tells those who look after an instance that something about it changed.
    signals: BTreeMap<String, watch::Sender<u64>>,
    /// Instances whose machine is up.
    pub(crate) up: BTreeSet<String>,
    /// Why an instance's machine did not come up.
    pub(crate) boot_failures: BTreeMap<String, String>,
    /// Output of commands that still run, by invocation and instance.
    pub(crate) live: BTreeMap<(String, String), Live>,
    /// Stops commands that still run.
    pub(crate) stops: BTreeMap<(String, String), watch::Sender<bool>>,
    /// Contents of sent files. They may hold secrets, so they are never written down.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
    /// Instances as they were shown last.
    pub(crate) shown: shown::ShownRows,
    /// What differs from full stock.
    pub(crate) stock: Vec<StockRule>,
    /// What spot instances cost.
    pub(crate) market: Market,
    /// Whether the server is about to end: nothing is started again.
    pub(crate) closing: bool,
    /// What clusters keep in mind.
    pub(crate) kubernetes: Memory,
    /// Which spot instances are taken back.
    pub(crate) reclaims: Vec<ReclaimRule>,
    /// Keys that were made before the world was locked, because that takes long.
    pub(crate) fresh_keys: Vec<FreshKey>,
    /// What is to be done after the call.
    pub(crate) tasks: Vec<Task>,
    /// Instances of functions.
    pub(crate) functions: Pool,
}

impl Index {
    /// Remembers that `parent` has to believe in a child until `until`.
    pub(crate) fn linger(&mut self, parent: &str, child: &'static str, until: Timestamp) {
        self.ghosts.entry(parent.to_owned()).or_default().push((child, until));
    }

    /// Whether `parent` still believes in a child of that kind.
    pub(crate) fn haunted(&mut self, parent: &str, child: &str, now: Timestamp) -> bool {
        let Some(ghosts) = self.ghosts.get_mut(parent) else { return false };
        ghosts.retain(|(_, until)| *until > now);
        ghosts.iter().any(|(kind, _)| *kind == child)
    }

    /// Something that looks after an instance.
    pub(crate) fn watch(&mut self, instance: &str) -> watch::Receiver<u64> {
        self.signals.entry(instance.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells those who look after an instance to look again.
    pub(crate) fn signal(&self, instance: &str) {
        if let Some(signal) = self.signals.get(instance) {
            signal.send_modify(|number| *number += 1);
        }
        self.kubernetes.instance_changed(instance);
    }

    /// Forgets all about an instance that is gone.
    pub(crate) fn forget_instance(&mut self, instance: &str) {
        self.signal(instance);
        self.signals.remove(instance);
        self.up.remove(instance);
        self.boot_failures.remove(instance);
        self.kubernetes.nodes.remove(instance);
    }
}

impl World {
    /// A number that was never given before.
    pub(crate) fn next_number(&mut self) -> u64 {
        let next = self.meta.get("ids").copied().unwrap_or(0) + 1;
        self.meta.insert("ids", next);
        next
    }

    /// Builds the index from the rows.
    pub(crate) fn build_index(&mut self) {
        let index = &mut self.index;
        for instance in self.instances.values() {
            index.addresses.entry(instance.vswitch.clone()).or_default().insert(instance.private_ip);
            index.public.extend(instance.public_ip);
            for group in &instance.groups {
                index.members.entry(group.clone()).or_default().insert(instance.id.clone());
            }
            index.due.extend(instance.events().map(|at| (at, Due::Instance(instance.id.clone()))));
        }
        for vswitch in self.vswitches.values() {
            index.vswitches.entry(vswitch.vpc.clone()).or_default().insert(vswitch.id.clone());
        }
        for invocation in self.invocations.values() {
            for instance in invocation.runs.keys() {
                index.invoked.entry(instance.clone()).or_default().push(invocation.id.clone());
            }
        }
        for eip in self.eips.values() {
            index.public.insert(eip.address);
            index.due.extend(eip.gone_at.map(|at| (at, Due::Eip(eip.id.clone()))));
        }
        for gateway in self.nat_gateways.values() {
            index.addresses.entry(gateway.vswitch.clone()).or_default().insert(gateway.private_ip);
            index.due.extend(gateway.gone_at.map(|at| (at, Due::NatGateway(gateway.id.clone()))));
        }
        let entries = self.snat_entries.values();
        index.due.extend(entries.filter_map(|entry| Some((entry.gone_at?, Due::SnatEntry(entry.id.clone())))));
        // The market goes on from where it was looked at last.
        let spot = |bill: &&Bill| bill.to.is_none() && self.instances.get(&bill.resource).is_some_and(market::is_spot);
        let since = self.bills.values().filter(spot).filter(|bill| bill.part == "instanceType").map(|bill| bill.from).min();
        index.due.extend(since.map(|since| (market::next_step(since), Due::Market)));
        index.due.extend(self.vpcs.values().filter_map(|vpc| Some((vpc.gone_at?, Due::Vpc(vpc.id.clone())))));
        index.due.extend(self.vswitches.values().filter_map(|vswitch| Some((vswitch.gone_at?, Due::VSwitch(vswitch.id.clone())))));
        index.due.extend(self.tokens.iter().map(|(key, token)| (token.until, Due::Token(key.to_owned()))));
        let of_parts = self.parts.values().map(|part| part.digest.as_str());
        for digest in self.objects.values().flat_map(|object| object.content.digests()).chain(of_parts) {
            *index.blobs.entry(digest.to_owned()).or_default() += 1;
        }
        for code in self.functions.values().filter_map(|function| function.code.as_ref()) {
            *index.blobs.entry(code.digest.clone()).or_default() += 1;
        }
        for bill in self.bills.values() {
            index.spending.add(bill);
        }
    }

    /// Lets everything happen whose time has come.
    pub(crate) fn settle(&mut self, now: Timestamp, consistency: Duration) {
        while let Some((at, due)) = self.index.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.index.due.remove(&(at, due.clone()));
            self.index.shown.forget();
            match due {
                Due::Instance(id) => super::instance::events::happen(self, &id, now),
                Due::Vpc(id) => {
                    self.vpcs.remove(&id);
                    self.index.vswitches.remove(&id);
                }
                Due::VSwitch(id) => {
                    if let Some(vswitch) = self.vswitches.remove(&id) {
                        self.index.addresses.remove(&id);
                        self.index.vswitches.get_mut(&vswitch.vpc).map(|siblings| siblings.remove(&id));
                        self.index.linger(&vswitch.vpc, "VSwitch", after(at, consistency));
                    }
                }
                Due::Eip(id) => {
                    if let Some(eip) = self.eips.remove(&id) {
                        self.index.public.remove(&eip.address);
                    }
                }
                Due::NatGateway(id) => super::nat::erase(self, &id, after(at, consistency)),
                Due::Market => market::turn(self, at),
                Due::SnatEntry(id) => drop(self.snat_entries.remove(&id)),
                Due::Token(key) => drop(self.tokens.remove(&key)),
            }
        }
    }
}
