//! The code of a function: taken from a body or from OSS, checked, kept by its digest, unpacked for a machine. Nothing
//! of it is run here.

use std::io::{Cursor, Read};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::settings::invalid;
use crate::local_cloud::oss::content::{self, Held};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::blobs::Blobs;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::wire::fault::Fault;

const CRC64: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_XZ);
/// The largest package in a body, as base64, and the largest from OSS. Source: Function Compute, limits.
const LARGEST_TEXT: usize = 100 << 20;
const LARGEST_OBJECT: usize = 500 << 20;
/// The most that a package may become: what the largest disk holds would not fit into memory.
const LARGEST_UNPACKED: u64 = 2 << 30;

/// What a call says of the code.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Input {
    zip_file: Option<String>,
    oss_bucket_name: Option<String>,
    oss_object_name: Option<String>,
    checksum: Option<String>,
}

/// A package that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Code {
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// CRC-64 in decimal.
    pub(crate) checksum: String,
}

/// The bytes of a package, and what they are known by.
pub(crate) struct Package {
    pub(crate) code: Code,
    bytes: Bytes,
}

impl Input {
    /// Fetches and checks the package.
    pub(crate) async fn fetch(&self, shared: &Arc<Shared>, region: &str) -> Result<Package, Fault> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let bytes = match (given(&self.zip_file), given(&self.oss_bucket_name), given(&self.oss_object_name)) {
            (Some(text), None, None) => {
                if text.len() > LARGEST_TEXT {
                    return Err(Fault::bad("EntityTooLarge", format!("code.zipFile exceeds {LARGEST_TEXT} bytes; put it into OSS")));
                }
                Bytes::from(STANDARD.decode(text).map_err(|_| invalid("code.zipFile is not base64"))?)
            }
            (None, Some(bucket), Some(object)) => from_oss(shared, region, &bucket, &object).await?,
            _ => return Err(invalid("code needs either zipFile, or ossBucketName and ossObjectName")),
        };
        let checksum = CRC64.checksum(&bytes).to_string();
        if let Some(told) = given(&self.checksum).filter(|told| *told != checksum) {
            return Err(invalid(format!("code.checksum '{told}' does not match: the package has {checksum}")));
        }
        let read = bytes.clone();
        // Reading a large directory takes long.
        let looked = tokio::task::spawn_blocking(move || look(&read)).await;
        looked
            .map_err(|error| invalid(error.to_string()))?
            .map_err(|reason| invalid(format!("the code package is not valid: {reason}")))?;
        Ok(Package { code: Code { digest: Blobs::digest(&bytes), size: bytes.len() as u64, checksum }, bytes })
    }
}

async fn from_oss(shared: &Arc<Shared>, region: &str, bucket: &str, object: &str) -> Result<Bytes, Fault> {
    let (found, _held) = {
        let mut world = shared.world();
        let home = world.buckets.get(bucket).ok_or_else(|| invalid(format!("OSS bucket '{bucket}' does not exist")))?;
        if home.region != region {
            return Err(invalid(format!("OSS bucket '{bucket}' is in {} and not in {region}", home.region)));
        }
        let found = world.objects.get(&format!("{bucket}/{object}"));
        let found = found.ok_or_else(|| invalid(format!("OSS object '{object}' does not exist in bucket '{bucket}'")))?;
        if found.size > LARGEST_OBJECT as u64 {
            return Err(Fault::bad("EntityTooLarge", format!("OSS object '{object}' exceeds {LARGEST_OBJECT} bytes")));
        }
        let found = found.clone();
        // What is being read is not forgotten meanwhile.
        let held = Held::of(shared, &mut world, found.content.digests());
        (found, held)
    };
    let read = content::read(shared, &found, 0, found.size).await;
    read.map_err(|error| Fault::new(500, "InternalServerError", error.message))
}

impl Package {
    /// Keeps the bytes. They count as used from now on; whoever does not name them in a row has to give them up.
    pub(crate) async fn keep(self, shared: &Shared) -> Result<Code, Fault> {
        // Before they are written, so that nobody forgets them in between.
        *shared.world().index.blobs.entry(self.code.digest.clone()).or_default() += 1;
        match shared.blobs.put(&self.code.digest, self.bytes).await {
            Ok(()) => Ok(self.code),
            Err(error) => {
                give_up(&mut shared.world(), &self.code.digest);
                Err(Fault::new(500, "InternalServerError", error.to_string()))
            }
        }
    }
}

/// One function less names those bytes.
pub(crate) fn give_up(world: &mut World, digest: &str) {
    if let Some(uses) = world.index.blobs.get_mut(digest) {
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            world.index.blobs.remove(digest);
            world.index.tasks.push(Task::Forget(digest.to_owned()));
        }
    }
}

type Archive<'a> = zip::ZipArchive<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<Archive<'_>, String> {
    zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())
}

/// Whether it is a package that can be unpacked.
fn look(bytes: &[u8]) -> Result<(), String> {
    let mut archive = open(bytes)?;
    let mut total = 0_u64;
    for number in 0..archive.len() {
        let file = archive.by_index_raw(number).map_err(|error| error.to_string())?;
        let name = file.name().map_err(|error| error.to_string())?.into_owned();
        file.enclosed_name().ok_or_else(|| format!("the path `{name}` leads out of it"))?;
        if file.encrypted() {
            return Err(format!("`{name}` is encrypted"));
        }
        total = total.saturating_add(file.size());
    }
    if total > LARGEST_UNPACKED { Err(format!("it unpacks to {total} bytes")) } else { Ok(()) }
}

/// The package as a tar archive, which every system unpacks.
pub(crate) fn as_tar(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = open(bytes)?;
    let mut tar = tar::Builder::new(Vec::new());
    let mut left = LARGEST_UNPACKED;
    let text = |error: std::io::Error| error.to_string();
    for number in 0..archive.len() {
        let file = archive.by_index(number).map_err(|error| error.to_string())?;
        let Some(path) = file.enclosed_name().filter(|path| !path.as_os_str().is_empty()) else { continue };
        let mut header = tar::Header::new_gnu();
        let mode = file.unix_mode().unwrap_or(0) & 0o7777;
        header.set_mtime(0);
        if file.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(if mode == 0 { 0o755 } else { mode });
            header.set_size(0);
            tar.append_data(&mut header, &path, std::io::empty()).map_err(text)?;
            continue;
        }
        let link = file.is_symlink();
        let mut content = Vec::new();
        // The size that the package tells may be a lie.
        file.take(left + 1).read_to_end(&mut content).map_err(text)?;
        left = left.checked_sub(content.len() as u64).ok_or("it unpacks to too much")?;
        if link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            let target = String::from_utf8(content).map_err(|error| error.to_string())?;
            tar.append_link(&mut header, &path, target).map_err(text)?;
        } else {
            header.set_mode(if mode == 0 { 0o644 } else { mode });
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, &path, content.as_slice()).map_err(text)?;
        }
    }
    tar.into_inner().map_err(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use zip::write::SimpleFileOptions;

    fn packed(names: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, mode, content) in names {
            writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_package_keeps_names_modes_and_bytes() {
        let tar = as_tar(&packed(&[("bootstrap", 0o755, b"#!/bin/sh\n"), ("lib/data", 0o600, b"\0\xff")])).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), content));
        }
        let expected = [("bootstrap", 0o755, b"#!/bin/sh\n".to_vec()), ("lib/data", 0o600, b"\0\xff".to_vec())];
        assert_eq!(found, expected.map(|(name, mode, content)| (name.to_owned(), mode, content)));
    }

    #[test]
    fn what_is_no_package_or_leads_out_of_it_is_refused() {
        look(&packed(&[("index.py", 0o644, b"")])).unwrap();
        look(b"no zip at all").unwrap_err();
        assert!(look(&packed(&[("../escape", 0o644, b"x")])).unwrap_err().contains("escape"));
    }
}
