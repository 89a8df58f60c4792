//! What RunInstances can be asked for and the local cloud does not have. Nothing of it is passed over in silence: a
//! thing that would have to exist is not found, a feature that would change the instance is refused.

use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// Things that calls name by their id, of which the local cloud has none: parameter, status and code.
const ABSENT: [(&str, u16, &str); 12] = [
    ("LaunchTemplateId", 404, "InvalidLaunchTemplate.NotFound"),
    ("LaunchTemplateName", 404, "InvalidLaunchTemplate.NotFound"),
    ("DeploymentSetId", 400, "InvalidDeploymentSetId.NotFound"),
    ("DedicatedHostId", 404, "InvalidDedicatedHostId.NotFound"),
    ("ManagedHostId", 404, "InvalidManagedHostId.NotFound"),
    ("SchedulerOptions.DedicatedHostClusterId", 404, "InvalidDedicatedHostClusterId.NotFound"),
    ("HpcClusterId", 404, "InvalidHpcClusterId.NotFound"),
    ("StorageSetId", 404, "InvalidStorageSetId.NotFound"),
    ("PrivatePoolOptions.Id", 404, "InvalidPrivatePoolOptions.NotFound"),
    ("SystemDisk.AutoSnapshotPolicyId", 404, "InvalidAutoSnapshotPolicyId.NotFound"),
    ("SystemDisk.StorageClusterId", 404, "InvalidStorageClusterId.NotFound"),
    ("Ipv6Address.1", 400, "InvalidIp.IpRepeatedOrNotIPv6"),
];

/// The same for each data disk.
const ABSENT_OF_DISK: [(&str, u16, &str); 3] = [
    ("SnapshotId", 404, "InvalidDataDiskSnapshotId.NotFound"),
    ("AutoSnapshotPolicyId", 404, "InvalidAutoSnapshotPolicyId.NotFound"),
    ("StorageClusterId", 404, "InvalidStorageClusterId.NotFound"),
];

/// Features, with the values that ask for nothing.
const WITHOUT: [(&str, &[&str]); 24] = [
    ("Ipv6AddressCount", &["0"]),
    ("HibernationOptions.Configured", &["false"]),
    ("Tenancy", &["default"]),
    ("Affinity", &["default"]),
    ("CpuOptions.Core", &[]),
    ("CpuOptions.ThreadsPerCore", &["2"]),
    ("CpuOptions.Numa", &[]),
    ("CpuOptions.TopologyType", &["DiscreteCoreToHTMapping"]),
    ("CpuOptions.NestedVirtualization", &["disabled"]),
    ("ClockOptions.PtpStatus", &["disabled"]),
    ("ImageOptions.LoginAsNonRoot", &["false"]),
    ("IoOptimized", &["optimized"]),
    ("SecurityOptions.ConfidentialComputingMode", &[]),
    ("SecurityOptions.TrustedSystemMode", &[]),
    ("SecurityOptions.EnableSecureBoot", &["false"]),
    ("NetworkOptions.EnableNetworkEncryption", &["false"]),
    ("PrivatePoolOptions.MatchCriteria", &["Open", "None"]),
    ("PrivateDnsNameOptions.EnableInstanceIdDnsARecord", &["false"]),
    ("PrivateDnsNameOptions.EnableInstanceIdDnsAAAARecord", &["false"]),
    ("PrivateDnsNameOptions.EnableIpDnsARecord", &["false"]),
    ("PrivateDnsNameOptions.EnableIpDnsPtrRecord", &["false"]),
    ("SystemDisk.ProvisionedIops", &["0"]),
    ("SystemDisk.BurstingEnabled", &["false"]),
    ("Arn.1.Rolearn", &[]),
];

/// The same for each data disk.
const WITHOUT_OF_DISK: [(&str, &[&str]); 2] = [("ProvisionedIops", &["0"]), ("BurstingEnabled", &["false"])];

/// Refuses a call that asks for any of it.
pub(super) fn check(params: &Params) -> Result<(), Fault> {
    absent(params, &ABSENT, "")?;
    without(params, &WITHOUT, "")?;
    for (disk, number) in params.structs("DataDisk").iter().zip(1..) {
        let prefix = format!("DataDisk.{number}.");
        absent(disk, &ABSENT_OF_DISK, &prefix)?;
        without(disk, &WITHOUT_OF_DISK, &prefix)?;
    }
    for interface in params.structs("NetworkInterface") {
        let secondary = interface.text("InstanceType").is_some_and(|kind| kind != "Primary");
        let more = interface.number::<u32>("SecondaryPrivateIpAddressCount")?.unwrap_or(0) > 0
            || interface.number::<u32>("Ipv6AddressCount")?.unwrap_or(0) > 0
            || interface.text("Ipv6Address.1").is_some()
            || interface.text("NetworkInterfaceId").is_some();
        if secondary || more {
            return Err(refused("NetworkInterface.N: an instance has its primary interface with one IPv4 address"));
        }
    }
    if params.structs("NetworkInterface").len() > 1 {
        return Err(Fault::bad("InvalidParameter", "There can be one primary network interface only."));
    }
    Ok(())
}

fn absent(params: &Params, table: &[(&str, u16, &str)], prefix: &str) -> Result<(), Fault> {
    match table.iter().find(|(name, _, _)| params.text(name).is_some()) {
        Some((name, status, code)) => Err(Fault::new(*status, *code, format!("What {prefix}{name} names does not exist."))),
        None => Ok(()),
    }
}

fn without(params: &Params, table: &[(&str, &[&str])], prefix: &str) -> Result<(), Fault> {
    let asked =
        |(name, idle): &&(&str, &[&str])| params.text(name).is_some_and(|value| !idle.iter().any(|idle| idle.eq_ignore_ascii_case(value)));
    match table.iter().find(asked) {
        Some((name, _)) => Err(refused(&format!("{prefix}{name}"))),
        None => Ok(()),
    }
}

fn refused(what: &str) -> Fault {
    Fault::bad("InvalidParameter.NotSupported", format!("The local cloud does not have {what}."))
}
