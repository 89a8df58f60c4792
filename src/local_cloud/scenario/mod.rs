//! What can be chosen while a local cloud runs: how long things take, what fails, what is in stock, what it costs, how
//! fast time goes. A scenario is whole: what it does not name is as in a new cloud.

pub(crate) mod draws;
pub(crate) mod kept;
pub mod read;
pub mod rule;
pub(crate) mod text;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{Config, Latency, PriceRule, Quotas, StockRule};
use rule::CallRule;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "aliform local cloud scenario")]
pub struct Scenario {
    /// What all draws are made from: the same seed and the same calls give the same mishaps.
    pub seed: u64,
    /// The cloud's time.
    pub clock: Pace,
    /// What the account had at the start, in CNY.
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f64")]
    pub balance: Decimal,
    /// What must be left for a pay-as-you-go resource to be created, in CNY.
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f64")]
    pub least_balance: Decimal,
    /// How long things take.
    pub latency: Latency,
    /// How particular calls go; all rules that fit a call count, each with draws of its own.
    pub calls: Vec<CallRule>,
    /// What differs from full stock; of several rules that fit, the last counts.
    pub stock: Vec<StockRule>,
    /// What differs from the catalogue's prices; factors of all rules that fit are multiplied.
    pub prices: Vec<PriceRule>,
    /// How much of everything a region may hold.
    pub quotas: Quotas,
}

/// How fast the cloud's time goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// How many of its seconds pass in one of the wall clock's.
    #[serde(deserialize_with = "text::speed")]
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub speed: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { speed: 1.0 }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario::of(&Config::default(), 1.0)
    }
}

impl Scenario {
    /// What of a configuration a scenario can choose.
    pub(crate) fn of(config: &Config, speed: f64) -> Scenario {
        Scenario {
            seed: config.calls_seed,
            clock: Pace { speed },
            balance: config.balance,
            least_balance: config.least_balance,
            latency: config.latency.clone(),
            calls: config.calls.clone(),
            stock: config.stock.clone(),
            prices: config.prices.clone(),
            quotas: config.quotas.clone(),
        }
    }

    /// The configuration with this scenario in it.
    pub(crate) fn over(&self, config: &Config) -> Config {
        let other = self.clone();
        Config {
            calls_seed: other.seed,
            clock_speed: Some(other.clock.speed),
            balance: other.balance,
            least_balance: other.least_balance,
            latency: other.latency,
            calls: other.calls,
            stock: other.stock,
            prices: other.prices,
            quotas: other.quotas,
            ..config.clone()
        }
    }

    /// The JSON Schema of a scenario file.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Scenario).into()
    }
}
