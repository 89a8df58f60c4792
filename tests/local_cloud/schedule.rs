//! Commands that run later: at their times, at boots; commands that are stored; user data and keys at the first boot.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, Latency};
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::model::clock::RuntimeClock;
use serde_json::Value as Json;

use crate::caller::{Caller, START, code, sleep, text};

/// Machines that remember what ran on them.
fn caller() -> (Caller, Arc<Mutex<Vec<String>>>) {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let seen = ran.clone();
    let machines = Simulated::with(move |_, command| {
        let script = String::from_utf8(command.script.clone()).unwrap();
        seen.lock().unwrap().push(script.clone());
        Behaviour { takes: Duration::from_millis(200), output: script.into_bytes(), exit_code: 0 }
    });
    (Caller::with(Config::default(), machines), ran)
}

async fn run(caller: &Caller, instance: &str, script: &str, more: &[(&str, &str)]) -> String {
    let params = [("Type", "RunShellScript"), ("CommandContent", script), ("InstanceId.1", instance)];
    text(&caller.ecs("RunCommand", &[&params, more].concat()).await.unwrap(), "/InvokeId")
}

async fn results(caller: &Caller, invocation: &str, more: &[(&str, &str)]) -> Vec<Json> {
    let params = [&[("InvokeId", invocation), ("ContentEncoding", "PlainText")], more].concat();
    let answer = caller.ecs("DescribeInvocationResults", &params).await.unwrap();
    answer["Invocation"]["InvocationResults"]["InvocationResult"].as_array().unwrap().clone()
}

async fn state(caller: &Caller, invocation: &str) -> (String, u64) {
    let row = results(caller, invocation, &[]).await.remove(0);
    (text(&row, "/InvocationStatus"), row["Repeats"].as_u64().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_rate_runs_after_each_interval_until_it_is_stopped() {
    let (caller, ran) = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let invocation = run(&caller, &id, "tick", &[("Frequency", "rate(5m)"), ("RepeatMode", "Period")]).await;
    assert_eq!(state(&caller, &invocation).await, ("Scheduled".to_owned(), 0));
    sleep(299_000).await;
    assert!(ran.lock().unwrap().is_empty());
    sleep(1100).await;
    assert_eq!(state(&caller, &invocation).await, ("Running".to_owned(), 1));
    sleep(1000).await;
    assert_eq!(state(&caller, &invocation).await, ("Scheduled".to_owned(), 1));
    sleep(600_000).await;
    assert_eq!((state(&caller, &invocation).await, ran.lock().unwrap().len()), (("Scheduled".to_owned(), 3), 3));
    let history = results(&caller, &invocation, &[("IncludeHistory", "true")]).await;
    assert_eq!(history.iter().map(|row| text(row, "/InvocationStatus")).collect::<Vec<_>>(), ["Success"; 3]);
    let listed = caller.ecs("DescribeInvocations", &[("Timed", "true")]).await.unwrap();
    let row = &listed["Invocations"]["Invocation"][0];
    assert_eq!([text(row, "/InvocationStatus"), text(row, "/InvokeStatus"), text(row, "/Frequency")], ["Scheduled", "Running", "rate(5m)"]);
    // An instance that is off lets its time pass.
    caller.ecs("StopInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(300_000).await;
    assert_eq!(state(&caller, &invocation).await, ("Scheduled".to_owned(), 3));
    caller.ecs("StartInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(300_000).await;
    assert_eq!(state(&caller, &invocation).await, ("Scheduled".to_owned(), 4));
    caller.ecs("StopInvocation", &[("InvokeId", &invocation)]).await.unwrap();
    assert_eq!(state(&caller, &invocation).await.0, "Cancelled");
    sleep(3_600_000).await;
    assert_eq!(ran.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_moment_comes_once_and_an_expression_again() {
    let (caller, ran) = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let once = run(&caller, &id, "once", &[("Timed", "true"), ("Frequency", "at(2026-01-02 12:00:00 GMT+8:00)")]).await;
    let daily = run(&caller, &id, "daily", &[("Frequency", "0 0 6 * * ? UTC")]).await;
    sleep(3 * 3600 * 1000).await;
    assert_eq!(state(&caller, &once).await, ("Success".to_owned(), 1));
    assert_eq!(state(&caller, &daily).await, ("Scheduled".to_owned(), 1));
    sleep(48 * 3600 * 1000).await;
    assert_eq!(state(&caller, &once).await, ("Success".to_owned(), 1));
    assert_eq!(state(&caller, &daily).await, ("Scheduled".to_owned(), 3));
    assert_eq!(ran.lock().unwrap().len(), 4);
    // The instance goes, and with it what was planned.
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    sleep(1000).await;
    let row = results(&caller, &daily, &[]).await.remove(0);
    assert_eq!([text(&row, "/InvocationStatus"), text(&row, "/ErrorCode")], ["Aborted", "InstanceReleased"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_boot_runs_then_once_or_every_time() {
    let (caller, ran) = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let next = run(&caller, &id, "next", &[("RepeatMode", "NextRebootOnly")]).await;
    let every = run(&caller, &id, "every", &[("RepeatMode", "EveryReboot")]).await;
    sleep(10_000).await;
    assert_eq!((state(&caller, &next).await.0, state(&caller, &every).await.0), ("Scheduled".to_owned(), "Scheduled".to_owned()));
    for boots in 1..=2 {
        caller.ecs("RebootInstance", &[("InstanceId", &id)]).await.unwrap();
        sleep(10_000).await;
        assert_eq!(state(&caller, &next).await, ("Success".to_owned(), 1));
        assert_eq!(state(&caller, &every).await, ("Scheduled".to_owned(), boots));
    }
    let mut all = ran.lock().unwrap().clone();
    all.sort();
    assert_eq!(all, ["every", "every", "next"]);
}

#[tokio::test(start_paused = true)]
async fn without_latency_a_reboot_is_one_all_the_same() {
    let config = Config { latency: Latency { scale: 0.0, ..Latency::default() }, ..Config::default() };
    let caller = Caller::new(config);
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let every = run(&caller, &id, "every", &[("RepeatMode", "EveryReboot")]).await;
    for boots in 1..=2 {
        caller.ecs("RebootInstance", &[("InstanceId", &id)]).await.unwrap();
        sleep(1000).await;
        assert_eq!(state(&caller, &every).await, ("Scheduled".to_owned(), boots));
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_outlives_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let machines = Arc::new(Simulated::default());
    let open = async || {
        // The tasks of a cloud that was dropped need a turn to let go of its store.
        sleep(1).await;
        let cloud = LocalCloud::open(dir.path(), Config::default(), clock.clone(), machines.clone()).unwrap();
        cloud.wake().await;
        Caller::of(cloud, clock.clone(), machines.clone())
    };
    let before = open().await;
    let network = before.network().await;
    let id = before.running(&network).await;
    let planned = run(&before, &id, "tick", &[("Frequency", "rate(10m)")]).await;
    sleep(11 * 60 * 1000).await;
    assert_eq!(state(&before, &planned).await, ("Scheduled".to_owned(), 1));
    drop(before);
    // Two times pass while nobody is there.
    sleep(21 * 60 * 1000).await;
    let after = open().await;
    assert_eq!(state(&after, &planned).await, ("Scheduled".to_owned(), 1));
    sleep(9 * 60 * 1000).await;
    assert_eq!(state(&after, &planned).await, ("Scheduled".to_owned(), 2));
    assert_eq!(results(&after, &planned, &[("IncludeHistory", "true")]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_none_is_refused() {
    let (caller, _) = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let params = [("Type", "RunShellScript"), ("CommandContent", "x"), ("InstanceId.1", id.as_str())];
    for (more, status, expected) in [
        (vec![("RepeatMode", "Period")], 400, "MissingParam.Frequency"),
        (vec![("Frequency", "rate(10s)")], 400, "InvalidParam.Frequency"),
        (vec![("Frequency", "rate(60s)"), ("Timeout", "60")], 400, "InvalidParam.Frequency"),
        (vec![("Frequency", "at(2026-01-01 00:00:00)")], 400, "InvalidParam.Frequency"),
        (vec![("Frequency", "sometimes")], 400, "InvalidParam.Frequency"),
        (vec![("RepeatMode", "Never")], 404, "InvalidRepeatMode.NotFound"),
        (vec![("TerminationMode", "None")], 404, "InvalidTerminationMode.NotFound"),
        (vec![("Launcher", "python3")], 403, "Operation.Forbidden"),
        (vec![("Parameters", r#"{"a":"1"}"#)], 400, "Parameter.Disabled"),
        (vec![("EnableParameter", "true"), ("Parameters", r#"{"a":"1","A":"2"}"#)], 403, "ParameterKey.Duplicate"),
        (vec![("Type", "RunPerl")], 403, "InvalidCmdType.NotFound"),
        (vec![("Type", "RunBatScript")], 400, "InvalidInstance.NotMatch"),
    ] {
        let mut all = params.to_vec();
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        all.extend_from_slice(&more);
        let refusal = caller.ecs("RunCommand", &all).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (status, expected), "{more:?}");
    }
    assert_eq!(caller.ecs("DescribeInvocations", &[]).await.unwrap()["TotalCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_stored_command_is_invoked_with_its_parameters() {
    let (caller, ran) = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let create = [
        ("Name", "greet"),
        ("Type", "RunShellScript"),
        ("CommandContent", "ZWNobyB7e3dob319IHt7QUNTOjpJbnN0YW5jZUlkfX0="),
        ("EnableParameter", "true"),
    ];
    let command = text(&caller.ecs("CreateCommand", &create).await.unwrap(), "/CommandId");
    let listed = caller.ecs("DescribeCommands", &[("Name", "gr*"), ("ContentEncoding", "PlainText")]).await.unwrap();
    let row = &listed["Commands"]["Command"][0];
    assert_eq!([text(row, "/CommandContent"), text(row, "/ParameterNames/ParameterName/0")], ["echo {{who}} {{ACS::InstanceId}}", "who"]);
    let invoke = async |parameters: &str| {
        caller.ecs("InvokeCommand", &[("CommandId", &command), ("InstanceId.1", &id), ("Parameters", parameters)]).await
    };
    assert_eq!(code(invoke("{}").await), "Parameter.MissingValue");
    assert_eq!(code(invoke(r#"{"who":"me","what":"x"}"#).await), "Parameter.NotMatched");
    let invocation = text(&invoke(r#"{"who":"me"}"#).await.unwrap(), "/InvokeId");
    assert_eq!(code(caller.ecs("DeleteCommand", &[("CommandId", &command)]).await), "Operation.Forbidden");
    sleep(1000).await;
    assert_eq!(ran.lock().unwrap().clone(), [format!("echo me {id}")]);
    assert_eq!(state(&caller, &invocation).await, ("Success".to_owned(), 1));
    assert_eq!(caller.ecs("DescribeCommands", &[]).await.unwrap()["Commands"]["Command"][0]["InvokeTimes"], 1);
    caller.ecs("DeleteCommand", &[("CommandId", &command)]).await.unwrap();
    assert_eq!(code(invoke(r#"{"who":"me"}"#).await), "InvalidCmdId.NotFound");
    // Only what is to be kept is stored.
    run(&caller, &id, "a", &[]).await;
    run(&caller, &id, "b", &[("KeepCommand", "true"), ("Name", "kept")]).await;
    let listed = caller.ecs("DescribeCommands", &[]).await.unwrap();
    assert_eq!((&listed["TotalCount"], text(&listed, "/Commands/Command/0/Name")), (&1.into(), "kept".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn user_data_runs_at_the_first_boot_only() {
    let (caller, ran) = caller();
    let network = caller.network().await;
    let id = caller.run(&network, &[("UserData", "IyEvYmluL3NoCmVjaG8gaGkK")]).await.unwrap().remove(0);
    let plain = caller.run(&network, &[("UserData", "aGVsbG8=")]).await.unwrap().remove(0);
    sleep(5000).await;
    let count = || ran.lock().unwrap().iter().filter(|script| script.contains("/scripts/part-001")).count();
    assert_eq!(count(), 1);
    caller.ecs("RebootInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(5000).await;
    assert_eq!(count(), 1);
    for (instance, data) in [(&id, "IyEvYmluL3NoCmVjaG8gaGkK"), (&plain, "aGVsbG8=")] {
        assert_eq!(text(&caller.ecs("DescribeUserData", &[("InstanceId", instance)]).await.unwrap(), "/UserData"), data);
    }
    assert_eq!(caller.machines.file(&plain, "/var/lib/cloud/instance/scripts/part-001"), None);
    // `#cloud-config`
    assert_eq!(caller.run(&network, &[("UserData", "I2Nsb3VkLWNvbmZpZwo=")]).await.unwrap_err().code, "InvalidUserData.NotSupported");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_on_the_machine_after_its_next_boot() {
    let (caller, _) = caller();
    let network = caller.network().await;
    let made = caller.ecs("CreateKeyPair", &[("KeyPairName", "first")]).await.unwrap();
    assert!(text(&made, "/PrivateKeyBody").starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(code(caller.ecs("CreateKeyPair", &[("KeyPairName", "first")]).await), "KeyPair.AlreadyExist");
    let shown = caller.ecs("DescribeKeyPairs", &[("KeyPairName", "f*"), ("IncludePublicKey", "true")]).await.unwrap();
    let first = text(&shown, "/KeyPairs/KeyPair/0/PublicKey");
    assert!(first.starts_with("ssh-rsa AAAA"), "{first}");
    assert!(!shown.to_string().contains("PRIVATE"));
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me";
    caller.ecs("ImportKeyPair", &[("KeyPairName", "second"), ("PublicKeyBody", other)]).await.unwrap();
    assert_eq!(
        code(caller.ecs("ImportKeyPair", &[("KeyPairName", "third"), ("PublicKeyBody", "ssh-rsa x")]).await),
        "InvalidPublicKeyBody.Malformed"
    );
    assert_eq!(code(caller.ecs("ImportKeyPair", &[("KeyPairName", "1"), ("PublicKeyBody", other)]).await), "InvalidKeyPairName.Malformed");
    assert_eq!(caller.run(&network, &[("KeyPairName", "none")]).await.unwrap_err().code, "InvalidKeyPairName.NotFound");
    let id = caller.run(&network, &[("KeyPairName", "first")]).await.unwrap().remove(0);
    sleep(3000).await;
    let on_machine = || String::from_utf8(caller.machines.file(&id, "/root/.ssh/authorized_keys").unwrap()).unwrap();
    assert_eq!(on_machine(), format!("{first}\n"));
    let ids = format!("[\"{id}\",\"i-none\"]");
    let attached = caller.ecs("AttachKeyPair", &[("KeyPairName", "second"), ("InstanceIds", &ids)]).await.unwrap();
    assert_eq!([text(&attached, "/TotalCount"), text(&attached, "/FailCount")], ["2", "1"]);
    assert_eq!(on_machine(), format!("{first}\n"));
    caller.ecs("RebootInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(3000).await;
    assert_eq!(on_machine(), format!("{other}\n"));
    assert_eq!(
        code(caller.ecs("DeleteKeyPairs", &[("KeyPairNames", "[\"first\",\"second\"]")]).await),
        "InvalidParameter.KeypairAlreadyAttachedInstance"
    );
    assert_eq!(caller.cloud.resources().iter().filter(|listed| listed.kind == "key_pair").count(), 2);
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    caller.ecs("DeleteKeyPairs", &[("KeyPairNames", "[\"first\",\"second\",\"none\"]")]).await.unwrap();
    assert_eq!(caller.ecs("DescribeKeyPairs", &[]).await.unwrap()["TotalCount"], 0);
}
