//! The Kubernetes versions that clusters can have.

use serde_json::{Value as Json, json};

use super::invalid;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;

/// Newest first: version, day of release, day of its end.
const VERSIONS: [(&str, &str, &str); 3] = [
    ("1.34.1-aliyun.1", "2025-11-20T00:00:00Z", "2027-11-20T00:00:00Z"),
    ("1.33.3-aliyun.1", "2025-08-20T00:00:00Z", "2027-08-20T00:00:00Z"),
    ("1.32.7-aliyun.1", "2025-05-20T00:00:00Z", "2027-05-20T00:00:00Z"),
];

/// The runtime of every node.
pub(super) const RUNTIME: (&str, &str) = ("containerd", "1.6.39");

/// The version that is asked for, or the newest.
pub(super) fn choose(wanted: &str) -> Result<&'static str, Fault> {
    let fits = |version: &str| wanted.is_empty() || version == wanted || version.starts_with(&format!("{wanted}."));
    let found = VERSIONS.iter().find(|(version, ..)| fits(version)).map(|(version, ..)| *version);
    found.ok_or_else(|| invalid(format!("kubernetes_version {wanted} is not supported")))
}

/// The next version after one, empty for the newest.
pub(super) fn after(version: &str) -> &'static str {
    let place = VERSIONS.iter().position(|(known, ..)| *known == version).unwrap_or(0);
    place.checked_sub(1).map_or("", |newer| VERSIONS[newer].0)
}

/// DescribeKubernetesVersionMetadata.
pub(super) async fn describe(call: &RoaCall<'_>) -> Result<Json, Fault> {
    let params = &call.params;
    let region = params.required("Region")?;
    if !call.shared.catalog.regions.contains_key(region) {
        return Err(invalid(format!("Region {region} is not valid")));
    }
    let kind = params.required("ClusterType")?;
    if !["ManagedKubernetes", "Kubernetes", "ExternalKubernetes"].contains(&kind) {
        return Err(invalid(format!("ClusterType {kind} is not valid")));
    }
    let wanted = params.text("KubernetesVersion").unwrap_or_default();
    let upgradable = params.boolean("QueryUpgradableVersion")?;
    let images: Vec<Json> = call
        .shared
        .catalog
        .images
        .values()
        .filter(|image| image.family.contains("alibaba_cloud_linux_3_2104_lts"))
        .map(|image| {
            json!({
                "image_id": image.id, "image_name": image.os_name, "platform": "AliyunLinux3", "os_version": "3", "os_type": "Linux",
                "image_type": "AliyunLinux3", "image_category": "system", "architecture": image.architecture,
            })
        })
        .collect();
    let rows = VERSIONS.iter().filter(|(version, ..)| wanted.is_empty() || *version == wanted).map(|(version, released, ends)| {
        let newer = after(version);
        let mut row = json!({
            "version": version, "creatable": kind == "ManagedKubernetes", "release_date": released, "expiration_date": ends, "images": images,
            "runtimes": [{ "name": RUNTIME.0, "version": RUNTIME.1 }], "capabilities": {}, "meta_data": { "KubernetesVersion": version },
        });
        if upgradable {
            row["upgradable_versions"] = if newer.is_empty() { json!([]) } else { json!([newer]) };
        }
        row
    });
    Ok(rows.collect())
}
