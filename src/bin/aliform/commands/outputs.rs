//! `aliform output`: bare values, for scripts.

use std::collections::BTreeMap;

use aliform::model::value::Reference;
use aliform::state::contents::State;
use aliform::state::store::Store;

use crate::args::OutputName;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &OutputName, out: &Output) -> Result<u8, CommandError> {
    let stack = workspace.stack()?;
    let state = Store::read(&workspace.state_directory(), &stack)?
        .ok_or_else(|| CommandError::failed(format!("stack `{stack}` has no state yet")).hint("run `aliform apply` first"))?;
    let values = values(&state);
    match &arguments.name {
        None => out.result(
            &values.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n"),
            &serde_json::json!(values),
        ),
        Some(name) => {
            let value = values.get(name).ok_or_else(|| {
                let names = values.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                CommandError::failed(format!("there is no output `{name}`")).hint(if names.is_empty() {
                    "nothing is applied yet".to_owned()
                } else {
                    format!("there are {names}")
                })
            })?;
            out.result(value, &serde_json::json!(value));
        }
    }
    Ok(0)
}

/// Every output whose values are all known.
pub(crate) fn values(state: &State) -> BTreeMap<String, String> {
    state.outputs.iter().filter_map(|(name, template)| Some((name.clone(), fill(template, state)?))).collect()
}

/// Puts attributes where `${instance.web-1.public_ip}` stands.
fn fill(template: &str, state: &State) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("${") {
        filled += &rest[..start];
        let end = start + rest[start..].find('}')?;
        let reference: Reference = rest[start + 2..end].parse().ok()?;
        let value = state.resources.get(&reference.address)?.attributes.get(&reference.attribute)?;
        filled += &value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rest = &rest[end + 1..];
    }
    Some(filled + rest)
}
