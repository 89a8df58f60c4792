//! Disks beside their instances: described, made larger, replaced, left behind.

use aliform::local_cloud::config::Config;
use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::caller::{Caller, code, sleep, text};

fn data(stays: &str) -> [(&str, &str); 6] {
    [
        ("DataDisk.1.Category", "cloud_essd"),
        ("DataDisk.1.PerformanceLevel", "PL0"),
        ("DataDisk.1.Size", "100"),
        ("DataDisk.1.DiskName", "data"),
        ("DataDisk.1.DeleteWithInstance", stays),
        ("Tag.1.Key", "app"),
    ]
}

async fn disks(caller: &Caller, more: &[(&str, &str)]) -> Vec<Json> {
    caller.ecs("DescribeDisks", more).await.unwrap()["Disks"]["Disk"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn disks_are_described_with_their_instance() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.run(&network, &data("true")).await.unwrap().remove(0);
    let all = disks(&caller, &[("InstanceId", &id), ("AdditionalAttributes.1", "IOPS")]).await;
    assert_eq!(all.len(), 2);
    let system = all.iter().find(|disk| disk["Type"] == "system").unwrap();
    assert_eq!(
        [text(system, "/Device"), text(system, "/Status"), text(system, "/Attachments/Attachment/0/InstanceId")],
        ["/dev/xvda", "In_use", &id]
    );
    let data = all.iter().find(|disk| disk["Type"] == "data").unwrap();
    assert_eq!(
        (text(data, "/DiskName"), &data["Size"], &data["IOPS"], text(data, "/Tags/Tag/0/TagKey")),
        ("data".into(), &100.into(), &3000.into(), "app".into())
    );
    for (more, count) in [
        (("DiskType", "data"), 1),
        (("DiskName", "da*"), 1),
        (("Status", "Available"), 0),
        (("DeleteWithInstance", "false"), 0),
        (("Category", "cloud_essd"), 2),
        (("PerformanceLevel", "PL3"), 0),
        (("DiskIds", &format!("[\"{}\"]", text(data, "/DiskId"))), 1),
        (("ZoneId", "cn-hangzhou-i"), 0),
        (("SnapshotId", "s-1"), 0),
    ] {
        assert_eq!(disks(&caller, &[more]).await.len(), count, "{more:?}");
    }
    let first = caller.ecs("DescribeDisks", &[("MaxResults", "1")]).await.unwrap();
    let token = text(&first, "/NextToken");
    let second = caller.ecs("DescribeDisks", &[("MaxResults", "1"), ("NextToken", &token)]).await.unwrap();
    assert_ne!(first["Disks"]["Disk"][0]["DiskId"], second["Disks"]["Disk"][0]["DiskId"]);
    assert_eq!(text(&second, "/NextToken"), "");
    // What is attached goes with its instance, and is no resource of its own.
    assert!(!caller.cloud.resources().iter().any(|listed| listed.kind == "disk"));
    sleep(2000).await;
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    sleep(1000).await;
    assert!(disks(&caller, &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stays_is_listed_and_billed_until_it_is_deleted() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.run(&network, &data("false")).await.unwrap().remove(0);
    sleep(2000).await;
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    sleep(1000).await;
    let left = disks(&caller, &[("Status", "Available")]).await;
    let disk = text(&left[0], "/DiskId");
    assert_eq!(caller.cloud.resources().iter().filter(|listed| listed.kind == "disk" && listed.id == disk).count(), 1);
    let before = caller.cloud.spent();
    sleep(10 * 3600 * 1000).await;
    let cost = caller.cloud.spent() - before;
    assert_eq!(cost.round_dp(4), Decimal::new(105, 2));
    caller.ecs("ResizeDisk", &[("DiskId", &disk), ("NewSize", "200")]).await.unwrap();
    let before = caller.cloud.spent();
    sleep(10 * 3600 * 1000).await;
    assert_eq!((caller.cloud.spent() - before).round_dp(4), Decimal::new(21, 1));
    caller.ecs("DeleteDisk", &[("DiskId", &disk)]).await.unwrap();
    assert_eq!(code(caller.ecs("DeleteDisk", &[("DiskId", &disk)]).await), "InvalidDiskId.NotFound");
    assert!(caller.cloud.bills().iter().all(|bill| bill.to.is_some()));
}

#[tokio::test(start_paused = true)]
async fn disks_grow_and_never_shrink() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let disk = text(&disks(&caller, &[("InstanceId", &id)]).await[0], "/DiskId");
    let resize = async |size: &str| caller.ecs("ResizeDisk", &[("DiskId", &disk), ("NewSize", size), ("Type", "online")]).await;
    assert_eq!(code(resize("40").await), "InvalidDiskSize.TooSmall");
    assert_eq!(code(resize("4000").await), "InvalidDiskSize.ValueNotSupported");
    assert_eq!(code(resize("large").await), "InvalidParameter");
    let rate = || {
        caller.cloud.bills().iter().filter(|bill| bill.part == "systemDisk" && bill.to.is_none()).map(|bill| bill.hourly).sum::<Decimal>()
    };
    let before = rate();
    resize("80").await.unwrap();
    assert_eq!(rate(), before * Decimal::from(2));
    assert_eq!(disks(&caller, &[("InstanceId", &id)]).await[0]["Size"], 80);
    assert_eq!(code(caller.ecs("DeleteDisk", &[("DiskId", &disk)]).await), "IncorrectDiskStatus");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_system_disk_is_empty_and_boots_for_the_first_time() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    // `#!/bin/sh` and a line.
    let id = caller.run(&network, &[("UserData", "IyEvYmluL3NoCmVjaG8gaGkK")]).await.unwrap().remove(0);
    sleep(3000).await;
    let script = "/var/lib/cloud/instance/scripts/part-001";
    assert_eq!(caller.machines.file(&id, script).as_deref(), Some(b"#!/bin/sh\necho hi\n".as_slice()));
    let sent = [("Name", "k"), ("TargetDir", "/etc"), ("Content", "x"), ("InstanceId.1", id.as_str())];
    caller.ecs("SendFile", &sent).await.unwrap();
    sleep(100).await;
    assert!(caller.machines.file(&id, "/etc/k").is_some());
    let other = "ubuntu_24_04_x64_20G_alibase_20260518.vhd";
    let images = caller.ecs("DescribeImages", &[("ImageFamily", "acs:ubuntu_24_04_x64")]).await.unwrap();
    let image = images["Images"]["Image"][0]["ImageId"].as_str().unwrap_or(other).to_owned();
    let replace = [("InstanceId", id.as_str()), ("ImageId", image.as_str()), ("SystemDisk.Size", "60")];
    assert_eq!(code(caller.ecs("ReplaceSystemDisk", &replace).await), "IncorrectInstanceStatus");
    caller.ecs("StopInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(1000).await;
    let small = [("InstanceId", id.as_str()), ("ImageId", image.as_str()), ("SystemDisk.Size", "30")];
    assert_eq!(code(caller.ecs("ReplaceSystemDisk", &small).await), "InvalidSystemDiskSize.ValueNotSupported");
    let old = text(&disks(&caller, &[("InstanceId", &id)]).await[0], "/DiskId");
    let new = text(&caller.ecs("ReplaceSystemDisk", &replace).await.unwrap(), "/DiskId");
    assert_ne!(new, old);
    let shown = disks(&caller, &[("InstanceId", &id)]).await;
    assert_eq!((shown.len(), text(&shown[0], "/ImageId"), &shown[0]["Size"]), (1, image.clone(), &60.into()));
    assert_eq!(text(&caller.instance(&id).await.unwrap(), "/ImageId"), image);
    caller.ecs("StartInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(3000).await;
    // All that was on the old disk is gone; the user data had its turn again.
    assert_eq!(caller.machines.file(&id, "/etc/k"), None);
    assert!(caller.machines.file(&id, script).is_some());
}
