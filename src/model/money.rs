//! Amounts of money: exact decimals with a currency. Never a float, never a bare number.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The currencies that Alibaba Cloud bills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Chinese yuan.
    Cny,
    /// United States dollar.
    Usd,
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Currency::Cny => "CNY",
            Currency::Usd => "USD",
        })
    }
}

/// What a dollar is taken to be in yuan where a budget and a price have different currencies: a round figure, neither a
/// quote nor what a bank asks. Wherever it is used it is said.
pub const CNY_A_DOLLAR: Decimal = Decimal::from_parts(710, 0, 0, false, 2);

/// An amount in a currency; may be negative (a saving).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money {
    /// The exact amount.
    pub amount: Decimal,
    /// Its currency.
    pub currency: Currency,
}

impl Money {
    /// An amount of yuan.
    pub fn cny(amount: Decimal) -> Self {
        Money { amount, currency: Currency::Cny }
    }

    /// This amount, `factor` times.
    #[must_use]
    pub fn times(self, factor: Decimal) -> Self {
        Money { amount: self.amount * factor, ..self }
    }

    /// This amount in a currency, at [`CNY_A_DOLLAR`] if that is another one.
    #[must_use]
    pub fn converted(self, currency: Currency) -> Self {
        let amount = match (self.currency, currency) {
            (Currency::Usd, Currency::Cny) => self.amount * CNY_A_DOLLAR,
            (Currency::Cny, Currency::Usd) => self.amount / CNY_A_DOLLAR,
            _ => self.amount,
        };
        Money { amount, currency }
    }

    /// Rounded half up to `places` digits after the point, trailing zeros kept.
    #[must_use]
    pub fn rounded(self, places: u32) -> Self {
        let mut amount = self.amount.round_dp_with_strategy(places, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        amount.rescale(places);
        Money { amount, ..self }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.amount, self.currency))
    }
}

impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let split = trimmed.find(char::is_whitespace).or_else(|| trimmed.find(char::is_alphabetic).filter(|at| *at > 0));
        let (number, unit) = trimmed.split_at(split.ok_or_else(|| format!("`{text}` has no currency; write `3 CNY` or `3 USD`"))?);
        let currency = match unit.trim_start() {
            "CNY" => Currency::Cny,
            "USD" => Currency::Usd,
            other => return Err(format!("`{other}` is not a currency; use CNY or USD")),
        };
        let amount = Decimal::from_str_exact(number).map_err(|_| format!("`{number}` is not a number"))?;
        Ok(Money { amount, currency })
    }
}

super::address::serde_as_text!(Money);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_number_and_a_currency() {
        assert_eq!("3 CNY".parse(), Ok(Money::cny(Decimal::from(3))));
        assert_eq!("0.10 USD".parse::<Money>().unwrap().to_string(), "0.10 USD");
        assert_eq!("3CNY".parse(), Ok(Money::cny(Decimal::from(3))));
        for text in ["3", "3 EUR", "CNY", "three CNY", "3 CNY a day"] {
            assert!(text.parse::<Money>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn another_currency_is_reached_at_the_stated_rate() {
        let money: Money = "7.10 CNY".parse().unwrap();
        assert_eq!(money.converted(Currency::Usd).rounded(2).to_string(), "1.00 USD");
        assert_eq!(money.converted(Currency::Usd).converted(Currency::Cny).rounded(2), money);
        assert_eq!(money.converted(Currency::Cny), money);
    }

    #[test]
    fn rounding_is_half_up() {
        let money: Money = "0.125 CNY".parse().unwrap();
        assert_eq!(money.rounded(2).to_string(), "0.13 CNY");
        assert_eq!(money.rounded(4).to_string(), "0.1250 CNY");
    }
}
