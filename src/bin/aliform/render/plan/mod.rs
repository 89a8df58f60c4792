//! A plan as people review it: what happens to each resource and why, what was chosen, what to be careful about, what
//! it costs.
//!
//! Scripts run as root on somebody's machine, so a plan shows them: each new setup, start and stop script in full under
//! `Scripts`, once however many replicas run it; a changed one as a diff beside its field. The checks and the way back
//! are counted, and shown with `full`. What does not change is only counted. No secret can be here: plans hold their
//! sources.

mod change;
mod cost;
mod fields;
mod notes;
mod scripts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use aliform::model::change::Action;
use aliform::model::decision::Decision;
use aliform::plan::saved::Plan;

use self::scripts::Scripts;
use super::money;
use super::offers::offers;
use super::style::{Role, Style, one_line};

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PlanOptions<'a> {
    /// Every script and every file name.
    pub(crate) full: bool,
    /// Decisions that the state holds already; only others are shown.
    pub(crate) known: Option<&'a BTreeMap<String, Decision>>,
}

/// The plan as text.
pub(crate) fn plan(plan: &Plan, options: &PlanOptions<'_>, style: &Style) -> String {
    let mut scripts = Scripts::default();
    let blocks: Vec<String> = plan.actions().map(|change| change::block(change, plan, &mut scripts, options, style)).collect();
    let mut sections = vec![header(plan, style)];
    sections.extend(Some(join(&blocks)).filter(|text| !text.is_empty()));
    sections.extend(scripts.section(style));
    sections.extend(notes::decisions(plan, options, style));
    sections.extend(plan.offers.iter().filter_map(|(name, list)| offers(name, list, style)));
    sections.extend(notes::used(plan, style));
    sections.extend(notes::findings(plan, style));
    sections.extend(cost::section(plan, style));
    sections.push(last_line(plan, style));
    sections.join("\n")
}

/// The stack, where, and why there.
fn header(plan: &Plan, style: &Style) -> String {
    let stack = style.paint(Role::Strong, &format!("stack `{}`", one_line(&plan.basis.stack)));
    let place = if plan.region.is_empty() { String::new() } else { format!(" in `{}`", one_line(&plan.region)) };
    if plan.basis.destroy {
        return format!("Plan to take down {stack}{place}: everything that aliform made is deleted\n");
    }
    let because = plan.decisions.get("region").filter(|decision| decision.chosen == plan.region);
    let because = because.map(|decision| format!(": {}", one_line(&decision.because))).unwrap_or_default();
    format!("Plan for {stack}{place}{because}\n")
}

/// Blocks with a blank line between them, unless both are a single line.
fn join(blocks: &[String]) -> String {
    let single = |block: &String| block.lines().count() == 1;
    let mut text = String::new();
    for (at, block) in blocks.iter().enumerate() {
        if at > 0 && !(single(block) && single(&blocks[at - 1])) {
            text.push('\n');
        }
        text += block;
    }
    text
}

fn last_line(plan: &Plan, style: &Style) -> String {
    let count = |action: Action| plan.changes.iter().filter(|change| change.action == action).count();
    let kept = count(Action::Keep);
    if plan.is_empty() {
        let costs =
            if plan.cost.after.sums.is_empty() { String::new() } else { format!(" It costs {}.", money::sentence(&plan.cost.after)) };
        let why = if plan.basis.destroy {
            "There is nothing to take down.".to_owned()
        } else {
            format!("All {kept} resources are as the manifest wants them.")
        };
        return format!("{} {why}{costs}\n", style.paint(Role::Strong, "No changes."));
    }
    format!(
        "{} {} to create, {} to update, {} to replace, {} to delete, {kept} unchanged.\n",
        style.paint(Role::Strong, "Plan:"),
        count(Action::Create),
        count(Action::Update),
        count(Action::Replace),
        count(Action::Delete),
    )
}
