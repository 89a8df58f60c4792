//! `aliform graph`: what depends on what, for Graphviz or Mermaid.

use std::collections::BTreeMap;

use aliform::graph::Graph;
use aliform::pricing::lookup::CloudLookup;
use aliform::resolve::{Surroundings, resolve};
use aliform::state::contents::State;
use aliform::state::store::Store;

use crate::args::{self, GraphFormat};
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::{Workspace, random_hex};

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Graph, out: &Output) -> Result<u8, CommandError> {
    let manifest = workspace.load()?;
    let state = match Store::read(&workspace.state_directory(), &manifest.stack.value)? {
        Some(state) => state,
        None => State::new(&manifest.stack.value, random_hex()?),
    };
    let client = workspace.connect(out).await?;
    let resolved =
        resolve(&manifest, &Surroundings { lookup: &CloudLookup::new(&client), decided: &state.decisions, lineage: &state.lineage })
            .await?;
    let nodes: BTreeMap<_, _> = resolved.desired.nodes.iter().map(|(address, node)| (address.clone(), node.depends_on.clone())).collect();
    let graph = Graph::build(nodes).map_err(|error| CommandError::failed(error.to_string()))?;
    out.text(&match arguments.format {
        GraphFormat::Dot => graph.dot(),
        GraphFormat::Mermaid => graph.mermaid(),
    });
    Ok(0)
}
