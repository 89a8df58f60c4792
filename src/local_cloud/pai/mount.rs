//! Data sources of a job: what lies below a prefix of a bucket is copied to its path before a pod starts, and what the
//! pod changed there is copied back after it ended. What is mounted read-only is never copied back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::create::{invalid, not_found};
use super::job::{Job, Pod};
use crate::local_cloud::machines::disk::OWN;
use crate::local_cloud::machines::{FileSpec, MachineSpec};
use crate::local_cloud::oss::inner;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::blobs::Blobs;
use crate::local_cloud::wire::fault::Fault;

/// What is read of a data source.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Wish {
    data_source_id: String,
    uri: String,
    mount_path: String,
    mount_access: String,
}

/// A prefix of a bucket and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) uri: String,
    pub(crate) bucket: String,
    /// Empty, or with a slash at its end.
    pub(crate) prefix: String,
    /// Without a slash at its end.
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

/// What a pod found in its sources: for each, from path to digest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mounted {
    pub(crate) files: Vec<BTreeMap<String, String>>,
}

impl Source {
    /// `oss://bucket.endpoint/prefix/` at an absolute path.
    pub(super) fn read(wish: &Wish) -> Result<Source, Fault> {
        if !wish.data_source_id.is_empty() {
            return Err(not_found("DataSourceId", &wish.data_source_id));
        }
        let wrong = |why: &str| invalid("DataSources", why);
        let rest = wish.uri.strip_prefix("oss://").ok_or_else(|| wrong("the local cloud mounts only Uris that start with oss://"))?;
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = host.split(['.', ':']).next().filter(|bucket| !bucket.is_empty()).ok_or_else(|| wrong("the Uri names no bucket"))?;
        let prefix = prefix.trim_matches('/');
        let path = wish.mount_path.trim_end_matches('/');
        let mut parts = path.split('/');
        let sound = parts.next() == Some("") && parts.next().is_some_and(|top| OWN.contains(&top)) && parts.all(is_name);
        if !sound {
            return Err(wrong(&format!("the local cloud mounts below /{}", OWN.join(", /"))));
        }
        let read_only = match wish.mount_access.as_str() {
            "RO" => true,
            "" | "RW" => false,
            _ => return Err(wrong("MountAccess is RO or RW")),
        };
        Ok(Source {
            uri: wish.uri.clone(),
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            path: path.to_owned(),
            read_only,
        })
    }
}

/// Whether a part of a path is a name and leads nowhere else.
fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains('\0')
}

/// Copies all sources to a pod's machine. Answers what was found, or why it can't be mounted.
pub(super) async fn mount(shared: &Arc<Shared>, job: &Job, machine: &MachineSpec) -> Result<Mounted, String> {
    let mut mounted = Mounted::default();
    for source in &job.sources {
        let objects = inner::below(shared, &source.bucket, &source.prefix)
            .ok_or_else(|| format!("bucket {} of {} does not exist", source.bucket, source.uri))?;
        let mut files = BTreeMap::new();
        for path in objects.into_iter().filter(|path| path.split('/').all(is_name)) {
            let key = format!("{}{path}", source.prefix);
            let content =
                inner::get(shared, &source.bucket, &key).await.map_err(|refusal| format!("{path} can't be read: {}", refusal.message))?;
            let digest = Blobs::digest(&content);
            let file = FileSpec {
                path: format!("{}/{path}", source.path),
                content: content.to_vec(),
                owner: "root".to_owned(),
                group: "root".to_owned(),
                mode: 0o644,
                overwrite: true,
            };
            shared.machines.write_file(machine, file).await.map_err(|fault| format!("{path}: {fault}"))?;
            files.insert(path, digest);
        }
        mounted.files.push(files);
    }
    Ok(mounted)
}

/// Copies back what a pod made, changed and removed.
pub(super) async fn write_back(shared: &Arc<Shared>, job: &Job, pod: &Pod) -> Result<(), String> {
    let machine = pod.machine(&job.roles[pod.role]);
    let mounted = shared.world().pod_mounts.get(&pod.life.uid).cloned().unwrap_or_default();
    for (at, source) in job.sources.iter().enumerate().filter(|(_, source)| !source.read_only) {
        let nothing = BTreeMap::new();
        let before = mounted.files.get(at).unwrap_or(&nothing);
        let now = shared.machines.list_files(&machine, &source.path).await.map_err(|fault| fault.to_string())?;
        for file in now.iter().filter(|file| before.get(&file.path) != Some(&file.digest)) {
            let content =
                shared.machines.fetch_file(&machine, &format!("{}/{}", source.path, file.path)).await.map_err(|fault| fault.to_string())?;
            let key = format!("{}{}", source.prefix, file.path);
            inner::put(shared, &job.region, &source.bucket, &key, content.into()).await.map_err(|fault| fault.message)?;
        }
        let left: BTreeSet<&str> = now.iter().map(|file| file.path.as_str()).collect();
        for path in before.keys().filter(|path| !left.contains(path.as_str())) {
            let key = format!("{}{path}", source.prefix);
            inner::delete(shared, &job.region, &source.bucket, &key).await.map_err(|fault| fault.message)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, path: &str) -> Result<Source, Fault> {
        Source::read(&Wish { uri: uri.to_owned(), mount_path: path.to_owned(), ..Wish::default() })
    }

    #[test]
    fn a_uri_names_bucket_and_prefix() {
        let source = read("oss://data.oss-cn-hangzhou-internal.aliyuncs.com/a/b", "/mnt/data/").unwrap();
        assert_eq!((source.bucket.as_str(), source.prefix.as_str(), source.path.as_str()), ("data", "a/b/", "/mnt/data"));
        assert_eq!(read("oss://data.127.0.0.1:80/", "/mnt").unwrap().prefix, "");
        assert_eq!(read("oss://data", "/ml/input").unwrap().bucket, "data");
        for (uri, path) in
            [("nas://x/", "/mnt"), ("oss:///x", "/mnt"), ("oss://b/", "/usr/x"), ("oss://b/", "mnt"), ("oss://b/", "/mnt/../x")]
        {
            assert!(read(uri, path).is_err(), "{uri} {path}");
        }
    }
}
