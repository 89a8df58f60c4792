//! The market of spot instances: one curve for those who look back, ask, bid and pay.

use aliform::local_cloud::config::Config;
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::Value as Json;

use crate::caller::{Caller, TYPE, code, sleep, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

/// Rows of the history in a zone.
async fn history(caller: &Caller, more: &[(&str, &str)]) -> Vec<Json> {
    let params = [("InstanceType", TYPE), ("NetworkType", "vpc"), ("ZoneId", "cn-hangzhou-h")];
    let answer = caller.ecs("DescribeSpotPriceHistory", &[&params, more].concat()).await.unwrap();
    answer["SpotPrices"]["SpotPriceType"].as_array().unwrap().clone()
}

fn price(row: &Json) -> Decimal {
    Decimal::from_f64(row["SpotPrice"].as_f64().unwrap()).unwrap()
}

/// What a spot instance costs in the zone now.
async fn now(caller: &Caller) -> Decimal {
    price(history(caller, &[]).await.last().unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_looks_back_sees_each_hour_once() {
    let caller = caller();
    let usual = history(&caller, &[]).await;
    let times: Vec<String> = usual.iter().map(|row| text(row, "/Timestamp")).collect();
    assert_eq!(times, ["2026-01-02T01:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z"]);
    let list = usual[0]["OriginPrice"].as_f64().unwrap();
    assert!(usual.iter().all(|row| (0.1 * list - 0.001..=list).contains(&row["SpotPrice"].as_f64().unwrap())));
    let day = history(&caller, &[("StartTime", "2026-01-01T02:30:00Z"), ("EndTime", "2026-01-02T02:30:00Z")]).await;
    assert_eq!(day.len(), 24);
    assert_eq!(day.last().unwrap(), &usual[1]);
    // What was asked for a later time ends now; a month is the most.
    assert_eq!(history(&caller, &[("EndTime", "2026-01-05T00:00:00Z")]).await, usual);
    let refused = async |more: &[(&str, &str)]| {
        let params = [("InstanceType", TYPE), ("NetworkType", "vpc")];
        code(caller.ecs("DescribeSpotPriceHistory", &[&params, more].concat()).await)
    };
    assert_eq!(refused(&[("StartTime", "2025-11-01T00:00:00Z")]).await, "InvalidParameter");
    assert_eq!(refused(&[("StartTime", "2026-01-02T03:30:00Z")]).await, "InvalidParameter");
    assert_eq!(refused(&[("ZoneId", "cn-beijing-a")]).await, "InvalidZoneId.NotFound");
    assert_eq!(refused(&[("InstanceType", "ecs.none")]).await, "InvalidInstanceType.ValueNotSupported");

    // Pages over all zones fit together.
    let page = async |offset: &str| {
        let params = [("InstanceType", TYPE), ("NetworkType", "vpc"), ("StartTime", "2025-12-05T00:00:00Z"), ("Offset", offset)];
        caller.ecs("DescribeSpotPriceHistory", &params).await.unwrap()
    };
    let (mut offset, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let answer = page(&offset).await;
        for row in answer["SpotPrices"]["SpotPriceType"].as_array().unwrap() {
            assert!(seen.insert((text(row, "/ZoneId"), text(row, "/Timestamp"))), "twice: {row}");
        }
        offset = answer["NextOffset"].to_string();
        if offset == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 8 * (28 * 24 + 4));
}

#[tokio::test(start_paused = true)]
async fn who_asks_bids_and_pays_sees_the_same_price() {
    let caller = caller();
    let network = caller.network().await;
    let market = now(&caller).await;
    let params = [("InstanceType", TYPE), ("SpotStrategy", "SpotAsPriceGo"), ("ZoneId", "cn-hangzhou-h")];
    let asked = caller.ecs("DescribePrice", &params).await.unwrap();
    let rows = asked["PriceInfo"]["Price"]["DetailInfos"]["DetailInfo"].as_array().unwrap();
    let row = rows.iter().find(|row| row["Resource"] == "instanceType").unwrap();
    assert_eq!(Decimal::from_f64(row["TradePrice"].as_f64().unwrap()), Some(market));
    assert!(row["OriginalPrice"].as_f64() > row["TradePrice"].as_f64());
    let month = [params.as_slice(), &[("PriceUnit", "Month")]].concat();
    assert_eq!(code(caller.ecs("DescribePrice", &month).await), "InvalidParameter");

    let strategy = ("SpotStrategy", "SpotWithPriceLimit");
    let bid = async |limit: &str| code(caller.run(&network, &[strategy, ("SpotPriceLimit", limit)]).await.map(Json::from));
    let low = (market - Decimal::new(1, 3)).to_string();
    assert_eq!(bid(&low).await, "OperationDenied.SpotPriceLowerThanPublicPrice");
    assert_eq!(bid("0.12345").await, "InvalidSpotPriceLimit");
    assert_eq!(bid("").await, "InvalidSpotPriceLimit");
    let id = caller.run(&network, &[("SpotStrategy", "SpotAsPriceGo")]).await.unwrap().remove(0);
    let line = |open: bool| {
        let bills = caller.cloud.bills();
        let mut lines = bills.into_iter().filter(|bill| bill.resource == id && bill.part == "instanceType");
        lines.find(|bill| bill.to.is_none() == open).map(|bill| bill.hourly)
    };
    assert_eq!(line(true), Some(market));
    // Whenever the price changes the bill does.
    let mut changed = 0;
    for _ in 0..12 {
        let before = now(&caller).await;
        sleep(3_600_000).await;
        caller.instance(&id).await.unwrap();
        let after = now(&caller).await;
        assert_eq!(line(true), Some(after));
        changed += usize::from(before != after);
    }
    assert!(changed > 3, "it changed {changed} times in half a day");
    assert_eq!(line(false), Some(market));
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_bid_is_too_low_is_taken_back() {
    let caller = caller();
    let network = caller.network().await;
    let market = now(&caller).await;
    let bid = [("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", &market.to_string()), ("SpotDuration", "0")];
    let id = caller.run(&network, &bid).await.unwrap().remove(0);
    let (mut hours, mut warned) = (0, false);
    while let Some(shown) = caller.instance(&id).await {
        assert!(hours < 200, "it is never taken back");
        assert!(!warned, "it was warned an hour ago");
        warned = shown["OperationLocks"]["LockReason"][0]["LockReason"] == "Recycling";
        assert_eq!(warned, now(&caller).await > market);
        sleep(3_600_000).await;
        hours += 1;
    }
    assert!(warned, "it went without a warning");
    // It went in the hour before, because the price was above the bid then.
    let rows = history(&caller, &[]).await;
    assert!(rows.iter().any(|row| price(row) > market), "{rows:?} never above {market}");
}

#[tokio::test(start_paused = true)]
async fn an_outbid_instance_that_stops_is_paid_at_the_price_of_its_return_and_outbid_again() {
    let caller = caller();
    let network = caller.network().await;
    let market = now(&caller).await;
    let limit = market.to_string();
    let bid = [
        ("SpotStrategy", "SpotWithPriceLimit"),
        ("SpotPriceLimit", limit.as_str()),
        ("SpotDuration", "0"),
        ("SpotInterruptionBehavior", "Stop"),
    ];
    let id = caller.run(&network, &bid).await.unwrap().remove(0);
    let line = || {
        let bills = caller.cloud.bills();
        bills.into_iter().find(|bill| bill.resource == id && bill.part == "instanceType" && bill.to.is_none()).map(|bill| bill.hourly)
    };
    sleep(60_000).await;
    for _ in 0..2 {
        let mut hours = 0;
        // A reboot does not save it.
        caller.ecs("RebootInstance", &[("InstanceId", &id)]).await.unwrap();
        while caller.status(&id).await.as_deref() != Some("Stopped") {
            assert!(hours < 200, "it is never taken back");
            sleep(3_600_000).await;
            hours += 1;
        }
        assert_eq!(line(), None);
        while now(&caller).await > market {
            sleep(3_600_000).await;
        }
        caller.ecs("StartInstance", &[("InstanceId", &id)]).await.unwrap();
        assert_eq!(line(), Some(now(&caller).await));
        sleep(60_000).await;
        assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));
    }
}
