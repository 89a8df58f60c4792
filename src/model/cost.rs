//! What a resource costs, line by line, and sums of it. An unknown price is said, never counted as zero.

use jiff::Timestamp;
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

/// What of the time for which something is there is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metering {
    /// The time itself.
    #[default]
    Time,
    /// The time itself of parts that come later than the whole: nodes of a cluster.
    Parts,
    /// Every hour of the clock in which it was there, be it for a second.
    BegunHours,
    /// The hours of the clock through which it was there; neither the one in which it came nor the one in which it went.
    WholeHours,
}

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// A time for which something is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Since when.
    pub from: Timestamp,
    /// For how long.
    pub milliseconds: u64,
    /// Since when its parts are there; from the beginning, if nobody knows.
    pub parts: Option<Timestamp>,
}

impl Span {
    /// So many seconds.
    pub fn seconds(from: Timestamp, seconds: u64) -> Self {
        Span { from, milliseconds: seconds.saturating_mul(1000), parts: None }
    }

    /// This one, or as many seconds.
    #[must_use]
    pub fn at_least(self, seconds: u64) -> Self {
        Span { milliseconds: self.milliseconds.max(seconds.saturating_mul(1000)), ..self }
    }

    /// How long its parts were there, in milliseconds.
    fn of_parts(self) -> u64 {
        let late = self.parts.map_or(0, |parts| u64::try_from(parts.as_second() - self.from.as_second()).unwrap_or(0));
        self.milliseconds.saturating_sub(late.saturating_mul(1000))
    }

    /// The second in which it began, and the one in which it was over.
    fn ends(self) -> (i64, i64) {
        let from = self.from.as_second();
        (from, from.saturating_add(i64::try_from(self.milliseconds.div_ceil(1000)).unwrap_or(i64::MAX)))
    }
}

impl Metering {
    fn is_time(&self) -> bool {
        *self == Metering::Time
    }

    /// What so much of something costs whose hour has that price.
    pub fn of(self, price: Money, span: Span) -> Money {
        let (from, to) = span.ends();
        let (first, last) = (from.div_euclid(HOUR), to.div_euclid(HOUR));
        let whole = |seconds: i64| i64::from(seconds.rem_euclid(HOUR) != 0);
        let time = |milliseconds: u64| Money { amount: price.amount * Decimal::from(milliseconds) / Decimal::from(HOUR * 1000), ..price };
        match self {
            Metering::Time => time(span.milliseconds),
            Metering::Parts => time(span.of_parts()),
            Metering::BegunHours => price.times(Decimal::from((last + whole(to) - first).max(1))),
            Metering::WholeHours => price.times(Decimal::from((last - first - whole(from)).max(0))),
        }
    }

    /// The most that so many seconds cost, whenever they begin.
    pub fn at_most(self, price: Money, seconds: u64) -> Money {
        let hours = Decimal::from(seconds) / Decimal::from(HOUR);
        let most = price.times(match self {
            Metering::Time | Metering::Parts => hours,
            Metering::BegunHours => hours.ceil() + Decimal::ONE,
            Metering::WholeHours => hours.floor(),
        });
        Money { amount: most.amount.normalize(), ..most }
    }
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
        /// What of the time is billed.
        #[serde(default, skip_serializing_if = "Metering::is_time")]
        metering: Metering,
    },
    /// Once, however long it takes.
    Once {
        /// The price.
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

impl Charge {
    /// By the time, at so much an hour.
    pub fn hourly(price: Money, source: PriceSource) -> Self {
        Charge::Hourly { price, source, metering: Metering::Time }
    }
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
                Charge::Once { .. } => {}
                Charge::Usage { .. } => total.usage = true,
                Charge::Unknown { .. } => total.unknown = true,
            }
        }
        total
    }

    /// The most that it costs to have it for so many seconds, usage and unknown lines left out.
    pub fn at_most(&self, seconds: u64) -> Total {
        self.sum(|price, metering| metering.at_most(price, seconds), |price| price)
    }

    /// What a bill has of it: each line rounded for itself to so many digits, usage and unknown lines left out.
    pub fn billed(&self, span: Span, digits: u32) -> Total {
        let rounded = |money: Money| Money { amount: money.amount.round_dp(digits), ..money };
        self.sum(|price, metering| rounded(metering.of(price, span)), rounded)
    }

    fn sum(&self, hourly: impl Fn(Money, Metering) -> Money, once: impl Fn(Money) -> Money) -> Total {
        let mut total = Total::default();
        for line in &self.lines {
            match &line.charge {
                Charge::Hourly { price, metering, .. } => total.add(hourly(*price, *metering)),
                Charge::Once { price, .. } => total.add(once(*price)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_clock_are_counted_as_the_service_counts_them() {
        let of = |metering: Metering, from: &str, to: &str| {
            let (from, to): (Timestamp, Timestamp) =
                (format!("2026-01-02T{from}Z").parse().unwrap(), format!("2026-01-02T{to}Z").parse().unwrap());
            let seconds = u64::try_from(to.as_second() - from.as_second()).unwrap();
            metering.of(Money::cny(Decimal::ONE), Span::seconds(from, seconds)).amount
        };
        for (from, to, time, begun, whole) in [
            // The examples of the billing pages of CLB and of ACK.
            ("09:30:00", "12:30:00", "3", "4", "2"),
            ("10:20:00", "13:40:00", "3.3333", "4", "2"),
            ("10:20:00", "10:20:30", "0.0083", "1", "0"),
            ("10:00:00", "11:00:00", "1", "1", "1"),
            ("10:59:59", "11:00:01", "0.0006", "2", "0"),
            ("10:00:00", "10:00:00", "0", "1", "0"),
        ] {
            let number = |text: &str| text.parse::<Decimal>().unwrap();
            assert_eq!(of(Metering::Time, from, to).round_dp(4), number(time), "{from} {to}");
            assert_eq!(of(Metering::BegunHours, from, to), number(begun), "{from} {to}");
            assert_eq!(of(Metering::WholeHours, from, to), number(whole), "{from} {to}");
        }
    }

    #[test]
    fn a_bound_holds_whenever_the_time_begins() {
        let price = Money::cny(Decimal::ONE);
        for metering in [Metering::Time, Metering::Parts, Metering::BegunHours, Metering::WholeHours] {
            for seconds in [0, 1, 1799, 3599, 3600, 3601, 7200, 10_000] {
                let most = metering.at_most(price, seconds).amount;
                for begins in (0..7200).step_by(599) {
                    let from = Timestamp::from_second(begins).unwrap();
                    assert!(metering.of(price, Span::seconds(from, seconds)).amount <= most, "{metering:?} {seconds} from {begins}");
                }
            }
        }
    }
}
