//! JoinSecurityGroup, LeaveSecurityGroup and ModifySecurityGroupPolicy: who is in a group, and whether its members
//! reach each other.

use serde_json::json;

use super::{find, room, signal_members};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::instance::{self, Instance, Status, join as enter, leave as exit, wrong_status};
use crate::local_cloud::wire::fault::Fault;

/// How many groups an instance may be in.
const MOST: usize = 5;

/// The instance that a call names, by its own id or by that of its network interface.
fn named<'a>(call: &'a Call) -> Result<&'a Instance, Fault> {
    let (id, interface) = (call.params.text("InstanceId"), call.params.text("NetworkInterfaceId"));
    let instance = match (id, interface) {
        (Some(_), Some(_)) => {
            return Err(Fault::bad("InvalidParameter.Conflict", "InstanceId and NetworkInterfaceId can't be used together."));
        }
        (None, None) => return Err(Fault::mandatory("InstanceId")),
        (Some(id), None) => instance::find(call, id)?,
        (None, Some(interface)) => {
            let owner = call.world.instances.values().find(|row| row.interface.id == interface && !row.is_released());
            owner.ok_or_else(|| Fault::missing("InvalidEniId.NotFound", "The specified network interface does not exist."))?
        }
    };
    if matches!(instance.state(call.now), Status::Running | Status::Stopped) { Ok(instance) } else { Err(wrong_status()) }
}

/// JoinSecurityGroup.
pub(crate) fn join(call: &mut Call) -> Outcome {
    let id = call.params.required("SecurityGroupId")?.to_owned();
    let group = find(call, &id)?;
    let instance = named(call)?;
    if group.vpc != instance.vpc {
        let message = "The specified security group and the instance are not in the same VPC.";
        return Err(Fault::forbidden("InvalidInstanceId.NotMatchSecurityGroup", message));
    }
    if instance.groups.contains(&id) {
        let message = "The specified instance already exists in the specified security group.";
        return Err(Fault::forbidden("InvalidInstanceId.AlreadyExists", message));
    }
    if instance.groups.len() >= MOST {
        return Err(Fault::forbidden("InstanceSecurityGroupLimitExceed", "An instance can be in five security groups at most."));
    }
    if room(call.world, &id) == 0 {
        return Err(Fault::forbidden("SecurityGroupInstanceLimitExceed", "The security group takes no more instances."));
    }
    let member = instance.id.clone();
    if let Some(row) = call.world.instances.get_mut(&member) {
        row.groups.push(id.clone());
        row.groups.sort_unstable();
    }
    enter(call.world, &member, &[id]);
    call.world.index.signal(&member);
    Ok(json!({}))
}

/// LeaveSecurityGroup: never the last one.
pub(crate) fn leave(call: &mut Call) -> Outcome {
    let id = call.params.required("SecurityGroupId")?.to_owned();
    find(call, &id)?;
    let instance = named(call)?;
    if !instance.groups.contains(&id) {
        let message = "The specified instance is not in the specified security group.";
        return Err(Fault::forbidden("InstanceNotInSecurityGroup", message));
    }
    if instance.groups.len() == 1 {
        let message = "The specified security group is the last security group for the instance.";
        return Err(Fault::forbidden("InstanceLastSecurityGroup", message));
    }
    let member = instance.id.clone();
    if let Some(row) = call.world.instances.get_mut(&member) {
        row.groups.retain(|group| *group != id);
    }
    exit(call.world, &member, &[id]);
    call.world.index.signal(&member);
    Ok(json!({}))
}

/// ModifySecurityGroupPolicy: whether members of a normal group reach each other unasked.
pub(crate) fn modify_policy(call: &mut Call) -> Outcome {
    call.region()?;
    let id = call.params.required("SecurityGroupId")?.to_owned();
    let policy = call.params.required("InnerAccessPolicy")?;
    let accept = policy.eq_ignore_ascii_case("accept");
    if !accept && !policy.eq_ignore_ascii_case("drop") {
        return Err(Fault::bad("InvalidPolicy.Malformed", "The specified parameter InnerAccessPolicy is not valid."));
    }
    if find(call, &id)?.kind == "enterprise" {
        let message = "The policy inside an enterprise security group can't be changed.";
        return Err(Fault::forbidden("InvalidOperation.EnterpriseGroup", message));
    }
    if let Some(group) = call.world.groups.get_mut(&id) {
        group.isolated = !accept;
        signal_members(call.world, &id);
    }
    Ok(json!({}))
}
