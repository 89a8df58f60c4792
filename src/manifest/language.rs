//! The language of the manifest, version 1, as one table: every key, what it may hold, and what it is for. The reader
//! takes its keys, types, ranges and words from here, and so does the JSON Schema: the two can't disagree.

use super::formats::{self, Format};
use super::reader::nearest;
use crate::model::region::REGIONS;
use crate::model::runtime::Runtime;

/// What a value may be.
pub(super) enum Shape {
    /// A whole number within bounds.
    Integer { least: u32, most: u32 },
    /// True or false.
    Flag,
    /// One of some words.
    Word { what: &'static str, code: &'static str, words: &'static [&'static str] },
    /// A text of a kind.
    Text(&'static Format),
    /// A text, or a number or truth value taken as it is written.
    Plain,
    /// A map with known keys.
    Table(&'static Table),
    /// A map with names of the user's choice.
    Map { names: &'static Format, values: &'static Shape },
    /// Items in order.
    List { items: &'static Shape, least: usize },
    /// A scalar or a table.
    Either(&'static Shape, &'static Table),
}

/// A map with known keys.
pub(super) struct Table {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// How it is written.
    pub(super) example: &'static str,
    /// Its keys.
    pub(super) fields: &'static [Field],
    /// Groups of keys of which only one may be used.
    pub(super) groups: &'static [&'static [&'static str]],
    /// Whether one of the groups has to be used.
    pub(super) needs_group: bool,
}

/// A key of a table.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) about: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
    /// What holds when it is left out, as JSON.
    pub(super) default: Option<&'static str>,
    /// What people write when they mean it.
    pub(super) also: &'static [&'static str],
    /// What to do about it where another key excludes it.
    pub(super) instead: Option<&'static str>,
}

const fn field(key: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { key, about, shape, required: false, default: None, also: &[], instead: None }
}

impl Field {
    const fn required(self) -> Self {
        Field { required: true, ..self }
    }

    const fn default(self, json: &'static str) -> Self {
        Field { default: Some(json), ..self }
    }

    const fn also(self, words: &'static [&'static str]) -> Self {
        Field { also: words, ..self }
    }

    const fn instead(self, hint: &'static str) -> Self {
        Field { instead: Some(hint), ..self }
    }
}

impl Table {
    const fn new(name: &'static str, about: &'static str, example: &'static str, fields: &'static [Field]) -> Self {
        Table { name, about, example, fields, groups: &[], needs_group: false }
    }

    /// The field with this key.
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// What a key that the table does not have most likely meant: another word for one of its keys, a key a level
    /// deeper, or a misspelt one.
    pub(super) fn meant(&self, key: &str) -> Option<String> {
        let lower = key.to_lowercase();
        if let Some(field) = self.fields.iter().find(|field| field.key == lower || field.also.contains(&lower.as_str())) {
            return Some(field.key.to_owned());
        }
        let near = |fields: &'static [Field]| nearest(key, fields.iter().map(|field| field.key));
        let inside = |field: &Field| match &field.shape {
            Shape::Table(table) => table.field(&lower).map(|inner| format!("{}.{}", field.key, inner.key)),
            _ => None,
        };
        near(self.fields).map(str::to_owned).or_else(|| self.fields.iter().find_map(inside))
    }
}

/// `auto` and the words of all runtimes.
const RUNTIMES: [&str; Runtime::ALL.len() + 1] = {
    let mut words = ["auto"; Runtime::ALL.len() + 1];
    let mut i = 0;
    while i < Runtime::ALL.len() {
        words[i + 1] = Runtime::ALL[i].word();
        i += 1;
    }
    words
};

/// `auto` and the identifiers of all regions.
const REGION_WORDS: [&str; REGIONS.len() + 1] = {
    let mut words = ["auto"; REGIONS.len() + 1];
    let mut i = 0;
    while i < REGIONS.len() {
        words[i + 1] = REGIONS[i].id;
        i += 1;
    }
    words
};

/// The shape of a manifest.
pub(super) static DOCUMENT: Shape = Shape::Table(&MANIFEST);

/// The manifest itself.
pub(super) static MANIFEST: Table = Table::new(
    "Manifest",
    "What a stack needs of Alibaba Cloud.",
    "version: 1",
    &[
        field("version", Shape::Integer { least: 1, most: 1 }, "The version of this language.").required(),
        field("stack", Shape::Text(&formats::NAME), "The name of the stack; it marks everything that belongs to it.")
            .required()
            .also(&["name", "project"]),
        field(
            "region",
            Shape::Word { what: "a region", code: "unknown-region", words: &REGION_WORDS },
            "Where it runs. `auto` chooses, and the plan says why.",
        )
        .default("\"auto\"")
        .also(&["location"]),
        field("budget", Shape::Table(&BUDGET), "What the stack may cost; a plan over it is refused."),
        field("network", Shape::Table(&NETWORK), "The network around it; left out, one is made."),
        field(
            "apps",
            Shape::Map { names: &formats::NAME, values: &Shape::Table(&APP) },
            "Applications that run until they are taken down.",
        )
        .also(&["app", "services", "service"]),
        field("jobs", Shape::Map { names: &formats::NAME, values: &Shape::Table(&JOB) }, "Scripts that run once.").also(&["job", "tasks"]),
        field(
            "outputs",
            Shape::Map { names: &formats::OUTPUT_NAME, values: &Shape::Text(&formats::TEMPLATE) },
            "What to say when it is done; `${apps.NAME.url}` and `${outputs.NAME}` are filled in.",
        ),
    ],
);

static BUDGET: Table = Table::new(
    "Budget",
    "Upper limits of cost, each with its currency.",
    "{ hourly: 3 CNY, monthly: 1500 CNY }",
    &[
        field("hourly", Shape::Text(&formats::MONEY), "For an hour of running.").also(&["hour"]),
        field("monthly", Shape::Text(&formats::MONEY), "For a month (730 hours) of running.").also(&["month"]),
        field("total", Shape::Text(&formats::MONEY), "For everything, once.").also(&["max", "limit"]),
    ],
);

static NETWORK: Table = Table {
    groups: &[&["vswitch"], &["vswitches"]],
    ..Table::new(
        "Network",
        "The network of a stack. What is named by its identifier is used, never changed or deleted.",
        "{ vpc: { cidr: 192.168.0.0/16 } }",
        &[
            field("vpc", Shape::Table(&VPC), "The virtual private network."),
            field("vswitch", Shape::Text(&formats::VSWITCH_ID), "A vSwitch that exists.").also(&["subnet"]),
            field(
                "vswitches",
                Shape::List { items: &Shape::Table(&VSWITCH), least: 1 },
                "The vSwitches to create; they may not overlap. Left out, one is made in each zone that is used.",
            )
            .also(&["subnets"]),
            field("security_group", Shape::Text(&formats::SECURITY_GROUP_ID), "A security group that exists.").also(&["firewall"]),
        ],
    )
};

static VPC: Table = Table {
    groups: &[&["cidr"], &["id"]],
    needs_group: true,
    ..Table::new(
        "Vpc",
        "A new virtual private network, or one that exists.",
        "{ cidr: 192.168.0.0/16 }",
        &[
            field("cidr", Shape::Text(&formats::VPC_CIDR), "The private block of a new one, mask 8 to 28.").also(&["cidr_block", "range"]),
            field("id", Shape::Text(&formats::VPC_ID), "The identifier of one that exists.").also(&["vpc_id"]),
        ],
    )
};

static VSWITCH: Table = Table::new(
    "VSwitch",
    "A subnet of the virtual private network in one zone.",
    "{ zone: cn-hangzhou-i, cidr: 192.168.1.0/24 }",
    &[
        field("cidr", Shape::Text(&formats::VSWITCH_CIDR), "Its block, mask 16 to 29, inside that of the network.")
            .required()
            .also(&["cidr_block"]),
        field("zone", Shape::Text(&formats::ZONE), "The zone it lies in; left out, one is chosen.").also(&["zone_id"]),
    ],
);

static APP: Table = Table {
    groups: &[&["source"], &["script"], &["run"], &["image"]],
    needs_group: true,
    ..Table::new(
        "App",
        "An application that runs until it is taken down.",
        "{ source: . }",
        &[
            field("source", Shape::Text(&formats::SOURCE), "A folder inside that of the manifest, or the URL of a git repository.")
                .also(&["path", "repo", "repository", "folder"]),
            field(
                "script",
                Shape::Text(&formats::FILE),
                "In place of a source: a file inside the folder of the manifest that stays running.",
            )
            .also(&["file"]),
            field("run", Shape::Text(&formats::SCRIPT), "In place of a source: shell commands that stay running."),
            field("image", Shape::Text(&formats::CONTAINER_IMAGE), "In place of a source: a container image, which runs as it is.")
                .also(&["container"])
                .instead("keep one of the two; the system of the machines is named by `os`"),
            field("runtime", Shape::Word { what: "a runtime", code: "unknown-word", words: &RUNTIMES }, "What runs it; `auto` finds out.")
                .default("\"auto\"")
                .also(&["language"]),
            field("port", Shape::Integer { least: 1, most: 65535 }, "The port it listens on; left out, it is found out."),
            field(
                "container_port",
                Shape::Integer { least: 1, most: 65535 },
                "The port inside the container of an `image`; left out, the only one that the image exposes, else `port`.",
            )
            .also(&["internal_port", "target_port", "app_port"]),
            field("replicas", Shape::Integer { least: 1, most: 100 }, "How many machines run it.")
                .default("1")
                .also(&["count", "instances"]),
            field("instance", Shape::Table(&INSTANCE), "The machines that run it.").also(&["machine", "needs", "resources"]),
            field("os", Shape::Text(&formats::IMAGE_FAMILY), "The image family of new machines.").also(&["system", "system_image"]),
            field("disk", Shape::Text(&formats::DISK), "The system disk of new machines, 20GiB to 2TiB.").also(&["system_disk"]),
            field("public", Shape::Table(&PUBLIC), "How the internet reaches it; left out, not at all.").also(&["expose", "internet"]),
            field(
                "env",
                Shape::Map { names: &formats::ENV_NAME, values: &Shape::Either(&Shape::Plain, &FROM) },
                "Its environment variables; a secret is named, never written.",
            )
            .also(&["environment", "vars"]),
            field("build", Shape::Text(&formats::SCRIPT), "The script that builds it; left out, one is generated.").also(&["install"]),
            field(
                "start",
                Shape::Text(&formats::SCRIPT),
                "The script that starts it; left out, one is generated. Of an `image`: the command in place of its own.",
            )
            .also(&["command", "cmd"]),
            field("stop", Shape::Text(&formats::SCRIPT), "The script that stops it; left out, one is generated."),
            field("health", Shape::Table(&HEALTH), "When it counts as healthy.").also(&["healthcheck", "health_check"]),
            field("rollout", Shape::Table(&ROLLOUT), "How a new release comes in.").also(&["deploy", "strategy"]),
        ],
    )
};

static INSTANCE: Table = Table {
    groups: &[&["cpu", "memory", "gpu", "arch"], &["type"], &["id"]],
    ..Table::new(
        "Instance",
        "What a new machine must have, or its type, or the identifier of one that exists.",
        "{ cpu: 2, memory: 4GiB }",
        &[
            field("cpu", CPU, "vCPUs, at least.").also(&["cpus", "vcpu", "vcpus", "cores"]),
            field("memory", Shape::Text(&formats::MEMORY), "Memory, at least.").also(&["mem", "ram"]),
            field("gpu", Shape::Table(&GPU), "Accelerators.").also(&["gpus"]),
            field("arch", ARCHITECTURE, "Its processors; left out, those of the image, which is for x86 unless told otherwise.")
                .also(&["architecture"]),
            field("type", Shape::Text(&formats::INSTANCE_TYPE), "The type of a new one.").also(&["instance_type"]),
            field("id", Shape::Text(&formats::INSTANCE_ID), "One that exists; nothing of it is ever deleted.").also(&["instance_id"]),
        ],
    )
};

const CPU: Shape = Shape::Integer { least: 1, most: 1024 };
const ARCHITECTURE: Shape = Shape::Word { what: "an architecture", code: "unknown-word", words: &["x86", "arm"] };

static NEEDS: Table = Table::new(
    "Needs",
    "What the machine of a job must have.",
    "{ cpu: 8, memory: 32GiB }",
    &[
        field("cpu", CPU, "vCPUs, at least.").also(&["cpus", "vcpu", "vcpus", "cores"]),
        field("memory", Shape::Text(&formats::MEMORY), "Memory, at least.").also(&["mem", "ram"]),
        field("gpu", Shape::Table(&GPU), "Accelerators.").also(&["gpus"]),
        field("arch", ARCHITECTURE, "Its processors; left out, those of the image, which is for x86 unless told otherwise.")
            .also(&["architecture"]),
    ],
);

static GPU: Table = Table::new(
    "Gpu",
    "Accelerators of a machine.",
    "{ model: NVIDIA T4, count: 1 }",
    &[
        field("model", Shape::Text(&formats::GPU_MODEL), "The model as Alibaba Cloud names it; left out, any.").also(&["type", "name"]),
        field("count", Shape::Integer { least: 1, most: 16 }, "How many.").default("1").also(&["amount"]),
    ],
);

static PUBLIC: Table = Table::new(
    "Public",
    "How the internet reaches an application.",
    "{ bandwidth: 5Mbps }",
    &[
        field("bandwidth", Shape::Text(&formats::BANDWIDTH), "The bandwidth, 1Mbps to 100Mbps, paid by traffic.").default("\"5Mbps\""),
        field(
            "allow",
            Shape::List { items: &Shape::Text(&formats::ALLOW_CIDR), least: 1 },
            "Who may connect; the networks may not overlap.",
        )
        .default("[\"0.0.0.0/0\"]")
        .also(&["cidrs", "from", "source"]),
        field("eip", Shape::Flag, "Whether the address stays when the machine is replaced.").default("false").also(&["static_ip"]),
    ],
);

static FROM: Table = Table::new(
    "Secret",
    "A value that is read when it is needed and never written down.",
    "{ from: env:API_KEY }",
    &[field("from", Shape::Text(&formats::SECRET_SOURCE), "Where it is read from.").required().also(&["source", "secret"])],
);

static HEALTH: Table = Table::new(
    "Health",
    "When an application counts as healthy.",
    "{ http: /healthz, within: 60s }",
    &[
        field("http", Shape::Text(&formats::HTTP_PATH), "The path that must answer; left out, the port must be open.")
            .also(&["path", "url"]),
        field("within", Shape::Text(&formats::WITHIN), "The time it has for that, at most 1h.").default("\"60s\"").also(&["timeout"]),
    ],
);

static ROLLOUT: Table = Table::new(
    "Rollout",
    "How a new release comes in.",
    "{ batch: 1, on_failure: rollback }",
    &[
        field("batch", Shape::Integer { least: 1, most: 100 }, "How many machines at a time; at most the replicas.").default("1"),
        field(
            "on_failure",
            Shape::Word { what: "an answer to a failure", code: "unknown-word", words: &["rollback", "stop"] },
            "`rollback` goes back to the release before, `stop` leaves things for a person to look at.",
        )
        .default("\"rollback\""),
    ],
);

static CLUSTER: Table = Table {
    groups: &[&["id"], &["name"], &["edition"]],
    ..Table::new(
        "Cluster",
        "A cluster that exists, by its identifier or its name, or the edition of a new one.",
        "{ name: lab }",
        &[
            field("id", Shape::Text(&formats::CLUSTER_ID), "The identifier of one that exists; it is never changed or deleted.")
                .also(&["cluster_id"]),
            field("name", Shape::Text(&formats::CLUSTER_NAME), "The name of one that exists; it is never changed or deleted."),
            field(
                "edition",
                Shape::Word { what: "an edition", code: "unknown-word", words: &["basic", "pro"] },
                "The edition of a new one: `basic` has no management fee, `pro` has one.",
            )
            .default("\"basic\"")
            .also(&["spec"]),
        ],
    )
};

static SPOT: Table = Table::new(
    "Spot",
    "A machine at the price of the market, which may be taken back at any time.",
    "{ cap: 0.5 CNY }",
    &[field("cap", Shape::Text(&formats::MONEY), "What an hour of it may cost at most, its disk aside.")
        .required()
        .also(&["limit", "max"])],
);

static JOB: Table = Table {
    groups: &[&["script"], &["run"]],
    needs_group: true,
    ..Table::new(
        "Job",
        "A script that runs once.",
        "{ script: train.py }",
        &[
            field("script", Shape::Text(&formats::FILE), "A file inside the folder of the manifest.").also(&["file", "source"]),
            field("run", Shape::Text(&formats::SCRIPT), "Shell commands.").also(&["command", "cmd"]),
            field(
                "product",
                Shape::Word { what: "a product", code: "unknown-word", words: &["auto", "ecs", "fc", "ack", "pai"] },
                "What runs it; a named one is locked, `auto` compares.",
            )
            .default("\"auto\""),
            field(
                "image",
                Shape::Text(&formats::CONTAINER_IMAGE),
                "The container image it runs in, where it runs in one; left out, one is chosen.",
            )
            .also(&["container"]),
            field(
                "cluster",
                Shape::Table(&CLUSTER),
                "The Kubernetes cluster it runs in; left out, that of the stack's name, or a new one.",
            ),
            field("needs", Shape::Table(&NEEDS), "What it needs.").also(&["instance", "resources"]),
            field("workers", Shape::Integer { least: 1, most: 100 }, "How many pods of a training job run at once.").default("1"),
            field("budget", Shape::Table(&BUDGET), "What it may cost."),
            field("timeout", Shape::Text(&formats::TIMEOUT), "When it is ended at the latest."),
            field(
                "traffic",
                Shape::Text(&formats::TRAFFIC),
                "How much it sends to the internet, all of its runs together: its budget counts that.",
            )
            .also(&["egress"]),
            field(
                "spot",
                Shape::Either(&Shape::Flag, &SPOT),
                "Whether its machine may be taken back at any time, for less money; with a cap on that price.",
            ),
            field("keep", Shape::Flag, "Whether what it ran on stays when it ends.").default("false"),
            field("outputs", Shape::List { items: &Shape::Text(&formats::RESULT), least: 0 }, "Files and folders to bring back.")
                .also(&["artifacts"]),
            field(
                "env",
                Shape::Map { names: &formats::ENV_NAME, values: &Shape::Either(&Shape::Plain, &FROM) },
                "Its environment variables; a secret is named, never written.",
            )
            .also(&["environment", "vars"]),
            field(
                "matrix",
                Shape::Map { names: &formats::ENV_NAME, values: &Shape::List { items: &Shape::Plain, least: 1 } },
                "Parameters with their values: every combination is a run, which finds it in its environment.",
            )
            .also(&["sweep", "grid", "parameters"]),
            field(
                "max_parallel",
                Shape::Integer { least: 1, most: 100 },
                "How many runs of a matrix go on at once; on `ecs` so many machines share them.",
            )
            .default("4")
            .also(&["parallel", "parallelism", "max_machines"]),
        ],
    )
};
