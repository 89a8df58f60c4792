//! How a runtime comes up within a machine: code unpacked, process started, port open, initializer done. It decides
//! nothing about which instance it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::code::as_tar;
use super::function::Function;
use super::pool::NotStarted;
use super::settings::{Family, Hook};
use crate::local_cloud::machines::{CommandOutcome, CommandSpec, Ending, FileSpec, MachineSpec, Machines};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::fault::Fault;

const PYTHON: &str = include_str!("bootstrap/python.py");
const NODE: &str = include_str!("bootstrap/node.js");
/// Where an instance has what is not its function's own.
const OWN: &str = "/var/fc";
/// Everything that a runtime writes.
pub(super) const LOG: &str = "/var/fc/log";
/// The number of a runtime's process.
pub(super) const NUMBER: &str = "/var/fc/pid";
/// How long a server may take to listen. Source: Function Compute, custom runtimes.
const LISTENING: Duration = Duration::from_secs(120);
/// Unpacking, and other things of our own.
const PREPARING: Duration = Duration::from_secs(120);
/// How often a port is looked at: nobody tells when it is open.
const LOOK: Duration = Duration::from_millis(15);
/// The largest piece that a file is written in.
const PIECE: usize = 64 << 20;
/// A runtime lives until its machine is removed.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A runtime's process, as far as the server follows it.
pub(super) struct Runtime {
    pub(super) process: JoinHandle<CommandOutcome>,
    /// Never used: the process ends with its machine.
    _stop: watch::Sender<bool>,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.process.abort();
    }
}

fn refused(status: u16, code: &str, message: impl Into<String>) -> NotStarted {
    NotStarted::Refused(Fault::new(status, code, message))
}

fn internal(message: impl Into<String>) -> NotStarted {
    refused(500, "InternalServerError", message)
}

/// Brings a function up on a new machine.
pub(super) async fn bring_up(shared: &Arc<Shared>, function: &Function, machine: &MachineSpec, port: u16) -> Result<Runtime, NotStarted> {
    if let Some(reason) = function.image_fault() {
        return Err(refused(412, "PreconditionFailed", reason));
    }
    let machines = &shared.machines;
    machines.boot(machine, &[]).await.map_err(|error| internal(error.to_string()))?;
    unpack(shared, function, machine).await?;
    let script = script(function)?;
    let (stop, stopping) = watch::channel(false);
    let command = CommandSpec {
        id: format!("{}-runtime", machine.id),
        script: script.into_bytes(),
        interpreter: "/bin/sh",
        working_directory: Some("/code".to_owned()),
        user: None,
        environment: environment(shared, function, machine, port),
        timeout: FOREVER,
        kill_tree: true,
    };
    let (runs, on) = (Arc::clone(machines), machine.clone());
    let process = tokio::spawn(async move { runs.run(&on, command, Arc::new(|_| {}), stopping).await });
    let mut runtime = Runtime { process, _stop: stop };
    let outcome = async {
        listening(machines, machine, port, &mut runtime.process).await?;
        healthy(machines, function, machine, port).await?;
        initialize(shared, function, machine, port).await
    };
    outcome.await.map(|()| runtime)
}

/// Writes a file of our own into the machine.
async fn write(machines: &Arc<dyn Machines>, machine: &MachineSpec, path: String, content: Vec<u8>) -> Result<(), NotStarted> {
    let (owner, group) = ("root".to_owned(), "root".to_owned());
    let file = FileSpec { path, content, owner, group, mode: 0o644, overwrite: true };
    machines.write_file(machine, file).await.map_err(|error| internal(error.to_string()))
}

async fn unpack(shared: &Arc<Shared>, function: &Function, machine: &MachineSpec) -> Result<(), NotStarted> {
    let machines = &shared.machines;
    write(machines, machine, LOG.to_owned(), Vec::new()).await?;
    match function.settings.family() {
        Some(Family::Python) => write(machines, machine, format!("{OWN}/bootstrap.py"), PYTHON.as_bytes().to_vec()).await?,
        Some(Family::Node) => write(machines, machine, format!("{OWN}/bootstrap.js"), NODE.as_bytes().to_vec()).await?,
        _ => {}
    }
    let Some(code) = &function.code else { return Ok(()) };
    let package = shared.blobs.get(&code.digest).await.map_err(|error| internal(error.to_string()))?;
    let tar = tokio::task::spawn_blocking(move || as_tar(&package)).await.map_err(|error| internal(error.to_string()))?;
    for (number, piece) in tar.map_err(internal)?.chunks(PIECE).enumerate() {
        write(machines, machine, format!("{OWN}/code.{number:04}"), piece.to_vec()).await?;
    }
    let script = format!(
        "own=\"${{ALIFORM_ROOT:-}}{OWN}\"\n\
         cat \"$own\"/code.* | tar -x -f - -C \"${{ALIFORM_ROOT:-}}/code\" --no-same-owner && rm -f \"$own\"/code.*\n"
    );
    let outcome = own_command(machines, machine, "unpack", script, PREPARING).await;
    match outcome.ending {
        Ending::Exited(0) => Ok(()),
        ending => Err(internal(format!("the code was not unpacked: {ending:?} {}", String::from_utf8_lossy(&outcome.output)))),
    }
}

async fn own_command(machines: &Arc<dyn Machines>, machine: &MachineSpec, what: &str, script: String, timeout: Duration) -> CommandOutcome {
    let command = CommandSpec {
        id: format!("{}-{what}", machine.id),
        script: script.into_bytes(),
        interpreter: "/bin/sh",
        working_directory: None,
        user: None,
        environment: BTreeMap::new(),
        timeout,
        kill_tree: true,
    };
    // A sender that is gone stops nothing.
    machines.run(machine, command, Arc::new(|_| {}), watch::channel(false).1).await
}

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn words(parts: &[&[String]]) -> String {
    parts.iter().flat_map(|part| part.iter()).map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// What starts the runtime: its process replaces the shell, so that its number is known.
fn script(function: &Function) -> Result<String, NotStarted> {
    let settings = &function.settings;
    let version = settings.runtime.trim_start_matches("python").trim_start_matches("nodejs");
    let run = match settings.family() {
        Some(Family::Python) => {
            let exact = if version.contains('.') { format!("python{version}") } else { "python3".to_owned() };
            format!(
                // A version manager may have a command for a version that is not there.
                "for python in {exact} python3; do\n\
                 \"$python\" -c '' 2> /dev/null && exec \"$python\" -u \"$own/bootstrap.py\"\n\
                 done\n\
                 echo 'this computer has no python3'\n\
                 exit 127\n"
            )
        }
        Some(Family::Node) => "for node in node nodejs; do\n\
             \"$node\" -e '' 2> /dev/null && exec \"$node\" \"$own/bootstrap.js\"\n\
             done\n\
             echo 'this computer has no node'\n\
             exit 127\n"
            .to_owned(),
        Some(Family::Custom) => {
            let custom = settings.custom_runtime_config.clone().unwrap_or_default();
            if custom.command.is_empty() && custom.args.is_empty() {
                "[ -e bootstrap ] || { echo 'the file bootstrap does not exist'; exit 127; }\n\
                 [ -x bootstrap ] || { echo 'the file bootstrap is not executable'; exit 126; }\n\
                 exec ./bootstrap\n"
                    .to_owned()
            } else {
                format!("exec {}\n", words(&[&custom.command, &custom.args]))
            }
        }
        Some(Family::Container) => {
            let container = settings.custom_container_config.clone().unwrap_or_default();
            let words = words(&[&container.entrypoint, &container.command]);
            if words.is_empty() {
                let message = "this local cloud pulls no images: it runs what entrypoint and command say, and they are empty";
                return Err(refused(412, "CAExited", format!("The function either cannot be started or exited. {message}.")));
            }
            format!("exec {words}\n")
        }
        None => return Err(internal("the runtime is not known")),
    };
    Ok(format!(
        "own=\"${{ALIFORM_ROOT:-}}{OWN}\"\ncd \"${{ALIFORM_ROOT:-}}/code\" || exit 1\necho $$ > \"$own/pid\"\nexec >> \"$own/log\" 2>&1\n{run}"
    ))
}

fn environment(shared: &Shared, function: &Function, machine: &MachineSpec, port: u16) -> BTreeMap<String, String> {
    let settings = &function.settings;
    let mut all = settings.environment_variables.clone();
    let initializer = settings.instance_lifecycle_config.as_ref().and_then(|lifecycle| lifecycle.initializer.as_ref());
    let pre_stop = settings.instance_lifecycle_config.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let handler = |hook: Option<&Hook>| hook.map_or_else(String::new, |hook| hook.handler.clone());
    // What the service says of itself counts.
    all.extend(
        [
            ("FC_ACCOUNT_ID", shared.config.account.clone()),
            ("FC_REGION", function.region.clone()),
            ("FC_FUNCTION_NAME", function.name.clone()),
            ("FC_FUNCTION_HANDLER", settings.handler.clone()),
            ("FC_FUNCTION_MEMORY_SIZE", settings.memory_size.to_string()),
            ("FC_FUNCTION_INITIALIZER", handler(initializer)),
            ("FC_FUNCTION_PRE_STOP", handler(pre_stop)),
            ("FC_FUNC_CODE_PATH", "/code".to_owned()),
            ("FC_INSTANCE_ID", machine.id.clone()),
            ("FC_QUALIFIER", "LATEST".to_owned()),
            ("FC_SERVER_PORT", port.to_string()),
            ("FC_CUSTOM_LISTEN_PORT", port.to_string()),
            ("FC_INSTANCE_CONCURRENCY", settings.instance_concurrency.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    all
}

/// Waits until the server listens, or has ended without.
async fn listening(
    machines: &Arc<dyn Machines>,
    machine: &MachineSpec,
    port: u16,
    process: &mut JoinHandle<CommandOutcome>,
) -> Result<(), NotStarted> {
    let deadline = Instant::now() + LISTENING;
    let mut ended = None;
    loop {
        if machines.listens(machine, port).await {
            return Ok(());
        }
        if let Some(outcome) = ended {
            return Err(exited(machines, machine, outcome).await);
        }
        if Instant::now() >= deadline {
            let message = format!("the server does not listen on port {port} after {} s", LISTENING.as_secs());
            return Err(refused(412, "FunctionNotStarted", format!("The CA's http server cannot be started: {message}.")));
        }
        tokio::select! {
            biased;
            // It may have left a server behind: the port is looked at once more.
            outcome = &mut *process => ended = Some(outcome.ok()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Why a runtime's process ended before it listened.
async fn exited(machines: &Arc<dyn Machines>, machine: &MachineSpec, outcome: Option<CommandOutcome>) -> NotStarted {
    let log = machines.read_file(machine, LOG, 0, 1024).await.map(|part| part.bytes).unwrap_or_default();
    let said = String::from_utf8_lossy(&log).trim().to_owned();
    let (ending, output) = outcome.map_or((Ending::Stopped, Vec::new()), |outcome| (outcome.ending, outcome.output));
    match ending {
        Ending::Exited(127) => refused(412, "CAFileNotFound", format!("The function cannot be started. File not found: {said}")),
        Ending::Exited(126) => refused(412, "CAFilePermission", format!("The function cannot be started. Permission denied: {said}")),
        Ending::Exited(code) => {
            let text = format!("The function either cannot be started or exited. Exit code {code}. Logs:{said}");
            refused(412, "CAExited", text)
        }
        other => internal(format!("the runtime was not started: {other:?} {}", String::from_utf8_lossy(&output))),
    }
}

fn request(path: &str, body: Bytes) -> Result<http::Request<Bytes>, NotStarted> {
    let request = http::Request::builder().method(if body.is_empty() && !path.starts_with("/init") { "GET" } else { "POST" });
    request.uri(path).header("host", "127.0.0.1").body(body).map_err(|error| internal(format!("`{path}` can't be asked for: {error}")))
}

/// Waits until the health check that is configured succeeds.
async fn healthy(machines: &Arc<dyn Machines>, function: &Function, machine: &MachineSpec, port: u16) -> Result<(), NotStarted> {
    let Some(check) = function.settings.health_check() else { return Ok(()) };
    let seconds = |value: Option<u64>, usual| Duration::from_secs(value.unwrap_or(usual).min(120));
    tokio::time::sleep(seconds(check.initial_delay_seconds, 0)).await;
    let (mut failures, mut successes) = (0, 0);
    loop {
        let asked = machines.exchange(machine, port, request(&check.http_get_url, Bytes::new())?);
        let answered = tokio::time::timeout(seconds(check.timeout_seconds, 1), asked).await;
        if answered.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success() || answer.status().is_redirection())) {
            (failures, successes) = (0, successes + 1);
        } else {
            (failures, successes) = (failures + 1, 0);
        }
        if successes >= check.success_threshold.unwrap_or(1) {
            return Ok(());
        }
        if failures >= check.failure_threshold.unwrap_or(3) {
            let message = format!("the health check of '{}' failed", check.http_get_url);
            return Err(refused(412, "FunctionNotStarted", format!("The CA's http server cannot be started: {message}.")));
        }
        tokio::time::sleep(seconds(check.period_seconds, 3)).await;
    }
}

async fn initialize(shared: &Arc<Shared>, function: &Function, machine: &MachineSpec, port: u16) -> Result<(), NotStarted> {
    let Some(hook) = function.settings.instance_lifecycle_config.as_ref().and_then(|lifecycle| lifecycle.initializer.as_ref()) else {
        return Ok(());
    };
    let machines = &shared.machines;
    let timeout = Duration::from_secs(hook.timeout.unwrap_or(3));
    let failed = |message: String| {
        NotStarted::Initializer(serde_json::json!({ "errorMessage": message, "errorType": "InitializerError" }).to_string().into_bytes())
    };
    let late = || failed(format!("Function initialization timed out after {} seconds", timeout.as_secs()));
    if !hook.command.is_empty() {
        let script = format!("cd \"${{ALIFORM_ROOT:-}}/code\" && {}\n", words(&[&hook.command]));
        let outcome = own_command(machines, machine, "initializer", script, timeout).await;
        return match outcome.ending {
            Ending::Exited(0) => Ok(()),
            Ending::TimedOut => Err(late()),
            _ => Err(failed(String::from_utf8_lossy(&outcome.output).trim().to_owned())),
        };
    }
    if hook.handler.is_empty() {
        return Ok(());
    }
    let asked = machines.exchange(machine, port, request("/initialize", Bytes::new())?);
    match tokio::time::timeout(timeout, asked).await {
        Err(_) => Err(late()),
        Ok(Err(error)) => Err(failed(format!("Process exited unexpectedly during initialization: {}", error.reason))),
        Ok(Ok(answer)) if super::invoke::has_failed(&answer) => Err(NotStarted::Initializer(answer.body().to_vec())),
        Ok(Ok(_)) => Ok(()),
    }
}

/// Tells the function that its instance ends, and gives it its time.
pub(super) async fn pre_stop(shared: &Arc<Shared>, function: &Function, machine: &MachineSpec, port: u16) {
    let Some(hook) = function.settings.instance_lifecycle_config.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else {
        return;
    };
    let timeout = Duration::from_secs(hook.timeout.unwrap_or(3));
    if !hook.command.is_empty() {
        let script = format!("cd \"${{ALIFORM_ROOT:-}}/code\" && {}\n", words(&[&hook.command]));
        own_command(&shared.machines, machine, "pre-stop", script, timeout).await;
    } else if !hook.handler.is_empty()
        && let Ok(request) = http::Request::post("/pre-stop").header("host", "127.0.0.1").body(Bytes::new())
    {
        // What comes of it changes nothing: the instance ends.
        drop(tokio::time::timeout(timeout, shared.machines.exchange(machine, port, request)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(words(&[&["a b".to_owned()], &["it's".to_owned(), "$x".to_owned()]]), r"'a b' 'it'\''s' '$x'");
    }
}
