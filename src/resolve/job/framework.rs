//! Which framework a script is written for, by what it imports. It reads files and runs nothing.

use crate::resolve::select::classify::Line;

/// A framework that there are images of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framework {
    /// As images are labelled.
    pub(super) name: &'static str,
    /// The kind of training job that tells its pods of each other in the framework's own words.
    pub(super) job_type: &'static str,
    /// Modules that need it.
    modules: &'static [&'static str],
    /// Programs that come with it.
    programs: &'static [&'static str],
}

const FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "PyTorch",
        job_type: "PyTorchJob",
        modules: &["torch", "torchvision", "torchaudio", "pytorch_lightning", "lightning", "accelerate", "deepspeed"],
        programs: &["torchrun", "accelerate", "deepspeed"],
    },
    Framework { name: "TensorFlow", job_type: "TFJob", modules: &["tensorflow", "keras", "tensorflow_datasets"], programs: &[] },
];

/// What is left for a script that needs none of them.
const PLAIN: Framework = Framework { name: "Python", job_type: "PyTorchJob", modules: &[], programs: &[] };

/// A framework and what says that it is needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) framework: Framework,
    pub(super) because: String,
}

/// The module that a line imports: `import torch.nn as nn`, `from keras import layers`.
fn imported(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim_start();
    let (import, from) = (line.strip_prefix("import "), line.strip_prefix("from "));
    let several = import.into_iter().flat_map(|rest| rest.split(','));
    let top = |part: &'_ str| part.len() - part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    several
        .chain(from.into_iter().filter(|rest| rest.contains(" import ")))
        .map(|part| part.trim_start())
        .map(move |part| &part[..top(part)])
}

fn by_line(line: &str) -> Option<(Framework, &str)> {
    let by_import =
        imported(line).find_map(|module| Some((*FRAMEWORKS.iter().find(|framework| framework.modules.contains(&module))?, module)));
    let by_program = || {
        let first = line.split_whitespace().find(|word| !word.contains('='))?;
        Some((*FRAMEWORKS.iter().find(|framework| framework.programs.contains(&first))?, first))
    };
    by_import.or_else(by_program)
}

/// What a job needs, by the lines that it runs.
pub(super) fn needed(lines: &[Line]) -> Needed {
    let found = lines.iter().find_map(|line| by_line(&line.text).map(|(framework, what)| (framework, what, &line.place)));
    match found {
        Some((framework, what, place)) => Needed { framework, because: format!("{place} uses `{what}`") },
        None => Needed { framework: PLAIN, because: "no line imports a framework".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_framework_that_a_line_names_counts() {
        for (line, name) in [
            ("import torch", Some("PyTorch")),
            ("    import os, torch.nn as nn", Some("PyTorch")),
            ("from tensorflow.keras import layers", Some("TensorFlow")),
            ("OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 train.py", Some("PyTorch")),
            ("import torchlike", None),
            ("from torch", None),
            ("echo import torch", None),
        ] {
            assert_eq!(by_line(line).map(|(framework, _)| framework.name), name, "{line}");
        }
    }

    #[test]
    fn the_reason_names_the_line() {
        let line = |text: &str, place: &str| Line { text: text.to_owned(), place: place.to_owned() };
        let found = needed(&[line("python3 train.py", "aliform.yaml:5"), line("import keras", "train.py:2")]);
        assert_eq!((found.framework.job_type, found.because.as_str()), ("TFJob", "train.py:2 uses `keras`"));
        assert_eq!(needed(&[line("echo hello", "aliform.yaml:5")]).framework.name, "Python");
    }
}
