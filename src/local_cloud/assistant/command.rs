//! Commands that are stored: made, described, deleted. What is run of them is an invocation's business.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::start::LONGEST;
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::image::like;
use crate::local_cloud::paging::Page;
use crate::local_cloud::time::seconds;
use crate::local_cloud::vpc;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Tags;

/// How long a command's content may be, in Base64.
const MOST_CONTENT: usize = 24 * 1024;
/// How many parameters a command may have.
const MOST_PARAMETERS: usize = 20;

/// A command as it is kept, or as RunCommand uses it once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredCommand {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `RunShellScript`, `RunBatScript` or `RunPowerShellScript`.
    pub(crate) kind: String,
    /// Base64.
    pub(crate) content: String,
    pub(crate) working_directory: String,
    pub(crate) timeout: u64,
    pub(crate) with_parameters: bool,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    /// How many times it was invoked.
    pub(crate) invocations: u32,
    pub(crate) tags: Tags,
}

/// A stored command that a call names.
pub(super) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a StoredCommand, Fault> {
    match call.world.commands.get(id) {
        Some(command) if call.sees(&command.region)? => Ok(command),
        _ => Err(Fault::missing("InvalidCmdId.NotFound", "The specified command ID does not exist.")),
    }
}

pub(super) fn check_directory(directory: &str) -> Result<(), Fault> {
    if directory.chars().count() > 200 {
        return Err(Fault::bad("InvalidParameter.WorkingDir", "The specified parameter WorkingDir is not valid."));
    }
    Ok(())
}

pub(super) fn check_quota(call: &Call, region: &str) -> Result<(), Fault> {
    if call.world.commands.values().filter(|command| command.region == region).count() >= call.config.quotas.commands {
        return Err(Fault::forbidden("CmdCount.ExceedQuota", "The total number of commands in the current region exceeds the quota."));
    }
    Ok(())
}

/// Reads what a call says of a command; its id is still to be given. `encoding` counts if the call names none.
pub(super) fn read(call: &Call, encoding: &str) -> Result<StoredCommand, Fault> {
    let region = call.region()?;
    let params = call.params;
    let kind = params.required("Type")?;
    if !matches!(kind, "RunShellScript" | "RunBatScript" | "RunPowerShellScript") {
        return Err(Fault::forbidden("InvalidCmdType.NotFound", "The specified command type does not exist."));
    }
    let (name, description) = (params.owned("Name"), params.owned("Description"));
    if name.chars().count() > 128 {
        return Err(Fault::forbidden("CmdName.ExceedLimit", "The length of the command name exceeds the upper limit."));
    }
    if description.chars().count() > 512 {
        return Err(Fault::forbidden("CmdDesc.ExceedLimit", "The length of the command description exceeds the upper limit."));
    }
    check_directory(params.text("WorkingDir").unwrap_or_default())?;
    let timeout: u64 = params.number("Timeout")?.unwrap_or(60);
    if !(1..=LONGEST).contains(&timeout) {
        return Err(Fault::invalid("Timeout"));
    }
    let command = StoredCommand {
        id: String::new(),
        region: region.id.to_owned(),
        name,
        description,
        kind: kind.to_owned(),
        content: content(call, encoding)?,
        working_directory: params.owned("WorkingDir"),
        timeout,
        with_parameters: params.boolean("EnableParameter")?,
        resource_group: vpc::resource_group(call),
        created: call.now,
        invocations: 0,
        tags: Tags::new(),
    };
    if parameter_names(&command).len() > MOST_PARAMETERS {
        return Err(Fault::forbidden("CmdParamCount.ExceedLimit", "The maximum number of custom parameters is exceeded."));
    }
    Ok(command)
}

/// The script, in Base64.
fn content(call: &Call, encoding: &str) -> Result<String, Fault> {
    let text = call.params.required("CommandContent")?;
    let encoded = call.params.text("ContentEncoding").unwrap_or(encoding).eq_ignore_ascii_case("Base64");
    let script = if encoded {
        STANDARD.decode(text).map_err(|_| Fault::bad("CmdContent.DecodeError", "The CommandContent can not be base64 decoded."))?
    } else {
        text.as_bytes().to_vec()
    };
    let content = STANDARD.encode(script);
    if content.len() > MOST_CONTENT {
        return Err(Fault::forbidden("CmdContent.ExceedLimit", "The length of the command content exceeds the limit."));
    }
    Ok(content)
}

/// The names in double braces, in the order in which they come; those of the service itself are not among them.
pub(super) fn parameter_names(command: &StoredCommand) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if !command.with_parameters {
        return names;
    }
    let script = STANDARD.decode(&command.content).unwrap_or_default();
    let text = String::from_utf8_lossy(&script);
    for piece in text.split("{{").skip(1) {
        let Some((name, _)) = piece.split_once("}}") else { continue };
        let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if fits && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// CreateCommand.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let region = call.region()?;
    call.params.required("Name")?;
    let command = read(call, "Base64")?;
    if call.params.text("Launcher").is_some() {
        return Err(Fault::forbidden("Operation.Forbidden", "The local cloud does not have Launcher."));
    }
    check_quota(call, region.id)?;
    let tags = call.params.tags()?;
    let id = call.new_id("c", region.id, 14);
    call.world.commands.insert(id.clone(), StoredCommand { id: id.clone(), tags, ..command });
    Ok(json!({ "CommandId": id }))
}

/// DeleteCommand: not while an invocation of it goes on.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    call.region()?;
    let id = call.params.required("CommandId")?.to_owned();
    find(call, &id)?;
    let going = call.world.invocations.values().any(|row| row.command == id && row.runs.values().any(|run| !run.progress.is_over()));
    if going {
        return Err(Fault::forbidden("Operation.Forbidden", "The operation is not permitted: an invocation of the command goes on."));
    }
    call.world.commands.remove(&id);
    Ok(json!({}))
}

/// DescribeCommands.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 50, 50)?;
    let filter = params.tag_filter();
    params.flag("Latest")?;
    let plain = params.text("ContentEncoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("PlainText"));
    // Public commands are those of another provider.
    let public = params.text("Provider").is_some_and(|provider| provider != "User");
    let named = params.text("CommandId").map(|id| vec![id.to_owned()]);
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.commands.among(named.as_deref()).filter(|(_, command)| {
        !public
            && command.region == region.id
            && params.text("Name").is_none_or(|name| like(name, &command.name))
            && params.text("Description").is_none_or(|text| like(text, &command.description))
            && fits("Type", &command.kind)
            && fits("ResourceGroupId", &command.resource_group)
            && filter.fits(&command.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|command| row(command, plain)).collect();
    let mut answer = json!({ "Commands": { "Command": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn row(command: &StoredCommand, plain: bool) -> Json {
    let content = if plain {
        String::from_utf8_lossy(&STANDARD.decode(&command.content).unwrap_or_default()).into_owned()
    } else {
        command.content.clone()
    };
    json!({
        "CommandId": command.id,
        "Name": command.name,
        "Description": command.description,
        "Type": command.kind,
        "CommandContent": content,
        "WorkingDir": command.working_directory,
        "Timeout": command.timeout,
        "EnableParameter": command.with_parameters,
        "ParameterNames": { "ParameterName": parameter_names(command) },
        "ParameterDefinitions": { "ParameterDefinition": [] },
        "CreationTime": seconds(command.created),
        "InvokeTimes": command.invocations,
        "Provider": "User",
        "Category": "",
        "Launcher": "",
        "ResourceGroupId": command.resource_group,
        "Tags": ecs_tags(&command.tags),
    })
}
