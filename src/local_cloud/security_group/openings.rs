//! What the rules of an instance's groups come to: the TCP ports that are open, and for whom.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::rules::{Direction, Peer, Rule};
use crate::local_cloud::instance::Instance;
use crate::local_cloud::machines::Opening;
use crate::local_cloud::store::World;

/// The openings of an instance. Among rules that fit, the lowest priority number counts, and a refusal before an
/// acceptance of the same number.
pub(crate) fn of_instance(world: &World, instance: &Instance) -> Vec<Opening> {
    let mut rules: Vec<&Rule> = instance
        .groups
        .iter()
        .filter_map(|id| world.groups.get(id))
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.direction == Direction::Ingress && matches!(rule.protocol.as_str(), "TCP" | "ALL"))
        .collect();
    rules.sort_by_key(|rule| (rule.priority, rule.accept));
    let mut refused: Vec<Opening> = Vec::new();
    let mut open: Vec<Opening> = Vec::new();
    for rule in rules {
        let (from, to) = rule.ports.unwrap_or((1, u16::MAX));
        for source in sources(world, &rule.peer) {
            let area = Opening { from, to, source };
            if rule.accept {
                open.extend(refused.iter().fold(vec![area], |left, hole| left.iter().flat_map(|area| without(area, hole)).collect()));
            } else {
                refused.push(area);
            }
        }
    }
    open.sort_unstable();
    open.dedup();
    open
}

/// The networks that the other side of a rule is.
fn sources(world: &World, peer: &Peer) -> Vec<Ipv4Net> {
    match peer {
        Peer::V4(net) => vec![*net],
        Peer::Group(id) => {
            let members = world.index.members.get(id).into_iter().flatten().filter_map(|id| world.instances.get(id));
            let addresses = members.flat_map(|member| [Some(member.private_ip), member.public_ip]);
            addresses.flatten().map(|address: Ipv4Addr| Ipv4Net::from(address)).collect()
        }
        // The local cloud's machines speak IPv4, and it has no prefix lists.
        Peer::V6(_) | Peer::PrefixList(_) => Vec::new(),
    }
}

/// What is left of an opening when `hole` is taken out.
fn without(area: &Opening, hole: &Opening) -> Vec<Opening> {
    let (from, to) = (area.from.max(hole.from), area.to.min(hole.to));
    let apart = !area.source.contains(&hole.source) && !hole.source.contains(&area.source);
    if from > to || apart {
        return vec![area.clone()];
    }
    let mut left = Vec::new();
    if area.from < from {
        left.push(Opening { to: from - 1, ..area.clone() });
    }
    if to < area.to {
        left.push(Opening { from: to + 1, ..area.clone() });
    }
    // On the shared ports the peers outside the hole stay: halves of the network, down to the hole itself.
    let mut rest = area.source;
    while rest.prefix_len() < hole.source.prefix_len() {
        let Ok(mut halves) = rest.subnets(rest.prefix_len() + 1) else { break };
        let (Some(low), Some(high)) = (halves.next(), halves.next()) else { break };
        let (with, other) = if low.contains(&hole.source) { (low, high) } else { (high, low) };
        left.push(Opening { from, to, source: other });
        rest = with;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(from: u16, to: u16, source: &str) -> Opening {
        Opening { from, to, source: source.parse().unwrap() }
    }

    #[test]
    fn a_hole_takes_its_ports_and_peers_and_nothing_else() {
        assert_eq!(without(&area(1, 100, "0.0.0.0/0"), &area(22, 22, "0.0.0.0/0")), [area(1, 21, "0.0.0.0/0"), area(23, 100, "0.0.0.0/0")]);
        assert_eq!(without(&area(22, 22, "10.0.0.0/24"), &area(1, 100, "10.0.0.0/8")), []);
        assert_eq!(without(&area(22, 22, "10.0.0.0/24"), &area(1, 100, "11.0.0.0/8")), [area(22, 22, "10.0.0.0/24")]);
        let left = without(&area(22, 22, "10.0.0.0/30"), &area(22, 22, "10.0.0.1/32"));
        assert_eq!(left, [area(22, 22, "10.0.0.2/31"), area(22, 22, "10.0.0.0/32")]);
    }
}
