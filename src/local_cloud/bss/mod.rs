//! What billing sells by use, in the words of its pricing calls: which modules a product is priced by and what they
//! cost. Mistakes of the caller come as answers that say that they failed, with HTTP 200. It must never invent a rate.

mod config;
mod modules;
mod price;

use serde_json::{Value as Json, json};

use super::account;
use super::call::{Call, Outcome};

/// A call that failed although it was answered.
struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Refused {
        Refused { code, message: message.into() }
    }

    /// Nobody published a price for it.
    fn unpriced() -> Refused {
        Refused::new("PRICING_PLAN_RESULT_NOT_FOUND", "pricing plan price result not found.")
    }
}

/// The envelope around what a call found or did not find.
fn told(found: Result<Json, Refused>) -> Json {
    match found {
        Ok(data) => json!({ "Code": "Success", "Message": "Successful!", "Success": true, "Data": data }),
        Err(refused) => json!({ "Code": refused.code, "Message": refused.message, "Success": false }),
    }
}

/// The call of a name.
pub(crate) fn operation(action: &str) -> Option<fn(&mut Call) -> Outcome> {
    Some(match action {
        "QueryAccountBalance" => account::balance,
        "GetPayAsYouGoPrice" => price::pay_as_you_go,
        "DescribePricingModule" => modules::describe,
        _ => return None,
    })
}
