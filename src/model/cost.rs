//! What a resource costs, line by line, and sums of it. An unknown price is said, never counted as zero.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::money::{Currency, Money};

/// Hours that a billing month is taken to have.
pub const HOURS_A_MONTH: u32 = 730;

/// Where a price comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// The cloud's price call answered it.
    Quoted,
    /// A published tariff that no call quotes.
    Tariff,
}

/// How a line is charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "charge", rename_all = "snake_case")]
pub enum Charge {
    /// For every hour it exists.
    Hourly {
        /// Price of one hour.
        price: Money,
        /// Where it is from.
        source: PriceSource,
    },
    /// For what is used; no total can be given beforehand.
    Usage {
        /// Price of one unit.
        price: Money,
        /// The unit, `GB`.
        unit: String,
        /// Where it is from.
        source: PriceSource,
    },
    /// Nobody could say.
    Unknown {
        /// Why not.
        because: String,
    },
}

/// One line of a resource's cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostLine {
    /// What is paid for, `ecs.u1-c1m2.large, 2 vCPU 4 GiB`.
    pub item: String,
    /// How and how much.
    #[serde(flatten)]
    pub charge: Charge,
}

/// Everything a resource costs; empty means that it is free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cost {
    /// The lines.
    pub lines: Vec<CostLine>,
}

impl Cost {
    /// A resource that costs nothing by itself.
    pub const FREE: Cost = Cost { lines: Vec::new() };

    /// What an hour of it costs, for each currency, usage and unknown lines left out.
    pub fn hourly(&self) -> Total {
        let mut total = Total::default();
        for line in &self.lines {
            match &line.charge {
                Charge::Hourly { price, .. } => total.add(*price),
                Charge::Usage { .. } => total.usage = true,
                Charge::Unknown { .. } => total.unknown = true,
            }
        }
        total
    }
}

/// A sum over lines. `usage` and `unknown` say that the sum is not the whole story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// One sum for each currency that occurs, in the order of the enum.
    pub sums: Vec<Money>,
    /// Something is charged by use besides.
    pub usage: bool,
    /// The price of something is not known.
    pub unknown: bool,
}

impl Total {
    /// Whether nothing at all is in it.
    pub fn is_nothing(&self) -> bool {
        *self == Total::default()
    }

    /// Adds an amount.
    pub fn add(&mut self, money: Money) {
        match self.sums.iter_mut().find(|sum| sum.currency == money.currency) {
            Some(sum) => sum.amount += money.amount,
            None => {
                self.sums.push(money);
                self.sums.sort_by_key(|sum| sum.currency);
            }
        }
    }

    /// Adds another total.
    pub fn merge(&mut self, other: &Total) {
        other.sums.iter().for_each(|money| self.add(*money));
        self.usage |= other.usage;
        self.unknown |= other.unknown;
    }

    /// This total, `factor` times.
    #[must_use]
    pub fn times(&self, factor: Decimal) -> Total {
        Total { sums: self.sums.iter().map(|money| money.times(factor)).collect(), ..self.clone() }
    }

    /// A month of an hourly total.
    #[must_use]
    pub fn monthly(&self) -> Total {
        self.times(Decimal::from(HOURS_A_MONTH))
    }

    /// This total less `other`; the flags of both are kept.
    #[must_use]
    pub fn minus(&self, other: &Total) -> Total {
        let mut difference = self.clone();
        difference.merge(&other.times(Decimal::NEGATIVE_ONE));
        difference
    }

    /// Everything in one currency, what is in another at the stated rate.
    pub fn converted(&self, currency: Currency) -> Money {
        let amount = self.sums.iter().map(|sum| sum.converted(currency).amount).sum();
        Money { amount, currency }
    }

    /// The sum in one currency; zero if nothing is charged in it.
    pub fn in_currency(&self, currency: Currency) -> Money {
        self.sums.iter().copied().find(|sum| sum.currency == currency).unwrap_or(Money { amount: Decimal::ZERO, currency })
    }
}
