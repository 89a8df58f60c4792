//! The network of a stack: its own, or one that exists and is only used.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::Draft;
use super::error::ResolveError;
use crate::manifest::{Located, VpcChoice};
use crate::model::address::{Address, Kind};
use crate::model::value::{Reference, Value};
use crate::pricing::existing::Existing;
use crate::resources::desired::Node;
use crate::resources::name;
use crate::resources::vpc::VpcSpec;
use crate::resources::vswitch::VSwitchSpec;

/// The range of a network that nobody named.
const DEFAULT_CIDR: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 168, 0, 0), 16);
/// A subnet holds 252 machines where the network has room for it.
const SUBNET_BITS: u8 = 24;
/// The smallest subnet that the cloud makes.
const SMALLEST_SUBNET: u8 = 29;

/// Where instances will stand.
pub(super) struct Network {
    /// The network's identifier.
    pub(super) vpc_id: Value<String>,
    /// Its address range.
    pub(super) cidr: Ipv4Net,
    /// The resource that it is, if it is ours.
    pub(super) vpc: Option<Address>,
    /// An existing subnet: its identifier and its zone.
    pub(super) vswitch: Option<(String, String)>,
    /// An existing security group.
    pub(super) security_group: Option<String>,
}

fn missing(located: &Located<String>, what: &str, region: &str) -> ResolveError {
    ResolveError::Impossible {
        location: located.location.clone(),
        message: format!("there is no {what} `{}` in `{region}`", located.value),
        hint: "check the identifier and the `region`".to_owned(),
    }
}

fn elsewhere(located: &Located<String>, what: &str, vpc: &str) -> ResolveError {
    ResolveError::Impossible {
        location: located.location.clone(),
        message: format!("{what} `{}` belongs to the network `{vpc}`", located.value),
        hint: format!("write `vpc: {{ id: {vpc} }}`, or name another"),
    }
}

/// The network that the manifest asks for.
pub(super) async fn network(draft: &mut Draft<'_>) -> Result<Network, ResolveError> {
    let (manifest, region) = (draft.manifest, draft.desired.region.clone());
    let mut network = match &manifest.network.vpc {
        VpcChoice::Existing { id } => {
            let Some(Existing::Vpc { cidr }) = draft.around.lookup.existing(&region, &id.value).await? else {
                return Err(missing(id, "network", &region));
            };
            draft.uses("vpc", &id.value, format!("{cidr}; used, never changed or deleted"));
            let cidr = cidr.parse().unwrap_or(DEFAULT_CIDR);
            Network { vpc_id: Value::Known(id.value.clone()), cidr, vpc: None, vswitch: None, security_group: None }
        }
        choice => {
            let cidr = match choice {
                VpcChoice::New { cidr } => cidr.value,
                _ => DEFAULT_CIDR,
            };
            let address = Address::new(Kind::Vpc, "main");
            Network {
                vpc_id: Value::Pending(Reference::new(address.clone(), "id")),
                cidr,
                vpc: Some(address),
                vswitch: None,
                security_group: None,
            }
        }
    };
    if let Some(id) = &manifest.network.vswitch {
        let Some(Existing::VSwitch { vpc_id, zone, cidr }) = draft.around.lookup.existing(&region, &id.value).await? else {
            return Err(missing(id, "subnet", &region));
        };
        if network.vpc_id != Value::Known(vpc_id.clone()) {
            return Err(elsewhere(id, "subnet", &vpc_id));
        }
        draft.uses("vswitch", &id.value, format!("{cidr} in {zone}; used, never changed or deleted"));
        network.vswitch = Some((id.value.clone(), zone));
    }
    if let Some(id) = &manifest.network.security_group {
        let Some(Existing::SecurityGroup { vpc_id }) = draft.around.lookup.existing(&region, &id.value).await? else {
            return Err(missing(id, "security group", &region));
        };
        if network.vpc_id != Value::Known(vpc_id.clone()) {
            return Err(elsewhere(id, "security group", &vpc_id));
        }
        draft.uses("security_group", &id.value, "used as it is: its rules decide which ports are open".to_owned());
        network.security_group = Some(id.value.clone());
    }
    Ok(network)
}

impl Network {
    /// The network itself, if it is ours, as a resource wanted.
    fn want_vpc(&self, draft: &mut Draft<'_>) -> Option<Address> {
        let address = self.vpc.clone()?;
        let spec = VpcSpec { name: name::of(&draft.manifest.stack.value, &address), cidr: self.cidr.to_string() };
        draft.desired.nodes.entry(address.clone()).or_insert_with(|| Node { spec: super::app::json(&spec), depends_on: BTreeSet::new() });
        Some(address)
    }

    /// The network's identifier and the resource to wait for.
    pub(super) fn vpc(&self, draft: &mut Draft<'_>) -> (Value<String>, BTreeSet<Address>) {
        (self.vpc_id.clone(), self.want_vpc(draft).into_iter().collect())
    }

    /// The zones that instances may stand in: the existing subnet's, or those that every listed subnet names; empty
    /// for any.
    pub(super) fn zones(&self, draft: &Draft<'_>) -> Vec<String> {
        if let Some((_, zone)) = &self.vswitch {
            return vec![zone.clone()];
        }
        let listed = draft.manifest.network.vswitches.iter().map(|listed| listed.zone.as_ref().map(|zone| zone.value.clone()));
        listed.collect::<Option<Vec<String>>>().unwrap_or_default()
    }

    /// Prepares the subnets of zones that something may fall back to.
    pub(super) fn stand_by(&self, draft: &mut Draft<'_>) {
        if self.vswitch.is_some() {
            return;
        }
        // Training jobs stand in no zone.
        let stand = draft.desired.fallbacks.iter().filter(|(address, _)| address.kind != Kind::TrainingJob);
        let zones: BTreeSet<String> = stand.flat_map(|(_, list)| list).map(|fallback| fallback.zone.clone()).collect();
        let listed = &draft.manifest.network.vswitches;
        let has_room =
            |zone: &String| listed.is_empty() || listed.iter().any(|listed| listed.zone.as_ref().is_some_and(|named| named.value == *zone));
        for zone in zones.into_iter().filter(has_room) {
            let (address, node) = self.subnet_of(draft, &zone);
            if !draft.desired.nodes.contains_key(&address) {
                draft.desired.standby.insert(address, node);
            }
        }
    }

    /// The subnet of a zone as a resource.
    fn subnet_of(&self, draft: &mut Draft<'_>, zone: &str) -> (Address, Node) {
        let (vpc_id, depends_on) = self.vpc(draft);
        let address = Address::new(Kind::VSwitch, zone);
        let cidr = self.subnet(draft, zone).to_string();
        let spec = VSwitchSpec { name: name::of(&draft.manifest.stack.value, &address), vpc_id, zone: zone.to_owned(), cidr };
        (address, Node { spec: super::app::json(&spec), depends_on })
    }

    /// The subnet of a zone: its identifier and the resource to wait for.
    pub(super) fn vswitch(&self, draft: &mut Draft<'_>, zone: &str) -> (Value<String>, BTreeSet<Address>) {
        if let Some((id, _)) = &self.vswitch {
            return (Value::Known(id.clone()), BTreeSet::new());
        }
        let (address, node) = self.subnet_of(draft, zone);
        draft.desired.nodes.entry(address.clone()).or_insert(node);
        (Value::Pending(Reference::new(address.clone(), "id")), BTreeSet::from([address]))
    }

    /// The range of a zone's subnet: the manifest's, or a part of the network that follows from the zone's last
    /// letter, so that a subnet never moves when another zone joins.
    fn subnet(&self, draft: &Draft<'_>, zone: &str) -> Ipv4Net {
        let listed = &draft.manifest.network.vswitches;
        let named = listed.iter().find(|listed| listed.zone.as_ref().is_some_and(|named| named.value == zone));
        if let Some(listed) = named.or_else(|| listed.iter().find(|listed| listed.zone.is_none())) {
            return listed.cidr.value;
        }
        let bits = SUBNET_BITS.max((self.cidr.prefix_len() + 4).min(SMALLEST_SUBNET));
        let letter = zone.bytes().last().map_or(0, |last| usize::from(last.saturating_sub(b'a')));
        self.cidr
            .subnets(bits)
            .ok()
            .and_then(|mut parts| parts.nth(letter).or_else(|| self.cidr.subnets(bits).ok()?.next()))
            .unwrap_or(self.cidr)
    }
}
