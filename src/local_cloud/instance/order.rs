//! An order of RunInstances: everything that a call says, checked before anything is made.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::first_boot;
use super::spot::Spot;
use super::subscription::{self, Term};
use super::{Settings, login, run, unsupported};
use crate::local_cloud::call::Call;
use crate::local_cloud::catalog::{Image, InstanceType, Region};
use crate::local_cloud::config::Stock;
use crate::local_cloud::price::{self, Disk, Line, Parts, Span};
use crate::local_cloud::vswitch::VSwitch;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::{Params, Tags};
use crate::local_cloud::{image, key_pair, security_group, stock, vswitch};

/// How many groups an instance may be in.
pub(crate) const MOST_GROUPS: usize = 5;

/// A disk that was ordered.
pub(super) struct DiskOrder {
    pub(super) spec: Disk,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) delete_with_instance: bool,
    pub(super) encrypted: bool,
    pub(super) kms_key: String,
}

/// Everything that was checked.
pub(super) struct Order {
    pub(super) region: &'static Region,
    pub(super) kind: &'static InstanceType,
    pub(super) image: &'static Image,
    pub(super) vswitch: VSwitch,
    pub(super) groups: Vec<String>,
    pub(super) count: usize,
    pub(super) private_ip: Option<Ipv4Addr>,
    pub(super) bandwidth_out: u32,
    pub(super) internet_charge: String,
    /// The system disk first.
    pub(super) disks: Vec<DiskOrder>,
    /// What one instance costs: an hour, or the term.
    pub(super) lines: Vec<Line>,
    pub(super) term: Option<Term>,
    pub(super) renewal: Option<Term>,
    pub(super) auto_release: Option<Timestamp>,
    pub(super) vanishing: bool,
    pub(super) spot: Spot,
    pub(super) key_pair: Option<String>,
    pub(super) role: String,
    pub(super) user_data: String,
    pub(super) settings: Settings,
    pub(super) tags: Tags,
}

pub(super) fn check(call: &mut Call) -> Result<Order, Fault> {
    let region = call.region()?;
    let params = call.params;
    unsupported::check(params)?;
    let prepaid = charge_type(params)? == "PrePaid";
    let term = if prepaid { Some(Term::read(call)?) } else { None };
    let renewal = term.map(|term| Term::read_renewal(call, term)).transpose()?.flatten();
    check_texts(call)?;
    let kind = price::kind_of(call, params.required("InstanceType")?)?;
    let image = match params.text("ImageId") {
        Some(id) => image::find(call, id)?,
        None => image::by_family(call, params.text("ImageFamily").ok_or_else(|| Fault::mandatory("ImageId"))?)?,
    };
    if !kind.runs(image.architecture) {
        return Err(Fault::bad("ImageNotSupportInstanceType", "The specified image does not support the specified InstanceType."));
    }
    let primary = params.structs("NetworkInterface").into_iter().next().unwrap_or_default();
    let vswitch = place(call, &primary)?;
    let (least, count) = amounts(call)?;
    let groups = groups(call, &primary, &vswitch, count)?;
    let private_ip = address(call, &primary, &vswitch, count)?;
    let bandwidth_out = bandwidth(params)?;
    let internet_charge = params.choice("InternetChargeType", &["PayByTraffic", "PayByBandwidth"], "PayByTraffic")?;
    let disks = disks(call, kind, image)?;
    let market = kind.prices.get(region.id).map(|list| call.world.index.market.price(*list, &vswitch.zone, &kind.name, call.now));
    let spot = Spot::read(call, prepaid, market)?;
    let auto_release = params.text("AutoReleaseTime").map(|text| run::auto_release(text, call.now)).transpose()?;
    if auto_release.is_some() && prepaid {
        return Err(Fault::forbidden("ChargeTypeViolation", "The operation is not permitted due to charge type of the instance."));
    }
    let key_pair = params.text("KeyPairName").map(|name| key_pair::find(call, region.id, name).map(|key| key.name.clone())).transpose()?;
    login::role(params.text("RamRoleName").unwrap_or_default())?;
    let tags = params.tags()?;
    let settings = settings(params, kind)?;
    let (count, vanishing) = supply(call, region, &vswitch.zone, kind, least, count)?;
    let data: Vec<Disk> = disks.iter().skip(1).map(|disk| disk.spec.clone()).collect();
    let system = disks.first().map(|disk| &disk.spec).ok_or_else(|| Fault::mandatory("SystemDisk.Category"))?;
    let parts = Parts { kind, system, data: &data, bandwidth: bandwidth_out, internet_charge };
    let lines = lines(call, region, &parts, term, market.filter(|_| spot.is_spot()))?;
    quota(call, region, kind, count)?;
    check_money(call, term, &lines, count)?;
    Ok(Order {
        region,
        kind,
        image,
        groups,
        count,
        private_ip,
        bandwidth_out,
        internet_charge: internet_charge.to_owned(),
        disks,
        lines,
        term,
        renewal,
        auto_release,
        vanishing,
        spot,
        key_pair,
        role: params.owned("RamRoleName"),
        user_data: params.owned("UserData"),
        settings,
        tags,
        vswitch,
    })
}

fn charge_type(params: &Params) -> Result<&str, Fault> {
    params
        .choice("InstanceChargeType", &["PostPaid", "PrePaid"], "PostPaid")
        .map_err(|_| Fault::bad("InvalidInstanceChargeType.ValueNotSupported", "The specified InstanceChargeType is not valid."))
}

/// What the parts cost; a spot instance pays the market price.
fn lines(call: &Call, region: &Region, parts: &Parts, term: Option<Term>, market: Option<Decimal>) -> Result<Vec<Line>, Fault> {
    if let Some(term) = term {
        return Ok(price::scaled(call, region.id, parts.kind, subscription::prices(call.catalog, region.id, parts, term)?));
    }
    let mut lines = price::scaled(call, region.id, parts.kind, price::instance(call.catalog, region.id, parts, Span::Hour)?);
    if let Some(market) = market {
        price::at_market(&mut lines, market);
    }
    Ok(lines)
}

fn check_money(call: &Call, term: Option<Term>, lines: &[Line], count: usize) -> Result<(), Fault> {
    if term.is_none() {
        return call.check_balance();
    }
    let total: Decimal = lines.iter().map(|line| line.amount).sum();
    if call.balance() < total * Decimal::from(count) {
        return Err(Fault::forbidden("InvalidAccountStatus.NotEnoughBalance", "Your account does not have enough balance."));
    }
    Ok(())
}

fn place(call: &Call, primary: &Params) -> Result<VSwitch, Fault> {
    let params = call.params;
    let both = |name: &str| params.text(name).is_some() && primary.text(name).is_some();
    if both("VSwitchId") || both("SecurityGroupId") {
        return Err(Fault::bad("InvalidParameter.Conflict", "VSwitchId and SecurityGroupId are given twice, also by NetworkInterface.1."));
    }
    let id = params.text("VSwitchId").or_else(|| primary.text("VSwitchId")).ok_or_else(|| Fault::mandatory("VSwitchId"))?;
    let vswitch = vswitch::find(call, id)?.clone();
    if vswitch.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectVSwitchStatus", "The current status of the vSwitch does not support this operation."));
    }
    if params.text("ZoneId").is_some_and(|zone| zone != vswitch.zone) {
        return Err(Fault::bad("InvalidParameter.NotMatch", "The specified ZoneId does not match that of the vSwitch."));
    }
    Ok(vswitch)
}

fn check_texts(call: &Call) -> Result<(), Fault> {
    call.name("InstanceName")?;
    call.description()?;
    let host = call.params.owned("HostName");
    check_host_name(&host)?;
    let hosts = call.params.list("HostNames", 100)?;
    if !hosts.is_empty() && !host.is_empty() {
        return Err(Fault::bad("InvalidParameter.Conflict", "HostName and HostNames can't be used together."));
    }
    hosts.iter().try_for_each(|host| check_host_name(host))?;
    login::check(call)?;
    let inherits = call.params.boolean("PasswordInherit")?;
    if inherits && (call.params.text("Password").is_some() || call.params.text("KeyPairName").is_some()) {
        return Err(Fault::bad("InvalidParameter.Conflict", "PasswordInherit can't be used together with Password or KeyPairName."));
    }
    check_user_data(call.params.text("UserData"))
}

/// A host name of Linux: ordered names in brackets are counted first.
pub(super) fn check_host_name(host: &str) -> Result<(), Fault> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ',');
    let dots = host.starts_with(['.', '-']) || host.ends_with(['.', '-']) || host.contains("..") || host.contains("--");
    if !host.is_empty() && (!(2..=64).contains(&host.len()) || !host.chars().all(known) || dots) {
        return Err(Fault::bad("InvalidHostName.Malformed", "The specified parameter HostName is not valid."));
    }
    Ok(())
}

/// User data must be Base64 of at most 32 KB, and nothing that only a whole cloud-init would understand.
pub(super) fn check_user_data(data: Option<&str>) -> Result<(), Fault> {
    let Some(data) = data else { return Ok(()) };
    let Ok(bytes) = STANDARD.decode(data) else {
        return Err(Fault::bad("InvalidUserData.Base64FormatInvalid", "The specified parameter UserData must be base64 encoded."));
    };
    if bytes.len() > 32 * 1024 {
        return Err(Fault::bad("InvalidUserData.SizeExceeded", "The specified parameter UserData exceeds the size."));
    }
    if first_boot::needs_cloud_init(&bytes) {
        let message = "Machines of the local cloud run user data that starts with `#!`; cloud-config, includes and archives are not read.";
        return Err(Fault::bad("InvalidUserData.NotSupported", message));
    }
    Ok(())
}

/// How many instances there must be, and how many are wanted.
fn amounts(call: &Call) -> Result<(usize, usize), Fault> {
    let count: usize = call.params.number("Amount")?.unwrap_or(1);
    if !(1..=100).contains(&count) {
        return Err(Fault::bad("InvalidAmount.NotSupported", "The specified Amount is beyond the permitted range."));
    }
    let least: usize = call.params.number("MinAmount")?.unwrap_or(count);
    if !(1..=count).contains(&least) {
        return Err(Fault::bad("InvalidAmount.NotSupported", "The specified MinAmount is beyond the permitted range."));
    }
    Ok((least, count))
}

fn groups(call: &Call, primary: &Params, vswitch: &VSwitch, count: usize) -> Result<Vec<String>, Fault> {
    let params = call.params;
    let mut groups = params.list("SecurityGroupIds", 16)?;
    if !groups.is_empty() && params.text("SecurityGroupId").is_some() {
        return Err(Fault::bad("InvalidParameter.Conflict", "SecurityGroupId and SecurityGroupIds can't be used together."));
    }
    groups.extend(primary.list("SecurityGroupIds", 16)?);
    groups.extend(params.text("SecurityGroupId").or_else(|| primary.text("SecurityGroupId")).map(str::to_owned));
    groups.sort_unstable();
    groups.dedup();
    if groups.is_empty() {
        return Err(Fault::mandatory("SecurityGroupId"));
    }
    if groups.len() > MOST_GROUPS {
        return Err(Fault::forbidden("InstanceSecurityGroupLimitExceed", "An instance can be in five security groups at most."));
    }
    for id in &groups {
        let group = security_group::find(call, id)?;
        if group.vpc != vswitch.vpc {
            let message = "The specified security group and vSwitch are not in the same VPC.";
            return Err(Fault::forbidden("OperationDenied.InconsistentNetwork", message));
        }
        if security_group::room(call.world, id) < count {
            return Err(Fault::forbidden("SecurityGroupInstanceLimitExceed", "The security group takes no more instances."));
        }
    }
    Ok(groups)
}

fn address(call: &Call, primary: &Params, vswitch: &VSwitch, count: usize) -> Result<Option<Ipv4Addr>, Fault> {
    let Some(text) = call.params.text("PrivateIpAddress").or_else(|| primary.text("PrimaryIpAddress")) else {
        if vswitch.left(call.world) < count {
            return Err(Fault::forbidden("InvalidVSwitchId.IpNotEnough", "The specified vSwitch has not enough IP addresses."));
        }
        return Ok(None);
    };
    let address = text.parse().map_err(|_| Fault::bad("InvalidPrivateIpAddress.Malformed", "The specified address is not valid."))?;
    if count != 1 || !vswitch.is_free(call.world, address) {
        return Err(Fault::forbidden("InvalidPrivateIpAddress.Duplicated", "The specified address is not free in the vSwitch."));
    }
    Ok(Some(address))
}

fn bandwidth(params: &Params) -> Result<u32, Fault> {
    let out: u32 = params.number("InternetMaxBandwidthOut")?.unwrap_or(0);
    let within: u32 = params.number("InternetMaxBandwidthIn")?.unwrap_or(1);
    for (value, name) in [(out, "InternetMaxBandwidthOut"), (within, "InternetMaxBandwidthIn")] {
        if value > 100 {
            let code = format!("Invalid{name}.ValueNotSupported");
            return Err(Fault::bad(code, "The specified bandwidth is beyond the permitted range."));
        }
    }
    Ok(out)
}

fn disks(call: &Call, kind: &InstanceType, image: &Image) -> Result<Vec<DiskOrder>, Fault> {
    let params = call.params;
    let system = params.below("SystemDisk");
    let spec = price::read_disk(call, &system, "SystemDisk", Some(kind), image.size_gib)?;
    let mut disks = vec![disk(&system, spec, true)?];
    for (given, spec) in params.structs("DataDisk").iter().zip(price::data_disks(call, Some(kind))?) {
        disks.push(disk(given, spec, given.flag("DeleteWithInstance")?.unwrap_or(true))?);
    }
    Ok(disks)
}

fn disk(given: &Params, spec: Disk, delete_with_instance: bool) -> Result<DiskOrder, Fault> {
    let (name, description) = (given.owned("DiskName"), given.owned("Description"));
    let link = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    if name.chars().count() > 128 || link(&name) {
        return Err(Fault::bad("InvalidDiskName.Malformed", "The specified parameter DiskName is not valid."));
    }
    if description.chars().count() > 256 || link(&description) {
        return Err(Fault::bad("InvalidDescription.Malformed", "The specified parameter Description is not valid."));
    }
    let encrypted = given.flag("Encrypted")?.unwrap_or(false);
    Ok(DiskOrder { spec, name, description, delete_with_instance, encrypted, kms_key: given.owned("KMSKeyId") })
}

fn settings(params: &Params, kind: &InstanceType) -> Result<Settings, Fault> {
    let bursts = kind.level == "CreditEntryLevel";
    let credit = params.choice("CreditSpecification", &["Standard", "Unlimited", ""], if bursts { "Standard" } else { "" })?;
    if !bursts && !credit.is_empty() {
        let message = "The instance type has no CPU credits.";
        return Err(Fault::forbidden("InvalidCreditSpecification.NotSupported", message));
    }
    params.choice("SecurityEnhancementStrategy", &["Active", "Deactive"], "Active")?;
    let hops: u32 = params.number("HttpPutResponseHopLimit")?.unwrap_or(1);
    if !(1..=64).contains(&hops) {
        return Err(Fault::invalid("HttpPutResponseHopLimit"));
    }
    Ok(Settings {
        credit: credit.to_owned(),
        http_endpoint: params.choice("HttpEndpoint", &["enabled", "disabled"], "enabled")?.to_owned(),
        http_tokens: params.choice("HttpTokens", &["optional", "required"], "optional")?.to_owned(),
        http_hops: hops,
    })
}

/// How many instances there is stock for, and whether they will vanish again.
fn supply(call: &Call, region: &Region, zone: &str, kind: &InstanceType, least: usize, count: usize) -> Result<(usize, bool), Fault> {
    let none = || {
        Fault::forbidden(
            "OperationDenied.NoStock",
            "The requested resource is sold out in the specified zone; try other types of resources or other regions and zones.",
        )
    };
    match stock::level(call.world, region, zone, kind) {
        Stock::Plenty => Ok((count, false)),
        Stock::Vanishing => Ok((count, true)),
        Stock::SoldOut | Stock::Misreported => Err(none()),
        Stock::NotSold => {
            Err(Fault::forbidden("InvalidResourceType.NotSupported", "This resource type is not supported; try other resource types."))
        }
        Stock::Limited(limit) => {
            let left = stock::left(call.world, zone, kind, limit) as usize;
            if left >= least { Ok((count.min(left), false)) } else { Err(none()) }
        }
    }
}

fn quota(call: &Call, region: &Region, kind: &InstanceType, count: usize) -> Result<(), Fault> {
    let Some(most) = call.config.quotas.vcpus else { return Ok(()) };
    let here = call.world.instances.values().filter(|instance| instance.region == region.id);
    let used: u32 = here.filter_map(|instance| call.catalog.types.get(&instance.kind)).map(|kind| kind.vcpu).sum();
    if used + kind.vcpu * u32::try_from(count).unwrap_or(u32::MAX) > most {
        return Err(Fault::forbidden("QuotaExceed.ElasticQuota", "The number of vCPUs exceeds the quota of the account."));
    }
    Ok(())
}
