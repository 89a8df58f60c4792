//! Spot instances: how they are taken back. Subscriptions: paid ahead, kept, renewed or expired.

use std::time::Duration;

use aliform::local_cloud::config::{Config, ReclaimRule, SpotMarket};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::caller::{Caller, TYPE, code, sleep, text};

const SPOT: [(&str, &str); 3] = [("SpotStrategy", "SpotAsPriceGo"), ("SpotDuration", "0"), ("InternetMaxBandwidthOut", "0")];

fn rule(minutes: u64) -> ReclaimRule {
    ReclaimRule { place: Some("cn-hangzhou-h".to_owned()), instance_type: Some(TYPE.to_owned()), after: Duration::from_secs(minutes * 60) }
}

fn lock(instance: &Json) -> Option<String> {
    instance["OperationLocks"]["LockReason"].get(0).map(|lock| text(lock, "/LockReason"))
}

async fn minutes(count: u64) {
    sleep(count * 60 * 1000).await;
}

#[tokio::test(start_paused = true)]
async fn a_spot_instance_is_warned_and_five_minutes_later_gone() {
    let market = SpotMarket { reclaims: vec![rule(30)] };
    let caller = Caller::new(Config { spot: market, ..Config::default() });
    let network = caller.network().await;
    let id = caller.run(&network, &SPOT).await.unwrap().remove(0);
    let kept = caller.run(&network, &[("InternetMaxBandwidthOut", "0")]).await.unwrap().remove(0);
    let protected = [&SPOT[..1], &[("SpotDuration", "1")]].concat();
    let protected = caller.run(&network, &protected).await.unwrap().remove(0);
    minutes(29).await;
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!(
        (lock(&shown), text(&shown, "/SpotStrategy"), text(&shown, "/SpotInterruptionBehavior")),
        (None, "SpotAsPriceGo".into(), "Terminate".into())
    );
    minutes(2).await;
    assert_eq!(lock(&caller.instance(&id).await.unwrap()).as_deref(), Some("Recycling"));
    let locked = caller.ecs("DescribeInstances", &[("LockReason", "Recycling")]).await.unwrap();
    assert_eq!(locked["TotalCount"], 1);
    // Nobody asks, and it is gone all the same; others stay.
    minutes(5).await;
    assert_eq!(caller.machines.alive().len(), 2);
    assert_eq!(caller.status(&id).await, None);
    assert_eq!(lock(&caller.instance(&kept).await.unwrap()), None);
    minutes(25).await;
    // Its first hour is protected, then it is warned at once.
    assert_eq!(lock(&caller.instance(&protected).await.unwrap()).as_deref(), Some("Recycling"));
}

#[tokio::test(start_paused = true)]
async fn rules_can_be_set_later_and_a_spot_instance_can_stop_instead() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.run(&network, &[&SPOT[..], &[("SpotInterruptionBehavior", "Stop")]].concat()).await.unwrap().remove(0);
    minutes(60).await;
    caller.cloud.set_reclaims(vec![rule(10)]);
    assert_eq!(lock(&caller.instance(&id).await.unwrap()).as_deref(), Some("Recycling"));
    // Who was warned goes, whatever the rules become.
    caller.cloud.set_reclaims(Vec::new());
    minutes(6).await;
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!([text(&shown, "/Status"), text(&shown, "/StoppedMode")], ["Stopped", "StopCharging"]);
    assert!(caller.machines.alive().is_empty());
    caller.ecs("StartInstance", &[("InstanceId", &id)]).await.unwrap();
    minutes(1).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));
    assert_eq!(caller.machines.alive(), std::slice::from_ref(&id));
}

#[tokio::test(start_paused = true)]
async fn what_no_spot_instance_can_be_is_refused_and_its_limit_is_shown() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    for (more, expected) in [
        (vec![("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", "0.001")], "OperationDenied.SpotPriceLowerThanPublicPrice"),
        (vec![("SpotStrategy", "SpotWithPriceLimit")], "InvalidSpotPriceLimit"),
        (vec![("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", "1.00001")], "InvalidSpotPriceLimit"),
        (vec![("SpotStrategy", "Spot")], "InvalidSpotStrategy"),
        (vec![("SpotStrategy", "SpotAsPriceGo"), ("SpotDuration", "7")], "InvalidSpotDuration"),
        (vec![("SpotStrategy", "SpotAsPriceGo"), ("SpotInterruptionBehavior", "Freeze")], "InvalidSpotInterruptionBehavior"),
        (vec![("SpotStrategy", "SpotAsPriceGo"), ("InstanceChargeType", "PrePaid"), ("Period", "1")], "InvalidSpotPrepaid"),
    ] {
        assert_eq!(caller.run(&network, &more).await.unwrap_err().code, expected, "{more:?}");
    }
    let limited = [("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", "0.5")];
    let id = caller.run(&network, &limited).await.unwrap().remove(0);
    assert_eq!(caller.instance(&id).await.unwrap()["SpotPriceLimit"], 0.5);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_paid_at_once_and_stays_until_it_expires() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let prepaid = [("InstanceChargeType", "PrePaid"), ("Period", "1"), ("PeriodUnit", "Week")];
    for (more, expected) in [
        (("Period", "13"), "InvalidPeriod"),
        (("Period", "x"), "InvalidPeriod"),
        (("PeriodUnit", "Day"), "InvalidPeriod"),
        (("AutoReleaseTime", "2026-01-03T03:10:00Z"), "ChargeTypeViolation"),
    ] {
        let mut params = prepaid.to_vec();
        params.retain(|(name, _)| *name != more.0);
        params.push(more);
        assert_eq!(caller.run(&network, &params).await.unwrap_err().code, expected, "{more:?}");
    }
    let id = caller.run(&network, &prepaid).await.unwrap().remove(0);
    let paid = caller.cloud.spent();
    assert!(paid > Decimal::from(10), "{paid}");
    minutes(60).await;
    assert_eq!(caller.cloud.spent().round_dp(6), paid.round_dp(6));
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!([text(&shown, "/InstanceChargeType"), text(&shown, "/ExpiredTime")], ["PrePaid", "2026-01-09T16:00Z"]);
    let delete = [("InstanceId", id.as_str()), ("Force", "true"), ("TerminateSubscription", "true")];
    assert_eq!(code(caller.ecs("DeleteInstance", &delete).await), "ChargeTypeViolation");
    let change = [("InstanceId", id.as_str()), ("InstanceType", "ecs.u1-c1m2.xlarge")];
    assert_eq!(code(caller.ecs("ModifyInstanceSpec", &change).await), "ChargeTypeViolation");
    // It expires, stops and is locked; fifteen days later it is gone.
    minutes(8 * 24 * 60).await;
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!((text(&shown, "/Status"), lock(&shown)), ("Stopped".to_owned(), Some("financial".to_owned())));
    assert!(caller.machines.alive().is_empty());
    assert_eq!(code(caller.ecs("StartInstance", &[("InstanceId", &id)]).await), "InstanceExpiredOrInArrears");
    assert_eq!(code(caller.ecs("DeleteInstance", &delete[..2]).await), "ChargeTypeViolation");
    minutes(15 * 24 * 60).await;
    assert_eq!(caller.status(&id).await, None);
    assert!(!caller.cloud.resources().iter().any(|listed| matches!(listed.kind, "instance" | "disk")));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_can_renew_itself_and_be_given_up() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let prepaid =
        [("InstanceChargeType", "PrePaid"), ("Period", "1"), ("PeriodUnit", "Week"), ("AutoRenew", "true"), ("AutoRenewPeriod", "2")];
    let id = caller.run(&network, &prepaid).await.unwrap().remove(0);
    let once = caller.cloud.spent();
    let renewal = caller.ecs("DescribeInstanceAutoRenewAttribute", &[("InstanceId", &id)]).await.unwrap();
    let row = &renewal["InstanceRenewAttributes"]["InstanceRenewAttribute"][0];
    assert_eq!((text(row, "/RenewalStatus"), &row["Duration"], text(row, "/PeriodUnit")), ("AutoRenewal".into(), &2.into(), "Week".into()));
    minutes(8 * 24 * 60).await;
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!([text(&shown, "/Status"), text(&shown, "/ExpiredTime")], ["Running", "2026-01-23T16:00Z"]);
    assert_eq!(caller.cloud.spent().round_dp(4), (once * Decimal::from(3)).round_dp(4));
    let ids = format!("[\"{id}\"]");
    let change = [("InstanceIds", ids.as_str()), ("InstanceChargeType", "PostPaid"), ("IsDetailFee", "true")];
    assert_eq!(code(caller.ecs("ModifyInstanceChargeType", &[&change[..], &[("DryRun", "true")]].concat()).await), "DryRunOperation");
    let answer = caller.ecs("ModifyInstanceChargeType", &change).await.unwrap();
    let fee: f64 = text(&answer, "/FeeOfInstances/FeeOfInstance/0/Fee").parse().unwrap();
    assert!(fee > 1.0, "{fee}");
    // What was paid for the days to come is given back; from now on it is billed by the hour.
    assert!(caller.cloud.spent() < once * Decimal::from(2));
    let before = caller.cloud.spent();
    minutes(60).await;
    assert!(caller.cloud.spent() > before);
    assert_eq!(code(caller.ecs("ModifyInstanceChargeType", &change).await), "ChargeTypeViolation");
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    minutes(1).await;
    assert_eq!(caller.status(&id).await, None);
}
