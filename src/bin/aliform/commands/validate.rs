//! `aliform validate`: checks the manifest, its sources and its scripts without asking anyone.

use aliform::resolve;

use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let manifest = workspace.load()?;
    resolve::read(&manifest)?;
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    out.result(
        &format!(
            "`{}` is valid: stack `{}`, {}, {}.",
            workspace.manifest.display(),
            manifest.stack.value,
            count(manifest.apps.len(), "app"),
            count(manifest.jobs.len(), "job")
        ),
        &serde_json::json!({ "valid": true, "stack": manifest.stack.value, "apps": manifest.apps.len(), "jobs": manifest.jobs.len() }),
    );
    Ok(0)
}
