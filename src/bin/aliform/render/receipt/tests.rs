//! What receipts look like.

use insta::assert_snapshot;

use super::*;

fn sample() -> Receipt {
    let total = |amount: &str| Total { sums: vec![amount.parse().unwrap()], ..Total::default() };
    Receipt {
        stack: "run-train".to_owned(),
        job: "train".to_owned(),
        command: "train.py".to_owned(),
        result: Result::Succeeded,
        exit_code: Some(0),
        ended_before: None,
        failed: Vec::new(),
        region: "cn-hangzhou".to_owned(),
        product: "ecs",
        workers: 1,
        zone: Some("cn-hangzhou-b".to_owned()),
        instance_type: Some("ecs.e-c1m2.large".to_owned()),
        cluster: None,
        function: None,
        machines: 1,
        seconds: Some(3725),
        earlier: None,
        milliseconds: None,
        billed: "by the second".to_owned(),
        least: None,
        elsewhere: None,
        runs: Vec::new(),
        hourly: total("0.267 CNY"),
        cost: total("0.276271 CNY"),
        outputs: Some("outputs/train".to_owned()),
        missing: Vec::new(),
        fetch: None,
        log: None,
        left: Vec::new(),
        left_hourly: Total::default(),
        ends_at: None,
        release: None,
    }
}

#[test]
fn a_receipt_says_where_how_long_and_how_the_cost_is_known() {
    assert_snapshot!(receipt(&sample(), &Style::plain(80)), @r"
    Job `train` is done: exit code 0.
      ran      train.py
      where    ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou
      machine  lived 1h 2m 5s
      cost     about 0.2763 CNY: 0.2670 CNY an hour for 1h 2m 5s, billed by the second
      outputs  outputs/train
      left     nothing: no resource of it is in the state any more
    ");
}

#[test]
fn what_a_function_ran_says_what_it_had() {
    let spec = serde_json::json!({ "cpu": "0.5", "memory": 1536 });
    let ran = Receipt { zone: None, instance_type: None, function: function(&spec), milliseconds: Some(3_725_040), ..sample() };
    let text = receipt(&ran, &Style::plain(80));
    assert!(text.contains("  where    function of 0.5 vCPU, 1.5 GiB in cn-hangzhou\n  took     1h 2m 5.04s\n"), "{text}");
    assert!(text.contains("an hour for 1h 2m 5.04s and the call itself, billed"), "{text}");
    assert_eq!((exact_words(350), exact_words(60_000)), ("0.35s".to_owned(), "1m".to_owned()));
}

#[test]
fn what_is_kept_says_its_price_and_the_way_out() {
    let kept = Receipt {
        result: Result::Failed,
        exit_code: Some(3),
        outputs: None,
        left: vec![Left { address: Address::new(Kind::Instance, "train"), id: Some("i-1".to_owned()) }],
        left_hourly: sample().hourly,
        ends_at: Some("2026-11-21T12:00Z".to_owned()),
        release: Some("aliform run --release run-train".to_owned()),
        ..sample()
    };
    assert_snapshot!(receipt(&kept, &Style::plain(80)), @r"
    Job `train` failed: exit code 3.
      ran      train.py
      where    ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou
      machine  lived 1h 2m 5s so far
      cost     about 0.2763 CNY: 0.2670 CNY an hour for 1h 2m 5s, billed by the second
      left     instance.train
               0.2670 CNY an hour until it is released
               the cloud ends the machine itself at 2026-11-21T12:00Z, about
               release it with: aliform run --release run-train
    ");
}

#[test]
fn a_training_job_says_how_many_workers_it_had() {
    let trained = Receipt { product: "pai", workers: 2, zone: None, ..sample() };
    let shown = receipt(&trained, &Style::plain(80));
    assert!(shown.contains("where    2 x ecs.e-c1m2.large on PAI in cn-hangzhou\n"), "{shown}");
}

#[test]
fn what_ended_before_and_what_stood_before_are_said() {
    let cost = sample().hourly;
    let earlier = Some(Earlier { machines: 1, seconds: 12, cost });
    let ran = Receipt { ended_before: Some("2026-11-21T12:00:00Z".to_owned()), earlier: earlier.clone(), ..sample() };
    let text = receipt(&ran, &Style::plain(80));
    assert!(text.starts_with("Job `train` had ended before, at 2026-11-21T12:00:00Z, with exit code 0; this command ran nothing.\n"));
    assert!(!text.contains("of what stood there before"), "{text}");
    let text = receipt(&Receipt { machines: 2, earlier, ..sample() }, &Style::plain(80));
    assert!(text.contains("           of it 0.2670 CNY for 12s of what stood there before\n"), "{text}");
}

#[test]
fn what_never_had_a_machine_cost_nothing() {
    let never = Receipt { result: Result::Interrupted, exit_code: None, seconds: None, ..sample() };
    assert!(receipt(&never, &Style::plain(80)).contains("cost     nothing: no machine was started"));
    let in_cluster = Receipt { cluster: Some("c1".to_owned()), ..sample() };
    let text = receipt(&in_cluster, &Style::plain(80));
    assert!(text.contains("where    cluster c1 on ecs.e-c1m2.large in cn-hangzhou-b") && text.contains("cluster  lived"), "{text}");
    let text = receipt(&Receipt { zone: None, ..in_cluster }, &Style::plain(80));
    assert!(text.contains("cluster c1 in cn-hangzhou, which was there before") && text.contains("nothing besides"), "{text}");
    assert_eq!((words(0), words(7260)), ("0s".to_owned(), "2h 1m".to_owned()));
}
