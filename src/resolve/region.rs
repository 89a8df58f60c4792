//! Which region: the user's; overseas when something that runs fetches from hosts overseas and no mainland mirror is set; else
//! Hangzhou.

use super::Draft;
use crate::manifest::{Manifest, Region};
use crate::model::decision::{Decision, Rejected};
use crate::model::region;
use crate::project::fetches::{Fetch, Reach};

const MAINLAND: &str = "cn-hangzhou";
const OVERSEAS: &str = "ap-southeast-1";

/// The name of the decision.
pub const KEY: &str = "region";

/// Someone who may fetch from overseas.
pub(super) struct Fetcher {
    /// ``app `web` ``.
    pub(super) who: String,
    /// What it fetches.
    pub(super) fetches: Vec<Fetch>,
}

impl Fetcher {
    /// What needs a way to the internet, if anything does.
    pub(super) fn fetches(&self) -> Option<&Fetch> {
        self.fetches.iter().find(|fetch| fetch.reach > Reach::Inside)
    }

    /// Where something is fetched from overseas: who, the command, and the line it stands in or comes from.
    fn overseas(&self) -> Option<String> {
        let found = self.fetches.iter().find(|fetch| fetch.reach == Reach::Overseas)?;
        Some(format!("{} runs `{}` ({}), which fetches from hosts overseas", self.who, found.text, found.place()))
    }
}

/// Chooses it.
pub(super) fn choose(draft: &mut Draft<'_>, fetchers: &[Fetcher]) -> String {
    if let Region::Named(region) = &draft.manifest.region {
        let because = format!("named at {}:{}", region.location.file, region.location.line);
        return draft.decide(KEY, Decision { chosen: region.value.clone(), because, rejected: Vec::new() });
    }
    if let Some(region) = draft.decided(KEY) {
        return region;
    }
    let decision = match fetchers.iter().find_map(Fetcher::overseas) {
        Some(evidence) => Decision {
            chosen: OVERSEAS.to_owned(),
            because: evidence,
            rejected: vec![Rejected {
                option: MAINLAND.to_owned(),
                because: "hosts overseas are slow or out of reach from there".to_owned(),
            }],
        },
        None => Decision {
            chosen: MAINLAND.to_owned(),
            because: "nothing is fetched from hosts overseas".to_owned(),
            rejected: vec![Rejected { option: OVERSEAS.to_owned(), because: "only needed for fetching from hosts overseas".to_owned() }],
        },
    };
    draft.decide(KEY, decision)
}

/// Regions in the order in which they are tried when one is sold out; the first are the largest.
const TRIED: &[&str] = &[
    "cn-hangzhou",
    "cn-shanghai",
    "cn-beijing",
    "cn-shenzhen",
    "cn-zhangjiakou",
    "cn-wulanchabu",
    "cn-chengdu",
    "cn-guangzhou",
    "ap-southeast-1",
    "ap-northeast-1",
    "cn-hongkong",
    "us-west-1",
    "us-east-1",
    "eu-central-1",
];

/// The next region to try where those of `tried` are sold out, on the same side of the border as the first of them;
/// `None` if the manifest names the region, or none is left.
pub fn next(manifest: &Manifest, tried: &[String]) -> Option<Decision> {
    if matches!(manifest.region, Region::Named(_)) {
        return None;
    }
    let first = region::find(tried.first()?)?;
    let fits = |id: &&&str| region::find(id).is_some_and(|other| other.area == first.area && !other.closing);
    let next = TRIED.iter().filter(fits).find(|id| !tried.iter().any(|tried| tried == **id))?;
    let rejected = tried.iter().map(|option| Rejected { option: option.clone(), because: "what it takes is sold out there".to_owned() });
    let because = format!("what it takes is sold out in `{}`", tried.join("`, `"));
    Some(Decision { chosen: (*next).to_owned(), because, rejected: rejected.collect() })
}
