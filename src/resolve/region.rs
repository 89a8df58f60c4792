//! Which region: the user's; overseas when a command fetches from hosts overseas and no mainland mirror is set; else
//! Hangzhou.

use std::path::Path;

use super::Draft;
use super::app::Project;
use crate::manifest::Region;
use crate::model::decision::{Decision, Rejected};

const MAINLAND: &str = "cn-hangzhou";
const OVERSEAS: &str = "ap-southeast-1";

/// Commands that fetch from hosts overseas unless a mirror is configured.
const FETCHERS: &[&str] = &[
    "pip install",
    "pip3 install",
    "uv sync",
    "uv pip",
    "poetry install",
    "pdm install",
    "pipenv install",
    "npm ci",
    "npm install",
    "pnpm install",
    "yarn install",
    "apt-get install",
    "apt install",
    "yum install",
    "dnf install",
    "go build",
    "go get",
    "go install",
    "cargo build",
    "cargo install",
    "gem install",
    "bundle install",
    "composer install",
    "git clone",
    "docker pull",
    "docker compose",
    "curl http",
    "wget http",
    "mvn ",
    "gradle",
];
/// Words by which a mainland mirror is known, and the files that may hold them.
const MIRRORS: &[&str] =
    &["aliyun", "tuna.tsinghua", "ustc.edu", "npmmirror", "goproxy.cn", "huaweicloud", "tencent", "rsproxy.cn", "gitee.com"];
const MIRROR_FILES: &[&str] =
    &["pip.conf", ".npmrc", ".yarnrc", ".yarnrc.yml", "requirements.txt", "pyproject.toml", "go.env", ".cargo/config.toml", "settings.xml"];

const KEY: &str = "region";

fn mirror(folder: &Path) -> Option<String> {
    MIRROR_FILES.iter().find_map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        let line = text.lines().position(|line| MIRRORS.iter().any(|mirror| line.contains(mirror)))?;
        Some(format!("{file}:{}", line + 1))
    })
}

/// Where something is fetched from overseas: the application and the command.
fn fetch(projects: &[(String, Project)]) -> Option<String> {
    projects.iter().find_map(|(name, project)| {
        let commands = [&project.install, &project.build, &Some(project.start.clone())].into_iter().flatten().cloned().collect::<Vec<_>>();
        let command = commands.iter().find(|command| FETCHERS.iter().any(|fetcher| command.contains(fetcher)))?;
        if MIRRORS.iter().any(|mirror| command.contains(mirror)) || mirror(&project.folder).is_some() {
            return None;
        }
        Some(format!("app `{name}` runs `{}`, which fetches from hosts overseas", command.lines().next().unwrap_or(command)))
    })
}

/// Chooses it.
pub(super) fn choose(draft: &mut Draft<'_>, projects: &[(String, Project)]) -> String {
    if let Region::Named(region) = &draft.manifest.region {
        let because = format!("named at {}:{}", region.location.file, region.location.line);
        return draft.decide(KEY, Decision { chosen: region.value.clone(), because, rejected: Vec::new() });
    }
    if let Some(region) = draft.decided(KEY) {
        return region;
    }
    let decision = match fetch(projects) {
        Some(evidence) => Decision {
            chosen: OVERSEAS.to_owned(),
            because: evidence,
            rejected: vec![Rejected {
                option: MAINLAND.to_owned(),
                because: "hosts overseas are slow or out of reach from there".to_owned(),
            }],
        },
        None => Decision {
            chosen: MAINLAND.to_owned(),
            because: "nothing is fetched from hosts overseas".to_owned(),
            rejected: vec![Rejected { option: OVERSEAS.to_owned(), because: "only needed for fetching from hosts overseas".to_owned() }],
        },
    };
    draft.decide(KEY, decision)
}
