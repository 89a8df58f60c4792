//! What programs fetch by themselves, without a command: models of Hugging Face, data sets, downloads.

use std::collections::BTreeMap;

use crate::project::code::python::{self, Statement};
use crate::project::code::{Language, Script};

/// A line of a program that matters.
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) text: String,
    /// A variable of the environment that it sets.
    pub(super) sets: Option<(String, String)>,
    /// What it loads.
    pub(super) loads: Option<Source>,
}

/// What is loaded.
pub(super) enum Source {
    /// From this address.
    Address(String),
    /// A model or data set of Hugging Face, by its name if that can be told.
    Model(Option<String>),
    /// From hosts overseas that the library knows.
    Overseas,
}

/// Calls that load a model or data set of Hugging Face by name.
const MODELS: &[&str] = &["from_pretrained", "hf_hub_download", "snapshot_download", "load_dataset", "SentenceTransformer", "CrossEncoder"];
/// Libraries that have those.
const HUB: &[&str] =
    &["transformers", "huggingface_hub", "datasets", "diffusers", "sentence_transformers", "peft", "trl", "tokenizers", "timm"];
/// Builders of data sets that read files.
const LOCAL_SETS: &[&str] = &["csv", "json", "parquet", "text", "arrow", "imagefolder", "audiofolder", "pandas", "webdataset"];
/// Calls that load from an address.
const DOWNLOADS: &[&str] = &[
    "urlretrieve",
    "urlopen",
    "requests.get",
    "requests.post",
    "httpx.get",
    "httpx.stream",
    "wget.download",
    "download_url",
    "read_csv",
    "get_file",
    "load_state_dict_from_url",
];
/// Calls that load from where their library keeps its data.
const LIBRARIES: &[&str] = &["torch.hub.load", "nltk.download", "spacy.cli.download", "tfds.load", "tensorflow_hub.load", "hub.KerasLayer"];

/// Data sets of scikit-learn that are not part of it.
const FETCHED_SETS: &[&str] = &[
    "fetch_openml",
    "fetch_california_housing",
    "fetch_20newsgroups",
    "fetch_covtype",
    "fetch_lfw_people",
    "fetch_olivetti_faces",
    "fetch_rcv1",
];

/// The lines of a program that matter, in order.
pub(super) fn lines(script: &Script) -> Vec<Line> {
    match script.language {
        Language::Python => python_lines(&script.text),
        Language::JavaScript => javascript_lines(&script.text),
        Language::Shell | Language::Other => Vec::new(),
    }
}

fn python_lines(text: &str) -> Vec<Line> {
    let statements = python::statements(text);
    let imports = |module: &str| {
        let heads = [format!("import {module}"), format!("from {module}")];
        let named = |code: &str, head: &str| {
            code.strip_prefix(head).is_some_and(|rest| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
        };
        statements.iter().any(|statement| heads.iter().any(|head| named(&statement.code, head)))
    };
    // ModelScope has calls of the same names, and is on the mainland.
    let hub = HUB.iter().any(|module| imports(module)) && !imports("modelscope");
    let mut constants: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for statement in &statements {
        if let (Some((name, "\"\"")), [value]) = (statement.code.split_once(" = "), statement.strings.as_slice()) {
            constants.insert(name, value);
        }
        let (sets, loads) = (set_by(statement), loaded_by(statement, hub, &constants));
        if sets.is_some() || loads.is_some() {
            found.push(Line { number: statement.line, text: statement.text.clone(), sets, loads });
        }
    }
    found
}

/// `os.environ["HF_ENDPOINT"] = "https://hf-mirror.com"`.
fn set_by(statement: &Statement) -> Option<(String, String)> {
    let sets = statement.code.starts_with("os.environ[\"\"] =")
        || statement.code.starts_with("os.environ.setdefault(")
        || statement.code.starts_with("os.putenv(");
    match statement.strings.as_slice() {
        [name, value, ..] if sets => Some((name.clone(), value.clone())),
        _ => None,
    }
}

fn loaded_by(statement: &Statement, hub: bool, constants: &BTreeMap<&str, &str>) -> Option<Source> {
    let calls = statement.calls();
    let is = |names: &[&str]| calls.iter().any(|call| names.iter().any(|name| call == name || call.ends_with(&format!(".{name}"))));
    if hub && is(MODELS) {
        let argument = statement.code.split_once('(').map_or("", |(_, rest)| rest).split([',', ')']).next().unwrap_or_default().trim();
        let argument = argument.split_once('=').map_or(argument, |(_, value)| value.trim());
        let name = constants.get(argument).map(|name| (*name).to_owned()).or_else(|| statement.strings.first().cloned());
        let local = name.as_ref().is_some_and(|name| name.starts_with(['.', '/', '~']))
            || statement.code.contains("local_files_only=True")
            || (is(&["load_dataset"]) && name.as_ref().is_some_and(|name| LOCAL_SETS.contains(&name.as_str())));
        return (!local).then_some(Source::Model(name));
    }
    if is(DOWNLOADS) {
        let known = statement
            .strings
            .iter()
            .map(String::as_str)
            .chain(constants.iter().filter(|(name, _)| names(&statement.code, name)).map(|(_, value)| *value));
        return known.into_iter().find(|text| text.contains("://")).map(|address| Source::Address(address.to_owned()));
    }
    let sets = calls.iter().any(|call| call.contains("datasets") && call.ends_with(".load_data")) || is(FETCHED_SETS);
    let downloads = sets || statement.code.contains("download=True");
    (is(LIBRARIES) || downloads).then_some(Source::Overseas)
}

/// Whether the code names the constant.
fn names(code: &str, name: &str) -> bool {
    code.split(|c: char| !(c == '_' || c.is_alphanumeric())).any(|word| word == name)
}

fn javascript_lines(text: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let calls = ["fetch(", "axios.get(", "axios(", "https.get(", "http.get(", "got("].iter().any(|call| line.contains(call));
        if line.starts_with("//") || !calls {
            continue;
        }
        let address = line.split(['\'', '"', '`']).find(|part| part.contains("://"));
        let loads = address.map(|address| Source::Address(address.to_owned()));
        found.push(Line { number, text: line.to_owned(), sets: None, loads });
    }
    found
}
