//! Which instance type, which zone, which image.

use super::Draft;
use super::error::ResolveError;
use super::select::fallback;
use super::select::machine::{self, Candidate, DISK_CATEGORY, DISK_LEVEL, hourly};
use super::select::offers::{self, Named, Subject};
use super::select::rank::rank;
use super::select::wants::{ARM, Wants, X86};
use crate::manifest::{Architecture, InstanceChoice, Located, Needs, Product, Spot};
use crate::model::decision::{Decision, Rejected};
use crate::model::diagnostic::Location;
use crate::model::money::Money;
use crate::model::offer::Fallback;
use crate::model::units::Size;
use crate::pricing::lookup::Shape;

/// The image that nothing else asks for.
const IMAGE_FAMILY: &str = "acs:alibaba_cloud_linux_3_2104_lts_x64";
/// The same for ARM processors.
const ARM_IMAGE_FAMILY: &str = "acs:alibaba_cloud_linux_3_2104_lts_arm64";
/// How many of the likeliest types are priced.
const PRICED: usize = 3;
/// GiB of a disk that nobody named.
pub(super) const DISK_SIZE: u32 = 40;

/// What is asked of an instance.
pub(super) struct Wish<'a> {
    /// What the decisions begin with, `apps.web`.
    pub(super) key: String,
    /// Where it is asked.
    pub(super) location: &'a Location,
    /// Its size or its type.
    pub(super) choice: &'a InstanceChoice,
    /// Its image family.
    pub(super) image: Option<&'a Located<String>>,
    /// Its disk.
    pub(super) disk: Option<&'a Located<Size>>,
    /// Whether it may be taken back at any time.
    pub(super) spot: Option<&'a Located<Spot>>,
    /// How long it is reckoned to run, in seconds; none for what stays.
    pub(super) seconds: Option<u64>,
    /// Whether it stays after that.
    pub(super) keeps: bool,
    /// What the machine is for: one of its own, or a node.
    pub(super) product: Product,
}

impl Wish<'_> {
    /// The processors of its image, as far as the name tells: what Alibaba Cloud publishes says it, others may be either.
    fn image_architecture(&self) -> Option<&'static str> {
        let image = self.image?;
        match image.value.strip_prefix("acs:") {
            _ if image.value.contains("arm64") => Some(ARM),
            Some(_) => Some(X86),
            None => None,
        }
    }

    /// The processors that its machine must have: those asked for, else those of the image, else x86. Never a machine
    /// that its image does not run on.
    fn architecture(&self) -> Result<&'static str, ResolveError> {
        let asked = match self.choice {
            InstanceChoice::Needs(needs) => needs.architecture.as_ref(),
            _ => None,
        };
        let named = asked.map(|asked| if asked.value == Architecture::Arm { ARM } else { X86 });
        match (asked, named, self.image_architecture()) {
            (Some(asked), Some(named), Some(image)) if named != image => Err(impossible(
                &asked.location,
                format!("`{}` is asked for, and the image is for {image}", named.to_lowercase()),
                "name an image for it with `os`, or leave one of the two out",
            )),
            (_, named, image) => Ok(named.or(image).unwrap_or(X86)),
        }
    }

    /// The image family: the one named, else the usual one for its processors.
    fn image_family(&self) -> Result<String, ResolveError> {
        Ok(match self.image {
            Some(image) => image.value.clone(),
            None if self.architecture()? == ARM => ARM_IMAGE_FAMILY.to_owned(),
            None => IMAGE_FAMILY.to_owned(),
        })
    }
}

/// GiB that hold so much.
pub(super) fn whole_disk(size: Size) -> u32 {
    u32::try_from(size.mebibytes().div_ceil(1024)).unwrap_or(u32::MAX)
}

/// What an instance will be.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) instance_type: String,
    pub(crate) zone: String,
    pub(crate) image: String,
    /// `Aliyun`, `Ubuntu` ...: says which package manager there is.
    pub(crate) image_family: String,
    pub(crate) disk_category: String,
    pub(crate) disk_level: Option<String>,
    pub(crate) disk_size: u32,
    /// What may be taken in its place, should it be sold out by then.
    pub(crate) fallbacks: Vec<Fallback>,
}

fn shown(money: Option<Money>) -> String {
    money.map_or_else(|| "price unknown".to_owned(), |money| format!("{} an hour", money.rounded(4)))
}

/// What a machine of that wish must have.
fn wants(wish: &Wish<'_>, needs: &Needs, zones: &[String]) -> Result<Wants, ResolveError> {
    let disk = wish.disk.map_or(DISK_SIZE, |disk| whole_disk(disk.value));
    Ok(Wants {
        zones: zones.to_vec(),
        spot: wish.spot.is_some(),
        cap: wish.spot.and_then(|spot| spot.value.cap),
        ..Wants::new(needs, wish.architecture()?, disk)
    })
}

async fn by_needs(draft: &mut Draft<'_>, wish: &Wish<'_>, wants: &Wants) -> Result<String, ResolveError> {
    let wanted = wants.words();
    let key = format!("{}.instance_type[{wanted}]", wish.key);
    if let Some(chosen) = draft.decided(&key) {
        return Ok(chosen);
    }
    let market = machine::market(draft.around.lookup, &draft.desired.region, wants, PRICED).await?;
    let Some(best) = market.ranked.first() else {
        return Err(nowhere(draft, wish, wants, &market.types));
    };
    if let (Some(cap), None) = (wants.cap, best.hourly) {
        let location = wish.spot.map_or(wish.location, |spot| &spot.location);
        let message = format!("the market asks more than {cap} an hour for everything with {wanted} in `{}`", draft.desired.region);
        return Err(impossible(location, message, "raise the cap, or leave `spot` out"));
    }
    let subject = match wish.seconds {
        Some(seconds) => Subject { wants: wants.clone(), named: Named::default(), seconds, longest: seconds, keeps: wish.keeps },
        None => Subject::staying(wants.clone()),
    };
    let rows = offers::of_market(wish.product, &draft.desired.region, &subject, &market);
    draft.desired.offers.entry(wish.key.clone()).or_insert_with(|| rank(rows));
    let rejected = |candidate: &Candidate| Rejected { option: candidate.shape.instance_type.clone(), because: shown(candidate.hourly) };
    let rejected = market.ranked[1..].iter().map(rejected).collect();
    let because = format!("the cheapest with {wanted} in stock: {} with its disk", shown(best.hourly));
    Ok(draft.decide(&key, Decision { chosen: best.shape.instance_type.clone(), because, rejected }))
}

/// Why nothing could be chosen: there is no such GPU, or no stock.
fn nowhere(draft: &Draft<'_>, wish: &Wish<'_>, wants: &Wants, types: &[Shape]) -> ResolveError {
    if let Some(message) = machine::unknown_model(wants, types) {
        return impossible(wish.location, message, &format!("there are {}", machine::models(types).join(", ")));
    }
    let message = format!("no instance type with {} is in stock in `{}`", wants.words(), draft.desired.region);
    sold_out(
        draft,
        wish.location,
        message,
        "ask for another size, or name another `region` (`aliform quote --region all` compares them); what was sold out is tried again after ten minutes",
    )
}

fn impossible(location: &Location, message: String, hint: &str) -> ResolveError {
    ResolveError::Impossible { location: location.clone(), message, hint: hint.to_owned() }
}

fn sold_out(draft: &Draft<'_>, location: &Location, message: String, hint: &str) -> ResolveError {
    ResolveError::SoldOut { location: Box::new(location.clone()), region: draft.desired.region.clone(), message, hint: hint.to_owned() }
}

/// Whether the type exists and can run the image: what nobody named is an x86 image.
async fn check_type(draft: &Draft<'_>, wish: &Wish<'_>, instance_type: &str) -> Result<(), ResolveError> {
    let InstanceChoice::Type(named) = wish.choice else { return Ok(()) };
    match draft.around.lookup.shape(&draft.desired.region, instance_type).await? {
        None => Err(impossible(
            &named.location,
            format!("there is no instance type `{instance_type}`"),
            "look at the spelling, or leave the choice open: `instance: { cpu: 2, memory: 4GiB }`",
        )),
        Some(shape) => {
            let family = wish.image_family()?;
            // What the name of an image does not tell, the cloud will.
            let image = if wish.image.is_some() { wish.image_architecture() } else { Some(X86) };
            match image {
                Some(image) if image != shape.architecture => Err(impossible(
                    &named.location,
                    format!(
                        "`{instance_type}` has {} processors, and the image `{family}` is for {}",
                        shape.architecture,
                        image.to_lowercase()
                    ),
                    "name an image for it with `image`, or another type",
                )),
                _ => Ok(()),
            }
        }
    }
}

/// The zone, and whether it was chosen just now: the one decided before if the type is still of the same choice, or in
/// stock there; else the first by name that has it, on the market the cheapest.
async fn zone(draft: &mut Draft<'_>, wish: &Wish<'_>, instance_type: &str, wants: &Wants) -> Result<(String, bool), ResolveError> {
    let key = format!("{}.zone", wish.key);
    let type_key = format!("{}.zone_for", wish.key);
    if draft.decided(&type_key).as_deref() == Some(instance_type)
        && let Some(zone) = draft.decided(&key)
        && wants.allows(&zone)
    {
        return Ok((zone, false));
    }
    check_type(draft, wish, instance_type).await?;
    let (lookup, region) = (draft.around.lookup, draft.desired.region.clone());
    let stock = lookup.stock(&region, wants.spot).await?;
    let zones = stock.get(instance_type).cloned().unwrap_or_default();
    let mut allowed: Vec<&String> = zones.iter().filter(|zone| wants.allows(zone)).collect();
    if wants.spot {
        // On the market every zone has a price of its own.
        let prices = allowed.iter().map(|zone| async { (hourly(lookup, &region, wants, instance_type, zone).await, *zone) });
        let mut priced = futures_util::future::join_all(prices).await;
        priced.sort_by_key(|(price, zone)| (price.is_none(), price.map(|money| money.amount), *zone));
        allowed = priced.into_iter().map(|(_, zone)| zone).collect();
    }
    let before = draft.around.decided.get(&key).map(|decision| &decision.chosen);
    let chosen = allowed.iter().find(|zone| Some(**zone) == before).or(allowed.first());
    if let (None, Some(before)) = (chosen, before.filter(|zone| !draft.moved && wants.allows(zone))) {
        // What was decided before stays so: what stands in it, or was over long ago, asks for no stock.
        let before = before.clone();
        draft.decided(&key);
        return Ok((before, false));
    }
    let Some(chosen) = chosen.map(|zone| (*zone).clone()) else {
        let place = if wants.zones.is_empty() { region.clone() } else { wants.zones.join("`, `") };
        return Err(sold_out(
            draft,
            wish.location,
            format!("`{instance_type}` is out of stock in `{place}`"),
            "name another type, zone or region; what was sold out is tried again after ten minutes",
        ));
    };
    draft.decide(
        &type_key,
        Decision { chosen: instance_type.to_owned(), because: "the type that the zone was chosen for".to_owned(), rejected: Vec::new() },
    );
    let because = format!("it has `{instance_type}` in stock{}", if wants.spot { ", and the market asks least there" } else { "" });
    let later = if wants.spot { "in stock too; not cheaper" } else { "in stock too; later by name" };
    let rejected = zones.iter().filter(|zone| **zone != chosen).map(|zone| Rejected {
        option: zone.clone(),
        because: if wants.allows(zone) { later } else { "the network has no subnet there" }.to_owned(),
    });
    let rejected = rejected.collect();
    let decision = Decision { chosen, because, rejected };
    Ok((draft.decide(&key, decision), true))
}

async fn image(draft: &mut Draft<'_>, wish: &Wish<'_>, disk: u32) -> Result<(String, String), ResolveError> {
    let family = wish.image_family()?;
    let key = format!("{}.image[{family}]", wish.key);
    if let Some(id) = draft.decided(&key) {
        return Ok((id, family));
    }
    let Some(found) = draft.around.lookup.image(&draft.desired.region, &family).await? else {
        let location = wish.image.map_or(wish.location, |image| &image.location);
        return Err(impossible(
            location,
            format!("there is no image of family `{family}` in `{}`", draft.desired.region),
            "see `aliyun ecs DescribeImages` for the families",
        ));
    };
    if found.size > disk {
        let location = wish.disk.map_or(wish.location, |disk| &disk.location);
        let message = format!("a disk of {disk} GiB is too small for the image `{}`, which needs {} GiB", found.id, found.size);
        return Err(impossible(location, message, "ask for a larger `disk`"));
    }
    let decision = Decision { chosen: found.id, because: format!("the newest of family `{family}`"), rejected: Vec::new() };
    Ok((draft.decide(&key, decision), family))
}

/// Chooses type, zone and image of an application's instances.
pub(super) async fn machine(draft: &mut Draft<'_>, wish: &Wish<'_>, zones: &[String]) -> Result<Machine, ResolveError> {
    let (instance_type, wants, named) = match wish.choice {
        InstanceChoice::Type(name) => (name.value.clone(), wants(wish, &Needs::default(), zones)?, true),
        InstanceChoice::Needs(needs) => {
            let wants = wants(wish, needs, zones)?;
            (by_needs(draft, wish, &wants).await?, wants, false)
        }
        InstanceChoice::Existing(id) => {
            return Err(impossible(
                &id.location,
                "an existing instance needs no choice".to_owned(),
                "report this: it is a fault of aliform",
            ));
        }
    };
    let (zone, fresh) = zone(draft, wish, &instance_type, &wants).await?;
    let (lookup, region) = (draft.around.lookup, &draft.desired.region);
    // What was decided before is there already, or was sold when it was.
    let fallbacks = if fresh { fallback::fallbacks(lookup, region, &wants, (&instance_type, &zone), named).await? } else { Vec::new() };
    let (image, image_family) = image(draft, wish, wants.disk).await?;
    Ok(Machine {
        instance_type,
        zone,
        image,
        image_family,
        disk_category: DISK_CATEGORY.to_owned(),
        disk_level: Some(DISK_LEVEL.to_owned()),
        disk_size: wants.disk,
        fallbacks,
    })
}
