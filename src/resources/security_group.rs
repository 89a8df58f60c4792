//! A security group: which ports of its instances are open to whom. Its rules are a set; order means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, ReadContext, ResourceKind, needed};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::{JsonList, ask};
use crate::cloud::ecs::instance::EcsTags;
use crate::cloud::ecs::security_group::{
    AuthorizeSecurityGroup, CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroupAttribute, DescribeSecurityGroups,
    ModifySecurityGroupAttribute, NewPermission, Permission, RevokeSecurityGroup, SecurityGroup,
};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::value::Value;

/// The most identifiers of a DescribeSecurityGroups and the most rules of a change.
const AT_ONCE: usize = 100;
const LIMIT: Duration = Duration::from_secs(180);
const BUSY: &[&str] = &["OperationConflict", "IncorrectVpcStatus", "LastTokenProcessing", "IdempotentProcessing"];
const LINGERING: &[&str] = &["DependencyViolation", "OperationConflict", "LastTokenProcessing"];

/// One opening to the inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// `tcp`, `udp`, `icmp`.
    pub protocol: String,
    /// From and to, `8080/8080`; `-1/-1` where there are no ports.
    pub ports: String,
    /// The network that may come in, `0.0.0.0/0`.
    pub source: String,
    /// `accept` or `drop`.
    pub policy: String,
}

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecurityGroupSpec {
    /// Its name in the console.
    pub name: String,
    /// The network it belongs to.
    pub vpc_id: Value<String>,
    /// Every rule to the inside; what is not listed is closed.
    pub rules: BTreeSet<Rule>,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecurityGroupAttributes {
    /// `sg-...`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network.
    pub vpc_id: String,
    /// Its rules to the inside.
    pub rules: BTreeSet<Rule>,
}

/// The kind.
pub struct SecurityGroupKind;

/// The network that a rule lets in; a single address is a network of one.
fn source(permission: &Permission) -> String {
    let text = &permission.source_cidr_ip;
    if text.is_empty() || text.contains('/') { text.clone() } else { format!("{text}/32") }
}

fn rule(permission: &Permission) -> Rule {
    Rule {
        protocol: permission.ip_protocol.to_lowercase(),
        ports: permission.port_range.clone(),
        source: source(permission),
        policy: permission.policy.to_lowercase(),
    }
}

async fn permissions(context: &ReadContext<'_>, id: &str) -> Result<Vec<Permission>, ResourceError> {
    let mut query = DescribeSecurityGroupAttribute {
        region_id: context.region.to_owned(),
        security_group_id: id.to_owned(),
        direction: "ingress".to_owned(),
        next_token: None,
    };
    let mut all = Vec::new();
    loop {
        let answer = ask(context.cloud, context.region, &query).await?;
        all.extend(answer.permissions.permission);
        query.next_token = answer.next_token.filter(|token| !token.is_empty());
        if query.next_token.is_none() {
            return Ok(all);
        }
    }
}

fn attributes(group: SecurityGroup, permissions: &[Permission]) -> SecurityGroupAttributes {
    let rules = permissions.iter().map(rule).collect();
    SecurityGroupAttributes { id: group.security_group_id, name: group.security_group_name, vpc_id: group.vpc_id, rules }
}

/// First opens what is missing, then closes what is too much: a changed rule never shuts a port in between.
async fn change_rules(context: &Context<'_>, id: &str, wanted: &BTreeSet<Rule>, present: &[Permission]) -> Result<(), ResourceError> {
    let here: BTreeSet<Rule> = present.iter().map(rule).collect();
    let missing: Vec<&Rule> = wanted.difference(&here).collect();
    for chunk in missing.chunks(AT_ONCE) {
        let permissions = chunk.iter().map(|rule| NewPermission {
            ip_protocol: rule.protocol.to_uppercase(),
            port_range: rule.ports.clone(),
            source_cidr_ip: rule.source.clone(),
            policy: rule.policy.clone(),
            description: "made by aliform".to_owned(),
        });
        let call = AuthorizeSecurityGroup {
            region_id: context.region.to_owned(),
            security_group_id: id.to_owned(),
            permissions: permissions.collect(),
        };
        wait::while_refused(context, "open a port", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await?;
    }
    let surplus = present.iter().filter(|permission| !wanted.contains(&rule(permission)));
    let surplus: Vec<String> = surplus.map(|permission| permission.security_group_rule_id.clone()).collect();
    for chunk in surplus.chunks(AT_ONCE) {
        let call = RevokeSecurityGroup {
            region_id: context.region.to_owned(),
            security_group_id: id.to_owned(),
            security_group_rule_id: chunk.to_vec(),
        };
        match wait::while_refused(context, "close a port", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await {
            // A call repeated after a lost answer finds the rule gone; who reads again sees what is left.
            Err(ResourceError::Api(error)) if error.is(&["InvalidParam.SecurityGroupRuleId"]) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

async fn groups(context: &ReadContext<'_>, mut query: DescribeSecurityGroups) -> Result<Vec<SecurityGroup>, ResourceError> {
    query.region_id = context.region.to_owned();
    query.max_results = 100;
    let mut all = Vec::new();
    loop {
        let answer = ask(context.cloud, context.region, &query).await?;
        all.extend(answer.security_groups.security_group);
        query.next_token = answer.next_token.filter(|token| !token.is_empty());
        if query.next_token.is_none() {
            return Ok(all);
        }
    }
}

async fn by_ids(context: &ReadContext<'_>, ids: &[String]) -> Result<Vec<SecurityGroup>, ResourceError> {
    groups(context, DescribeSecurityGroups { security_group_ids: Some(JsonList(ids.to_vec())), ..Default::default() }).await
}

#[async_trait(?Send)]
impl ResourceKind for SecurityGroupKind {
    const KIND: Kind = Kind::SecurityGroup;
    type Spec = SecurityGroupSpec;
    type Attributes = SecurityGroupAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "vpc_id" { Effect::ForcesReplace } else { Effect::InPlace }
    }

    fn observed(_spec: SecurityGroupSpec, attributes: &SecurityGroupAttributes) -> SecurityGroupSpec {
        SecurityGroupSpec {
            name: attributes.name.clone(),
            vpc_id: Value::Known(attributes.vpc_id.clone()),
            rules: attributes.rules.clone(),
        }
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, SecurityGroupAttributes>, ResourceError> {
        let ids: Vec<String> = known.iter().map(|(_, id, _)| id.clone()).collect();
        let mut found = BTreeMap::new();
        for chunk in ids.chunks(AT_ONCE) {
            for group in by_ids(context, chunk).await? {
                let permissions = permissions(context, &group.security_group_id).await?;
                found.insert(group.security_group_id.clone(), attributes(group, &permissions));
            }
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &SecurityGroupSpec) -> Result<String, ResourceError> {
        let call = CreateSecurityGroup {
            region_id: context.region.to_owned(),
            vpc_id: needed(&spec.vpc_id)?.clone(),
            security_group_name: spec.name.clone(),
            client_token: context.token.to_owned(),
            tag: context.new_tags(),
        };
        let answer =
            wait::while_refused(context, "create the group", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await?;
        Ok(answer.security_group_id)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &SecurityGroupSpec) -> Result<SecurityGroupAttributes, ResourceError> {
        let reading = context.reading();
        let listed = async || by_ids(&reading, &[id.to_owned()]).await.map(|found| found.into_iter().next());
        wait::until(context, "the group", LIMIT, async || {
            let Some(group) = listed().await? else { return Ok(Look::Absent(id.to_owned())) };
            if group.security_group_name != spec.name {
                let call = ModifySecurityGroupAttribute {
                    region_id: context.region.to_owned(),
                    security_group_id: id.to_owned(),
                    security_group_name: spec.name.clone(),
                };
                ask(context.cloud, context.region, &call).await?;
                return Ok(Look::NotYet("renamed".to_owned()));
            }
            let present = permissions(&reading, id).await?;
            if present.iter().map(rule).collect::<BTreeSet<_>>() != spec.rules {
                change_rules(context, id, &spec.rules, &present).await?;
                // Read again: a list may lag behind, and what it says last is what the next plan compares with.
                return Ok(Look::NotYet("rules changed".to_owned()));
            }
            Ok(Look::Ready(attributes(group, &present)))
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &SecurityGroupSpec) -> Result<(), ResourceError> {
        let call = DeleteSecurityGroup { region_id: context.region.to_owned(), security_group_id: id.to_owned() };
        match wait::while_refused(context, "delete the group", LINGERING, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    async fn find(context: &Context<'_>, _spec: &SecurityGroupSpec) -> Result<Option<String>, ResourceError> {
        let found = groups(&context.reading(), DescribeSecurityGroups { tag: context.tags(), ..Default::default() }).await?;
        Ok(found.into_iter().next().map(|group| group.security_group_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<SecurityGroupSpec>>, ResourceError> {
        let found = groups(context, DescribeSecurityGroups::default()).await?.into_iter().map(|group| {
            let vpc_id = Value::Known(group.vpc_id);
            let spec = SecurityGroupSpec { name: group.security_group_name, vpc_id, rules: BTreeSet::new() };
            Tagged::new(&group.security_group_id, tags(EcsTags::pairs(group.tags)), &group.creation_time, spec)
        });
        Ok(found.filter(Tagged::is_ours).collect())
    }
}
