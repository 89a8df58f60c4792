//! Which instance type, which zone, which image.

use rust_decimal::Decimal;

use super::Draft;
use super::error::ResolveError;
use crate::manifest::{InstanceChoice, Located, Needs};
use crate::model::decision::{Decision, Rejected};
use crate::model::diagnostic::Location;
use crate::model::money::Money;
use crate::model::units::Size;
use crate::pricing::lookup::{InstancePrice, LookupError, Offer};

/// The image that nothing else asks for.
const IMAGE_FAMILY: &str = "acs:alibaba_cloud_linux_3_2104_lts_x64";
/// How many of the cheapest offers are priced: the cloud's own order is by list price, so the winner is among them.
const PRICED: usize = 3;
/// The architecture of that image.
const X86: &str = "X86";
const DISK_CATEGORY: &str = "cloud_essd";
const DISK_LEVEL: &str = "PL0";
const DISK_SIZE: u32 = 40;

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
}

/// What an instance will be.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) instance_type: String,
    pub(super) zone: String,
    pub(super) image: String,
    /// `Aliyun`, `Ubuntu` ...: says which package manager there is.
    pub(super) image_family: String,
    pub(super) disk_category: String,
    pub(super) disk_level: Option<String>,
    pub(super) disk_size: u32,
}

/// The digits of a family: `ecs.c8i.large` is of generation 8. Families without one are the oldest.
pub(in crate::resolve) fn generation(instance_type: &str) -> u32 {
    let family = instance_type.split('.').nth(1).unwrap_or_default();
    family.chars().filter(char::is_ascii_digit).take(1).collect::<String>().parse().unwrap_or(0)
}

fn shown(money: Option<Money>) -> String {
    money.map_or_else(|| "price unknown".to_owned(), |money| format!("{} an hour", money.rounded(4)))
}

async fn price(draft: &Draft<'_>, offer: &Offer, disk: u32) -> Option<Money> {
    let wanted = InstancePrice {
        instance_type: offer.instance_type.clone(),
        zone: offer.zones.first().cloned().unwrap_or_default(),
        disk_category: DISK_CATEGORY.to_owned(),
        disk_level: Some(DISK_LEVEL.to_owned()),
        disk_size: disk,
        bandwidth: 0,
    };
    let parts = draft.around.lookup.price(&draft.desired.region, &wanted).await.ok()?;
    let first = parts.first()?.price;
    Some(Money { amount: parts.iter().map(|part| part.price.amount).sum(), currency: first.currency })
}

/// The shape to look for: exactly what is needed, or the smallest that has at least that.
async fn offers(draft: &Draft<'_>, needs: &Needs) -> Result<Vec<Offer>, LookupError> {
    let vcpu = needs.cpu.unwrap_or(2);
    let memory = needs.memory.map_or_else(|| Decimal::from(vcpu * 2), |memory| memory.gibibytes());
    let (lookup, region) = (draft.around.lookup, &draft.desired.region);
    let exact = lookup.offers(region, vcpu, memory).await?;
    if !exact.is_empty() {
        return Ok(exact);
    }
    let mut shapes: Vec<(u32, Decimal)> =
        lookup.shapes(region, vcpu, memory).await?.into_iter().map(|shape| (shape.vcpu, shape.memory)).collect();
    shapes.sort();
    shapes.dedup();
    for (vcpu, memory) in shapes.into_iter().take(PRICED) {
        let found = lookup.offers(region, vcpu, memory).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

async fn by_needs(draft: &mut Draft<'_>, wish: &Wish<'_>, needs: &Needs, disk: u32, zones: &[String]) -> Result<String, ResolveError> {
    if needs.gpu.is_some() {
        return Err(impossible(
            wish.location,
            "choosing a GPU type is not supported".to_owned(),
            "name the type: `instance: { type: ecs.gn6i-c4g1.xlarge }`",
        ));
    }
    let wanted = format!(
        "{} vCPU, {}",
        needs.cpu.unwrap_or(2),
        needs.memory.map_or_else(|| format!("{}GiB", needs.cpu.unwrap_or(2) * 2), |memory| memory.to_string())
    );
    let key = format!("{}.instance_type[{wanted}]", wish.key);
    if let Some(chosen) = draft.decided(&key) {
        return Ok(chosen);
    }
    let mut offers = offers(draft, needs).await?;
    // Where a subnet decides the zone, an offer of another zone is none.
    offers.retain(|offer| zones.is_empty() || offer.zones.iter().any(|zone| zones.contains(zone)));
    let mut priced = Vec::new();
    for offer in &offers {
        // A recommendation may be of any architecture.
        let shape = draft.around.lookup.shape(&draft.desired.region, &offer.instance_type).await?;
        if wish.image.is_none() && shape.is_some_and(|shape| shape.architecture != X86) {
            continue;
        }
        priced.push((price(draft, offer, disk).await, offer.instance_type.clone()));
        if priced.len() == PRICED {
            break;
        }
    }
    // The cheapest; of equals the newer generation, then the name. What has no price comes last.
    priced.sort_by(|(a, left), (b, right)| {
        (a.is_none(), a.map(|money| money.amount), u32::MAX - generation(left), left).cmp(&(
            b.is_none(),
            b.map(|money| money.amount),
            u32::MAX - generation(right),
            right,
        ))
    });
    let Some((best, chosen)) = priced.first().cloned() else {
        let message = format!("no instance type with {wanted} is in stock in `{}`", draft.desired.region);
        return Err(impossible(wish.location, message, "ask for another size, or name another `region`"));
    };
    let rejected = priced[1..].iter().map(|(price, option)| Rejected { option: option.clone(), because: shown(*price) }).collect();
    let because = format!("the cheapest with {wanted} in stock: {} with its disk", shown(best));
    Ok(draft.decide(&key, Decision { chosen, because, rejected }))
}

fn impossible(location: &Location, message: String, hint: &str) -> ResolveError {
    ResolveError::Impossible { location: location.clone(), message, hint: hint.to_owned() }
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
        Some(shape) if shape.architecture != X86 && wish.image.is_none() => Err(impossible(
            &named.location,
            format!("`{instance_type}` has {} processors, and the image `{IMAGE_FAMILY}` is for x86", shape.architecture),
            "name an image for it with `image`, or another type",
        )),
        Some(_) => Ok(()),
    }
}

/// The zone: the one decided before if the type is still of the same choice, or in stock there; else the first by
/// name that has it. `only` limits the choice, unless it is empty.
async fn zone(draft: &mut Draft<'_>, wish: &Wish<'_>, instance_type: &str, only: &[String]) -> Result<String, ResolveError> {
    let key = format!("{}.zone", wish.key);
    let type_key = format!("{}.zone_for", wish.key);
    if draft.decided(&type_key).as_deref() == Some(instance_type)
        && let Some(zone) = draft.decided(&key)
        && (only.is_empty() || only.contains(&zone))
    {
        return Ok(zone);
    }
    check_type(draft, wish, instance_type).await?;
    let zones = draft.around.lookup.zones(&draft.desired.region, instance_type).await?;
    let allowed: Vec<&String> = zones.iter().filter(|zone| only.is_empty() || only.contains(zone)).collect();
    let before = draft.around.decided.get(&key).map(|decision| &decision.chosen);
    let chosen = allowed.iter().find(|zone| Some(**zone) == before).or(allowed.first());
    let Some(chosen) = chosen.map(|zone| (*zone).clone()) else {
        let place = if only.is_empty() { draft.desired.region.clone() } else { only.join("`, `") };
        return Err(impossible(
            wish.location,
            format!("`{instance_type}` is out of stock in `{place}`"),
            "name another type, zone or region",
        ));
    };
    draft.decide(
        &type_key,
        Decision { chosen: instance_type.to_owned(), because: "the type that the zone was chosen for".to_owned(), rejected: Vec::new() },
    );
    let because = format!("it has `{instance_type}` in stock");
    let rejected = zones.iter().filter(|zone| **zone != chosen).map(|zone| Rejected {
        option: zone.clone(),
        because: if only.is_empty() || only.contains(zone) { "in stock too; later by name" } else { "the network has no subnet there" }
            .to_owned(),
    });
    let rejected = rejected.collect();
    let decision = Decision { chosen, because, rejected };
    Ok(draft.decide(&key, decision))
}

async fn image(draft: &mut Draft<'_>, wish: &Wish<'_>, disk: u32) -> Result<(String, String), ResolveError> {
    let family = wish.image.map_or(IMAGE_FAMILY, |image| &image.value).to_owned();
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
    let disk_size = wish.disk.map_or(DISK_SIZE, |disk| u32::try_from(disk.value.mebibytes().div_ceil(1024)).unwrap_or(u32::MAX));
    let instance_type = match wish.choice {
        InstanceChoice::Type(name) => name.value.clone(),
        InstanceChoice::Needs(needs) => by_needs(draft, wish, needs, disk_size, zones).await?,
        InstanceChoice::Existing(id) => {
            return Err(impossible(
                &id.location,
                "an existing instance needs no choice".to_owned(),
                "report this: it is a fault of aliform",
            ));
        }
    };
    let zone = zone(draft, wish, &instance_type, zones).await?;
    let (image, image_family) = image(draft, wish, disk_size).await?;
    Ok(Machine {
        instance_type,
        zone,
        image,
        image_family,
        disk_category: DISK_CATEGORY.to_owned(),
        disk_level: Some(DISK_LEVEL.to_owned()),
        disk_size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_the_families_first_digit() {
        assert_eq!(generation("ecs.c8i.large"), 8);
        assert_eq!(generation("ecs.u1-c1m2.large"), 1);
        assert_eq!(generation("ecs.e-c1m2.large"), 1);
    }
}
