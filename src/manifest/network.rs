//! The network of a stack, and lists of networks.

use ipnet::Ipv4Net;

use super::reader::{Fields, Reader, Value};
use super::{Located, Network, NewVSwitch, Region, VpcChoice};

/// Reads the `network` of a stack.
pub(super) fn read(fields: &Fields<'_>, region: &Region) -> Network {
    let nothing = Network { vpc: VpcChoice::Default, vswitch: None, vswitches: Vec::new(), security_group: None };
    let Some(fields) = fields.get("network").and_then(Value::table) else { return nothing };
    let network = Network {
        vpc: fields.get("vpc").map_or(VpcChoice::Default, vpc),
        vswitch: fields.get("vswitch").and_then(Value::text),
        vswitches: fields.get("vswitches").map(Value::list).unwrap_or_default().iter().filter_map(|value| vswitch(value, region)).collect(),
        security_group: fields.get("security_group").and_then(Value::text),
    };
    check_existing(&fields, &network);
    check_blocks(&fields, &network);
    network
}

fn vpc(value: &Value<'_>) -> VpcChoice {
    let Some(fields) = value.table() else { return VpcChoice::Default };
    let (cidr, id) = (fields.get("cidr").and_then(Value::parsed), fields.get("id").and_then(Value::text));
    match (cidr, id) {
        (_, Some(id)) => VpcChoice::Existing { id },
        (Some(cidr), None) => VpcChoice::New { cidr },
        (None, None) => VpcChoice::Default,
    }
}

fn vswitch(value: &Value<'_>, region: &Region) -> Option<NewVSwitch> {
    let fields = value.table()?;
    let zone = fields.get("zone").and_then(Value::text);
    if let (Some(zone), Region::Named(region)) = (&zone, region)
        && zone.strip_prefix(region.as_str()).is_none_or(str::is_empty)
    {
        let message = format!("the zone `{}` is not in the region `{}`", zone.value, region.value);
        let hint = format!("a zone of it starts with `{}`; `aliform check` lists them", region.value);
        value.reader.complain_at("bad-zone", message, &zone.location, hint);
    }
    Some(NewVSwitch { zone, cidr: fields.get("cidr").and_then(Value::parsed)? })
}

/// What exists lies in a network that exists.
fn check_existing(fields: &Fields<'_>, network: &Network) {
    if !matches!(network.vpc, VpcChoice::New { .. }) {
        return;
    }
    for (key, what) in [("vswitch", "a vSwitch"), ("security_group", "a security group")] {
        if let Some(value) = fields.get(key) {
            let hint = "name the VPC that it lies in, `vpc: { id: vpc-... }`, or leave it out".to_owned();
            value.complain("conflict", format!("{what} that exists can't be in a VPC that is new"), Some(hint));
        }
    }
}

/// New vSwitches have a network to be in, fit into it, and don't overlap.
fn check_blocks(fields: &Fields<'_>, network: &Network) {
    let Some(value) = fields.get("vswitches") else { return };
    let reader = value.reader;
    if fields.get("vpc").is_none() {
        let hint = "add `vpc: { cidr: 192.168.0.0/16 }`, or `vpc: { id: vpc-... }`".to_owned();
        reader.complain("missing-key", "`network.vswitches` needs the key `network.vpc`".to_owned(), value.owner, vec![hint]);
    }
    if let VpcChoice::New { cidr: whole } = &network.vpc {
        for part in network.vswitches.iter().map(|vswitch| &vswitch.cidr).filter(|part| !whole.contains(&part.value)) {
            let message = format!("`{}` is not inside the block `{}` of the VPC", part.value, whole.value);
            reader.complain_at("network-outside", message, &part.location, format!("take a part of `{}`", whole.value));
        }
    }
    let blocks: Vec<&Located<Ipv4Net>> = network.vswitches.iter().map(|vswitch| &vswitch.cidr).collect();
    check_overlaps(reader, &blocks, "give each vSwitch a block of its own");
}

/// Reads a list of networks that may not overlap.
pub(super) fn list(value: &Value<'_>) -> Vec<Located<Ipv4Net>> {
    let networks: Vec<Located<Ipv4Net>> = value.list().iter().filter_map(Value::parsed).collect();
    check_overlaps(value.reader, &networks.iter().collect::<Vec<_>>(), "keep the wider of the two");
    networks
}

/// Complains about each network that has addresses in common with one before it in the order of addresses.
fn check_overlaps(reader: &Reader<'_>, networks: &[&Located<Ipv4Net>], hint: &str) {
    let mut sorted = networks.to_vec();
    // The wider first: two blocks either are apart or one holds the other.
    sorted.sort_by_key(|network| (network.network(), network.prefix_len(), network.location.clone()));
    let mut widest: Option<&Located<Ipv4Net>> = None;
    for network in sorted {
        match widest {
            Some(other) if other.contains(&network.value) => {
                let message = match other.value == network.value {
                    true => format!("`{}` is there twice, first on line {}", network.value, other.location.line),
                    false => format!("`{}` overlaps with `{}` on line {}", network.value, other.value, other.location.line),
                };
                reader.complain_at("overlapping-networks", message, &network.location, hint);
            }
            _ => widest = Some(network),
        }
    }
}
