//! One job.

use std::collections::BTreeMap;

use super::files::Wanted;
use super::reader::{Either, Fields, Value};
use super::{ClusterChoice, EnvValue, Job, Located, Needs, Product, Spot, Work, app, document};

/// The longest that Function Compute runs anything; its limits page, "asynchronous invocation".
const FC_LONGEST_SECONDS: u64 = 86_400;

/// How many runs of a matrix go on at once that does not say.
const USUAL_AT_ONCE: u32 = 4;
/// The most runs of a matrix.
const MOST_RUNS: usize = 1000;

/// Reads a job; `None` if it is no map or has nothing usable to run.
pub(super) fn read(name: Located<String>, value: &Value<'_>) -> Option<Job> {
    let fields = value.table()?;
    let script = fields.get("script").map(script);
    let run = fields.get("run").map(Value::text);
    let product = fields.get("product").and_then(Value::word).and_then(product);
    let image = fields.get("image").and_then(Value::text);
    let cluster = fields.get("cluster").map_or(ClusterChoice::Own { pro: false }, cluster);
    let needs = fields.get("needs").and_then(Value::table).map_or_else(Needs::default, |needs| app::needs(&needs));
    let workers = fields.get("workers").and_then(Value::integer).map_or(1, |workers| workers.value);
    let budget = document::budget(&fields);
    let timeout = fields.get("timeout").and_then(Value::parsed);
    let traffic = fields.get("traffic").and_then(Value::parsed);
    let spot = fields.get("spot").and_then(spot);
    let keep = fields.get("keep").and_then(Value::flag).unwrap_or(false);
    let outputs = fields.get("outputs").map(Value::list).unwrap_or_default().iter().filter_map(Value::text).collect();
    let env = document::env(&fields);
    let matrix = fields.get("matrix").map(|value| matrix(value, &env)).unwrap_or_default();
    let max_parallel = fields.get("max_parallel").and_then(Value::integer);
    if let Some(parallel) = max_parallel.as_ref().filter(|_| fields.get("matrix").is_none()) {
        let message = "`max_parallel` is for the runs of a `matrix`, and there is none".to_owned();
        value.reader.complain_at("conflict", message, &parallel.location, "add a `matrix`, or remove it");
    }
    let job = Job {
        name,
        work: match (script, run) {
            (Some(script), _) => Work::Script(script?),
            (None, run) => Work::Run(run??),
        },
        product,
        image,
        cluster,
        needs,
        workers,
        budget,
        timeout,
        traffic,
        spot,
        keep,
        outputs,
        env,
        matrix,
        max_parallel: max_parallel.map_or(USUAL_AT_ONCE, |most| most.value),
    };
    check_function(value, &job);
    check_cluster(&fields, &job);
    check_workers(&fields, &job);
    check_spot(value, &job);
    Some(job)
}

/// A file inside the folder of the manifest.
pub(super) fn script(value: &Value<'_>) -> Option<Located<std::path::PathBuf>> {
    let text = value.text()?;
    match value.reader.base.find(&text, Wanted::File) {
        Ok(path) => Some(value.located(path)),
        Err(refusal) => {
            value.complain(refusal.code, refusal.message, Some(refusal.hint));
            None
        }
    }
}

fn cluster(value: &Value<'_>) -> ClusterChoice {
    let Some(fields) = value.table() else { return ClusterChoice::Own { pro: false } };
    let (id, name) = (fields.get("id").and_then(Value::text), fields.get("name").and_then(Value::text));
    let pro = fields.get("edition").and_then(Value::word).is_some_and(|word| word.value == "pro");
    id.or(name).map_or(ClusterChoice::Own { pro }, ClusterChoice::Existing)
}

/// `true`, `false`, or a cap.
fn spot(value: &Value<'_>) -> Option<Located<Spot>> {
    match value.either()? {
        Either::Table(fields) => {
            let cap = fields.get("cap").and_then(Value::parsed)?;
            Some(value.located(Spot { cap: Some(cap.value) }))
        }
        Either::Plain(text) => match text.value.as_str() {
            "true" => Some(value.located(Spot { cap: None })),
            "false" => None,
            other => {
                let hint = "write `true`, `false`, or `{ cap: 0.5 CNY }`".to_owned();
                value.complain("wrong-type", format!("`{other}` does not say whether it may be a spot machine"), Some(hint));
                None
            }
        },
    }
}

/// The parameters of a matrix with their values.
fn matrix(value: &Value<'_>, env: &BTreeMap<String, EnvValue>) -> Vec<(String, Vec<String>)> {
    let mut parameters = Vec::new();
    for (name, values) in value.map() {
        if env.contains_key(&name.value) {
            let message = format!("`{}` is a variable of `env` and a parameter of the matrix", name.value);
            value.reader.complain_at("conflict", message, &name.location, "keep one of the two");
        }
        let mut known: Vec<String> = Vec::new();
        for item in values.list() {
            let Some(text) = item.plain() else { continue };
            if known.contains(&text.value) {
                item.complain("duplicate-value", format!("`{}` is given twice", text.value), Some("keep one of them".to_owned()));
            } else {
                known.push(text.value);
            }
        }
        parameters.push((name.value, known));
    }
    let runs = parameters.iter().map(|(_, values)| values.len()).fold(1_usize, usize::saturating_mul);
    if runs > MOST_RUNS {
        let message = format!("the matrix has {runs} combinations, and {MOST_RUNS} are the most");
        value.complain("out-of-range", message, Some("leave values out, or make several jobs of it".to_owned()));
    }
    parameters
}

fn product(word: Located<&'static str>) -> Option<Located<Product>> {
    let value = match word.value {
        "ecs" => Product::Ecs,
        "fc" => Product::Fc,
        "ack" => Product::Ack,
        "pai" => Product::Pai,
        _ => return None,
    };
    Some(Located { value, location: word.location })
}

/// Complains about several workers where nothing but PAI has any.
fn check_workers(fields: &Fields<'_>, job: &Job) {
    let elsewhere = job.product.as_ref().is_some_and(|product| product.value != Product::Pai);
    if let Some(value) = fields.get("workers").filter(|_| elsewhere && job.workers > 1) {
        let hint = "remove `workers`, or write `product: pai`".to_owned();
        value.complain("conflict", "only a training job has several workers", Some(hint));
    }
}

/// Complains about what Function Compute can't do, where it is the product by name.
fn check_function(value: &Value<'_>, job: &Job) {
    let is_function = job.product.as_ref().is_some_and(|product| product.value == Product::Fc);
    if let Some(timeout) = job.timeout.as_ref().filter(|timeout| is_function && timeout.seconds() > FC_LONGEST_SECONDS) {
        let message = format!("`fc` runs nothing longer than a day, and the timeout is {}", timeout.value);
        value.reader.complain_at("out-of-range", message, &timeout.location, "shorten it, or take another product");
    }
    if let Some(product) = job.product.as_ref().filter(|_| is_function && job.keep) {
        let message = "`fc` has no machine that `keep` could leave running".to_owned();
        value.reader.complain_at("conflict", message, &product.location, "remove `keep`, or take another product");
    }
}

/// Complains about what only a container or a cluster has, where the product by name has neither.
fn check_cluster(fields: &Fields<'_>, job: &Job) {
    let without: &[(&'static str, &[Product])] = &[("image", &[Product::Ecs]), ("cluster", &[Product::Ecs, Product::Fc, Product::Pai])];
    for (key, products) in without {
        if let Some(product) = job.product.as_ref().filter(|product| products.contains(&product.value))
            && let Some(value) = fields.get(key)
        {
            let message = format!("a job of this product has no `{key}`");
            value.reader.complain_at("conflict", message, &product.location, "take `product: ack`, or remove it");
        }
    }
}

/// Digits after the point that the market takes; the reference of RunInstances, `SpotPriceLimit`.
const CAP_DIGITS: u32 = 3;

/// Complains about a spot machine where the product has no machine to be bought, and about a bid that is none.
fn check_spot(value: &Value<'_>, job: &Job) {
    if let Some((spot, cap)) = job.spot.as_ref().and_then(|spot| Some((spot, spot.value.cap?)))
        && (cap.amount.is_zero() || cap.amount.normalize().scale() > CAP_DIGITS)
    {
        let message = format!("`{cap}` is no price that can be offered on the spot market");
        value.reader.complain_at(
            "bad-money",
            message,
            &spot.location,
            "offer more than nothing, with three digits after the point at most",
        );
    }
    let elsewhere = job.product.as_ref().filter(|product| matches!(product.value, Product::Fc | Product::Pai));
    if let (Some(spot), Some(product)) = (&job.spot, elsewhere) {
        let message = match product.value {
            Product::Fc => "a function has no machine that could be bought on the spot market".to_owned(),
            _ => "what the spot market asks for pods of PAI no call tells, so no budget could be held against it".to_owned(),
        };
        value.reader.complain_at("conflict", message, &spot.location, "remove `spot`, or write `product: ecs` or `product: ack`");
    }
    if let (Some(spot), ClusterChoice::Existing(_)) = (&job.spot, &job.cluster) {
        let message = "nodes of a cluster that exists are not bought for the job, on no market".to_owned();
        value.reader.complain_at("conflict", message, &spot.location, "remove `spot`, or leave `cluster` out");
    }
}
