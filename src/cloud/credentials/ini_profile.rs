//! The shared credentials file, `~/.alibabacloud/credentials`: read only. The Go tools look there, the Python ones
//! for the same name with `.ini`.

use std::collections::BTreeMap;

use super::Credentials;
use super::chain::{Context, Grant};
use super::sts::{OidcRole, Role};
use super::{metadata, sts};
use crate::model::secret::Secret;

type Section = BTreeMap<String, String>;

pub(super) async fn serve(context: &Context) -> Result<Grant, String> {
    let text = load(context)?;
    let name = context.surroundings.variable("ALIBABA_CLOUD_PROFILE").unwrap_or("default");
    let sections = parse(&text);
    let section = sections.get(name).ok_or_else(|| format!("there is no profile `{name}`"))?;
    own(context, name, section).await.map_err(|reason| format!("profile `{name}`: {reason}"))
}

fn load(context: &Context) -> Result<String, String> {
    let path =
        context.surroundings.file("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials").ok_or("the home folder is not known")?;
    let mut with_suffix = path.clone();
    with_suffix.set_extension("ini");
    let named = context.surroundings.variable("ALIBABA_CLOUD_CREDENTIALS_FILE").is_some();
    if !named && !path.is_file() && with_suffix.is_file() { super::read(&with_suffix) } else { super::read(&path) }
}

/// Sections of `key = value` lines; `#` begins a comment anywhere, `;` at the start of a line.
fn parse(text: &str) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with(';') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = Some(name.trim().to_owned());
            sections.entry(name.trim().to_owned()).or_default();
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            sections.entry(name.clone()).or_default().insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    sections
}

async fn own(context: &Context, name: &str, section: &Section) -> Result<Grant, String> {
    let value = |key: &str| section.get(key).map(String::as_str).unwrap_or_default();
    let needed = |key: &str| Some(value(key)).filter(|text| !text.is_empty()).ok_or_else(|| format!("`{key}` is missing"));
    let kind = value("type");
    let provider = format!("profile `{name}` of the shared credentials file ({kind})");
    let role = || Role {
        arn: value("role_arn").to_owned(),
        session_name: value("role_session_name").to_owned(),
        policy: value("policy").to_owned(),
        ..Role::default()
    };
    let key = || -> Result<Credentials, String> {
        Ok(Credentials::lasting(needed("access_key_id")?, Secret::new(needed("access_key_secret")?), provider.clone()))
    };
    let credentials = match kind {
        "access_key" => key()?,
        "ram_role_arn" => sts::assume(context, &key()?, &role(), provider.clone()).await?,
        "oidc_role_arn" => {
            let oidc = OidcRole {
                role: role(),
                provider_arn: needed("oidc_provider_arn")?.to_owned(),
                token_file: needed("oidc_token_file_path")?.to_owned(),
            };
            sts::assume_with_oidc(context, &oidc, provider.clone()).await?
        }
        "ecs_ram_role" => metadata::session(context, value("role_name")).await?,
        "" => return Err("`type` is missing".to_owned()),
        other => return Err(format!("type `{other}` is not supported")),
    };
    Ok(Grant::of(Credentials { provider, ..credentials }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_are_left_out() {
        let sections =
            parse("key = nowhere\n[default]\n type=access_key # the kind\n; note = 1\n# all\naccess_key_id = id\n\n[other]\ntype = x=y\n");
        assert_eq!(sections.len(), 2);
        assert_eq!(sections["default"].get("type").unwrap(), "access_key");
        assert_eq!(sections["default"].len(), 2);
        assert_eq!(sections["other"]["type"], "x=y");
    }
}
