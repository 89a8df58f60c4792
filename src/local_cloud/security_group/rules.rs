//! The rules of a security group: read from parameters, compared, added, taken away.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{find, signal_members};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::store::World;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// Which way a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    /// Into the instance.
    Ingress,
    /// Out of it.
    Egress,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Peer {
    /// A network.
    V4(Ipv4Net),
    /// An IPv6 network, kept as it was given.
    V6(String),
    /// The members of a group.
    Group(String),
    /// A prefix list, kept as it was given.
    PrefixList(String),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) direction: Direction,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `GRE` or `ALL`.
    pub(crate) protocol: String,
    /// First and last port; `None` for protocols without ports.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) peer: Peer,
    pub(crate) accept: bool,
    pub(crate) priority: u8,
    pub(crate) nic: String,
    pub(crate) description: String,
    pub(crate) created: Timestamp,
}

impl Rule {
    /// The group on the other side.
    pub(crate) fn peer_group(&self) -> Option<&str> {
        match &self.peer {
            Peer::Group(id) => Some(id),
            _ => None,
        }
    }

    /// Whether both open or close the same, which makes a second one needless.
    fn same(&self, other: &Rule) -> bool {
        self.matches(other) && self.priority == other.priority && self.nic == other.nic
    }

    /// Whether a revocation that names `other` means this one.
    fn matches(&self, other: &Rule) -> bool {
        self.direction == other.direction
            && self.protocol == other.protocol
            && self.ports == other.ports
            && self.peer == other.peer
            && self.accept == other.accept
    }

    /// A rule as DescribeSecurityGroupAttribute shows it.
    pub(crate) fn row(&self, world: &World) -> Json {
        let ports = self.ports.map_or("-1/-1".to_owned(), |(from, to)| format!("{from}/{to}"));
        let mut row = json!({
            "SecurityGroupRuleId": self.id,
            "Direction": self.direction.name(),
            "IpProtocol": self.protocol,
            "PortRange": ports,
            "SourcePortRange": "",
            "NicType": self.nic,
            "Policy": if self.accept { "Accept" } else { "Drop" },
            "Priority": self.priority.to_string(),
            "Description": self.description,
            "CreateTime": seconds(self.created),
        });
        for side in ["Source", "Dest"] {
            let own = (side == "Source") == (self.direction == Direction::Ingress);
            let peer = own.then_some(&self.peer);
            let group = peer.and(self.peer_group()).unwrap_or_default();
            row[format!("{side}CidrIp")] = match peer {
                Some(Peer::V4(net)) => net.to_string().into(),
                _ => "".into(),
            };
            row[format!("Ipv6{side}CidrIp")] = match peer {
                Some(Peer::V6(net)) => net.clone().into(),
                _ => "".into(),
            };
            row[format!("{side}GroupId")] = group.into();
            row[format!("{side}GroupName")] = world.groups.get(group).map_or("", |group| group.name.as_str()).into();
            row[format!("{side}GroupOwnerAccount")] = "".into();
            row[format!("{side}PrefixListId")] = match peer {
                Some(Peer::PrefixList(id)) => id.clone().into(),
                _ => "".into(),
            };
            row[format!("{side}PrefixListName")] = "".into();
        }
        row
    }
}

/// The rules that a call names: `Permissions.N`, or the older flat parameters.
fn read_all(call: &Call, direction: Direction) -> Result<Vec<Rule>, Fault> {
    let params = call.params;
    let mut named = params.structs("Permissions");
    if named.is_empty() && params.text("IpProtocol").is_some() {
        named.push(params.clone());
    }
    if named.len() > 100 {
        return Err(Fault::bad("InvalidParameter", "The number of Permissions exceeds the limit of 100."));
    }
    named.iter().map(|params| read(params, direction, call.now)).collect()
}

fn read(params: &Params, direction: Direction, now: Timestamp) -> Result<Rule, Fault> {
    let protocol = ["TCP", "UDP", "ICMP", "ICMPv6", "GRE", "ALL"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(params.text("IpProtocol").unwrap_or_default()))
        .ok_or_else(|| Fault::bad("InvalidIpProtocol.Malformed", "The specified parameter IpProtocol is missing or not valid."))?;
    let policy = params.text("Policy").unwrap_or("accept");
    let accept = policy.eq_ignore_ascii_case("accept");
    if !accept && !policy.eq_ignore_ascii_case("drop") {
        return Err(Fault::bad("InvalidPolicy.Malformed", "The specified parameter Policy is not valid."));
    }
    let priority: u8 = params.number("Priority")?.unwrap_or(1);
    if !(1..=100).contains(&priority) {
        return Err(Fault::bad("InvalidPriority.ValueNotSupported", "The specified Priority must be between 1 and 100."));
    }
    let nic = params.choice("NicType", &["intranet", "internet"], "intranet")?;
    Ok(Rule {
        id: String::new(),
        direction,
        protocol: protocol.to_owned(),
        ports: ports(params.text("PortRange").unwrap_or_default(), protocol)?,
        peer: peer(params, direction)?,
        accept,
        priority,
        nic: nic.to_owned(),
        description: params.owned("Description"),
        created: now,
    })
}

fn ports(text: &str, protocol: &str) -> Result<Option<(u16, u16)>, Fault> {
    let malformed = || Fault::bad("InvalidParam.PortRange", "The specified parameter PortRange is not valid.");
    if !matches!(protocol, "TCP" | "UDP") {
        // Protocols without ports take nothing else; a missing range is forgiven.
        return if matches!(text, "-1/-1" | "") { Ok(None) } else { Err(malformed()) };
    }
    let (from, to) = text.split_once('/').ok_or_else(malformed)?;
    match (from.parse::<u16>(), to.parse::<u16>()) {
        (Ok(from), Ok(to)) if 1 <= from && from <= to => Ok(Some((from, to))),
        _ => Err(malformed()),
    }
}

fn peer(params: &Params, direction: Direction) -> Result<Peer, Fault> {
    let side = if direction == Direction::Ingress { "Source" } else { "Dest" };
    let malformed = |name: &str| Fault::bad(format!("InvalidParam.{name}"), format!("The specified parameter {name} is not valid."));
    let of = |name: String| params.text(&name).map(|text| (text.to_owned(), name));
    if let Some((text, name)) = of(format!("{side}CidrIp")) {
        let net = if text.contains('/') { text.parse::<Ipv4Net>().ok() } else { text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from) };
        // Host bits are cut off, as the real service does.
        return net.map(|net| Peer::V4(net.trunc())).ok_or_else(|| malformed(&name));
    }
    if let Some((text, name)) = of(format!("Ipv6{side}CidrIp")) {
        let address = text.split('/').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().map(|_| Peer::V6(text.clone())).map_err(|_| malformed(&name));
    }
    if let Some((id, _)) = of(format!("{side}GroupId")) {
        return Ok(Peer::Group(id));
    }
    if let Some((id, _)) = of(format!("{side}PrefixListId")) {
        return Ok(Peer::PrefixList(id));
    }
    let message = format!("The parameter {side}CidrIp, Ipv6{side}CidrIp, {side}GroupId or {side}PrefixListId must be specified.");
    Err(Fault::bad("MissingParameter.Source", message))
}

/// AuthorizeSecurityGroup and AuthorizeSecurityGroupEgress.
pub(crate) fn authorize(call: &mut Call, direction: Direction) -> Outcome {
    call.region()?;
    let id = call.params.required("SecurityGroupId")?.to_owned();
    let group = find(call, &id)?;
    let rules = read_all(call, direction)?;
    if rules.is_empty() {
        return Err(Fault::bad("MissingParameter.Permissions", "The parameter Permissions must be specified."));
    }
    let (vpc, kind) = (group.vpc.clone(), group.kind.clone());
    for rule in &rules {
        let Some(peer) = rule.peer_group() else { continue };
        if kind == "enterprise" {
            let message = "Rules of an enterprise security group can't refer to security groups.";
            return Err(Fault::forbidden("InvalidOperation.EnterpriseGroup", message));
        }
        if find(call, peer)?.vpc != vpc {
            return Err(Fault::forbidden("InvalidSecurityGroup.DifferentNetwork", "Both security groups must be in the same VPC."));
        }
    }
    let mut added = Vec::new();
    for mut rule in rules {
        let known = find(call, &id)?.rules.iter().chain(&added).any(|known| known.same(&rule));
        if !known {
            let region = find(call, &id)?.region.clone();
            rule.id = call.new_id("sgr", &region, 20);
            added.push(rule);
        }
    }
    if find(call, &id)?.rules.len() + added.len() > call.config.quotas.rules {
        return Err(Fault::forbidden("QuotaExceed.SecurityGroupRule", "The number of rules of the security group exceeds the limit."));
    }
    if !added.is_empty()
        && let Some(group) = call.world.groups.get_mut(&id)
    {
        group.rules.extend(added);
        signal_members(call.world, &id);
    }
    Ok(json!({}))
}

/// RevokeSecurityGroup and RevokeSecurityGroupEgress.
pub(crate) fn revoke(call: &mut Call, direction: Direction) -> Outcome {
    call.region()?;
    let id = call.params.required("SecurityGroupId")?.to_owned();
    let group = find(call, &id)?;
    let ids = call.params.list("SecurityGroupRuleId", 100)?;
    if ids.iter().any(|wanted| !group.rules.iter().any(|rule| rule.id == *wanted && rule.direction == direction)) {
        return Err(Fault::bad("InvalidParam.SecurityGroupRuleId", "The specified security group rule does not exist."));
    }
    let named = if ids.is_empty() { read_all(call, direction)? } else { Vec::new() };
    if ids.is_empty() && named.is_empty() {
        return Err(Fault::bad("MissingParameter.Permissions", "The parameter Permissions must be specified."));
    }
    let goes = |rule: &Rule| ids.contains(&rule.id) || named.iter().any(|named| rule.matches(named));
    if group.rules.iter().any(goes)
        && let Some(group) = call.world.groups.get_mut(&id)
    {
        group.rules.retain(|rule| !goes(rule));
        signal_members(call.world, &id);
    }
    Ok(json!({}))
}

/// ModifySecurityGroupRule: what is given of an inbound rule replaces what it had.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    call.region()?;
    let params = call.params;
    let id = params.required("SecurityGroupId")?.to_owned();
    let group = find(call, &id)?.clone();
    let known = |rule: &&Rule| rule.direction == Direction::Ingress;
    let old = match params.text("SecurityGroupRuleId") {
        Some(wanted) => group.rules.iter().filter(known).find(|rule| rule.id == wanted),
        // The older way: the rule is found by all that it says, and only its description changes.
        None => {
            let same = read(params, Direction::Ingress, call.now)?;
            group.rules.iter().filter(known).find(|rule| rule.matches(&same) && rule.priority == same.priority)
        }
    };
    let missing = || Fault::bad("InvalidParam.SecurityGroupRuleId", "The specified security group rule does not exist.");
    let old = old.ok_or_else(missing)?;
    let mut rule = changed(old, params, call.now)?;
    if let Some(peer) = rule.peer_group() {
        if group.kind == "enterprise" {
            let message = "Rules of an enterprise security group can't refer to security groups.";
            return Err(Fault::forbidden("InvalidOperation.EnterpriseGroup", message));
        }
        if find(call, peer)?.vpc != group.vpc {
            return Err(Fault::forbidden("InvalidSecurityGroup.DifferentNetwork", "Both security groups must be in the same VPC."));
        }
    }
    if group.rules.iter().any(|other| other.id != rule.id && other.same(&rule)) {
        return Err(Fault::forbidden("InvalidSecurityGroupRule.RuleExists", "The security group has the rule already."));
    }
    rule.description = params.given("Description").map_or_else(|| old.description.clone(), str::to_owned);
    if let Some(row) = call.world.groups.get_mut(&id) {
        for own in row.rules.iter_mut().filter(|own| own.id == rule.id) {
            own.clone_from(&rule);
        }
        signal_members(call.world, &id);
    }
    Ok(json!({}))
}

/// A rule with the given parameters in place of its own.
fn changed(old: &Rule, params: &Params, now: Timestamp) -> Result<Rule, Fault> {
    let ports = old.ports.map_or("-1/-1".to_owned(), |(from, to)| format!("{from}/{to}"));
    let (name, value) = match &old.peer {
        Peer::V4(net) => ("SourceCidrIp", net.to_string()),
        Peer::V6(net) => ("Ipv6SourceCidrIp", net.clone()),
        Peer::Group(id) => ("SourceGroupId", id.clone()),
        Peer::PrefixList(id) => ("SourcePrefixListId", id.clone()),
    };
    let peers = ["SourceCidrIp", "Ipv6SourceCidrIp", "SourceGroupId", "SourcePrefixListId"];
    let elsewhere = peers.iter().any(|peer| params.text(peer).is_some());
    let policy = if old.accept { "accept" } else { "drop" };
    let mut whole = vec![
        ("IpProtocol", old.protocol.clone()),
        ("PortRange", ports),
        ("Policy", policy.to_owned()),
        ("Priority", old.priority.to_string()),
        ("NicType", old.nic.clone()),
    ];
    if !elsewhere {
        whole.push((name, value));
    }
    let merged = params.with_defaults(&whole);
    let rule = read(&merged, Direction::Ingress, now)?;
    Ok(Rule { id: old.id.clone(), created: old.created, ..rule })
}
