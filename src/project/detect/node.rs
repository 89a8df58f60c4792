//! Node: which package manager installs it, what builds it, what starts it.

use serde_json::Value as Json;

use super::source::Source;
use super::{Found, finding};
use crate::model::finding::{Evidence, Severity};
use crate::model::runtime::Runtime;

pub(super) fn find(source: &Source) -> Option<Found> {
    let Some(mark) = source.first(&["package.json"]) else {
        let entry = source.first(&["server.js", "server.mjs"])?;
        let mut found = Found::new(Runtime::Node, source.whole(entry));
        found.start(format!("node {entry}"), source.whole(entry));
        return Some(found);
    };
    let package: Json = serde_json::from_str(&source.read(mark)).unwrap_or_default();
    let mut found = Found::new(Runtime::Node, source.whole(mark));
    let script = |name: &str| package["scripts"][name].as_str().filter(|text| !text.trim().is_empty());
    let manager = Manager::of(source, &package);
    if script("build").is_some() {
        found.build = Some("npm run build".to_owned());
    }
    found.starts = start(source, &package, script).into_iter().collect();
    if ["dependencies", "devDependencies"].iter().any(|kind| depends(&package, kind, "agentscope")) {
        found.agent = true;
        found.evidence.push(source.quote_or_whole(mark, "agentscope"));
    }
    let has = |kind: &str| package[kind].as_object().is_some_and(|table| !table.is_empty());
    let builds = found.build.is_some();
    if has("dependencies") || (builds && has("devDependencies")) {
        if manager == (Manager::Npm { locked: false }) {
            found.findings.push(finding(
                "no-lock-file",
                Severity::Warning,
                "`package.json` has dependencies and no lock file, so two machines may install different versions".to_owned(),
                Some(source.whole(mark)),
                "run `npm install` once and keep `package-lock.json` in the project",
            ));
        }
        let command = manager.install(builds);
        found.install = Box::new(move |_, _| Some(command.clone()));
    }
    Some(found)
}

fn depends(package: &Json, kind: &str, name: &str) -> bool {
    package[kind].as_object().is_some_and(|table| table.keys().any(|key| key.contains(name)))
}

#[derive(PartialEq)]
enum Manager {
    Npm { locked: bool },
    Pnpm { version: String },
    YarnClassic,
    YarnModern { version: String },
    Bun,
}

impl Manager {
    /// By `packageManager`, then by the lock file.
    fn of(source: &Source, package: &Json) -> Self {
        let named = package["packageManager"].as_str().unwrap_or_default();
        let named = named.split('+').next().unwrap_or_default();
        let npm = Manager::Npm { locked: source.first(&["package-lock.json", "npm-shrinkwrap.json"]).is_some() };
        match named.split_once('@') {
            Some(("pnpm", version)) => return Manager::Pnpm { version: format!("@{version}") },
            Some(("yarn", version)) if version.starts_with("1.") => return Manager::YarnClassic,
            Some(("yarn", version)) => return Manager::YarnModern { version: version.to_owned() },
            Some(("npm", _)) => return npm,
            _ => {}
        }
        if source.has("pnpm-lock.yaml") {
            Manager::Pnpm { version: String::new() }
        } else if source.has("yarn.lock") {
            // The lock of yarn 2 and later is YAML and says so.
            match source.read("yarn.lock").contains("__metadata:") {
                true => Manager::YarnModern { version: "4".to_owned() },
                false => Manager::YarnClassic,
            }
        } else if source.first(&["bun.lock", "bun.lockb"]).is_some() && npm == (Manager::Npm { locked: false }) {
            Manager::Bun
        } else {
            npm
        }
    }

    /// Development dependencies come along when something has to be built with them.
    fn install(&self, builds: bool) -> String {
        match self {
            Manager::Npm { locked } => {
                let verb = if *locked { "ci" } else { "install" };
                let dev = if builds { "--include=dev" } else { "--omit=dev" };
                format!("npm {verb} {dev} --no-audit --no-fund")
            }
            Manager::Pnpm { version } => format!("npx --yes pnpm{version} install --frozen-lockfile --prod={}", !builds),
            Manager::YarnClassic => format!("npx --yes yarn@1.22.22 install --frozen-lockfile --production={}", !builds),
            Manager::YarnModern { version } => format!("npx --yes @yarnpkg/cli-dist@{version} install --immutable"),
            Manager::Bun => format!("npx --yes bun install --frozen-lockfile{}", if builds { "" } else { " --production" }),
        }
    }
}

fn start<'a>(source: &Source, package: &Json, script: impl Fn(&str) -> Option<&'a str>) -> Option<(String, Evidence)> {
    if let Some(text) = script("start") {
        // Started directly, the app gets the signals itself; anything more than one plain command is npm's to run.
        let plain = text.starts_with("node ") && !text.contains(['&', '|', ';', '$', '>', '<', '`']) && script("prestart").is_none();
        let command = if plain { text } else { "npm start" };
        return Some((command.to_owned(), source.quote_or_whole("package.json", "\"start\"")));
    }
    // A front end that is only built: its bundler's folder is what is served.
    let bundlers = [("vite", "dist"), ("react-scripts", "build"), ("@vue/cli-service", "dist")];
    let uses = |name: &str| ["dependencies", "devDependencies"].iter().any(|kind| !package[*kind][name].is_null());
    if script("build").is_some()
        && let Some((bundler, folder)) = bundlers.iter().find(|(name, _)| uses(name))
    {
        return Some((format!("serve {folder}"), source.quote_or_whole("package.json", &format!("\"{bundler}\""))));
    }
    if let Some(main) = package["main"].as_str() {
        let file = [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")];
        let file = file.iter().map(|file| file.trim_start_matches("./")).find(|file| source.has(file));
        if let Some(file) = file {
            return Some((format!("node {file}"), source.quote_or_whole("package.json", "\"main\"")));
        }
    }
    let file = source.first(&["index.js", "index.mjs", "server.js", "server.mjs", "app.js"])?;
    Some((format!("node {file}"), source.whole(file)))
}
