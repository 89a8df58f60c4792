//! An application without a source: a script or a container image that stays. It becomes what a source comes to, so that
//! everything after is the same: a release on each machine, whose few files are the script and what it imports or runs.

use std::collections::BTreeSet;
use std::path::Path;

use super::app::Project;
use super::error::{ResolveError, refused};
use super::job::{first_line, interpreted};
use crate::manifest::{App, Located, Manifest, Work};
use crate::model::diagnostic::Location;
use crate::model::finding::{Evidence, Finding, Severity};
use crate::model::region::{self, Area};
use crate::model::runtime::Runtime;
use crate::project::bundle::{Selection, pack_selected};
use crate::project::checks::{Provided, Scripts};
use crate::project::code::{Language, Script};
use crate::project::detect::{default_port, runtime_of};
use crate::project::fetches::Reach;

/// What the list of a Python script's dependencies is called.
const REQUIREMENTS: &str = "requirements.txt";

fn impossible(location: &Location, message: String, hint: &str) -> ResolveError {
    ResolveError::Impossible { location: location.clone(), message, hint: hint.to_owned() }
}

/// A word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn place(location: &Location, line: u32) -> String {
    format!("{}:{line}", location.file)
}

/// A script, or commands, that stay.
pub(super) fn of_work(manifest: &Manifest, app: &App, work: &Work) -> Result<Project, ResolveError> {
    let base = manifest.base.canonicalize().unwrap_or_else(|_| manifest.base.clone());
    let (first, location, line) = match work {
        Work::Run(text) => {
            let line = first_line(&text.location);
            (Script::commands(&text.value, &text.location.file, line), &text.location, line)
        }
        Work::Script(path) => {
            let relative = path.value.strip_prefix(&base).unwrap_or(&path.value).display().to_string();
            let text = std::fs::read(&path.value).map_err(|error| {
                let message = format!("the script `{relative}` can't be read: {error}");
                impossible(&path.location, message, "look at who may read it; nothing was created")
            })?;
            (Script::file(&relative, &String::from_utf8_lossy(&text)), &path.location, path.location.line)
        }
    };
    let scripts = Scripts::of(first.clone(), &base);
    refused(scripts.complaints())?;
    let runtime = app.runtime.as_ref().map_or_else(|| runtime(&scripts), |runtime| runtime.value);
    let mut selection = selection(&base, &scripts, matches!(work, Work::Script(_)));
    let start = match work {
        Work::Script(_) if first.language == Language::Python => format!("python3 {}", quoted(&format!("./{}", first.file))),
        Work::Script(_) => interpreted(&first.file, &first.text),
        Work::Run(text) => {
            let mut name = "run.sh".to_owned();
            while selection.files.contains(&name) {
                name.insert(0, '_');
            }
            // A file of its own makes each version of the commands a release, to which there is a way back.
            selection.written = Some((name.clone(), text.value.clone()));
            format!("sh ./{name}")
        }
    };
    let mut all = scripts;
    let requirements = (runtime == Runtime::Python).then(|| requirements(&base, &first, work)).flatten();
    if let Some((path, line)) = &requirements {
        selection.files.extend(lists(&base, path));
        all.all.insert(0, Script::commands(&format!("pip install -r {}", quoted(path)), path, *line));
    }
    let mut commands = vec![(start.clone(), place(location, line))];
    if let Some(build) = &app.build {
        let line = first_line(&build.location);
        commands.insert(0, (build.value.clone(), place(&build.location, line)));
        all.all.insert(0, Script::commands(&build.value, &build.location.file, line));
    }
    let install = requirements.map(|(path, line)| {
        let install = format!("pip install -r {}", quoted(&path));
        commands.insert(0, (install.clone(), format!("{path}:{line}")));
        install
    });
    let bundle = pack_selected(&base, &selection).map_err(|source| ResolveError::Pack {
        location: location.clone(),
        name: app.name.value.clone(),
        source: Box::new(source),
    })?;
    let usual = app.public.is_some().then(|| default_port(runtime));
    Ok(Project {
        folder: base.clone(),
        runtime,
        install,
        build: app.build.as_ref().map(|build| build.value.clone()),
        start,
        port: app.port.as_ref().map(|port| port.value).or(usual),
        findings: all.missing_imports(&base, Provided::Nothing),
        bundle,
        commands,
        scripts: all.all,
        goes_out: true,
    })
}

/// What runs the scripts: the language of the first that has one, else the first command that belongs to one.
fn runtime(scripts: &Scripts) -> Runtime {
    let of = |script: &Script| match script.language {
        Language::Python => Some(Runtime::Python),
        Language::JavaScript => Some(Runtime::Node),
        Language::Shell => script.text.lines().find_map(|line| runtime_of(line.trim().trim_start_matches("exec "))),
        Language::Other => runtime_of(&interpreted(&script.file, &script.text)),
    };
    scripts.all.iter().find_map(of).unwrap_or(Runtime::Shell)
}

/// The script itself, what it runs, and what these import.
fn selection(base: &Path, scripts: &Scripts, with_first: bool) -> Selection {
    let mut selection = Selection::default();
    let run = scripts.all.iter().skip(usize::from(!with_first)).map(|script| script.file.clone());
    for path in run.chain(scripts.modules(base)) {
        let package = path.strip_suffix("/__init__.py").unwrap_or(&path);
        if package != path || base.join(&path).is_dir() {
            selection.folders.insert(package.to_owned());
        } else {
            selection.files.insert(path);
        }
    }
    selection
}

/// The list of dependencies beside the script, else beside the manifest, and its first line that names one.
fn requirements(base: &Path, first: &Script, work: &Work) -> Option<(String, u32)> {
    let beside = match work {
        Work::Script(_) => Path::new(&first.file).parent().map(|folder| folder.join(REQUIREMENTS).display().to_string()),
        Work::Run(_) => None,
    };
    beside.into_iter().chain([REQUIREMENTS.to_owned()]).find_map(|path| {
        let text = std::fs::read_to_string(base.join(&path)).ok()?;
        let named = |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
        let line = text.lines().position(named)?;
        Some((path, u32::try_from(line + 1).unwrap_or(u32::MAX)))
    })
}

/// A list of dependencies, and the lists that it names.
fn lists(base: &Path, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(text) = std::fs::read_to_string(base.join(&path)) else { continue };
        let folder = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        let named = text.lines().filter_map(|line| {
            ["-r ", "-c ", "--requirement ", "--constraint "].iter().find_map(|option| line.trim().strip_prefix(option))
        });
        let inside =
            named.map(|name| folder.join(name.trim()).display().to_string()).filter(|name| !name.contains("..") && !name.starts_with('/'));
        open.extend(inside.filter(|name| !found.contains(name)));
        found.insert(path);
    }
    found
}

/// A container image that stays.
pub(super) fn of_image(manifest: &Manifest, app: &App, image: &Located<String>) -> Result<Project, ResolveError> {
    if app.public.is_some() && app.port.is_none() {
        let message = format!("nothing says on which port the image `{}` is to be reached", image.value);
        return Err(impossible(&image.location, message, "add `port`, and `container_port` where the port inside is another"));
    }
    let at = place(&image.location, image.location.line);
    let inside = app.container_port.as_ref().map(|port| port.value.to_string()).unwrap_or_default();
    let command = app.start.as_ref().map(|start| format!(" {}", start.value.trim())).unwrap_or_default();
    let pull = format!("docker pull {}", quoted(&image.value));
    let start = format!("run_image {} {}{command}", quoted(&image.value), quoted(&inside));
    // The file makes each image a release, to which there is a way back.
    let selection = Selection { written: Some(("image".to_owned(), format!("{}\n", image.value))), ..Selection::default() };
    let bundle = pack_selected(&manifest.base, &selection).map_err(|source| ResolveError::Pack {
        location: image.location.clone(),
        name: app.name.value.clone(),
        source: Box::new(source),
    })?;
    Ok(Project {
        folder: manifest.base.clone(),
        runtime: Runtime::Docker,
        install: None,
        build: Some(pull.clone()),
        start,
        port: app.port.as_ref().map(|port| port.value),
        findings: moving(app, image).into_iter().collect(),
        bundle,
        scripts: vec![Script::commands(&pull, &image.location.file, image.location.line)],
        commands: vec![(pull, at.clone()), (format!("docker run {}{command}", image.value), at)],
        goes_out: true,
    })
}

fn evidence(image: &Located<String>) -> Option<Evidence> {
    Some(Evidence { file: image.location.file.clone(), line: image.location.line, text: image.location.text.trim().to_owned() })
}

/// An image whose name may mean another one tomorrow.
fn moving(app: &App, image: &Located<String>) -> Option<Finding> {
    let name = image.value.rsplit('/').next().unwrap_or(&image.value);
    let fixed = image.value.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    (!fixed).then(|| Finding {
        id: "image-without-version".to_owned(),
        severity: Severity::Warning,
        address: None,
        message: format!("`{}` of app `{}` may be another image tomorrow, which no plan would show", image.value, app.name.value),
        evidence: evidence(image),
        hint: Some("name a version: `image: registry/name:1.2`".to_owned()),
    })
}

/// An image that has to come from overseas into a region of the mainland.
pub(super) fn out_of_reach(region: &str, app: &App, image: &Located<String>, project: &Project) -> Option<Finding> {
    let mainland = region::find(region).is_some_and(|region| region.area == Area::Mainland);
    let far = project.fetcher(app).fetches.iter().any(|fetch| fetch.reach == Reach::Overseas);
    (mainland && far).then(|| Finding {
        id: "image-hard-to-pull".to_owned(),
        severity: Severity::Warning,
        address: None,
        message: format!("the image `{}` is slow or impossible to pull from a mainland region such as `{region}`", image.value),
        evidence: evidence(image),
        hint: Some("copy the image to your own registry, or use a region outside the mainland".to_owned()),
    })
}
