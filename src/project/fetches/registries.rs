//! The registries that package managers fetch from: which command uses which, and by what a mirror of it is set up.

use super::Reach;
use super::hosts;
use crate::project::code::shell::Command;

/// A place where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::project) enum Registry {
    Pip,
    Conda,
    Npm,
    Apt,
    Rpm,
    Go,
    Cargo,
    Rustup,
    Gem,
    Composer,
    Maven,
    Dotnet,
    HuggingFace,
    Docker,
}

/// Programs with the words behind which they fetch; without one they always do.
const USES: &[(Registry, &[&str], &[&str])] = &[
    (Registry::Pip, &["pip", "pip3", "pip3.11", "pip3.12", "pipx"], &["install", "download", "wheel"]),
    (Registry::Pip, &["uv"], &["sync", "pip", "add", "run", "tool"]),
    (Registry::Pip, &["uvx"], &[]),
    (Registry::Pip, &["poetry", "pdm", "pipenv"], &["install", "sync", "add", "update"]),
    (Registry::Conda, &["conda", "mamba", "micromamba"], &["install", "create", "update", "env"]),
    (Registry::Npm, &["npm", "pnpm", "cnpm"], &["install", "i", "ci", "add", "update", "exec"]),
    (Registry::Npm, &["npx"], &[]),
    (Registry::Npm, &["yarn"], &["install", "add", "dlx"]),
    (Registry::Npm, &["bun"], &["install", "add"]),
    (Registry::Apt, &["apt", "apt-get", "aptitude"], &["install", "update", "upgrade", "dist-upgrade"]),
    (Registry::Rpm, &["yum", "dnf", "microdnf"], &["install", "update", "upgrade", "makecache", "groupinstall"]),
    (Registry::Go, &["go"], &["build", "get", "install", "run", "mod", "test"]),
    (Registry::Cargo, &["cargo"], &["build", "install", "run", "fetch", "test", "update", "add"]),
    (Registry::Rustup, &["rustup"], &["toolchain", "install", "update", "default"]),
    (Registry::Gem, &["gem"], &["install", "update"]),
    (Registry::Gem, &["bundle", "bundler"], &["install", "update"]),
    (Registry::Composer, &["composer", "composer.phar"], &["install", "update", "require", "create-project"]),
    (Registry::Maven, &["mvn", "mvnw", "gradle", "gradlew"], &[]),
    (Registry::Dotnet, &["dotnet"], &["restore", "publish", "build", "run"]),
    (Registry::HuggingFace, &["huggingface-cli", "hf"], &["download"]),
];

/// Options that say where to fetch from instead.
const INSTEAD: &[&str] =
    &["-i", "--index-url", "--default-index", "--index", "--registry", "--source", "-s", "--proxy", "--clear-sources", "--repository-url"];

/// The registry that a command fetches from.
pub(super) fn used_by(words: &[String]) -> Option<Registry> {
    let program = words.first()?.rsplit('/').next()?;
    let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    if program.starts_with("python") && rest.first() == Some(&"-m") {
        return used_by(&words[2..]);
    }
    if rest.iter().any(|word| matches!(*word, "--no-index" | "--offline" | "--help" | "--version" | "-h")) {
        return None;
    }
    if program == "uv" && rest.first() == Some(&"pip") && rest.get(1) != Some(&"install") {
        return None;
    }
    if program == "yarn" && rest.iter().all(|word| word.starts_with('-')) {
        return Some(Registry::Npm);
    }
    let subcommand = rest.iter().find(|word| !word.starts_with('-') && !word.starts_with('+'));
    let (registry, ..) = USES.iter().find(|(_, programs, subcommands)| {
        programs.contains(&program) && (subcommands.is_empty() || subcommand.is_some_and(|word| subcommands.contains(word)))
    })?;
    Some(*registry)
}

/// Whether the command says itself where to fetch from.
pub(super) fn replaces(words: &[String]) -> bool {
    words
        .iter()
        .any(|word| INSTEAD.iter().any(|option| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))))
}

/// The registries for which a command sets up a mirror on the mainland.
pub(super) fn set_up_by(command: &Command) -> Vec<Registry> {
    if used_by(&command.words).is_some() {
        return Vec::new();
    }
    let said = format!("{}\n{}", command.words.join(" "), command.document);
    let shown = matches!(command.program(), "echo" | "printf") && !command.words.iter().any(|word| word.starts_with('>'));
    let parts = said.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '|' | '#' | ',' | '{' | '}' | '[' | ']'));
    // `sed s/archive.ubuntu.com/mirrors.aliyun.com/` names its hosts without a scheme.
    let bare = said.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).filter(|word| word.contains('.'));
    let rewrites =
        command.program() == "sed" && bare.clone().any(|host| host.matches('.').count() > 1 && hosts::reach(host) == Reach::Mainland);
    if shown || !(rewrites || hosts::nearest(parts).is_some()) {
        return Vec::new();
    }
    let lower = said.to_lowercase();
    let all = [
        Registry::Pip,
        Registry::Conda,
        Registry::Npm,
        Registry::Apt,
        Registry::Rpm,
        Registry::Cargo,
        Registry::Gem,
        Registry::Composer,
        Registry::Maven,
        Registry::Dotnet,
        Registry::Docker,
    ];
    all.into_iter().filter(|registry| registry.marks().iter().any(|mark| lower.contains(mark))).collect()
}

/// Whether a line of a configuration file can say where to fetch from. In a list of requirements only its options do.
pub(super) fn configures(file: &str, line: &str) -> bool {
    file != "requirements.txt" || line.starts_with("-i ") || line.starts_with("--index-url") || line.starts_with("--extra-index-url")
}

impl Registry {
    /// Variables that say where to fetch from.
    pub(super) fn variables(self) -> &'static [&'static str] {
        match self {
            Registry::Pip => &["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PDM_PYPI_URL", "PIPENV_PYPI_MIRROR"],
            Registry::Npm => &["NPM_CONFIG_REGISTRY", "npm_config_registry", "YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"],
            Registry::Go => &["GOPROXY"],
            Registry::Cargo => &["CARGO_SOURCE_CRATES_IO_REPLACE_WITH", "CARGO_REGISTRIES_CRATES_IO_INDEX"],
            Registry::Rustup => &["RUSTUP_DIST_SERVER"],
            Registry::Gem => &["BUNDLE_MIRROR__HTTPS://RUBYGEMS__ORG/", "BUNDLE_MIRROR"],
            Registry::Composer => &["COMPOSER_REPO_PACKAGIST"],
            Registry::HuggingFace => &["HF_ENDPOINT"],
            Registry::Conda | Registry::Apt | Registry::Rpm | Registry::Maven | Registry::Dotnet | Registry::Docker => &[],
        }
    }

    /// Files of the folder that say it.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Registry::Pip => &["pip.conf", ".pip/pip.conf", "uv.toml", "pyproject.toml", "Pipfile", "requirements.txt"],
            Registry::Conda => &[".condarc", "environment.yml"],
            Registry::Npm => &[".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml"],
            Registry::Apt => &["sources.list"],
            Registry::Go => &["go.env"],
            Registry::Cargo => &[".cargo/config.toml", ".cargo/config"],
            Registry::Gem => &["Gemfile", ".bundle/config", ".gemrc"],
            Registry::Composer => &["composer.json"],
            Registry::Maven => &[
                "settings.xml",
                ".mvn/settings.xml",
                "build.gradle",
                "build.gradle.kts",
                "settings.gradle",
                "settings.gradle.kts",
                "pom.xml",
            ],
            Registry::Dotnet => &["nuget.config", "NuGet.Config", "nuget.Config"],
            Registry::Docker => &["daemon.json"],
            Registry::Rpm | Registry::Rustup | Registry::HuggingFace => &[],
        }
    }

    /// Words by which a command that configures it is known.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Registry::Pip => &["pip", "index-url"],
            Registry::Conda => &["conda"],
            Registry::Npm => &["npm", "yarn", "registry "],
            Registry::Apt => &["sources.list", "/etc/apt"],
            Registry::Rpm => &["yum.repos.d", "config-manager", "yum.conf"],
            Registry::Cargo => &[".cargo"],
            Registry::Gem => &["gem", "bundle"],
            Registry::Composer => &["composer"],
            Registry::Maven => &["settings.xml", ".m2"],
            Registry::Dotnet => &["nuget"],
            Registry::Docker => &["registry-mirrors", "daemon.json"],
            Registry::Go | Registry::Rustup | Registry::HuggingFace => &[],
        }
    }
}
