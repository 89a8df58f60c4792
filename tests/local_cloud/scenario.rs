//! What can be chosen while the cloud runs: each kind of rule does what it says, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, PriceRule, Stock, StockRule};
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::scenario::Scenario;
use aliform::local_cloud::scenario::read::read;
use aliform::model::clock::{Clock, RuntimeClock};
use rust_decimal::Decimal;
use tokio::time::Instant;

use crate::caller::{Caller, START, TYPE, code, sleep, text};

async fn choose(caller: &Caller, yaml: &str) {
    caller.cloud.set_scenario(&read("test.yaml", yaml).unwrap()).await.unwrap();
}

async fn chosen(yaml: &str) -> Caller {
    let caller = Caller::new(Config::default());
    choose(&caller, yaml).await;
    caller
}

#[tokio::test(start_paused = true)]
async fn the_next_calls_fail_as_told_and_then_no_more() {
    let caller =
        chosen("calls: [{ call: 'vpc:CreateVpc', fails: { code: OperationFailed.X, status: 409, message: not today, times: 2 } }]").await;
    for _ in 0..2 {
        let refusal = caller.vpc("CreateVpc", &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str(), refusal.message.as_str()), (409, "OperationFailed.X", "not today"));
        caller.vpc("DescribeVpcs", &[]).await.unwrap();
    }
    caller.vpc("CreateVpc", &[]).await.unwrap();
    assert_eq!(caller.cloud.resources().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_are_throttled_by_share_and_by_rate() {
    let caller = chosen("calls: [{ call: 'ecs:DescribeZones', throttled: 1 }, { call: 'ecs:Describe*Types', per_second: 3 }]").await;
    assert_eq!(code(caller.ecs("DescribeZones", &[]).await), "Throttling.User");
    caller.ecs("DescribeRegions", &[]).await.unwrap();
    let mut let_through = 0;
    for _ in 0..10 {
        let_through += usize::from(caller.ecs("DescribeInstanceTypes", &[]).await.is_ok());
    }
    assert_eq!(let_through, 3);
    sleep(1000).await;
    caller.ecs("DescribeInstanceTypes", &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_does_not_happen_and_a_lost_answer_did() {
    let caller = chosen("calls: [{ call: 'vpc:CreateVpc', lost_requests: 1 }, { call: ecs:CreateSecurityGroup, lost_answers: 1 }]").await;
    let create = caller.request("2016-04-28", "CreateVpc", &[("RegionId", "cn-hangzhou")]);
    assert!(caller.cloud.handle(create).await.dropped);
    assert!(caller.cloud.resources().is_empty());
    choose(&caller, "calls: [{ call: 'vpc:CreateVpc', lost_answers: 1 }]").await;
    let create = caller.request("2016-04-28", "CreateVpc", &[("RegionId", "cn-hangzhou")]);
    assert!(caller.cloud.handle(create).await.dropped);
    assert_eq!(caller.cloud.resources().len(), 1);
    let lost: Vec<bool> = caller.cloud.calls(0, 10).iter().map(|call| call.lost).collect();
    assert_eq!(lost, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn calls_and_states_take_as_long_as_told() {
    let caller =
        chosen("latency: { scale: 2, vpc_ready: 10s }\ncalls: [{ call: '*:*', takes: 1s }, { call: 'vpc:D*', takes: 2s..4s }]").await;
    let begun = Instant::now();
    let vpc = text(&caller.vpc("CreateVpc", &[]).await.unwrap(), "/VpcId");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    let begun = Instant::now();
    let status = text(&caller.vpc("DescribeVpcAttribute", &[("VpcId", &vpc)]).await.unwrap(), "/Status");
    assert!(begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(status, "Pending");
    sleep(18_000).await;
    assert_eq!(text(&caller.vpc("DescribeVpcAttribute", &[("VpcId", &vpc)]).await.unwrap(), "/Status"), "Available");
}

#[tokio::test(start_paused = true)]
async fn stock_quotas_and_balance_are_those_of_the_scenario() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    choose(&caller, "stock: [{ place: cn-hangzhou-h, stock: sold_out }]\nquotas: { vpcs: 1 }").await;
    assert_eq!(caller.run(&network, &[]).await.unwrap_err().code, "OperationDenied.NoStock");
    assert!(code(caller.vpc("CreateVpc", &[]).await).starts_with("QuotaExceeded"));
    choose(&caller, "stock: [{ stock: { limited: 1 } }]").await;
    caller.run(&network, &[]).await.unwrap();
    assert_eq!(caller.run(&network, &[]).await.unwrap_err().code, "OperationDenied.NoStock");
    choose(&caller, "stock: [{ stock: not_sold }]").await;
    assert_eq!(caller.run(&network, &[]).await.unwrap_err().code, "InvalidResourceType.NotSupported");
    choose(&caller, "balance: 5").await;
    assert_eq!(caller.run(&network, &[]).await.unwrap_err().code, "InvalidAccountStatus.NotEnoughBalance");
    choose(&caller, "").await;
    caller.run(&network, &[]).await.unwrap();
    caller.vpc("CreateVpc", &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_price_is_multiplied_where_and_for_what_was_told_and_so_is_the_bill() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let of_type = async |region: &str| {
        let params = [("RegionId", region), ("InstanceType", TYPE), ("SystemDisk.Category", "cloud_essd")];
        let answer = caller.ecs("DescribePrice", &params).await.unwrap();
        let lines = answer["PriceInfo"]["Price"]["DetailInfos"]["DetailInfo"].as_array().unwrap().clone();
        let price = |part: &str| lines.iter().find(|line| line["Resource"] == part).unwrap()["TradePrice"].as_f64().unwrap();
        (price("instanceType"), price("systemDisk"))
    };
    let (here, there) = (of_type("cn-hangzhou").await, of_type("cn-beijing").await);
    choose(&caller, &format!("prices: [{{ region: cn-hangzhou, factor: 3 }}, {{ instance_type: {TYPE}, factor: 0.5 }}]")).await;
    let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
    let (dear, cheap) = (of_type("cn-hangzhou").await, of_type("cn-beijing").await);
    assert!(near(dear.0, here.0 * 1.5) && near(dear.1, here.1), "{here:?} {dear:?}");
    assert!(near(cheap.0, there.0 * 0.5) && near(cheap.1, there.1), "{there:?} {cheap:?}");
    caller.run(&network, &[]).await.unwrap();
    let billed = caller.cloud.bills().iter().find(|line| line.part == "instanceType").unwrap().hourly;
    assert!(near(billed.try_into().unwrap(), dear.0), "{billed}");
}

#[tokio::test(start_paused = true)]
async fn with_a_fast_clock_hours_pass_in_seconds_and_clients_still_sign_with_their_own() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let later = caller.now() + jiff::SignedDuration::from_hours(2);
    let at = later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let id = caller.run(&network, &[("AutoReleaseTime", &at)]).await.unwrap().remove(0);
    sleep(3000).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));
    assert_eq!(caller.machines.alive(), std::slice::from_ref(&id));
    let spent = caller.cloud.spent();
    choose(&caller, "clock: { speed: 3600 }").await;
    let begun = Instant::now();
    while !caller.machines.alive().is_empty() {
        sleep(10).await;
        assert!(begun.elapsed() < Duration::from_secs(4), "its release waits by the wall clock");
    }
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert_eq!(caller.instance(&id).await, None);
    assert!(caller.cloud.spent() > spent * Decimal::from(100), "{spent} {}", caller.cloud.spent());
    // The cloud is hours ahead; a signature of now counts all the same.
    assert!(caller.cloud.now() > caller.now() + jiff::SignedDuration::from_hours(1));
    caller.vpc("CreateVpc", &[]).await.unwrap();
}

fn clock() -> Arc<RuntimeClock> {
    Arc::new(RuntimeClock::starting_at(START.parse().unwrap()))
}

async fn open(dir: &Path, clock: &Arc<RuntimeClock>) -> Caller {
    sleep(1).await;
    let machines = Arc::new(Simulated::default());
    Caller::of(LocalCloud::open(dir, Config::default(), clock.clone(), machines.clone()).unwrap(), clock.clone(), machines)
}

#[tokio::test(start_paused = true)]
async fn a_scenario_and_the_time_outlive_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let scenario = Scenario {
        seed: 9,
        stock: vec![StockRule { place: None, instance_type: Some(TYPE.to_owned()), stock: Stock::Limited(3) }],
        prices: vec![PriceRule { region: None, instance_type: None, factor: Decimal::new(15, 1) }],
        ..read("t", "clock: { speed: 10 }\ncalls: [{ call: 'vpc:*', fails: { code: X } }]").unwrap()
    };
    let before = open(dir.path(), &clock).await;
    before.cloud.set_scenario(&scenario).await.unwrap();
    before.cloud.advance_clock(Duration::from_secs(86_400)).await.unwrap();
    sleep(1000).await;
    let time = before.cloud.now();
    assert!(time.duration_since(clock.now()).as_secs() >= 86_400 + 9);
    drop(before);
    let after = open(dir.path(), &clock).await;
    assert_eq!(after.cloud.scenario(), scenario);
    assert!(after.cloud.now() >= time);
    assert_eq!(code(after.vpc("DescribeVpcs", &[]).await), "X");
    std::fs::write(dir.path().join("scenario.json"), "{\"speed\":1}").unwrap();
    drop(after);
    sleep(1).await;
    let refused = LocalCloud::open(dir.path(), Config::default(), clock.clone(), Arc::new(Simulated::default()));
    assert!(refused.err().is_some_and(|error| error.to_string().contains("scenario.json")));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_late_are_told_without_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let caller = open(dir.path(), &clock()).await;
    let network = caller.network().await;
    let secret = "Hunter2-hunter2";
    let id =
        caller.run(&network, &[("Password", secret), ("UserData", "IyEvYmluL3NoCmVjaG8gSHVudGVyMi1odW50ZXIy")]).await.unwrap().remove(0);
    let script = format!("echo {secret}");
    caller.ecs("RunCommand", &[("Type", "RunShellScript"), ("CommandContent", &script), ("InstanceId.1", &id)]).await.unwrap();
    assert_eq!(code(caller.vpc("DescribeVpcAttribute", &[("VpcId", "vpc-none")]).await), "InvalidVpcId.NotFound");
    assert_eq!(code(caller.with_key("nobody", "x").ecs("DescribeZones", &[]).await), "InvalidAccessKeyId.NotFound");
    let calls = caller.cloud.calls(0, 100);
    let told: Vec<(u64, &str, &str, &str, &str)> = calls
        .iter()
        .map(|call| (call.number, call.action.as_str(), call.key.as_str(), call.resource.as_str(), call.code.as_str()))
        .collect();
    assert_eq!(told[0], (1, "CreateVpc", "local", network.vpc.as_str(), ""));
    assert_eq!(told[3], (4, "RunInstances", "local", id.as_str(), ""));
    assert_eq!(told[4].3, id);
    assert_eq!(told[5], (6, "DescribeVpcAttribute", "local", "vpc-none", "InvalidVpcId.NotFound"));
    assert_eq!((told[6].2, told[6].4), ("nobody", "InvalidAccessKeyId.NotFound"));
    assert!(
        calls.iter().all(|call| call.product == if call.action.contains("Vpc") || call.action.contains("VSwitch") { "vpc" } else { "ecs" })
    );
    assert_eq!(caller.cloud.calls(5, 1).iter().map(|call| call.number).collect::<Vec<_>>(), [7]);
    let log = std::fs::read_to_string(dir.path().join("requests.log")).unwrap();
    assert_eq!(log.lines().count(), 7);
    assert!(log.contains("RunCommand") && !log.contains("unter2") && !log.contains("IyEvYmlu"), "{log}");
    for _ in 0..1100 {
        caller.ecs("DescribeRegions", &[]).await.unwrap();
    }
    let kept = caller.cloud.calls(0, usize::MAX);
    assert_eq!((kept.len(), kept.last().map(|call| call.number)), (1000, Some(1107)));
}
