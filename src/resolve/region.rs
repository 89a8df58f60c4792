//! Which region: the user's; overseas when a command fetches from hosts overseas and no mainland mirror is set; else
//! Hangzhou.

use std::path::Path;

use super::Draft;
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
    "mvn ",
    "mvnw",
    "gradle",
    "dotnet restore",
    "dotnet publish",
    "dotnet build",
];
/// Words by which a mainland mirror is known, and the files that may hold them.
const MIRRORS: &[&str] =
    &["aliyun", "tuna.tsinghua", "ustc.edu", "npmmirror", "goproxy.cn", "huaweicloud", "tencent", "rsproxy.cn", "gitee.com"];
const MIRROR_FILES: &[&str] =
    &["pip.conf", ".npmrc", ".yarnrc", ".yarnrc.yml", "requirements.txt", "pyproject.toml", "go.env", ".cargo/config.toml", "settings.xml"];

/// The name of the decision.
pub(super) const KEY: &str = "region";

fn mirror(folder: &Path) -> Option<String> {
    MIRROR_FILES.iter().find_map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        let line = text.lines().position(|line| MIRRORS.iter().any(|mirror| line.contains(mirror)))?;
        Some(format!("{file}:{}", line + 1))
    })
}

/// A host of the mainland, or none that is reached over the border.
fn is_near(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default();
    host.ends_with(".cn") || host == "localhost" || host.starts_with("127.") || MIRRORS.iter().any(|mirror| host.contains(mirror))
}

/// What of a command fetches from overseas: a tool whose registry lies there, or a download from a host there.
fn fetches(command: &str) -> Option<String> {
    if let Some(fetcher) = FETCHERS.iter().find(|fetcher| command.contains(*fetcher)) {
        return Some(fetcher.trim().to_owned());
    }
    let downloads = command.split_whitespace().any(|word| matches!(word.rsplit('/').next(), Some("curl" | "wget")));
    let hosts = command.split("://").skip(1).filter_map(|rest| rest.split(['/', '\'', '"', ' ', '\n']).next());
    let host = hosts.into_iter().find(|host| downloads && host.contains('.') && !is_near(host))?;
    Some(format!("a download from {host}"))
}

/// Someone who may fetch from overseas.
pub(super) struct Fetcher<'a> {
    /// ``app `web` ``.
    pub(super) who: String,
    /// The folder of its files.
    pub(super) folder: &'a Path,
    /// Every command it runs, with the place that it stands in or was found at.
    pub(super) commands: &'a [(String, String)],
}

impl Fetcher<'_> {
    /// What is fetched, and the command and the place of it.
    pub(super) fn fetches(&self) -> Option<(String, &str, &str)> {
        self.commands.iter().find_map(|(command, place)| Some((fetches(command)?, command.as_str(), place.as_str())))
    }

    /// Where something is fetched from overseas: who, the command, and the line it stands in or comes from.
    fn overseas(&self) -> Option<String> {
        let found = self.commands.iter().find_map(|(command, place)| {
            let near = MIRRORS.iter().any(|mirror| command.contains(mirror)) || mirror(self.folder).is_some();
            Some((fetches(command).filter(|_| !near)?, command, place))
        });
        let (what, command, place) = found?;
        let line = command.lines().find(|line| line.contains(&what)).or(command.lines().next()).unwrap_or(command);
        Some(format!("{} runs `{}` ({place}), which fetches from hosts overseas", self.who, line.trim()))
    }
}

/// Chooses it.
pub(super) fn choose(draft: &mut Draft<'_>, fetchers: &[Fetcher<'_>]) -> String {
    if let Region::Named(region) = &draft.manifest.region {
        let because = format!("named at {}:{}", region.location.file, region.location.line);
        return draft.decide(KEY, Decision { chosen: region.value.clone(), because, rejected: Vec::new() });
    }
    if let Some(region) = draft.decided(KEY) {
        return region;
    }
    let decision = match fetchers.iter().find_map(Fetcher::overseas) {
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
