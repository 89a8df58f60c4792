//! What was acknowledged survives a server that is gone from one moment to the next.

use std::path::Path;
use std::sync::Arc;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::local_cloud::store::log::StoreError;
use aliform::model::clock::RuntimeClock;

use crate::caller::{Caller, START, sleep, text};

/// Opens the store. The tasks of a cloud that was dropped need a turn to let go of it; a process that died needs none.
async fn open(dir: &Path, clock: &Arc<RuntimeClock>, machines: &Arc<Simulated>) -> Caller {
    sleep(1).await;
    let cloud = LocalCloud::open(dir, Config::default(), clock.clone(), machines.clone()).unwrap();
    Caller::of(cloud, clock.clone(), machines.clone())
}

fn clock() -> Arc<RuntimeClock> {
    Arc::new(RuntimeClock::starting_at(START.parse().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn everything_acknowledged_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, machines) = (clock(), Arc::new(Simulated::default()));
    let before = open(dir.path(), &clock, &machines).await;
    let network = before.network().await;
    let id = before.running(&network).await;
    let public = text(&before.instance(&id).await.unwrap(), "/PublicIpAddress/IpAddress/0");
    let token = [("VpcName", "again"), ("ClientToken", "t")];
    let vpc = before.vpc("CreateVpc", &token).await.unwrap()["VpcId"].clone();
    let listed = before.cloud.resources();
    assert_eq!(listed.len(), 5);
    drop(before);

    // The machine died with the server: it comes up again.
    let machines = Arc::new(Simulated::default());
    let after = open(dir.path(), &clock, &machines).await;
    assert_eq!(after.vpc("CreateVpc", &token).await.unwrap()["VpcId"], vpc);
    assert_eq!(after.cloud.resources().iter().map(|row| &row.id).collect::<Vec<_>>(), listed.iter().map(|row| &row.id).collect::<Vec<_>>());
    assert_eq!(text(&after.instance(&id).await.unwrap(), "/PublicIpAddress/IpAddress/0"), public);
    sleep(10).await;
    assert_eq!(machines.alive(), std::slice::from_ref(&id));
    // New ids do not repeat old ones, and the address of the old instance stays taken.
    let other = after.run(&network, &[]).await.unwrap().remove(0);
    assert_ne!(other, id);
    assert_eq!(text(&after.instance(&other).await.unwrap(), "/VpcAttributes/PrivateIpAddress/IpAddress/0"), "192.168.1.2");
    sleep(3000).await;
    for id in [&id, &other] {
        after.ecs("DeleteInstance", &[("InstanceId", id), ("Force", "true")]).await.unwrap();
    }
    sleep(1000).await;
    drop(after);
    let last = open(dir.path(), &clock, &machines).await;
    assert!(!last.cloud.resources().iter().any(|row| row.kind == "instance"));
}

#[tokio::test(start_paused = true)]
async fn a_store_belongs_to_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, machines) = (clock(), Arc::new(Simulated::default()));
    let first = open(dir.path(), &clock, &machines).await;
    let second = LocalCloud::open(dir.path(), Config::default(), clock.clone(), machines.clone());
    assert!(matches!(second, Err(StoreError::InUse(_))));
    drop(first);
    open(dir.path(), &clock, &machines).await;
}

#[tokio::test(start_paused = true)]
async fn commands_go_on_where_their_machine_lives_and_end_where_it_died() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let slow = |_: &_, _: &_| Behaviour { takes: std::time::Duration::from_secs(30), output: b"so far".to_vec(), exit_code: 0 };
    let machines = Arc::new(Simulated::with(slow));
    let first = open(dir.path(), &clock, &machines).await;
    let network = first.network().await;
    let id = first.running(&network).await;
    let params = [("Type", "RunShellScript"), ("CommandContent", "x"), ("InstanceId.1", id.as_str())];
    let invocation = text(&first.ecs("RunCommand", &params).await.unwrap(), "/InvokeId");
    let sent = [("Name", "k"), ("TargetDir", "/etc"), ("Content", "top-secret-value"), ("InstanceId.1", id.as_str())];
    let file = text(&first.ecs("SendFile", &sent).await.unwrap(), "/InvokeId");
    sleep(1000).await;
    drop(first);
    let state = async |caller: &Caller| {
        let answer = caller.ecs("DescribeInvocationResults", &[("InvokeId", &invocation)]).await.unwrap();
        let row = &answer["Invocation"]["InvocationResults"]["InvocationResult"][0];
        (text(row, "/InvocationStatus"), text(row, "/ErrorCode"))
    };
    let second = open(dir.path(), &clock, &machines).await;
    assert_eq!(state(&second).await.0, "Running");
    // The content of a file is in no file of the store, and no answer.
    let answer = second.ecs("DescribeSendFileResults", &[("InvokeId", &file)]).await.unwrap();
    assert_eq!(text(&answer, "/Invocations/Invocation/0/Content"), "");
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let held = path.is_file() && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("top-secret-value");
        assert!(!held, "{}", path.display());
    }
    drop(second);
    // Now the machine is gone as well: half of the work may be done, so it is not run again.
    let third = open(dir.path(), &clock, &Arc::new(Simulated::with(slow))).await;
    assert_eq!(state(&third).await, ("Failed".to_owned(), "ExecutionInterrupted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_release_time_that_passed_while_nobody_served_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, machines) = (clock(), Arc::new(Simulated::default()));
    let before = open(dir.path(), &clock, &machines).await;
    let network = before.network().await;
    let at = (before.now() + jiff::SignedDuration::from_mins(40)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let id = before.run(&network, &[("AutoReleaseTime", &at)]).await.unwrap().remove(0);
    sleep(3000).await;
    drop(before);
    sleep(60 * 60 * 1000).await;
    assert_eq!(machines.alive(), std::slice::from_ref(&id));
    let after = open(dir.path(), &clock, &machines).await;
    after.cloud.wake().await;
    sleep(10).await;
    assert_eq!(after.status(&id).await, None);
    assert!(machines.alive().is_empty());
}

#[tokio::test(start_paused = true)]
async fn gateways_and_the_bill_of_spot_instances_go_on_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, machines) = (clock(), Arc::new(Simulated::default()));
    let before = open(dir.path(), &clock, &machines).await;
    let network = before.network().await;
    let params = [("VpcId", network.vpc.as_str()), ("VSwitchId", network.vswitch.as_str())];
    let made = before.vpc("CreateNatGateway", &params).await.unwrap();
    let (gateway, table) = (text(&made, "/NatGatewayId"), text(&made, "/SnatTableIds/SnatTableId/0"));
    let eip = before.vpc("AllocateEipAddress", &[]).await.unwrap();
    sleep(500).await;
    let bind = [("AllocationId", &*text(&eip, "/AllocationId")), ("InstanceId", &gateway), ("InstanceType", "Nat")];
    before.vpc("AssociateEipAddress", &bind).await.unwrap();
    sleep(500).await;
    let entry = [("SnatTableId", &*table), ("SourceVSwitchId", &network.vswitch), ("SnatIp", &text(&eip, "/EipAddress"))];
    before.vpc("CreateSnatEntry", &entry).await.unwrap();
    let spot = before.run(&network, &[("SpotStrategy", "SpotAsPriceGo")]).await.unwrap().remove(0);
    sleep(3000).await;
    before.vpc("DeleteNatGateway", &[("NatGatewayId", &gateway), ("Force", "true")]).await.unwrap();
    drop(before);

    // Whoever is away for hours finds the gateway gone and every hour billed at its own price.
    let away = open(dir.path(), &clock, &machines).await;
    let kinds = |caller: &Caller| caller.cloud.resources().iter().map(|row| row.kind).collect::<Vec<_>>();
    assert!(kinds(&away).contains(&"nat_gateway") && kinds(&away).contains(&"snat_entry"));
    drop(away);
    sleep(6 * 3_600_000).await;
    let after = open(dir.path(), &clock, &machines).await;
    assert!(!kinds(&after).contains(&"nat_gateway") && !kinds(&after).contains(&"snat_entry"));
    let shown = after.vpc("DescribeVSwitchAttributes", &[("VSwitchId", &network.vswitch)]).await.unwrap();
    assert_eq!(shown["AvailableIpAddressCount"], 251);
    let history =
        [("InstanceType", crate::caller::TYPE), ("NetworkType", "vpc"), ("ZoneId", "cn-hangzhou-h"), ("StartTime", "2026-01-02T03:00:00Z")];
    let prices = after.ecs("DescribeSpotPriceHistory", &history).await.unwrap();
    let mut prices: Vec<String> =
        prices["SpotPrices"]["SpotPriceType"].as_array().unwrap().iter().map(|row| row["SpotPrice"].to_string()).collect();
    prices.dedup();
    let mut bills: Vec<_> = after.cloud.bills().into_iter().filter(|bill| bill.resource == spot && bill.part == "instanceType").collect();
    bills.sort_by_key(|bill| bill.from);
    assert_eq!(bills.iter().map(|bill| bill.hourly.normalize().to_string()).collect::<Vec<_>>(), prices);
    // One line follows on another without a gap.
    assert!(bills.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
}
