//! Questions about stock, types, images and prices, asked through one trait so that answers can be cached and
//! recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rust_decimal::Decimal;
use tokio::sync::OnceCell;

use super::clusters::{self, ClusterFound, Readiness};
use super::existing::{self, Existing};
use super::training::Training;
use crate::cloud::api::ask;
use crate::cloud::bss::QueryAccountBalance;
use crate::cloud::call::Cloud;
use crate::cloud::ecs::catalogue::{
    DescribeAvailableResource, DescribeImageFromFamily, DescribeInstanceTypes, DescribePrice, DescribeRecommendInstanceType, PricedDisk,
};
use crate::cloud::error::ApiError;
use crate::cloud::kubernetes::KubernetesError;
use crate::model::money::{Currency, Money};

/// The most types of a DescribeInstanceTypes.
const TYPES_A_PAGE: u32 = 1600;
/// The spot strategy that takes whatever the market asks.
const MARKET: &str = "SpotAsPriceGo";

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `ecs.u1-c1m2.large`.
    pub instance_type: String,
    /// Cores as the cloud counts them.
    pub vcpu: u32,
    /// GiB.
    pub memory: Decimal,
    /// `X86` or `ARM`.
    pub architecture: String,
    /// How many accelerators it has.
    pub gpus: u32,
    /// Their model, `NVIDIA T4`; empty without.
    pub gpu: String,
}

/// The zones of a region that have a type in stock, by type, in order of their names.
pub type Stock = BTreeMap<String, Vec<String>>;

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFound {
    /// Its identifier.
    pub id: String,
    /// `Aliyun`, `Ubuntu`, `Debian`, `CentOS`.
    pub platform: String,
    /// GiB that its disk needs at least.
    pub size: u32,
}

/// An instance to be priced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields are those of `resources::kind::Priced::Instance`")]
pub struct InstancePrice {
    pub instance_type: String,
    pub zone: String,
    pub disk_category: String,
    pub disk_level: Option<String>,
    pub disk_size: u32,
    pub bandwidth: u32,
    /// At the price of the market, which takes the instance back when it needs it.
    pub spot: bool,
}

/// One part of a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricePart {
    /// What is paid for.
    pub item: String,
    /// For one hour.
    pub price: Money,
}

/// A question that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum LookupError {
    /// The cloud was asked.
    Cloud(#[from] ApiError),
    /// A cluster was asked.
    Cluster(#[from] KubernetesError),
}

/// Asks the cloud.
#[async_trait]
pub trait Lookup: Training + Send + Sync {
    /// Every type there is, wherever it is sold. `region` is where the question is sent.
    async fn types(&self, region: &str) -> Result<Arc<Vec<Shape>>, LookupError>;
    /// What of all types the region has in stock; `spot` for what is sold at the price of the market.
    async fn stock(&self, region: &str, spot: bool) -> Result<Arc<Stock>, LookupError>;
    /// Types like that one (as many cores, as much memory, the same processor and accelerators), cheapest first by the
    /// cloud's own order. A hint at what to price first: it need not name every type.
    async fn alike(&self, region: &str, instance_type: &str) -> Result<Vec<String>, LookupError>;
    /// What a named type is made of; `None` if there is no such type.
    async fn shape(&self, region: &str, instance_type: &str) -> Result<Option<Shape>, LookupError> {
        Ok(self.types(region).await?.iter().find(|shape| shape.instance_type == instance_type).cloned())
    }
    /// Zones that have the type in stock.
    async fn zones(&self, region: &str, instance_type: &str) -> Result<Vec<String>, LookupError> {
        Ok(self.stock(region, false).await?.get(instance_type).cloned().unwrap_or_default())
    }
    /// The newest image of a family; `None` if there is none.
    async fn image(&self, region: &str, family: &str) -> Result<Option<ImageFound>, LookupError>;
    /// What exists already under an identifier; `None` if the region has none of that name.
    async fn existing(&self, region: &str, id: &str) -> Result<Option<Existing>, LookupError>;
    /// Every cluster of the region that is not being deleted.
    async fn clusters(&self, region: &str) -> Result<Vec<ClusterFound>, LookupError>;
    /// Whether a job can run in a cluster.
    async fn readiness(&self, region: &str, cluster: &str, namespace: &str) -> Result<Readiness, LookupError>;
    /// The price of an hour, part by part.
    async fn price(&self, region: &str, wanted: &InstancePrice) -> Result<Vec<PricePart>, LookupError>;
    /// What the account can spend.
    async fn balance(&self, region: &str) -> Result<Money, LookupError>;
}

/// Answers by question, so that nothing is asked twice.
type Answers<K, V> = Mutex<BTreeMap<K, V>>;

/// The lookup that really asks, each question once.
pub struct CloudLookup<'a> {
    pub(super) cloud: &'a dyn Cloud,
    types: OnceCell<Arc<Vec<Shape>>>,
    stock: Answers<(String, bool), Arc<OnceCell<Arc<Stock>>>>,
    alike: Answers<(String, String), Vec<String>>,
    prices: Answers<(String, InstancePrice), Vec<PricePart>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> CloudLookup<'a> {
    /// Asks `cloud`.
    pub fn new(cloud: &'a dyn Cloud) -> Self {
        CloudLookup { cloud, types: OnceCell::new(), stock: Mutex::default(), alike: Mutex::default(), prices: Mutex::default() }
    }

    async fn ask_types(&self, region: &str) -> Result<Arc<Vec<Shape>>, ApiError> {
        let mut query = DescribeInstanceTypes { max_results: TYPES_A_PAGE, next_token: None };
        let mut all = Vec::new();
        loop {
            let answer = ask(self.cloud, region, &query).await?;
            all.extend(answer.instance_types.instance_type.into_iter().map(|found| Shape {
                instance_type: found.instance_type_id,
                vcpu: found.cpu_core_count,
                memory: found.memory_size.normalize(),
                architecture: found.cpu_architecture,
                gpus: found.gpu_amount,
                gpu: found.gpu_spec,
            }));
            query.next_token = Some(answer.next_token).filter(|token| !token.is_empty());
            if query.next_token.is_none() {
                return Ok(Arc::new(all));
            }
        }
    }

    async fn ask_stock(&self, region: &str, spot: bool) -> Result<Arc<Stock>, ApiError> {
        let query = DescribeAvailableResource {
            region_id: region.to_owned(),
            destination_resource: "InstanceType".to_owned(),
            instance_charge_type: "PostPaid".to_owned(),
            spot_strategy: spot.then(|| MARKET.to_owned()),
        };
        let mut stock = Stock::new();
        for zone in ask(self.cloud, region, &query).await?.available_zones.available_zone {
            let found = zone.available_resources.available_resource.into_iter();
            let found = found.flat_map(|resource| resource.supported_resources.supported_resource);
            for resource in found.filter(|found| found.status == "Available") {
                let zones = stock.entry(resource.value).or_default();
                if !zones.contains(&zone.zone_id) {
                    zones.push(zone.zone_id.clone());
                }
            }
        }
        stock.values_mut().for_each(|zones| zones.sort());
        Ok(Arc::new(stock))
    }
}

fn currency(code: &str, action: &'static str) -> Result<Currency, ApiError> {
    match code {
        "CNY" => Ok(Currency::Cny),
        "USD" => Ok(Currency::Usd),
        other => Err(ApiError::Unreadable { action, reason: format!("unknown currency `{other}`") }),
    }
}

fn item(resource: &str, wanted: &InstancePrice) -> String {
    match resource {
        "instanceType" if wanted.spot => format!("{} (spot)", wanted.instance_type),
        "instanceType" => wanted.instance_type.clone(),
        "systemDisk" => {
            let level = wanted.disk_level.as_ref().map(|level| format!(" {level}")).unwrap_or_default();
            format!("system disk {}{level}, {} GiB", wanted.disk_category, wanted.disk_size)
        }
        "bandwidth" => format!("bandwidth {} Mbps", wanted.bandwidth),
        other => other.to_owned(),
    }
}

#[async_trait]
impl Lookup for CloudLookup<'_> {
    async fn types(&self, region: &str) -> Result<Arc<Vec<Shape>>, LookupError> {
        Ok(self.types.get_or_try_init(|| self.ask_types(region)).await?.clone())
    }

    async fn stock(&self, region: &str, spot: bool) -> Result<Arc<Stock>, LookupError> {
        let cell = locked(&self.stock).entry((region.to_owned(), spot)).or_default().clone();
        Ok(cell.get_or_try_init(|| self.ask_stock(region, spot)).await?.clone())
    }

    async fn alike(&self, region: &str, instance_type: &str) -> Result<Vec<String>, LookupError> {
        let key = (region.to_owned(), instance_type.to_owned());
        if let Some(names) = locked(&self.alike).get(&key) {
            return Ok(names.clone());
        }
        let query = DescribeRecommendInstanceType {
            region_id: region.to_owned(),
            network_type: "vpc".to_owned(),
            instance_type: instance_type.to_owned(),
            instance_charge_type: "PostPaid".to_owned(),
            priority_strategy: "PriceFirst".to_owned(),
        };
        let answer = ask(self.cloud, region, &query).await?;
        let mut names: Vec<String> = Vec::new();
        for found in answer.data.recommend_instance_type {
            // The real service answers a type once for each zone or with all its zones.
            let name = found.instance_type.instance_type;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        locked(&self.alike).insert(key, names.clone());
        Ok(names)
    }

    async fn image(&self, region: &str, family: &str) -> Result<Option<ImageFound>, LookupError> {
        let query = DescribeImageFromFamily { region_id: region.to_owned(), image_family: family.to_owned() };
        let answer = match ask(self.cloud, region, &query).await {
            Err(error) if error.is(&["InvalidImageFamily.MissingAvailableImage"]) => return Ok(None),
            other => other?,
        };
        Ok(answer.image.filter(|image| !image.image_id.is_empty()).map(|image| ImageFound {
            id: image.image_id,
            platform: image.platform,
            size: image.size,
        }))
    }

    async fn existing(&self, region: &str, id: &str) -> Result<Option<Existing>, LookupError> {
        Ok(existing::find(self.cloud, region, id).await?)
    }

    async fn clusters(&self, region: &str) -> Result<Vec<ClusterFound>, LookupError> {
        Ok(clusters::list(self.cloud, region).await?)
    }

    async fn readiness(&self, region: &str, cluster: &str, namespace: &str) -> Result<Readiness, LookupError> {
        Ok(clusters::readiness(self.cloud, region, cluster, namespace).await?)
    }

    async fn price(&self, region: &str, wanted: &InstancePrice) -> Result<Vec<PricePart>, LookupError> {
        let key = (region.to_owned(), wanted.clone());
        if let Some(parts) = locked(&self.prices).get(&key) {
            return Ok(parts.clone());
        }
        let query = DescribePrice {
            region_id: region.to_owned(),
            resource_type: "instance".to_owned(),
            instance_type: wanted.instance_type.clone(),
            image_id: None,
            system_disk: PricedDisk {
                category: wanted.disk_category.clone(),
                size: wanted.disk_size,
                performance_level: wanted.disk_level.clone(),
            },
            internet_max_bandwidth_out: wanted.bandwidth,
            internet_charge_type: "PayByTraffic".to_owned(),
            zone_id: Some(wanted.zone.clone()).filter(|zone| !zone.is_empty()),
            price_unit: "Hour".to_owned(),
            amount: 1,
            spot_strategy: wanted.spot.then(|| MARKET.to_owned()),
        };
        let price = ask(self.cloud, region, &query).await?.price_info.price;
        let currency = currency(&price.currency, "DescribePrice")?;
        let money = |amount: Decimal| Money { amount: amount.normalize(), currency };
        let details = price.detail_infos.map(|infos| infos.detail_info).unwrap_or_default();
        let sum: Decimal = details.iter().map(|detail| detail.trade_price).sum();
        // The parts are shown only when they come to the whole; otherwise the whole is what will be billed.
        let parts: Vec<PricePart> = if sum == price.trade_price {
            let charged = details.into_iter().filter(|detail| !detail.trade_price.is_zero());
            charged.map(|detail| PricePart { item: item(&detail.resource, wanted), price: money(detail.trade_price) }).collect()
        } else {
            vec![PricePart { item: item("instanceType", wanted), price: money(price.trade_price) }]
        };
        locked(&self.prices).insert(key, parts.clone());
        Ok(parts)
    }

    async fn balance(&self, region: &str) -> Result<Money, LookupError> {
        const ACTION: &str = "QueryAccountBalance";
        let unreadable = |reason: String| ApiError::Unreadable { action: ACTION, reason };
        let answer = ask(self.cloud, region, &QueryAccountBalance {}).await?;
        let balance = answer.data.ok_or_else(|| unreadable("there is no balance in it".to_owned()))?;
        let text = balance.available_amount.replace(',', "");
        let amount = text.parse().map_err(|_| unreadable(format!("`{text}` is not an amount")))?;
        Ok(Money { amount, currency: currency(&balance.currency, ACTION)? })
    }
}
