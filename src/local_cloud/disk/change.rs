//! Changes to disks: made larger, replaced by another image, deleted; and what a disk costs meanwhile.

use serde_json::json;

use super::{Volume, find, of_instance};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::Catalog;
use crate::local_cloud::instance::{self, Status, wrong_status};
use crate::local_cloud::key_pair;
use crate::local_cloud::price::{self, Span};
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, image};
use jiff::Timestamp;
use rust_decimal::Decimal;

/// What a disk costs an hour; nobody can have bought one without a price.
fn hourly(catalog: &Catalog, disk: &Volume) -> Decimal {
    price::disk_price(catalog, &disk.region, &disk.spec, Span::Hour).unwrap_or(Decimal::ZERO)
}

/// Bills the disks of an instance anew after one of them changed.
fn bill_again(call: &mut Call, instance: &str, system: bool) {
    let part = if system { "systemDisk" } else { "dataDisk" };
    let disks = of_instance(call.world, instance);
    let sum: Decimal = disks.iter().filter(|disk| disk.system == system).map(|disk| hourly(call.catalog, disk)).sum();
    let region = disks.first().map_or(String::new(), |disk| disk.region.clone());
    billing::stop(call.world, instance, Some(part), call.now);
    if !sum.is_zero() {
        billing::start(call.world, instance, part, &region, sum, call.now);
    }
}

/// A disk that stays behind pays for itself from now on.
pub(crate) fn bill_alone(world: &mut World, catalog: &Catalog, disk: &Volume, now: Timestamp) {
    let amount = hourly(catalog, disk);
    if !amount.is_zero() {
        billing::start(world, &disk.id, "dataDisk", &disk.region, amount, now);
    }
}

/// ResizeDisk: only larger.
pub(crate) fn resize(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("DiskId")?.to_owned();
    params.required("NewSize")?;
    let size: u32 = params.number("NewSize")?.ok_or_else(|| Fault::mandatory("NewSize"))?;
    params.choice("Type", &["offline", "online"], "offline")?;
    let disk = find(call, &id)?.clone();
    let sold = call.catalog.disk(&disk.spec.category, &disk.spec.level);
    let range = sold.and_then(|sold| if disk.system { sold.system } else { sold.data });
    if let Some(instance) = disk.instance.as_ref().and_then(|id| call.world.instances.get(id))
        && (instance.is_released() || !matches!(instance.state(call.now), Status::Running | Status::Stopped))
    {
        return Err(wrong_status());
    }
    if size <= disk.spec.size_gib {
        return Err(Fault::forbidden("InvalidDiskSize.TooSmall", "Specified new disk size is less than the original disk size."));
    }
    if range.is_none_or(|(_, most)| size > most) {
        return Err(Fault::bad("InvalidDiskSize.ValueNotSupported", "The specified parameter NewSize is not valid."));
    }
    call.check_balance()?;
    let before = hourly(call.catalog, &disk);
    let mut larger = disk.clone();
    larger.spec.size_gib = size;
    let after = hourly(call.catalog, &larger);
    call.world.disks.insert(id.clone(), larger);
    let mut order = String::new();
    match &disk.instance {
        // A subscription pays the difference for the rest of its time.
        Some(instance) if disk.prepaid => {
            let until = call.world.instances.get(instance).and_then(|row| row.subscription.as_ref()).map(|term| term.until);
            if let Some(until) = until.filter(|until| *until > call.now) {
                let hours = Decimal::from(until.duration_since(call.now).as_secs()) / Decimal::from(3600);
                billing::buy(call.world, (&id, "dataDisk", &disk.region), (after - before) * hours, call.now, until);
                order = instance::subscription::order_id(call);
            }
        }
        Some(instance) => bill_again(call, &instance.clone(), disk.system),
        None => {
            billing::stop(call.world, &id, None, call.now);
            billing::start(call.world, &id, "dataDisk", &disk.region, after, call.now);
        }
    }
    Ok(json!({ "OrderId": order }))
}

/// ReplaceSystemDisk: a stopped instance gets an empty disk with an image; what was on the old one is gone.
pub(crate) fn replace(call: &mut Call) -> Outcome {
    let params = call.params;
    let instance_id = params.required("InstanceId")?.to_owned();
    let instance = instance::find(call, &instance_id)?.clone();
    if params.text("DiskId").is_some() {
        return Err(Fault::bad("InvalidParameter", "The local cloud makes system disks from images only: give ImageId."));
    }
    let image = image::find(call, params.required("ImageId")?)?;
    if instance.state(call.now) != Status::Stopped {
        return Err(wrong_status());
    }
    let kind = price::kind_of(call, &instance.kind)?;
    if !kind.runs(image.architecture) {
        return Err(Fault::bad("ImageNotSupportInstanceType", "The specified image does not support the InstanceType of the instance."));
    }
    let old = of_instance(call.world, &instance_id).into_iter().find(|disk| disk.system).cloned().ok_or_else(super::not_found)?;
    let most = call.catalog.disk(&old.spec.category, &old.spec.level).and_then(|sold| sold.system).map_or(0, |(_, most)| most);
    let least = old.spec.size_gib.max(image.size_gib);
    let size: u32 = params.number("SystemDisk.Size")?.unwrap_or(least);
    if !(least..=most).contains(&size) {
        return Err(Fault::bad("InvalidSystemDiskSize.ValueNotSupported", "The specified parameter SystemDisk.Size is not valid."));
    }
    instance::login::check(call)?;
    let key =
        params.text("KeyPairName").map(|name| key_pair::find(call, &instance.region, name).map(|key| key.name.clone())).transpose()?;
    let id = call.new_id("d", &instance.region, 20);
    let mut new = Volume {
        id: id.clone(),
        image: image.id.clone(),
        created: call.now,
        attached: Some(call.now),
        encrypted: params.boolean("Encrypted")? || old.encrypted,
        ..old.clone()
    };
    new.spec.size_gib = size;
    call.world.disks.remove(&old.id);
    call.world.disks.insert(id.clone(), new);
    if let Some(row) = call.world.instances.get_mut(&instance_id) {
        row.image.clone_from(&image.id);
        // The new disk boots for the first time: its user data runs again.
        row.initialised = false;
        row.wipe = true;
        row.key_pair = key.or_else(|| row.key_pair.take().filter(|_| params.text("Password").is_none()));
        row.key_pending = row.key_pair.is_some();
    }
    if !old.prepaid {
        bill_again(call, &instance_id, true);
    }
    call.world.index.signal(&instance_id);
    Ok(json!({ "DiskId": id }))
}

/// DeleteDisk: one that is attached to nothing.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let id = call.params.required("DiskId")?.to_owned();
    if find(call, &id)?.instance.is_some() {
        return Err(Fault::forbidden("IncorrectDiskStatus", "The current disk status does not support this operation."));
    }
    billing::stop(call.world, &id, None, call.now);
    call.world.disks.remove(&id);
    Ok(json!({}))
}
