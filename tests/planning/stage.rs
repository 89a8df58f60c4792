//! A folder with a manifest and sources, a table instead of a cloud, and what the state remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aliform::cloud::error::ApiError;
use aliform::graph::Graph;
use aliform::manifest;
use aliform::model::address::{Address, Kind};
use aliform::model::change::{Action, Change, Effect, Reason};
use aliform::model::decision::Decision;
use aliform::model::money::{Currency, Money};
use aliform::model::value;
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::plan::saved::{Basis, Plan};
use aliform::pricing::clusters::{ClusterFound, Readiness};
use aliform::pricing::existing::Existing;
use aliform::pricing::lookup::{ImageFound, InstancePrice, Lookup, LookupError, PricePart, Shape, Stock};
use aliform::pricing::quote::quote_all;
use aliform::pricing::training::{Spec, Training, TrainingImage};
use aliform::resolve::error::ResolveError;
use aliform::resolve::{Resolved, Surroundings, resolve};
use aliform::resources::desired::Desired;
use aliform::resources::refresh::{Observed, Remembered};
use async_trait::async_trait;
use serde_json::{Value as Json, json};

/// A type of the table: name, vCPU, GiB, architecture, price of an hour, zones that have it.
pub(crate) struct Type(pub &'static str, pub u32, pub u32, pub &'static str, pub Option<&'static str>, pub Vec<&'static str>);

pub(crate) struct FakeLookup {
    pub types: Vec<Type>,
    pub image_size: u32,
    pub currency: Currency,
    pub existing: BTreeMap<&'static str, Existing>,
    /// Clusters that exist, and what can be done there.
    pub clusters: Vec<(ClusterFound, Readiness)>,
    pub balance: Option<Money>,
    /// Workspaces of PAI: name and identifier.
    pub workspaces: BTreeMap<&'static str, &'static str>,
    /// What training jobs can run on: type, vCPU, GiB, accelerators, their model, whether there is any.
    pub specs: Vec<(&'static str, u32, u32, u32, &'static str, bool)>,
    /// Every question, to see which were not asked.
    pub asked: Mutex<Vec<String>>,
}

impl Default for FakeLookup {
    fn default() -> Self {
        let both = || vec!["cn-hangzhou-h", "cn-hangzhou-j"];
        FakeLookup {
            types: vec![
                Type("ecs.c8y.large", 2, 4, "ARM", Some("0.10"), both()),
                Type("ecs.e-c1m2.large", 2, 4, "X86", Some("0.25"), both()),
                Type("ecs.u1-c1m2.large", 2, 4, "X86", Some("0.25"), both()),
                Type("ecs.c7.large", 2, 4, "X86", Some("0.25"), both()),
                Type("ecs.g7.large", 2, 8, "X86", Some("0.50"), both()),
                Type("ecs.g8i.large", 2, 8, "X86", Some("0.55"), vec!["cn-hangzhou-j"]),
                Type("ecs.r7.large", 2, 16, "X86", None, both()),
                Type("ecs.c7.xlarge", 4, 8, "X86", Some("0.60"), vec!["ap-southeast-1a", "cn-beijing-a", "cn-hangzhou-h"]),
            ],
            image_size: 20,
            currency: Currency::Cny,
            existing: BTreeMap::new(),
            clusters: Vec::new(),
            balance: Some(Money::cny(1000.into())),
            workspaces: BTreeMap::new(),
            specs: vec![
                ("ecs.c7.large", 2, 4, 0, "", true),
                ("ecs.g7.large", 2, 8, 0, "", true),
                ("ecs.g8i.large", 2, 8, 0, "", false),
                ("ecs.r7.large", 2, 16, 0, "", true),
                ("ecs.c7.xlarge", 4, 8, 0, "", true),
                ("ecs.gn6i-c4g1.xlarge", 4, 15, 1, "NVIDIA T4", true),
                ("ecs.gn6v-c8g1.2xlarge", 8, 32, 1, "NVIDIA V100", true),
                ("ecs.gn7e-c16g1.4xlarge", 16, 125, 1, "NVIDIA A100", true),
            ],
            asked: Mutex::default(),
        }
    }
}

impl FakeLookup {
    fn ask(&self, question: &str) {
        self.asked.lock().unwrap().push(question.to_owned());
    }

    fn find(&self, name: &str) -> Option<&Type> {
        self.types.iter().find(|known| known.0 == name)
    }
}

fn shape(known: &Type) -> Shape {
    // A type with a GPU says so in its family.
    let gpu = if known.0.contains("gn") { "NVIDIA T4" } else { "" };
    Shape {
        instance_type: known.0.to_owned(),
        vcpu: known.1,
        memory: known.2.into(),
        architecture: known.3.to_owned(),
        gpus: u32::from(!gpu.is_empty()),
        gpu: gpu.to_owned(),
    }
}

fn zones(known: &Type, region: &str) -> Vec<String> {
    known.5.iter().filter(|zone| zone.starts_with(region)).map(|zone| (*zone).to_owned()).collect()
}

#[async_trait]
impl Lookup for FakeLookup {
    async fn types(&self, _region: &str) -> Result<Arc<Vec<Shape>>, LookupError> {
        Ok(Arc::new(self.types.iter().map(shape).collect()))
    }

    async fn stock(&self, region: &str, _spot: bool) -> Result<Arc<Stock>, LookupError> {
        self.ask("stock");
        let stock = self.types.iter().map(|known| (known.0.to_owned(), zones(known, region)));
        Ok(Arc::new(stock.filter(|(_, zones)| !zones.is_empty()).collect()))
    }

    async fn alike(&self, _region: &str, instance_type: &str) -> Result<Vec<String>, LookupError> {
        let Some(like) = self.find(instance_type) else { return Ok(Vec::new()) };
        let alike = self.types.iter().filter(|known| (known.1, known.2, known.3) == (like.1, like.2, like.3));
        Ok(alike.map(|known| known.0.to_owned()).collect())
    }

    async fn training_types(&self, _region: &str, among: &[String]) -> Result<BTreeSet<String>, LookupError> {
        Ok(among.iter().cloned().collect())
    }

    async fn image(&self, region: &str, family: &str) -> Result<Option<ImageFound>, LookupError> {
        self.ask("image");
        let image = ImageFound { id: format!("m-{region}"), platform: "Aliyun".to_owned(), size: self.image_size };
        Ok((family != "no-such-family").then_some(image))
    }

    async fn existing(&self, _region: &str, id: &str) -> Result<Option<Existing>, LookupError> {
        Ok(self.existing.get(id).cloned())
    }

    async fn clusters(&self, _region: &str) -> Result<Vec<ClusterFound>, LookupError> {
        Ok(self.clusters.iter().map(|(cluster, _)| cluster.clone()).collect())
    }

    async fn readiness(&self, _region: &str, cluster: &str, _namespace: &str) -> Result<Readiness, LookupError> {
        let known = self.clusters.iter().find(|(known, _)| known.id == cluster);
        Ok(known.map(|(_, readiness)| readiness.clone()).unwrap_or_default())
    }

    async fn price(&self, _region: &str, wanted: &InstancePrice) -> Result<Vec<PricePart>, LookupError> {
        let price = self.find(&wanted.instance_type).and_then(|known| known.4);
        let Some(price) = price else {
            return Err(ApiError::Unreadable { action: "DescribePrice", reason: "no price".to_owned() }.into());
        };
        let price = Money { amount: price.parse().unwrap(), currency: self.currency };
        Ok(vec![PricePart { item: wanted.instance_type.clone(), price }])
    }

    async fn balance(&self, _region: &str) -> Result<Money, LookupError> {
        self.balance.ok_or_else(|| ApiError::Unreadable { action: "QueryAccountBalance", reason: "no balance".to_owned() }.into())
    }
}

#[async_trait]
impl Training for FakeLookup {
    async fn workspace(&self, _region: &str, name: &str) -> Result<Option<String>, LookupError> {
        self.ask("workspace");
        Ok(self.workspaces.get(name).map(|id| (*id).to_owned()))
    }

    async fn training_specs(&self, _region: &str, gpu: bool) -> Result<Vec<Spec>, LookupError> {
        self.ask("specs");
        let spec = |&(name, vcpu, memory, gpus, gpu, available): &(&str, u32, u32, u32, &str, bool)| Spec {
            instance_type: name.to_owned(),
            vcpu,
            memory,
            gpus,
            gpu: gpu.to_owned(),
            available,
        };
        Ok(self.specs.iter().filter(|spec| (spec.3 > 0) == gpu).map(spec).collect())
    }

    async fn training_images(&self, region: &str, gpu: bool) -> Result<Vec<TrainingImage>, LookupError> {
        let chip = if gpu { "gpu" } else { "cpu" };
        let image = |(framework, version): (&str, &str)| TrainingImage {
            name: format!("{}:{version}-{chip}", framework.to_lowercase()),
            uri: format!("registry.{region}/pai/{}:{version}-{chip}", framework.to_lowercase()),
            framework: format!("{framework} {version}"),
        };
        Ok([("PyTorch", "2.8.0"), ("PyTorch", "2.10.0"), ("TensorFlow", "2.11"), ("Python", "3.10")].map(image).into())
    }
}

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub lookup: FakeLookup,
    pub decided: BTreeMap<String, Decision>,
    pub prior: BTreeMap<Address, Remembered>,
    pub observed: Observed,
    pub replace: BTreeSet<Address>,
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A manifest with one application and these lines in it.
pub(crate) fn web(lines: &str) -> String {
    format!("version: 1\nstack: shop\nregion: cn-hangzhou\napps:\n  web:\n    source: web\n{}", indent(lines))
}

fn indent(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

pub(crate) const PUBLIC: &str = "port: 8080\npublic: { bandwidth: 5Mbps }";

impl Stage {
    /// A stage with a site in `web` and another in `api`.
    pub(crate) fn new(manifest: &str) -> Self {
        let stage = Stage {
            folder: tempfile::tempdir().unwrap(),
            lookup: FakeLookup::default(),
            decided: BTreeMap::new(),
            prior: BTreeMap::new(),
            observed: BTreeMap::new(),
            replace: BTreeSet::new(),
        };
        stage.write("web/index.html", "<p>hello</p>");
        stage.write("web/style.css", "p { color: red }");
        stage.write("api/index.html", "<p>api</p>");
        stage.manifest(manifest);
        stage
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn delete(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    pub(crate) fn manifest(&self, text: &str) {
        self.write("aliform.yaml", text);
    }

    pub(crate) fn try_resolve(&self) -> Result<(Resolved, Limits), ResolveError> {
        let text = fs::read_to_string(self.folder.path().join("aliform.yaml")).unwrap();
        let manifest = manifest::parse("aliform.yaml", &text, self.folder.path()).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let around = Surroundings { lookup: &self.lookup, decided: &self.decided, lineage: "0123456789abcdef0123456789abcdef" };
        let money = |limit: &Option<manifest::Located<Money>>| limit.as_ref().map(|limit| limit.value);
        let limits = Limits {
            hourly: money(&manifest.budget.hourly),
            monthly: money(&manifest.budget.monthly),
            total: money(&manifest.budget.total),
            jobs: BTreeMap::new(),
        };
        let of_job =
            |job: &manifest::Job| Limits { total: money(&job.budget.total), hourly: money(&job.budget.hourly), ..Limits::default() };
        let limits = Limits { jobs: manifest.jobs.iter().map(|(name, job)| (name.clone(), of_job(job))).collect(), ..limits };
        wait(resolve(&manifest, &around)).map(|resolved| (resolved, limits))
    }

    #[track_caller]
    pub(crate) fn resolve(&self) -> Resolved {
        self.try_resolve().unwrap_or_else(|error| panic!("{error}")).0
    }

    /// What is wrong with the wishes.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        let error = self.try_resolve().map(|_| ()).unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or_default())
    }

    #[track_caller]
    pub(crate) fn plan(&self) -> Plan {
        let (resolved, limits) = self.try_resolve().unwrap_or_else(|error| panic!("{error}"));
        self.plan_for(&resolved.desired, limits, false)
    }

    pub(crate) fn destroy(&self) -> Plan {
        let region = self.prior.values().next().map(|remembered| remembered.region.clone()).unwrap_or_default();
        self.plan_for(&Desired { region, ..Desired::default() }, Limits::default(), true)
    }

    fn plan_for(&self, desired: &Desired, limits: Limits, destroy: bool) -> Plan {
        let priced = to_price(desired, &self.prior, &self.observed).unwrap();
        let quotes = wait(quote_all(&self.lookup, &desired.region, &priced));
        plan(Inputs {
            desired,
            prior: &self.prior,
            observed: &self.observed,
            quotes: &quotes,
            limits,
            balance: Some(wait(self.lookup.balance(&desired.region)).map_err(|error| error.to_string())),
            replace: &self.replace,
            basis: Basis { stack: "shop".to_owned(), lineage: "0123".to_owned(), serial: 3, manifest_digest: "00".to_owned(), destroy },
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        })
        .unwrap()
    }

    /// What an apply of the present wishes leaves behind.
    #[track_caller]
    pub(crate) fn applied(&mut self) {
        let desired = self.resolve().desired;
        self.decided.clone_from(&desired.decisions);
        self.prior.clear();
        let graph = Graph::build(desired.nodes.iter().map(|(address, node)| (address.clone(), node.depends_on.iter().cloned()))).unwrap();
        for address in graph.order() {
            let node = &desired.nodes[address];
            let mut spec = node.spec.clone();
            value::fill(&mut spec, &|reference| {
                let known = &self.prior[&reference.address].attributes[&reference.attribute];
                assert!(!known.is_null(), "{reference}");
                Some(known.clone())
            });
            let attributes = attributes(address, &spec);
            let remembered = Remembered {
                id: attributes["id"].as_str().unwrap().to_owned(),
                region: desired.region.clone(),
                spec,
                attributes,
                depends_on: node.depends_on.iter().cloned().collect(),
                unfinished: None,
            };
            self.prior.insert(address.clone(), remembered);
        }
        self.observed = self.prior.iter().map(|(address, known)| (address.clone(), Some(known.attributes.clone()))).collect();
    }

    /// Somebody else changes what the cloud has.
    pub(crate) fn drift(&mut self, name: &str, attribute: &str, value: Json) {
        self.observed.get_mut(&address(name)).unwrap().as_mut().unwrap()[attribute] = value;
    }

    /// Somebody else deletes it.
    pub(crate) fn lose(&mut self, name: &str) {
        self.observed.insert(address(name), None);
    }

    /// The last apply did not finish it; without attributes it never was.
    pub(crate) fn unfinished(&mut self, name: &str, attributes: Option<Json>) {
        let known = self.prior.get_mut(&address(name)).unwrap();
        known.unfinished = Some("it rained".to_owned());
        if let Some(attributes) = attributes {
            known.attributes = attributes;
        }
    }
}

/// What the cloud would say of it.
fn attributes(address: &Address, spec: &Json) -> Json {
    let id = format!("{}-{}", address.kind.word(), address.name);
    let mut said = match address.kind {
        Kind::Vpc | Kind::VSwitch | Kind::SecurityGroup => json!({ "id": id, "status": "Available" }),
        Kind::Instance => json!({
            "id": id, "status": "Running", "private_ip": "192.168.9.7", "public_ip": "203.0.113.9", "started_at": "2026-01-02T03:00Z",
        }),
        Kind::Eip => json!({ "id": id, "public_ip": "203.0.113.77", "status": "InUse" }),
        Kind::Bucket => json!({ "id": spec["name"] }),
        Kind::Bundle => json!({ "id": id, "key": format!("bundles/{}", spec["digest"].as_str().unwrap()), "digest": spec["digest"] }),
        Kind::Command => json!({ "id": "t-1", "instance_id": spec["instance_id"] }),
        Kind::Release => json!({ "id": id, "digest": spec["digest"] }),
        Kind::Cluster => json!({ "id": id, "name": spec["name"], "status": "running", "vpc_id": spec["vpc_id"] }),
        Kind::Run | Kind::KubernetesJob | Kind::Invocation => {
            json!({ "id": id, "digest": spec["digest"], "exit_code": 0, "ended_at": "2026-01-02T03:04:05Z", "outputs": null })
        }
        Kind::Function => json!({
            "id": spec["name"], "runtime": spec["runtime"], "handler": spec["handler"], "cpu": spec["cpu"], "memory": spec["memory"],
            "timeout": spec["timeout"], "checksum": spec["checksum"],
        }),
        Kind::Workspace => json!({ "id": "1234", "name": "lab_0123", "status": "ENABLED" }),
        Kind::TrainingJob => {
            let ended = "2026-01-02T03:04:05Z";
            json!({ "id": id, "digest": spec["digest"], "exit_code": 0, "ended_at": ended, "outputs": null, "because": null })
        }
    };
    if matches!(address.kind, Kind::Workspace | Kind::TrainingJob) {
        return said;
    }
    let copied = ["name", "cidr", "vpc_id", "zone", "rules", "instance_type", "image_id", "vswitch_id", "security_group_id", "bandwidth"];
    for field in copied {
        if !spec[field].is_null() && !matches!(address.kind, Kind::Bucket | Kind::Bundle | Kind::Command | Kind::Release) {
            said[field] = spec[field].clone();
        }
    }
    if address.kind == Kind::Eip {
        said["instance_id"] = spec["instance_id"].clone();
    }
    said
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The change of a resource.
#[track_caller]
pub(crate) fn change<'a>(plan: &'a Plan, name: &str) -> &'a Change {
    plan.changes.iter().find(|change| change.address == address(name)).unwrap_or_else(|| panic!("{name} is not in the plan"))
}

/// What happens, `update release.web-1`, in the order of the plan.
pub(crate) fn actions(plan: &Plan) -> Vec<String> {
    plan.actions().map(|change| format!("{} {}", word(change.action), change.address)).collect()
}

/// The fields of a change.
pub(crate) fn paths(change: &Change) -> Vec<&str> {
    change.fields.iter().map(|field| field.path.as_str()).collect()
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
    }
}

/// A plan as a person would sum it up, without the texts of scripts.
pub(crate) fn outline(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let _ = writeln!(text, "{} {}", word(change.action), change.address);
        for reason in &change.reasons {
            let _ = writeln!(text, "  because {}", reason_text(reason));
        }
        for field in &change.fields {
            let forces = if field.effect == Effect::ForcesReplace { ", forces a replacement" } else { "" };
            let _ = writeln!(text, "  {}: {} -> {}{forces}", field.path, short(&field.before), short(&field.after));
        }
        for effect in &change.effects {
            let _ = writeln!(text, "  besides: {effect}");
        }
    }
    let sums = |total: &aliform::model::cost::Total| {
        let sums: Vec<String> = total.sums.iter().map(ToString::to_string).collect();
        format!("{}{}{}", sums.join(" + "), if total.usage { " + usage" } else { "" }, if total.unknown { " + unknown" } else { "" })
    };
    let _ = writeln!(text, "an hour: {} -> {}", sums(&plan.cost.before), sums(&plan.cost.after));
    for (key, decision) in &plan.decisions {
        let _ = writeln!(text, "{key}: {} because {}", decision.chosen, decision.because);
        for rejected in &decision.rejected {
            let _ = writeln!(text, "  not {} because {}", rejected.option, rejected.because);
        }
    }
    for finding in &plan.findings {
        let _ = writeln!(text, "{:?} {}: {}", finding.severity, finding.id, finding.message);
    }
    for (name, value) in &plan.outputs {
        let _ = writeln!(text, "output {name} = {value}");
    }
    text
}

fn reason_text(reason: &Reason) -> String {
    serde_json::to_value(reason).unwrap().as_object().unwrap().values().map(short).collect::<Vec<_>>().join(" ")
}

fn short(value: &Json) -> String {
    match value {
        Json::String(text) if text.lines().count() > 1 => "(a script)".to_owned(),
        Json::String(text) if text.len() == 64 => "(a digest)".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
