//! `aliform init`: looks at the folder, writes a manifest for what it finds, and says by what it knew.

use aliform::model::finding::Evidence;
use aliform::project::detect::detect;

use crate::args;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &args::Init, out: &Output) -> Result<u8, CommandError> {
    let manifest = &workspace.manifest;
    if manifest.exists() && !arguments.force {
        return Err(CommandError::failed(format!("`{}` exists already", manifest.display())).hint("write over it with `--force`"));
    }
    let folder = &workspace.directory;
    let found = detect(folder, None).map_err(|error| CommandError::failed("the folder does not say how to run it").because(error))?;
    let name = stack_name(
        &std::path::absolute(folder).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).unwrap_or_default(),
    );
    let text = format!(
        "version: 1\nstack: {name}\nregion: auto\napps:\n  web:\n    source: .\n    runtime: {runtime}\n    port: {port}\n    instance: {{ cpu: 2, memory: 4GiB }}\n    public: {{ bandwidth: 5Mbps }}\noutputs: {{ url: \"${{apps.web.url}}\" }}\n",
        runtime = found.runtime,
        port = found.port,
    );
    std::fs::write(manifest, &text)
        .map_err(|error| CommandError::failed(format!("`{}` can't be written", manifest.display())).because(error))?;
    let mut lines = vec![format!("`{}` is written: a {} application, started with `{}`.", manifest.display(), found.runtime, found.start)];
    let place = |evidence: &Evidence| match evidence.line {
        0 => format!("  {}", evidence.file),
        line => format!("  {}:{line}: {}", evidence.file, evidence.text),
    };
    lines.extend(found.evidence.iter().map(place));
    lines.push("Next: `aliform plan --local` shows what it comes to.".to_owned());
    out.result(&lines.join("\n"), &serde_json::json!({ "manifest": manifest, "runtime": found.runtime, "start": found.start, "port": found.port, "evidence": found.evidence }));
    Ok(0)
}

/// The folder's name as a stack's: lower-case letters, digits and hyphens, a letter first.
fn stack_name(folder: &str) -> String {
    let plain: String = folder.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed: String = plain.trim_matches(|c: char| c == '-' || c.is_ascii_digit()).chars().take(40).collect();
    if trimmed.is_empty() { "app".to_owned() } else { trimmed.trim_end_matches('-').to_owned() }
}
