//! TagResources, UntagResources and ListTagResources of ECS and VPC: one logic, two spellings.

use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::instance::Instance;
use super::key_pair::{self, KeyPair};
use super::paging::Page;
use super::route;
use super::store::World;
use super::wire::fault::Fault;
use super::wire::params::Tags;

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// ECS.
    Ecs,
    /// VPC.
    Vpc,
}

/// A kind of resource that carries tags, as the answers spell it.
fn kind_of(call: &Call, side: Side) -> Result<&'static str, Fault> {
    let known: &[&'static str] = match side {
        Side::Ecs => &["instance", "securitygroup", "command", "invocation", "disk", "eni", "keypair"],
        Side::Vpc => &["VPC", "VSWITCH", "EIP", "NATGATEWAY", "ROUTETABLE"],
    };
    let asked = call.params.required("ResourceType")?;
    known
        .iter()
        .copied()
        .find(|kind| kind.eq_ignore_ascii_case(asked))
        .ok_or_else(|| Fault::bad("InvalidResourceType.NotFound", "The specified ResourceType is not supported."))
}

/// The instance whose network interface it is.
fn owner_of<'a>(world: &'a World, interface: &str) -> Option<&'a Instance> {
    world.instances.values().find(|row| row.interface.id == interface && !row.is_released())
}

/// A key pair by its id; calls that tag one name it so, or by its name.
fn key_of<'a>(world: &'a World, id: &str) -> Option<&'a KeyPair> {
    world.key_pairs.values().find(|row| row.id == id || row.name == id)
}

/// The region and tags of a resource.
fn tags_of<'a>(world: &'a World, kind: &str, id: &str) -> Option<(&'a str, &'a Tags)> {
    Some(match kind {
        "instance" => world.instances.get(id).filter(|row| !row.is_released()).map(|row| (row.region.as_str(), &row.tags))?,
        "securitygroup" => world.groups.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "invocation" => world.invocations.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "command" => world.commands.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "disk" => world.disks.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "eni" => owner_of(world, id).map(|row| (row.region.as_str(), &row.interface.tags))?,
        "keypair" => key_of(world, id).map(|row| (row.region.as_str(), &row.tags))?,
        "VPC" => world.vpcs.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "VSWITCH" => world.vswitches.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "EIP" => world.eips.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "NATGATEWAY" => world.nat_gateways.get(id).map(|row| (row.region.as_str(), &row.tags))?,
        "ROUTETABLE" => route::find(world, id).map(|row| (row.region.as_str(), &row.route_table_tags))?,
        _ => return None,
    })
}

fn tags_mut<'a>(world: &'a mut World, kind: &str, id: &str) -> Option<&'a mut Tags> {
    Some(match kind {
        "instance" => &mut world.instances.get_mut(id)?.tags,
        "securitygroup" => &mut world.groups.get_mut(id)?.tags,
        "invocation" => &mut world.invocations.get_mut(id)?.tags,
        "command" => &mut world.commands.get_mut(id)?.tags,
        "disk" => &mut world.disks.get_mut(id)?.tags,
        "eni" => {
            let owner = owner_of(world, id)?.id.clone();
            &mut world.instances.get_mut(&owner)?.interface.tags
        }
        "keypair" => {
            let key = key_of(world, id)?;
            let place = key_pair::place(&key.region, &key.name);
            &mut world.key_pairs.get_mut(&place)?.tags
        }
        "VPC" => &mut world.vpcs.get_mut(id)?.tags,
        "VSWITCH" => &mut world.vswitches.get_mut(id)?.tags,
        "EIP" => &mut world.eips.get_mut(id)?.tags,
        "NATGATEWAY" => &mut world.nat_gateways.get_mut(id)?.tags,
        "ROUTETABLE" => {
            let vpc = route::find(world, id)?.id.clone();
            &mut world.vpcs.get_mut(&vpc)?.route_table_tags
        }
        _ => return None,
    })
}

fn ids_of(world: &World, kind: &str) -> Vec<String> {
    fn keys<T>(table: &super::store::table::Table<T>) -> Vec<String> {
        table.iter().map(|(key, _)| key.to_owned()).collect()
    }
    match kind {
        "instance" => keys(&world.instances),
        "securitygroup" => keys(&world.groups),
        "invocation" => keys(&world.invocations),
        "command" => keys(&world.commands),
        "disk" => keys(&world.disks),
        "eni" => world.instances.values().map(|row| row.interface.id.clone()).collect(),
        "keypair" => world.key_pairs.values().map(|row| row.id.clone()).collect(),
        "VPC" => keys(&world.vpcs),
        "VSWITCH" => keys(&world.vswitches),
        "EIP" => keys(&world.eips),
        "NATGATEWAY" => keys(&world.nat_gateways),
        "ROUTETABLE" => world.vpcs.values().map(|row| row.route_table.clone()).collect(),
        _ => Vec::new(),
    }
}

/// The resources that a call names, all of which must be there.
fn named(call: &Call, kind: &str) -> Result<Vec<String>, Fault> {
    let region = call.region()?;
    let ids = call.params.list("ResourceId", 50)?;
    if ids.is_empty() {
        return Err(Fault::mandatory("ResourceId"));
    }
    for id in &ids {
        if tags_of(call.world, kind, id).is_none_or(|(home, _)| home != region.id) {
            return Err(Fault::missing("InvalidResourceId.NotFound", "The specified ResourceIds are not found in our records."));
        }
    }
    Ok(ids)
}

/// TagResources.
pub(crate) fn tag(call: &mut Call, side: Side) -> Outcome {
    let kind = kind_of(call, side)?;
    let ids = named(call, kind)?;
    let tags = call.params.tags()?;
    if tags.is_empty() {
        return Err(Fault::mandatory("Tag"));
    }
    let full = |id: &String| {
        let own = tags_of(call.world, kind, id).map_or(0, |(_, own)| own.keys().filter(|key| !tags.contains_key(*key)).count());
        own + tags.len() > 20
    };
    if ids.iter().any(full) {
        return Err(Fault::forbidden("QuotaExceed.Tags", "The number of tags of a resource exceeds the limit of 20."));
    }
    for id in &ids {
        if let Some(own) = tags_mut(call.world, kind, id) {
            own.extend(tags.clone());
        }
    }
    Ok(json!({}))
}

/// UntagResources, which VPC spells UnTagResources.
pub(crate) fn untag(call: &mut Call, side: Side) -> Outcome {
    let kind = kind_of(call, side)?;
    let ids = named(call, kind)?;
    let keys = call.params.list("TagKey", 20)?;
    let all = call.params.boolean("All")? && keys.is_empty();
    if keys.is_empty() && !all {
        return Err(Fault::mandatory("TagKey"));
    }
    for id in &ids {
        if let Some(own) = tags_mut(call.world, kind, id) {
            own.retain(|key, _| !all && !keys.contains(key));
        }
    }
    Ok(json!({}))
}

/// ListTagResources.
pub(crate) fn list(call: &mut Call, side: Side) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let kind = kind_of(call, side)?;
    let page = Page::by_token(params, 50, 1, 50)?;
    let mut ids = params.list("ResourceId", 50)?;
    let filter = params.tag_filter();
    if ids.is_empty() && filter.is_empty() && side == Side::Vpc {
        return Err(Fault::bad("MissingParameter.TagOrResourceId", "ResourceId or Tag must be specified."));
    }
    if ids.is_empty() {
        ids = ids_of(call.world, kind);
    }
    ids.sort_unstable();
    ids.dedup();
    let mut rows: Vec<(String, Json)> = Vec::new();
    for id in &ids {
        let Some((home, tags)) = tags_of(call.world, kind, id) else { continue };
        if home == region.id && filter.fits(tags) {
            rows.extend(tags.iter().map(|(key, value)| {
                let row = json!({ "ResourceId": id, "ResourceType": kind, "TagKey": key, "TagValue": value });
                (format!("{id} {key}"), row)
            }));
        }
    }
    let cut = page.cut(rows.iter().map(|(key, row)| (key.as_str(), row)));
    Ok(json!({ "NextToken": cut.next_token, "TagResources": { "TagResource": cut.rows } }))
}
