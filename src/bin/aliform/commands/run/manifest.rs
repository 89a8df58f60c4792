//! What `aliform run` runs, as a manifest: written for a script and read by the ordinary parser, so that every check
//! holds, or cut out of the manifest for one of its jobs. It never guesses between a file and a job.

use std::path::Path;

use aliform::manifest::{self, Manifest};
use aliform::model::diagnostic::Diagnostic;
use serde_json::json;

use crate::args::Script;
use crate::error::{CommandError, FAILED, OPTIONS, USAGE};
use crate::workspace::Workspace;

/// The longest name of a job, so that the stack of it is still a name.
const LONGEST: usize = 36;

/// The manifest of the run: one job, in a stack of its own.
pub(in crate::commands) fn read(workspace: &Workspace, target: &str, script: &Script) -> Result<Manifest, CommandError> {
    let is_file = workspace.directory.join(target).is_file();
    // What can't be the name of a job needs no look at a manifest, which may be wrong in matters of its own.
    let named = target.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let manifest = if named && workspace.manifest.exists() { Some(workspace.load()?) } else { None };
    match manifest {
        Some(manifest) if manifest.jobs.contains_key(target) => {
            if is_file {
                return Err(CommandError::new(USAGE, format!("`{target}` is a file, and a job of the manifest too"))
                    .hint(format!("write `./{target}` for the file, or give the job another name")));
            }
            if *script != Script::default() {
                return Err(CommandError::new(USAGE, format!("`{target}` is a job of the manifest, which says what it needs"))
                    .hint(format!("leave the options of scripts out, or change `jobs.{target}` in the manifest")));
            }
            Ok(only(manifest, target))
        }
        Some(manifest) if !is_file => {
            let jobs: Vec<String> = manifest.jobs.keys().map(|job| format!("`{job}`")).collect();
            let error = CommandError::failed(format!("there is neither a file nor a job `{target}`"));
            Err(if jobs.is_empty() { error } else { error.hint(format!("the manifest has {}", jobs.join(", "))) })
        }
        _ => {
            let text = text(&inside(&workspace.directory, target), script);
            parse(&text, workspace)
        }
    }
}

/// Reads what was written for the command line. What is wrong with it is wrong usage, said in the words of the options.
fn parse(text: &str, workspace: &Workspace) -> Result<Manifest, CommandError> {
    manifest::parse(OPTIONS, text, &workspace.directory).map_err(|complaints| {
        let code = if complaints.iter().all(|complaint| option(complaint).is_some()) { USAGE } else { FAILED };
        CommandError { code, ..CommandError::diagnostics(complaints.into_iter().map(translated).collect()) }
    })
}

/// The options by the keys that they become.
const KEYS: &[(&str, &str)] = &[
    ("cpu", "--cpu"),
    ("memory", "--memory"),
    ("arch", "--arch"),
    ("gpu", "--gpu"),
    ("region", "--region"),
    ("budget", "--budget"),
    ("spot", "--spot"),
    ("timeout", "--timeout"),
    ("product", "--product"),
    ("image", "--image"),
    ("outputs", "--fetch"),
    ("stack", "--name"),
];

/// The option that a complaint is about.
fn option(complaint: &Diagnostic) -> Option<&'static str> {
    let location = complaint.location.as_ref().filter(|location| location.file == OPTIONS)?;
    let line = location.text.trim();
    let known = KEYS.iter().find(|(key, _)| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    let named = || line.starts_with('"').then_some(if location.text.starts_with("   ") { "--env" } else { "--name" });
    known.map(|(_, option)| *option).or_else(named)
}

/// A complaint in the words of the command line, instead of a place in a text that nobody wrote.
fn translated(mut complaint: Diagnostic) -> Diagnostic {
    if let Some(option) = option(&complaint) {
        complaint.message = format!("`{option}`: {}", complaint.message);
        complaint.location = None;
    }
    // The script itself: its name is in the message.
    if complaint.code == "path-missing" && complaint.location.as_ref().is_some_and(|location| location.file == OPTIONS) {
        complaint.location = None;
    }
    if complaint.code == "plain-secret" {
        complaint.hints.insert(0, "on the command line that is `--env NAME`, without a value".to_owned());
    }
    complaint
}

/// The manifest with nothing in it but one job. The stack is another one: the apps have nothing to do with it.
fn only(mut manifest: Manifest, job: &str) -> Manifest {
    manifest.apps.clear();
    manifest.outputs.clear();
    manifest.jobs.retain(|name, _| name == job);
    manifest.stack.value = format!("{}-{job}", manifest.stack.value);
    manifest
}

/// The path as the folder knows it, if it is inside.
fn inside(folder: &Path, target: &str) -> String {
    let path = Path::new(target);
    let relative = || Some(path.canonicalize().ok()?.strip_prefix(folder.canonicalize().ok()?).ok()?.to_str()?.to_owned());
    if path.is_absolute() { relative() } else { None }.unwrap_or_else(|| target.to_owned())
}

/// A name that fits a job, made from that of a file.
fn name_of(target: &str) -> String {
    let stem = Path::new(target).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_ascii_lowercase();
    let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut name = plain.trim_matches('-').to_owned();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name = format!("job-{name}");
    }
    name.truncate(LONGEST);
    name.trim_end_matches('-').to_owned()
}

/// What the script needs, line by line.
fn needs(script: &Script) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(script.cpu.map(|cpu| format!("cpu: {cpu}")));
    lines.extend(script.memory.as_ref().map(|memory| format!("memory: {}", json!(memory))));
    lines.extend(script.arch.as_ref().map(|arch| format!("arch: {}", json!(arch))));
    lines.extend(script.gpu.as_ref().map(|gpu| {
        // `2 x NVIDIA T4`; what is not of that form is a model as a whole.
        let counted = gpu.split_once(" x ").and_then(|(count, model)| Some((count.trim().parse::<u32>().ok()?, model.trim())));
        let (count, model) = counted.unwrap_or((1, gpu));
        format!("gpu: {{ model: {}, count: {count} }}", json!(model))
    }));
    if lines.is_empty() {
        String::new()
    } else {
        format!("    needs:\n{}", lines.iter().map(|line| format!("      {line}\n")).collect::<String>())
    }
}

/// Anything with those needs, as a manifest.
pub(in crate::commands) fn anything(workspace: &Workspace, script: &Script) -> Result<Manifest, CommandError> {
    let name = script.name.clone().unwrap_or_else(|| "quote".to_owned());
    // What fetches nothing goes where such things go.
    let script = Script { region: script.region.clone().or_else(|| Some("cn-hangzhou".to_owned())), ..script.clone() };
    let text = document(&name, "    run: echo quoted\n", &script);
    parse(&text, workspace)
}

/// A script as a manifest.
fn text(path: &str, script: &Script) -> String {
    let name = script.name.clone().unwrap_or_else(|| name_of(path));
    // A text of JSON is a text of YAML.
    document(&name, &format!("    script: {}\n", json!(path)), script)
}

/// A manifest of one job that does that work.
fn document(name: &str, work: &str, script: &Script) -> String {
    let quoted = |text: &str| json!(text).to_string();
    let mut text = format!("version: 1\nstack: {}\n", quoted(&format!("run-{name}")));
    if let Some(region) = &script.region {
        text += &format!("region: {}\n", quoted(region));
    }
    if let Some(budget) = &script.budget {
        text += &format!("budget: {{ total: {} }}\n", quoted(budget));
    }
    text += &format!("jobs:\n  {}:\n{work}", quoted(name));
    text += &needs(script);
    if let Some(cap) = &script.spot {
        text += &if cap == "true" { "    spot: true\n".to_owned() } else { format!("    spot: {{ cap: {} }}\n", quoted(cap)) };
    }
    let named = [("timeout", &script.timeout), ("traffic", &script.traffic), ("product", &script.product), ("image", &script.image)];
    for (key, value) in named {
        if let Some(value) = value {
            text += &format!("    {key}: {}\n", quoted(value));
        }
    }
    if !script.fetch.is_empty() {
        text += &format!("    outputs: {}\n", json!(script.fetch));
    }
    if !script.env.is_empty() {
        text += "    env:\n";
    }
    for variable in &script.env {
        text += &match variable.split_once('=') {
            Some((name, value)) => format!("      {}: {}\n", quoted(name), quoted(value)),
            None => format!("      {}: {{ from: {} }}\n", quoted(variable), quoted(&format!("env:{variable}"))),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_any_file() {
        for (file, name) in [("Train_Model.v2.py", "train-model-v2"), ("jobs/7.sh", "job-7"), ("训练.py", "job"), ("-x-.py", "x")] {
            assert_eq!(name_of(file), name, "{file}");
        }
        assert_eq!(name_of(&"a".repeat(80)).len(), LONGEST);
    }

    #[test]
    fn what_is_typed_means_the_same_in_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("it's: a.py"), "").unwrap();
        let script = Script {
            cpu: Some(2),
            memory: Some("4GiB".to_owned()),
            gpu: Some("2 x NVIDIA T4".to_owned()),
            arch: Some("x86".to_owned()),
            spot: Some("0.5 CNY".to_owned()),
            env: vec!["A=b: \"c\" # d=e".to_owned(), "TOKEN".to_owned()],
            fetch: vec!["my model/".to_owned()],
            ..Script::default()
        };
        let manifest = manifest::parse(OPTIONS, &text("it's: a.py", &script), folder.path()).unwrap();
        assert_eq!(manifest.stack.value, "run-it-s--a");
        let job = &manifest.jobs["it-s--a"];
        assert_eq!((job.needs.cpu, job.outputs[0].value.as_str()), (Some(2), "my model/"));
        let gpu = job.needs.gpu.as_ref().unwrap();
        assert_eq!((gpu.count, gpu.model.as_ref().unwrap().value.as_str()), (2, "NVIDIA T4"));
        assert_eq!(job.needs.architecture.as_ref().unwrap().value, manifest::Architecture::X86);
        assert_eq!(job.spot.as_ref().unwrap().cap.unwrap().to_string(), "0.5 CNY");
        assert!(matches!(&job.env["A"], manifest::EnvValue::Plain(text) if text.value == "b: \"c\" # d=e"));
        assert!(matches!(&job.env["TOKEN"], manifest::EnvValue::From(source) if source.value.variable == "TOKEN"));
    }
}
