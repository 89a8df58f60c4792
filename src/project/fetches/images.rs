//! Images: those that a command names, and those that Dockerfiles and compose files of the folder build on.

use std::collections::BTreeSet;

use super::registries::Registry;
use super::{Elsewhere, Ground, Known, Reach, fetches, hosts};
use crate::project::code::Script;

/// Options of `docker run` that take a value.
const VALUED: &[&str] = &[
    "-v",
    "--volume",
    "-p",
    "--publish",
    "-e",
    "--env",
    "--env-file",
    "--name",
    "--network",
    "--net",
    "-w",
    "--workdir",
    "-u",
    "--user",
    "--gpus",
    "--entrypoint",
    "-m",
    "--memory",
    "--cpus",
    "--shm-size",
    "--mount",
    "--restart",
    "-h",
    "--hostname",
    "--platform",
    "--add-host",
    "-l",
    "--label",
    "--ipc",
    "--ulimit",
    "--runtime",
    "--log-driver",
];
const COMPOSE_FILES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// The first word that is neither an option nor the value of one.
fn image_in(words: &[String]) -> Option<&str> {
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if VALUED.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
    None
}

impl Known<'_> {
    /// From how far a command of Docker fetches images, with the line of another file that names the farthest.
    pub(super) fn images(&self, words: &[String]) -> Option<(Option<Elsewhere>, Reach)> {
        let composes = words.first().is_some_and(|word| word.ends_with("docker-compose"));
        let at = if composes { 0 } else { words.iter().skip(1).position(|word| !word.starts_with('-'))? + 1 };
        match (composes, words.get(at)?.as_str()) {
            (false, "pull" | "run" | "create") => {
                let image = image_in(&words[at + 1..])?;
                Some((None, self.image(image)))
            }
            (true, _) | (_, "compose" | "build" | "buildx") => {
                let named = self.built_on();
                let farthest = named.into_iter().reduce(|farthest, next| if next.1 > farthest.1 { next } else { farthest });
                Some(farthest.map_or((None, Reach::Overseas), |(place, reach)| (Some(place), reach)))
            }
            _ => None,
        }
    }

    /// From how far an image comes: a mirror of Docker Hub serves what names no registry.
    fn image(&self, image: &str) -> Reach {
        let mirrored = self.mirrored.contains(&Registry::Docker) || self.mirror_in("daemon.json").is_some();
        let reach = hosts::of_image(image);
        let names_one = image.split_once('/').is_some_and(|(host, _)| host.contains('.') || host.contains(':'));
        if mirrored && !names_one { Reach::Mainland } else { reach }
    }

    /// What the folder's containers are built on, and what building them fetches.
    fn built_on(&self) -> Vec<(Elsewhere, Reach)> {
        let mut found = Vec::new();
        let read = |file: &str| std::fs::read_to_string(self.ground.folder.join(file)).unwrap_or_default();
        for file in COMPOSE_FILES {
            for (number, line) in (1..).zip(read(file).lines()) {
                if let Some(image) = line.trim().trim_start_matches("- ").strip_prefix("image:") {
                    let image = image.split(" #").next().unwrap_or(image).trim().trim_matches(['"', '\'']);
                    found.push((((*file).to_owned(), number, line.trim().to_owned()), self.image(image)));
                }
            }
        }
        found.extend(self.dockerfile(&read("Dockerfile")));
        found
    }

    fn dockerfile(&self, text: &str) -> Vec<(Elsewhere, Reach)> {
        let mut found = Vec::new();
        let mut stages = BTreeSet::new();
        let mut lines = (1..).zip(text.lines()).peekable();
        while let Some((number, line)) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let place = ("Dockerfile".to_owned(), number, line.trim().to_owned());
            match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
                Some("FROM") => {
                    let mut operands = words.iter().skip(1).filter(|word| !word.starts_with("--"));
                    let Some(image) = operands.next() else { continue };
                    if *image != "scratch" && !stages.contains(*image) && !image.contains('$') {
                        found.push((place, self.image(image)));
                    }
                    if let Some(name) = operands.nth(1) {
                        stages.insert(*name);
                    }
                }
                Some("RUN") => {
                    let mut command = line.trim_start()[3..].to_owned();
                    while command.trim_end().ends_with('\\')
                        && let Some((_, next)) = lines.next()
                    {
                        command.push('\n');
                        command.push_str(next);
                    }
                    let ground = Ground { folder: self.ground.folder, environment: &self.settings };
                    let fetched = fetches(&[Script::commands(&command, "Dockerfile", number)], ground);
                    found.extend(fetched.into_iter().map(|fetch| ((fetch.file, fetch.line, fetch.text), fetch.reach)));
                }
                _ => {}
            }
        }
        found
    }
}
