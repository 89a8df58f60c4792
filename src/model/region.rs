//! The public regions of Alibaba Cloud: which there are, where they lie, and which one a misspelt name meant.
//!
//! From the cloud's own list of regions and zones (help.aliyun.com, "Regions and zones"); regions that were closed
//! down are left out. It must never ask the cloud: whether a region is open to an account is for the client to find out.

use std::cmp::Reverse;

/// Which side of the mainland's border a region lies on; that decides mirrors, traffic prices and filings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The Chinese mainland.
    Mainland,
    /// Everywhere else, Hong Kong included.
    Overseas,
}

/// One public region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicRegion {
    /// Its identifier in every call, `cn-hangzhou`.
    pub id: &'static str,
    /// The city or area it is named after.
    pub city: &'static str,
    /// Which side of the border.
    pub area: Area,
    /// It is being closed down: usable by name, never to be chosen for somebody.
    pub closing: bool,
}

const fn region(id: &'static str, city: &'static str, area: Area) -> PublicRegion {
    PublicRegion { id, city, area, closing: false }
}

/// Every public region, ordered by identifier.
pub const REGIONS: [PublicRegion; 32] = [
    region("ap-northeast-1", "Tokyo", Area::Overseas),
    region("ap-northeast-2", "Seoul", Area::Overseas),
    region("ap-southeast-1", "Singapore", Area::Overseas),
    region("ap-southeast-3", "Kuala Lumpur", Area::Overseas),
    region("ap-southeast-5", "Jakarta", Area::Overseas),
    region("ap-southeast-6", "Manila", Area::Overseas),
    region("ap-southeast-7", "Bangkok", Area::Overseas),
    region("ap-southeast-8", "Johor", Area::Overseas),
    region("cn-beijing", "Beijing", Area::Mainland),
    region("cn-chengdu", "Chengdu", Area::Mainland),
    PublicRegion { closing: true, ..region("cn-fuzhou", "Fuzhou", Area::Mainland) },
    region("cn-guangzhou", "Guangzhou", Area::Mainland),
    region("cn-hangzhou", "Hangzhou", Area::Mainland),
    region("cn-heyuan", "Heyuan", Area::Mainland),
    region("cn-hongkong", "Hong Kong", Area::Overseas),
    region("cn-huhehaote", "Hohhot", Area::Mainland),
    PublicRegion { closing: true, ..region("cn-nanjing", "Nanjing", Area::Mainland) },
    region("cn-qingdao", "Qingdao", Area::Mainland),
    region("cn-shanghai", "Shanghai", Area::Mainland),
    region("cn-shenzhen", "Shenzhen", Area::Mainland),
    region("cn-wuhan-lr", "Wuhan", Area::Mainland),
    region("cn-wulanchabu", "Ulanqab", Area::Mainland),
    region("cn-zhangjiakou", "Zhangjiakou", Area::Mainland),
    region("cn-zhongwei", "Zhongwei", Area::Mainland),
    region("eu-central-1", "Frankfurt", Area::Overseas),
    region("eu-west-1", "London", Area::Overseas),
    region("eu-west-2", "Paris", Area::Overseas),
    region("me-central-1", "Riyadh", Area::Overseas),
    region("me-east-1", "Dubai", Area::Overseas),
    region("na-south-1", "Mexico City", Area::Overseas),
    region("us-east-1", "Virginia", Area::Overseas),
    region("us-west-1", "Silicon Valley", Area::Overseas),
];

/// The region with this identifier.
pub fn find(id: &str) -> Option<&'static PublicRegion> {
    REGIONS.iter().find(|region| region.id == id)
}

/// The region that `text` most likely meant, by identifier or by city; `None` if nothing is near.
pub fn nearest(text: &str) -> Option<&'static PublicRegion> {
    if text.len() > 40 {
        return None;
    }
    let text = text.to_lowercase();
    let likeness = |region: &PublicRegion| {
        let city = region.city.to_lowercase().replace(' ', "");
        let names = [region.id, region.id.rsplit_once('-').map_or(region.id, |(_, last)| last), &city];
        let best = names.iter().map(|name| strsim::normalized_damerau_levenshtein(name, &text)).fold(0.0, f64::max);
        (best * 1000.0) as u32
    };
    // Of equals, the first in the table and one that stays open.
    let best = REGIONS.iter().min_by_key(|region| (Reverse(likeness(region)), region.closing))?;
    (likeness(best) > 600).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_without_doubles() {
        assert!(REGIONS.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(find("ap-south-1").is_none(), "a region that was closed down is offered");
    }

    #[test]
    fn mainland_is_what_the_name_says_except_hong_kong() {
        for region in &REGIONS {
            let mainland = region.id.starts_with("cn-") && region.id != "cn-hongkong";
            assert_eq!(region.area == Area::Mainland, mainland, "{}", region.id);
        }
    }

    #[test]
    fn a_misspelt_region_or_a_city_finds_its_identifier() {
        for (text, id) in [
            ("cn-hangzou", "cn-hangzhou"),
            ("hangzhou", "cn-hangzhou"),
            ("Singapore", "ap-southeast-1"),
            ("CN-BEIJING", "cn-beijing"),
            ("us-est-1", "us-east-1"),
            ("Hong Kong", "cn-hongkong"),
        ] {
            assert_eq!(nearest(text).map(|region| region.id), Some(id), "{text}");
        }
        for text in ["", "moon", "the region next door"] {
            assert_eq!(nearest(text), None, "{text}");
        }
    }
}
