//! ECS instances: what one is, and what state it is in. A state is never stored: it follows from a timeline and the
//! clock. What an instance runs on is the business of `machines`.

pub(crate) mod attributes;
pub(crate) mod describe;
pub(crate) mod events;
pub(crate) mod first_boot;
pub(crate) mod interface;
pub(crate) mod login;
pub(crate) mod modify;
pub(crate) mod network;
mod order;
pub(crate) mod power;
pub(crate) mod release;
pub(crate) mod role;
pub(crate) mod run;
pub(crate) mod spot;
pub(crate) mod subscription;
mod unsupported;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::catalog::Catalog;
use super::eip;
use super::machines::MachineSpec;
use super::store::{Due, World};
use super::time::after;
use super::wire::fault::Fault;
use super::wire::params::Tags;
use spot::Spot;
use subscription::Subscription;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// It was accepted.
    Pending,
    /// It boots.
    Starting,
    /// It runs.
    Running,
    /// It shuts down.
    Stopping,
    /// It is off.
    Stopped,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Starting => "Starting",
            Status::Running => "Running",
            Status::Stopping => "Stopping",
            Status::Stopped => "Stopped",
        }
    }
}

/// The network interface that an instance has from the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tags: Tags,
}

/// What is kept of the settings that change nothing here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// `Standard` or `Unlimited`; empty where the type has no credits.
    pub(crate) credit: String,
    /// There is no metadata service; this is what was asked of it.
    pub(crate) http_endpoint: String,
    pub(crate) http_tokens: String,
    pub(crate) http_hops: u32,
}

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) host_name: String,
    pub(crate) description: String,
    /// The instance type's name.
    pub(crate) kind: String,
    pub(crate) image: String,
    pub(crate) vpc: String,
    pub(crate) vswitch: String,
    pub(crate) private_ip: Ipv4Addr,
    pub(crate) public_ip: Option<Ipv4Addr>,
    pub(crate) interface: Interface,
    pub(crate) groups: Vec<String>,
    /// Mbit/s.
    pub(crate) bandwidth_out: u32,
    pub(crate) internet_charge: String,
    pub(crate) spot: Spot,
    /// `None` for what is paid as it goes.
    pub(crate) subscription: Option<Subscription>,
    pub(crate) settings: Settings,
    /// The name of the key pair that may log in.
    pub(crate) key_pair: Option<String>,
    /// Whether the key pair is to be put on the machine at its next boot.
    pub(crate) key_pending: bool,
    /// Empty without one.
    pub(crate) role: String,
    /// Base64.
    pub(crate) user_data: String,
    /// Whether its user data had its turn.
    pub(crate) initialised: bool,
    /// Whether the machine is to be emptied before its next boot.
    pub(crate) wipe: bool,
    pub(crate) resource_group: String,
    pub(crate) deletion_protection: bool,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) auto_release: Option<Timestamp>,
    /// When stock turns out to be missing after all.
    pub(crate) vanishes_at: Option<Timestamp>,
    /// Whether a stop ended the bill for vCPU and memory.
    pub(crate) economical: bool,
    /// What it does from when on, oldest first; never empty.
    pub(crate) timeline: Vec<(Timestamp, Status)>,
    /// Set once it is released: the earliest moment at which it may be gone.
    pub(crate) gone_at: Option<Timestamp>,
}

impl Instance {
    pub(crate) fn state(&self, now: Timestamp) -> Status {
        let past = self.timeline.iter().rev().find(|(at, _)| *at <= now).or(self.timeline.first());
        past.map_or(Status::Stopped, |(_, status)| *status)
    }

    /// The state's name as descriptions show it.
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        if self.is_released() { "Stopping" } else { self.state(now).name() }
    }

    pub(crate) fn is_released(&self) -> bool {
        self.gone_at.is_some()
    }

    /// Since when it runs without a break.
    pub(crate) fn running_since(&self, now: Timestamp) -> Option<Timestamp> {
        let (at, status) = self.timeline.iter().rev().find(|(at, _)| *at <= now)?;
        (*status == Status::Running && !self.is_released()).then_some(*at)
    }

    /// When its state changes next.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.timeline.iter().map(|(at, _)| *at).find(|at| *at > now)
    }

    /// When it is to be released by itself.
    pub(crate) fn release_at(&self) -> Option<Timestamp> {
        let reclaimed = self.spot.ends_at().filter(|_| self.spot.terminates);
        let expired = self.subscription.as_ref().map(|term| after(term.until, subscription::KEPT));
        let first = self.auto_release.into_iter().chain(self.vanishes_at).chain(reclaimed).chain(expired).min();
        first.filter(|_| !self.is_released())
    }

    /// All moments at which something happens to it by itself.
    pub(crate) fn events(&self) -> impl Iterator<Item = Timestamp> {
        let expires = self.subscription.as_ref().map(|term| term.until);
        self.release_at().into_iter().chain(self.spot.interrupted_at).chain(self.spot.ends_at()).chain(expires)
    }

    /// Why it is locked, if it is.
    pub(crate) fn lock(&self, now: Timestamp) -> Option<&'static str> {
        if self.subscription.as_ref().is_some_and(|term| term.until <= now) {
            Some("financial")
        } else {
            self.spot.interrupted_at.filter(|at| *at <= now).map(|_| "Recycling")
        }
    }

    pub(crate) fn charge_type(&self) -> &'static str {
        if self.subscription.is_some() { "PrePaid" } else { "PostPaid" }
    }

    /// What its machine needs to know.
    pub(crate) fn machine(&self, world: &World, catalog: &Catalog, now: Timestamp) -> MachineSpec {
        let kind = catalog.types.get(&self.kind);
        let elastic = || eip::of_instance(world, &self.id, now).map(|eip| eip.address);
        MachineSpec {
            id: self.id.clone(),
            hostname: self.host_name.clone(),
            vcpu: kind.map_or(1, |kind| kind.vcpu),
            memory_mib: kind.map_or(1024, |kind| kind.memory_mib),
            public_ip: self.public_ip.or_else(elastic),
            private_ip: self.private_ip,
        }
    }
}

pub(crate) fn not_found() -> Fault {
    Fault::missing("InvalidInstanceId.NotFound", "The specified InstanceId does not exist.")
}

pub(crate) fn wrong_status() -> Fault {
    Fault::forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
}

/// An instance that a call names, visible in the call's region and not released.
pub(crate) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Instance, Fault> {
    match call.world.instances.get(id) {
        Some(instance) if call.sees(&instance.region)? && !instance.is_released() => Ok(instance),
        _ => Err(not_found()),
    }
}

/// The instances that `InstanceId.N` names, all of which must be there.
pub(crate) fn named(call: &Call, most: usize) -> Result<Vec<String>, Fault> {
    let mut ids = call.params.list("InstanceId", most)?;
    if ids.is_empty() {
        return Err(Fault::mandatory("InstanceId"));
    }
    ids.sort_unstable();
    ids.dedup();
    ids.iter().try_for_each(|id| find(call, id).map(drop))?;
    Ok(ids)
}

/// Sees to it that what an instance's times say really happens; to be called after each change of them.
pub(crate) fn plan_events(world: &mut World, id: &str) {
    // What is no longer true does no harm: each event looks at the instance as it is then.
    if let Some(instance) = world.instances.get(id) {
        world.index.due.extend(instance.events().map(|at| (at, Due::Instance(id.to_owned()))));
        world.index.signal(id);
    }
}

/// Puts the instance into groups, and tells whose rules name those groups.
pub(crate) fn join(world: &mut World, id: &str, groups: &[String]) {
    for group in groups {
        world.index.members.entry(group.clone()).or_default().insert(id.to_owned());
        super::security_group::signal_referrers(world, group);
    }
}

/// Takes the instance out of groups.
pub(crate) fn leave(world: &mut World, id: &str, groups: &[String]) {
    for group in groups {
        if let Some(members) = world.index.members.get_mut(group) {
            members.remove(id);
        }
        super::security_group::signal_referrers(world, group);
    }
}
