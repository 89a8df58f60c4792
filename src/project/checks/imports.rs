//! What a Python script imports that nobody brings: neither Python, nor the folder, nor a list of dependencies, nor a
//! command of the scripts.

use std::collections::BTreeSet;

use super::{Modules, Provided, stdlib, text_of};
use crate::model::finding::{Evidence, Finding, Severity};
use crate::project::code::python;
use crate::project::code::{Language, Script};

/// Modules whose distribution has another name.
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("Bio", "biopython"),
    ("Crypto", "pycryptodome"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("faiss", "faiss-cpu"),
    ("fitz", "pymupdf"),
    ("git", "gitpython"),
    ("jose", "python-jose"),
    ("jwt", "pyjwt"),
    ("lightning", "lightning"),
    ("magic", "python-magic"),
    ("MySQLdb", "mysqlclient"),
    ("nacl", "pynacl"),
    ("odps", "pyodps"),
    ("OpenSSL", "pyopenssl"),
    ("PIL", "pillow"),
    ("pkg_resources", "setuptools"),
    ("pptx", "python-pptx"),
    ("psycopg2", "psycopg2-binary"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("slugify", "python-slugify"),
    ("websocket", "websocket-client"),
    ("yaml", "pyyaml"),
    ("zmq", "pyzmq"),
];
/// What installing one distribution brings along, as far as scripts lean on it.
const BROUGHT: &[(&str, &[&str])] = &[
    ("pandas", &["numpy", "dateutil", "pytz"]),
    ("scikit-learn", &["numpy", "scipy", "joblib"]),
    ("scipy", &["numpy"]),
    ("matplotlib", &["numpy", "PIL", "dateutil"]),
    ("seaborn", &["numpy", "pandas", "matplotlib"]),
    ("torchvision", &["torch", "numpy", "PIL"]),
    ("torchaudio", &["torch"]),
    ("pytorch-lightning", &["torch", "torchmetrics", "numpy"]),
    ("lightning", &["torch", "torchmetrics", "numpy", "pytorch_lightning"]),
    ("transformers", &["numpy", "requests", "tqdm", "yaml", "huggingface_hub", "tokenizers", "safetensors", "regex"]),
    ("datasets", &["numpy", "pandas", "pyarrow", "requests", "tqdm", "huggingface_hub"]),
    ("accelerate", &["torch", "numpy", "huggingface_hub"]),
    ("peft", &["torch", "transformers", "accelerate", "numpy"]),
    ("trl", &["transformers", "datasets", "accelerate", "torch"]),
    ("tensorflow", &["numpy", "keras", "h5py", "google"]),
    ("keras", &["numpy", "h5py"]),
    ("ultralytics", &["torch", "torchvision", "cv2", "numpy", "PIL", "yaml", "requests", "pandas", "matplotlib"]),
    ("xgboost", &["numpy", "scipy"]),
    ("lightgbm", &["numpy", "scipy"]),
    ("opencv-python", &["numpy"]),
    ("requests", &["urllib3", "certifi", "idna"]),
    ("flask", &["werkzeug", "jinja2", "click"]),
    ("fastapi", &["pydantic", "starlette"]),
    ("boto3", &["botocore"]),
    ("jax", &["jaxlib", "numpy"]),
    ("flax", &["jax", "optax", "numpy"]),
];
/// What images for machine learning have.
const FRAMEWORKS: &[&str] = &[
    "torch",
    "torchvision",
    "torchaudio",
    "tensorflow",
    "keras",
    "transformers",
    "datasets",
    "accelerate",
    "deepspeed",
    "numpy",
    "scipy",
    "pandas",
    "sklearn",
    "matplotlib",
    "PIL",
    "cv2",
    "tqdm",
    "requests",
    "yaml",
    "xgboost",
    "lightgbm",
    "joblib",
];
/// Lists that are read as texts.
const OTHER_LISTS: &[&str] = &["Pipfile", "environment.yml", "environment.yaml", "setup.py", "setup.cfg"];

/// One module that is imported.
pub(super) struct Import {
    /// Its first name, `sklearn`.
    pub(super) module: String,
    /// Its whole name, `sklearn.svm`.
    pub(super) path: String,
    /// Where.
    pub(super) line: u32,
    /// The line.
    pub(super) text: String,
}

/// What a script imports and can't do without: what it tries to import, and can be without, is left out.
pub(super) fn imported(text: &str) -> Vec<Import> {
    let statements = python::statements(text);
    let mut found = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let head = statements[..at].iter().rev().find(|before| before.indent < statement.indent);
        let optional = |code: &str| code.starts_with("try") || code.starts_with("except") || code.contains("TYPE_CHECKING");
        if statement.indent > 0 && head.is_some_and(|head| optional(&head.code)) {
            continue;
        }
        let paths: Vec<&str> = if let Some(rest) = statement.code.strip_prefix("import ") {
            rest.split(',').filter_map(|part| part.split_whitespace().next()).collect()
        } else if let Some(rest) = statement.code.strip_prefix("from ") {
            rest.split_whitespace().next().filter(|path| !path.starts_with('.')).into_iter().collect()
        } else {
            continue;
        };
        for path in paths {
            let module = path.split('.').next().unwrap_or(path).to_owned();
            found.push(Import { module, path: path.to_owned(), line: statement.line, text: statement.text.clone() });
        }
    }
    found
}

/// A name as the package index compares it.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// The name in a requirement, `Flask[async]>=3`.
fn name_of(requirement: &str) -> Option<String> {
    let requirement = requirement.trim().trim_matches(['"', '\'']);
    if let Some((_, egg)) = requirement.split_once("#egg=") {
        return Some(normal(egg.split('&').next().unwrap_or(egg)));
    }
    if requirement.starts_with("git+") || requirement.contains("://") || requirement.ends_with(".whl") {
        let last = requirement.split(['@', '#']).next().unwrap_or(requirement).rsplit('/').next().unwrap_or_default();
        return Some(normal(last.split('-').next().filter(|_| last.ends_with(".whl")).unwrap_or(last).trim_end_matches(".git")));
    }
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(requirement.len());
    requirement.starts_with(|c: char| c.is_ascii_alphanumeric()).then(|| normal(&requirement[..end]))
}

/// The distributions that a list names, and the lists that it names.
fn listed(modules: &Modules<'_>, file: &str, seen: &mut BTreeSet<String>, names: &mut BTreeSet<String>) {
    if !seen.insert(file.to_owned()) {
        return;
    }
    for line in text_of(modules.folder, file).unwrap_or_default().lines() {
        let line = line.trim();
        match line.strip_prefix("-r ").or_else(|| line.strip_prefix("--requirement ")) {
            Some(other) => listed(modules, other.trim(), seen, names),
            None => names.extend(name_of(line)),
        }
    }
}

/// Every distribution that the lists of the folder or the commands of the scripts install.
fn installed(scripts: &[Script], modules: &Modules<'_>) -> BTreeSet<String> {
    let (mut seen, mut names) = (BTreeSet::new(), BTreeSet::new());
    // The runner installs this one by itself.
    listed(modules, "requirements.txt", &mut seen, &mut names);
    if let Ok(project) = text_of(modules.folder, "pyproject.toml").unwrap_or_default().parse::<toml::Table>() {
        let table = project.get("project");
        let array = |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).cloned().unwrap_or_default();
        names.extend(array(table.and_then(|table| table.get("dependencies"))).iter().filter_map(|item| name_of(item.as_str()?)));
        let poetry = project.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
        names.extend(poetry.and_then(toml::Value::as_table).into_iter().flat_map(|table| table.keys().map(|key| normal(key))));
    }
    for command in scripts.iter().flat_map(Script::shell_commands) {
        let installs = command.words.iter().any(|word| word == "install" || word == "add");
        let by_module = command.program().starts_with("python") && command.words.get(2).is_some_and(|word| word == "pip");
        if !installs || !(by_module || matches!(command.program(), "pip" | "pip3" | "uv" | "conda" | "mamba" | "poetry" | "pdm" | "pipenv"))
        {
            // Packages of the system: `python3-numpy`.
            names.extend(command.operands().filter_map(|word| word.strip_prefix("python3-")).map(normal));
            continue;
        }
        let mut words = command.words.iter().skip(1).map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-r" | "--requirement" => listed(modules, words.next().unwrap_or_default(), &mut seen, &mut names),
                "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" | "-t" | "--target" | "-c" => drop(words.next()),
                word if word.starts_with('-') => {}
                word => names.extend(name_of(word)),
            }
        }
    }
    names
}

/// Whether one of the distributions is, or brings, the module.
fn is_brought(module: &str, installed: &BTreeSet<String>) -> bool {
    let wanted = distribution(module);
    // `opencv-python-headless`, `tensorflow-cpu`, `faiss-gpu`, `psycopg2`: variants of one thing.
    let stem = |name: &str| {
        let suffixes = ["-headless", "-contrib-python", "-binary", "-cpu", "-gpu", "-python"];
        suffixes.iter().fold(name.to_owned(), |name, suffix| name.strip_suffix(suffix).map_or(name.clone(), str::to_owned))
    };
    let is = |name: &String| *name == wanted || *name == normal(module) || stem(name) == stem(&wanted);
    installed.iter().any(|name| is(name) || BROUGHT.iter().any(|(from, brings)| from == name && brings.contains(&module)))
}

/// The distribution that has the module.
fn distribution(module: &str) -> String {
    DISTRIBUTIONS.iter().find(|(known, _)| *known == module).map_or_else(|| normal(module), |(_, name)| (*name).to_owned())
}

/// One finding for each module that nobody brings.
pub(super) fn findings(scripts: &[Script], modules: &Modules<'_>, provided: Provided) -> Vec<Finding> {
    if provided == Provided::Unknown {
        return Vec::new();
    }
    let installed = installed(scripts, modules);
    let others: Vec<String> = OTHER_LISTS.iter().filter_map(|file| text_of(modules.folder, file)).map(|text| text.to_lowercase()).collect();
    let mut said = BTreeSet::new();
    let mut found = Vec::new();
    for script in scripts.iter().filter(|script| script.language == Language::Python) {
        for import in imported(&script.text) {
            let module = import.module.as_str();
            let there = stdlib::has(module)
                || (provided == Provided::Frameworks && FRAMEWORKS.contains(&module))
                || modules.local(&script.file, module).is_some()
                || is_brought(module, &installed)
                || others.iter().any(|text| text.contains(&distribution(module)));
            if there || !said.insert(module.to_owned()) {
                continue;
            }
            found.push(Finding {
                id: "missing-dependency".to_owned(),
                severity: Severity::Warning,
                address: None,
                message: format!("`{}` imports `{module}`, which nothing installs", script.file),
                evidence: Some(Evidence { file: script.file.clone(), line: script.line(import.line), text: import.text }),
                hint: Some(format!("add `{}` to `requirements.txt`, which is installed before it runs", distribution(module))),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_brings_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "requirements.txt",
            "# none yet\nPillow>=10\n-r more.txt\ngit+https://github.com/a/wonder.git@main\nopencv-python-headless\n",
        );
        write("more.txt", "transformers==4 ; python_version > '3'\n");
        write("pyproject.toml", "[project]\ndependencies = ['PyYAML']\n");
        write("lib/beside.py", "");
        write("local/__init__.py", "");
        let modules = Modules { folder: folder.path() };
        let missing = |file: &str, text: &str, provided: Provided| {
            let found = findings(&[Script::file(file, text)], &modules, provided);
            found
                .iter()
                .map(|found| format!("{}:{}", found.message.split('`').nth(3).unwrap(), found.evidence.as_ref().unwrap().line))
                .collect::<Vec<_>>()
        };
        let nothing: [&str; 0] = [];
        assert_eq!(
            missing("a.py", "import os, numpy as np\nimport pandas\nfrom flask import Flask\n", Provided::Nothing),
            ["pandas:2", "flask:3"]
        );
        assert_eq!(
            missing("a.py", "from PIL import Image\nimport yaml, local, wonder, tqdm, cv2\nfrom . import x\n", Provided::Nothing),
            nothing
        );
        assert_eq!(missing("lib/a.py", "import beside\n", Provided::Nothing), nothing);
        assert_eq!(missing("a.py", "try:\n    import torch\nexcept ImportError:\n    import jax\n", Provided::Nothing), nothing);
        assert_eq!(missing("a.py", "import torch\nimport torch.nn\n", Provided::Nothing), ["torch:1"]);
        assert_eq!(missing("a.py", "import torch\nimport wandb\n", Provided::Frameworks), ["wandb:2"]);
        assert_eq!(missing("a.py", "import torch\n", Provided::Unknown), nothing);
        let by_hand = "import os\nos.system('pip install -i https://a.example/simple scikit-learn')\nimport sklearn, scipy\n";
        assert_eq!(missing("a.py", by_hand, Provided::Nothing), nothing);
    }
}
