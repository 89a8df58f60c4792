//! Credentials that a program of the user's prints. Its output is never shown: it is a secret.

use std::process::Stdio;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use super::Credentials;
use super::chain::{Context, Grant};
use crate::model::secret::Secret;

const LIMIT: Duration = Duration::from_secs(60);
/// Such sessions are asked for again when less than this is left.
const MARGIN: SignedDuration = SignedDuration::from_mins(3);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Printed {
    mode: String,
    access_key_id: String,
    access_key_secret: String,
    sts_token: String,
    expiration: String,
}

/// Runs the command and reads what it prints. What says no end is used until the service refuses it.
pub(super) async fn run(context: &Context, command: &str, provider: String) -> Result<Grant, String> {
    if context.surroundings.is_set_true("ALIBABA_CLOUD_DISABLE_EXTERNAL_PROCESS") {
        return Err("switched off by `ALIBABA_CLOUD_DISABLE_EXTERNAL_PROCESS`".to_owned());
    }
    let words = split(command)?;
    let (program, arguments) = words.split_first().ok_or("the profile names no `process_command`")?;
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&context.surroundings.variables)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LIMIT, output).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("`{program}` can't be run: {error}")),
        Err(_) => return Err(format!("`{program}` did not end within {} s", LIMIT.as_secs())),
    };
    if !output.status.success() {
        return Err(format!("`{program}` failed ({})", output.status));
    }
    let printed: Printed = serde_json::from_slice(&output.stdout).map_err(|_| format!("`{program}` does not print credentials as JSON"))?;
    into_credentials(printed, provider).map_err(|what| format!("`{program}` {what}"))
}

fn into_credentials(printed: Printed, provider: String) -> Result<Grant, String> {
    if printed.access_key_id.is_empty() || printed.access_key_secret.is_empty() {
        return Err("prints no access key".to_owned());
    }
    let expiration = match printed.expiration.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| "prints an `expiration` that is no time".to_owned())?),
    };
    let security_token = match (printed.mode.as_str(), printed.sts_token) {
        ("AK", _) => None,
        ("StsToken", token) if !token.is_empty() => Some(Secret::new(token)),
        ("StsToken", _) => return Err("prints no `sts_token`".to_owned()),
        _ => return Err("prints a `mode` that is neither `AK` nor `StsToken`".to_owned()),
    };
    let key = Credentials::lasting(printed.access_key_id, Secret::new(printed.access_key_secret), provider);
    Ok(Grant { credentials: Credentials { security_token, expiration, ..key }, margin: MARGIN })
}

/// Splits a command into words as a shell does: blanks part them, quotes and backslashes keep them together.
/// Nothing is expanded.
fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote in `process_command` is never closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        assert_eq!(split(r#"  tool --name "a b" 'c "d' e\ f "" "#).unwrap(), ["tool", "--name", "a b", r#"c "d"#, "e f", ""]);
        assert!(split("tool 'open").is_err());
        assert!(split(" ").unwrap().is_empty());
    }
}
