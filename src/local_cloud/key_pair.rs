//! SSH key pairs: made here or brought along, bound to instances, deleted. A private key is answered once and kept
//! nowhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest, Md5};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, ecs_tags};
use super::image::like;
use super::instance;
use super::paging::Page;
use super::time::minutes;
use super::vpc;
use super::wire::fault::Fault;
use super::wire::params::Tags;
use crate::model::secret::Secret;

/// How many bits a key has that is made here.
const BITS: usize = 2048;
/// What a public key may be.
const KINDS: [&str; 6] = ["ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// A key pair, without its private half.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyPair {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    /// As OpenSSH writes it.
    pub(crate) public_key: String,
    pub(crate) fingerprint: String,
    pub(crate) created: Timestamp,
    pub(crate) resource_group: String,
    pub(crate) tags: Tags,
}

/// Both halves of a key that was just made.
pub(crate) struct FreshKey {
    /// PKCS#8 in PEM.
    private: Secret,
    public: String,
}

/// Makes a key. Takes long enough to be done before the world is locked.
pub(crate) fn make() -> Result<FreshKey, Fault> {
    let broken = |error: String| Fault::new(500, "InternalError", error);
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS).map_err(|error| broken(error.to_string()))?;
    let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| broken(error.to_string()))?;
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-rsa");
    put_number(&mut blob, &key.e().to_bytes_be());
    put_number(&mut blob, &key.n().to_bytes_be());
    Ok(FreshKey { private: Secret::new(private.as_str()), public: format!("ssh-rsa {}", STANDARD.encode(blob)) })
}

/// A text of the SSH wire format: its length, then itself.
fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
    blob.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    blob.extend(bytes);
}

/// A positive number of the SSH wire format: a first bit that is set would make it negative.
fn put_number(blob: &mut Vec<u8>, bytes: &[u8]) {
    let sign = bytes.first().is_some_and(|first| first & 0x80 != 0);
    put(blob, &[if sign { &[0][..] } else { &[] }, bytes].concat());
}

/// Where a key pair's row is: names are unique in a region.
pub(crate) fn place(region: &str, name: &str) -> String {
    format!("{region}/{name}")
}

/// A key pair that a call names.
pub(crate) fn find<'a>(call: &'a Call, region: &str, name: &str) -> Result<&'a KeyPair, Fault> {
    let missing = || Fault::missing("InvalidKeyPairName.NotFound", "The specified KeyPairName does not exist.");
    call.world.key_pairs.get(&place(region, name)).ok_or_else(missing)
}

fn new_name(call: &Call, region: &str) -> Result<String, Fault> {
    let name = call.params.required("KeyPairName")?;
    let known = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
    let fits = (2..=128).contains(&name.chars().count()) && name.starts_with(char::is_alphabetic) && name.chars().all(known);
    if !fits || name.starts_with("http://") || name.starts_with("https://") {
        return Err(Fault::bad("InvalidKeyPairName.Malformed", "Specified Key Pair name is not valid."));
    }
    if call.world.key_pairs.contains(&place(region, name)) {
        return Err(Fault::bad("KeyPair.AlreadyExist", "The key pair already exist."));
    }
    if call.world.key_pairs.values().filter(|key| key.region == region).count() >= call.config.quotas.key_pairs {
        return Err(Fault::forbidden("QuotaExceed.KeyPair", "The key pair quota exceeds."));
    }
    Ok(name.to_owned())
}

/// The MD5 of the key's bytes, two digits at a time.
fn fingerprint(blob: &[u8]) -> String {
    Md5::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn keep(call: &mut Call, region: &str, name: &str, public_key: String, blob: &[u8], tags: Tags) -> KeyPair {
    let pair = KeyPair {
        id: call.new_id("ssh", region, 20),
        region: region.to_owned(),
        name: name.to_owned(),
        public_key,
        fingerprint: fingerprint(blob),
        created: call.now,
        resource_group: vpc::resource_group(call),
        tags,
    };
    call.world.key_pairs.insert(place(region, name), pair.clone());
    pair
}

/// CreateKeyPair.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let name = new_name(call, region.id)?;
    let tags = call.params.tags()?;
    let key = match call.world.index.fresh_keys.pop() {
        Some(key) => key,
        None => make()?,
    };
    let blob = blob_of(&key.public).unwrap_or_default();
    let pair = keep(call, region.id, &name, key.public, &blob, tags);
    Ok(json!({
        "KeyPairId": pair.id,
        "KeyPairName": pair.name,
        "KeyPairFingerPrint": pair.fingerprint,
        "PrivateKeyBody": key.private.reveal(),
    }))
}

/// The bytes of a public key, if it is one: its kind is named before them and in them.
fn blob_of(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let kind = words.next().filter(|kind| KINDS.contains(kind))?;
    let blob = STANDARD.decode(words.next()?).ok()?;
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
    let named = blob.get(4..4_usize.checked_add(length)?)?;
    (named == kind.as_bytes() && blob.len() > 4 + length).then_some(blob)
}

/// ImportKeyPair.
pub(crate) fn import(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let name = new_name(call, region.id)?;
    let key = call.params.required("PublicKeyBody")?.trim().to_owned();
    let malformed = || Fault::bad("InvalidPublicKeyBody.Malformed", "The PublicKeyBody format is not supported.");
    let blob = Some(&key).filter(|key| !key.contains('\n')).and_then(|key| blob_of(key)).ok_or_else(malformed)?;
    let tags = call.params.tags()?;
    let pair = keep(call, region.id, &name, key, &blob, tags);
    Ok(json!({ "KeyPairName": pair.name, "KeyPairFingerPrint": pair.fingerprint }))
}

/// DescribeKeyPairs.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let filter = params.tag_filter();
    let public = params.boolean("IncludePublicKey")?;
    let rows = call.world.key_pairs.iter().filter(|(_, key)| {
        key.region == region.id
            && params.text("KeyPairName").is_none_or(|name| like(name, &key.name))
            && params.text("KeyPairFingerPrint").is_none_or(|wanted| wanted == key.fingerprint)
            && params.text("ResourceGroupId").is_none_or(|wanted| wanted == key.resource_group)
            && filter.fits(&key.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut
        .rows
        .iter()
        .map(|key| {
            let mut row = json!({
                "KeyPairName": key.name,
                "KeyPairFingerPrint": key.fingerprint,
                "CreationTime": minutes(key.created),
                "ResourceGroupId": key.resource_group,
                "Tags": ecs_tags(&key.tags),
            });
            if public {
                row["PublicKey"] = key.public_key.clone().into();
            }
            row
        })
        .collect();
    let mut answer = json!({ "KeyPairs": { "KeyPair": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

/// DeleteKeyPairs: all or none; names that are not there are no mistake.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let names = call.params.json_list("KeyPairNames", 100)?.filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| Fault::mandatory("KeyPairNames"))?;
    let bound = |name: &String| {
        call.world.instances.values().any(|row| row.region == region.id && !row.is_released() && row.key_pair.as_ref() == Some(name))
    };
    if let Some(name) = names.iter().find(|name| bound(name)) {
        let message = format!("The specified key pair {name} is attached to an instance.");
        return Err(Fault::bad("InvalidParameter.KeypairAlreadyAttachedInstance", message));
    }
    for name in &names {
        call.world.key_pairs.remove(&place(region.id, name));
    }
    Ok(json!({}))
}

/// AttachKeyPair: takes the place of an earlier one, and counts from the next boot on.
pub(crate) fn attach(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let name = call.params.required("KeyPairName")?.to_owned();
    find(call, region.id, &name)?;
    let ids = call.params.json_list("InstanceIds", 50)?.filter(|ids| !ids.is_empty()).ok_or_else(|| Fault::mandatory("InstanceIds"))?;
    let mut results: Vec<Json> = Vec::new();
    let mut failed = 0;
    for id in &ids {
        let fault = instance::find(call, id).err();
        if fault.is_none()
            && let Some(row) = call.world.instances.get_mut(id)
        {
            row.key_pair = Some(name.clone());
            row.key_pending = true;
        }
        failed += usize::from(fault.is_some());
        let (code, message) = fault.as_ref().map_or(("200", "successful"), |fault| (fault.code.as_str(), fault.message.as_str()));
        results.push(json!({ "InstanceId": id, "Success": fault.is_none().to_string(), "Code": code, "Message": message }));
    }
    Ok(json!({
        "KeyPairName": name,
        "TotalCount": ids.len().to_string(),
        "FailCount": failed.to_string(),
        "Results": { "Result": results },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_names_its_kind_twice() {
        let key = make().unwrap();
        let blob = blob_of(&key.public).unwrap();
        assert_eq!(fingerprint(&blob).len(), 16 * 3 - 1);
        assert!(key.private.reveal().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(blob_of(&key.public.replace("ssh-rsa", "ssh-dss")).is_none());
        assert!(blob_of("ssh-rsa AAAA").is_none());
        assert!(blob_of("ssh-rsa !!").is_none());
        assert!(blob_of("").is_none());
    }
}
