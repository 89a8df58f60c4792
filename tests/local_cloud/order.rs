//! What can be ordered and changed of instances: nothing is passed over in silence, groups are joined and left, public
//! addresses come and go.

use aliform::local_cloud::config::Config;

use crate::caller::{Caller, code, sleep, text};

#[tokio::test(start_paused = true)]
async fn what_the_cloud_does_not_have_is_refused_and_never_left_out() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    for (name, value, expected) in [
        ("LaunchTemplateId", "lt-1", "InvalidLaunchTemplate.NotFound"),
        ("DeploymentSetId", "ds-1", "InvalidDeploymentSetId.NotFound"),
        ("DedicatedHostId", "dh-1", "InvalidDedicatedHostId.NotFound"),
        ("DataDisk.1.SnapshotId", "s-1", "InvalidDataDiskSnapshotId.NotFound"),
        ("Ipv6AddressCount", "1", "InvalidParameter.NotSupported"),
        ("HibernationOptions.Configured", "true", "InvalidParameter.NotSupported"),
        ("Tenancy", "host", "InvalidParameter.NotSupported"),
        ("CpuOptions.Core", "1", "InvalidParameter.NotSupported"),
        ("ImageOptions.LoginAsNonRoot", "true", "InvalidParameter.NotSupported"),
        ("SystemDisk.ProvisionedIops", "1000", "InvalidParameter.NotSupported"),
        ("NetworkInterface.1.InstanceType", "Secondary", "InvalidParameter.NotSupported"),
        ("Password", "short", "InvalidPassword.Malformed"),
        ("Password", "alllowercase", "InvalidPassword.Malformed"),
        ("HostName", "-x", "InvalidHostName.Malformed"),
        ("RamRoleName", "a role", "InvalidRamRole.NotFound"),
        ("CreditSpecification", "Unlimited", "InvalidCreditSpecification.NotSupported"),
        ("InstanceChargeType", "Free", "InvalidInstanceChargeType.ValueNotSupported"),
        ("MinAmount", "2", "InvalidAmount.NotSupported"),
        ("InternetMaxBandwidthIn", "101", "InvalidInternetMaxBandwidthIn.ValueNotSupported"),
    ] {
        let refusal = caller.run(&network, &[(name, value)]).await.unwrap_err();
        assert_eq!(refusal.code, expected, "{name}={value}: {}", refusal.message);
    }
    // The same features, asked for in the way that asks for nothing.
    for more in [("Tenancy", "default"), ("Ipv6AddressCount", "0"), ("HibernationOptions.Configured", "False"), ("Password", "Abc-1234")] {
        caller.run(&network, &[more]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_counted_and_told() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let more = [
        ("Amount", "2"),
        ("InstanceName", "web"),
        ("HostName", "node"),
        ("UniqueSuffix", "true"),
        ("HttpTokens", "required"),
        ("RamRoleName", "reader"),
    ];
    let ids = caller.run(&network, &more).await.unwrap();
    let second = caller.instance(&ids[1]).await.unwrap();
    assert_eq!(
        [text(&second, "/InstanceName"), text(&second, "/HostName"), text(&second, "/MetadataOptions/HttpTokens")],
        ["web002", "node002", "required"]
    );
    let roles = caller.ecs("DescribeInstanceRamRole", &[("RamRoleName", "reader")]).await.unwrap();
    assert_eq!(roles["TotalCount"], 2);
    let all = format!("[\"{}\"]", ids[0]);
    let attached = caller.ecs("AttachInstanceRamRole", &[("RamRoleName", "writer"), ("InstanceIds", &all)]).await.unwrap();
    assert_eq!(
        (&attached["FailCount"], &attached["AttachInstanceRamRoleResults"]["AttachInstanceRamRoleResult"][0]["Success"]),
        (&1.into(), &false.into())
    );
    let hosts = [("Amount", "2"), ("HostNames.1", "alpha"), ("HostNames.2", "beta")];
    let ids = caller.run(&network, &hosts).await.unwrap();
    assert_eq!(text(&caller.instance(&ids[1]).await.unwrap(), "/HostName"), "beta");
}

#[tokio::test(start_paused = true)]
async fn groups_are_joined_and_left_but_for_the_last() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let other = text(&caller.ecs("CreateSecurityGroup", &[("VpcId", &network.vpc)]).await.unwrap(), "/SecurityGroupId");
    let open = [("IpProtocol", "tcp"), ("PortRange", "80/80"), ("SourceCidrIp", "0.0.0.0/0"), ("SecurityGroupId", other.as_str())];
    caller.ecs("AuthorizeSecurityGroup", &open).await.unwrap();
    let member = [("InstanceId", id.as_str()), ("SecurityGroupId", other.as_str())];
    assert_eq!(code(caller.ecs("LeaveSecurityGroup", &member).await), "InstanceNotInSecurityGroup");
    caller.ecs("JoinSecurityGroup", &member).await.unwrap();
    sleep(1).await;
    assert_eq!(caller.machines.openings(&id).len(), 1);
    assert_eq!(code(caller.ecs("JoinSecurityGroup", &member).await), "InvalidInstanceId.AlreadyExists");
    assert_eq!(code(caller.ecs("DeleteSecurityGroup", &[("SecurityGroupId", &other)]).await), "DependencyViolation");

    let shown = caller.ecs("DescribeSecurityGroupAttribute", &[("SecurityGroupId", &other)]).await.unwrap();
    let rule = text(&shown, "/Permissions/Permission/0/SecurityGroupRuleId");
    let change =
        [("SecurityGroupId", other.as_str()), ("SecurityGroupRuleId", rule.as_str()), ("PortRange", "443/443"), ("Description", "tls")];
    caller.ecs("ModifySecurityGroupRule", &change).await.unwrap();
    sleep(1).await;
    assert_eq!(caller.machines.openings(&id)[0].from, 443);
    caller.ecs("ModifySecurityGroupPolicy", &[("SecurityGroupId", &other), ("InnerAccessPolicy", "Drop")]).await.unwrap();
    let shown = caller.ecs("DescribeSecurityGroupAttribute", &[("SecurityGroupId", &other)]).await.unwrap();
    assert_eq!(
        [
            text(&shown, "/InnerAccessPolicy"),
            text(&shown, "/Permissions/Permission/0/Description"),
            text(&shown, "/Permissions/Permission/0/SourceCidrIp")
        ],
        ["Drop", "tls", "0.0.0.0/0"]
    );

    caller.ecs("LeaveSecurityGroup", &[("InstanceId", &id), ("SecurityGroupId", &network.group)]).await.unwrap();
    assert_eq!(code(caller.ecs("LeaveSecurityGroup", &member).await), "InstanceLastSecurityGroup");
    let interfaces = caller.ecs("DescribeNetworkInterfaces", &[("SecurityGroupId", &other)]).await.unwrap();
    let row = &interfaces["NetworkInterfaceSets"]["NetworkInterfaceSet"][0];
    assert_eq!([text(row, "/InstanceId"), text(row, "/Type"), text(row, "/Status")], [&id, "Primary", "InUse"]);
    let by_interface = [("NetworkInterfaceId", row["NetworkInterfaceId"].as_str().unwrap()), ("SecurityGroupId", network.group.as_str())];
    caller.ecs("JoinSecurityGroup", &by_interface).await.unwrap();
    assert_eq!(caller.instance(&id).await.unwrap()["SecurityGroupIds"]["SecurityGroupId"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_public_address_is_given_once_and_goes_with_its_bandwidth() {
    let caller = Caller::new(Config::default());
    let network = caller.network().await;
    let id = caller.run(&network, &[("InternetMaxBandwidthOut", "0")]).await.unwrap().remove(0);
    let one = [("InstanceId", id.as_str())];
    assert_eq!(code(caller.ecs("AllocatePublicIpAddress", &one).await), "IncorrectInstanceStatus");
    sleep(3000).await;
    let address = text(&caller.ecs("AllocatePublicIpAddress", &one).await.unwrap(), "/IpAddress");
    assert_eq!(code(caller.ecs("AllocatePublicIpAddress", &one).await), "AllocatedAlready");
    assert_eq!(text(&caller.instance(&id).await.unwrap(), "/PublicIpAddress/IpAddress/0"), address);
    let spec = async |more: &[(&str, &str)]| caller.ecs("ModifyInstanceNetworkSpec", &[&one, more].concat()).await;
    assert_eq!(code(spec(&[("InternetMaxBandwidthOut", "101")]).await), "InvalidInternetMaxBandwidthOut.ValueNotSupported");
    spec(&[("InternetMaxBandwidthOut", "20"), ("NetworkChargeType", "PayByBandwidth")]).await.unwrap();
    let shown = caller.ecs("DescribeInstanceAttribute", &one).await.unwrap();
    assert_eq!((&shown["InternetMaxBandwidthOut"], text(&shown, "/InternetChargeType")), (&20.into(), "PayByBandwidth".to_owned()));
    assert!(caller.cloud.bills().iter().any(|bill| bill.part == "bandwidth" && bill.to.is_none()));
    spec(&[("InternetMaxBandwidthOut", "0")]).await.unwrap();
    assert!(caller.instance(&id).await.unwrap()["PublicIpAddress"]["IpAddress"].as_array().unwrap().is_empty());
    assert!(!caller.cloud.bills().iter().any(|bill| bill.part == "bandwidth" && bill.to.is_none()));
    spec(&[("InternetMaxBandwidthOut", "5"), ("AllocatePublicIp", "true")]).await.unwrap();
    assert_eq!(caller.instance(&id).await.unwrap()["PublicIpAddress"]["IpAddress"].as_array().unwrap().len(), 1);
}
