//! Plans to look at: a shop with a web application, made by the planner itself, so that a view is tested on what the
//! planner really says.

use std::collections::{BTreeMap, BTreeSet};

use aliform::model::address::{Address, Kind};
use aliform::model::cost::{Charge, Cost, CostLine, PriceSource};
use aliform::model::decision::{Decision, Rejected};
use aliform::model::money::Money;
use aliform::model::value;
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::plan::saved::{Basis, Plan};
use aliform::pricing::tariff;
use aliform::resources::desired::{Desired, Node};
use aliform::resources::kind::Priced;
use aliform::resources::refresh::{Observed, Remembered};
use serde_json::{Value as Json, json};

/// Everything that a plan follows from, to be changed before it is made.
pub(crate) struct Sample {
    pub(crate) desired: Desired,
    pub(crate) prior: BTreeMap<Address, Remembered>,
    pub(crate) observed: Observed,
    pub(crate) limits: Limits,
    pub(crate) replace: BTreeSet<Address>,
    pub(crate) destroy: bool,
    /// What things cost.
    pub(crate) price: fn(&Priced) -> Cost,
}

/// An address from its text.
pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// An amount from its text.
pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A script that knows its port, as long as the real ones are in their first and last lines.
pub(crate) fn script(what: &str, port: u16) -> String {
    format!(
        "# aliform {what} `web` of `shop` (python)\nset -eu\nSTACK='shop'\nAPP='web'\nPORT='{port}'\nROOT=\"${{ALIFORM_ROOT:-}}\"\nsay done\n"
    )
}

/// A line that is paid by the hour.
pub(crate) fn hourly(item: &str, price: &str) -> CostLine {
    CostLine { item: item.to_owned(), charge: Charge::hourly(money(price), PriceSource::Quoted) }
}

fn prices(priced: &Priced) -> Cost {
    let lines = match priced {
        Priced::Instance { instance_type, .. } => {
            let price = if instance_type.ends_with(".xlarge") { "0.534 CNY" } else { "0.2475 CNY" };
            vec![
                hourly(instance_type, price),
                hourly("system disk cloud_essd PL0, 40 GiB", "0.0195 CNY"),
                tariff::internet_traffic("cn-hangzhou"),
            ]
        }
        Priced::Eip => vec![tariff::idle_address("cn-hangzhou"), tariff::internet_traffic("cn-hangzhou")],
        Priced::Bucket => tariff::bucket("cn-hangzhou"),
        Priced::Training { instance_type, .. } => vec![hourly(instance_type, "0.2475 CNY")],
        Priced::Cluster { nodes, .. } => nodes.iter().flat_map(|node| prices(node).lines).collect(),
        Priced::Function { cpu, memory, disk } => tariff::function("cn-hangzhou", *cpu, *memory, *disk),
    };
    Cost { lines }
}

/// What the cloud would say of a resource made with `spec`.
fn attributes(address: &Address, spec: &Json) -> Json {
    let id = |prefix: &str| format!("{prefix}-bp1{}", address.name.replace('-', ""));
    match address.kind {
        Kind::Vpc => json!({ "id": id("vpc"), "name": spec["name"], "cidr": spec["cidr"], "status": "Available" }),
        Kind::VSwitch => json!({
            "id": id("vsw"), "name": spec["name"], "vpc_id": spec["vpc_id"], "zone": spec["zone"], "cidr": spec["cidr"], "status": "Available",
        }),
        Kind::SecurityGroup => json!({ "id": id("sg"), "name": spec["name"], "vpc_id": spec["vpc_id"], "rules": spec["rules"] }),
        Kind::Instance => json!({
            "id": id("i"), "name": spec["name"], "status": "Running", "zone": spec["zone"], "instance_type": spec["instance_type"],
            "image_id": spec["image_id"], "vswitch_id": spec["vswitch_id"], "security_group_id": spec["security_group_id"],
            "private_ip": "192.168.9.4", "public_ip": "203.0.113.7", "bandwidth": spec["bandwidth"], "started_at": "2026-11-20T08:00Z",
        }),
        Kind::Cluster => json!({ "id": "c1f2e", "name": spec["name"], "status": "running", "vpc_id": spec["vpc_id"] }),
        Kind::KubernetesJob => json!({ "id": id("job"), "digest": spec["digest"], "exit_code": 0, "ended_at": null, "outputs": null }),
        Kind::Eip => json!({
            "id": id("eip"), "public_ip": "203.0.113.8", "instance_id": spec["instance_id"], "bandwidth": spec["bandwidth"],
            "name": spec["name"], "status": "InUse",
        }),
        Kind::Bucket => json!({ "id": spec["name"] }),
        Kind::Bundle => {
            let (app, digest) = (spec["app"].as_str().unwrap(), spec["digest"].as_str().unwrap());
            json!({ "id": format!("aliform-shop-1f2e/{app}"), "key": format!("bundles/{app}/{digest}.tar.gz"), "digest": digest })
        }
        Kind::Command => json!({ "id": id("t"), "instance_id": spec["instance_id"] }),
        Kind::Function => json!({ "id": spec["name"], "runtime": spec["runtime"], "checksum": spec["checksum"] }),
        Kind::Workspace => json!({ "id": "4711", "name": spec["name"], "status": "ENABLED" }),
        Kind::Run | Kind::Invocation | Kind::TrainingJob => {
            json!({ "id": id("run"), "digest": spec["digest"], "exit_code": 0, "ended_at": "2026-01-02T03:04:05Z", "outputs": null })
        }
        Kind::Release => {
            let instance = spec["instance_id"].as_str().unwrap();
            json!({ "id": format!("{instance}/web"), "digest": spec["digest"] })
        }
    }
}

impl Sample {
    /// The shop with so many replicas; nothing of it exists.
    pub(crate) fn shop(replicas: usize) -> Self {
        let mut sample = Sample {
            desired: Desired { region: "cn-hangzhou".to_owned(), ..Desired::default() },
            prior: BTreeMap::new(),
            observed: BTreeMap::new(),
            limits: Limits::default(),
            replace: BTreeSet::new(),
            destroy: false,
            price: prices,
        };
        let pending = |text: &str| json!({ "$pending": text });
        sample.want("vpc.main", json!({ "name": "shop-vpc-main", "cidr": "192.168.0.0/16" }), &[]);
        let vswitch =
            json!({ "name": "shop-vswitch-j", "vpc_id": pending("vpc.main.id"), "zone": "cn-hangzhou-j", "cidr": "192.168.9.0/24" });
        sample.want("vswitch.cn-hangzhou-j", vswitch, &["vpc.main"]);
        let rules = json!([{ "protocol": "tcp", "ports": "8080/8080", "source": "0.0.0.0/0", "policy": "accept" }]);
        sample.want(
            "security_group.web",
            json!({ "name": "shop-sg-web", "vpc_id": pending("vpc.main.id"), "rules": rules }),
            &["vpc.main"],
        );
        sample.want("bucket.main", json!({ "name": "aliform-shop-1f2e" }), &[]);
        let bundle = json!({
            "bucket": pending("bucket.main.id"), "app": "web", "digest": "a1".repeat(32), "size": 34_567,
            "files": { "app.py": "0a0a0a0a0a0a", "page.html": "0b0b0b0b0b0b", "old.js": "0c0c0c0c0c0c" },
        });
        sample.want("bundle.web", bundle, &["bucket.main"]);
        for number in 1..=replicas {
            sample.replica(number);
        }
        let rejected = ["ecs.u1-c1m2.large", "ecs.c7.large", "ecs.c8i.large", "ecs.g8i.large"]
            .map(|option| Rejected { option: option.to_owned(), because: "0.3100 CNY an hour".to_owned() });
        let because = "the cheapest with 2 vCPU, 4GiB in stock: 0.2670 CNY an hour with its disk";
        let chosen = Decision { chosen: "ecs.e-c1m2.large".to_owned(), because: because.to_owned(), rejected: rejected.into() };
        sample.desired.decisions.insert("apps.web.instance_type[2 vCPU, 4GiB]".to_owned(), chosen);
        let because = "nothing is fetched from hosts overseas".to_owned();
        sample.desired.decisions.insert("region".to_owned(), Decision { chosen: "cn-hangzhou".to_owned(), because, rejected: Vec::new() });
        let kept = Decision {
            chosen: "ecs.e-c1m2.large".to_owned(),
            because: "the type that the zone was chosen for".to_owned(),
            rejected: Vec::new(),
        };
        sample.desired.decisions.insert("apps.web.zone_for".to_owned(), kept);
        sample
    }

    fn replica(&mut self, number: usize) {
        let pending = |text: &str| json!({ "$pending": text });
        let name = |kind: &str| format!("{kind}.web-{number}");
        let instance = json!({
            "name": format!("shop-web-{number}"), "zone": "cn-hangzhou-j", "instance_type": "ecs.e-c1m2.large",
            "image_id": "aliyun_3_x64_20G_alibase_20260915.vhd", "vswitch_id": pending("vswitch.cn-hangzhou-j.id"),
            "security_group_id": pending("security_group.web.id"),
            "system_disk": { "category": "cloud_essd", "performance_level": "PL0", "size": 40 }, "bandwidth": 5, "power": "running",
        });
        self.want(&name("instance"), instance, &["vswitch.cn-hangzhou-j", "security_group.web"]);
        let id = pending(&format!("instance.web-{number}.id"));
        let command = json!({ "instance_id": id, "script": script("installs what is missing for", 8080), "timeout": 1800 });
        self.want(&name("command"), command, &[&name("instance")]);
        let release = json!({
            "app": "web", "instance_id": id, "instance_started": pending(&format!("instance.web-{number}.started_at")),
            "digest": "a1".repeat(32), "bucket": pending("bucket.main.id"), "bundle_key": pending("bundle.web.key"), "port": 8080,
            "within": 60, "secrets": { "API_KEY": "env:API_KEY" }, "rollback": true, "start_script": script("starts", 8080),
            "stop_script": script("stops", 8080), "verify_script": script("checks", 8080), "rollback_script": script("goes back", 8080), "logs_script": script("shows the log", 8080),
        });
        self.want(&name("release"), release, &[&name("instance"), &name("command"), "bundle.web", "bucket.main"]);
    }

    /// Adds a resource.
    pub(crate) fn want(&mut self, name: &str, spec: Json, depends_on: &[&str]) {
        self.desired.nodes.insert(address(name), Node { spec, depends_on: depends_on.iter().map(|name| address(name)).collect() });
    }

    /// Changes what is wanted of a resource.
    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Json)) {
        change(&mut self.desired.nodes.get_mut(&address(name)).unwrap().spec);
    }

    /// Everything that is wanted exists.
    pub(crate) fn applied(mut self) -> Self {
        for (address, node) in &self.desired.nodes {
            // Kinds are in creation order except for the bucket, which nothing before it needs.
            let mut spec = node.spec.clone();
            let observed = &self.observed;
            value::fill(&mut spec, &|reference| observed.get(&reference.address)?.as_ref()?.get(&reference.attribute).cloned());
            let attributes = attributes(address, &spec);
            let remembered = Remembered {
                id: attributes["id"].as_str().unwrap().to_owned(),
                region: "cn-hangzhou".to_owned(),
                spec,
                attributes: attributes.clone(),
                depends_on: node.depends_on.iter().cloned().collect(),
                unfinished: None,
            };
            self.observed.insert(address.clone(), Some(attributes));
            self.prior.insert(address.clone(), remembered);
        }
        self
    }

    /// Changes what the cloud says of a resource.
    pub(crate) fn drift(&mut self, name: &str, attribute: &str, value: Json) {
        self.observed.get_mut(&address(name)).unwrap().as_mut().unwrap()[attribute] = value;
    }

    /// Nothing is wanted any more.
    pub(crate) fn destroyed(mut self) -> Self {
        self.desired = Desired { region: self.desired.region, ..Desired::default() };
        self.destroy = true;
        self
    }

    /// The plan.
    pub(crate) fn plan(&self) -> Plan {
        let priced = to_price(&self.desired, &self.prior, &self.observed).unwrap();
        let quotes = priced.into_iter().map(|priced| (priced.clone(), (self.price)(&priced))).collect();
        plan(Inputs {
            desired: &self.desired,
            prior: &self.prior,
            observed: &self.observed,
            quotes: &quotes,
            limits: self.limits.clone(),
            balance: None,
            replace: &self.replace,
            basis: Basis {
                stack: "shop".to_owned(),
                lineage: "1f2e".to_owned(),
                serial: 7,
                manifest_digest: "00".to_owned(),
                destroy: self.destroy,
            },
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
        })
        .unwrap()
    }
}
