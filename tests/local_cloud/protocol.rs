//! Signatures, envelopes, tokens, faults, and the same cloud behind a socket.

use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::config::{AccessKey, Config, Faults};
use aliform::local_cloud::serve::serve;
use aliform::model::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::caller::{Caller, code, read, sleep, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_a_signature_has_its_own_code() {
    let caller = caller();
    let good = || caller.request("2014-05-26", "DescribeRegions", &[]);
    let refused = async |request| read(&caller.cloud.handle(request).await).unwrap_err();
    read(&caller.cloud.handle(good()).await).unwrap();

    let stranger = caller.with_key("stranger", "local");
    let refusal = refused(stranger.request("2014-05-26", "DescribeRegions", &[])).await;
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidAccessKeyId.NotFound"));

    let thief = caller.with_key("local", "guess");
    let refusal = refused(thief.request("2014-05-26", "DescribeRegions", &[])).await;
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "SignatureDoesNotMatch"));
    assert!(refusal.message.contains("server string to sign is:ACS3-HMAC-SHA256"), "{}", refusal.message);

    let mut changed = good();
    changed.body = bytes::Bytes::from_static(b"Amount=100");
    assert_eq!(refused(changed).await.code, "SignatureDoesNotMatch");

    let twice = good();
    read(&caller.cloud.handle(twice.clone()).await).unwrap();
    assert_eq!(refused(twice).await.code, "SignatureNonceUsed");

    let old = good();
    sleep(16 * 60 * 1000).await;
    assert_eq!(refused(old).await.code, "InvalidTimeStamp.Expired");

    let mut bare = good();
    bare.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(refused(bare).await.code, "MissingAccessKeyId");

    let mut unsigned = good();
    unsigned.headers.push(("x-acs-security-token".to_owned(), "x".to_owned()));
    assert_eq!(refused(unsigned).await.code, "IncompleteSignature");
}

#[tokio::test(start_paused = true)]
async fn a_refused_signature_does_not_use_up_its_nonce() {
    let caller = caller();
    let good = caller.request("2014-05-26", "DescribeRegions", &[]);
    let mut forged = good.clone();
    forged.query = "RegionId=cn-beijing".to_owned();
    assert_eq!(code(read(&caller.cloud.handle(forged).await)), "SignatureDoesNotMatch");
    read(&caller.cloud.handle(good).await).unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_there_are_told_apart() {
    let caller = caller();
    let refused = async |version: &str, action: &str| read(&caller.cloud.handle(caller.request(version, action, &[])).await).unwrap_err();
    let refusal = refused("2014-05-26", "DescribeNothing").await;
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidAction.NotFound"));
    assert_eq!(refused("1999-01-01", "DescribeRegions").await.code, "InvalidVersion");
    assert_eq!(refused("2014-05-26", "DescribeInstances").await.code, "MissingRegionId");
    let refusal = caller.ecs("DescribeInstances", &[("RegionId", "cn-atlantis")]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidRegionId.NotFound"));
}

#[tokio::test(start_paused = true)]
async fn identity_and_balance_are_the_accounts() {
    let user = AccessKey { id: "u".to_owned(), secret: Secret::new("s"), user: Some("ann".to_owned()) };
    let mut config = Config::default();
    config.keys.push(user);
    let caller = Caller::new(config);
    let identity = caller.sts("GetCallerIdentity").await.unwrap();
    assert_eq!(text(&identity, "/Arn"), "acs:ram::1000000000000001:root");
    assert_eq!(text(&identity, "/IdentityType"), "Account");
    let ann = caller.with_key("u", "s");
    assert_eq!(text(&ann.sts("GetCallerIdentity").await.unwrap(), "/Arn"), "acs:ram::1000000000000001:user/ann");
    assert_eq!(text(&caller.bss("QueryAccountBalance").await.unwrap(), "/Data/AvailableAmount"), "10,000.00");
}

#[tokio::test(start_paused = true)]
async fn a_client_token_gets_the_same_answer_and_only_for_the_same_parameters() {
    let caller = caller();
    let create = async |name: &str, token: &str| caller.vpc("CreateVpc", &[("VpcName", name), ("ClientToken", token)]).await;
    let first = create("a", "t1").await.unwrap();
    let again = create("a", "t1").await.unwrap();
    assert_eq!(first["VpcId"], again["VpcId"]);
    assert_ne!(first["RequestId"], again["RequestId"]);
    let refusal = create("b", "t1").await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "IdempotentParameterMismatch"));
    assert_ne!(create("a", "t2").await.unwrap()["VpcId"], first["VpcId"]);
    assert_eq!(code(create("a", &"x".repeat(65)).await), "InvalidClientToken.Malformed");
    assert_eq!(caller.cloud.resources().len(), 2);
    // A day later the token is forgotten.
    sleep(24 * 3600 * 1000 + 1).await;
    assert_ne!(create("a", "t1").await.unwrap()["VpcId"], first["VpcId"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_not_remembered_by_its_token() {
    let caller = caller();
    let params = [("VpcId", "vpc-none"), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "10.0.0.0/24"), ("ClientToken", "t")];
    assert_eq!(code(caller.vpc("CreateVSwitch", &params).await), "InvalidVpcId.NotFound");
    assert_eq!(code(caller.vpc("CreateVSwitch", &params).await), "InvalidVpcId.NotFound");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_checks_all_and_changes_nothing() {
    let caller = caller();
    let refusal = caller.vpc("CreateVpc", &[("DryRun", "True")]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "DryRunOperation"));
    assert_eq!(code(caller.vpc("CreateVpc", &[("DryRun", "true"), ("CidrBlock", "127.0.0.0/16")]).await), "InvalidCidrBlock.Malformed");
    assert!(caller.cloud.resources().is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_happen_as_told_and_a_lost_answer_still_happened() {
    let caller = caller();
    let faults = |faults| caller.cloud.set_faults(Some(faults));
    faults(Faults { throttle: 1.0, ..Faults::default() });
    let mut waits = 0;
    for _ in 0..20 {
        let response = caller.cloud.handle(caller.request("2014-05-26", "DescribeRegions", &[])).await;
        waits += usize::from(response.header("x-acs-retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0)));
        let refusal = read(&response).unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, "Throttling.User"));
    }
    assert!((1..20).contains(&waits), "{waits}");
    faults(Faults { server_error: 1.0, ..Faults::default() });
    assert!(caller.vpc("CreateVpc", &[]).await.unwrap_err().status >= 500);
    faults(Faults { lost_request: 1.0, ..Faults::default() });
    let create = || caller.request("2016-04-28", "CreateVpc", &[("RegionId", "cn-hangzhou"), ("ClientToken", "t")]);
    assert!(caller.cloud.handle(create()).await.dropped);
    assert!(caller.cloud.resources().is_empty());
    faults(Faults { lost_answer: 1.0, ..Faults::default() });
    assert!(caller.cloud.handle(create()).await.dropped);
    caller.cloud.set_faults(None);
    let id = text(&read(&caller.cloud.handle(create()).await).unwrap(), "/VpcId");
    let left: Vec<String> = caller.cloud.resources().into_iter().map(|listed| listed.id).collect();
    assert_eq!(left, [id]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_ids() {
    let ids = async |seed| {
        let caller = Caller::new(Config { seed, ..Config::default() });
        let network = caller.network().await;
        [network.vpc, network.vswitch, network.group]
    };
    assert_eq!(ids(1).await, ids(1).await);
    assert_ne!(ids(1).await, ids(2).await);
    let [vpc, vswitch, group] = ids(1).await;
    assert!(vpc.starts_with("vpc-bp1") && vswitch.starts_with("vsw-bp1") && group.starts_with("sg-bp1"), "{vpc} {vswitch} {group}");
}

/// Sends raw bytes and reads until the other side closes.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A connection that breaks is an answer too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn over_a_socket_requests_are_answered_and_lost_answers_break_the_connection() {
    let caller = caller();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(Arc::clone(&caller.cloud), listener, stopped));
    let wire = |last: bool| {
        let request = caller.request("2014-05-26", "DescribeRegions", &[]);
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let close = if last { "connection: close\r\n" } else { "" };
        format!("POST /?{} HTTP/1.1\r\n{headers}{close}content-length: 0\r\n\r\n", request.query).into_bytes()
    };
    // Two requests over one connection.
    let answer = String::from_utf8(exchange(address, &[wire(false), wire(true)].concat()).await).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("\"RegionId\":\"cn-hangzhou\"").count(), 2);
    assert!(answer.contains("application/json;charset=utf-8"));
    caller.cloud.set_faults(Some(Faults { lost_answer: 1.0, ..Faults::default() }));
    assert!(exchange(address, &wire(true)).await.is_empty());
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
}
