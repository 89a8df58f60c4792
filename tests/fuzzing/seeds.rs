//! What the changes start from: a story for every call of the tables in `tests/contract`, for every route, and requests
//! with signatures that are good.

use std::collections::BTreeMap;
use std::path::Path;

/// Versions by table.
const RPC: &[(&str, &str)] = &[("ecs", "2014-05-26"), ("vpc", "2016-04-28"), ("sts", "2015-04-01"), ("bssopenapi", "2017-12-14")];

/// How many calls of one action a story makes.
const CALLS: usize = 16;

/// What most calls need to be there.
const PRELUDE: &str = "rpc\t2016-04-28\tCreateVpc\tRegionId=cn-hangzhou&CidrBlock=10.0.0.0/8\nwait\t1000\n\
    rpc\t2016-04-28\tCreateVSwitch\tRegionId=cn-hangzhou&VpcId=${VpcId}&ZoneId=cn-hangzhou-h&CidrBlock=10.1.0.0/24\nwait\t1000\n\
    rpc\t2014-05-26\tCreateSecurityGroup\tRegionId=cn-hangzhou&VpcId=${VpcId}\n\
    rpc\t2014-05-26\tRunInstances\tRegionId=cn-hangzhou&ImageId=aliyun_3_x64_20G_alibase_20260513.vhd&InstanceType=ecs.u1-c1m2.large\
    &VSwitchId=${VSwitchId}&SecurityGroupId=${SecurityGroupId}&InternetMaxBandwidthOut=5\nwait\t3000\n\
    rpc\t2016-04-28\tAllocateEipAddress\tRegionId=cn-hangzhou&Bandwidth=5\n\
    rpc\t2014-05-26\tRunCommand\tRegionId=cn-hangzhou&Type=RunShellScript&CommandContent=ZWNobyBoaQ==&InstanceId.1=${InstanceIdSet}\nwait\t1000\n";

const OSS: &[&str] = &[
    "oss\tPUT\tshop\t\t\t",
    "oss\tPUT\tshop\ta/b.txt\tcontent-type=text/plain;x-oss-meta-owner=me;x-oss-forbid-overwrite=true\thello",
    "oss\tGET\tshop\ta/b.txt\trange=bytes=1-2",
    "oss\tHEAD\tshop\ta/b.txt\tif-none-match=\"5D41402ABC4B2A76B9719D911017C592\"",
    "oss\tGET\tshop\t?list-type=2&prefix=a%2F&delimiter=%2F&max-keys=1&encoding-type=url",
    "oss\tGET\tshop\t?bucketInfo",
    "oss\tPUT\tshop\t?acl\tx-oss-acl=public-read",
    "oss\tPOST\tshop\tbig?uploads",
    "oss\tPUT\tshop\tbig?partNumber=1&uploadId=${UploadId}\t\tpart",
    "oss\tPOST\tshop\tbig?uploadId=${UploadId}\t\t<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    "oss\tPOST\tshop\t?delete\t\t<Delete><Quiet>false</Quiet><Object><Key>a/b.txt</Key></Object></Delete>",
    "oss\tPUT\tshop\tcopy\tx-oss-copy-source=/shop/a/b.txt",
    "oss\tGET\t\t",
    "oss\tDELETE\tshop\ta/b.txt",
    "oss\tDELETE\tshop\t",
];

fn value_of(name: &str, kind: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name).trim_end_matches("[]");
    let known = match last {
        "RegionId" => "cn-hangzhou",
        "ZoneId" | "DestinationZone" => "cn-hangzhou-h",
        "CidrBlock" => "10.2.0.0/24",
        "VpcId" => "${VpcId}",
        "VSwitchId" => "${VSwitchId}",
        "SecurityGroupId" => "${SecurityGroupId}",
        "InstanceIds" => "[\"${InstanceIdSet}\"]",
        "InstanceId" | "ResourceId" => "${InstanceIdSet}",
        "AllocationId" => "${AllocationId}",
        "InvokeId" => "${InvokeId}",
        "InstanceType" => "ecs.u1-c1m2.large",
        "ImageId" => "aliyun_3_x64_20G_alibase_20260513.vhd",
        "ResourceType" => "instance",
        "IpProtocol" => "tcp",
        "PortRange" => "22/22",
        "SourceCidrIp" | "DestCidrIp" => "10.0.0.0/8",
        "CommandContent" | "Content" => "ZWNobyBoaQ==",
        "Type" => "RunShellScript",
        "TargetDir" => "/tmp",
        "RoleArn" => "acs:ram::1000000000000001:role/deploy",
        "RoleSessionName" => "test",
        "DestinationResource" => "InstanceType",
        "DryRun" | "AllInstances" => "false",
        _ if kind == "integer" => "1",
        _ if kind == "boolean" => "true",
        _ => "a",
    };
    known.to_owned()
}

/// `Name[]` as `Name.1`.
fn wire_name(path: &str) -> String {
    path.replace("[]", ".1")
}

fn tables() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

/// Stories, and every name of a parameter.
pub(crate) fn stories() -> (Vec<Vec<u8>>, Vec<String>) {
    let mut stories = Vec::new();
    let mut names = Vec::new();
    for (table, version) in RPC {
        let text = std::fs::read_to_string(tables().join(format!("{table}.txt"))).expect("a table of the contract");
        let mut calls: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [action, sign, path, kind] = fields[..] else { continue };
            let [required, optional] = calls.entry(action).or_default();
            if sign != "=" && path.matches("[]").count() < 3 {
                let list = if sign == "!" { required } else { optional };
                list.push(format!("{}={}", wire_name(path), value_of(path, kind)));
                names.push(wire_name(path));
            }
        }
        for (action, [required, optional]) in calls {
            // One of those that may be sent at a time: together they only hide one another's mistakes.
            let none = [String::new()];
            for some in none.iter().chain(&optional).collect::<Vec<_>>().chunks(CALLS) {
                let calls = some.iter().zip(["rpc", "xml"].iter().cycle()).map(|(optional, kind)| {
                    let params: Vec<&str> =
                        required.iter().chain([*optional]).map(String::as_str).filter(|pair| !pair.is_empty()).collect();
                    format!("{kind}\t{version}\t{action}\t{}\n", params.join("&"))
                });
                stories.push(format!("{PRELUDE}{}wait\t1000\n", calls.collect::<String>()).into_bytes());
            }
        }
    }
    let routes = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzzing/routes.txt")).expect("the routes");
    let routes: Vec<&str> = routes.lines().filter(|line| !line.starts_with('#')).collect();
    for (at, route) in routes.iter().enumerate() {
        // What creates comes first in the table; each story makes a few of them.
        let before: String = routes[at.saturating_sub(4)..at].iter().map(|line| format!("{line}\n")).collect();
        stories.push(format!("{before}{route}\nwait\t5000\n{route}\n").into_bytes());
    }
    stories.push(format!("{}\n", OSS.join("\n")).into_bytes());
    for line in OSS {
        stories.push(format!("{}\n{}\n{line}\n", OSS[0], OSS[1]).into_bytes());
    }
    let session =
        "as\tuser\nrpc\t2015-04-01\tAssumeRole\tRoleArn=acs:ram::1000000000000001:role/deploy&RoleSessionName=test\nas\tsession\n";
    stories
        .push(format!("{session}rpc\t2015-04-01\tGetCallerIdentity\t\nwait\t3600000\nxml\t2015-04-01\tGetCallerIdentity\t\n").into_bytes());
    names.sort();
    names.dedup();
    (stories, names)
}

/// Requests with the golden signatures of the documents and of others, most of them of keys that are not known here.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let date = "2026-01-02T03:04:05Z";
    let acs3 = format!(
        "POST /?RegionId=cn-hangzhou\nhost: 127.0.0.1\naccept: application/json\nx-acs-action: DescribeRegions\nx-acs-version: 2014-05-26\n\
         x-acs-date: {date}\nx-acs-signature-nonce: 1\nx-acs-security-token: CAIS+token==\nauthorization: ACS3-HMAC-SHA256 \
         Credential=local,SignedHeaders=host;x-acs-action;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,Signature=00"
    );
    let rpc = format!(
        "POST /\ncontent-type: application/x-www-form-urlencoded\n\nAccessKeyId=local&Action=DescribeRegions&Format=JSON&SignatureMethod=HMAC-SHA1\
         &SignatureNonce=1&SignatureVersion=1.0&Timestamp={date}&Version=2014-05-26&SecurityToken=CAIS&Signature=AAAA"
    );
    let roa = "POST /clusters?a=x+y&b=2&c\naccept: application/json\ncontent-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\ncontent-type: application/json\n\
               date: Fri, 02 Jan 2026 03:04:05 GMT\nx-acs-action: CreateCluster\nx-acs-signature-method: HMAC-SHA1\nx-acs-signature-nonce: 1\n\
               x-acs-version: 2015-12-15\nauthorization: acs local:IvgDWzfYPknQTU3GfW1bQbpztJ0=\n\n{}";
    let oss = "GET /shop/a%20b?list-type=2&prefix=a\nhost: shop.oss-cn-hangzhou.aliyuncs.com\nx-oss-date: 20260102T030405Z\n\
               x-oss-content-sha256: UNSIGNED-PAYLOAD\nx-oss-security-token: CAIS\nrange: bytes=0-1\nauthorization: OSS4-HMAC-SHA256 \
               Credential=local/20260102/cn-hangzhou/oss/aliyun_v4_request,AdditionalHeaders=host;range,Signature=00";
    let link = "GET /shop/key?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20260102T030405Z&x-oss-expires=3600\
                &x-oss-credential=local%2F20260102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-additional-headers=host&x-oss-signature=00\n\
                host: 127.0.0.1";
    let old = "GET /shop/key\nhost: 127.0.0.1\ndate: Fri, 02 Jan 2026 03:04:05 GMT\nauthorization: OSS local:AAAA";
    let old_link = "GET /shop/key?OSSAccessKeyId=local&Expires=1767326645&Signature=Sg%2BQ&security-token=CAIS\nhost: 127.0.0.1";
    let oidc = "GET /?Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON&RoleArn=acs:ram::1000000000000001:role/r&RoleSessionName=test\
                &OIDCProviderArn=acs:ram::1000000000000001:oidc-provider/p&DurationSeconds=900\
                &OIDCToken=eyJhbGciOiJub25lIn0.eyJpc3MiOiJhIiwic3ViIjoiYiIsImF1ZCI6WyJjIl0sImlhdCI6MSwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln\nhost: x";
    [&acs3, &rpc, roa, oss, link, old, old_link, oidc, "GET /\nhost: 127.0.0.1"].map(|text| text.as_bytes().to_vec()).into()
}
