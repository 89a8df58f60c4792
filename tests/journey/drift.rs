//! Changes behind aliform's back.

use std::sync::Arc;

use aliform::cloud::api::ask;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::ecs::instance::StopInstance;
use aliform::cloud::ecs::security_group::{AuthorizeSecurityGroup, NewPermission};
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::http::transport::Network;
use aliform::model::clock::SystemClock;
use aliform::model::secret::Secret;

use crate::stage::{Stage, get};

const REGION: &str = "cn-hangzhou";

fn client(stage: &Stage) -> HttpCloud {
    let status = stage.run(&["cloud", "status", "--output", "json"]).expect(0).json();
    let endpoint = Endpoint::Fixed(status["endpoint"].as_str().unwrap().to_owned());
    let key = Credentials::lasting("local", Secret::new("local"), "test");
    HttpCloud::new(endpoint, Arc::new(key), Arc::new(Network::new("test")), Arc::new(SystemClock))
}

fn id(stage: &Stage, address: &str) -> String {
    stage.run(&["state", "show", address, "--output", "json"]).expect(0).json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rule_added_by_hand_is_drift_and_is_mended() {
    let stage = Stage::example("hello-web");
    stage.apply();
    let permission = NewPermission {
        ip_protocol: "TCP".to_owned(),
        port_range: "22/22".to_owned(),
        source_cidr_ip: "0.0.0.0/0".to_owned(),
        policy: "accept".to_owned(),
        description: String::new(),
    };
    let group = id(&stage, "security_group.web");
    let call = AuthorizeSecurityGroup { region_id: REGION.to_owned(), security_group_id: group, permissions: vec![permission] };
    ask(&client(&stage), REGION, &call).await.unwrap();

    let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
    let change = plan["changes"].as_array().unwrap().iter().find(|change| change["address"] == "security_group.web").unwrap();
    assert_eq!(change["reasons"][0]["reason"], "drifted", "{change}");
    assert!(stage.run(&["plan"]).expect(0).stdout.contains("tcp 22 from 0.0.0.0/0"));
    assert_eq!(stage.planned().len(), 1);
    stage.apply();
    assert!(stage.planned().is_empty());
}

#[tokio::test]
async fn an_instance_stopped_by_hand_is_started_with_its_application() {
    let stage = Stage::example("hello-web");
    stage.apply();
    let call = StopInstance { instance_id: id(&stage, "instance.web-1"), ..Default::default() };
    ask(&client(&stage), REGION, &call).await.unwrap();
    assert!(get(&stage.output("url")).is_err());
    assert_eq!(stage.planned().keys().collect::<Vec<_>>(), ["instance.web-1", "release.web-1"]);
    stage.apply();
    assert!(get(&stage.output("url")).unwrap().contains("200"));
}
