//! Looks at an invocation and tells what it wrote, for whoever only wants to see it. It begins nothing, ends nothing, and
//! fetches nothing.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::InvocationSpec;
use super::event::Place;
use super::follow::{self, FAREWELL, FIRST_PAUSE, LONGEST_PAUSE, Log, Seen};
use crate::cloud::api::ask;
use crate::cloud::fc::GetAsyncTask;
use crate::resources::error::ResourceError;
use crate::resources::kind::Context;
use crate::resources::runs::{Standing, Telling};

/// How it is, by what lies in its folder and by its task.
async fn standing(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>, seen: &Seen) -> Result<Standing, ResourceError> {
    if seen.result {
        return Ok(Standing::Over(Some(follow::result(context, place).await?.exit)));
    }
    if !spec.asynchronous {
        return Ok(if seen.live.is_empty() { Standing::Coming("not begun".to_owned()) } else { Standing::Running });
    }
    let query = GetAsyncTask { function_name: place.function.to_owned(), task_id: follow::task_name(place, seen.gone) };
    let task = match ask(context.cloud, context.region, &query).await {
        Err(error) if error.is_not_found() => return Ok(Standing::Coming("not listed".to_owned())),
        other => other?,
    };
    Ok(match task.status.as_str() {
        "Running" | "Stopping" => Standing::Running,
        // Its result is on its way to the folder, or was cut off from it.
        "Succeeded" => Standing::Over(None),
        _ if task.is_over() => Standing::Gone(follow::reason(&task)),
        status => Standing::Coming(status.to_owned()),
    })
}

/// When its task ended, if the cloud says so.
pub(super) async fn ended(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>) -> Option<String> {
    let seen = follow::look(context, place).await.ok().filter(|_| spec.asynchronous)?;
    let query = GetAsyncTask { function_name: place.function.to_owned(), task_id: follow::task_name(place, seen.gone) };
    let task = ask(context.cloud, context.region, &query).await.ok().filter(|task| task.end_time > 0)?;
    Some(Timestamp::from_millisecond(task.end_time).ok()?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How it is.
pub(super) async fn look(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>) -> Result<Standing, ResourceError> {
    let seen = follow::look(context, place).await?;
    standing(context, spec, place, &seen).await
}

/// Tells what it wrote, and gives back how it is then.
pub(super) async fn tell(
    context: &Context<'_>,
    spec: &InvocationSpec,
    place: &Place<'_>,
    telling: &Telling<'_>,
) -> Result<Standing, ResourceError> {
    let until = Instant::now() + Duration::from_secs(spec.timeout.into()) + FAREWELL;
    let (mut log, mut pause) = (Log::default(), FIRST_PAUSE);
    loop {
        let seen = follow::look(context, place).await?;
        let standing = standing(context, spec, place, &seen).await?;
        let news = log.tell(context, place, seen.log).await?;
        if standing.is_over() || !telling.follow {
            follow::finish(context, place, &mut log).await?;
            (telling.caught_up)();
            return Ok(standing);
        }
        (telling.caught_up)();
        if Instant::now() >= until {
            return Ok(Standing::Gone(format!("it left no result, and the cloud ended it after {} s at the latest", spec.timeout)));
        }
        pause = if news { FIRST_PAUSE } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}
