//! What the name of a container image tells of the system in it. It pulls nothing: a name that tells nothing is believed
//! to be anything.

use crate::project::scripts::PackageManager;

/// Words of systems that packages are installed on with `apt-get`.
const DEBIAN: &[&str] = &["ubuntu", "debian", "bookworm", "bullseye", "buster", "trixie", "jammy", "noble", "focal"];
/// The same with `dnf`.
const FEDORA: &[&str] = &["alinux3", "alinux4", "anolis", "rocky", "almalinux", "fedora", "centos:8", "centos8", "ubi8", "ubi9"];
/// The same with `yum`.
const CENTOS: &[&str] = &["alinux2", "centos7", "centos:7"];
/// Images of Docker's own library, and of those who publish frameworks, that are built on Debian or Ubuntu.
const BUILT_ON_DEBIAN: &[&str] = &["python", "node", "golang", "ruby", "php", "pytorch/pytorch", "tensorflow/tensorflow"];
/// Variants of those that are built on something else.
const OTHERS: &[&str] = &["alpine", "windowsservercore", "nanoserver", "busybox"];

/// The package manager of an image, if its name tells.
pub(super) fn package_manager(image: &str) -> Option<PackageManager> {
    let image = image.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| image.contains(word));
    if says(OTHERS) {
        return None;
    }
    let repository = image.split([':', '@']).next().unwrap_or_default();
    let library = repository.trim_start_matches("docker.io/").trim_start_matches("library/");
    match () {
        () if says(DEBIAN) => Some(PackageManager::Apt),
        () if says(CENTOS) => Some(PackageManager::Yum),
        () if says(FEDORA) => Some(PackageManager::Dnf),
        () if BUILT_ON_DEBIAN.contains(&library) => Some(PackageManager::Apt),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_package_manager_or_nothing() {
        use PackageManager::{Apt, Dnf, Yum};
        for (image, manager) in [
            ("ubuntu:24.04", Some(Apt)),
            ("python:3.12-slim", Some(Apt)),
            ("docker.io/library/node:20", Some(Apt)),
            ("pytorch/pytorch:2.8.0-cuda12.9-cudnn9-runtime", Some(Apt)),
            ("dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/pytorch:2.8-gpu-py312-cu128-ubuntu24.04", Some(Apt)),
            ("alibaba-cloud-linux-3-registry.cn-hangzhou.cr.aliyuncs.com/alinux3/python:3.11.1", Some(Dnf)),
            ("centos:7.9", Some(Yum)),
            ("python:3.12-alpine", None),
            ("registry.cn-hangzhou.aliyuncs.com/lab/python:1", None),
            ("registry.cn-hangzhou.aliyuncs.com/lab/train:1", None),
        ] {
            assert_eq!(package_manager(image), manager, "{image}");
        }
    }
}
