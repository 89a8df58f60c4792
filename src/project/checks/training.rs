//! Whether a script that loads a framework of machine learning trains, or uses a model that is trained already.

use super::Modules;
use super::imports::imported;
use crate::model::finding::{Evidence, Finding, Severity};
use crate::project::code::python::{self, Statement};
use crate::project::code::{Language, Script};

/// Frameworks by the modules that are imported, each with what its training usually begins with.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("torch", "`loss.backward()` and `optimizer.step()`"),
    ("pytorch_lightning", "`trainer.fit(model)`"),
    ("lightning", "`trainer.fit(model)`"),
    ("tensorflow", "`model.fit(...)`"),
    ("keras", "`model.fit(...)`"),
    ("sklearn", "`model.fit(...)`"),
    ("transformers", "`trainer.train()`"),
    ("trl", "`trainer.train()`"),
    ("peft", "`trainer.train()`"),
    ("accelerate", "`accelerator.backward(loss)`"),
    ("deepspeed", "`engine.backward(loss)` and `engine.step()`"),
    ("xgboost", "`xgboost.train(...)`"),
    ("lightgbm", "`lightgbm.train(...)`"),
    ("catboost", "`model.fit(...)`"),
    ("fastai", "`learn.fit(...)`"),
    ("ultralytics", "`model.train(...)`"),
    ("mxnet", "`trainer.step(...)`"),
    ("paddle", "`loss.backward()`"),
    ("mindspore", "`model.train(...)`"),
    ("jax", "`optimizer.update(...)`"),
    ("flax", "`optimizer.update(...)`"),
];
/// Parts of the names of calls that train or launch what does.
const ENTRIES: &[&str] =
    &["fit", "train", "training", "finetune", "backward", "step", "minimize", "launch", "spawn", "gradients", "grad", "update", "learn"];
/// Calls that use a model as it is.
const USES: &[&str] = &["predict", "generate", "pipeline", "inference_mode", "no_grad", "transform", "encode", "evaluate", "score"];
/// Programs that start a training themselves.
const LAUNCHERS: &[&str] = &["torchrun", "accelerate", "deepspeed", "horovodrun", "mpirun", "mpiexec"];

/// Whether the name that is called, `self.train_one_epoch`, has a part that says so.
fn is_called(statement: &Statement, parts: &[&str]) -> bool {
    let named = |name: &str| name.split(['.', '_']).any(|part| parts.contains(&part.to_ascii_lowercase().as_str()));
    statement.calls().iter().any(|name| parts.contains(name) || named(name) || parts.iter().any(|part| name.ends_with(&format!(".{part}"))))
}

/// What is odd about scripts that load a framework and neither train nor use a model.
pub(super) fn finding(scripts: &[Script], modules: &Modules<'_>) -> Option<Finding> {
    let loads = |script: &Script| {
        let imports = imported(&script.text).into_iter();
        let mut known = imports.filter_map(|import| Some((FRAMEWORKS.iter().find(|(module, _)| *module == import.module)?, import)));
        known.next().map(|((module, usual), import)| (script.clone(), *module, *usual, import))
    };
    let python = || scripts.iter().filter(|script| script.language == Language::Python);
    let (script, module, usual, import) = python().find_map(loads)?;
    let launched = scripts.iter().flat_map(Script::shell_commands).any(|command| {
        let python_launcher = command.words.iter().any(|word| word.contains("torch.distributed") || word.contains("accelerate"));
        LAUNCHERS.contains(&command.program()) || python_launcher
    });
    let local = modules.reached(scripts);
    let texts = python().map(|script| &script.text).chain(local.values());
    let acts = |text: &String| python::statements(text).iter().any(|statement| is_called(statement, ENTRIES) || is_called(statement, USES));
    if launched || texts.into_iter().any(acts) {
        return None;
    }
    Some(Finding {
        id: "no-training-entry".to_owned(),
        severity: Severity::High,
        address: None,
        message: format!("`{}` imports `{module}` and calls nothing that trains", script.file),
        evidence: Some(Evidence { file: script.file.clone(), line: script.line(import.line), text: import.text }),
        hint: Some(format!("call what trains, usually {usual}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_without_anything_that_trains_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lab.py"), "def go():\n    model.fit(x)\n").unwrap();
        let modules = Modules { folder: folder.path() };
        let line =
            |text: &str| finding(&[Script::file("train.py", text)], &modules).and_then(|found| found.evidence).map(|found| found.line);
        for (text, expected) in [
            ("import torch\nx = torch.zeros(3)\nprint(x)\n", Some(1)),
            ("import os\nfrom sklearn.svm import SVC\nmodel = SVC()\n", Some(2)),
            ("import tensorflow as tf\n# model.fit(x)\nprint('model.fit(x)')\n", Some(1)),
            ("import keras\ndef train(model):\n    pass\n", Some(1)),
            ("from transformers import Trainer\ntrainer = Trainer(model)\n", Some(1)),
            ("import torch\nloss.backward()\n", None),
            ("import torch\noptimizer.step()\n", None),
            ("from sklearn.svm import SVC\nSVC().fit(x, y)\n", None),
            ("import xgboost as xgb\nxgb.train({}, d)\n", None),
            ("from transformers import Trainer\nTrainer(model).train()\n", None),
            ("import torch\ndef train_one_epoch(): ...\ntrain_one_epoch()\n", None),
            ("import torch, lab\nlab.go()\n", None),
            ("import torch\nimport subprocess\nsubprocess.run(['torchrun', 'real.py'])\n", None),
            ("from transformers import pipeline\npipeline('fill-mask')('x')\n", None),
            ("import json\nprint(1)\n", None),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }

    #[test]
    fn a_launcher_is_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.py"), "import torch\nprint(torch.zeros(1))\n").unwrap();
        let found = |command: &str| {
            let scripts = crate::project::checks::Scripts::of(Script::commands(command, "aliform.yaml", 7), folder.path());
            finding(&scripts.all, &Modules { folder: folder.path() }).map(|found| found.message)
        };
        assert_eq!(found("python3 train.py").as_deref(), Some("`train.py` imports `torch` and calls nothing that trains"));
        assert_eq!(found("torchrun --nproc-per-node 2 train.py"), None);
        assert_eq!(found("accelerate launch train.py"), None);
    }
}
