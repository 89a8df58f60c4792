//! What a run left behind whose state is lost or whose program was killed, found by its tags once its time is over. What
//! somebody still has stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;

use aliform::cloud::api::ask;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::cs::CreateCluster;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::http::transport::Network;
use aliform::cloud::vpc::{CreateVSwitch, CreateVpc, DescribeVSwitches, DescribeVpcs};
use aliform::model::clock::SystemClock;
use aliform::model::money::Money;
use aliform::model::secret::Secret;
use serde_json::Value as Json;

use crate::stage::{Stage, until};

const REGION: &str = "cn-hangzhou";
const SECRET: &str = "s3cret-of-the-sweep";

/// Says something, and goes on for longer than anybody waits.
const SCRIPT: &str = "import time
print('epoch 0', flush=True)
time.sleep(1000)
";

/// A stack whose jobs don't come to their end by themselves, one of each product.
fn lab(products: &[&str]) -> Stage {
    let stage = Stage::empty();
    let mut manifest = "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n".to_owned();
    for product in products {
        let needs = if *product == "fc" { "{ cpu: 1, memory: 2GiB }" } else { "{ cpu: 2, memory: 4GiB }" };
        manifest += &format!(
            "  on-{product}: {{ script: train.py, product: {product}, needs: {needs}, timeout: 10m, env: {{ TOKEN: {{ from: env:TOKEN }} }} }}\n"
        );
    }
    stage.write("aliform.yaml", &manifest);
    stage.write("train.py", SCRIPT);
    stage
}

/// A stack of another name beside it that stays.
fn beside(stage: &Stage) {
    let job = "{ run: echo held, product: ecs, needs: { cpu: 2, memory: 4GiB }, timeout: 10m, keep: true }";
    stage.write("live.yaml", &format!("version: 1\nstack: live\nregion: cn-hangzhou\njobs:\n  hold: {job}\n"));
    stage.run(&["-f", "live.yaml", "apply", "--auto-approve"]).expect(0);
}

/// Starts an apply and kills it once so many of its jobs have said something. Gives back what it said.
fn killed_while_it_runs(stage: &Stage, jobs: usize) -> String {
    let mut child = stage.command(&["apply", "--auto-approve", "--output", "ndjson"]).env("TOKEN", SECRET).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut said, mut begun) = (Vec::new(), 0);
    for line in lines.map_while(Result::ok) {
        begun += usize::from(line.contains("epoch 0"));
        said.push(line);
        if begun == jobs {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(begun, jobs, "{}", said.join("\n"));
    said.join("\n")
}

/// Forgets all that is known of a stack.
fn lose(stage: &Stage, stack: &str) {
    for entry in fs::read_dir(stage.file(".aliform")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with(&format!("{stack}.")) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn endpoint(stage: &Stage) -> String {
    let status = stage.run(&["cloud", "status", "--output", "json"]).expect(0).json();
    status["endpoint"].as_str().unwrap().to_owned()
}

/// Lets the cloud's time jump.
fn hours_pass(stage: &Stage, hours: u32) {
    let base = endpoint(stage);
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let body = format!("{{\"advance\":\"{hours}h\"}}");
    let head = format!("POST /_aliform/clock HTTP/1.0\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 "), "{answer}");
}

/// A network with a cluster in it that aliform never heard of.
async fn foreign_cluster(stage: &Stage) {
    let key = Credentials::lasting("local", Secret::new("local"), "test");
    let cloud = HttpCloud::new(Endpoint::Fixed(endpoint(stage)), Arc::new(key), Arc::new(Network::new("test")), Arc::new(SystemClock));
    let region_id = REGION.to_owned();
    let call =
        CreateVpc { region_id: region_id.clone(), cidr_block: "10.0.0.0/8".to_owned(), client_token: "1".to_owned(), ..Default::default() };
    let vpcid = ask(&cloud, REGION, &call).await.unwrap().vpc_id;
    loop {
        let query = DescribeVpcs { region_id: region_id.clone(), page_number: 1, page_size: 50, ..Default::default() };
        let all = ask(&cloud, REGION, &query).await.unwrap().vpcs.vpc;
        if all.iter().any(|vpc| vpc.vpc_id == vpcid && vpc.status == "Available") {
            break;
        }
    }
    let call = CreateVSwitch {
        region_id: region_id.clone(),
        vpc_id: vpcid.clone(),
        zone_id: "cn-hangzhou-j".to_owned(),
        cidr_block: "10.1.0.0/24".to_owned(),
        client_token: "2".to_owned(),
        ..Default::default()
    };
    let vswitch = ask(&cloud, REGION, &call).await.unwrap().v_switch_id;
    loop {
        let query = DescribeVSwitches { region_id: region_id.clone(), page_number: 1, page_size: 50, ..Default::default() };
        let all = ask(&cloud, REGION, &query).await.unwrap().v_switches.v_switch;
        if all.iter().any(|switch| switch.v_switch_id == vswitch && switch.status == "Available") {
            break;
        }
    }
    let call = CreateCluster {
        name: "theirs".to_owned(),
        region_id,
        cluster_type: "ManagedKubernetes".to_owned(),
        cluster_spec: "ack.standard".to_owned(),
        vpcid,
        vswitch_ids: vec![vswitch],
        container_cidr: "172.20.0.0/16".to_owned(),
        service_cidr: "172.21.0.0/20".to_owned(),
        client_token: "3".to_owned(),
        ..Default::default()
    };
    ask(&cloud, REGION, &call).await.unwrap();
}

/// What an hour of a resource costs by a plan.
fn price_of(plan: &Json, address: &str) -> Money {
    let change = plan["changes"].as_array().unwrap().iter().find(|change| change["address"] == address).unwrap();
    let prices = change["cost_after"].as_array().unwrap().iter().filter_map(|line| line["price"].as_str());
    Money::cny(prices.map(|price| price.parse::<Money>().unwrap().amount).sum())
}

/// The kinds that are to go, by a listing.
fn goes(listing: &Json) -> Vec<&str> {
    let rows = listing["orphans"].as_array().unwrap().iter();
    rows.filter(|row| row["delete"] == true).map(|row| row["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_killed_run_whose_state_is_lost_is_swept_when_its_time_is_over_and_nothing_else_is() {
    let stage = lab(&["ack"]);
    beside(&stage);
    foreign_cluster(&stage).await;
    let before = stage.resources();
    let plan = stage.command(&["plan", "--output", "json"]).env("TOKEN", SECRET).output().unwrap();
    let price = price_of(&serde_json::from_slice(&plan.stdout).unwrap(), "cluster.main");
    let said = killed_while_it_runs(&stage, 1);
    assert!(said.contains("the cluster itself ends it after 2400 s"), "{said}");
    lose(&stage, "lab");
    let left = stage.resources();
    assert_eq!((left.get("cluster"), before.get("cluster")), (Some(&2), Some(&1)), "{left:?}");

    // Its time is not over: it may be somebody's.
    let early = stage.run(&["sweep", "--auto-approve"]).expect(0);
    for said in ["its stack has no state here", "Nothing in `cn-hangzhou` is past its time.", "sweep --stack STACK"] {
        assert!(early.stdout.contains(said), "`{said}` is not in\n{}", early.stdout);
    }
    assert_eq!(stage.resources(), left);

    hours_pass(&stage, 5);
    // Silence is no yes.
    let silent = stage.run(&["sweep"]).expect(1);
    assert!(silent.stderr.contains("not approved; nothing was deleted"), "{}", silent.stderr);
    assert_eq!(stage.resources(), left);

    let swept = stage.run(&["sweep", "--expired", "--auto-approve", "--output", "json"]).expect(0);
    let listing = &swept.json();
    let end = &listing["swept"];
    assert_eq!(goes(listing), ["cluster", "bucket", "vswitch", "vpc"], "{listing}");
    let cluster = &listing["orphans"][0];
    assert_eq!((&cluster["stack"], &cluster["why"], &cluster["held"]), (&"lab".into(), &"expired".into(), &false.into()), "{cluster}");
    assert_eq!(cluster["hourly"]["sums"][0].as_str().unwrap().parse::<Money>().unwrap(), price, "it is what the plan said");
    assert!(cluster["deadline"].is_string() && cluster["created_at"].is_string(), "{cluster}");
    assert_eq!((end["deleted"].as_array().unwrap().len(), &end["failed"]), (4, &Json::Array(Vec::new())), "{end}");
    assert_eq!(stage.resources(), before);
    for ran in [&early, &silent, &swept] {
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET));
    }
    // What stayed is whole.
    stage.run(&["-f", "live.yaml", "plan", "--detailed-exitcode"]).expect(0);
    let nothing = stage.run(&["sweep", "--auto-approve"]).expect(0);
    assert!(nothing.stdout.contains("Nothing is left behind in `cn-hangzhou`."), "{}", nothing.stdout);
}

#[test]
fn no_product_leaves_anything() {
    let stage = lab(&["ecs", "fc", "pai"]);
    let plan = stage.command(&["plan"]).env("TOKEN", SECRET).output().unwrap();
    let plan = String::from_utf8(plan.stdout).unwrap();
    let said = killed_while_it_runs(&stage, 3);
    // What ends each of them in the cloud is in the plan, and was read back.
    for switch in ["(AutoReleaseTime)", "(timeout)", "(JobMaxRunningTimeMinutes)"] {
        assert!(plan.contains(switch), "`{switch}` is not in\n{plan}");
    }
    for read in ["the cloud itself releases it at ", "ends each of its runs after 900 s", "ends it when it has run for 40 minutes"] {
        assert!(said.contains(read), "`{read}` was not said:\n{said}");
    }
    lose(&stage, "lab");
    // The bucket serves all three, one after the other at the worst.
    hours_pass(&stage, 12);
    // The machine is ended by the cloud itself.
    until("the end of the machine", || !stage.resources().contains_key("instance"));
    let swept = stage.run(&["sweep", "--auto-approve", "--output", "json"]).expect(0);
    let listing = &swept.json();
    assert_eq!(goes(listing), ["training_job", "function", "workspace", "bucket", "security_group", "vswitch", "vpc"], "{listing}");
    assert_eq!(stage.resources(), BTreeMap::new());
}

/// An apply that was shown and waits for its answer.
fn asking(stage: &Stage) -> Child {
    let mut child = stage.command(&["apply"]).env("TOKEN", SECRET).stdin(Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut byte = [0];
    while !String::from_utf8_lossy(&said).contains("is a yes") {
        assert_ne!(stderr.read(&mut byte).unwrap(), 0, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    child
}

#[test]
fn what_a_state_here_holds_goes_with_its_memory_unless_somebody_works_on_it() {
    let stage = lab(&["ack"]);
    killed_while_it_runs(&stage, 1);
    let left = stage.resources();
    // Before its time it is no orphan at all.
    let early = stage.run(&["sweep", "--auto-approve"]).expect(0);
    assert!(early.stdout.contains("Nothing is left behind"), "{}", early.stdout);

    hours_pass(&stage, 5);
    let mut child = asking(&stage);
    let busy = stage.run(&["sweep", "--auto-approve"]).expect(0);
    assert!(busy.stderr.contains("Stack `lab` is left alone"), "{}", busy.stderr);
    assert_eq!(stage.resources(), left);
    child.kill().unwrap();
    child.wait().unwrap();

    let swept = stage.run(&["sweep", "--auto-approve"]).expect(0);
    for said in ["past its time; a state here still has it", "4 to delete in `cn-hangzhou`", "4 deleted and gone."] {
        assert!(swept.stdout.contains(said), "`{said}` is not in\n{}", swept.stdout);
    }
    assert_eq!(stage.resources(), BTreeMap::new());
    assert_eq!(stage.run(&["state", "list"]).expect(0).stdout, "");
}

#[test]
fn a_stack_that_nobody_here_remembers_goes_by_its_name_only() {
    let stage = lab(&["fc"]);
    beside(&stage);
    lose(&stage, "live");
    let before = stage.resources();
    hours_pass(&stage, 100);
    let listed = stage.run(&["sweep", "--auto-approve", "--output", "json"]).expect(0);
    assert_eq!(goes(&listed.json()), Vec::<&str>::new(), "{}", listed.stdout);
    assert!(listed.json()["orphans"].as_array().unwrap().iter().all(|row| row["why"] == "unknown" && row["deadline"].is_null()));
    stage.run(&["sweep", "--stack", "other"]).expect(1);
    stage.run(&["sweep", "--stack", "live", "--expired"]).expect(64);
    assert_eq!(stage.resources(), before);
    let swept = stage.type_in(&["sweep", "--stack", "live"], "yes\n").expect(0);
    assert!(swept.stdout.contains("instance") && swept.stdout.contains("CNY/h"), "{}", swept.stdout);
    assert_eq!(stage.resources(), BTreeMap::new());
}

#[test]
fn the_next_command_mentions_what_should_be_gone() {
    let stage = lab(&["ack"]);
    killed_while_it_runs(&stage, 1);
    // Settles what is open, so that all of it is in the snapshot; it was begun a year ago.
    let quiet = stage.command(&["plan"]).env("TOKEN", SECRET).output().unwrap();
    assert!(!String::from_utf8_lossy(&quiet.stderr).contains("Left behind"), "its time is not over");
    let text = fs::read_to_string(stage.file(".aliform/lab.state.json")).unwrap();
    let mut state: Json = serde_json::from_str(&text).unwrap();
    for resource in state["resources"].as_object_mut().unwrap().values_mut() {
        resource["created_at"] = "2025-01-02T03:04:05Z".into();
    }
    stage.write(".aliform/lab.state.json", &state.to_string());
    let said = stage.run(&["status"]).stderr;
    for part in ["Left behind by stack `lab`: cluster.main `c", "not needed since 2025-01-02", "run --release lab` takes away what is left"]
    {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    // Its way out is one.
    stage.run(&["run", "--release", "lab", "--auto-approve"]).expect(0);
    assert_eq!(stage.resources(), BTreeMap::new());
}
