//! Whether scripts install with the package manager that their image has.

use super::complaint;
use crate::model::diagnostic::Diagnostic;
use crate::project::code::Script;
use crate::project::scripts::PackageManager;

const APT: &[&str] = &["apt", "apt-get", "aptitude", "dpkg"];
const RPM: &[&str] = &["yum", "dnf", "rpm", "microdnf"];
/// What each does besides looking around.
const ACTIONS: &[&str] =
    &["install", "update", "upgrade", "-i", "-y", "makecache", "groupinstall", "localinstall", "reinstall", "-ivh", "-Uvh"];

/// One complaint for each script that uses the other family and never the right one: who asks for both asks first.
pub(super) fn complaints(scripts: &[Script], image: &str, manager: PackageManager) -> Vec<Diagnostic> {
    let (right, wrong, instead) = match manager {
        PackageManager::Apt => (APT, RPM, "apt-get install -y"),
        PackageManager::Dnf => (RPM, APT, "dnf install -y"),
        PackageManager::Yum => (RPM, APT, "yum install -y"),
    };
    let one = |script: &Script| {
        let commands = script.shell_commands();
        if commands.iter().any(|command| right.contains(&command.program())) {
            return None;
        }
        let acts = |words: &[String]| words.iter().any(|word| ACTIONS.contains(&word.as_str()));
        let command = commands.iter().find(|command| wrong.contains(&command.program()) && acts(&command.words))?;
        let message = format!("`{}` is not on the image `{image}`, which has `{}`", command.program(), right_name(manager));
        let hint = format!("write `{instead} ...` there, or take another image; the names of packages may differ");
        Some(complaint("wrong-package-manager", message, script, script.line(command.line), &command.text, &hint))
    };
    scripts.iter().filter_map(one).collect()
}

fn right_name(manager: PackageManager) -> &'static str {
    match manager {
        PackageManager::Apt => "apt-get",
        PackageManager::Dnf => "dnf",
        PackageManager::Yum => "yum",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, text: &str, manager: PackageManager) -> Option<u32> {
        let found = complaints(&[Script::file(file, text)], "an image", manager);
        found.first().and_then(|complaint| complaint.location.as_ref()).map(|location| location.line)
    }

    #[test]
    fn the_package_manager_follows_the_image() {
        use PackageManager::{Apt, Dnf, Yum};
        for (file, text, manager, line) in [
            ("a.sh", "set -e\napt-get update\napt-get install -y jq\n", Dnf, Some(2)),
            ("a.sh", "sudo apt install jq\n", Yum, Some(1)),
            ("a.sh", "x && yum -y install jq\n", Apt, Some(1)),
            ("a.sh", "dnf install -y jq\n", Apt, Some(1)),
            ("a.sh", "yum install -y jq\n", Dnf, None),
            ("a.sh", "dnf install -y jq\n", Yum, None),
            ("a.sh", "apt-get install -y jq\n", Apt, None),
            ("a.sh", "if command -v apt-get; then apt-get install -y jq; else yum install -y jq; fi\n", Dnf, None),
            ("a.sh", "# apt-get install jq\necho 'apt-get install jq'\n", Dnf, None),
            ("a.sh", "docker run ubuntu apt-get install -y jq\n", Dnf, None),
            ("a.sh", "dpkg -i x.deb\n", Dnf, Some(1)),
            ("a.py", "import os\nos.system('apt-get install -y ffmpeg')\n", Dnf, Some(2)),
            ("a.py", "import subprocess\nsubprocess.run(['yum', 'install', '-y', 'x'], check=True)\n", Apt, Some(2)),
            ("a.py", "print('apt-get install x')\n", Dnf, None),
        ] {
            assert_eq!(place(file, text, manager), line, "{text}");
        }
    }
}
