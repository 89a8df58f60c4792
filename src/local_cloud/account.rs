//! What the account has left: billing.

use rust_decimal::Decimal;
use serde_json::json;

use super::call::{Call, Outcome};

/// BSS QueryAccountBalance. All amounts are texts with two digits and commas between thousands.
pub(crate) fn balance(call: &mut Call) -> Outcome {
    let left = amount(call.balance());
    Ok(json!({
        "Code": "Success",
        "Message": "Successful!",
        "Success": true,
        "Data": {
            "AvailableAmount": left,
            "AvailableCashAmount": left,
            "CreditAmount": "0.00",
            "MybankCreditAmount": "0.00",
            "QuotaLimit": "0.00",
            "Currency": "CNY",
        },
    }))
}

fn amount(amount: Decimal) -> String {
    let text = format!("{:.2}", amount.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}.{cents}", if amount.is_sign_negative() && !amount.is_zero() { "-" } else { "" }, groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_commas_between_thousands() {
        assert_eq!(amount(Decimal::new(1_234_567_891, 3)), "1,234,567.89");
        assert_eq!(amount(Decimal::from(100)), "100.00");
        assert_eq!(amount(Decimal::new(-50, 1)), "-5.00");
    }
}
