//! Says of the states of this folder what a run left in them that should be gone by now. It reads files and asks nobody.

use aliform::apply::end::{Left, is_detached, is_of_runs, left};
use aliform::state::contents::State;

use crate::output::Output;
use crate::workspace::{Workspace, clock};

/// Mentions it beside what the command does.
pub(super) fn tell(workspace: &Workspace, out: &Output) {
    // A state that can't be read is for the command that needs it to complain of.
    let Ok(states) = workspace.states() else { return };
    let now = clock().now();
    for state in states {
        let left = left(&state, now);
        if !left.is_empty() {
            out.note(&sentence(&state, &left, out.program()));
        }
    }
}

fn sentence(state: &State, left: &[Left], program: &str) -> String {
    let one = |left: &Left| match &left.id {
        Some(id) => format!("{} `{id}`", left.address),
        None => left.address.to_string(),
    };
    let all: Vec<String> = left.iter().map(one).collect();
    let since = left.iter().map(|left| left.since).min().map(|since| since.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
    let way_out = if is_detached(state) {
        format!("`{program} run --resume {}` fetches what the run brought and takes it away", state.stack)
    } else if is_of_runs(state) {
        format!("`{program} run --release {}` takes away what is left of it", state.stack)
    } else {
        format!("`{program} apply` finishes it")
    };
    format!("Left behind by stack `{}`: {}, not needed since {since}; {way_out}.", state.stack, all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_with_the_way_out() {
        let since = "2026-01-02T03:04:05Z".parse().unwrap();
        let left = [
            Left { address: "cluster.main".parse().unwrap(), id: Some("c1".to_owned()), since },
            Left { address: "kubernetes_job.train".parse().unwrap(), id: None, since },
        ];
        let said = sentence(&State::new("run-train", "0"), &left, "aliform --local");
        assert_eq!(
            said,
            "Left behind by stack `run-train`: cluster.main `c1`, kubernetes_job.train, not needed since 2026-01-02 03:04 UTC; \
             `aliform --local run --release run-train` takes away what is left of it."
        );
    }
}
