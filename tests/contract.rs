//! Holds the names and types of every call against tables that were made from the service's own documents.
//!
//! A test against our own local cloud alone could agree with its own mistakes. The tables beside this file know
//! nothing of the structs. A struct may have fewer fields than its table, never others.

use std::collections::{BTreeMap, BTreeSet};

use aliform::cloud::api::Api;
use aliform::cloud::call::Product;
use aliform::cloud::ecs::{assistant, catalogue, instance, security_group};
use aliform::cloud::{aiworkspace, bss, cs, dlc, fc, sts, vpc};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

/// Every RPC and ROA call of the crate.
macro_rules! for_every_call {
    ($each:ident) => {
        $each! {
            // As `module::Struct,`; `no_call_is_forgotten` names those that are missing.
            aiworkspace::CreateWorkspace,
            aiworkspace::GetWorkspace,
            aiworkspace::ListWorkspaces,
            aiworkspace::DeleteWorkspace,
            aiworkspace::ListImages,
            assistant::RunCommand,
            assistant::DescribeInvocationResults,
            assistant::SendFile,
            assistant::DescribeSendFileResults,
            assistant::DescribeCloudAssistantStatus,
            bss::QueryAccountBalance,
            catalogue::DescribeRegions,
            catalogue::DescribeInstanceTypes,
            catalogue::DescribeAvailableResource,
            catalogue::DescribeRecommendInstanceType,
            catalogue::DescribePrice,
            catalogue::DescribeImageFromFamily,
            cs::CreateCluster,
            cs::DescribeClusterDetail,
            cs::DescribeClustersV1,
            cs::DeleteCluster,
            cs::DescribeClusterUserKubeconfig,
            cs::CreateClusterNodePool,
            cs::DeleteClusterNodepool,
            cs::DescribeClusterNodePools,
            cs::DescribeClusterNodes,
            cs::DescribeTaskInfo,
            dlc::CreateJob,
            dlc::GetJob,
            dlc::ListJobs,
            dlc::StopJob,
            dlc::DeleteJob,
            dlc::ListEcsSpecs,
            dlc::GetPodLogs,
            dlc::GetPodEvents,
            dlc::GetJobEvents,
            fc::CreateFunction,
            fc::GetFunction,
            fc::UpdateFunction,
            fc::DeleteFunction,
            fc::ListFunctions,
            fc::PutAsyncInvokeConfig,
            fc::DeleteAsyncInvokeConfig,
            fc::GetAsyncTask,
            fc::ListAsyncTasks,
            fc::StopAsyncTask,
            instance::RunInstances,
            instance::DescribeInstances,
            instance::StartInstance,
            instance::StopInstance,
            instance::DeleteInstance,
            instance::ModifyInstanceAttribute,
            instance::ModifyInstanceSpec,
            instance::DescribeDisks,
            security_group::CreateSecurityGroup,
            security_group::DescribeSecurityGroups,
            security_group::DescribeSecurityGroupAttribute,
            security_group::AuthorizeSecurityGroup,
            security_group::RevokeSecurityGroup,
            security_group::ModifySecurityGroupAttribute,
            security_group::DeleteSecurityGroup,
            sts::GetCallerIdentity,
            vpc::CreateVpc,
            vpc::DescribeVpcs,
            vpc::ModifyVpcAttribute,
            vpc::DeleteVpc,
            vpc::CreateVSwitch,
            vpc::DescribeVSwitches,
            vpc::ModifyVSwitchAttribute,
            vpc::DeleteVSwitch,
            vpc::AllocateEipAddress,
            vpc::AssociateEipAddress,
            vpc::UnassociateEipAddress,
            vpc::ReleaseEipAddress,
            vpc::DescribeEipAddresses,
        }
    };
}

/// The fields of one side of a call: from path to type and whether it must be there.
type Fields = BTreeMap<String, (String, bool)>;

/// The sides of a call, and the way of a ROA one.
#[derive(Default)]
struct Contract {
    request: Fields,
    response: Fields,
    route: Option<String>,
}

/// The table of a product. Object storage is neither RPC nor ROA and has none.
fn table(product: Product) -> &'static str {
    match product {
        Product::Ecs => include_str!("contract/ecs.txt"),
        Product::Vpc => include_str!("contract/vpc.txt"),
        Product::Sts => include_str!("contract/sts.txt"),
        Product::Bss => include_str!("contract/bssopenapi.txt"),
        Product::Oss => "",
        Product::Fc => include_str!("contract/fc.txt"),
        Product::Cs => include_str!("contract/cs.txt"),
        Product::Dlc => include_str!("contract/pai-dlc.txt"),
        Product::AiWorkspace => include_str!("contract/aiworkspace.txt"),
    }
}

/// Lines of a table that are not comments.
fn lines(product: Product) -> impl Iterator<Item = &'static str> {
    table(product).lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What the table says of a call; `None` if it does not know it.
fn contract(product: Product, action: &str) -> Option<Contract> {
    let mut found: Option<Contract> = None;
    for line in lines(product) {
        let words: Vec<&str> = line.split(' ').collect();
        let [call, sign, path, kind] = words[..] else { panic!("`{line}` is not `call sign field type`") };
        if call != action {
            continue;
        }
        let contract = found.get_or_insert_default();
        if sign == "@" {
            contract.route = Some(format!("{kind} {path}"));
            continue;
        }
        let side = match sign {
            "?" | "!" => &mut contract.request,
            "=" => &mut contract.response,
            _ => panic!("`{sign}` is no sign, in `{line}`"),
        };
        side.insert(path.to_owned(), (kind.to_owned(), sign == "!"));
    }
    found
}

/// What is wrong with a call, a line each.
fn problems_of<A: Api + JsonSchema>() -> Vec<String>
where
    A::Response: JsonSchema,
{
    let Some(contract) = contract(A::PRODUCT, A::ACTION) else {
        return vec![format!("{} {}: no table knows this call", A::PRODUCT.code(), A::ACTION)];
    };
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let request = settings().for_serialize().into_generator().into_root_schema_for::<A>().to_value();
    let response = settings().for_deserialize().into_generator().into_root_schema_for::<A::Response>().to_value();

    let mut problems = Vec::new();
    if A::ROUTE != contract.route.as_deref() {
        problems.push(format!("goes to {:?} and not to {:?}", A::ROUTE, contract.route));
    }
    let mut taken = contract.request;
    // What stands in the path is told by the route.
    let route = contract.route.unwrap_or_default();
    let in_path = route.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    taken.extend(in_path.map(|name| (name.to_owned(), ("string".to_owned(), true))));
    walk(&request, "", &taken, &mut problems);
    let roots = taken.iter().filter(|(_, (_, required))| *required).map(|(path, _)| root(path));
    for required in roots.collect::<BTreeSet<_>>() {
        if request.pointer(&format!("/properties/{required}")).is_none() {
            problems.push(format!("request lacks `{required}`, which must be sent"));
        }
    }
    walk(&response, "", &contract.response, &mut problems);
    problems.into_iter().map(|problem| format!("{} {}: {problem}", A::PRODUCT.code(), A::ACTION)).collect()
}

/// The first name of a path.
fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// Compares a schema with the fields below `path`.
fn walk(schema: &Json, path: &str, fields: &Fields, problems: &mut Vec<String>) {
    let mut alternatives = schema.get("anyOf").or(schema.get("oneOf")).and_then(Json::as_array).cloned().unwrap_or_default();
    alternatives.retain(|schema| schema.get("type") != Some(&Json::from("null")));
    match &alternatives[..] {
        [] => {}
        [only] => return walk(only, path, fields, problems),
        several if several.iter().all(is_text) => return leaf("string", path, fields, problems),
        _ => return problems.push(format!("`{path}` has several forms")),
    }
    if is_text(schema) {
        return leaf("string", path, fields, problems);
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Json::String(kind)) => vec![kind],
        Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).filter(|kind| *kind != "null").collect(),
        _ => Vec::new(),
    };
    match kinds[..] {
        ["object"] => match schema.get("properties").and_then(Json::as_object) {
            Some(properties) => {
                for (name, schema) in properties {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(schema, &below, fields, problems);
                }
            }
            None if path.is_empty() => {}
            // A map: its names are the caller's.
            None if fields.contains_key(&format!("{path}.*")) => {
                walk(schema.get("additionalProperties").unwrap_or(&Json::Null), &format!("{path}.*"), fields, problems);
            }
            None => problems.push(format!("`{path}` is an object without fields")),
        },
        ["array"] => walk(schema.get("items").unwrap_or(&Json::Null), &format!("{path}[]"), fields, problems),
        // A struct without fields, `struct GetCallerIdentity;`.
        ["null"] | [] if path.is_empty() => {}
        [kind] => leaf(kind, path, fields, problems),
        [] => leaf("any", path, fields, problems),
        _ => problems.push(format!("`{path}` has several types")),
    }
}

/// Whether a schema is a text: by its type, or as a name from a list.
fn is_text(schema: &Json) -> bool {
    let of_texts = |names: &Json| names.as_array().is_some_and(|names| names.iter().all(|name| name.is_string() || name.is_null()));
    schema.get("type") == Some(&Json::from("string"))
        || schema.get("const").is_some_and(Json::is_string)
        || schema.get("enum").is_some_and(of_texts)
}

fn leaf(kind: &str, path: &str, fields: &Fields, problems: &mut Vec<String>) {
    match fields.get(path) {
        Some((expected, _)) if expected == kind || expected == "any" => {}
        Some((expected, _)) => problems.push(format!("`{path}` is {kind} here and {expected} there")),
        None => {
            let deeper = fields.keys().any(|field| field.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])));
            let what = if deeper { "holds more than one value there" } else { "is not there" };
            problems.push(format!("`{path}` ({kind}) {what}"));
        }
    }
}

#[test]
fn every_call_keeps_its_contract() {
    macro_rules! problems {
        ($($module:ident::$call:ident,)*) => { vec![$(problems_of::<$module::$call>(),)*] };
    }
    let problems: Vec<Vec<String>> = for_every_call!(problems);
    let problems = problems.concat();
    assert!(problems.is_empty(), "not as the service documents it:\n{}", problems.join("\n"));
}

#[test]
fn no_call_is_forgotten() {
    macro_rules! names {
        ($($module:ident::$call:ident,)*) => { vec![$((stringify!($module), stringify!($call)),)*] };
    }
    let listed: Vec<(&str, &str)> = for_every_call!(names);
    let listed: BTreeSet<String> = listed.into_iter().map(|(module, call)| format!("{module}::{call}")).collect();
    let mut declared = BTreeSet::new();
    let folders = [concat!(env!("CARGO_MANIFEST_DIR"), "/src/cloud"), concat!(env!("CARGO_MANIFEST_DIR"), "/src/cloud/ecs")];
    for entry in folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
            declared.extend(declared_calls(&file).into_iter().map(|call| format!("{module}::{call}")));
        }
    }
    assert_eq!(declared.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "add these to `for_every_call`");
}

/// The structs that a file declares as calls by `rpc!` or `roa!`.
fn declared_calls(file: &syn::File) -> Vec<String> {
    let mut calls = Vec::new();
    for item in &file.items {
        let syn::Item::Macro(item) = item else { continue };
        if item.ident.is_none() && item.mac.path.segments.last().is_some_and(|segment| segment.ident == "rpc" || segment.ident == "roa") {
            let text = item.mac.tokens.to_string();
            calls.extend(text.split(';').filter_map(|rule| rule.split_once("=>")).map(|(call, _)| call.trim().to_owned()));
        }
    }
    calls
}

#[test]
fn tables_are_sorted_and_name_each_field_once() {
    for product in Product::ALL {
        let lines: Vec<&str> = lines(product).collect();
        assert!(lines.is_sorted(), "{}", product.code());
        let fields: BTreeSet<(&str, bool, &str)> =
            lines.iter().map(|line| line.split(' ').collect::<Vec<_>>()).map(|words| (words[0], words[1] == "=", words[2])).collect();
        assert_eq!(fields.len(), lines.len(), "{}", product.code());
        let kinds = ["string", "integer", "number", "boolean", "any", "DELETE", "GET", "POST", "PUT"];
        assert!(lines.iter().all(|line| kinds.contains(&line.rsplit(' ').next().unwrap())));
    }
}

/// Structs of the tests, one as it should be and one with every kind of mistake.
#[expect(dead_code, reason = "only the schemas of these structs matter")]
mod samples {
    use aliform::cloud::api::{Api, CommaList, JsonList, Tag};
    use aliform::cloud::call::{Product, Repeat};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct Right {
        pub(crate) region_id: String,
        pub(crate) vpc_id: Option<CommaList>,
        pub(crate) page_size: Option<u32>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) tag: Vec<Tag>,
        pub(crate) is_default: Option<bool>,
        pub(crate) vpc_name: Option<Choice>,
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) enum Choice {
        #[serde(rename = "shop")]
        Shop,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct RightResponse {
        pub(crate) vpcs: Vpcs,
        #[serde(default)]
        pub(crate) total_count: i64,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct Vpcs {
        #[serde(default)]
        pub(crate) vpc: Vec<Vpc>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct Vpc {
        pub(crate) vpc_id: String,
        pub(crate) is_default: Option<bool>,
        #[serde(rename = "VSwitchIds")]
        pub(crate) v_switch_ids: Option<VSwitchIds>,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct VSwitchIds {
        #[serde(rename = "VSwitchId")]
        pub(crate) v_switch_id: Vec<String>,
    }

    impl Api for Right {
        const PRODUCT: Product = Product::Vpc;
        const ACTION: &'static str = "DescribeVpcs";
        const REPEAT: Repeat = Repeat::Safe;
        type Response = RightResponse;
    }

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct Wrong {
        pub(crate) vpc_id: JsonList,
        pub(crate) page_size: String,
        pub(crate) vpc_nme: String,
        pub(crate) tag: Tag,
        pub(crate) anything: Option<serde_json::Value>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    pub(crate) struct WrongResponse {
        pub(crate) vpcs: Vec<Vpc>,
        pub(crate) total_count: String,
        pub(crate) request_id: f64,
        pub(crate) page_number: Option<u8>,
    }

    impl Api for Wrong {
        const PRODUCT: Product = Product::Vpc;
        const ACTION: &'static str = "DescribeVpcs";
        const REPEAT: Repeat = Repeat::Safe;
        type Response = WrongResponse;
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) struct Nothing {}

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct NothingResponse {}

    impl Api for Nothing {
        const PRODUCT: Product = Product::Sts;
        const ACTION: &'static str = "GetCallerIdentity";
        const REPEAT: Repeat = Repeat::Safe;
        type Response = NothingResponse;
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) struct Unheard {}

    impl Api for Unheard {
        const PRODUCT: Product = Product::Vpc;
        const ACTION: &'static str = "DescribeVPCs";
        const REPEAT: Repeat = Repeat::Safe;
        type Response = NothingResponse;
    }
}

#[test]
fn right_structs_pass() {
    assert_eq!(problems_of::<samples::Right>(), Vec::<String>::new());
    assert_eq!(problems_of::<samples::Nothing>(), Vec::<String>::new());
}

#[test]
fn every_mistake_is_found() {
    assert_eq!(
        problems_of::<samples::Wrong>(),
        [
            "vpc DescribeVpcs: `Anything` (any) is not there",
            "vpc DescribeVpcs: `PageSize` is string here and integer there",
            "vpc DescribeVpcs: `Tag.Key` (string) is not there",
            "vpc DescribeVpcs: `Tag.Value` (string) is not there",
            "vpc DescribeVpcs: `VpcNme` (string) is not there",
            "vpc DescribeVpcs: request lacks `RegionId`, which must be sent",
            "vpc DescribeVpcs: `RequestId` is number here and string there",
            "vpc DescribeVpcs: `TotalCount` is string here and integer there",
            "vpc DescribeVpcs: `Vpcs[].IsDefault` (boolean) is not there",
            "vpc DescribeVpcs: `Vpcs[].VSwitchIds.VSwitchId[]` (string) is not there",
            "vpc DescribeVpcs: `Vpcs[].VpcId` (string) is not there",
        ]
    );
    assert_eq!(problems_of::<samples::Unheard>(), ["vpc DescribeVPCs: no table knows this call"]);
}

#[test]
fn declared_calls_are_read_from_the_source() {
    let file =
        syn::parse_file("rpc! { RunInstances => Answer<Vec<u8>>, Ecs, Safe; DeleteVpc => Done, Vpc, Safe; } macro_rules! rpc { () => {} }");
    assert_eq!(declared_calls(&file.unwrap()), ["RunInstances", "DeleteVpc"]);
}
