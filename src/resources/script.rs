//! Running a script on an instance through Cloud Assistant and following it to its end.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::ResourceError;
use super::kind::Context;
use super::wait::{self, Look};
use crate::cloud::api::ask;
use crate::cloud::ecs::assistant::{DescribeInvocationResults, DescribeSendFileResults, InvocationResult, RunCommand, SendFile};
use crate::model::event::Event;

/// The most bytes of a script after Base64 that RunCommand takes.
pub const SCRIPT_LIMIT: usize = 24 * 1024;
/// How much of a failed script's output an error carries.
const TAIL: usize = 8 * 1024;
/// The most bytes of a file after Base64 that SendFile takes.
pub const FILE_LIMIT: usize = 32 * 1024;
const BUSY: &[&str] = &["IdempotentProcessing"];
/// How far the list of runs may lag behind the call that began one.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// A script to run.
pub struct Script<'a> {
    /// What it does, for errors: `the start script`.
    pub what: &'a str,
    /// Its text.
    pub text: &'a str,
    /// How long it may take.
    pub timeout: Duration,
    /// Where it runs: the instance's identifier.
    pub instance: &'a str,
    /// Distinguishes the scripts of one step, since they share the step's token.
    pub step: &'a str,
    /// Whether its output is told to the events as it comes.
    pub tell: bool,
}

/// How a script that ran to its end went.
pub struct Ran {
    /// Its exit code.
    pub exit_code: i64,
    /// Its output; only the first 24 KB are kept by the cloud.
    pub output: String,
}

/// Starts the script and gives back the identifier of the run.
pub async fn start(context: &Context<'_>, script: &Script<'_>) -> Result<String, ResourceError> {
    let content = STANDARD.encode(script.text);
    if content.len() > SCRIPT_LIMIT {
        let reason = format!("{} is {} bytes long after Base64; Cloud Assistant takes {SCRIPT_LIMIT}", script.what, content.len());
        return Err(ResourceError::InTheWay(reason));
    }
    let call = RunCommand {
        region_id: context.region.to_owned(),
        r#type: "RunShellScript".to_owned(),
        command_content: content,
        content_encoding: "Base64".to_owned(),
        instance_id: vec![script.instance.to_owned()],
        name: super::name::of(&context.identity.stack, context.address),
        timeout: script.timeout.as_secs().max(10),
        working_dir: None,
        termination_mode: Some("ProcessTree".to_owned()),
        client_token: context.token_of(script.step),
        tag: context.tags(),
    };
    let answer = wait::while_refused(context, "run the script", BUSY, Duration::from_secs(60), async || {
        ask(context.cloud, context.region, &call).await
    })
    .await?;
    Ok(answer.invoke_id)
}

fn text(result: &InvocationResult) -> String {
    // What is not UTF-8 is shown as such: a log must not stop a deployment.
    String::from_utf8_lossy(&STANDARD.decode(&result.output).unwrap_or_default()).into_owned()
}

/// Follows a run to its end. An exit code other than 0 is no error here.
pub async fn follow(context: &Context<'_>, script: &Script<'_>, run: &str) -> Result<Ran, ResourceError> {
    let query = DescribeInvocationResults { region_id: context.region.to_owned(), invoke_id: run.to_owned(), max_results: 10 };
    let mut told = 0;
    let begun = tokio::time::Instant::now();
    let result = wait::until(context, script.what, script.timeout + Duration::from_secs(120), async || {
        let answer = match ask(context.cloud, context.region, &query).await {
            Err(error) if error.is_not_found() && begun.elapsed() < LISTED_WITHIN => return Ok(Look::NotYet("not listed".to_owned())),
            other => other?,
        };
        let Some(result) =
            answer.invocation.invocation_results.invocation_result.into_iter().find(|result| result.instance_id == script.instance)
        else {
            return Ok(Look::NotYet("not listed".to_owned()));
        };
        let output = text(&result);
        let finished = !matches!(result.invocation_status.as_str(), "Pending" | "Running" | "Stopping" | "Scheduled");
        if script.tell {
            // Whole lines only, so that a view never shows half of one.
            let end = if finished { output.len() } else { output.rfind('\n').map_or(0, |at| at + 1) };
            if let Some(new) = output.get(told..end)
                && !new.is_empty()
            {
                context.events.emit(Event::StepOutput { address: context.address.clone(), text: new.to_owned() });
                told = end;
            }
        }
        Ok(if finished { Look::Ready(result) } else { Look::NotYet(result.invocation_status) })
    })
    .await?;
    let output = text(&result);
    match (result.invocation_status.as_str(), result.exit_code) {
        ("Success", code) => Ok(Ran { exit_code: code.unwrap_or(0), output }),
        ("Failed", Some(code)) if code != 0 => Ok(Ran { exit_code: code, output }),
        (status, _) => {
            let reason =
                [status, &result.error_code, &result.error_info].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
            Err(failure(script, reason, output))
        }
    }
}

/// Runs a script that has to succeed.
pub async fn run(context: &Context<'_>, script: &Script<'_>) -> Result<String, ResourceError> {
    let run = start(context, script).await?;
    let ran = follow(context, script, &run).await?;
    if ran.exit_code != 0 {
        return Err(failure(script, format!("exit code {}", ran.exit_code), ran.output));
    }
    Ok(ran.output)
}

/// The error of a script that did not end well.
pub fn failure(script: &Script<'_>, ending: String, mut output: String) -> ResourceError {
    if output.len() > TAIL {
        let mut from = output.len() - TAIL;
        while !output.is_char_boundary(from) {
            from += 1;
        }
        output.drain(..from);
    }
    ResourceError::Script { what: script.what.to_owned(), instance: script.instance.to_owned(), ending, output }
}

/// A file to write.
pub struct File<'a> {
    /// The instance's identifier.
    pub instance: &'a str,
    /// The folder; made if it is missing.
    pub folder: &'a str,
    /// The name.
    pub name: &'a str,
    /// The bytes; at most 32 KB after Base64.
    pub content: &'a [u8],
    /// `0600`.
    pub mode: &'a str,
    /// Distinguishes the files of one step.
    pub step: &'a str,
}

/// Writes a file on an instance, over one that is there.
pub async fn send_file(context: &Context<'_>, file: &File<'_>) -> Result<(), ResourceError> {
    let content = STANDARD.encode(file.content);
    if content.len() > FILE_LIMIT {
        let reason = format!("`{}` is {} bytes long after Base64; Cloud Assistant takes {FILE_LIMIT}", file.name, content.len());
        return Err(ResourceError::InTheWay(reason));
    }
    let call = SendFile {
        region_id: context.region.to_owned(),
        instance_id: vec![file.instance.to_owned()],
        name: file.name.to_owned(),
        target_dir: file.folder.to_owned(),
        content,
        content_type: "Base64".to_owned(),
        file_mode: file.mode.to_owned(),
        overwrite: true,
        timeout: 60,
        client_token: context.token_of(file.step),
    };
    let sent = wait::while_refused(context, "send a file", BUSY, Duration::from_secs(60), async || {
        ask(context.cloud, context.region, &call).await
    })
    .await?;
    let query = DescribeSendFileResults { region_id: context.region.to_owned(), invoke_id: sent.invoke_id, max_results: 10 };
    let begun = tokio::time::Instant::now();
    wait::until(context, "a file to arrive", Duration::from_secs(120), async || {
        let answer = match ask(context.cloud, context.region, &query).await {
            Err(error) if error.is_not_found() && begun.elapsed() < LISTED_WITHIN => return Ok(Look::NotYet("not listed".to_owned())),
            other => other?,
        };
        let targets = answer.invocations.invocation.into_iter().flat_map(|sent| sent.invoke_instances.invoke_instance);
        let Some(target) = targets.into_iter().find(|target| target.instance_id == file.instance) else {
            return Ok(Look::NotYet("not listed".to_owned()));
        };
        match target.invocation_status.as_str() {
            "Success" => Ok(Look::Ready(())),
            "Pending" | "Running" => Ok(Look::NotYet(target.invocation_status)),
            status => Err(ResourceError::InTheWay(format!(
                "`{}/{}` could not be written on `{}`: {status}: {} {}",
                file.folder, file.name, file.instance, target.error_code, target.error_info
            ))),
        }
    })
    .await
}
