//! Money in words. An unknown price is said to be unknown and never looks like zero.

use aliform::model::cost::{HOURS_A_MONTH, Total};
use aliform::model::money::{Currency, Money};

/// Digits after the point of money for an hour.
pub(crate) const HOURLY: u32 = 4;
/// Digits after the point of money for a month.
pub(super) const MONTHLY: u32 = 2;

/// Digits that a bill has.
const SMALLEST: u32 = 6;

/// The sums of a total one after another, and that something in it is unknown.
pub(crate) fn amounts(total: &Total, places: u32) -> String {
    // What is not nothing is not shown as nothing.
    let digits = |money: &Money| if money.rounded(places).amount.is_zero() && !money.amount.is_zero() { SMALLEST } else { places };
    let mut parts: Vec<String> = total.sums.iter().map(|money| money.rounded(digits(money)).to_string()).collect();
    if total.unknown {
        parts.push("unknown".to_owned());
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" + ") }
}

/// An hour of something, `0.2670 CNY/h`.
pub(super) fn an_hour(money: Money) -> String {
    let money = money.rounded(HOURLY);
    format!("{} {}/h", money.amount, money.currency)
}

/// What a resource costs, in a few words: `0.2670 CNY/h`, `free`, `unknown`, `by usage`.
pub(super) fn rate(total: &Total) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(total.sums.iter().map(|money| an_hour(*money)));
    if total.unknown {
        parts.push("unknown".to_owned());
    }
    match (parts.is_empty(), total.usage) {
        (true, true) => "by usage".to_owned(),
        (true, false) => "free".to_owned(),
        (false, true) => format!("{} + usage", parts.join(" + ")),
        (false, false) => parts.join(" + "),
    }
}

/// What something costs in a sentence: for an hour, for a month, and what is not in these sums.
pub(super) fn sentence(hourly: &Total) -> String {
    let usage = if hourly.usage { ", and what is charged by usage" } else { "" };
    if hourly.sums.is_empty() {
        return format!("{} an hour{usage}", amounts(hourly, HOURLY));
    }
    let month = amounts(&hourly.monthly(), MONTHLY);
    format!("{} an hour, {month} a month of {HOURS_A_MONTH} h{usage}", amounts(hourly, HOURLY))
}

/// One currency's part of a total as a cell of a table.
pub(super) fn cell(total: &Total, currency: Currency, places: u32, signed: bool) -> String {
    let present = total.sums.iter().any(|sum| sum.currency == currency);
    if total.unknown && !present {
        return "unknown".to_owned();
    }
    let money = total.in_currency(currency).rounded(places);
    let sign = if signed && money.amount.is_sign_positive() && !money.amount.is_zero() { "+" } else { "" };
    // A negative zero is what rounding a small saving leaves.
    let amount = if money.amount.is_zero() { money.amount.abs() } else { money.amount };
    let unknown = if total.unknown { " + unknown" } else { "" };
    format!("{sign}{amount} {currency}{unknown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(sums: &[&str], usage: bool, unknown: bool) -> Total {
        Total { sums: sums.iter().map(|sum| sum.parse().unwrap()).collect(), usage, unknown }
    }

    #[test]
    fn a_rate_says_what_it_leaves_out() {
        let words = [
            (total(&["0.267 CNY"], false, false), "0.2670 CNY/h"),
            (total(&["0.267 CNY"], true, false), "0.2670 CNY/h + usage"),
            (total(&["0.267 CNY", "0.01 USD"], false, true), "0.2670 CNY/h + 0.0100 USD/h + unknown"),
            (total(&[], false, false), "free"),
            (total(&[], true, false), "by usage"),
            (total(&[], false, true), "unknown"),
            (total(&[], true, true), "unknown + usage"),
        ];
        for (total, text) in words {
            assert_eq!(rate(&total), text);
        }
    }

    #[test]
    fn an_unknown_price_never_looks_like_zero() {
        assert_eq!(cell(&total(&[], false, true), Currency::Cny, 2, false), "unknown");
        assert_eq!(cell(&total(&["1 CNY"], false, true), Currency::Cny, 2, true), "+1.00 CNY + unknown");
        assert_eq!(amounts(&total(&[], false, true), 2), "unknown");
        assert_eq!(amounts(&total(&["0.000021 CNY"], false, false), 4), "0.000021 CNY");
        assert_eq!(sentence(&total(&[], false, true)), "unknown an hour");
        assert_eq!(
            sentence(&total(&["1 CNY"], true, true)),
            "1.0000 CNY + unknown an hour, 730.00 CNY + unknown a month of 730 h, and what is charged by usage"
        );
    }

    #[test]
    fn a_change_has_its_sign_and_zero_has_none() {
        assert_eq!(cell(&total(&["-0.5 CNY"], false, false), Currency::Cny, 4, true), "-0.5000 CNY");
        assert_eq!(cell(&total(&["-0.00001 CNY"], false, false), Currency::Cny, 4, true), "0.0000 CNY");
        assert_eq!(cell(&total(&[], false, false), Currency::Usd, 2, true), "0.00 USD");
    }
}
