//! How long a plan takes, without asking anyone: `cargo bench --bench plan`. The work grows tenfold from row to row, so
//! the rows of one run are to be compared with each other, not with another machine's.

use std::collections::{BTreeMap, BTreeSet};

use aliform::model::address::{Address, Kind};
use aliform::model::value::{Reference, Value};
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan};
use aliform::plan::saved::Basis;
use aliform::resources::desired::{Desired, Node};
use aliform::resources::refresh::{Observed, Remembered};
use aliform::resources::vswitch::{VSwitchAttributes, VSwitchSpec};
use divan::Bencher;
use serde_json::json;

fn main() {
    divan::main();
}

struct Stack {
    desired: Desired,
    prior: BTreeMap<Address, Remembered>,
    observed: Observed,
}

/// A network with so many subnets, all of them made and unchanged.
fn stack(size: usize) -> Stack {
    let vpc = Address::new(Kind::Vpc, "main");
    let mut desired = Desired { region: "cn-hangzhou".to_owned(), ..Desired::default() };
    let (mut prior, mut observed) = (BTreeMap::new(), BTreeMap::new());
    let spec = json!({ "name": "main", "cidr": "10.0.0.0/8" });
    let attributes = json!({ "id": "vpc-1", "name": "main", "cidr": "10.0.0.0/8", "status": "Available" });
    let remember = |id: &str, spec: &serde_json::Value, depends_on: Vec<Address>| Remembered {
        id: id.to_owned(),
        region: "cn-hangzhou".to_owned(),
        spec: spec.clone(),
        attributes: json!(null),
        depends_on,
        unfinished: None,
    };
    desired.nodes.insert(vpc.clone(), Node { spec: spec.clone(), depends_on: BTreeSet::new() });
    prior.insert(vpc.clone(), remember("vpc-1", &spec, Vec::new()));
    observed.insert(vpc.clone(), Some(attributes));
    for number in 1..size {
        let address = Address::new(Kind::VSwitch, format!("s-{number}"));
        let (name, cidr, zone) =
            (format!("s-{number}"), format!("10.{}.{}.0/28", number / 256 % 256, number % 256), "cn-hangzhou-j".to_owned());
        let wanted = |vpc_id| VSwitchSpec { name: name.clone(), vpc_id, zone: zone.clone(), cidr: cidr.clone() };
        let pending = json!(wanted(Value::Pending(Reference::new(vpc.clone(), "id"))));
        let applied = json!(wanted(Value::Known("vpc-1".to_owned())));
        let id = format!("vsw-{number}");
        let attributes = VSwitchAttributes {
            id: id.clone(),
            name: name.clone(),
            vpc_id: "vpc-1".to_owned(),
            zone: zone.clone(),
            cidr: cidr.clone(),
            status: "Available".to_owned(),
        };
        desired.nodes.insert(address.clone(), Node { spec: pending, depends_on: BTreeSet::from([vpc.clone()]) });
        prior.insert(address.clone(), remember(&id, &applied, vec![vpc.clone()]));
        observed.insert(address, Some(json!(attributes)));
    }
    Stack { desired, prior, observed }
}

#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 5, sample_size = 1)]
fn nothing_changed(bencher: Bencher<'_, '_>, size: usize) {
    let stack = stack(size);
    bencher.bench_local(|| {
        let basis = Basis { stack: "s".to_owned(), lineage: "l".to_owned(), serial: 1, manifest_digest: String::new(), destroy: false };
        let inputs = Inputs {
            desired: &stack.desired,
            prior: &stack.prior,
            observed: &stack.observed,
            quotes: &BTreeMap::new(),
            limits: Limits::default(),
            balance: None,
            replace: &BTreeSet::new(),
            basis,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let made = plan(inputs).expect("the stack has no circle");
        assert!(made.is_empty());
        made
    });
}
