//! What a plan says besides its changes: what was chosen, what is used without being ours, what to be careful about.

use aliform::model::decision::Decision;
use aliform::model::finding::{Finding, Severity};
use aliform::plan::saved::Plan;

use super::PlanOptions;
use crate::render::style::{Role, Style, one_line};

/// Rejected options that are listed before the rest is counted.
const REJECTED: usize = 3;

/// Decisions that were taken for this plan. One that only keeps another one from flipping is no choice of its own.
pub(super) fn decisions(plan: &Plan, options: &PlanOptions<'_>, style: &Style) -> Option<String> {
    let new = |(key, decision): &(&String, &Decision)| {
        !key.ends_with(".zone_for") && options.known.and_then(|known| known.get(*key)) != Some(*decision)
    };
    let mut text = String::new();
    for (key, decision) in plan.decisions.iter().filter(new) {
        // What the question was about stands in brackets; the reason says it in words.
        let name = key.split('[').next().unwrap_or(key);
        text += &format!("  {}: {}\n", one_line(name), style.paint(Role::Strong, &one_line(&decision.chosen)));
        text += &format!("    because {}\n", one_line(&decision.because));
        for rejected in decision.rejected.iter().take(REJECTED) {
            text += &style.paint(Role::Dim, &format!("    not {}: {}", one_line(&rejected.option), one_line(&rejected.because)));
            text.push('\n');
        }
        if decision.rejected.len() > REJECTED {
            text += &style.paint(Role::Dim, &format!("    and {} more", decision.rejected.len() - REJECTED));
            text.push('\n');
        }
    }
    titled("Decided", text, style)
}

/// What exists already.
pub(super) fn used(plan: &Plan, style: &Style) -> Option<String> {
    let line =
        |used: &aliform::resources::desired::Used| format!("  {} {}: {}\n", one_line(&used.what), one_line(&used.id), one_line(&used.note));
    titled("Used as it stands", plan.used.iter().map(line).collect(), style)
}

/// What a reviewer should know, the most dangerous first.
pub(super) fn findings(plan: &Plan, style: &Style) -> Option<String> {
    let mut findings: Vec<&Finding> = plan.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    titled("Findings", findings.into_iter().map(|found| finding(found, style)).collect(), style)
}

fn finding(finding: &Finding, style: &Style) -> String {
    let (word, role) = match finding.severity {
        Severity::High => ("high", Role::Error),
        Severity::Warning => ("warning", Role::Warning),
        Severity::Info => ("info", Role::Hint),
    };
    let about = finding.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let mut text =
        format!("  {}: {}{about}\n", style.paint(role, &format!("{word}[{}]", one_line(&finding.id))), one_line(&finding.message));
    if let Some(evidence) = &finding.evidence {
        let line = if evidence.line == 0 { String::new() } else { format!(":{}", evidence.line) };
        let quoted = if evidence.text.is_empty() { String::new() } else { format!(": {}", one_line(&evidence.text)) };
        text += &format!("    {}{line}{quoted}\n", one_line(&evidence.file));
    }
    if let Some(hint) = &finding.hint {
        text += &format!("    {} {}\n", style.paint(Role::Hint, "hint:"), one_line(hint));
    }
    text
}

fn titled(title: &str, text: String, style: &Style) -> Option<String> {
    (!text.is_empty()).then(|| format!("{}\n{text}", style.paint(Role::Strong, title)))
}
