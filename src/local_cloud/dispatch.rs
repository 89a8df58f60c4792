//! Which product and call a request is, who sent it, and the way of a call through the world.

use std::sync::Arc;

use serde_json::Value as Json;

use super::auth::{self, Caller};
use super::call::{Call, Outcome};
use super::idempotency::ticket;
use super::instance::{attributes, describe as instances, interface, modify, network, power, release, role, run, subscription};
use super::roa::RoaCall;
use super::runtime::Shared;
use super::security_group::members;
use super::security_group::rules::{self, Direction};
use super::tags::Side;
use super::wire::fault::Fault;
use super::wire::format::Format;
use super::wire::params::Params;
use super::wire::{Request, Response};
use super::{
    account_attributes, assistant, bss, cs, disk, eip, fc, image, instance_type, key_pair, market, nat, oss, pai, price, region, route,
    security_group, stock, sts, tags, vpc, vswitch,
};

/// The products, by the version that names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Ecs,
    Vpc,
    Sts,
    Bss,
    Fc,
    Cs,
    Dlc,
    AiWorkspace,
}

impl Product {
    fn of(version: &str) -> Option<Product> {
        Some(match version {
            "2014-05-26" => Product::Ecs,
            "2016-04-28" => Product::Vpc,
            "2015-04-01" => Product::Sts,
            "2017-12-14" => Product::Bss,
            "2023-03-30" => Product::Fc,
            "2015-12-15" => Product::Cs,
            "2020-12-03" => Product::Dlc,
            "2021-02-04" => Product::AiWorkspace,
            _ => return None,
        })
    }

    /// The name that links to help carry.
    fn name(self) -> &'static str {
        match self {
            Product::Ecs => "Ecs",
            Product::Vpc => "Vpc",
            Product::Sts => "Sts",
            Product::Bss => "BssOpenApi",
            Product::Fc => "FC",
            Product::Cs => "CS",
            Product::Dlc => "pai-dlc",
            Product::AiWorkspace => "AIWorkSpace",
        }
    }

    /// Whether its calls are told apart by method and path.
    fn is_roa(self) -> bool {
        matches!(self, Product::Fc | Product::Cs | Product::Dlc | Product::AiWorkspace)
    }
}

/// The name of the product that a version names.
pub(crate) fn product_name(version: &str) -> Option<&'static str> {
    Product::of(version).map(Product::name)
}

/// Answers a request of any product. `refused` is a fault that was drawn for it.
pub(crate) async fn answer(shared: &Arc<Shared>, request: &Request, params: &Params, refused: Option<Fault>) -> Response {
    let request_id = shared.request_id();
    if fc::is_visitor(request) {
        return fc::answer_visitor(shared, request).await;
    }
    let action = request.header("x-acs-action").or_else(|| params.text("Action"));
    let version = request.header("x-acs-version").or_else(|| params.text("Version"));
    if let Some(product) = version.and_then(Product::of).filter(|product| product.is_roa()) {
        return match roa(shared, request, product, &request_id, refused).await {
            Ok(response) => response,
            Err(fault) => fault.answer(&request_id, &request.host, product.name()),
        };
    }
    if action.is_none() && version.is_none() {
        return oss::handle(shared, request, &request_id, refused).await;
    }
    let format = Format::of(request, params);
    let refuse =
        |fault: Fault, product: &str| fault.answer_as(*format.as_ref().unwrap_or(&Format::Xml), &request_id, &request.host, product);
    let (Some(action), Some(version)) = (action, version) else {
        return refuse(Fault::mandatory(if action.is_none() { "Action" } else { "Version" }), "");
    };
    let Some(product) = Product::of(version) else {
        return refuse(Fault::bad("InvalidVersion", "Specified parameter Version is not valid."), "");
    };
    let format = match &format {
        Ok(format) => *format,
        Err(fault) => return refuse(fault.clone(), product.name()),
    };
    match rpc(shared, request, params, product, action, refused).await {
        Ok(Answer::Value(mut body)) => {
            body["RequestId"] = request_id.clone().into();
            format.answer(200, &request_id, &format!("{action}Response"), &body)
        }
        // Only JSON is rendered ahead.
        Ok(Answer::Rendered(fields)) if format == Format::Json => Response::rendered(&request_id, &fields),
        Ok(Answer::Rendered(fields)) => {
            let mut body: Json = serde_json::from_str(&fields).unwrap_or_default();
            body["RequestId"] = request_id.clone().into();
            format.answer(200, &request_id, &format!("{action}Response"), &body)
        }
        Err(fault) => refuse(fault, product.name()),
    }
}

async fn rpc(
    shared: &Arc<Shared>,
    request: &Request,
    params: &Params,
    product: Product,
    action: &str,
    refused: Option<Fault>,
) -> Result<Answer, Fault> {
    if !matches!(request.method, http::Method::GET | http::Method::POST | http::Method::HEAD) || !matches!(request.path.as_str(), "/" | "")
    {
        return Err(unknown_action());
    }
    let caller = match (product, action) {
        // Its token is its proof.
        (Product::Sts, "AssumeRoleWithOIDC") => Caller::default(),
        _ => authenticate(shared, request, params, false)?,
    };
    refused.map_or(Ok(()), Err)?;
    if let Some(read) = rendered(product, action) {
        let (outcome, number) = shared.commit(|world, now| {
            read(&mut Call { world, config: &shared.config, catalog: shared.catalog, keys: &shared.keys, now, caller: &caller, params })
        });
        let fields = outcome?;
        shared.settle(number).await.map_err(|reason| Fault::new(500, "InternalError", reason))?;
        return Ok(Answer::Rendered(fields));
    }
    let operation = operation(product, action).ok_or_else(unknown_action)?;
    if action == "CreateKeyPair" {
        let made =
            tokio::task::spawn_blocking(key_pair::make).await.map_err(|error| Fault::new(500, "InternalError", error.to_string()))?;
        shared.world().index.fresh_keys.push(made?);
    }
    let (outcome, number) = shared.commit(|world, now| {
        // The account's first secret keys the digests: it is there as long as its tokens matter.
        let secret = shared.config.keys.first().map_or("", |key| key.secret.reveal());
        let ticket = ticket(action, params, secret)?;
        if let Some(ticket) = &ticket
            && let Some(answer) = ticket.answered(world, action)?
        {
            return Ok(answer);
        }
        let mut call = Call { world, config: &shared.config, keys: &shared.keys, catalog: shared.catalog, now, caller: &caller, params };
        let answer = operation(&mut call)?;
        if let Some(ticket) = ticket {
            ticket.keep(world, &answer, now);
        }
        Ok(answer)
    });
    let answer = outcome?;
    shared.settle(number).await.map_err(|reason| Fault::new(500, "InternalError", reason))?;
    Ok(Answer::Value(answer))
}

/// What a call answers, without the request id.
enum Answer {
    Value(Json),
    /// The text of a JSON object that is not empty.
    Rendered(String),
}

type Rendered = fn(&mut Call) -> Result<String, Fault>;

/// Calls that render their answers themselves, because they are asked for all the time.
fn rendered(product: Product, action: &str) -> Option<Rendered> {
    match (product, action) {
        (Product::Ecs, "DescribeInstances") => Some(instances::describe),
        _ => None,
    }
}

async fn roa(
    shared: &Arc<Shared>,
    request: &Request,
    product: Product,
    request_id: &str,
    refused: Option<Fault>,
) -> Result<Response, Fault> {
    let caller = authenticate(shared, request, &Params::default(), true)?;
    refused.map_or(Ok(()), Err)?;
    let call = RoaCall::new(shared, request, request_id, &caller);
    match product {
        Product::Fc => fc::handle(&call).await,
        Product::Cs => cs::handle(&call).await,
        Product::Dlc => pai::dlc(&call).await,
        Product::AiWorkspace => pai::workspace(&call).await,
        Product::Ecs | Product::Vpc | Product::Sts | Product::Bss => Err(unknown_action()),
    }
}

/// There is no such call.
pub(crate) fn unknown_action() -> Fault {
    Fault::missing("InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
}

fn authenticate(shared: &Shared, request: &Request, params: &Params, is_roa: bool) -> Result<Caller, Fault> {
    let now = shared.wall_now();
    let lookup = |id: &str, token: Option<&str>| auth::credential(&shared.config, &shared.keys, id, token, now);
    let proof = auth::verify(request, params, is_roa, &lookup, now)?;
    let mut nonces = shared.nonces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nonces.take(&proof.caller.key, proof.nonce, now)?;
    Ok(proof.caller)
}

type Operation = fn(&mut Call) -> Outcome;

fn operation(product: Product, action: &str) -> Option<Operation> {
    match product {
        Product::Ecs => ecs(action),
        Product::Vpc => vpc_operation(action),
        Product::Sts => sts_operation(action),
        Product::Bss => bss::operation(action),
        Product::Fc | Product::Cs | Product::Dlc | Product::AiWorkspace => None,
    }
}

fn ecs(action: &str) -> Option<Operation> {
    Some(match action {
        "DescribeRegions" => region::describe,
        "DescribeZones" => region::describe_zones,
        "DescribeInstanceTypes" => instance_type::describe,
        "DescribeInstanceTypeFamilies" => instance_type::describe_families,
        "DescribeAccountAttributes" => account_attributes::describe,
        "DescribeAvailableResource" => stock::describe,
        "DescribeRecommendInstanceType" => stock::recommend,
        "DescribePrice" => price::describe::describe,
        "DescribeInstanceModificationPrice" => price::modification::describe,
        "DescribeSpotPriceHistory" => market::history,
        "DescribeImages" => image::describe,
        "DescribeImageFromFamily" => image::from_family,
        "CreateSecurityGroup" => security_group::create,
        "DeleteSecurityGroup" => security_group::delete,
        "DescribeSecurityGroups" => security_group::describe,
        "DescribeSecurityGroupAttribute" => security_group::describe_attribute,
        "ModifySecurityGroupAttribute" => security_group::modify,
        "AuthorizeSecurityGroup" => |call| rules::authorize(call, Direction::Ingress),
        "AuthorizeSecurityGroupEgress" => |call| rules::authorize(call, Direction::Egress),
        "RevokeSecurityGroup" => |call| rules::revoke(call, Direction::Ingress),
        "RevokeSecurityGroupEgress" => |call| rules::revoke(call, Direction::Egress),
        "ModifySecurityGroupRule" => rules::modify,
        "ModifySecurityGroupPolicy" => members::modify_policy,
        "JoinSecurityGroup" => members::join,
        "LeaveSecurityGroup" => members::leave,
        "RunInstances" => run::run,
        "DescribeInstanceStatus" => instances::describe_status,
        "StartInstance" => |call| power::one(call, power::Switch::Start),
        "StartInstances" => |call| power::many(call, power::Switch::Start),
        "StopInstance" => |call| power::one(call, power::Switch::Stop),
        "StopInstances" => |call| power::many(call, power::Switch::Stop),
        "RebootInstance" => |call| power::one(call, power::Switch::Reboot),
        "DeleteInstance" => release::one,
        "DeleteInstances" => release::many,
        "ModifyInstanceAttribute" => modify::attribute,
        "ModifyInstanceSpec" => modify::spec,
        "ModifyInstanceAutoReleaseTime" => modify::auto_release,
        "ModifyInstanceChargeType" => subscription::modify,
        "ModifyInstanceNetworkSpec" => network::modify,
        "AllocatePublicIpAddress" => network::allocate,
        "DescribeInstanceAttribute" => attributes::describe,
        "DescribeUserData" => attributes::user_data,
        "DescribeInstanceMaintenanceAttributes" => attributes::maintenance,
        "DescribeInstanceAutoRenewAttribute" => subscription::describe_renewal,
        "DescribeNetworkInterfaces" => interface::describe,
        "AttachInstanceRamRole" => role::attach,
        "DescribeInstanceRamRole" => role::describe,
        "CreateKeyPair" => key_pair::create,
        "ImportKeyPair" => key_pair::import,
        "DescribeKeyPairs" => key_pair::describe,
        "DeleteKeyPairs" => key_pair::delete,
        "AttachKeyPair" => key_pair::attach,
        "DescribeDisks" => disk::describe,
        "ResizeDisk" => disk::change::resize,
        "ReplaceSystemDisk" => disk::change::replace,
        "DeleteDisk" => disk::change::delete,
        "TagResources" => |call| tags::tag(call, Side::Ecs),
        "UntagResources" => |call| tags::untag(call, Side::Ecs),
        "ListTagResources" => |call| tags::list(call, Side::Ecs),
        "CreateCommand" => assistant::command::create,
        "DeleteCommand" => assistant::command::delete,
        "DescribeCommands" => assistant::command::describe,
        "RunCommand" => assistant::start::run,
        "InvokeCommand" => assistant::start::invoke,
        "StopInvocation" => assistant::start::stop,
        "DescribeInvocations" => assistant::describe::invocations,
        "DescribeInvocationResults" => assistant::describe::results,
        "DescribeCloudAssistantStatus" => assistant::describe::status,
        "SendFile" => assistant::send::send,
        "DescribeSendFileResults" => assistant::send::describe,
        _ => return None,
    })
}

fn sts_operation(action: &str) -> Option<Operation> {
    Some(match action {
        "AssumeRole" => sts::assume_role,
        "AssumeRoleWithOIDC" => sts::assume_role_with_oidc,
        "GetCallerIdentity" => sts::caller_identity,
        _ => return None,
    })
}

fn vpc_operation(action: &str) -> Option<Operation> {
    Some(match action {
        "CreateVpc" => vpc::create,
        "DescribeVpcs" => vpc::describe,
        "DescribeVpcAttribute" => vpc::describe_attribute,
        "ModifyVpcAttribute" => vpc::modify,
        "DeleteVpc" => vpc::delete,
        "CreateVSwitch" => vswitch::create,
        "DescribeVSwitches" => vswitch::describe,
        "DescribeVSwitchAttributes" => vswitch::describe_attributes,
        "ModifyVSwitchAttribute" => vswitch::modify,
        "DeleteVSwitch" => vswitch::delete,
        "AllocateEipAddress" => eip::allocate,
        "AssociateEipAddress" => eip::associate,
        "UnassociateEipAddress" => eip::unassociate,
        "ReleaseEipAddress" => eip::release,
        "DescribeEipAddresses" => eip::describe::describe,
        "ModifyEipAddressAttribute" => eip::modify,
        "CreateNatGateway" => nat::create,
        "DescribeNatGateways" => nat::describe::describe,
        "DeleteNatGateway" => nat::delete,
        "CreateSnatEntry" => nat::snat::create,
        "DescribeSnatTableEntries" => nat::snat::describe,
        "DeleteSnatEntry" => nat::snat::delete,
        "DescribeRouteTables" => route::describe_tables,
        "DescribeRouteTableList" => route::describe_list,
        "DescribeRegions" => region::describe_for_vpc,
        "DescribeZones" => region::describe_zones_for_vpc,
        "TagResources" => |call| tags::tag(call, Side::Vpc),
        "UnTagResources" => |call| tags::untag(call, Side::Vpc),
        "ListTagResources" => |call| tags::list(call, Side::Vpc),
        _ => return None,
    })
}
