//! The scripts that a job needs on its machine: start, look, deliver. Texts for `sh`, the same for the same settings.
//!
//! What they expect from whoever sends them: `start` is preceded by `RUN` (which run this is), `BUNDLE_URL` and
//! `BUNDLE_SHA256`, `look` by `OFFSET` and `MOST` (bytes), `deliver` by `OUTPUT_URL`. `ALIFORM_ROOT` in the environment
//! goes before every path. Of a run that is one of several of its job, all three are preceded by `PART`, exported with its
//! parameters, so that the texts are the same for all of them.

use std::collections::BTreeMap;

use super::{DOWNLOAD, quote};

/// Everything that the scripts of a job depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// The stack's name: lower-case letters, digits and hyphens.
    pub stack: String,
    /// The job's name, likewise.
    pub job: String,
    /// What tells this run from others: another digest runs anew.
    pub digest: String,
    /// The command for `sh`.
    pub command: String,
    /// How long it may run, in seconds.
    pub limit: u64,
    /// Its plain environment.
    pub environment: BTreeMap<String, String>,
    /// Whether it is given secrets.
    pub secrets: bool,
    /// What to bring back, relative to where it runs.
    pub outputs: Vec<String>,
}

/// The scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobScripts {
    /// Unpacks the bundle and starts the job in the background.
    pub start: String,
    /// Says how it is and what it wrote.
    pub look: String,
    /// Packs the outputs and sends them off.
    pub deliver: String,
}

/// The scripts of a job.
pub fn job_scripts(settings: &JobSettings) -> JobScripts {
    let head = |settings: &JobSettings| {
        format!(
            "set -u\nsay() {{ printf 'aliform: %s\\n' \"$*\"; }}\nfail() {{ say \"$*\"; exit 1; }}\nROOT=\"${{ALIFORM_ROOT:-}}\"\n\
             STACK={}\nJOB={}\nDIGEST={}\n",
            quote(&settings.stack),
            quote(&settings.job),
            quote(&settings.digest),
        )
    };
    let start = format!("{}\n{DOWNLOAD}\n{}\n{}", head(settings), write_run(settings), include_str!("job_start.sh"));
    let look = format!("{}\n{}", head(settings), include_str!("job_look.sh"));
    let outputs: Vec<String> = settings.outputs.iter().map(|output| quote(output)).collect();
    let deliver = format!("{}set -- {}\n{}", head(settings), outputs.join(" "), include_str!("job_deliver.sh"));
    JobScripts { start, look, deliver }
}

/// The function that writes the script which runs the job.
fn write_run(settings: &JobSettings) -> String {
    let mut run = format!(
        "ROOT=\"${{ALIFORM_ROOT:-}}\"\nSTACK={}\nAPP={}\"${{PART:+-$PART}}\"\n\
         BASE=\"$ROOT/opt/aliform/{}/jobs/{}${{PART:+-$PART}}\"\nLIMIT={}\nCOMMAND={}\n",
        quote(&settings.stack),
        quote(&settings.job),
        settings.stack,
        settings.job,
        settings.limit,
        quote(&settings.command),
    );
    for (name, value) in &settings.environment {
        run += &format!("export {name}={}\n", quote(value));
    }
    run += "export PYTHONUNBUFFERED=1\n";
    if settings.secrets {
        run += include_str!("secrets.sh");
    }
    run += include_str!("job_run.sh");
    // No line of a command can be the end, since it would have to hold its own digest.
    let end = format!("END_{}", settings.digest);
    format!("write_run() {{\n  (umask 077 && cat >\"$BASE/run.sh\") <<'{end}'\n{run}{end}\n}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_writes_stays_what_it_is() {
        let settings = JobSettings {
            stack: "lab".to_owned(),
            job: "train".to_owned(),
            digest: "00".to_owned(),
            command: "echo \"it's $HOME\"".to_owned(),
            limit: 60,
            environment: BTreeMap::from([("A".to_owned(), "b'c\nd".to_owned())]),
            secrets: false,
            outputs: vec!["my model/".to_owned()],
        };
        let scripts = job_scripts(&settings);
        assert!(scripts.start.contains("COMMAND='echo \"it'\\''s $HOME\"'\n"), "{}", scripts.start);
        assert!(scripts.start.contains("export A='b'\\''c\nd'\n"), "{}", scripts.start);
        assert!(!scripts.start.contains("secrets.env") && scripts.deliver.contains("set -- 'my model/'\n"));
    }
}
