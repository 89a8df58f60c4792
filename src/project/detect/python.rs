//! Python: which tool installs it, and which of its files is the server.

use std::collections::BTreeSet;

use super::source::{Source, quoted};
use super::{Found, finding};
use crate::model::finding::{Evidence, Severity};
use crate::model::runtime::Runtime;

/// Modules that plainly are the entry when nothing better speaks.
const ENTRIES: &[&str] = &["main.py", "app.py", "server.py"];
/// Folders whose code is not the app.
const NOT_THE_APP: &[&str] = &["tests", "test", "docs", "examples", "example", "scripts", "migrations", "benchmarks", "tools"];

pub(super) fn find(source: &Source) -> Option<Found> {
    let mark = source
        .first(&["requirements.txt", "pyproject.toml", "Pipfile", "uv.lock", "poetry.lock", "setup.py", "manage.py"])
        .or_else(|| source.first(ENTRIES));
    let stray = || source.in_root(".py").next();
    let mut found = Found::new(Runtime::Python, source.whole(mark.or_else(stray)?));
    found.beside = mark.is_none();
    let dependencies = Dependencies::read(source);
    if let Some(evidence) = dependencies.evidence(source, "agentscope") {
        found.agent = true;
        found.evidence.push(evidence);
    }
    let (starts, hint) = starts(source, &dependencies);
    found.starts = starts;
    if let Some(port) = hint {
        found.port = port;
    }
    if source.has("setup.py") && !source.has("requirements.txt") && !source.has("pyproject.toml") {
        found.findings.push(finding(
            "no-pinned-dependencies",
            Severity::Info,
            "`setup.py` is the only list of dependencies".to_owned(),
            Some(source.whole("setup.py")),
            "pin versions in `requirements.txt` so that every machine gets the same",
        ));
    }
    found.install = Box::new(install);
    Some(found)
}

/// The names of what the project depends on, lower-case with hyphens, each with the file that says so.
struct Dependencies {
    names: BTreeSet<String>,
}

const DECLARING: &[&str] = &["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "setup.cfg"];

impl Dependencies {
    fn read(source: &Source) -> Self {
        let mut names: BTreeSet<String> = source.read("requirements.txt").lines().filter_map(requirement_name).collect();
        if let Ok(project) = source.read("pyproject.toml").parse::<toml::Table>() {
            let array = |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).cloned().unwrap_or_default();
            let declared = project.get("project").and_then(|table| table.get("dependencies"));
            names.extend(array(declared).iter().filter_map(|item| item.as_str().and_then(requirement_name)));
            let poetry = project.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
            names.extend(poetry.and_then(toml::Value::as_table).into_iter().flat_map(|table| table.keys().map(|key| normal(key))));
        }
        if let Ok(pipfile) = source.read("Pipfile").parse::<toml::Table>() {
            let packages = pipfile.get("packages").and_then(toml::Value::as_table);
            names.extend(packages.into_iter().flat_map(|table| table.keys().map(|key| normal(key))));
        }
        names.remove("python");
        Dependencies { names }
    }

    /// `agentscope` counts for `agentscope-runtime` too.
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|have| have == name || (name == "agentscope" && have.starts_with("agentscope-")))
    }

    fn evidence(&self, source: &Source, name: &str) -> Option<Evidence> {
        self.has(name).then(|| DECLARING.iter().find_map(|file| source.quote(file, |line| line.to_lowercase().contains(name))))?
    }
}

/// The name in a line such as `Flask[async]>=3 ; python_version > "3.8"`.
fn requirement_name(line: &str) -> Option<String> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(line.len());
    line.starts_with(|c: char| c.is_ascii_alphanumeric()).then(|| normal(&line[..end]))
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// The command that installs the dependencies, and the server that `start` calls if nothing else brings it.
fn install(source: &Source, start: &str) -> Option<String> {
    let dependencies = Dependencies::read(source);
    let server = ["gunicorn", "uvicorn"].into_iter().find(|server| start.starts_with(&format!("{server} ")));
    let extra = server.filter(|server| !dependencies.has(server));
    let with = |command: &str, add: &str| match extra {
        Some(extra) => Some(format!("{command}{add}{extra}")),
        None => Some(command.to_owned()),
    };
    if source.has("uv.lock") {
        return with("pip install uv && uv sync --frozen --no-dev", " && uv pip install ");
    }
    if source.has("poetry.lock") {
        return with("pip install poetry && poetry install --only main --no-interaction", " && pip install ");
    }
    if source.has("pdm.lock") {
        return with("pip install pdm && pdm sync --prod --no-editable", " && pip install ");
    }
    if source.has("Pipfile.lock") {
        return with("pip install pipenv && pipenv sync", " && pip install ");
    }
    if source.has("Pipfile") {
        return with("pip install pipenv && pipenv install --skip-lock", " && pip install ");
    }
    // A list of nothing but comments needs no virtual environment.
    if source.has("requirements.txt")
        && source.read("requirements.txt").lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    {
        return with("pip install -r requirements.txt", " ");
    }
    let project = source.read("pyproject.toml").parse::<toml::Table>().unwrap_or_default();
    let packaged = project.contains_key("build-system") || project.get("project").is_some_and(|table| table.get("scripts").is_some());
    if packaged || source.has("setup.py") {
        return with("pip install .", " ");
    }
    if !dependencies.names.is_empty() {
        let declared = project.get("project").and_then(|table| table.get("dependencies")).and_then(toml::Value::as_array);
        let quoted: Vec<String> =
            declared.into_iter().flatten().filter_map(toml::Value::as_str).map(|item| format!("'{}'", item.replace('\'', "\""))).collect();
        return with(&format!("pip install {}", quoted.join(" ")), " ");
    }
    extra.map(|extra| format!("pip install {extra}"))
}

type Starts = (Vec<(String, Evidence)>, Option<u16>);

/// The ways to start it, from the surest sign to the weakest; only the surest that there is.
fn starts(source: &Source, dependencies: &Dependencies) -> Starts {
    if let Some(start) = django(source) {
        return (vec![start], None);
    }
    let served = frameworks(source);
    if !served.is_empty() {
        return (served, None);
    }
    if dependencies.has("streamlit") {
        let pages: Vec<_> = modules(source)
            .filter_map(|path| Some((streamlit(&path), source.quote(&path, |line| line.contains("import streamlit"))?)))
            .filter(|(_, evidence)| !evidence.file.contains('/'))
            .collect();
        if !pages.is_empty() {
            return (pages, Some(8501));
        }
    }
    let scripts = project_scripts(source);
    if !scripts.is_empty() {
        return (scripts, None);
    }
    (plain_entries(source), None)
}

fn streamlit(path: &str) -> String {
    format!("streamlit run {path} --server.port \"$PORT\" --server.address 0.0.0.0 --server.headless true")
}

fn django(source: &Source) -> Option<(String, Evidence)> {
    let evidence = source.quote("manage.py", |line| line.contains("DJANGO_SETTINGS_MODULE"))?;
    let wsgi = source.all("/wsgi.py").find(|path| path.matches('/').count() == 1)?;
    let package = wsgi.split('/').next()?;
    Some((format!("gunicorn {package}.wsgi:application --bind \"0.0.0.0:$PORT\""), evidence))
}

/// Modules of the app: in the root, in a package below it, or in `src/`.
fn modules(source: &Source) -> impl Iterator<Item = String> {
    source
        .all(".py")
        .filter(|path| {
            let folders: Vec<&str> = path.split('/').collect();
            let (name, folders) = (folders[folders.len() - 1], &folders[..folders.len() - 1]);
            let depth = folders.len() - usize::from(folders.first() == Some(&"src"));
            depth <= 2
                && !folders.iter().any(|folder| NOT_THE_APP.contains(folder))
                && !name.starts_with("test_")
                && !name.ends_with("_test.py")
        })
        .map(str::to_owned)
}

/// `X = FastAPI(`, `X = Flask(` and their kind at the top of a module.
fn frameworks(source: &Source) -> Vec<(String, Evidence)> {
    let mut served = Vec::new();
    let mut factories = Vec::new();
    for path in modules(source) {
        let text = source.read(&path);
        for (number, line) in text.lines().enumerate() {
            let module = path.trim_end_matches(".py").trim_start_matches("src/").trim_end_matches("/__init__").replace('/', ".");
            let folder = if path.starts_with("src/") { "src" } else { "" };
            if let Some((name, class)) = assignment(line) {
                let start = match class {
                    "FastAPI" | "Starlette" | "Quart" | "Litestar" => uvicorn(&module, name, folder),
                    "Flask" => gunicorn(&format!("{module}:{name}"), folder),
                    "AgentApp" => format!("python3 {path}"),
                    _ => continue,
                };
                served.push((start, quoted(&path, number, line)));
                break;
            }
            if line.starts_with("def create_app(") && text.contains("Flask(") {
                factories.push((gunicorn(&format!("'{module}:create_app()'"), folder), quoted(&path, number, line)));
            }
        }
    }
    if served.is_empty() { factories } else { served }
}

fn uvicorn(module: &str, name: &str, folder: &str) -> String {
    let folder = if folder.is_empty() { String::new() } else { format!(" --app-dir {folder}") };
    format!("uvicorn {module}:{name}{folder} --host 0.0.0.0 --port \"$PORT\"")
}

fn gunicorn(target: &str, folder: &str) -> String {
    let folder = if folder.is_empty() { String::new() } else { format!(" --chdir {folder}") };
    format!("gunicorn {target}{folder} --bind \"0.0.0.0:$PORT\"")
}

/// Reads `name: Type = module.Class(...)` at the left edge.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.split_once('=')?;
    let name = left.split(':').next()?.trim_end();
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let class = right.trim_start().split('(').next()?.rsplit('.').next()?;
    (right.contains('(') && is_name(name) && is_name(class)).then_some((name, class))
}

fn project_scripts(source: &Source) -> Vec<(String, Evidence)> {
    let Ok(project) = source.read("pyproject.toml").parse::<toml::Table>() else { return Vec::new() };
    let table = project.get("project");
    let Some(scripts) = table.and_then(|table| table.get("scripts")).and_then(toml::Value::as_table) else { return Vec::new() };
    let own = table.and_then(|table| table.get("name")).and_then(toml::Value::as_str).unwrap_or_default();
    // Of several, the one with the project's own name is the program; the others are helpers.
    let names: Vec<&String> = match scripts.get_key_value(own) {
        Some((name, _)) => vec![name],
        None => scripts.keys().collect(),
    };
    let begins = |line: &str, name: &str| line.trim_start().trim_start_matches('"').starts_with(name) && line.contains('=');
    names
        .into_iter()
        .map(|name| {
            let target = scripts.get(name).and_then(toml::Value::as_str).unwrap_or_default();
            let evidence = source.quote("pyproject.toml", |line| begins(line, name) && line.contains(target));
            (name.clone(), evidence.unwrap_or_else(|| source.whole("pyproject.toml")))
        })
        .collect()
}

/// `main.py` and its kind, if running it does something; else a package with `__main__.py`; else the only runnable file.
fn plain_entries(source: &Source) -> Vec<(String, Evidence)> {
    let run = |path: &str| runnable(source, path).map(|evidence| (format!("python3 {path}"), evidence));
    let named: Vec<_> = ENTRIES.iter().filter(|path| source.has(path)).filter_map(|path| run(path)).collect();
    if !named.is_empty() {
        return named;
    }
    if source.has("__main__.py") {
        return run("__main__.py").into_iter().collect();
    }
    let packages: Vec<_> = source
        .all("/__main__.py")
        .filter(|path| path.trim_start_matches("src/").matches('/').count() == 1 && !NOT_THE_APP.iter().any(|no| path.starts_with(no)))
        .map(|path| {
            let package = path.trim_end_matches("/__main__.py");
            let prefix = if package.starts_with("src/") { "PYTHONPATH=src " } else { "" };
            (format!("{prefix}python3 -m {}", package.trim_start_matches("src/")), source.whole(path))
        })
        .collect();
    if !packages.is_empty() {
        return packages;
    }
    let ours = |path: &&str| !matches!(*path, "setup.py" | "conftest.py" | "manage.py") && !path.starts_with("test_");
    source.in_root(".py").filter(ours).filter_map(run).collect()
}

/// The line by which running the file does something: a main guard, or a call at the left edge.
fn runnable(source: &Source, path: &str) -> Option<Evidence> {
    let guard = |line: &str| line.starts_with("if __name__");
    let call = |line: &str| {
        let word: String = line.chars().take_while(|c| matches!(c, '_' | '.') || c.is_ascii_alphanumeric()).collect();
        let keyword = ["def", "class", "import", "from", "async", "with", "for", "while", "try", "if"].contains(&word.as_str());
        !word.is_empty() && ((!keyword && line[word.len()..].starts_with('(')) || matches!(word.as_str(), "with" | "while" | "for"))
    };
    source.quote(path, guard).or_else(|| source.quote(path, call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_with_types_and_modules() {
        assert_eq!(assignment("app = FastAPI()"), Some(("app", "FastAPI")));
        assert_eq!(assignment("api: FastAPI = fastapi.FastAPI(title=\"x\")"), Some(("api", "FastAPI")));
        assert_eq!(assignment("    app = FastAPI()"), None, "inside a function");
        assert_eq!(assignment("app.config = Flask(x)"), None);
        assert_eq!(assignment("x = 3"), None);
    }

    #[test]
    fn requirement_lines_name_a_package() {
        assert_eq!(requirement_name("Flask[async]>=3 ; python_version > '3'").as_deref(), Some("flask"));
        assert_eq!(requirement_name("typing_extensions==4").as_deref(), Some("typing-extensions"));
        assert_eq!(requirement_name("-r base.txt"), None);
        assert_eq!(requirement_name("# flask"), None);
    }
}
