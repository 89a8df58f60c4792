//! Commands and files on instances.

use std::time::Duration;

use aliform::local_cloud::config::{Config, Latency};
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::caller::{Caller, code, sleep, text};

/// Machines on which a script of `exit 3` does that, `long` takes an hour, and any other says itself.
fn caller() -> Caller {
    let machines = Simulated::with(|_, command| {
        let script = String::from_utf8(command.script.clone()).unwrap();
        let takes = Duration::from_millis(if script.contains("long") { 3_600_000 } else { 200 });
        let exit_code = if script.contains("exit 3") { 3 } else { 0 };
        let output = if script.contains("flood") { vec![b'x'; 30_000] } else { format!("{} {script}", command.interpreter).into_bytes() };
        Behaviour { takes, output, exit_code }
    });
    Caller::with(Config::default(), machines)
}

async fn run(caller: &Caller, instance: &str, script: &str, more: &[(&str, &str)]) -> String {
    let params = [("Type", "RunShellScript"), ("CommandContent", script), ("InstanceId.1", instance)];
    text(&caller.ecs("RunCommand", &[&params, more].concat()).await.unwrap(), "/InvokeId")
}

async fn result(caller: &Caller, invocation: &str) -> Json {
    let params = [("InvokeId", invocation), ("ContentEncoding", "PlainText")];
    let answer = caller.ecs("DescribeInvocationResults", &params).await.unwrap();
    answer.pointer("/Invocation/InvocationResults/InvocationResult/0").unwrap_or_else(|| panic!("{answer}")).clone()
}

#[tokio::test(start_paused = true)]
async fn a_command_is_pending_running_and_over() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.run(&network, &[]).await.unwrap().remove(0);
    // The instance still starts: the command waits for its agent.
    let invocation = run(&caller, &id, "#!/bin/bash\necho hi", &[]).await;
    assert!(invocation.starts_with("t-"), "{invocation}");
    assert_eq!(text(&result(&caller, &invocation).await, "/InvocationStatus"), "Pending");
    let agent = async || {
        let answer = caller.ecs("DescribeCloudAssistantStatus", &[("InstanceId.1", &id)]).await.unwrap();
        text(&answer, "/InstanceCloudAssistantStatusSet/InstanceCloudAssistantStatus/0/CloudAssistantStatus")
    };
    assert_eq!(agent().await, "false");
    sleep(1310).await;
    assert_eq!(agent().await, "true");
    let running = result(&caller, &invocation).await;
    assert_eq!([text(&running, "/InvocationStatus"), text(&running, "/InvokeRecordStatus")], ["Running", "Running"]);
    // What it says is seen while it runs.
    assert_eq!(text(&running, "/Output"), "/bin/bash #!/bin/bash\necho hi");
    sleep(300).await;
    let over = result(&caller, &invocation).await;
    assert_eq!(
        [text(&over, "/InvocationStatus"), text(&over, "/InvokeRecordStatus"), text(&over, "/ErrorCode")],
        ["Success", "Finished", ""]
    );
    assert_eq!((&over["ExitCode"], &over["Repeats"]), (&0.into(), &1.into()));
    assert!(!text(&over, "/FinishedTime").is_empty());
    let encoded = caller.ecs("DescribeInvocationResults", &[("InvokeId", &invocation)]).await.unwrap();
    let output = text(&encoded, "/Invocation/InvocationResults/InvocationResult/0/Output");
    assert_eq!(STANDARD.decode(output).unwrap(), b"/bin/bash #!/bin/bash\necho hi");
    let listed = caller.ecs("DescribeInvocations", &[("InvokeId", &invocation), ("IncludeOutput", "true")]).await.unwrap();
    let row = &listed["Invocations"]["Invocation"][0];
    assert_eq!([text(row, "/InvocationStatus"), text(row, "/InvokeInstances/InvokeInstance/0/InvocationStatus")], ["Success", "Success"]);
}

#[tokio::test(start_paused = true)]
async fn every_ending_has_its_state() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let failed = run(&caller, &id, "exit 3", &[]).await;
    let late = run(&caller, &id, "long", &[("Timeout", "10")]).await;
    let stopped = run(&caller, &id, "long", &[("Timeout", "7200")]).await;
    let flood = run(&caller, &id, "flood", &[]).await;
    sleep(500).await;
    let outcome = result(&caller, &failed).await;
    assert_eq!([text(&outcome, "/InvocationStatus"), text(&outcome, "/ErrorCode")], ["Failed", "ExitCodeNonzero"]);
    assert_eq!(outcome["ExitCode"], 3);
    let outcome = result(&caller, &flood).await;
    assert_eq!((text(&outcome, "/Output").len(), &outcome["Dropped"]), (24 * 1024, &(30_000 - 24 * 1024).into()));
    caller.ecs("StopInvocation", &[("InvokeId", &stopped)]).await.unwrap();
    sleep(10).await;
    let outcome = result(&caller, &stopped).await;
    assert_eq!(text(&outcome, "/InvocationStatus"), "Terminated");
    assert!(!text(&outcome, "/StopTime").is_empty());
    sleep(10_000).await;
    let outcome = result(&caller, &late).await;
    assert_eq!([text(&outcome, "/InvocationStatus"), text(&outcome, "/ErrorCode")], ["Timeout", "ExecutionTimeout"]);
    assert_eq!(code(caller.ecs("StopInvocation", &[("InvokeId", "t-none")]).await), "InvalidInvokeId.NotFound");

    // An instance that goes down takes its commands with it; one that is off gets none.
    let cut = run(&caller, &id, "long", &[("Timeout", "7200")]).await;
    sleep(100).await;
    caller.ecs("StopInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(1000).await;
    let outcome = result(&caller, &cut).await;
    assert_eq!([text(&outcome, "/InvocationStatus"), text(&outcome, "/ErrorCode")], ["Failed", "ExecutionInterrupted"]);
    let off = run(&caller, &id, "echo", &[]).await;
    let outcome = result(&caller, &off).await;
    assert_eq!([text(&outcome, "/InvocationStatus"), text(&outcome, "/ErrorCode")], ["Aborted", "InstanceNotRunning"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_cancelled_and_who_is_gone_is_told() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.run(&network, &[]).await.unwrap().remove(0);
    let waiting = run(&caller, &id, "echo", &[]).await;
    caller.ecs("StopInvocation", &[("InvokeId", &waiting)]).await.unwrap();
    assert_eq!(text(&result(&caller, &waiting).await, "/InvocationStatus"), "Cancelled");
    sleep(5000).await;
    assert_eq!(text(&result(&caller, &waiting).await, "/InvocationStatus"), "Cancelled");
    let params = [("Type", "RunShellScript"), ("CommandContent", "x"), ("InstanceId.1", "i-none")];
    let refusal = caller.ecs("RunCommand", &params).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidInstance.NotFound"));
    let long = "x".repeat(24 * 1024);
    let params = [("Type", "RunShellScript"), ("CommandContent", long.as_str()), ("InstanceId.1", &id)];
    assert_eq!(code(caller.ecs("RunCommand", &params).await), "CmdContent.ExceedLimit");
}

#[tokio::test(start_paused = true)]
async fn parameters_fill_the_script() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let script = STANDARD.encode("{{who}} on {{ACS::InstanceId}} {{unknown}}");
    let more = [("ContentEncoding", "Base64"), ("EnableParameter", "true"), ("Parameters", r#"{"who":"me"}"#)];
    let invocation = run(&caller, &id, &script, &more).await;
    sleep(500).await;
    assert_eq!(text(&result(&caller, &invocation).await, "/Output"), format!("/bin/sh me on {id} {{{{unknown}}}}"));
}

#[tokio::test(start_paused = true)]
async fn a_token_runs_a_command_once() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let first = run(&caller, &id, "echo", &[("ClientToken", "t")]).await;
    assert_eq!(run(&caller, &id, "echo", &[("ClientToken", "t")]).await, first);
    let params = [("Type", "RunShellScript"), ("CommandContent", "other"), ("InstanceId.1", &id), ("ClientToken", "t")];
    let refusal = caller.ecs("RunCommand", &params).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "IdempotentParameterMismatch"));
    assert_eq!(caller.ecs("DescribeInvocations", &[]).await.unwrap()["TotalCount"], 1);
}

#[tokio::test(start_paused = true)]
async fn files_are_sent_and_not_overwritten_unasked() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let send = async |content: &str, more: &[(&str, &str)]| {
        let params = [("Name", "key"), ("TargetDir", "/etc/app/"), ("Content", content), ("InstanceId.1", id.as_str())];
        let sent = text(&caller.ecs("SendFile", &[&params, more].concat()).await.unwrap(), "/InvokeId");
        sleep(10).await;
        let answer = caller.ecs("DescribeSendFileResults", &[("InvokeId", &sent)]).await.unwrap();
        answer["Invocations"]["Invocation"][0].clone()
    };
    let row = send("c2VjcmV0", &[("ContentType", "Base64"), ("FileMode", "0600")]).await;
    assert_eq!([text(&row, "/InvocationStatus"), text(&row, "/FileMode"), text(&row, "/Overwrite")], ["Success", "0600", "false"]);
    assert_eq!(caller.machines.file(&id, "/etc/app/key").as_deref(), Some(b"secret".as_slice()));
    let row = send("other", &[]).await;
    assert_eq!(text(&row, "/InvokeInstances/InvokeInstance/0/ErrorCode"), "FileAlreadyExists");
    assert_eq!(caller.machines.file(&id, "/etc/app/key").as_deref(), Some(b"secret".as_slice()));
    let row = send("other", &[("Overwrite", "true")]).await;
    assert_eq!([text(&row, "/InvocationStatus"), text(&row, "/Content")], ["Success", "other"]);
    assert_eq!(caller.machines.file(&id, "/etc/app/key").as_deref(), Some(b"other".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn without_latency_all_is_there_at_once() {
    let caller = Caller::new(Config { latency: Latency { scale: 0.0, ..Latency::default() }, ..Config::default() });
    let vpc = text(&caller.vpc("CreateVpc", &[]).await.unwrap(), "/VpcId");
    let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.0.0/24")];
    let vswitch = text(&caller.vpc("CreateVSwitch", &params).await.unwrap(), "/VSwitchId");
    let group = text(&caller.ecs("CreateSecurityGroup", &[("VpcId", &vpc)]).await.unwrap(), "/SecurityGroupId");
    let id = caller.run(&crate::caller::Network { vpc, vswitch, group }, &[]).await.unwrap().remove(0);
    assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));
}
