//! What scripts fetch while they run, and whether it comes from overseas: packages from their registries unless a
//! mirror is configured, repositories, images, models, downloads. It must never ask the network: hosts are known by name.

mod hosts;
mod images;
mod programs;
mod registries;

use std::collections::BTreeMap;
use std::path::Path;

use super::code::Script;
use super::code::shell::Command;
use registries::Registry;

/// How far away something is fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The machine or the cloud's own network.
    Inside,
    /// A host on the mainland, or one that can't be told.
    Mainland,
    /// A host overseas.
    Overseas,
}

/// One thing that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The file in which it stands.
    pub file: String,
    /// The line, from 1; 0 if the file as a whole is meant.
    pub line: u32,
    /// The line itself.
    pub text: String,
    /// From how far.
    pub reach: Reach,
}

impl Fetch {
    /// `train.sh:3`.
    pub fn place(&self) -> String {
        if self.line == 0 { self.file.clone() } else { format!("{}:{}", self.file, self.line) }
    }
}

/// Where scripts run: their folder, and the environment they are given.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The folder of their files.
    pub folder: &'a Path,
    /// Variables, as far as they are no secrets.
    pub environment: &'a BTreeMap<String, String>,
}

/// Everything that the scripts fetch, in the order in which they stand.
pub fn fetches(scripts: &[Script], ground: Ground<'_>) -> Vec<Fetch> {
    let mut known = Known { ground, settings: ground.environment.clone(), mirrored: Vec::new() };
    let mut found = Vec::new();
    for script in scripts {
        let fetch = |line: u32, text: &str, reach: Reach| Fetch {
            file: script.file.clone(),
            line: script.line(line),
            text: text.trim().to_owned(),
            reach,
        };
        // A program may set what the commands that it runs go by, so both are taken line by line.
        let commands = script.shell_commands();
        let mut lines = programs::lines(script);
        lines.sort_by_key(|line| line.number);
        let mut lines = lines.into_iter().peekable();
        for command in &commands {
            while let Some(line) = lines.next_if(|line| line.number <= command.line) {
                found.extend(known.line(&line).map(|reach| fetch(line.number, &line.text, reach)));
            }
            known.learn(command);
            if let Some((place, reach)) = known.command(command) {
                found.push(match place {
                    Some((file, line, text)) => Fetch { file, line, text, reach },
                    None => fetch(command.line, &command.text, reach),
                });
            }
        }
        for line in lines {
            found.extend(known.line(&line).map(|reach| fetch(line.number, &line.text, reach)));
        }
    }
    found
}

/// A place in another file than the script: file, line, text.
type Elsewhere = (String, u32, String);

/// What is known by the time a command runs.
pub(super) struct Known<'a> {
    ground: Ground<'a>,
    /// Variables that are set.
    settings: BTreeMap<String, String>,
    /// Registries for which a command set up a mirror.
    mirrored: Vec<Registry>,
}

impl Known<'_> {
    /// Takes over what a command sets up for those after it.
    fn learn(&mut self, command: &Command) {
        let lasting = command.words.is_empty() || matches!(command.program(), "export" | "declare" | "readonly");
        if lasting {
            for (name, value) in &command.settings {
                self.settings.insert(name.clone(), self.expanded(value));
            }
        }
        if command.program() == "go" && command.words.get(1).is_some_and(|word| word == "env") {
            let written = command.words.iter().filter_map(|word| word.split_once('='));
            self.settings.extend(written.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        self.mirrored.extend(registries::set_up_by(command));
    }

    /// A text with the variables that are known put in.
    fn expanded(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.settings {
            text = text.replace(&format!("${{{name}}}"), value);
            if text == format!("${name}") || text.contains(&format!("${name}/")) {
                text = text.replace(&format!("${name}"), value);
            }
        }
        text
    }

    /// From how far a command fetches something; with the place if that stands in another file.
    fn command(&self, command: &Command) -> Option<(Option<Elsewhere>, Reach)> {
        let words: Vec<String> = command.words.iter().map(|word| self.expanded(word)).collect();
        if let Some(registry) = registries::used_by(&words) {
            return Some((None, self.registry(registry, &words, &command.settings)));
        }
        let reach = match command.program() {
            "curl" | "wget" | "aria2c" | "axel" => hosts::farthest(words.iter().skip(1).map(String::as_str))?,
            "git" => {
                let clones = words.iter().any(|word| matches!(word.as_str(), "clone" | "ls-remote" | "submodule"))
                    || (words.len() > 2 && words.iter().any(|word| word == "fetch" || word == "pull"));
                if !clones {
                    return None;
                }
                hosts::farthest(words.iter().skip(1).map(String::as_str)).unwrap_or(Reach::Mainland)
            }
            "docker" | "podman" | "nerdctl" | "docker-compose" => return self.images(&words),
            _ => return None,
        };
        Some((None, reach))
    }

    /// From how far a registry is reached: what the command itself says, then variables, then commands before, then files.
    fn registry(&self, registry: Registry, words: &[String], own: &[(String, String)]) -> Reach {
        if let Some(reach) = hosts::farthest(words.iter().skip(1).map(String::as_str)) {
            // `--index-url`, `--registry`, `git+https://`: the farthest of them counts.
            let replaces = registries::replaces(words);
            if replaces || reach == Reach::Overseas {
                return reach;
            }
        }
        let set = |name: &str| own.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value).or_else(|| self.settings.get(name));
        let named = registry.variables().iter().find_map(|name| set(name));
        let first = |value: &String| hosts::farthest([value.split([',', '|']).next().unwrap_or(value)].into_iter());
        if let Some(reach) = named.and_then(first) {
            return reach;
        }
        if self.mirrored.contains(&registry) {
            return Reach::Mainland;
        }
        registry.files().iter().find_map(|file| self.mirror_in(file)).unwrap_or(Reach::Overseas)
    }

    /// From how far what a line of a program loads comes.
    fn line(&mut self, line: &programs::Line) -> Option<Reach> {
        if let Some((name, value)) = &line.sets {
            self.settings.insert(name.clone(), value.clone());
        }
        match line.loads.as_ref()? {
            programs::Source::Address(address) => hosts::farthest([address.as_str()].into_iter()),
            programs::Source::Model(name) if name.as_ref().is_some_and(|name| self.ground.folder.join(name).exists()) => None,
            programs::Source::Model(_) => Some(self.registry(Registry::HuggingFace, &[], &[])),
            programs::Source::Overseas => Some(Reach::Overseas),
        }
    }

    /// A mainland mirror in a configuration file of the folder.
    fn mirror_in(&self, file: &str) -> Option<Reach> {
        let text = std::fs::read_to_string(self.ground.folder.join(file)).ok()?;
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']) && !line.starts_with("//"));
        lines
            .filter(|line| registries::configures(file, line))
            .find_map(|line| hosts::nearest(line.split([' ', '"', '\'', '=', ',', '>', '<'])))
    }
}
