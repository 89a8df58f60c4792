//! Public images, as descriptions show them.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::Image;
use super::paging::Page;
use super::price;
use super::time::read;
use super::wire::fault::Fault;
use super::wire::params::Params;

/// When the images of the catalogue say they were made, if their id does not tell.
const MADE: &str = "2026-06-01T00:00:00Z";

/// DescribeImages.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 100)?;
    let ids = params.commas("ImageId", 100)?;
    let kind = params.text("InstanceType").map(|name| price::kind_of(call, name)).transpose()?;
    let status = params.commas("Status", 10)?;
    let tagged = !params.tag_filter().is_empty();
    let (cloud_init, optimized) = (params.flag("IsSupportCloudinit")?, params.flag("IsSupportIoOptimized")?);
    let (public, usable) = (params.flag("IsPublic")?, params.flag("Usable")?);
    params.choice("ActionType", &["CreateEcs", "ChangeOS"], "CreateEcs")?;
    params.flag("ShowExpired")?;
    let made_between = moments(params)?;
    // Public images come from no snapshot and are in no group.
    let own = params.text("SnapshotId").is_some() || params.text("ResourceGroupId").is_some();
    call.end_dry_run()?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.catalog.images.iter().filter(|(id, image)| {
        ids.as_ref().is_none_or(|ids| ids.contains(id))
            && !tagged
            && !own
            && [cloud_init, optimized, public, usable].iter().all(|wanted| *wanted != Some(false))
            && made_between.0.is_none_or(|from| read(&made(id)).is_some_and(|made| from <= made))
            && made_between.1.is_none_or(|to| read(&made(id)).is_some_and(|made| made <= to))
            && fits("ImageOwnerId", "0")
            && fits("Usage", usage(call, id))
            && fits("ImageFamily", &image.family)
            && fits("ImageOwnerAlias", "system")
            && fits("Architecture", image.architecture)
            && fits("OSType", "linux")
            && params.text("ImageName").is_none_or(|name| like(name, id))
            && status.as_ref().is_none_or(|all| all.iter().any(|status| status == "Available" || status == "ALL"))
            && kind.is_none_or(|kind| kind.runs(image.architecture))
    });
    let cut = page.cut(rows.map(|(id, image)| (id.as_str(), image)));
    let shown: Vec<Json> = cut.rows.iter().map(|image| row(image, usage(call, &image.id))).collect();
    let mut answer = json!({ "RegionId": region.id, "Images": { "Image": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

/// `instance` if one was made from the image, else `none`.
fn usage(call: &Call, image: &str) -> &'static str {
    if call.world.instances.values().any(|instance| instance.image == image) { "instance" } else { "none" }
}

/// `Filter.N` with `CreationStartTime` and `CreationEndTime`. Images are for every network, so that a filter by it leaves
/// all.
fn moments(params: &Params) -> Result<(Option<Timestamp>, Option<Timestamp>), Fault> {
    let mut moments = (None, None);
    for filter in params.structs("Filter") {
        let value = filter.required("Value")?;
        match filter.text("Key") {
            Some("CreationStartTime") => moments.0 = Some(read(value).ok_or_else(|| Fault::invalid("Filter.Value"))?),
            Some("CreationEndTime") => moments.1 = Some(read(value).ok_or_else(|| Fault::invalid("Filter.Value"))?),
            Some("NetworkType") => {}
            _ => return Err(Fault::invalid("Filter.Key")),
        }
    }
    Ok(moments)
}

/// Whether a text fits a pattern with `*` for anything.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// DescribeImageFromFamily.
pub(crate) fn from_family(call: &mut Call) -> Outcome {
    call.region()?;
    let image = by_family(call, call.params.required("ImageFamily")?)?;
    let mut shown = row(image, usage(call, &image.id));
    let fields = shown.as_object_mut().expect("a row is an object");
    // These are told by the list only.
    for listed in ["IsPublic", "OSNameEn", "Usable", "Features", "BootMode", "LoginAsNonRootSupported", "ResourceGroupId", "ImageOwnerId"] {
        fields.remove(listed);
    }
    if let Some(mapping) = shown["DiskDeviceMappings"]["DiskDeviceMapping"][0].as_object_mut() {
        for listed in ["Encrypted", "Progress", "RemainTime"] {
            mapping.remove(listed);
        }
    }
    Ok(json!({ "Image": shown }))
}

/// The newest image of a family.
pub(crate) fn by_family(call: &Call, family: &str) -> Result<&'static Image, Fault> {
    call.catalog
        .image_of_family(family)
        .ok_or_else(|| Fault::forbidden("InvalidImageFamily.MissingAvailableImage", "The specified ImageFamily has no available image."))
}

/// `20260510` at the end of an id says when it was made.
/// The image of an id.
pub(crate) fn find(call: &Call, id: &str) -> Result<&'static Image, Fault> {
    call.catalog.images.get(id).ok_or_else(|| Fault::missing("InvalidImageId.NotFound", "The specified ImageId does not exist."))
}

fn made(id: &str) -> String {
    let digits = id.trim_end_matches(".vhd").rsplit('_').next().unwrap_or_default();
    match digits.as_bytes() {
        [year @ .., m1, m2, d1, d2] if digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            format!("{}-{}-{}T00:00:00Z", text(year), text(&[*m1, *m2]), text(&[*d1, *d2]))
        }
        _ => MADE.to_owned(),
    }
}

fn row(image: &Image, usage: &str) -> Json {
    json!({
        "ImageId": image.id,
        "ImageName": image.id,
        "ImageFamily": image.family,
        "ImageOwnerAlias": "system",
        "ImageOwnerId": 0,
        "ImageVersion": "",
        "Description": "",
        "OSType": "linux",
        "OSName": image.os_name,
        "OSNameEn": image.os_name,
        "Platform": image.platform,
        "Architecture": image.architecture,
        "Size": image.size_gib,
        "Status": "Available",
        "Progress": "100%",
        "CreationTime": made(&image.id),
        "IsPublic": true,
        "IsCopied": false,
        "IsSubscribed": false,
        "IsSelfShared": "",
        "IsSupportCloudinit": true,
        "IsSupportIoOptimized": true,
        "LoginAsNonRootSupported": false,
        "BootMode": "BIOS",
        "ProductCode": "",
        "Usage": usage,
        "Usable": true,
        "ResourceGroupId": "",
        "Features": { "NvmeSupport": "unsupported", "ImdsSupport": "v1" },
        "DiskDeviceMappings": { "DiskDeviceMapping": [{
            "Device": "/dev/xvda",
            "Type": "system",
            "Size": image.size_gib.to_string(),
            "SnapshotId": "",
            "Format": "",
            "Encrypted": false,
            "Progress": "",
            "RemainTime": 0,
        }] },
        "Tags": { "Tag": [] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, fits) in [
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c*e", "abcde", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*b", "ac", false),
            ("*aa", "a", false),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn an_image_says_when_it_was_made() {
        assert_eq!(made("aliyun_4_x64_20G_alibase_20260430.vhd"), "2026-04-30T00:00:00Z");
        assert_eq!(made("whatever"), MADE);
    }
}
