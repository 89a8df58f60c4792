//! What kind of work a job is, by what it runs: a service that stays, training, containers, or anything else. Each
//! verdict names the line that it follows from. It reads files of the manifest's folder and runs nothing.

use std::path::Path;

use crate::manifest::{Job, Work};

/// What is too long to be a script that somebody wrote, in bytes.
const LONGEST: u64 = 1 << 20;

/// Words by which a program is known that answers requests until it is stopped.
const SERVICES: &[&str] = &[
    "uvicorn ",
    "uvicorn.run(",
    "gunicorn ",
    "app.run(",
    "serve_forever(",
    "-m http.server",
    "flask run",
    "streamlit run",
    "app.listen(",
    "ListenAndServe(",
    "rails server",
    "php -S ",
    "npm start",
    "redis-server",
    "jupyter ",
    "tail -f /dev/null",
    "sleep infinity",
];
/// Programs that start training by themselves.
const LAUNCHERS: &[&str] = &["torchrun ", "accelerate launch", "deepspeed ", "torch.distributed", "horovodrun ", "llamafactory-cli train"];
/// Frameworks that models are trained with.
const FRAMEWORKS: &[&str] = &[
    "torch",
    "tensorflow",
    "keras",
    "sklearn",
    "xgboost",
    "lightgbm",
    "catboost",
    "transformers",
    "paddle",
    "mxnet",
    "jax",
    "flax",
    "lightning",
    "pytorch_lightning",
    "deepspeed",
    "accelerate",
];
/// Where training begins in a program of theirs.
const ENTRIES: &[&str] = &[".fit(", ".train(", ".backward(", "optimizer.step(", "Trainer(", "train_step("];
/// Programs that run containers.
const CONTAINERS: &[&str] =
    &["docker run", "docker build", "docker compose", "docker-compose", "podman ", "nerdctl ", "kubectl ", "helm install"];

/// A line of what a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub text: String,
    /// `train.py:3`.
    pub place: String,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Answers requests until it is stopped.
    Service,
    /// Trains a model.
    Training,
    /// Runs containers.
    Containers,
    /// Everything else.
    General,
}

impl Class {
    /// The word of it.
    pub fn word(self) -> &'static str {
        match self {
            Class::Service => "service",
            Class::Training => "training",
            Class::Containers => "containers",
            Class::General => "script",
        }
    }
}

/// What it is, and what that follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub class: Class,
    /// Why: a lower-case fragment with the place.
    pub because: String,
}

/// Every line that a job runs: of its script, or of its commands and the files of the folder that they name.
pub fn lines(job: &Job, base: &Path) -> Vec<Line> {
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    match &job.work {
        Work::Script(path) => file(&path.value, &base),
        Work::Run(text) => {
            let numbers = text.location.line..;
            let own = text
                .value
                .lines()
                .zip(numbers)
                .map(|(line, number)| Line { text: line.to_owned(), place: format!("{}:{number}", text.location.file) });
            let named = text.value.split_whitespace().map(|word| base.join(word.trim_matches(['\'', '"'])));
            let named = named.filter(|path| path.starts_with(&base) && path.extension().is_some() && path.is_file());
            own.chain(named.flat_map(|path| file(&path, &base))).collect()
        }
    }
}

/// The lines of a file; none of what is no text or too long.
fn file(path: &Path, base: &Path) -> Vec<Line> {
    let short = std::fs::metadata(path).is_ok_and(|found| found.len() <= LONGEST);
    let text = if short { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let name = path.strip_prefix(base).unwrap_or(path).display().to_string();
    text.lines().zip(1..).map(|(line, number): (_, u32)| Line { text: line.to_owned(), place: format!("{name}:{number}") }).collect()
}

/// Whether the line takes something from a framework.
fn imports(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("import ").or_else(|| line.strip_prefix("from ")) else { return false };
    let module = rest.split([' ', '.', ',', ';']).next().unwrap_or_default();
    FRAMEWORKS.contains(&module)
}

/// What the lines come to.
pub fn classify(lines: &[Line]) -> Verdict {
    let code = || lines.iter().filter(|line| !line.text.trim_start().starts_with(['#', '/']));
    let with = |words: &[&str]| code().find(|line| words.iter().any(|word| format!("{} ", line.text).contains(word)));
    let said = |class, what: &str, line: &Line| {
        let text: String = line.text.trim().chars().take(60).collect();
        Verdict { class, because: format!("{what}: `{text}` ({})", line.place) }
    };
    if let Some(line) = with(SERVICES) {
        return said(Class::Service, "it answers requests until it is stopped", line);
    }
    let entry = with(ENTRIES).filter(|_| code().any(|line| imports(line.text.trim_start())));
    if let Some(line) = with(LAUNCHERS).or(entry) {
        return said(Class::Training, "it trains a model", line);
    }
    if let Some(line) = with(CONTAINERS) {
        return said(Class::Containers, "it runs containers", line);
    }
    Verdict { class: Class::General, because: "it is no service, trains no model and runs no containers".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> (Class, String) {
        let line = |(number, text): (usize, &str)| Line { text: text.to_owned(), place: format!("a.py:{}", number + 1) };
        let found = classify(&text.lines().enumerate().map(line).collect::<Vec<_>>());
        (found.class, found.because)
    }

    #[test]
    fn work_is_known_by_what_it_runs() {
        for (text, class) in [
            ("print('hello')", Class::General),
            ("import torch\nprint(torch.__version__)", Class::General),
            ("import torch\nloss.backward()", Class::Training),
            ("from sklearn.linear_model import Ridge\nRidge().fit(x, y)", Class::Training),
            ("import subprocess\nclothes.fit(me)", Class::General),
            ("torchrun --nproc-per-node 4 train.py", Class::Training),
            ("docker run --rm alpine echo hello", Class::Containers),
            ("# docker run is not for us\necho hello", Class::General),
            ("from flask import Flask\napp.run(host='0.0.0.0')", Class::Service),
            ("python3 -m http.server 8080", Class::Service),
        ] {
            assert_eq!(verdict(text).0, class, "{text}");
        }
        assert_eq!(verdict("import torch\n\nmodel.fit(x)").1, "it trains a model: `model.fit(x)` (a.py:3)");
    }
}
