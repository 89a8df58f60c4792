//! SNAT entries: which sources of a VPC go out by which addresses of a NAT gateway.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{NatGateway, addresses, check_available, entries, text};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::paging::Page;
use crate::local_cloud::store::{Due, World};
use crate::local_cloud::time::after;
use crate::local_cloud::vswitch;
use crate::local_cloud::wire::fault::Fault;

/// How many addresses an entry takes.
const POOL: usize = 64;

/// A SNAT entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnatEntry {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) gateway: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// The vSwitch whose machines it serves; empty if a network was named.
    pub(crate) vswitch: String,
    /// The network that it serves.
    pub(crate) source: Ipv4Net,
    /// What it sends from.
    pub(crate) ips: Vec<Ipv4Addr>,
    pub(crate) affinity: bool,
    /// Until then it is `Pending`.
    pub(crate) ready_at: Timestamp,
    /// When it is gone; set once it is deleted.
    pub(crate) gone_at: Option<Timestamp>,
}

impl SnatEntry {
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        match self.gone_at {
            Some(_) => "Deleting",
            None if now < self.ready_at => "Pending",
            None => "Available",
        }
    }
}

/// The gateway of a SNAT table.
fn gateway_of<'a>(call: &'a Call, table: &str) -> Result<&'a NatGateway, Fault> {
    let region = call.region()?;
    let found = call.world.nat_gateways.values().find(|gateway| gateway.snat_table == table && gateway.region == region.id);
    found.ok_or_else(|| Fault::missing("InvalidSnatTableId.NotFound", "The specified SNAT table does not exist."))
}

/// The vSwitch, if one is named, and the network that an entry serves.
fn source(call: &Call, gateway: &NatGateway) -> Result<(String, Ipv4Net), Fault> {
    let invalid = |message: &str| Fault::bad("INVALID_PARAMETER", message);
    match (call.params.text("SourceVSwitchId"), call.params.text("SourceCIDR")) {
        (Some(_), Some(_)) => Err(invalid("SourceVSwitchId and SourceCIDR can't be given together.")),
        (None, None) => Err(invalid("SourceVSwitchId or SourceCIDR must be given.")),
        (Some(id), None) => {
            let vswitch = vswitch::find(call, id)?;
            if vswitch.vpc != gateway.vpc {
                return Err(Fault::missing("InvalidVSwitchId.NotFound", "The specified vSwitch is not in the VPC of the NAT gateway."));
            }
            Ok((id.to_owned(), vswitch.cidr))
        }
        (None, Some(text)) => {
            let net: Ipv4Net = text.parse().map_err(|_| invalid("The specified SourceCIDR is not a network."))?;
            if net.addr() != net.network() {
                return Err(invalid("The specified SourceCIDR is not a network."));
            }
            Ok((String::new(), net))
        }
    }
}

/// The addresses that an entry sends from: elastic ones that are bound to the gateway, or an intranet gateway's own.
fn pool(call: &Call, gateway: &NatGateway) -> Result<Vec<Ipv4Addr>, Fault> {
    let named = call.params.commas("SnatIp", usize::MAX)?.ok_or_else(|| Fault::mandatory("SnatIp"))?;
    if named.len() > POOL {
        return Err(Fault::bad("SNAT_IP_POOL_COUNT_TOO_MANY", "The entry has too many addresses."));
    }
    let mut ips: Vec<Ipv4Addr> = Vec::new();
    for text in &named {
        let ip = text.parse().map_err(|_| Fault::bad("InvalidSnatIp.Malformed", "The specified SnatIp is not a valid IP address."))?;
        let mut bound = addresses(call.world, &gateway.id, call.now).filter(|eip| eip.address == ip);
        if gateway.network == "intranet" {
            if ip != gateway.private_ip {
                return Err(Fault::missing("InvalidSnatIp.NotFound", "The specified SnatIp is not on the NAT gateway."));
            }
        } else {
            let eip =
                bound.next().ok_or_else(|| Fault::bad("EIP_NOT_IN_GATEWAY", "The specified address is not bound to the NAT gateway."))?;
            if eip.status(call.now) != "InUse" {
                return Err(Fault::bad("OperationUnsupported.EipInBinding", "The specified address is still being bound or unbound."));
            }
        }
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Ok(ips)
}

/// CreateSnatEntry.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let table = call.params.required("SnatTableId")?;
    let gateway = gateway_of(call, table)?.clone();
    call.lacks(&["NetworkInterfaceId"])?;
    let name = text(call, "SnatEntryName", 128, "InvalidParameter.Name.Malformed")?;
    let affinity = call.params.choice("EipAffinity", &["0", "1"], "0")? == "1";
    check_available(&gateway, call.now)?;
    let (vswitch, source) = source(call, &gateway)?;
    let ips = pool(call, &gateway)?;
    if let Some(other) = entries(call.world, &gateway.id).find(|entry| entry.source == source) {
        let what = if other.vswitch.is_empty() { "SourceCIDR" } else { "SourceVSwitchId" };
        return Err(Fault::bad(format!("Forbidden.{what}.Duplicated"), "The specified source has an entry already."));
    }
    if entries(call.world, &gateway.id).count() >= call.config.quotas.snat_entries {
        return Err(Fault::bad("Forbidden.SnatEntryCountLimited", "The SNAT table takes no more entries."));
    }
    call.end_dry_run()?;
    let id = call.new_id("snat", &gateway.region, 21);
    let entry = SnatEntry {
        id: id.clone(),
        region: gateway.region,
        gateway: gateway.id,
        table: gateway.snat_table,
        name,
        vswitch,
        source,
        ips,
        affinity,
        ready_at: after(call.now, call.config.latency.of(|latency| latency.snat_entry)),
        gone_at: None,
    };
    call.world.snat_entries.insert(id.clone(), entry);
    Ok(json!({ "SnatEntryId": id }))
}

/// DescribeSnatTableEntries.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    if params.text("SnatTableId").is_none() && params.text("NatGatewayId").is_none() {
        return Err(Fault::bad("MissingParameter", "SnatTableId or NatGatewayId must be given."));
    }
    // No entry goes out by a network interface of its own.
    let by_interface = !params.list("NetworkInterfaceIds", 50)?.is_empty();
    let ip: Option<Ipv4Addr> = params.number("SnatIp")?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let named = params.text("SnatEntryId").map(|id| [id.to_owned()]);
    let rows = call.world.snat_entries.among(named.as_ref().map(<[String; 1]>::as_slice)).filter(|(_, entry)| {
        entry.region == region.id
            && !by_interface
            && fits("SnatTableId", &entry.table)
            && fits("NatGatewayId", &entry.gateway)
            && fits("SnatEntryName", &entry.name)
            && fits("SourceVSwitchId", &entry.vswitch)
            && fits("SourceCIDR", &entry.source.to_string())
            && ip.is_none_or(|ip| entry.ips.contains(&ip))
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|entry| row(entry, call.now)).collect();
    let mut answer = json!({ "SnatTableEntries": { "SnatTableEntry": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn row(entry: &SnatEntry, now: Timestamp) -> Json {
    json!({
        "SnatEntryId": entry.id,
        "SnatEntryName": entry.name,
        "SnatTableId": entry.table,
        "NatGatewayId": entry.gateway,
        "SourceVSwitchId": entry.vswitch,
        "SourceCIDR": entry.source.to_string(),
        "SnatIp": entry.ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "EipAffinity": if entry.affinity { "1" } else { "0" },
        "NetworkInterfaceId": "",
        "Status": entry.status(now),
    })
}

/// DeleteSnatEntry.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let table = call.params.required("SnatTableId")?;
    let gateway = gateway_of(call, table)?;
    let id = call.params.required("SnatEntryId")?.to_owned();
    let found = call.world.snat_entries.get(&id).filter(|entry| entry.table == table);
    let entry = found.ok_or_else(|| Fault::missing("InvalidSnatEntryId.NotFound", "The specified SNAT entry does not exist."))?;
    check_available(gateway, call.now)?;
    if entry.status(call.now) != "Available" {
        return Err(Fault::bad("IncorretSnatEntryStatus", "The status of the SNAT entry does not support this operation."));
    }
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.snat_entry));
    end(call.world, &id, gone_at);
    Ok(json!({}))
}

/// Lets an entry be gone at `gone_at`.
pub(super) fn end(world: &mut World, id: &str, gone_at: Timestamp) {
    if let Some(entry) = world.snat_entries.get_mut(id)
        && entry.gone_at.is_none()
    {
        entry.gone_at = Some(gone_at);
        world.index.due.insert((gone_at, Due::SnatEntry(id.to_owned())));
    }
}

/// Whether an entry that stays sends from an address.
pub(crate) fn uses(world: &World, ip: Ipv4Addr) -> bool {
    world.snat_entries.values().any(|entry| entry.ips.contains(&ip))
}

/// Takes an address out of all entries; those that have no other are gone at `gone_at`.
pub(crate) fn forget(world: &mut World, ip: Ipv4Addr, gone_at: Timestamp) {
    let using: Vec<String> = world.snat_entries.values().filter(|entry| entry.ips.contains(&ip)).map(|entry| entry.id.clone()).collect();
    for id in using {
        let only = world.snat_entries.get(&id).is_some_and(|entry| entry.ips.len() == 1);
        if only {
            end(world, &id, gone_at);
        } else if let Some(entry) = world.snat_entries.get_mut(&id) {
            entry.ips.retain(|own| *own != ip);
        }
    }
}
