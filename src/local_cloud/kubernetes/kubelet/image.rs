//! Which images exist. Nothing is pulled here: a container runs the programs of this computer. An image is there if its
//! name says that it could be: an official one, or one of a registry that is known.
//!
//! An image whose last part or repository is `does-not-exist`, whose tag is `missing`, or which
//! [`Config::missing_images`](crate::local_cloud::config::Config::missing_images) names is not there.

/// Registries whose images are taken to exist. A host below `aliyuncs.com` must be a registry's.
const REGISTRIES: [&str; 7] = ["docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "mcr.microsoft.com", "public.ecr.aws"];

/// Official images of Docker Hub whose entry point runs the given arguments as they are, with what they run without any.
const OFFICIAL: [(&str, &[&str]); 22] = [
    ("almalinux", &["/bin/bash"]),
    ("alpine", &["/bin/sh"]),
    ("amazonlinux", &["/bin/bash"]),
    ("archlinux", &["/usr/bin/bash"]),
    ("bash", &["bash"]),
    ("buildpack-deps", &["bash"]),
    ("busybox", &["sh"]),
    ("centos", &["/bin/bash"]),
    ("debian", &["bash"]),
    ("eclipse-temurin", &["jshell"]),
    ("fedora", &["/bin/bash"]),
    ("gcc", &["bash"]),
    ("golang", &["bash"]),
    ("node", &["node"]),
    ("openjdk", &["jshell"]),
    ("perl", &["perl", "-de0"]),
    ("php", &["php", "-a"]),
    ("python", &["python3"]),
    ("ruby", &["irb"]),
    ("rust", &["bash"]),
    ("rockylinux", &["/bin/bash"]),
    ("ubuntu", &["/bin/bash"]),
];

/// Official images that have an entry point of their own.
const WITH_ENTRY_POINT: [&str; 14] = [
    "caddy",
    "docker",
    "elasticsearch",
    "hello-world",
    "httpd",
    "mariadb",
    "memcached",
    "mongo",
    "mysql",
    "nginx",
    "postgres",
    "rabbitmq",
    "redis",
    "traefik",
];

/// What can be said of an image by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there. What it runs when a container names no command, if that is known.
    There(Option<&'static [&'static str]>),
    /// The name is none.
    Invalid,
    /// It is not there, in the words of a container runtime.
    Missing(String),
}

/// Looks an image up.
pub(crate) fn look_up(image: &str, missing: &[String]) -> Found {
    let Some(name) = Name::read(image) else { return Found::Invalid };
    let reference = format!("{}/{}:{}", name.host, name.path, name.tag);
    let failed = |why: String| {
        let what = format!("failed to pull and unpack image \"{reference}\": failed to resolve reference \"{reference}\": {why}");
        Found::Missing(format!("rpc error: code = NotFound desc = {what}"))
    };
    let named = |pattern: &String| pattern == image || *pattern == reference || image.split([':', '@']).next() == Some(pattern.as_str());
    let last = name.path.rsplit('/').next().unwrap_or_default();
    if missing.iter().any(named) || name.tag == "missing" {
        return failed(format!("{reference}: not found"));
    }
    if name.path.split('/').any(|part| part == "does-not-exist") {
        return failed("pull access denied, repository does not exist or may require authorization".to_owned());
    }
    let host = name.host.split(':').next().unwrap_or_default();
    let of_region = host
        .strip_suffix(".aliyuncs.com")
        .is_some_and(|host| host.starts_with("registry") || host.contains("-registry") || host.ends_with(".cr"));
    if !of_region && !REGISTRIES.contains(&host) {
        return failed(format!(
            "failed to do request: Head \"https://{}/v2/{}/manifests/{}\": dial tcp: lookup {host}: no such host",
            name.host, name.path, name.tag
        ));
    }
    let official = (name.host == "docker.io").then(|| name.path.strip_prefix("library/")).flatten();
    let known = OFFICIAL.iter().find(|(known, _)| *known == last).map(|(_, command)| *command);
    match official {
        // Nobody but the maintainers puts images there: an unknown name is a mistake.
        Some(official) if known.is_none() && !WITH_ENTRY_POINT.contains(&official) => {
            failed("pull access denied, repository does not exist or may require authorization".to_owned())
        }
        Some(_) => Found::There(known),
        // A copy of an official image in another registry, `.../library/python`, keeps what it does.
        None => Found::There(known),
    }
}

struct Name {
    host: String,
    path: String,
    tag: String,
}

impl Name {
    fn read(image: &str) -> Option<Name> {
        let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
        let (first, others) = rest.split_once('/').unwrap_or(("", rest));
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let (host, path) = if is_host { (first, others) } else { ("docker.io", rest) };
        let (path, tag) = path.split_once(':').unwrap_or((path, "latest"));
        let tag = digest.unwrap_or(tag);
        let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
        let tagged = !tag.is_empty() && tag.len() <= 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c));
        (path.split('/').all(part) && tagged).then(|| Name { host: host.to_owned(), path, tag: tag.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whether_an_image_is_there() {
        let there = [
            "python:3.12-slim",
            "busybox",
            "docker.io/library/alpine:3",
            "registry.cn-hangzhou.aliyuncs.com/my/app:1",
            "ghcr.io/a/b@sha256:00",
            "me/app",
        ];
        for image in there.iter().chain(&[
            "registry-vpc.cn-beijing.aliyuncs.com/acs/pause:3.9",
            "nginx",
            "abc-registry.cn-hangzhou.cr.aliyuncs.com/x/y",
        ]) {
            assert!(matches!(look_up(image, &[]), Found::There(_)), "{image}: {:?}", look_up(image, &[]));
        }
        for image in [
            "does-not-exist",
            "python:missing",
            "registry.example.com/app:1",
            "oss-cn-hangzhou.aliyuncs.com/a/b",
            "nosuchofficialimage",
            "ghcr.io/a/does-not-exist:2",
        ] {
            assert!(matches!(look_up(image, &[]), Found::Missing(_)), "{image}");
        }
        assert!(matches!(look_up("python:3", &["python".to_owned()]), Found::Missing(_)));
        for image in ["Python", "a b", "python:", "/x"] {
            assert_eq!(look_up(image, &[]), Found::Invalid, "{image}");
        }
        assert_eq!(look_up("bash:5", &[]), Found::There(Some(&["bash"])));
        assert_eq!(look_up("nginx:1", &[]), Found::There(None));
    }
}
