//! `aliform schema`: the JSON Schemas of everything that is read or written.

use aliform::model::event::Event;
use aliform::plan::saved::Plan;
use serde_json::Value as Json;

use crate::args::{Document, Schema};
use crate::error::CommandError;
use crate::output::Output;

pub(crate) fn run(arguments: &Schema, out: &Output) -> Result<u8, CommandError> {
    let schema: Json = match arguments.document {
        Document::Manifest => aliform::manifest::json_schema(),
        Document::Plan => Plan::json_schema(),
        Document::Events => schemars::schema_for!(Event).into(),
        Document::Scenario => aliform::local_cloud::scenario::Scenario::json_schema(),
        Document::State => aliform::state::contents::json_schema(),
    };
    out.text(&format!("{schema:#}\n"));
    Ok(0)
}
