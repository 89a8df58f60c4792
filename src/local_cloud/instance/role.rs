//! RAM roles of instances. The name is kept; whether there is such a role is for RAM to say, which is not here.

use serde_json::{Value as Json, json};

use super::{find, login};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::paging::Page;
use crate::local_cloud::wire::fault::Fault;

/// AttachInstanceRamRole: an instance that has a role keeps it.
pub(crate) fn attach(call: &mut Call) -> Outcome {
    call.region()?;
    let role = call.params.required("RamRoleName")?.to_owned();
    login::role(&role)?;
    if call.params.text("Policy").is_some() {
        return Err(Fault::bad("InvalidParameter.NotSupported", "The local cloud does not have policies that narrow a role."));
    }
    let ids = call.params.json_list("InstanceIds", 100)?.filter(|ids| !ids.is_empty()).ok_or_else(|| Fault::mandatory("InstanceIds"))?;
    let mut results: Vec<Json> = Vec::new();
    let mut failed = 0;
    for id in &ids {
        let held = find(call, id).map(|instance| !instance.role.is_empty());
        let fault = match held {
            Err(fault) => Some(fault),
            Ok(true) => Some(Fault::forbidden("InvalidInstance.RamRoleAlreadyAttached", "The instance has a RAM role already.")),
            Ok(false) => None,
        };
        if fault.is_none()
            && let Some(instance) = call.world.instances.get_mut(id)
        {
            instance.role.clone_from(&role);
        }
        failed += usize::from(fault.is_some());
        let (code, message) = fault.as_ref().map_or(("200", "success"), |fault| (fault.code.as_str(), fault.message.as_str()));
        results.push(json!({ "InstanceId": id, "Success": fault.is_none(), "Code": code, "Message": message }));
    }
    Ok(json!({
        "RamRoleName": role,
        "TotalCount": ids.len(),
        "FailCount": failed,
        "AttachInstanceRamRoleResults": { "AttachInstanceRamRoleResult": results },
    }))
}

/// DescribeInstanceRamRole.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let ids = params.json_list("InstanceIds", 100)?;
    let role = params.text("RamRoleName");
    if ids.is_none() && role.is_none() {
        return Err(Fault::bad("MissingParameter.InstanceIds", "InstanceIds or RamRoleName must be specified."));
    }
    let rows = call.world.instances.among(ids.as_deref()).filter(|(_, instance)| {
        instance.region == region.id
            && !instance.is_released()
            && role.is_none_or(|role| role == instance.role)
            && (role.is_none() || !instance.role.is_empty())
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|instance| json!({ "InstanceId": instance.id, "RamRoleName": instance.role })).collect();
    Ok(json!({ "RegionId": region.id, "TotalCount": cut.total, "InstanceRamRoleSets": { "InstanceRamRoleSet": shown } }))
}
