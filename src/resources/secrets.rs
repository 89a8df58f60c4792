//! Secrets on their way to a machine, and kept out of everything that is said about it. It must never write one down.

use std::collections::BTreeMap;

use base64::Engine;

use super::error::ResourceError;
use super::kind::Context;
use super::script::{self, File};
use crate::model::address::Address;
use crate::model::event::{Event, EventSink};
use crate::model::secret::{Secret, SecretSource, Secrets};

/// Takes the application's secrets out of what it writes: an application may log its own key.
pub(super) struct Hiding<'a> {
    events: &'a dyn EventSink,
    secrets: Vec<Secret>,
}

/// Shorter ones would turn every text into stars and are no secrets.
const SHORTEST_HIDDEN: usize = 4;
/// The same of one line of several.
const SHORTEST_LINE: usize = 8;

impl<'a> Hiding<'a> {
    /// Hides what `sources` hold from the events of `context`.
    pub(super) fn of(context: &Context<'a>, sources: &BTreeMap<String, SecretSource>) -> Self {
        Hiding { events: context.events, secrets: sources.values().filter_map(|source| context.secrets.read(source)).collect() }
    }

    pub(super) fn hide(&self, text: String) -> String {
        let mut forms: Vec<String> = self.secrets.iter().flat_map(|secret| forms(secret.reveal().trim())).collect();
        // A part must not be taken out of the whole.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.iter().fold(text, |text, secret| text.replace(secret.as_str(), "***"))
    }

    /// An error without them.
    pub(super) fn hide_in(&self, error: ResourceError) -> ResourceError {
        match error {
            ResourceError::Script { what, instance, ending, output } => {
                ResourceError::Script { what, instance, ending: self.hide(ending), output: self.hide(output) }
            }
            ResourceError::Stuck { what, because } => ResourceError::Stuck { what, because: self.hide(because) },
            other => other,
        }
    }
}

impl EventSink for Hiding<'_> {
    fn emit(&self, event: Event) {
        self.events.emit(match event {
            Event::StepOutput { address, text } => Event::StepOutput { address, text: self.hide(text) },
            Event::StepChecked { address, check, passed, detail } => {
                Event::StepChecked { address, check, passed, detail: self.hide(detail) }
            }
            other => other,
        });
    }
}

/// A secret as scripts write it: as it is, as a string of JSON, and line by line.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let escaped = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
    let whole = [secret, escaped].into_iter().filter(|form| form.len() >= SHORTEST_HIDDEN);
    let lines = secret.lines().map(str::trim).filter(|line| secret.contains('\n') && line.len() >= SHORTEST_LINE);
    whole.chain(lines).map(str::to_owned).collect()
}

fn secret(secrets: &dyn Secrets, source: &SecretSource, address: &Address) -> Result<Secret, ResourceError> {
    let missing = || ResourceError::SecretMissing { variable: source.variable.clone(), address: address.to_string() };
    secrets.read(source).ok_or_else(missing)
}

/// The secrets by name, for an environment that is handed over as such.
pub(super) fn values(context: &Context<'_>, sources: &BTreeMap<String, SecretSource>) -> Result<BTreeMap<String, String>, ResourceError> {
    let read = |source| secret(context.secrets, source, context.address);
    sources.iter().map(|(name, source)| Ok((name.clone(), read(source)?.reveal().to_owned()))).collect()
}

/// Writes the secrets of an application or a job where its script finds them: `NAME=` and Base64, a line each.
pub(super) async fn send(
    context: &Context<'_>,
    name: &str,
    sources: &BTreeMap<String, SecretSource>,
    instance: &str,
) -> Result<(), ResourceError> {
    if sources.is_empty() {
        return Ok(());
    }
    let mut content = String::new();
    for (name, source) in sources {
        let secret = secret(context.secrets, source, context.address)?;
        content += &format!("{name}={}\n", base64::engine::general_purpose::STANDARD.encode(secret.reveal()));
    }
    // A tmpfs: a secret reaches no disk.
    let folder = format!("/run/aliform/{}.{name}", context.identity.stack);
    script::send_file(
        context,
        &File { instance, folder: &folder, name: "secrets.env", content: content.as_bytes(), mode: "0600", step: "secrets" },
    )
    .await
}

/// Reads all of them.
pub(super) fn read(context: &Context<'_>, sources: &BTreeMap<String, SecretSource>) -> Result<BTreeMap<String, Secret>, ResourceError> {
    let read = |(name, source): (&String, &SecretSource)| Ok((name.clone(), secret(context.secrets, source, context.address)?));
    sources.iter().map(read).collect()
}

/// Whether all of them can be read.
pub(super) fn at_hand(address: &Address, sources: &BTreeMap<String, SecretSource>, secrets: &dyn Secrets) -> Result<(), ResourceError> {
    sources.values().try_for_each(|source| secret(secrets, source, address).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_says_is_told_without_its_secrets() {
        let secrets = ["s3cr3t-key", "abc", " padded\n"].map(Secret::new).into();
        let hiding = Hiding { events: &crate::model::event::Silent, secrets };
        assert_eq!(hiding.hide("key=s3cr3t-key padded abc".to_owned()), "key=*** *** abc", "a short one would hide everything");
        let key = Hiding {
            events: &crate::model::event::Silent,
            secrets: ["-- begin --\nfirst \"line\"\nsecond line\nend"].map(Secret::new).into(),
        };
        assert_eq!(key.hide("second line, first \"line\", the end".to_owned()), "***, ***, the end");
        assert_eq!(key.hide(r#"{"key":"-- begin --\nfirst \"line\"\nsecond line\nend"}"#.to_owned()), r#"{"key":"***"}"#);
        let error = ResourceError::Script {
            what: "the check".to_owned(),
            instance: "i-1".to_owned(),
            ending: "log: bad key s3cr3t-key".to_owned(),
            output: "s3cr3t-key".to_owned(),
        };
        let hidden = hiding.hide_in(error);
        assert_eq!((hidden.to_string().as_str(), hidden.output()), ("the check failed on `i-1`: log: bad key ***", Some("***")));
    }
}
