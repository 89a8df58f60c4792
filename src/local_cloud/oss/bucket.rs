//! Buckets: made, described, deleted, and their access lists.

use serde::Deserialize;

use super::refusal::Refusal;
use super::rows::{Bucket, row_key};
use super::{Answer, Ask, access, description, tagging, xml};
use crate::local_cloud::time::milliseconds;

/// The region of a bucket whose request names none.
const DEFAULT_REGION: &str = "cn-hangzhou";
/// The resource group of what is put into none.
const DEFAULT_GROUP: &str = "rg-acfm0000000local";

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits { Ok(()) } else { Err(Refusal::bad("InvalidBucketName", "The specified bucket is not valid.").ec("0015-00000001")) }
}

#[derive(Default, Deserialize)]
struct Configuration {
    #[serde(rename = "StorageClass")]
    storage_class: Option<String>,
    #[serde(rename = "DataRedundancyType")]
    redundancy: Option<String>,
}

impl Configuration {
    fn of(ask: &Ask) -> Result<Self, Refusal> {
        let body = description::document(ask)?;
        let this: Configuration = if body.is_empty() { Self::default() } else { xml::read(body, "CreateBucketConfiguration")? };
        if this.storage_class.as_deref().is_some_and(|class| !description::is_storage_class(class)) {
            return Err(Refusal::malformed_xml("no such StorageClass."));
        }
        if this.redundancy.as_deref().is_some_and(|redundancy| !matches!(redundancy, "LRS" | "ZRS")) {
            return Err(Refusal::malformed_xml("no such DataRedundancyType."));
        }
        Ok(this)
    }

    /// Whether a bucket is what is asked for.
    fn fits(&self, bucket: &Bucket) -> bool {
        self.storage_class.as_ref().is_none_or(|class| *class == bucket.storage_class)
            && self.redundancy.as_ref().is_none_or(|redundancy| *redundancy == bucket.redundancy)
    }
}

/// PutBucket. Repeated by its owner it changes the access list only.
pub(super) async fn put(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    check_name(ask.bucket)?;
    let acl = access::of_bucket(ask)?.unwrap_or("private");
    let region = ask.region.as_deref().unwrap_or(DEFAULT_REGION);
    if !ask.shared.catalog.regions.contains_key(region) {
        let message = "The region of the request does not fit that of the endpoint.";
        return Err(Refusal::bad("IllegalLocationConstraintException", message));
    }
    let configuration = Configuration::of(ask)?;
    let tags = ask.header("x-oss-bucket-tagging").map_or_else(|| Ok(Default::default()), tagging::of_text_for_bucket)?;
    ask.commit(|world, now| {
        if let Some(bucket) = world.buckets.get_mut(ask.bucket) {
            if bucket.region != region || !configuration.fits(bucket) {
                let message = "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
                return Err(Refusal::conflict("BucketAlreadyExists", message).ec("0015-00000104"));
            }
            acl.clone_into(&mut bucket.acl);
            return Ok(());
        }
        if world.buckets.values().filter(|bucket| bucket.region == region).count() >= ask.shared.config.quotas.buckets {
            return Err(Refusal::bad("TooManyBuckets", "You have attempted to create more buckets than allowed."));
        }
        let bucket = Bucket {
            name: ask.bucket.to_owned(),
            region: region.to_owned(),
            acl: acl.to_owned(),
            storage_class: configuration.storage_class.unwrap_or_else(|| "Standard".to_owned()),
            redundancy: configuration.redundancy.unwrap_or_else(|| "LRS".to_owned()),
            resource_group: ask.header("x-oss-resource-group-id").unwrap_or(DEFAULT_GROUP).to_owned(),
            created: now,
            tags,
        };
        world.buckets.insert(ask.bucket, bucket);
        Ok(())
    })
    .await?;
    Ok(Answer::empty(200).with("location", format!("/{}", ask.bucket)))
}

/// DeleteBucket. Objects and unfinished uploads keep it.
pub(super) async fn delete(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let prefix = row_key(ask.bucket, "");
    ask.commit(|world, _| {
        let message = if world.objects.starting_with(&prefix).next().is_some() {
            "The bucket has objects. Please delete them first."
        } else if world.uploads.values().any(|upload| upload.bucket == ask.bucket) {
            "The bucket has multipart uploads. Please abort or complete them first."
        } else {
            return world.buckets.remove(ask.bucket).map(drop).ok_or_else(Refusal::no_bucket);
        };
        Err(Refusal::conflict("BucketNotEmpty", message).ec("0015-00000301"))
    })
    .await?;
    Ok(Answer::empty(204))
}

/// GetBucketInfo.
pub(super) fn info(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let bucket = world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    let mut body = xml::Writer::document("BucketInfo");
    body.open("Bucket")
        .leaf("Name", &bucket.name)
        .leaf("Location", &format!("oss-{}", bucket.region))
        .leaf("CreationDate", &milliseconds(bucket.created))
        .leaf("ExtranetEndpoint", &format!("oss-{}.aliyuncs.com", bucket.region))
        .leaf("IntranetEndpoint", &format!("oss-{}-internal.aliyuncs.com", bucket.region))
        .leaf("StorageClass", &bucket.storage_class)
        .leaf("DataRedundancyType", &bucket.redundancy)
        .leaf("TransferAcceleration", "Disabled")
        .leaf("CrossRegionReplication", "Disabled")
        .leaf("AccessMonitor", "Disabled")
        .leaf("BlockPublicAccess", "false")
        .leaf("ResourceGroupId", &bucket.resource_group)
        .leaf("Comment", "")
        .owner(&ask.shared.config.account);
    body.open("AccessControlList").leaf("Grant", &bucket.acl).close();
    body.open("ServerSideEncryptionRule").leaf("SSEAlgorithm", "None").close();
    body.open("BucketPolicy").leaf("LogBucket", "").leaf("LogPrefix", "").close();
    Ok(Answer::xml(body))
}

/// GetBucketLocation.
pub(super) fn location(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let bucket = world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    let mut body = xml::Writer::document("LocationConstraint");
    body.text(&format!("oss-{}", bucket.region));
    Ok(Answer::xml(body))
}

/// What a bucket holds of some storage classes.
#[derive(Default)]
struct Held {
    bytes: u64,
    objects: u64,
}

/// GetBucketStat. The real service counts once an hour, this one at once.
pub(super) fn stat(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let bucket = world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    let prefix = row_key(ask.bucket, "");
    let objects: Vec<_> = world.objects.starting_with(&prefix).map(|(_, object)| object).collect();
    let held = |class: Option<&str>| {
        let fitting = objects.iter().filter(|object| class.is_none_or(|class| object.description.storage_class == class));
        fitting.fold(Held::default(), |held, object| Held { bytes: held.bytes + object.size, objects: held.objects + 1 })
    };
    let uploads: Vec<_> = world.uploads.values().filter(|upload| upload.bucket == ask.bucket).collect();
    let modified = objects.iter().map(|object| object.modified).max().unwrap_or(bucket.created);
    let all = held(None);
    let mut body = xml::Writer::document("BucketStat");
    body.leaf("Storage", &all.bytes.to_string())
        .leaf("ObjectCount", &all.objects.to_string())
        .leaf("MultipartUploadCount", &uploads.len().to_string())
        .leaf("LiveChannelCount", "0")
        .leaf("LastModifiedTime", &modified.as_second().to_string());
    let standard = held(Some("Standard"));
    body.leaf("StandardStorage", &standard.bytes.to_string()).leaf("StandardObjectCount", &standard.objects.to_string());
    for (class, names) in [
        ("IA", ["InfrequentAccessStorage", "InfrequentAccessRealStorage", "InfrequentAccessObjectCount"]),
        ("Archive", ["ArchiveStorage", "ArchiveRealStorage", "ArchiveObjectCount"]),
        ("ColdArchive", ["ColdArchiveStorage", "ColdArchiveRealStorage", "ColdArchiveObjectCount"]),
        ("DeepColdArchive", ["DeepColdArchiveStorage", "DeepColdArchiveRealStorage", "DeepColdArchiveObjectCount"]),
    ] {
        let held = held(Some(class));
        let bytes = held.bytes.to_string();
        body.leaf(names[0], &bytes).leaf(names[1], &bytes).leaf(names[2], &held.objects.to_string());
    }
    body.leaf("DeleteMarkerCount", "0");
    Ok(Answer::xml(body))
}

/// GetBucketAcl.
pub(super) fn acl(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let bucket = world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    Ok(Answer::xml(xml::access_list(&ask.shared.config.account, &bucket.acl)))
}

/// PutBucketAcl.
pub(super) async fn put_acl(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let acl = access::of_bucket(ask)?.ok_or_else(|| Refusal::argument("x-oss-acl", "", "x-oss-acl is missing."))?;
    ask.commit(|world, _| {
        acl.clone_into(&mut world.buckets.get_mut(ask.bucket).ok_or_else(Refusal::no_bucket)?.acl);
        Ok(())
    })
    .await?;
    Ok(Answer::empty(200))
}

/// DescribeRegions: all, or the one that the query names.
pub(super) fn regions(ask: &Ask) -> Result<Answer, Refusal> {
    let wanted = ask.parameter("regions");
    let known = ask.shared.catalog.regions.keys().map(|region| (format!("oss-{region}"), region));
    let found: Vec<_> = known.filter(|(name, _)| wanted.is_empty() || name == wanted).collect();
    if found.is_empty() {
        return Err(Refusal::missing("NoSuchRegion", "The specified region does not exist.").with("Region", wanted));
    }
    let mut body = xml::Writer::document("RegionInfoList");
    for (name, _) in found {
        body.open("RegionInfo")
            .leaf("Region", &name)
            .leaf("InternetEndpoint", &format!("{name}.aliyuncs.com"))
            .leaf("InternalEndpoint", &format!("{name}-internal.aliyuncs.com"))
            .leaf("AccelerateEndpoint", "oss-accelerate.aliyuncs.com")
            .close();
    }
    Ok(Answer::xml(body))
}
