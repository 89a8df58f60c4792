//! The official images: ListImages, and whether an image can be pulled. The local cloud has no other registry.

use serde_json::{Value as Json, json};

use super::{descending, page, workspace};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;

/// When all of them were published.
const PUBLISHED: &str = "2025-11-28T12:00:00.000Z";
/// The account that they belong to.
const OWNER: &str = "1000000000000000";

/// The workspace that official images belong to.
const EVERYONE: &str = "0";

/// An official image.
struct Official {
    repository: &'static str,
    tag: &'static str,
    framework: &'static str,
    version: &'static str,
    chip: &'static str,
    python: &'static str,
    cuda: &'static str,
    ubuntu: &'static str,
    size_gib: u64,
}

fn official() -> impl Iterator<Item = Official> {
    include_str!("images.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(read)
}

fn read(line: &'static str) -> Option<Official> {
    let [repository, tag, framework, version, chip, python, cuda, ubuntu, size] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    Some(Official { repository, tag, framework, version, chip, python, cuda, ubuntu, size_gib: size.parse().ok()? })
}

impl Official {
    fn uri(&self, region: &str) -> String {
        format!("dsw-registry-vpc.{region}.cr.aliyuncs.com/pai/{}:{}", self.repository, self.tag)
    }

    fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// Starts as real ones do and stays the same.
    fn id(&self) -> String {
        let digest = crate::local_cloud::store::blobs::Blobs::digest(self.name().as_bytes());
        format!("image-{}", &digest[..20])
    }

    fn description(&self) -> String {
        format!("{} {} for {} on Ubuntu {}", self.framework, self.version, self.chip, self.ubuntu)
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("system.official", "true".to_owned()),
            ("system.supported.dlc", "true".to_owned()),
            ("system.supported.dsw", "true".to_owned()),
            ("system.chipType", self.chip.to_owned()),
            ("system.framework", format!("{} {}", self.framework, self.version)),
            ("system.origin", "PAI".to_owned()),
            ("system.pythonVersion", self.python.to_owned()),
            ("system.dsw.os", "ubuntu".to_owned()),
            ("system.dsw.osVersion", self.ubuntu.to_owned()),
        ];
        if !self.cuda.is_empty() {
            labels.push(("system.dsw.cudaVersion", self.cuda.to_owned()));
        }
        labels
    }
}

/// Whether a region's registries have that image: over the VPC's or the public address.
pub(super) fn is_known(region: &str, uri: &str) -> bool {
    official().any(|image| {
        let own = image.uri(region);
        uri == own || uri == own.replacen("dsw-registry-vpc", "dsw-registry", 1)
    })
}

/// ListImages.
pub(super) fn list(call: &RoaCall<'_>) -> Outcome {
    let params = &call.params;
    let region = call.region()?.id;
    let page = page(params, 20)?;
    let wanted = labels(params.text("Labels").unwrap_or_default())?;
    params.choice("SortBy", &["GmtCreateTime"], "GmtCreateTime")?;
    let verbose = params.boolean("Verbose")?;
    let exact = match params.text("Options") {
        None => false,
        Some(text) => {
            let options: Json = serde_json::from_str(text).map_err(|_| Fault::invalid("Options"))?;
            options["ExactMatchName"].as_bool().unwrap_or(false)
        }
    };
    let holds = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
    if let Some(id) = params.text("WorkspaceId").filter(|id| *id != EVERYONE)
        && workspace::find(&call.shared.world(), region, id).is_none()
    {
        return Err(workspace::missing(id));
    }
    // Private ones are those that somebody added, and there is no call here that adds one.
    let own_only = params.choice("Accessibility", &["PUBLIC", "PRIVATE"], "PUBLIC")? == "PRIVATE";
    let mut found: Vec<Official> = official()
        .filter(|_| !own_only)
        .filter(|image| params.text("Name").is_none_or(|name| if exact { image.name() == name } else { holds(&image.name(), name) }))
        .filter(|image| params.text("Query").is_none_or(|part| holds(&image.name(), part) || holds(&image.description(), part)))
        .filter(|image| params.text("ImageUri").is_none_or(|uri| image.uri(region) == uri))
        .filter(|image| {
            let labels = image.labels();
            wanted.iter().all(|(key, value)| labels.iter().any(|(own, has)| own == key && has == value))
        })
        .collect();
    if descending(params, "ASC")? {
        found.reverse();
    }
    let cut = page.cut(found.iter().map(|image| (image.tag, image)));
    let rows: Vec<Json> = cut.rows.iter().map(|image| described(image, region, verbose)).collect();
    Ok(json!({ "Images": rows, "TotalCount": cut.total }))
}

fn described(image: &Official, region: &str, verbose: bool) -> Json {
    let mut row = json!({
        "ImageId": image.id(),
        "Name": image.name(),
        "ImageUri": image.uri(region),
        "Description": image.description(),
        "Accessibility": "PUBLIC",
        "Size": image.size_gib,
        "SourceType": "PAI",
        "UserId": OWNER,
        "ParentUserId": OWNER,
        "GmtCreateTime": PUBLISHED,
        "GmtModifiedTime": PUBLISHED,
    });
    if verbose {
        row["Labels"] = image.labels().into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    }
    row
}

/// `k=v,k2=v2`.
fn labels(text: &str) -> Result<Vec<(&str, &str)>, Fault> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| part.split_once('=').ok_or_else(|| Fault::invalid("Labels"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_images_belong_to_their_region() {
        let lines = include_str!("images.tsv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(official().count(), lines);
        let uri = official().next().unwrap().uri("cn-beijing");
        assert!(is_known("cn-beijing", &uri) && is_known("cn-beijing", &uri.replace("-vpc", "")));
        assert!(!is_known("cn-hangzhou", &uri) && !is_known("cn-beijing", "python:3.12"));
        let ids: std::collections::BTreeSet<String> = official().map(|image| image.id()).collect();
        assert_eq!(ids.len(), lines);
    }
}
