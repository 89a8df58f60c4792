//! The scripts that a job needs on its machine: start, look, deliver; or the one that does it all in a pod or for a
//! training job. Texts for `sh`, the same for the same settings.
//!
//! What they expect from whoever sends them: `start` is preceded by `RUN` (which run this is), `BUNDLE_URL` and
//! `BUNDLE_SHA256`, `look` by `OFFSET`, `MOST` (bytes) and `ROOM` (characters), `deliver` by
//! `OUTPUT_URL`, `log` by `OUTPUT_URL`, `OFFSET` and `MOST`. `ALIFORM_ROOT` in the environment
//! goes before every path. Of a run that is one of several of its job, all of them are preceded by `PART`, exported with its
//! parameters, so that the texts are the same for all of them.

use std::collections::BTreeMap;

use super::{DOWNLOAD, quote};

/// Fetches the files.
const UNPACK: &str = include_str!("job_unpack.sh");
/// Ends what still goes on.
const STOP: &str = include_str!("job_stop.sh");
/// Runs the command.
const WORK: &str = include_str!("job_work.sh");
/// Sends the outputs.
const OUTPUTS: &str = include_str!("job_outputs.sh");

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
    /// Stops an earlier run of the job, unpacks the bundle and starts the job in the background.
    pub start: String,
    /// Says how it is and what it wrote.
    pub look: String,
    /// Packs the outputs and sends them off.
    pub deliver: String,
    /// Sends a large part of what it wrote off.
    pub log: String,
}

/// What every script begins with.
fn head(settings: &JobSettings) -> String {
    format!(
        "set -u\nsay() {{ printf 'aliform: %s\\n' \"$*\"; }}\nfail() {{ say \"$*\"; exit 1; }}\nROOT=\"${{ALIFORM_ROOT:-}}\"\n\
         STACK={}\nJOB={}\nDIGEST={}\n",
        quote(&settings.stack),
        quote(&settings.job),
        quote(&settings.digest),
    )
}

/// The outputs as the arguments of what follows.
fn outputs(settings: &JobSettings) -> String {
    let outputs: Vec<String> = settings.outputs.iter().map(|output| quote(output)).collect();
    format!("set -- {}\n", outputs.join(" "))
}

/// The plain environment of the job.
fn environment(settings: &JobSettings) -> String {
    let variables = settings.environment.iter().map(|(name, value)| format!("export {name}={}\n", quote(value)));
    variables.chain(["export PYTHONUNBUFFERED=1\n".to_owned()]).collect()
}

/// The scripts of a job.
pub fn job_scripts(settings: &JobSettings) -> JobScripts {
    let head = head(settings);
    let start = format!("{head}\n{DOWNLOAD}\n{UNPACK}\n{STOP}\n{}\n{}", write_run(settings, ""), include_str!("job_start.sh"));
    let look = format!("{head}\n{}", include_str!("job_look.sh"));
    let deliver = format!("{head}{}{OUTPUTS}{}", outputs(settings), include_str!("job_deliver.sh"));
    let log = format!("{head}\n{OUTPUTS}\n{}", include_str!("job_log.sh"));
    JobScripts { start, look, deliver, log }
}

/// The script that is the command of a job's pod. Its secrets are in the pod's environment already, and so are
/// `ALIFORM_BUNDLE_URL` and, where there are outputs, `ALIFORM_OUTPUT_URL`.
pub fn pod_script(settings: &JobSettings, bundle_digest: &str) -> String {
    format!(
        "{}BUNDLE_SHA256={}\nLIMIT={}\nCOMMAND={}\n{}environment() {{\n{}}}\n{DOWNLOAD}\n{UNPACK}\n{WORK}\n{OUTPUTS}\n{}",
        head(settings),
        quote(bundle_digest),
        settings.limit,
        quote(&settings.command),
        outputs(settings),
        environment(settings),
        include_str!("job_pod.sh"),
    )
}

/// What begins the lines of a log that [`training_script`] writes for whoever follows it.
pub fn mark(digest: &str) -> String {
    format!("aliform-{digest} ")
}

/// The script that each pod of a training job runs. Its settings name no secrets: those are in its environment.
pub fn training_script(settings: &JobSettings) -> String {
    // Its image is chosen for the frameworks that are in it.
    let run = write_run(settings, "VENV_OPTIONS=--system-site-packages\n");
    let (head, outputs) = (head(settings), outputs(settings));
    let take = "BUNDLE_URL=${ALIFORM_BUNDLE_URL:-} OUTPUT_URL=${ALIFORM_OUTPUT_URL:-} BUNDLE_SHA256=${ALIFORM_BUNDLE_SHA256:-}\n\
                unset ALIFORM_BUNDLE_URL ALIFORM_OUTPUT_URL ALIFORM_BUNDLE_SHA256\n\
                BASE=\"$ROOT/opt/aliform/$STACK/jobs/$JOB${PART:+-$PART}\"\n";
    let (deliver, train) = (include_str!("job_deliver.sh"), include_str!("job_train.sh"));
    format!("{head}{take}\n{DOWNLOAD}\n{UNPACK}\n{run}\n{OUTPUTS}\ndeliver() (\n{deliver})\n\n{outputs}{train}")
}

/// The function that writes the script which runs the job, after what else it is told.
fn write_run(settings: &JobSettings, told: &str) -> String {
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
    run += &environment(settings);
    run += told;
    if settings.secrets {
        run += include_str!("secrets.sh");
    }
    run += WORK;
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
        for script in [pod_script(&settings, "0a"), training_script(&settings)] {
            assert!(script.contains("COMMAND='echo \"it'\\''s $HOME\"'\n") && script.contains("set -- 'my model/'\n"), "{script}");
        }
    }
}
