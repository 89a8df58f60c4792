//! CreateProductOrders: opens the pay-as-you-go products that a workspace needs. They cost nothing by themselves.

use serde::Deserialize;
use serde_json::json;

use crate::local_cloud::call::Outcome;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::ids;
use crate::local_cloud::wire::fault::Fault;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Order {
    auto_pay: Option<bool>,
    products: Option<Vec<Product>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Product {
    product_code: Option<String>,
    charge_type: Option<String>,
    order_type: Option<String>,
    pricing_cycle: Option<String>,
    duration: Option<i64>,
    instance_properties: Option<Vec<Property>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Property {
    code: Option<String>,
    value: Option<String>,
}

/// CreateProductOrders.
pub(super) async fn create(call: &RoaCall<'_>) -> Outcome {
    let order: Order = call.body()?;
    call.commit(move |call| {
        let products = order.products.unwrap_or_default();
        if products.is_empty() {
            return Err(Fault::mandatory("Products"));
        }
        products.iter().try_for_each(check)?;
        call.check_balance()?;
        let mut number = |what| ids::digits(call.config.seed, call.world.next_number(), what, 15);
        let opened: Vec<String> = products.iter().map(|_| number("product")).collect();
        let (order_id, request) = (number("order"), number("purchase"));
        let message = if order.auto_pay.unwrap_or(false) { "Success" } else { "The order waits for its payment." };
        Ok(json!({ "BuyProductRequestId": request, "OrderId": order_id, "ProductIds": opened, "Message": message }))
    })
    .await
}

/// Holds a product against what is sold: only pay-as-you-go, each with its own cycle.
fn check(product: &Product) -> Result<(), Fault> {
    let one_of = |value: &Option<String>, name: &str, allowed: &[&str]| match value.as_deref().filter(|text| !text.is_empty()) {
        None => Err(Fault::mandatory(&format!("Products.{name}"))),
        Some(text) if allowed.contains(&text) => Ok(()),
        Some(_) => Err(Fault::invalid(&format!("Products.{name}"))),
    };
    one_of(&product.product_code, "ProductCode", &["DataWorks_share", "MaxCompute_share", "PAI_share", "OSS_share"])?;
    one_of(&product.charge_type, "ChargeType", &["POSTPAY"])?;
    one_of(&product.order_type, "OrderType", &["BUY"])?;
    let (cycle, properties): (&[&str], &[&str]) = match product.product_code.as_deref() {
        Some("DataWorks_share") => (&["Month"], &["region"]),
        Some("MaxCompute_share") => (&["Hour"], &["region", "ord_time"]),
        Some("OSS_share") => (&["Hour"], &["commodity_type", "ord_time"]),
        _ => (&[], &[]),
    };
    if !cycle.is_empty() {
        one_of(&product.pricing_cycle, "PricingCycle", cycle)?;
    }
    if product.duration.is_some_and(|duration| duration != 1) {
        return Err(Fault::invalid("Products.Duration"));
    }
    let given = product.instance_properties.as_deref().unwrap_or_default();
    for code in properties {
        let told = given.iter().any(|one| one.code.as_deref() == Some(code) && one.value.as_deref().is_some_and(|value| !value.is_empty()));
        if !told {
            return Err(Fault::mandatory(&format!("Products.InstanceProperties.{code}")));
        }
    }
    Ok(())
}
