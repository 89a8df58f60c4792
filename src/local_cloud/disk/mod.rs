//! Disks: what one is, and DescribeDisks. A disk is a row of its own; what is attached to an instance is found by the
//! instance's id. Changes to disks are in `change`.

pub(crate) mod change;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::call::{Call, Outcome, ecs_tags};
use super::image::like;
use super::paging::Page;
use super::price::Disk;
use super::store::World;
use super::time::{CreationFilter, seconds};
use super::wire::fault::Fault;
use super::wire::params::Tags;

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) spec: Disk,
    /// Whether an instance boots from it.
    pub(crate) system: bool,
    /// The instance that it is attached to.
    pub(crate) instance: Option<String>,
    /// `/dev/xvda` and so on.
    pub(crate) device: String,
    pub(crate) delete_with_instance: bool,
    /// The image of a system disk.
    pub(crate) image: String,
    pub(crate) encrypted: bool,
    pub(crate) kms_key: String,
    /// Whether it was paid for with a subscription.
    pub(crate) prepaid: bool,
    pub(crate) created: Timestamp,
    pub(crate) attached: Option<Timestamp>,
    pub(crate) detached: Option<Timestamp>,
    pub(crate) resource_group: String,
    pub(crate) tags: Tags,
}

impl Volume {
    fn status(&self) -> &'static str {
        if self.instance.is_some() { "In_use" } else { "Available" }
    }

    fn charge(&self) -> &'static str {
        if self.prepaid { "PrePaid" } else { "PostPaid" }
    }

    fn kind(&self) -> &'static str {
        if self.system { "system" } else { "data" }
    }
}

/// The disks of an instance, the system disk first.
pub(crate) fn of_instance<'a>(world: &'a World, instance: &str) -> Vec<&'a Volume> {
    let mut found: Vec<&Volume> = world.disks.values().filter(|disk| disk.instance.as_deref() == Some(instance)).collect();
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

pub(crate) fn not_found() -> Fault {
    Fault::missing("InvalidDiskId.NotFound", "The specified disk does not exist.")
}

/// A disk that a call names, visible in the call's region.
pub(crate) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Volume, Fault> {
    match call.world.disks.get(id) {
        Some(disk) if call.sees(&disk.region)? => Ok(disk),
        _ => Err(not_found()),
    }
}

/// DescribeDisks. Ids that are not there are left out.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 500, 100)?;
    let ids = params.json_list("DiskIds", 100)?;
    let filter = params.tag_filter();
    let created = CreationFilter::read(params)?;
    let kind = params.choice("DiskType", &["all", "system", "data"], "all")?;
    let states = ["In_use", "Available", "Attaching", "Detaching", "Creating", "ReIniting", "All"];
    let status = params.choice("Status", &states, "All")?;
    let with_instance = params.flag("DeleteWithInstance")?;
    let encrypted = params.flag("Encrypted")?;
    let portable = params.flag("Portable")?;
    // No disk has snapshots, a policy for them, a lock, or several instances.
    let none = ["SnapshotId", "AutoSnapshotPolicyId", "LockReason"].iter().any(|name| params.text(name).is_some())
        || params.boolean("EnableShared")?
        || params.flag("EnableAutomatedSnapshotPolicy")? == Some(true)
        || params.text("MultiAttach").is_some_and(|state| state != "Disabled");
    let performance = params.list("AdditionalAttributes", 10)?.iter().any(|name| name == "IOPS");
    call.end_dry_run()?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.disks.among(ids.as_deref()).filter(|(_, disk)| {
        !none
            && disk.region == region.id
            && (kind == "all" || kind == disk.kind())
            && (status == "All" || status == disk.status())
            && with_instance.is_none_or(|wanted| wanted == disk.delete_with_instance)
            && encrypted.is_none_or(|wanted| wanted == disk.encrypted)
            && portable.is_none_or(|wanted| wanted != disk.system)
            && params.text("DiskName").is_none_or(|name| like(name, &disk.name))
            && params.text("InstanceId").is_none_or(|wanted| disk.instance.as_deref() == Some(wanted))
            && fits("ZoneId", &disk.zone)
            && fits("Category", &disk.spec.category)
            && fits("PerformanceLevel", &disk.spec.level)
            && fits("DiskChargeType", disk.charge())
            && fits("ResourceGroupId", &disk.resource_group)
            && fits("KMSKeyId", &disk.kms_key)
            && created.fits(disk.created)
            && filter.fits(&disk.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|disk| row(disk, performance)).collect();
    let mut answer = json!({ "Disks": { "Disk": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn row(disk: &Volume, with_performance: bool) -> Json {
    let at = |moment: Option<Timestamp>| moment.map_or(String::new(), seconds);
    let attached = at(disk.attached.filter(|_| disk.instance.is_some()));
    let attachment: Vec<Json> =
        disk.instance.iter().map(|instance| json!({ "InstanceId": instance, "Device": disk.device, "AttachedTime": attached })).collect();
    let own = json!({
        "DiskId": disk.id,
        "DiskName": disk.name,
        "Description": disk.description,
        "RegionId": disk.region,
        "ZoneId": disk.zone,
        "Status": disk.status(),
        "Type": disk.kind(),
        "Category": disk.spec.category,
        "PerformanceLevel": disk.spec.level,
        "Size": disk.spec.size_gib,
        "InstanceId": disk.instance.as_deref().unwrap_or_default(),
        "Device": if disk.instance.is_some() { disk.device.as_str() } else { "" },
        "DeleteWithInstance": disk.delete_with_instance,
        "DeleteAutoSnapshot": true,
        "EnableAutoSnapshot": true,
        "EnableAutomatedSnapshotPolicy": false,
        "AutoSnapshotPolicyId": "",
        "Portable": !disk.system,
        "DiskChargeType": disk.charge(),
        "ExpiredTime": "2999-09-08T16:00Z",
        "ImageId": disk.image,
        "SourceSnapshotId": "",
        "ProductCode": "",
        "Encrypted": disk.encrypted,
        "KMSKeyId": disk.kms_key,
        "ResourceGroupId": disk.resource_group,
    });
    let more = json!({
        "CreationTime": seconds(disk.created),
        "AttachedTime": attached,
        "DetachedTime": at(disk.detached),
        "MultiAttach": "Disabled",
        "BurstingEnabled": false,
        "SerialNumber": disk.id.trim_start_matches("d-"),
        "StorageSetId": "",
        "MountInstanceNum": attachment.len(),
        "MountInstances": { "MountInstance": attachment },
        "Attachments": { "Attachment": attachment },
        "OperationLocks": { "OperationLock": [] },
        "Tags": ecs_tags(&disk.tags),
    });
    let mut row = Map::new();
    for piece in [own, more, if with_performance { performance(&disk.spec) } else { json!({}) }] {
        if let Json::Object(piece) = piece {
            row.extend(piece);
        }
    }
    Json::Object(row)
}

/// The published formulas of the categories: operations a second and MB a second, by size.
fn performance(disk: &Disk) -> Json {
    let size = disk.size_gib;
    let iops = |base: u32, each: u32, most: u32| base.saturating_add(each.saturating_mul(size)).min(most);
    let rate = |base: u32, hundredths: u32, most: u32| (base + hundredths.saturating_mul(size) / 100).min(most);
    let (iops, throughput) = match (disk.category.as_str(), disk.level.as_str()) {
        ("cloud_essd", "PL0") => (iops(1800, 12, 10_000), rate(100, 25, 180)),
        ("cloud_essd", "PL2") => (iops(1800, 50, 100_000), rate(120, 50, 750)),
        ("cloud_essd", "PL3") => (iops(1800, 50, 1_000_000), rate(120, 50, 4000)),
        ("cloud_essd" | "cloud_auto", _) => (iops(1800, 50, 50_000), rate(120, 50, 350)),
        ("cloud_ssd", _) => (iops(1800, 30, 25_000), rate(120, 50, 300)),
        ("cloud_efficiency", _) => (iops(1800, 8, 5000), rate(100, 15, 140)),
        ("cloud_essd_entry", _) => (iops(1800, 8, 6000), rate(100, 15, 150)),
        // Nobody published what the others reach.
        _ => return json!({}),
    };
    json!({
        "IOPS": iops, "IOPSRead": iops, "IOPSWrite": iops,
        "Throughput": throughput, "ThroughputRead": throughput, "ThroughputWrite": throughput,
    })
}
