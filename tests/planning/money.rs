//! What it costs, and whether the budget holds.

use aliform::model::cost::Charge;
use aliform::model::money::{Currency, Money};

use crate::stage::{Stage, change, web};

const ONE: &str = "port: 8080\ninstance: { type: ecs.g7.large }";

#[test]
fn a_budget_that_does_not_hold_is_said_with_what_it_would_be() {
    let budget = |text: &str| {
        let plan = Stage::new(&(web(&format!("{ONE}\nreplicas: 2")) + text)).plan();
        let exceeded = plan.cost.exceeded.iter();
        exceeded.map(|exceeded| format!("{} {} of {}", exceeded.period, exceeded.would_be, exceeded.limit)).collect::<Vec<_>>()
    };
    assert_eq!(budget("budget: { hourly: 1 CNY, monthly: 730 CNY }\n"), Vec::<String>::new());
    assert_eq!(budget("budget: { hourly: 0.99 CNY, monthly: 1500 CNY }\n"), ["hourly 1.00 CNY of 0.99 CNY"]);
    assert_eq!(budget("budget: { monthly: 729 CNY }\n"), ["monthly 730.00 CNY of 729 CNY"]);
}

#[test]
fn an_unknown_price_is_said_and_makes_the_budget_uncertain() {
    let stage = Stage::new(&(web("port: 8080\ninstance: { type: ecs.r7.large }") + "budget: { hourly: 1 CNY }\n"));
    let plan = stage.plan();
    assert!(plan.cost.after.unknown && plan.cost.after.sums.is_empty());
    assert!(matches!(change(&plan, "instance.web-1").cost_after.lines[0].charge, Charge::Unknown { .. }));
    assert!(plan.findings.iter().any(|finding| finding.id == "budget-uncertain"));
}

#[test]
fn a_budget_in_another_currency_is_held_against_prices_at_a_rate_that_is_said() {
    let mut stage = Stage::new(&(web(ONE) + "budget: { hourly: 3.54 CNY }\n"));
    stage.lookup.currency = Currency::Usd;
    let plan = stage.plan();
    let finding = plan.findings.iter().find(|finding| finding.id == "budget-converted").unwrap();
    let said =
        "the budget is in CNY, and prices are in USD: held against it at 7.10 CNY a dollar, that is 3.5500 CNY an hour and 0.0000 CNY once";
    assert_eq!(finding.message, said);
    assert_eq!(plan.cost.exceeded[0].would_be.rounded(2).to_string(), "3.55 CNY");
    stage.lookup.currency = Currency::Cny;
    assert!(stage.plan().findings.iter().all(|finding| finding.id != "budget-converted"));
}

#[test]
fn what_stays_goes_and_comes_is_counted_before_and_after() {
    let mut stage = Stage::new(&web(&format!("{ONE}\nreplicas: 2")));
    stage.applied();
    stage.manifest(&web("port: 8080\ninstance: { type: ecs.c7.large }"));
    let plan = stage.plan();
    let sum = |total: &aliform::model::cost::Total| total.sums[0].to_string();
    assert_eq!((sum(&plan.cost.before), sum(&plan.cost.after)), ("1.00 CNY".to_owned(), "0.25 CNY".to_owned()));
    let kept = change(&plan, "instance.web-1");
    assert_eq!((sum(&kept.cost_before.hourly()), sum(&kept.cost_after.hourly())), ("0.50 CNY".to_owned(), "0.25 CNY".to_owned()));
    let gone = change(&plan, "instance.web-2");
    assert_eq!(sum(&gone.cost_before.hourly()), "0.50 CNY");
    assert!(gone.cost_after.lines.is_empty());
}

#[test]
fn traffic_is_said_where_there_is_a_way_out() {
    let items = |lines: &str| {
        let plan = Stage::new(&web(lines)).plan();
        change(&plan, "instance.web-1").cost_after.lines.iter().map(|line| line.item.clone()).collect::<Vec<_>>()
    };
    assert_eq!(items("port: 8080\ninstance: { type: ecs.g7.large }\npublic: {}"), ["ecs.g7.large", "traffic to the internet"]);
    assert_eq!(items(ONE), ["ecs.g7.large"]);
}

#[test]
fn an_account_without_money_is_told_before_anything_is_created() {
    let mut stage = Stage::new(&web(ONE));
    let found = |stage: &Stage| {
        let findings = stage.plan().findings.into_iter().filter(|finding| finding.id.starts_with("balance"));
        findings.map(|finding| format!("{}: {}", finding.id, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(found(&stage), Vec::<String>::new());
    stage.lookup.balance = Some(Money::cny("99.99".parse().unwrap()));
    let low = "balance-low: the account has 99.99 CNY left, and the cloud creates what is paid by use only from 100 CNY on";
    assert_eq!(found(&stage), [low]);
    stage.lookup.balance = None;
    let unknown = "balance-unknown: whether the account has money enough is not known: ";
    assert!(found(&stage)[0].starts_with(unknown), "{:?}", found(&stage));

    // What is there already needs no more than it has.
    stage.applied();
    assert_eq!(found(&stage), Vec::<String>::new());
}
