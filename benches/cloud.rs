//! How fast the local cloud is: `cargo bench --bench cloud`. Before the rows it prints how much memory a server with a
//! thousand instances takes and how many processes there are.
//!
//! What is measured is the real program behind a real socket. Client and server share the machine's processors, so a
//! client that signs would measure itself: the requests of `described_over_http` are signed and written ahead, each with
//! a nonce of its own, outside the measured time. Every connection waits for its answer before it sends the next
//! request; nothing is pipelined. The client reads the answer's length and its status, and does not parse it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::Request;
use aliform::model::clock::SystemClock;
use divan::Bencher;
use divan::counter::ItemsCount;

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/served/mod.rs"]
mod served;

use served::{Client, ECS, IMAGE, Server, TYPE, VPC, rpc, text};

const INSTANCES: usize = 1_000;
/// The most that one RunInstances makes.
const AT_ONCE: usize = 100;
/// Requests of one measurement.
const REQUESTS: usize = 20_000;

fn main() {
    figures();
    divan::main();
}

/// A folder with a server in it that has a thousand instances.
fn filled() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    // Without this, a thousand instances would come up one after another for a second.
    let (status, _) = client.control("PUT", "scenario", r#"{"latency":{"scale":0}}"#).expect("it answers");
    assert_eq!(status, 200);
    let vpc = text(&client.ok(VPC, "CreateVpc", &[("CidrBlock", "10.0.0.0/8")]), "/VpcId");
    let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.0.0.0/16")];
    let vswitch = text(&client.ok(VPC, "CreateVSwitch", &params), "/VSwitchId");
    let group = text(&client.ok(ECS, "CreateSecurityGroup", &[("VpcId", &vpc)]), "/SecurityGroupId");
    let amount = AT_ONCE.to_string();
    for _ in 0..INSTANCES / AT_ONCE {
        let params = [
            ("Amount", amount.as_str()),
            ("ImageId", IMAGE),
            ("InstanceType", TYPE),
            ("VSwitchId", &vswitch),
            ("SecurityGroupId", &group),
            ("Tag.1.Key", "owner"),
            ("Tag.1.Value", "bench"),
        ];
        client.ok(ECS, "RunInstances", &params);
    }
    let answer = client.ok(ECS, "DescribeInstances", &[]);
    assert_eq!(answer["TotalCount"], INSTANCES);
    assert_eq!(answer["Instances"]["Instance"].as_array().map(Vec::len), Some(10));
    (folder, server)
}

#[expect(clippy::print_stdout, reason = "these are the figures")]
fn figures() {
    let (folder, server) = filled();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim().to_owned();
    let home = served::home(folder.path()).display().to_string();
    let others = processes(&home, server.pid());
    println!("{INSTANCES} instances: {resident} resident, {others} processes besides the server");
}

/// How many processes name the folder in their command line or their environment, besides one.
fn processes(home: &str, but: u32) -> usize {
    let holds = |path: String| std::fs::read(path).is_ok_and(|bytes| bytes.windows(home.len()).any(|window| window == home.as_bytes()));
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let others = ids.filter(|id| id.parse::<u32>().is_ok_and(|id| id != but));
    others.filter(|id| holds(format!("/proc/{id}/environ")) || holds(format!("/proc/{id}/cmdline"))).count()
}

/// From the start of the program in a folder of its own to the first answer.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn ready(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| tempfile::tempdir().expect("a folder")).bench_local_values(|folder| {
        let server = Server::start(folder.path(), &[]);
        server.client().ok(ECS, "DescribeRegions", &[]);
        (folder, server)
    });
}

/// The same where there are a thousand instances already.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn ready_with_instances(bencher: Bencher<'_, '_>) {
    let (folder, server) = filled();
    server.kill();
    bencher.bench_local(|| {
        let server = Server::start(folder.path(), &[]);
        assert_eq!(server.client().ok(ECS, "DescribeInstances", &[])["TotalCount"], INSTANCES);
        server
    });
}

/// DescribeInstances, a page of ten of a thousand, over so many connections.
#[divan::bench(args = [1, 4, 16], sample_count = 5, sample_size = 1)]
fn described_over_http(bencher: Bencher<'_, '_>, connections: usize) {
    let (_folder, server) = filled();
    let each = REQUESTS / connections;
    let prepare = || -> Vec<Vec<Vec<u8>>> { (0..connections).map(|_| (0..each).map(|_| describe(server.address)).collect()).collect() };
    let mut clients: Vec<Client> = (0..connections).map(|_| server.client()).collect();
    bencher.counter(ItemsCount::new(each * connections)).with_inputs(prepare).bench_local_values(|requests| {
        std::thread::scope(|scope| {
            for (client, requests) in clients.iter_mut().zip(&requests) {
                scope.spawn(move || requests.iter().for_each(|request| ask(client, request)));
            }
        });
        requests
    });
}

fn describe(address: SocketAddr) -> Vec<u8> {
    rpc(address, ECS, "DescribeInstances", &[])
}

fn ask(client: &mut Client, request: &[u8]) {
    let (status, body) = client.exchange(request).expect("it answers");
    assert!(status == 200 && body.len() > 10_000, "{}", String::from_utf8_lossy(body));
}

/// The same call in one process, without a socket, by one caller.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn described_in_process(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (folder, server) = filled();
    server.kill();
    let home = served::home(folder.path());
    let cloud = runtime.block_on(async { opened(&home) });
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let prepare = || -> Vec<Request> { (0..REQUESTS / 4).map(|_| parsed(&describe(address))).collect() };
    bencher.counter(ItemsCount::new(REQUESTS / 4)).with_inputs(prepare).bench_local_values(|requests| {
        runtime.block_on(async {
            for request in requests {
                assert_eq!(cloud.handle(request).await.status, 200);
            }
        });
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn opened(home: &Path) -> LocalCloud {
    LocalCloud::open(home, Config::default(), Arc::new(SystemClock), Arc::new(Simulated::default())).expect("it opens")
}

/// A written request as the cloud takes it.
fn parsed(bytes: &[u8]) -> Request {
    let text = std::str::from_utf8(bytes).expect("it is text");
    let mut lines = text.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a target");
    let (path, query) = target.split_once('?').expect("a query");
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let host = headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone()).expect("a host");
    Request {
        method: http::Method::POST,
        host,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: bytes::Bytes::new(),
        peer: None,
    }
}
