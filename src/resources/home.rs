//! How what a run leaves behind comes home: out of the bucket that it sent it to, into a folder beside the manifest. What can't
//! be written there stays in the bucket, and whoever looks at the run finds where; nothing here takes it away unfetched.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Artifacts, Context, Delivery, Ending, json};
use crate::cloud::error::ApiError;
use crate::cloud::oss;
use crate::model::event::Event;

/// What `timeout` exits with.
pub(super) const OUT_OF_TIME: i64 = 124;

/// Outputs in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The bucket.
    pub bucket: String,
    /// The key of the archive.
    pub key: String,
    /// Where they go below the outputs of all jobs.
    pub place: String,
    /// What was promised.
    pub promised: Vec<String>,
    /// How their run ended.
    pub ending: Ending,
}

/// Outputs that could not be brought home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Where they are.
    #[serde(flatten)]
    pub parcel: Parcel,
    /// Why they are not here.
    pub because: String,
}

/// What came home of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Where its outputs are now; null if it brought none.
    pub outputs: Option<String>,
    /// Promised outputs that were not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Outputs that are in the cloud still, since they could not be written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

impl Home {
    /// Of a run that sent nothing, whatever was promised.
    pub(super) fn empty(promised: &[String]) -> Self {
        Home { missing: promised.to_vec(), ..Home::default() }
    }

    /// Why a run that went well did not do what it was to do.
    pub(super) fn failure(&self) -> Option<String> {
        if let Some(held) = &self.held {
            return Some(format!("its outputs are still in bucket `{}`: {}", held.parcel.bucket, held.because));
        }
        let missing: Vec<String> = self.missing.iter().map(|output| format!("`{output}`")).collect();
        match missing.as_slice() {
            [] => None,
            [one] => Some(format!("the output {one} was not there")),
            several => Some(format!("the outputs {} were not there", several.join(", "))),
        }
    }
}

impl Ending {
    /// By the exit code of its command.
    pub(super) fn of(exit_code: Option<i64>) -> Self {
        match exit_code {
            Some(0) => Ending::Good,
            Some(OUT_OF_TIME) => Ending::Stopped,
            _ => Ending::Bad,
        }
    }
}

/// Why a run that came to its end did not end well.
pub(super) fn failure(exit_code: Option<i64>, home: &Home) -> Option<String> {
    match exit_code? {
        0 => home.failure(),
        OUT_OF_TIME => Some("its time was up".to_owned()),
        code => Some(format!("exit code {code}")),
    }
}

/// Whether there is room for outputs, before anything is made that would be paid for them.
pub(super) fn room(artifacts: &dyn Artifacts, place: &str, promised: &[String]) -> Result<(), ResourceError> {
    if promised.is_empty() {
        return Ok(());
    }
    artifacts.room(place).map_err(|because| ResourceError::NoRoom { place: place.to_owned(), because })
}

async fn archive(context: &Context<'_>, parcel: &Parcel) -> Result<Bytes, ApiError> {
    oss::get_object(context.cloud, context.region, &parcel.bucket, &parcel.key).await
}

/// Fetches outputs from their bucket. They stay in it, too, until they are cleared away.
pub(super) async fn fetch(context: &Context<'_>, parcel: Parcel) -> Home {
    let say = |text: String| context.events.emit(Event::StepOutput { address: context.address.clone(), text });
    let received = match archive(context, &parcel).await {
        Ok(archive) => {
            let delivery = Delivery { place: &parcel.place, ending: parcel.ending, promised: &parcel.promised, archive: &archive };
            context.artifacts.receive(&delivery)
        }
        Err(error) => Err(error.to_string()),
    };
    match received {
        Ok(received) => {
            received.notes.iter().for_each(|note| say(format!("aliform: {note}\n")));
            Home { outputs: Some(received.place), missing: received.missing, held: None }
        }
        Err(because) => Home { held: Some(Held { parcel, because }), ..Home::default() },
    }
}

/// Takes fetched outputs out of the bucket. What is left in it goes with the bucket.
pub(super) async fn clear(context: &Context<'_>, parcel: &Parcel) {
    drop(oss::delete_object(context.cloud, context.region, &parcel.bucket, &parcel.key).await);
}

/// The same for a parcel that nothing else is needed of.
pub(super) async fn fetch_and_clear(context: &Context<'_>, parcel: Parcel) -> Home {
    let home = fetch(context, parcel.clone()).await;
    if home.held.is_none() {
        clear(context, &parcel).await;
    }
    home
}

/// What of a run is held in the cloud, if anything is.
pub fn held(attributes: &Json) -> Option<Held> {
    Held::deserialize(attributes.get("held")?).ok()
}

/// Fetches what is held of a run that is over; gives back its attributes then.
pub async fn fetch_held(context: &Context<'_>, attributes: &Json, held: Held) -> Result<Json, ResourceError> {
    let home = fetch_and_clear(context, held.parcel).await;
    if let Some(because) = home.held.is_some().then(|| home.failure()).flatten() {
        return Err(ResourceError::Ended { because });
    }
    let mut attributes = attributes.clone();
    if let (Some(all), Json::Object(new)) = (attributes.as_object_mut(), json("attributes", context.address, &home)?) {
        all.remove("held");
        all.extend(new);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_and_is_not_here_is_a_failure_of_what_went_well() {
        let missing = |names: &[&str]| Home::empty(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let said = |exit_code, home: &Home| failure(exit_code, home).unwrap_or_default();
        assert_eq!(said(Some(0), &missing(&["a"])), "the output `a` was not there");
        assert_eq!(said(Some(0), &missing(&["a", "b"])), "the outputs `a`, `b` were not there");
        assert_eq!((said(Some(3), &missing(&["a"])), said(Some(0), &Home::default())), ("exit code 3".to_owned(), String::new()));
        assert_eq!(failure(None, &missing(&["a"])), None, "it is not over");
        let parcel = Parcel { bucket: "b".into(), key: "k".into(), place: "p".into(), promised: vec!["a".into()], ending: Ending::Good };
        let kept = Home { held: Some(Held { parcel, because: "no space left".into() }), ..Home::default() };
        let written = serde_json::to_value(&kept).unwrap();
        assert_eq!(held(&written), kept.held);
        assert_eq!(said(Some(0), &kept), "its outputs are still in bucket `b`: no space left");
    }
}
