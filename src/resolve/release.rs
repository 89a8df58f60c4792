//! What is there for runs of jobs only, and is released with them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::address::Address;
use crate::resources::desired::Desired;

/// Runs whose machines pass with them.
pub(super) type Passing = BTreeSet<Address>;

/// Remembers a run that leaves nothing behind.
pub(super) fn serve(passing: &mut Passing, run: &Address) {
    passing.insert(run.clone());
}

/// Everything that nothing needs but those runs, with the runs that need it.
pub(super) fn released(desired: &Desired, passing: &Passing) -> BTreeMap<Address, BTreeSet<Address>> {
    let mut released: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for run in passing {
        for needed in below(desired, run) {
            released.entry(needed.clone()).or_default().insert(run.clone());
        }
    }
    // What is not below any run stays by itself, and so does all that it stands on.
    let stays = desired.nodes.keys().filter(|address| !passing.contains(*address) && !released.contains_key(*address));
    let kept: BTreeSet<Address> = stays.flat_map(|address| below(desired, address)).cloned().collect();
    released.retain(|address, _| !kept.contains(address));
    released
}

/// Everything that `address` needs, however far away.
fn below<'a>(desired: &'a Desired, address: &Address) -> BTreeSet<&'a Address> {
    let mut found = BTreeSet::new();
    let mut open = vec![address];
    while let Some(next) = open.pop() {
        for dependency in desired.nodes.get(next).into_iter().flat_map(|node| &node.depends_on) {
            if found.insert(dependency) {
                open.push(dependency);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::desired::Node;

    fn desired(text: &str) -> Desired {
        let node = |part: &str| {
            let (address, needs) = part.split_once(':').unwrap();
            let depends_on = needs.split(',').filter(|need| !need.is_empty()).map(|need| need.parse().unwrap()).collect();
            (address.parse().unwrap(), Node { spec: serde_json::Value::Null, depends_on })
        };
        Desired { nodes: text.split_whitespace().map(node).collect(), ..Desired::default() }
    }

    #[test]
    fn what_a_run_alone_needs_goes_with_it_and_what_others_need_stays() {
        let desired = desired(
            "vpc.main: instance.web-1:vpc.main release.web-1:instance.web-1 instance.train:vpc.main \
             bucket.main: run.train:instance.train,bucket.main run.eval:bucket.main",
        );
        let passing = ["run.train", "run.eval"].map(|run| run.parse().unwrap()).into();
        let released = released(&desired, &passing);
        let shown: Vec<String> = released.iter().map(|(address, runs)| format!("{address}<{}", runs.len())).collect();
        assert_eq!(shown, ["instance.train<1", "bucket.main<2"]);
    }
}
