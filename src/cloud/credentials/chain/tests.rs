//! The chain against a loopback server that plays every provider. It never asks anyone outside.

use std::path::Path;
use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::super::http::loopback::{Loopback, Received, reply};
use super::super::super::http::transport::Network;
use super::super::super::sign::rpc_v1;
use super::*;

/// A clock that the test moves.
struct Hand(Lock<Timestamp>);

impl Hand {
    fn move_by(&self, minutes: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_mins(minutes);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A home folder, an environment, a server that plays all services, a clock at 03:00.
struct House {
    home: tempfile::TempDir,
    surroundings: Surroundings,
    server: Loopback,
    clock: Arc<Hand>,
}

impl House {
    async fn new(answer: impl Fn(&Received) -> http::Response<String> + Send + Sync + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let surroundings = Surroundings { variables: Default::default(), home: Some(home.path().to_owned()) };
        let clock = Arc::new(Hand(Lock::new("2026-01-02T03:00:00Z".parse().unwrap())));
        House { home, surroundings, server: Loopback::serve(answer).await, clock }
    }

    /// Without any service: the metadata address answers 404 to everything.
    async fn empty() -> Self {
        House::new(|_| reply(404, "")).await
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.surroundings.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn write(self, path: &str, text: &str) -> Self {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn profile(self, json: &str) -> Self {
        self.write(".aliyun/config.json", &format!(r#"{{"current":"p","profiles":[{json}]}}"#))
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn chain(&self) -> Chain {
        let hosts = Hosts { sts: Some(self.server.base.clone()), metadata: self.server.base.clone() };
        let clock: Arc<dyn Clock> = self.clock.clone();
        Chain::new(self.surroundings.clone(), Arc::new(Network::new("test")), clock).with_hosts(hosts)
    }

    async fn get(&self) -> Result<Credentials, CredentialsError> {
        self.chain().get().await
    }
}

fn sts_answer(id: &str, expiration: &str) -> String {
    format!(
        r#"{{"Credentials":{{"AccessKeyId":"{id}","AccessKeySecret":"temporary-secret","SecurityToken":"temporary-token","Expiration":"{expiration}"}},"RequestId":"R"}}"#
    )
}

fn flat_answer(id: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"temporary-secret","SecurityToken":"temporary-token","Expiration":"2026-01-02T09:00:00Z"}}"#
    )
}

/// The token service: refuses what is not signed with `source-secret`, answers with the role's name as key id.
fn token_service(received: &Received) -> http::Response<String> {
    let query = received.query();
    if received.parameter("Action") == "AssumeRole" {
        let expected = rpc_v1::signature("source-secret", &rpc_v1::string_to_sign("GET", &query));
        let chained = received.parameter("AccessKeyId").starts_with("STS.");
        let chained_expected = rpc_v1::signature("temporary-secret", &rpc_v1::string_to_sign("GET", &query));
        if received.parameter("Signature") != if chained { chained_expected } else { expected } {
            return reply(400, r#"{"Code":"SignatureDoesNotMatch","Message":"no"}"#);
        }
    }
    let role = received.parameter("RoleArn").rsplit('/').next().unwrap().to_owned();
    reply(200, &sts_answer(&format!("STS.{role}"), "2026-01-02T04:00:00Z"))
}

#[tokio::test]
async fn the_environment_comes_first() {
    let house = House::empty().await.profile(r#"{"name":"p","mode":"AK","access_key_id":"profile","access_key_secret":"s"}"#);
    assert_eq!(house.get().await.unwrap().access_key_id, "profile");
    let house = house.set("ALIBABA_CLOUD_ACCESS_KEY_ID", "env").set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s");
    assert_eq!(house.get().await.unwrap(), Credentials::lasting("env", crate::model::secret::Secret::new("s"), "environment"));
    let house = house.set("ALIBABA_CLOUD_SECURITY_TOKEN", "t");
    assert_eq!(house.get().await.unwrap().security_token.unwrap().reveal(), "t");
}

#[tokio::test]
async fn an_oidc_role_comes_before_the_profile() {
    let house = House::new(token_service).await.write("token", "oidc-token\n");
    let file = house.path().join("token").display().to_string();
    let house = house
        .profile(r#"{"name":"p","mode":"AK","access_key_id":"profile","access_key_secret":"s"}"#)
        .set("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/pod")
        .set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack")
        .set("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &file);
    let credentials = house.get().await.unwrap();
    assert_eq!((credentials.access_key_id.as_str(), credentials.provider.as_str()), ("STS.pod", "OIDC role `acs:ram::1:role/pod`"));
    let received = &house.server.received()[0];
    assert_eq!(received.parameter("Action"), "AssumeRoleWithOIDC");
    assert_eq!(received.parameter("OIDCToken"), "oidc-token");
    assert_eq!(received.parameter("RoleSessionName"), "aliform-1767322800");
    assert_eq!(received.parameter("Signature"), "", "this call is not signed");
}

#[tokio::test]
async fn a_profile_takes_a_role_on() {
    let house = House::new(token_service).await.profile(
        r#"{"name":"p","mode":"RamRoleArn","access_key_id":"id","access_key_secret":"source-secret","ram_role_arn":"acs:ram::1:role/deploy",
            "ram_session_name":"me","expired_seconds":900,"external_id":"ext","unknown":{"of":"the CLI"}}"#,
    );
    let credentials = house.get().await.unwrap();
    assert_eq!(credentials.access_key_id, "STS.deploy");
    assert_eq!(credentials.provider, "profile `p` (RamRoleArn)");
    assert_eq!(credentials.expiration, Some("2026-01-02T04:00:00Z".parse().unwrap()));
    let received = &house.server.received()[0];
    for (name, value) in
        [("RoleSessionName", "me"), ("DurationSeconds", "900"), ("ExternalId", "ext"), ("Timestamp", "2026-01-02T03:00:00Z")]
    {
        assert_eq!(received.parameter(name), value);
    }
}

#[tokio::test]
async fn profiles_can_build_on_each_other() {
    let house = House::new(token_service).await.profile(
        r#"{"name":"p","mode":"ChainableRamRoleArn","source_profile":"q","ram_role_arn":"acs:ram::1:role/last"},
           {"name":"q","mode":"ChainableRamRoleArn","source_profile":"base","ram_role_arn":"acs:ram::1:role/first"},
           {"name":"base","mode":"AK","access_key_id":"id","access_key_secret":"source-secret"}"#,
    );
    assert_eq!(house.get().await.unwrap().access_key_id, "STS.last");
    let received = house.server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[1].parameter("AccessKeyId"), "STS.first");
    assert_eq!(received[1].parameter("SecurityToken"), "temporary-token");

    let house = house.profile(r#"{"name":"p","mode":"ChainableRamRoleArn","source_profile":"p","ram_role_arn":"r"}"#);
    assert!(house.get().await.unwrap_err().to_string().contains("profile `p` is its own source"));
}

#[tokio::test]
async fn a_login_is_used_to_its_end_and_then_asked_for_again() {
    let end = "2026-01-02T03:10:00Z".parse::<Timestamp>().unwrap().as_second();
    let house = House::empty().await.profile(&format!(
        r#"{{"name":"p","mode":"OAuth","access_key_id":"STS.login","access_key_secret":"s","sts_token":"t","sts_expiration":{end}}}"#
    ));
    let chain = house.chain();
    assert_eq!(chain.get().await.unwrap().access_key_id, "STS.login");
    house.clock.move_by(9);
    assert_eq!(chain.get().await.unwrap().access_key_id, "STS.login", "one minute is left");
    house.clock.move_by(1);
    let error = chain.get().await.unwrap_err().to_string();
    assert!(
        error.contains("its session ended at 2026-01-02T03:10:00Z; log in again with `aliyun configure --mode OAuth --profile p`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_login_that_the_user_renews_is_read_again() {
    let profile = |id: &str, end: &str| {
        let end = end.parse::<Timestamp>().unwrap().as_second();
        format!(r#"{{"name":"p","mode":"CloudSSO","access_key_id":"{id}","access_key_secret":"s","sts_token":"t","sts_expiration":{end}}}"#)
    };
    let house = House::empty().await.profile(&profile("STS.one", "2026-01-02T03:10:00Z"));
    let chain = house.chain();
    assert_eq!(chain.get().await.unwrap().access_key_id, "STS.one");
    let house = house.profile(&profile("STS.two", "2026-01-02T05:00:00Z"));
    house.clock.move_by(10);
    assert_eq!(chain.get().await.unwrap().access_key_id, "STS.two");
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_can_print_credentials() {
    let printed =
        r#"{"mode":"StsToken","access_key_id":"STS.printed","access_key_secret":"s","sts_token":"t","expiration":"2026-01-02T05:00:00Z"}"#;
    let house = House::empty().await.write("printed.json", printed);
    let file = house.path().join("printed.json").display().to_string();
    let house = house.profile(&format!(r#"{{"name":"p","mode":"External","process_command":"/bin/cat '{file}'"}}"#));
    let credentials = house.get().await.unwrap();
    assert_eq!((credentials.access_key_id.as_str(), credentials.expiration.is_some()), ("STS.printed", true));

    let house = house.profile(r#"{"name":"p","mode":"External","process_command":"/bin/echo leaked-secret"}"#);
    let error = house.get().await.unwrap_err().to_string();
    assert!(error.contains("`/bin/echo` does not print credentials as JSON") && !error.contains("leaked-secret"), "{error}");
    let house = house.set("ALIBABA_CLOUD_DISABLE_EXTERNAL_PROCESS", "true");
    assert!(house.get().await.unwrap_err().to_string().contains("switched off by `ALIBABA_CLOUD_DISABLE_EXTERNAL_PROCESS`"));
}

#[tokio::test]
async fn a_profile_can_name_an_address() {
    let house =
        House::new(|received| if received.uri.path() == "/hand-out" { reply(200, &flat_answer("STS.uri")) } else { reply(404, "") }).await;
    let uri = format!("{}/hand-out?key=hidden-secret", house.server.base);
    let house = house.profile(&format!(r#"{{"name":"p","mode":"CredentialsURI","credentials_uri":"{uri}"}}"#));
    assert_eq!(house.get().await.unwrap().access_key_id, "STS.uri");
    let uri = format!("{}/elsewhere?key=hidden-secret", house.server.base);
    let house = house.profile(&format!(r#"{{"name":"p","mode":"CredentialsURI","credentials_uri":"{uri}"}}"#));
    let error = house.get().await.unwrap_err().to_string();
    assert!(error.contains("the address answered HTTP 404") && !error.contains("hidden-secret"), "{error}");
}

#[tokio::test]
async fn the_shared_file_is_found_at_both_of_its_names() {
    let house = House::empty()
        .await
        .write(".alibabacloud/credentials.ini", "[default]\ntype = access_key\naccess_key_id = ini\naccess_key_secret = s # mine\n");
    let credentials = house.get().await.unwrap();
    assert_eq!((credentials.access_key_id.as_str(), credentials.access_key_secret.reveal()), ("ini", "s"));
    let house = house.write(".alibabacloud/credentials", "[default]\ntype = access_key\naccess_key_id = plain\naccess_key_secret = s\n");
    assert_eq!(house.get().await.unwrap().access_key_id, "plain");
}

#[tokio::test]
async fn the_shared_file_can_name_a_role() {
    let house = House::new(token_service).await.write(
        ".alibabacloud/credentials",
        "[work]\ntype = ram_role_arn\naccess_key_id = id\naccess_key_secret = source-secret\nrole_arn = acs:ram::1:role/work\n",
    );
    assert!(house.get().await.unwrap_err().to_string().contains("there is no profile `default`"));
    let house = house.set("ALIBABA_CLOUD_PROFILE", "work");
    assert_eq!(house.get().await.unwrap().access_key_id, "STS.work");
}

/// The metadata service of an instance; version 1 only if `token` is false.
fn metadata_service(token: bool) -> impl Fn(&Received) -> http::Response<String> + Send + Sync {
    move |received| {
        let path = received.uri.path();
        let allowed = !token || received.header("x-aliyun-ecs-metadata-token") == "imds-token";
        match (received.method.as_str(), path) {
            ("PUT", "/latest/api/token") if token && received.header("x-aliyun-ecs-metadata-token-ttl-seconds") == "21600" => {
                reply(200, "imds-token")
            }
            ("GET", "/latest/meta-data/ram/security-credentials/") if allowed => reply(200, "my-role"),
            ("GET", "/latest/meta-data/ram/security-credentials/my-role") if allowed => reply(200, &flat_answer("STS.instance")),
            _ => reply(404, ""),
        }
    }
}

#[tokio::test]
async fn an_instance_uses_its_role() {
    let house = House::new(metadata_service(true)).await;
    let credentials = house.get().await.unwrap();
    assert_eq!((credentials.access_key_id.as_str(), credentials.provider.as_str()), ("STS.instance", "role `my-role` of the instance"));
    let house = house.set("ALIBABA_CLOUD_ECS_METADATA", "other-role");
    assert!(house.get().await.unwrap_err().to_string().contains("the instance has no such RAM role"));
    let house = house.set("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    assert!(house.get().await.unwrap_err().to_string().contains("switched off by `ALIBABA_CLOUD_ECS_METADATA_DISABLED`"));
}

#[tokio::test]
async fn an_old_metadata_service_is_used_unless_that_is_forbidden() {
    let house = House::new(metadata_service(false)).await;
    assert_eq!(house.get().await.unwrap().access_key_id, "STS.instance");
    let house = house.set("ALIBABA_CLOUD_IMDSV1_DISABLED", "true");
    assert!(house.get().await.unwrap_err().to_string().contains("version 1 is switched off"));
}

#[tokio::test]
async fn an_address_in_the_environment_comes_last() {
    let house =
        House::new(|received| if received.uri.path() == "/out" { reply(200, &flat_answer("STS.uri")) } else { reply(404, "") }).await;
    let uri = format!("{}/out", house.server.base);
    let house = house.set("ALIBABA_CLOUD_CREDENTIALS_URI", &uri);
    assert_eq!(house.get().await.unwrap().provider, "credentials URI");
}

/// A token service whose sessions last an hour and are numbered; after `good` of them it is down.
async fn numbered(good: usize) -> House {
    let given = AtomicUsize::new(0);
    let house = House::new(move |_| {
        let number = given.fetch_add(1, Ordering::Relaxed) + 1;
        let end = "2026-01-02T03:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(number as i64);
        if number > good {
            reply(503, r#"{"Code":"ServiceUnavailable","Message":"down"}"#)
        } else {
            reply(200, &sts_answer(&format!("STS.{number}"), &end.to_string()))
        }
    })
    .await;
    house.profile(r#"{"name":"p","mode":"RamRoleArn","access_key_id":"id","access_key_secret":"s","ram_role_arn":"acs:ram::1:role/r"}"#)
}

#[tokio::test]
async fn a_session_is_refreshed_before_it_ends_and_by_one_caller() {
    let house = numbered(9).await;
    let chain = house.chain();
    let ids = |all: Vec<Result<Credentials, CredentialsError>>| -> Vec<String> {
        all.into_iter().map(|one| one.unwrap().access_key_id).collect()
    };
    assert_eq!(ids(futures_util::future::join_all((0..5).map(|_| chain.get())).await), ["STS.1"; 5]);
    house.clock.move_by(44);
    assert_eq!(chain.get().await.unwrap().access_key_id, "STS.1");
    house.clock.move_by(1);
    assert_eq!(ids(futures_util::future::join_all((0..5).map(|_| chain.get())).await), ["STS.2"; 5]);
    assert_eq!(house.server.received().len(), 2);
}

#[tokio::test]
async fn a_provider_that_is_down_stops_nobody_before_the_end() {
    let house = numbered(1).await;
    let chain = house.chain();
    chain.get().await.unwrap();
    house.clock.move_by(50);
    for _ in 0..3 {
        assert_eq!(chain.get().await.unwrap().access_key_id, "STS.1");
    }
    assert_eq!(house.server.received().len(), 2, "it is not asked again at once");
    house.clock.move_by(10);
    let error = chain.get().await.unwrap_err().to_string();
    assert!(error.contains("ServiceUnavailable"), "{error}");
}

#[tokio::test]
async fn renewing_replaces_only_what_was_refused() {
    let house = numbered(9).await;
    let chain = house.chain();
    let first = chain.get().await.unwrap();
    let second = chain.renew(&first).await.unwrap();
    assert_eq!(second.access_key_id, "STS.2");
    assert_eq!(chain.renew(&first).await.unwrap(), second, "another caller has renewed it already");
    assert_eq!(house.server.received().len(), 2);
}

#[tokio::test]
async fn the_error_names_each_provider_and_every_way_on() {
    let house = House::empty().await.write(".aliyun/config.json", "{\"profiles\":[{\"access_key_secret\": hidden-secret}]}");
    let error = house.get().await.unwrap_err();
    let names: Vec<&str> = error.tried.iter().map(|tried| tried.provider).collect();
    assert_eq!(
        names,
        ["environment", "OIDC role", "profile of the official CLI", "shared credentials file", "role of the instance", "credentials URI"]
    );
    let text = error.to_string();
    assert!(!text.contains("hidden-secret"), "{text}");
    assert!(text.contains("config.json` can't be read: line 1, column"), "{text}");
    let places: Vec<usize> =
        ["--mode OAuth", "a role:", "the environment:", "a profile:"].iter().map(|way| text.find(way).expect(way)).collect();
    assert!(places.is_sorted(), "the safest way comes first: {text}");
}

#[tokio::test]
async fn a_refusal_of_the_token_service_shows_no_secret() {
    let house = House::new(|received| {
        let repeated = format!("server string to sign is:{}", received.uri.query().unwrap());
        let message = serde_json::json!({ "Code": "NoPermission", "Message": repeated, "RequestId": "R-7" });
        reply(403, &message.to_string())
    })
    .await;
    let house = house.profile(
        r#"{"name":"p","mode":"ChainableRamRoleArn","source_profile":"s","ram_role_arn":"acs:ram::1:role/r"},
           {"name":"s","mode":"StsToken","access_key_id":"STS.id","access_key_secret":"source-secret","sts_token":"very/secret+token=="}"#,
    );
    let text = house.get().await.unwrap_err().to_string();
    assert!(text.contains("role `acs:ram::1:role/r` was refused: NoPermission") && text.contains("R-7"), "{text}");
    assert!(text.contains("SecurityToken=***") && !text.contains("very"), "{text}");
}
