//! Security groups: their life, and who belongs to them or refers to them.

pub(crate) mod members;
pub(crate) mod openings;
pub(crate) mod rules;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, ecs_tags};
use super::paging::Page;
use super::store::World;
use super::time::seconds;
use super::vpc;
use super::wire::fault::Fault;
use super::wire::params::Tags;
use rules::Rule;

/// How many instances a normal group takes.
const CAPACITY: usize = 2000;

/// A security group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) vpc: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `normal` or `enterprise`.
    pub(crate) kind: String,
    /// Whether its members are kept from each other.
    #[serde(default)]
    pub(crate) isolated: bool,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) rules: Vec<Rule>,
}

/// A security group that a call names, visible in the call's region.
pub(crate) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Group, Fault> {
    match call.world.groups.get(id) {
        Some(group) if call.sees(&group.region)? => Ok(group),
        _ => Err(Fault::missing("InvalidSecurityGroupId.NotFound", "The specified SecurityGroupId does not exist.")),
    }
}

/// How many more instances a group takes.
pub(crate) fn room(world: &World, id: &str) -> usize {
    CAPACITY.saturating_sub(world.index.members.get(id).map_or(0, |members| members.len()))
}

fn group_name(call: &Call) -> Result<String, Fault> {
    let name = call.params.owned("SecurityGroupName");
    let length = name.chars().count();
    let fits = (2..=128).contains(&length) && name.starts_with(char::is_alphabetic) && !name.starts_with("http");
    if !name.is_empty() && !fits {
        return Err(Fault::bad("InvalidSecurityGroupName.Malformed", "The specified parameter SecurityGroupName is not valid."));
    }
    Ok(name)
}

/// CreateSecurityGroup.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let vpc = vpc::find(call, params.required("VpcId")?)?;
    if vpc.status(call.now) != "Available" {
        return Err(Fault::forbidden("IncorrectVpcStatus", "The current status of the VPC does not support this operation."));
    }
    let vpc_id = vpc.id.clone();
    let kind = params.choice("SecurityGroupType", &["normal", "enterprise"], "normal")?;
    let (name, description, tags) = (group_name(call)?, call.description()?, params.tags()?);
    if call.world.groups.values().filter(|group| group.region == region.id).count() >= call.config.quotas.security_groups {
        return Err(Fault::forbidden("QuotaExceed.SecurityGroup", "The number of security groups exceeds the limit."));
    }
    call.end_dry_run()?;
    let id = call.new_id("sg", region.id, 20);
    let group = Group {
        id: id.clone(),
        region: region.id.to_owned(),
        vpc: vpc_id,
        name,
        description,
        kind: kind.to_owned(),
        isolated: kind == "enterprise",
        resource_group: vpc::resource_group(call),
        created: call.now,
        tags,
        rules: Vec::new(),
    };
    call.world.groups.insert(id.clone(), group);
    Ok(json!({ "SecurityGroupId": id }))
}

/// DescribeSecurityGroups.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 100, 50)?;
    let filter = params.tag_filter();
    let mut ids = params.json_list("SecurityGroupIds", 100)?;
    if let Some(id) = params.text("SecurityGroupId") {
        ids.get_or_insert_default().push(id.to_owned());
    }
    let classic = params.text("NetworkType").is_some_and(|network| network == "classic");
    let managed = params.boolean("ServiceManaged")?;
    call.end_dry_run()?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.groups.among(ids.as_deref()).filter(|(_, group)| {
        group.region == region.id
            && !classic
            && !managed
            && fits("VpcId", &group.vpc)
            && fits("SecurityGroupName", &group.name)
            && fits("SecurityGroupType", &group.kind)
            && fits("ResourceGroupId", &group.resource_group)
            && filter.fits(&group.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|group| row(call.world, group)).collect();
    let mut answer = json!({ "RegionId": region.id, "SecurityGroups": { "SecurityGroup": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn row(world: &World, group: &Group) -> Json {
    let members = world.index.members.get(&group.id).map_or(0, |members| members.len());
    let to_groups = group.rules.iter().filter(|rule| rule.peer_group().is_some()).count();
    json!({
        "SecurityGroupId": group.id,
        "SecurityGroupName": group.name,
        "Description": group.description,
        "SecurityGroupType": group.kind,
        "VpcId": group.vpc,
        "CreationTime": seconds(group.created),
        "ResourceGroupId": group.resource_group,
        "EcsCount": members,
        "AvailableInstanceAmount": CAPACITY.saturating_sub(members),
        "RuleCount": group.rules.len(),
        "GroupToGroupRuleCount": to_groups,
        "ServiceManaged": false,
        "Tags": ecs_tags(&group.tags),
    })
}

/// ModifySecurityGroupAttribute.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let id = call.params.required("SecurityGroupId")?.to_owned();
    find(call, &id)?;
    let name = call.params.given("SecurityGroupName").map(|_| group_name(call)).transpose()?;
    let description = call.params.given("Description").map(|_| call.description()).transpose()?;
    if let Some(group) = call.world.groups.get_mut(&id) {
        group.name = name.unwrap_or_else(|| std::mem::take(&mut group.name));
        group.description = description.unwrap_or_else(|| std::mem::take(&mut group.description));
    }
    Ok(json!({}))
}

/// DeleteSecurityGroup.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let id = call.params.required("SecurityGroupId")?.to_owned();
    let vpc = find(call, &id)?.vpc.clone();
    let used = call.world.index.members.get(&id).is_some_and(|members| !members.is_empty());
    if used || call.world.index.haunted(&id, "Instance", call.now) {
        let message = "There is still instance(s) in the specified security group.";
        return Err(Fault::forbidden("DependencyViolation", message));
    }
    let refers = |group: &Group| group.id != id && group.rules.iter().any(|rule| rule.peer_group() == Some(id.as_str()));
    if call.world.groups.values().any(refers) {
        let message = "The specified security group is referenced by rules of another security group.";
        return Err(Fault::forbidden("DependencyViolation", message));
    }
    call.world.groups.remove(&id);
    call.world.index.members.remove(&id);
    let until = super::time::after(call.now, call.config.latency.of(|latency| latency.delete_consistency));
    call.world.index.linger(&vpc, "SecurityGroup", until);
    Ok(json!({}))
}

/// DescribeSecurityGroupAttribute.
pub(crate) fn describe_attribute(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let group = find(call, params.required("SecurityGroupId")?)?;
    let direction = params.choice("Direction", &["all", "ingress", "egress"], "all")?;
    let page = Page::by_token(params, 500, 10, 1000)?;
    let mut rules: Vec<&Rule> = group.rules.iter().filter(|rule| direction == "all" || rule.direction.name() == direction).collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    let cut = page.cut(rules.into_iter().map(|rule| (rule.id.as_str(), rule)));
    let shown: Vec<Json> = cut.rows.iter().map(|rule| rule.row(call.world)).collect();
    Ok(json!({
        "SecurityGroupId": group.id,
        "SecurityGroupName": group.name,
        "Description": group.description,
        "VpcId": group.vpc,
        "RegionId": region.id,
        "InnerAccessPolicy": if group.isolated { "Drop" } else { "Accept" },
        "NextToken": cut.next_token,
        "Permissions": { "Permission": shown },
        "SnapshotPolicyIds": { "SnapshotPolicyId": [] },
    }))
}

/// Tells all who are opened or closed by a change of a group's rules or members.
pub(crate) fn signal_members(world: &World, id: &str) {
    for member in world.index.members.get(id).into_iter().flatten() {
        world.index.signal(member);
    }
}

/// The same for members of groups whose rules name this one.
pub(crate) fn signal_referrers(world: &World, id: &str) {
    let names = |group: &&Group| group.rules.iter().any(|rule| rule.peer_group() == Some(id));
    for group in world.groups.values().filter(names) {
        signal_members(world, &group.id);
    }
}
