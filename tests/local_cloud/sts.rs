//! Roles that are assumed for a time: who may, what the keys are good for and for how long, and what is kept of them.

use std::sync::Arc;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::model::clock::RuntimeClock;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use crate::caller::{Caller, Refusal, START, code, sleep, text};

const ROLE: (&str, &str) = ("RoleArn", "acs:ram::1000000000000001:role/deploy");
const SESSION: (&str, &str) = ("RoleSessionName", "ann@example.com");

fn user(config: Config) -> Caller {
    Caller::new(config).with_key("local-user", "local-user")
}

async fn assume(caller: &Caller, more: &[(&str, &str)]) -> Result<Json, Refusal> {
    let mut params = vec![ROLE, SESSION];
    params.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    params.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    caller.sts_with("AssumeRole", &params).await
}

#[tokio::test(start_paused = true)]
async fn a_session_acts_as_its_role_until_its_time_is_over() {
    let user = user(Config::default());
    let answer = assume(&user, &[("SourceIdentity", "ann"), ("DurationSeconds", "900")]).await.unwrap();
    let arn = "acs:ram::1000000000000001:assumed-role/deploy/ann@example.com";
    assert_eq!(text(&answer, "/AssumedRoleUser/Arn"), arn);
    assert_eq!(text(&answer, "/SourceIdentity"), "ann");
    assert_eq!(text(&answer, "/Credentials/Expiration"), "2026-01-02T03:19:05Z");
    assert!(text(&answer, "/Credentials/AccessKeyId").starts_with("STS."));

    let session = user.with_session(&answer);
    let identity = session.sts("GetCallerIdentity").await.unwrap();
    assert_eq!(text(&identity, "/Arn"), arn);
    assert_eq!(text(&identity, "/IdentityType"), "AssumedRoleUser");
    assert_eq!(text(&identity, "/PrincipalId"), text(&answer, "/AssumedRoleUser/AssumedRoleId"));
    assert!(text(&identity, "/PrincipalId").starts_with(&format!("{}:", text(&identity, "/RoleId"))));
    assert!(identity.get("UserId").is_none());
    session.vpc("CreateVpc", &[]).await.unwrap();
    // One role may assume another.
    let next = assume(&session, &[("RoleArn", "acs:ram::1000000000000001:role/other")]).await.unwrap();
    assert_ne!(text(&next, "/Credentials/AccessKeyId"), text(&answer, "/Credentials/AccessKeyId"));

    sleep(899_000).await;
    session.sts("GetCallerIdentity").await.unwrap();
    sleep(1_000).await;
    let refusal = session.sts("GetCallerIdentity").await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "InvalidSecurityToken.Expired"));
}

#[tokio::test(start_paused = true)]
async fn a_temporary_key_is_nothing_without_its_token() {
    let user = user(Config::default());
    let [one, two] = [assume(&user, &[]).await.unwrap(), assume(&user, &[]).await.unwrap()].map(|answer| user.with_session(&answer));
    let with = async |token: Option<&str>| {
        let mut session = user.with_key(&one.key.0, &one.key.1);
        session.token = token.map(str::to_owned);
        let refusal = session.sts("GetCallerIdentity").await.unwrap_err();
        (refusal.status, refusal.code)
    };
    assert_eq!(with(None).await, (400, "MissingSecurityToken".to_owned()));
    assert_eq!(with(two.token.as_deref()).await, (400, "InvalidSecurityToken.MismatchWithAccessKey".to_owned()));
    assert_eq!(with(Some("CAISnonsense")).await, (400, "InvalidSecurityToken.Malformed".to_owned()));
    let mut thief = user.with_key(&one.key.0, &two.key.1);
    thief.token.clone_from(&one.token);
    assert_eq!(code(thief.sts("GetCallerIdentity").await), "SignatureDoesNotMatch");
    let mut lasting = user.with_key("local", "local");
    lasting.token.clone_from(&one.token);
    assert_eq!(code(lasting.sts("GetCallerIdentity").await), "InvalidSecurityToken.MismatchWithAccessKey");
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_assume_a_role_is_told_why() {
    let user = user(Config { roles: Some(vec!["deploy".to_owned()]), ..Config::default() });
    assume(&user, &[]).await.unwrap();
    let root = assume(&user.with_key("local", "local"), &[]).await.unwrap_err();
    assert_eq!((root.status, root.code.as_str()), (403, "NoPermission"));
    for foreign in ["acs:ram::1000000000000001:role/other", "acs:ram::2000000000000002:role/deploy"] {
        let refusal = assume(&user, &[("RoleArn", foreign)]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (404, "EntityNotExist.Role"), "{foreign}");
    }
    let long = "x".repeat(65);
    for (name, value, expected) in [
        ("RoleArn", "", "MissingRoleArn"),
        ("RoleArn", "acs:ram::1000000000000001:user/deploy", "InvalidParameter.RoleArn"),
        ("RoleArn", "acs:ram::x:role/deploy", "InvalidParameter.RoleArn"),
        ("RoleArn", "acs:ram::1000000000000001:role/a/b", "InvalidParameter.RoleArn"),
        ("RoleSessionName", "", "MissingRoleSessionName"),
        ("RoleSessionName", "a", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "a b", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", &long, "InvalidParameter.RoleSessionName"),
        ("DurationSeconds", "899", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "43201", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "long", "InvalidParameter.DurationSeconds"),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
        ("Policy", "allow", "InvalidParameter.PolicyGrammar"),
        ("ExternalId", "?", "InvalidParameter.ExternalId"),
        ("SourceIdentity", "a/b", "InvalidParameter.SourceIdentity"),
    ] {
        assert_eq!(code(assume(&user, &[(name, value)]).await), expected, "{name}={value}");
    }
    let policy = json!({ "Version": "1", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] }).to_string();
    assume(&user, &[("Policy", &policy), ("ExternalId", "abc:1"), ("DurationSeconds", "43200")]).await.unwrap();
}

fn token(expires: i64) -> String {
    let part = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims =
        json!({ "iss": "https://oidc.example.com", "sub": "system:serviceaccount:a:b", "aud": ["sts", "x"], "iat": 1, "exp": expires });
    format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(claims))
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_provider_is_enough_to_assume_a_role() {
    let caller = Caller::new(Config::default());
    let later = caller.now().as_second() + 600;
    let ask = async |token: &str, provider: &str| {
        let params = [ROLE, SESSION, ("OIDCToken", token), ("OIDCProviderArn", provider)];
        let mut request = caller.request("2015-04-01", "AssumeRoleWithOIDC", &params);
        request.headers.retain(|(name, _)| name != "authorization");
        crate::caller::read(&caller.cloud.handle(request).await)
    };
    let provider = "acs:ram::1000000000000001:oidc-provider/ack-rrsa-c1";
    let answer = ask(&token(later), provider).await.unwrap();
    assert_eq!(text(&answer, "/OIDCTokenInfo/Subject"), "system:serviceaccount:a:b");
    assert_eq!(text(&answer, "/OIDCTokenInfo/ClientIds"), "sts,x");
    assert_eq!(text(&answer, "/OIDCTokenInfo/ExpirationTime"), "2026-01-02T03:14:05Z");
    let identity = caller.with_session(&answer).sts("GetCallerIdentity").await.unwrap();
    assert_eq!(text(&identity, "/IdentityType"), "AssumedRoleUser");
    assert_eq!(code(ask(&token(1), provider).await), "AuthenticationFail.OIDCToken.Expired");
    for nonsense in ["x", "a.b.c", "e30.e30.e30", "e30..e30", &token(i64::MAX)] {
        assert_eq!(code(ask(nonsense, provider).await), "AuthenticationFail.OIDCToken.Invalid", "{nonsense}");
    }
    assert_eq!(code(ask(&token(later), "acs:ram::2:oidc-provider/x").await), "EntityNotExist.OIDCProvider");
    // The same call of any other name has to be signed.
    let mut request = caller.request("2015-04-01", "AssumeRole", &[ROLE, SESSION]);
    request.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(code(crate::caller::read(&caller.cloud.handle(request).await)), "MissingAccessKeyId");
}

#[tokio::test(start_paused = true)]
async fn keys_outlive_the_server_and_no_secret_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let machines = Arc::new(Simulated::default());
    let open = || {
        let cloud = LocalCloud::open(dir.path(), Config::default(), clock.clone(), machines.clone()).unwrap();
        Caller::of(cloud, clock.clone(), machines.clone()).with_key("local-user", "local-user")
    };
    let user = open();
    let answer = assume(&user, &[]).await.unwrap();
    drop(user);
    sleep(1000).await;
    let session = open().with_session(&answer);
    session.sts("GetCallerIdentity").await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(content) = std::fs::read(&path) else { continue };
        for secret in [&session.key.1, session.token.as_ref().unwrap()] {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}
