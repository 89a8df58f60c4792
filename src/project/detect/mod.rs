//! How an application is run, found out from its files: a Procfile's word first, then the table of languages; what
//! the README says settles a tie and is quoted when it disagrees.
//!
//! Every answer has its evidence. Two answers are an error that names both: nothing is ever guessed.

mod compiled;
mod containers;
mod node;
mod python;
mod ruby_php;
mod said;
mod site;
mod source;

use std::path::{Path, PathBuf};

use source::Source;

use super::walk::WalkError;
use crate::model::finding::{Evidence, Finding, Severity};
use crate::model::runtime::Runtime;

/// How an application is built and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// What runs it.
    pub runtime: Runtime,
    /// It depends on AgentScope, so it needs a model's name and key.
    pub agent: bool,
    /// The command that brings its dependencies, if it has any.
    pub install: Option<String>,
    /// The command that builds it, if it has to be built.
    pub build: Option<String>,
    /// The command that runs it in the foreground; `$PORT` is its port.
    pub start: String,
    /// The port that this runtime usually takes.
    pub port: u16,
    /// What the answer rests on.
    pub evidence: Vec<Evidence>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// One way to run an application that the files name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its runtime.
    pub runtime: Runtime,
    /// Its command.
    pub start: String,
    /// What names it.
    pub evidence: Evidence,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by `{}` ({}", self.runtime, self.start, self.evidence.file)?;
        if self.evidence.line > 0 {
            write!(f, ":{}", self.evidence.line)?;
        }
        f.write_str(")")
    }
}

fn listed(candidates: &[Candidate]) -> String {
    candidates.iter().map(Candidate::to_string).collect::<Vec<_>>().join(", or ")
}

/// Why it is not clear how to run an application.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// There is no such folder.
    #[error("the source folder `{}` does not exist; `source:` is relative to the manifest", .0.display())]
    NoFolder(PathBuf),
    /// It could not be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// No language left its marks.
    #[error("nothing in `{}` says what to run (looked for {looked_for}); set `runtime:` and `start:`", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
        /// The files that would have said it.
        looked_for: &'static str,
    },
    /// The wanted runtime left no marks.
    #[error("`runtime: {wanted}` is set, but `{}` has none of its files ({looked_for}); correct `runtime:` or set `start:`", folder.display())]
    NotThat {
        /// The runtime that the manifest names.
        wanted: Runtime,
        /// The folder.
        folder: PathBuf,
        /// The files that would have said it.
        looked_for: &'static str,
    },
    /// Several languages could be the app.
    #[error("more than one runtime fits: {}; set `runtime:` (or `start:`) to one of them", listed(.0))]
    Runtimes(Vec<Candidate>),
    /// One language with several entries.
    #[error("more than one entry fits: {}; set `start:` to one of them", listed(.0))]
    Entries(Vec<Candidate>),
    /// The language is clear, the entry is not.
    #[error("this is {runtime} ({because}), but nothing says how to start it; set `start:`, or name it in a `Procfile` as `web: COMMAND`")]
    NoEntry {
        /// The language.
        runtime: Runtime,
        /// The file that says so.
        because: String,
    },
}

/// Answers the command that brings the dependencies, given the start that was chosen.
type Installer = Box<dyn Fn(&Source, &str) -> Option<String>>;

/// What one language says about a folder that carries its marks.
struct Found {
    runtime: Runtime,
    agent: bool,
    build: Option<String>,
    port: u16,
    /// Ways to start, the best evidence only. None: the language is there, an entry is not.
    starts: Vec<(String, Evidence)>,
    /// Its marks are such as lie about in projects of another language too.
    beside: bool,
    /// The mark.
    evidence: Vec<Evidence>,
    findings: Vec<Finding>,
    /// The command that brings the dependencies, given the start that was chosen.
    install: Installer,
}

impl Found {
    fn new(runtime: Runtime, mark: Evidence) -> Self {
        Found {
            runtime,
            agent: false,
            build: None,
            port: default_port(runtime),
            starts: Vec::new(),
            beside: false,
            evidence: vec![mark],
            findings: Vec::new(),
            install: Box::new(|_, _| None),
        }
    }

    fn install(mut self, command: &str) -> Self {
        let command = command.to_owned();
        self.install = Box::new(move |_, _| Some(command.clone()));
        self
    }

    fn start(&mut self, command: impl Into<String>, evidence: Evidence) {
        self.starts.push((command.into(), evidence));
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate =
            |(start, evidence): &(String, Evidence)| Candidate { runtime: self.runtime, start: start.clone(), evidence: evidence.clone() };
        self.starts.iter().map(candidate).collect()
    }
}

/// The port that applications of a runtime listen on unless told otherwise.
pub const fn default_port(runtime: Runtime) -> u16 {
    match runtime {
        Runtime::Python => 8000,
        Runtime::Node | Runtime::Ruby => 3000,
        _ => 8080,
    }
}

/// The runtime that a command belongs to, by its first words.
pub fn runtime_of(command: &str) -> Option<Runtime> {
    said::runtime_of(command)
}

/// The files by which a runtime is known, for messages.
const fn marks(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Python => "requirements.txt, pyproject.toml, Pipfile, setup.py, main.py, app.py",
        Runtime::Node => "package.json, server.js, index.js",
        Runtime::Java => "pom.xml, build.gradle, *.jar",
        Runtime::Go => "go.mod, main.go",
        Runtime::Php => "composer.json, index.php",
        Runtime::Ruby => "Gemfile, config.ru",
        Runtime::Dotnet => "*.csproj, *.sln",
        Runtime::Rust => "Cargo.toml",
        Runtime::Static => "index.html, public/",
        Runtime::Docker => "compose.yaml, Dockerfile",
        Runtime::Shell => "a script that `start:` names",
    }
}

fn find(runtime: Runtime, source: &Source) -> Option<Found> {
    match runtime {
        Runtime::Python => python::find(source),
        Runtime::Node => node::find(source),
        Runtime::Java => compiled::find_java(source),
        Runtime::Go => compiled::find_go(source),
        Runtime::Php => ruby_php::find_php(source),
        Runtime::Ruby => ruby_php::find_ruby(source),
        Runtime::Dotnet => compiled::find_dotnet(source),
        Runtime::Rust => compiled::find_rust(source),
        Runtime::Static => site::find(source),
        Runtime::Docker => containers::find(source),
        Runtime::Shell => None,
    }
}

/// Finds out how the application in `folder` is run; `wanted` is the runtime that its owner named, if any.
///
/// # Errors
/// When nothing says how, or more than one thing does.
pub fn detect(folder: &Path, wanted: Option<Runtime>) -> Result<Detection, DetectError> {
    if !folder.is_dir() {
        return Err(DetectError::NoFolder(folder.to_owned()));
    }
    let source = Source::open(folder)?;
    let procfile = said::procfile(&source);
    let readme = said::readme(&source);
    let found = choose_language(folder, &source, wanted, procfile.as_ref(), &readme)?;
    choose_start(&source, found, procfile, &readme)
}

fn choose_language(
    folder: &Path,
    source: &Source,
    wanted: Option<Runtime>,
    procfile: Option<&said::Quote>,
    readme: &[said::Quote],
) -> Result<Found, DetectError> {
    if let Some(wanted) = wanted {
        let absent = || DetectError::NotThat { wanted, folder: folder.to_owned(), looked_for: marks(wanted) };
        return find(wanted, source).ok_or_else(absent);
    }
    let native = |runtime: &Runtime| !matches!(runtime, Runtime::Static | Runtime::Docker);
    let mut found: Vec<Found> = Runtime::ALL.into_iter().filter(native).filter_map(|runtime| find(runtime, source)).collect();
    rule_out(&mut found);
    if found.len() > 1 {
        let told = procfile.into_iter().chain(readme).find_map(|quote| said::runtime_of(&quote.command));
        if let Some(told) = told.filter(|told| found.iter().any(|found| found.runtime == *told)) {
            found.retain(|found| found.runtime == told);
        }
    }
    if found.len() > 1 {
        let first = |found: &Found| Candidate {
            runtime: found.runtime,
            start: found.starts.first().map_or_else(|| "?".to_owned(), |(start, _)| start.clone()),
            evidence: found.starts.first().map_or_else(|| found.evidence[0].clone(), |(_, evidence)| evidence.clone()),
        };
        return Err(DetectError::Runtimes(found.iter().map(first).collect()));
    }
    // A language that has its files but no entry gives way to containers, which name one.
    let startable = |found: &Found| !found.starts.is_empty() || procfile.is_some() || !readme.is_empty();
    match found.pop() {
        Some(found) if startable(&found) => Ok(found),
        weak => containers::find(source)
            // A page with a `package.json` for its linter is still a page.
            .or_else(|| {
                site::find(source).filter(|_| weak.as_ref().is_none_or(|found| found.runtime == Runtime::Node && found.build.is_none()))
            })
            .or(weak)
            .ok_or_else(|| DetectError::Nothing { folder: folder.to_owned(), looked_for: LOOKED_FOR }),
    }
}

const LOOKED_FOR: &str =
    "the files of a Python, Node, Java, Go, PHP, Ruby, .NET or Rust project, index.html, public/, a compose file, Dockerfile";

/// Leaves those languages that can be the application itself and not its tooling.
fn rule_out(found: &mut Vec<Found>) {
    let has = |found: &[Found], runtime| found.iter().any(|found: &Found| found.runtime == runtime);
    // Laravel and Rails build their assets with Node.
    if has(found, Runtime::Php) || has(found, Runtime::Ruby) {
        found.retain(|found| found.runtime != Runtime::Node);
    }
    if found.iter().any(|found| !found.beside && !found.starts.is_empty()) {
        found.retain(|found| !found.beside);
    }
    // A language with an entry is the app; one without is what helps it along.
    if found.iter().any(|found| !found.starts.is_empty()) {
        found.retain(|found| !found.starts.is_empty());
    }
}

fn choose_start(
    source: &Source,
    mut found: Found,
    procfile: Option<said::Quote>,
    readme: &[said::Quote],
) -> Result<Detection, DetectError> {
    let own = |quote: &&said::Quote| said::runtime_of(&quote.command) == Some(found.runtime);
    let said = readme.iter().find(own);
    let start = if let Some(quote) = procfile {
        found.evidence.push(quote.evidence);
        quote.command
    } else {
        match (found.starts.len(), said) {
            (1, said) => {
                let (start, evidence) = found.starts.remove(0);
                if let Some(quote) = said.filter(|quote| said::disagree(&quote.command, &start)) {
                    found.findings.push(said::disagreement(quote, &start));
                }
                found.evidence.push(evidence);
                start
            }
            (0, Some(quote)) => {
                found.evidence.push(quote.evidence.clone());
                quote.command.clone()
            }
            (0, None) => {
                return Err(DetectError::NoEntry { runtime: found.runtime, because: found.evidence[0].file.clone() });
            }
            (_, said) => {
                // The README may break the tie, but only for one of the candidates.
                let agreed: Vec<_> =
                    found.starts.iter().filter(|(start, _)| said.is_some_and(|quote| !said::disagree(&quote.command, start))).collect();
                let [(start, evidence)] = agreed[..] else { return Err(DetectError::Entries(found.candidates())) };
                let start = start.clone();
                let evidence = evidence.clone();
                found.evidence.extend([evidence].into_iter().chain(said.map(|quote| quote.evidence.clone())));
                start
            }
        }
    };
    let install = (found.install)(source, &start);
    Ok(Detection {
        runtime: found.runtime,
        agent: found.agent,
        install,
        build: found.build,
        start,
        port: found.port,
        evidence: found.evidence,
        findings: found.findings,
    })
}

fn finding(id: &str, severity: Severity, message: String, evidence: Option<Evidence>, hint: &str) -> Finding {
    Finding { id: id.to_owned(), severity, address: None, message, evidence, hint: Some(hint.to_owned()) }
}
