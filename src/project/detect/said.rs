//! What the project itself says about running it: its Procfile and its README.

use super::source::{Source, quoted};
use crate::model::finding::{Evidence, Finding, Severity};
use crate::model::runtime::Runtime;

/// A command that a file names.
pub(super) struct Quote {
    pub(super) command: String,
    pub(super) evidence: Evidence,
}

/// The `web` process of the Procfile.
pub(super) fn procfile(source: &Source) -> Option<Quote> {
    let evidence = source.quote("Procfile", |line| line.starts_with("web:"))?;
    let text = source.read("Procfile");
    let command = text.lines().find_map(|line| line.strip_prefix("web:"))?.trim();
    (!command.is_empty()).then(|| Quote { command: command.to_owned(), evidence })
}

/// The commands in the README's code blocks that run something, in order.
pub(super) fn readme(source: &Source) -> Vec<Quote> {
    let Some(path) = source.first(&["README.md", "README.rst", "README.txt", "README", "readme.md", "Readme.md"]) else {
        return Vec::new();
    };
    let mut quotes = Vec::new();
    let mut in_block = false;
    for (number, line) in source.read(path).lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            in_block = !in_block;
            continue;
        }
        let indented = line.starts_with("    ") || line.starts_with('\t');
        let Some(command) = trimmed.strip_prefix("$ ").or((in_block || indented).then_some(trimmed)) else { continue };
        // `cd app && python app.py`: the last part runs.
        let command = command.rsplit("&&").next().unwrap_or(command).trim();
        if runs_something(command) {
            quotes.push(Quote { command: command.to_owned(), evidence: quoted(path, number, line) });
        }
    }
    quotes
}

/// Words that begin a command which runs an app, and whose app that is.
const RUNNERS: &[(&str, Runtime)] = &[
    ("uvicorn ", Runtime::Python),
    ("gunicorn ", Runtime::Python),
    ("hypercorn ", Runtime::Python),
    ("flask run", Runtime::Python),
    ("flask --app", Runtime::Python),
    ("fastapi run", Runtime::Python),
    ("streamlit run", Runtime::Python),
    ("uv run ", Runtime::Python),
    ("poetry run ", Runtime::Python),
    ("pdm run ", Runtime::Python),
    ("pipenv run ", Runtime::Python),
    ("python -m ", Runtime::Python),
    ("python3 -m ", Runtime::Python),
    ("python ", Runtime::Python),
    ("python3 ", Runtime::Python),
    ("npm start", Runtime::Node),
    ("npm run start", Runtime::Node),
    ("yarn start", Runtime::Node),
    ("pnpm start", Runtime::Node),
    ("node ", Runtime::Node),
    ("next start", Runtime::Node),
    ("java ", Runtime::Java),
    ("mvn spring-boot:run", Runtime::Java),
    ("./mvnw spring-boot:run", Runtime::Java),
    ("./gradlew bootRun", Runtime::Java),
    ("go run", Runtime::Go),
    ("php ", Runtime::Php),
    ("frankenphp ", Runtime::Php),
    ("vendor/bin/heroku-php", Runtime::Php),
    ("bundle exec ", Runtime::Ruby),
    ("bin/rails s", Runtime::Ruby),
    ("rails s", Runtime::Ruby),
    ("puma ", Runtime::Ruby),
    ("rackup", Runtime::Ruby),
    ("ruby ", Runtime::Ruby),
    ("dotnet run", Runtime::Dotnet),
    ("dotnet ", Runtime::Dotnet),
    ("cargo run", Runtime::Rust),
    ("./target/release/", Runtime::Rust),
    ("target/release/", Runtime::Rust),
    ("docker compose up", Runtime::Docker),
    ("docker-compose up", Runtime::Docker),
    ("docker run", Runtime::Docker),
];

/// The runtime that a command belongs to, by its first words.
pub(super) fn runtime_of(command: &str) -> Option<Runtime> {
    let command = without_assignments(command);
    let begins =
        |word: &str| command.strip_prefix(word).is_some_and(|rest| word.ends_with([' ', '/']) || !rest.starts_with(char::is_alphanumeric));
    RUNNERS.iter().find(|(word, _)| begins(word)).map(|(_, runtime)| *runtime)
}

/// `PORT=80 node app.js` without its settings.
fn without_assignments(command: &str) -> &str {
    let mut rest = command.trim();
    while let Some((first, after)) = rest.split_once(' ')
        && first.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()))
    {
        rest = after.trim_start();
    }
    rest
}

fn runs_something(command: &str) -> bool {
    const TOOLS: &[&str] = &[
        "-m venv",
        "-m pip",
        "-m pytest",
        "-m unittest",
        "-m build",
        "setup.py",
        "manage.py migrate",
        "manage.py createsuperuser",
        "exec rake",
        "exec rspec",
        "--version",
        " install",
        "composer",
        "artisan migrate",
        "artisan key",
        " test",
        "pytest",
        "php -v",
    ];
    runtime_of(command).is_some() && !TOOLS.iter().any(|tool| command.contains(tool))
}

/// The thing that a command runs: a file or module without its suffix, `app.main:app` and `app/main.py` alike `app/main`.
fn entry_of(command: &str) -> Option<String> {
    let command = without_assignments(command);
    let words = command.split_whitespace().skip(1).map(|word| word.trim_matches(['\'', '"']));
    let mut entry = None;
    for word in words {
        let code = [".py", ".js", ".mjs", ".cjs", ".ts", ".jar", ".rb", ".php", ".go"].iter().find(|suffix| word.ends_with(**suffix));
        if let Some(suffix) = code {
            entry = Some(word.trim_start_matches("./").trim_end_matches(suffix).to_owned());
            break;
        }
        if let Some((module, _)) = word.split_once(':').filter(|(module, _)| is_module(module)) {
            entry = Some(module.replace('.', "/"));
            break;
        }
    }
    if entry.is_none()
        && let Some((_, module)) = command.split_once(" -m ")
    {
        let module = module.split_whitespace().next().unwrap_or_default();
        entry = is_module(module).then(|| module.replace('.', "/"));
    }
    entry
}

fn is_module(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && text.chars().all(|c| c == '_' || c == '.' || c.is_ascii_alphanumeric())
}

/// Whether two commands run different things. Commands that name no file (`npm start`) contradict nothing.
pub(super) fn disagree(said: &str, found: &str) -> bool {
    match (entry_of(said), entry_of(found)) {
        (Some(said), Some(found)) => said != found,
        _ => false,
    }
}

pub(super) fn disagreement(quote: &Quote, start: &str) -> Finding {
    super::finding(
        "readme-disagrees",
        Severity::Warning,
        format!("the README runs `{}`, the files say `{start}`", quote.command),
        Some(quote.evidence.clone()),
        "set `start:` in the manifest if the README is right",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_compared_by_what_they_run() {
        for (said, found, differ) in [
            ("python app.py", "gunicorn app:app --bind 0.0.0.0:$PORT", false),
            ("uvicorn pkg.main:app --reload", "uvicorn pkg.main:api --host 0.0.0.0", false),
            ("python3 run.py", "python3 main.py", true),
            ("python -m shop.web", "python3 shop/web.py", false),
            ("npm start", "node server.js", false),
            ("DEBUG=1 node ./index.js", "node server.js", true),
        ] {
            assert_eq!(disagree(said, found), differ, "{said} / {found}");
        }
    }

    #[test]
    fn a_command_has_the_runtime_of_its_first_word() {
        assert_eq!(runtime_of("PORT=1 FOO=2 node app.js"), Some(Runtime::Node));
        assert_eq!(runtime_of("rackup"), Some(Runtime::Ruby));
        assert_eq!(runtime_of("nodemon app.js"), None);
        assert_eq!(runtime_of("go runner"), None);
    }
}
