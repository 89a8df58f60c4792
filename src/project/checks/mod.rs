//! What can be told of a script before anything is paid for: that it holds something that runs, that what it installs
//! with fits the image, that a training script trains, that what it imports will be there.
//!
//! It reads texts and the names of files. It must never run a script, nor change one: nothing is replaced by a stub.

mod action;
mod imports;
mod installer;
mod stdlib;
mod training;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::code::{Language, Script};
use super::scripts::PackageManager;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::finding::Finding;

/// Larger files are data.
const READ_LIMIT: u64 = 1024 * 1024;

/// What runs, with the scripts of the same folder that it runs in turn.
#[derive(Clone, Debug)]
pub struct Scripts {
    /// What runs first, then what that runs.
    pub all: Vec<Script>,
    /// Complaints about scripts that are named and not there.
    missing: Vec<Diagnostic>,
}

/// The text of a file inside the folder, if it is a small one.
fn text_of(folder: &Path, path: &str) -> Option<String> {
    let full = folder.join(path);
    std::fs::metadata(&full).ok().filter(|metadata| metadata.is_file() && metadata.len() <= READ_LIMIT)?;
    std::fs::read(full).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn complaint(code: &'static str, message: String, script: &Script, line: u32, text: &str, hint: &str) -> Diagnostic {
    let length = u32::try_from(text.chars().count().max(1)).unwrap_or(u32::MAX);
    let location = Location { file: script.file.clone(), line, column: 1, length, text: text.to_owned() };
    Diagnostic { code, message, location: Some(location), hints: vec![hint.to_owned()] }
}

/// The script that a command runs by an interpreter or by its path, relative to the folder.
fn run_by(command: &super::code::shell::Command) -> Option<&str> {
    let path = match command.program() {
        "python" | "python3" | "node" | "sh" | "bash" | "torchrun" | "deepspeed" => command.operands().next()?,
        "accelerate" => command.operands().nth(1).filter(|_| command.words.get(1).is_some_and(|word| word == "launch"))?,
        _ => command.words.first().filter(|word| word.starts_with("./"))?,
    };
    let known = [".py", ".sh", ".js", ".mjs", ".cjs", ".bash"].iter().any(|suffix| path.ends_with(suffix));
    (known && !path.starts_with('/') && !path.contains('$')).then(|| path.trim_start_matches("./"))
}

impl From<Vec<Script>> for Scripts {
    fn from(all: Vec<Script>) -> Self {
        Scripts { all, missing: Vec::new() }
    }
}

impl Scripts {
    /// `first`, and what it runs of the files in `folder`.
    pub fn of(first: Script, folder: &Path) -> Scripts {
        let mut scripts = Scripts { all: vec![first], missing: Vec::new() };
        let mut seen: BTreeSet<String> = scripts.all.iter().map(|script| script.file.clone()).collect();
        let mut next = 0;
        while let Some(script) = scripts.all.get(next).cloned() {
            for (number, command) in script.shell_commands().iter().enumerate() {
                let Some(path) = run_by(command).filter(|path| !seen.contains(*path)) else { continue };
                if let Some(text) = text_of(folder, path) {
                    seen.insert(path.to_owned());
                    scripts.all.push(Script::file(path, &text));
                } else if next == 0 && number == 0 && script.language == Language::Shell && !folder.join(path).exists() {
                    // Nothing before it could have made it.
                    scripts.missing.push(complaint(
                        "script-missing",
                        format!("the script `{path}` does not exist"),
                        &script,
                        script.line(command.line),
                        &command.text,
                        "look at the spelling; the path is relative to the folder of the manifest",
                    ));
                }
            }
            next += 1;
        }
        scripts
    }

    /// What has to be mended before it can run: a script that is missing, empty, or holds nothing that executes.
    pub fn complaints(&self) -> Vec<Diagnostic> {
        self.missing.iter().cloned().chain(self.all.iter().filter_map(action::complaint)).collect()
    }

    /// What a person should know: a training script that trains nothing, imports that nobody installs.
    pub fn findings(&self, folder: &Path, provided: Provided) -> Vec<Finding> {
        let modules = Modules { folder };
        let mut findings: Vec<Finding> = training::finding(&self.all, &modules).into_iter().collect();
        findings.extend(imports::findings(&self.all, &modules, provided));
        findings
    }

    /// Imports that nobody installs; for what is no job, and so trains nothing.
    pub fn missing_imports(&self, folder: &Path, provided: Provided) -> Vec<Finding> {
        imports::findings(&self.all, &Modules { folder }, provided)
    }

    /// The files and packages of the folder that the scripts import, however far.
    pub fn modules(&self, folder: &Path) -> Vec<String> {
        Modules { folder }.reached(&self.all).into_keys().collect()
    }

    /// Where the image has another package manager than the scripts use.
    pub fn unfit(&self, image: &str, manager: PackageManager) -> Vec<Diagnostic> {
        installer::complaints(&self.all, image, manager)
    }
}

/// What there is besides the standard library where a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provided {
    /// Nothing.
    Nothing,
    /// The frameworks of machine learning and what comes with them.
    Frameworks,
    /// Nobody can tell: the image is the user's.
    Unknown,
}

/// The Python modules of a folder.
struct Modules<'a> {
    folder: &'a Path,
}

impl Modules<'_> {
    /// The file of a module that stands beside `file` or in the folder itself; an empty text for a package without one.
    fn local(&self, file: &str, module: &str) -> Option<(String, String)> {
        let beside = Path::new(file).parent().map(|parent| parent.display().to_string()).filter(|parent| !parent.is_empty());
        let places = beside.map(|parent| format!("{parent}/{module}")).into_iter().chain([module.to_owned(), format!("src/{module}")]);
        for place in places {
            for path in [format!("{place}.py"), format!("{place}/__init__.py")] {
                if let Some(text) = text_of(self.folder, &path) {
                    return Some((path, text));
                }
            }
            if self.folder.join(&place).is_dir() {
                return Some((place, String::new()));
            }
        }
        None
    }

    /// Every local module that the scripts import, however far, with its text.
    fn reached(&self, scripts: &[Script]) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open: Vec<(String, String)> = scripts
            .iter()
            .filter(|script| script.language == Language::Python)
            .map(|script| (script.file.clone(), script.text.clone()))
            .collect();
        while let Some((file, text)) = open.pop() {
            for import in imports::imported(&text) {
                let whole = import.path.replace('.', "/");
                for module in [import.module.clone(), whole] {
                    if let Some((path, text)) = self.local(&file, &module)
                        && !found.contains_key(&path)
                    {
                        found.insert(path.clone(), text.clone());
                        open.push((path, text));
                    }
                }
            }
        }
        found
    }
}
