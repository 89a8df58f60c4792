//! PutBucket, GetBucketInfo and DeleteBucket.

use super::{Answer, Ask, Bucket, no_bucket, settled, xml};
use crate::local_cloud::time::milliseconds;
use crate::local_cloud::wire::encoding::pairs;
use crate::local_cloud::wire::fault::Fault;

fn check_name(name: &str) -> Result<(), Fault> {
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits { Ok(()) } else { Err(Fault::bad("InvalidBucketName", "The specified bucket is not valid.")) }
}

/// PutBucket. Repeated by its owner it changes the access list only.
pub(super) async fn put(ask: &Ask<'_>, name: &str, host_region: Option<&str>) -> Result<Answer, Fault> {
    check_name(name)?;
    let acl = ask.header("x-oss-acl").unwrap_or("private");
    if !matches!(acl, "private" | "public-read" | "public-read-write") {
        return Err(Fault::bad("InvalidArgument", "x-oss-acl is not valid."));
    }
    let region = host_region.unwrap_or(&ask.region);
    if region != ask.region || !ask.shared.catalog.regions.contains_key(region) {
        return Err(Fault::bad("IllegalLocationConstraintException", "The region of the request does not fit that of the endpoint."));
    }
    let body = std::str::from_utf8(&ask.request.body).map_err(|_| malformed())?;
    let storage_class = element(body, "StorageClass")?.unwrap_or("Standard");
    let redundancy = element(body, "DataRedundancyType")?.unwrap_or("LRS");
    if !matches!(storage_class, "Standard" | "IA" | "Archive" | "ColdArchive" | "DeepColdArchive") || !matches!(redundancy, "LRS" | "ZRS") {
        return Err(malformed());
    }
    let tags = ask.header("x-oss-bucket-tagging").map(pairs).unwrap_or_default().into_iter().collect();
    let (outcome, number) = ask.shared.commit(|world, now| {
        if let Some(bucket) = world.buckets.get_mut(name) {
            if bucket.region != region {
                return Err(Fault::new(409, "BucketAlreadyExists", "The requested bucket name is not available."));
            }
            acl.clone_into(&mut bucket.acl);
            return Ok(());
        }
        if world.buckets.values().filter(|bucket| bucket.region == region).count() >= ask.shared.config.quotas.buckets {
            return Err(Fault::bad("TooManyBuckets", "You have attempted to create more buckets than allowed."));
        }
        let bucket = Bucket {
            name: name.to_owned(),
            region: region.to_owned(),
            acl: acl.to_owned(),
            storage_class: storage_class.to_owned(),
            redundancy: redundancy.to_owned(),
            resource_group: ask.header("x-oss-resource-group-id").unwrap_or("rg-acfm0000000local").to_owned(),
            created: now,
            tags,
        };
        world.buckets.insert(name, bucket);
        Ok(())
    });
    outcome?;
    settled(ask, number).await?;
    Ok(Answer::empty(200).with("location", format!("/{name}")))
}

fn malformed() -> Fault {
    Fault::bad("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema.")
}

/// The text of an element that may be missing.
fn element<'a>(body: &'a str, name: &str) -> Result<Option<&'a str>, Fault> {
    let Some((_, rest)) = body.split_once(&format!("<{name}>")) else { return Ok(None) };
    rest.split_once(&format!("</{name}>")).map(|(text, _)| Some(text.trim())).ok_or_else(malformed)
}

/// GetBucketInfo.
pub(super) fn info(ask: &Ask, name: &str) -> Result<Answer, Fault> {
    let world = ask.shared.world();
    let bucket = world.buckets.get(name).ok_or_else(no_bucket)?;
    let account = &ask.shared.config.account;
    let mut body = xml::Writer::document("BucketInfo");
    body.open("Bucket")
        .leaf("Name", name)
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
        .leaf("Comment", "");
    body.open("Owner").leaf("ID", account).leaf("DisplayName", account).close();
    body.open("AccessControlList").leaf("Grant", &bucket.acl).close();
    body.open("ServerSideEncryptionRule").leaf("SSEAlgorithm", "None").close();
    body.open("BucketPolicy").leaf("LogBucket", "").leaf("LogPrefix", "").close();
    Ok(Answer::xml(body.finish()))
}

/// DeleteBucket.
pub(super) async fn delete(ask: &Ask<'_>, name: &str) -> Result<Answer, Fault> {
    let prefix = super::row_key(name, "");
    let (outcome, number) = ask.shared.commit(|world, _| {
        if world.objects.starting_with(&prefix).next().is_some() {
            return Err(Fault::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty."));
        }
        world.buckets.remove(name).map(drop).ok_or_else(no_bucket)
    });
    outcome?;
    settled(ask, number).await?;
    Ok(Answer::empty(204))
}
