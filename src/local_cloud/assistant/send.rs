//! SendFile and what became of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::target::{on_instance, targets};
use super::{SentFile, overall};
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::machines::FileSpec;
use crate::local_cloud::paging::Page;
use crate::local_cloud::store::Task;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;

/// How long a file's content may be, in Base64.
const MOST_CONTENT: usize = 32 * 1024;

/// SendFile.
pub(crate) fn send(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let name = params.required("Name")?;
    let directory = params.required("TargetDir")?;
    if name.len() > 255 || directory.len() > 255 || name.contains('/') {
        return Err(Fault::bad("InvalidParameter", "The specified parameter Name or TargetDir is not valid."));
    }
    let text = params.given("Content").ok_or_else(|| Fault::mandatory("Content"))?;
    let content_type = params.choice("ContentType", &["PlainText", "Base64"], "PlainText")?;
    let content = if content_type == "Base64" {
        STANDARD.decode(text).map_err(|_| Fault::bad("InvalidParameter", "The specified parameter Content is not valid Base64."))?
    } else {
        text.as_bytes().to_vec()
    };
    if STANDARD.encode(&content).len() > MOST_CONTENT {
        return Err(Fault::forbidden("FileContent.ExceedLimit", "The length of the file content exceeds the limit."));
    }
    let mode = params.text("FileMode").unwrap_or("0644");
    if u32::from_str_radix(mode, 8).map_or(true, |mode| mode > 0o7777) {
        return Err(Fault::invalid("FileMode"));
    }
    let overwrite = params.boolean("Overwrite")?;
    let timeout: u64 = params.number("Timeout")?.unwrap_or(60).max(10);
    let tags = params.tags()?;
    let targets = targets(call, 50)?;
    let id = call.new_id("f", region.id, 14);
    let mut runs = BTreeMap::new();
    for target in targets {
        let run = on_instance(call, &target);
        if !run.progress.is_over() {
            call.world.index.tasks.push(Task::Send(id.clone(), target.clone()));
        }
        runs.insert(target, run);
    }
    let file = SentFile {
        id: id.clone(),
        region: region.id.to_owned(),
        name: name.to_owned(),
        description: params.owned("Description"),
        directory: directory.to_owned(),
        content_type: content_type.to_owned(),
        owner: params.text("FileOwner").unwrap_or("root").to_owned(),
        group: params.text("FileGroup").unwrap_or("root").to_owned(),
        mode: mode.to_owned(),
        overwrite,
        timeout,
        created: call.now,
        tags,
        runs,
    };
    call.world.index.contents.insert(id.clone(), content);
    call.world.files.insert(id.clone(), file);
    Ok(json!({ "InvokeId": id }))
}

impl SentFile {
    /// The file as a machine is to write it.
    pub(crate) fn spec(&self, content: Vec<u8>) -> FileSpec {
        FileSpec {
            path: format!("{}/{}", self.directory.trim_end_matches('/'), self.name),
            content,
            owner: self.owner.clone(),
            group: self.group.clone(),
            mode: u32::from_str_radix(&self.mode, 8).unwrap_or(0o644),
            overwrite: self.overwrite,
        }
    }
}

/// DescribeSendFileResults. After a restart of the server the content is empty: it is never written down.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 50, 50)?;
    let filter = params.tag_filter();
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let named = params.text("InvokeId").map(|id| vec![id.to_owned()]);
    let rows = call.world.files.among(named.as_deref()).filter(|(_, file)| {
        file.region == region.id
            && fits("Name", &file.name)
            && fits("InvocationStatus", overall(file.runs.values().map(|run| run.progress)))
            && params.text("InstanceId").is_none_or(|instance| file.runs.contains_key(instance))
            && filter.fits(&file.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|file| row(call, file)).collect();
    let mut answer = json!({ "Invocations": { "Invocation": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn row(call: &Call, file: &SentFile) -> Json {
    let content = call.world.index.contents.get(&file.id).map_or(String::new(), |content| match file.content_type.as_str() {
        "Base64" => STANDARD.encode(content),
        _ => String::from_utf8_lossy(content).into_owned(),
    });
    let at = |moment: Option<jiff::Timestamp>| moment.map_or(String::new(), seconds);
    let runs: Vec<Json> = file
        .runs
        .iter()
        .map(|(instance, run)| {
            json!({
                "InstanceId": instance,
                "InvocationStatus": run.progress.name(),
                "ErrorCode": run.error_code,
                "ErrorInfo": run.error_info,
                "CreationTime": seconds(file.created),
                "StartTime": at(run.started),
                "FinishTime": at(run.finished),
                "UpdateTime": seconds(run.updated),
            })
        })
        .collect();
    json!({
        "InvokeId": file.id,
        "Name": file.name,
        "Description": file.description,
        "TargetDir": file.directory,
        "Content": content,
        "ContentType": file.content_type,
        "FileOwner": file.owner,
        "FileGroup": file.group,
        "FileMode": file.mode,
        "Overwrite": file.overwrite.to_string(),
        "InvocationStatus": overall(file.runs.values().map(|run| run.progress)),
        "CreationTime": seconds(file.created),
        "VmCount": file.runs.len(),
        "InvokeInstances": { "InvokeInstance": runs },
        "Tags": ecs_tags(&file.tags),
    })
}
