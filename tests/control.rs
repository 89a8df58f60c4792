//! The local cloud from the outside, as a person or a test steers it: through the program, and below `/_aliform/`.

#[expect(dead_code, reason = "shared with the benches, which use other parts of it")]
mod served;

use std::path::Path;
use std::process::Output;

use serde_json::{Value as Json, json};
use served::{ECS, IMAGE, Server, TYPE, VPC, command, home, text};

/// Stops the local cloud of a folder, also when the test fails.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(self.path(), arguments).output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Json {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let reset = self.run(&["cloud", "reset"]);
        assert!(reset.status.success() || std::thread::panicking(), "{}", String::from_utf8_lossy(&reset.stderr));
    }
}

#[test]
fn a_scenario_is_started_with_shown_replaced_and_refused_with_its_place() {
    let folder = Folder::new();
    let write = |text: &str| std::fs::write(folder.path().join("s.yaml"), text).unwrap();
    write("quotas: { vpcs: 0 }\nstocks: []\n");
    let refused = folder.run(&["cloud", "start", "--scenario", "s.yaml"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("`stocks` is not known here") && said.contains("s.yaml:2") && said.contains("did you mean `stock`?"), "{said}");
    assert!(!home(folder.path()).join("server.json").exists());

    write("seed: 5\nquotas: { vpcs: 0 }\n");
    let endpoint = text(&folder.json(&["cloud", "start", "--scenario", "s.yaml"]), "/endpoint");
    let mut client = served::Client::new(endpoint.strip_prefix("http://").unwrap().parse().unwrap());
    let (status, answer) = client.call(VPC, "CreateVpc", &[]).unwrap();
    assert_eq!((status, answer["Code"].as_str().unwrap().starts_with("QuotaExceeded")), (400, true), "{answer}");
    assert_eq!(folder.json(&["cloud", "scenario"])["seed"], 5);

    write("calls:\n- { call: vpc:CreateVpc, fails: { code: Busy, status: 503, times: 1 } }\n");
    let now = folder.json(&["cloud", "scenario", "s.yaml"]);
    assert_eq!((&now["seed"], &now["quotas"]["vpcs"], &now["calls"][0]["fails"]["code"]), (&json!(0), &json!(1000), &json!("Busy")));
    assert_eq!(client.call(VPC, "CreateVpc", &[]).unwrap().0, 503);
    client.ok(VPC, "CreateVpc", &[]);

    // It counts in the next server, too, until it is cleared.
    folder.run(&["cloud", "stop"]);
    folder.json(&["cloud", "start"]);
    assert_eq!(folder.json(&["cloud", "scenario"])["calls"][0]["call"], "vpc:CreateVpc");
    assert_eq!(folder.json(&["cloud", "scenario", "--clear"])["calls"], json!([]));
    assert_eq!(folder.json(&["cloud", "resources"]).as_array().unwrap().len(), 1);
}

#[test]
fn the_calls_of_late_are_a_table_and_json() {
    let folder = Folder::new();
    let refused = folder.run(&["cloud", "calls"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("does not run"));
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    let vpc = text(&client.ok(VPC, "CreateVpc", &[]), "/VpcId");
    client.call(ECS, "DeleteInstance", &[("InstanceId", "i-none")]).unwrap();
    let calls = folder.json(&["cloud", "calls"]);
    assert_eq!(calls.as_array().unwrap().len(), 2);
    assert_eq!((&calls[0]["action"], &calls[0]["resource"], &calls[0]["status"]), (&json!("CreateVpc"), &json!(vpc), &json!(200)));
    assert_eq!((&calls[1]["code"], &calls[1]["key"]), (&json!("InvalidInstanceId.NotFound"), &json!("local")));
    let table = folder.run(&["cloud", "calls", "-n", "1"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("ecs:DeleteInstance") && table.contains("i-none") && !table.contains("CreateVpc"), "{table}");
    assert_eq!(std::fs::read_to_string(home(folder.path()).join("requests.log")).unwrap().lines().count(), 2);
}

#[test]
fn the_paths_of_control_tell_and_steer_and_answer_errors() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    client.ok(VPC, "AllocateEipAddress", &[]);
    let (_, clock) = client.control("GET", "clock", "").unwrap();
    assert_eq!(clock["speed"], 1.0);
    let (status, later) = client.control("POST", "clock", r#"{"advance":"2h"}"#).unwrap();
    let moment = |clock: &Json| text(clock, "/now").parse::<jiff::Timestamp>().unwrap();
    assert!(status == 200 && moment(&later).duration_since(moment(&clock)).as_hours() >= 2, "{later}");
    let (_, bill) = client.control("GET", "bill", "").unwrap();
    let amount = |name: &str| text(&bill, name).parse::<f64>().unwrap();
    assert!(amount("/spent") > 0.0 && (amount("/spent") + amount("/balance") - 10_000.0).abs() < 1e-3, "{bill}");
    assert_eq!(bill["lines"].as_array().unwrap().len(), 1);
    for (method, what, body, status) in [
        ("PUT", "scenario", r#"{"seeds":1}"#, 400),
        ("PUT", "scenario", "no", 400),
        ("PUT", "calls", "", 405),
        ("GET", "calls?after=x", "", 400),
        ("POST", "clock", r#"{"advance":"-1h"}"#, 400),
        ("GET", "keys", "", 404),
    ] {
        let (answered, body) = client.control(method, what, body).unwrap();
        assert!(answered == status && body["message"].is_string(), "{method} {what}: {answered} {body}");
    }
    let foreign = b"GET /_aliform/bill HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://example.com\r\n\r\n";
    assert_eq!(client.exchange(foreign).unwrap().0, 403);
}

/// How many processes have their working folder below the machines' one.
fn machines(folder: &Path) -> usize {
    let directory = home(folder).join("machines");
    let directory = directory.canonicalize().unwrap_or(directory);
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory))).count()
}

#[test]
fn a_thousand_idle_instances_are_no_process_and_a_command_starts_one() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    client.control("PUT", "scenario", r#"{"latency":{"scale":0}}"#).unwrap();
    let vpc = text(&client.ok(VPC, "CreateVpc", &[("CidrBlock", "10.0.0.0/8")]), "/VpcId");
    let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.0.0.0/16")];
    let vswitch = text(&client.ok(VPC, "CreateVSwitch", &params), "/VSwitchId");
    let group = text(&client.ok(ECS, "CreateSecurityGroup", &[("VpcId", &vpc)]), "/SecurityGroupId");
    for _ in 0..10 {
        let params = [("Amount", "100"), ("ImageId", IMAGE), ("InstanceType", TYPE), ("VSwitchId", &vswitch), ("SecurityGroupId", &group)];
        client.ok(ECS, "RunInstances", &params);
    }
    let running = client.ok(ECS, "DescribeInstances", &[("Status", "Running")]);
    assert_eq!(running["TotalCount"], 1000);
    let id = text(&running, "/Instances/Instance/0/InstanceId");
    let run = |client: &mut served::Client, script: &str| {
        let params = [("Type", "RunShellScript"), ("CommandContent", script), ("InstanceId.1", id.as_str())];
        let invocation = text(&client.ok(ECS, "RunCommand", &params), "/InvokeId");
        for _ in 0..3000 {
            let answer = client.ok(ECS, "DescribeInvocationResults", &[("InvokeId", &invocation), ("ContentEncoding", "PlainText")]);
            let result = answer["Invocation"]["InvocationResults"]["InvocationResult"][0].clone();
            if result["FinishedTime"].as_str().is_some_and(|at| !at.is_empty()) {
                return result;
            }
        }
        panic!("the command does not end");
    };
    assert_eq!(machines(folder.path()), 0);
    let result = run(&mut client, "echo awake > /root/file; hostname");
    assert_eq!(result["InvokeRecordStatus"], "Finished", "{result}");
    assert!(machines(folder.path()) >= 1);
    // What never ran lost nothing when the server goes: its start stays the same. What ran goes on.
    let starts = |client: &mut served::Client| -> Vec<String> {
        let answer = client.ok(ECS, "DescribeInstances", &[("MaxResults", "100")]);
        answer["Instances"]["Instance"].as_array().unwrap().iter().map(|row| text(row, "/StartTime")).collect()
    };
    let before = starts(&mut client);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    assert_eq!(starts(&mut client), before);
    assert_eq!(run(&mut client, "cat /root/file")["Output"], "awake\n");
}
