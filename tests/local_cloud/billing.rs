//! What billing tells of prices: modules, and what they cost.

use aliform::local_cloud::config::Config;
use serde_json::Value as Json;

use crate::caller::{Caller, code, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

async fn priced(caller: &Caller, product: &str, (module, kind, config): (&str, &str, &str)) -> Json {
    let params = [
        ("ProductCode", product),
        ("SubscriptionType", "PayAsYouGo"),
        ("ModuleList.1.ModuleCode", module),
        ("ModuleList.1.PriceType", kind),
        ("ModuleList.1.Config", config),
    ];
    caller.priced("GetPayAsYouGoPrice", &params).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_module_costs_what_it_is_configured_to() {
    let caller = caller();
    for (product, module, kind, config, unit, total) in [
        ("ecs", "InstanceType", "Hour", "InstanceType:ecs.e-c1m1.large,ImageOs:linux,Region:cn-chengdu", 0.094, 0.094),
        ("ecs", "InstanceType", "Month", "InstanceType:ecs.e-c1m1.large,Region:cn-chengdu", 0.094, 68.62),
        ("ecs", "SystemDisk", "Hour", "SystemDisk.Category:cloud_essd,SystemDisk.Size:40,Region:cn-beijing", 0.084, 0.084),
        (
            "ecs",
            "DataDisk",
            "Month",
            "DataDisk.Category:cloud_essd,DataDisk.PerformanceLevel:PL0,DataDisk.Size:100,Region:cn-beijing",
            0.105,
            50.0,
        ),
        (
            "ecs",
            "InternetMaxBandwidthOut",
            "Hour",
            "InternetMaxBandwidthOut:10240,InternetMaxBandwidthOut.IsFlowType:5,Region:cn-beijing",
            1.5625,
            1.5625,
        ),
        ("ecs", "InternetTrafficOut", "Usage", "InternetTrafficOut:10,Region:cn-beijing", 0.8, 8.0),
        ("eip", "InstanceRent", "Hour", "InstanceRent:1,Region:cn-hangzhou", 0.02, 0.02),
        ("oss", "Storage", "Usage", "Storage:1000,DataRedundancyType:ZRS,Region:cn-hangzhou", 0.15, 150.0),
        ("oss", "NetworkOut", "Usage", "NetworkOut:10,Time:Idle,Region:cn-hangzhou", 0.25, 2.5),
        ("fc", "CU", "Usage", "CU:300000000,Region:cn-hangzhou", 0.00011, 22_000.0 + 10_000.0),
    ] {
        let answer = priced(&caller, product, (module, kind, config)).await;
        assert_eq!(answer["Success"], true, "{product} {module}: {answer}");
        let detail = &answer["Data"]["ModuleDetails"]["ModuleDetail"][0];
        assert_eq!((detail["UnitPrice"].as_f64(), detail["OriginalCost"].as_f64()), (Some(unit), Some(total)), "{product} {module}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_priced_is_answered_and_says_so() {
    let caller = caller();
    for (product, module, kind, config, refused) in [
        ("rds", "InstanceType", "Hour", "Region:cn-beijing", "ProductNotFind"),
        ("ecs", "Nothing", "Hour", "Region:cn-beijing", "InvalidParameter"),
        ("ecs", "InstanceType", "Usage", "InstanceType:ecs.g7.large,Region:cn-beijing", "InvalidParameter"),
        ("ecs", "InstanceType", "Hour", "InstanceType:ecs.g7.large", "MissingParameter"),
        ("ecs", "InstanceType", "Hour", "Region:cn-beijing", "MissingParameter"),
        ("ecs", "InstanceType", "Hour", "what", "InvalidParameter"),
        ("ecs", "InstanceType", "Hour", "InstanceType:ecs.none,Region:cn-beijing", "PRICING_PLAN_RESULT_NOT_FOUND"),
        ("ecs", "InstanceType", "Hour", "InstanceType:ecs.g7.large,ImageOs:windows,Region:cn-beijing", "PRICING_PLAN_RESULT_NOT_FOUND"),
        ("ecs", "SystemDisk", "Hour", "SystemDisk.Category:cloud_essd,SystemDisk.Size:4,Region:cn-beijing", "InvalidParameter"),
        ("ecs", "InternetTrafficOut", "Usage", "InternetTrafficOut:79228162514264337593543950335,Region:cn-beijing", "InvalidParameter"),
        ("eip", "InstanceRent", "Year", "InstanceRent:-1,Region:cn-beijing", "InvalidParameter"),
        ("oss", "PutRequest", "Usage", "PutRequest:1,Region:cn-beijing", "PRICING_PLAN_RESULT_NOT_FOUND"),
        ("oss", "Storage", "Usage", "Storage:1,Region:nowhere", "InvalidParameter"),
    ] {
        let answer = priced(&caller, product, (module, kind, config)).await;
        assert_eq!((answer["Success"].as_bool(), text(&answer, "/Code").as_str()), (Some(false), refused), "{product} {module} {config}");
        assert!(answer.get("Data").is_none(), "{answer}");
    }
    assert_eq!(code(caller.priced("GetPayAsYouGoPrice", &[("ProductCode", "ecs")]).await), "MissingSubscriptionType");
}

#[tokio::test(start_paused = true)]
async fn modules_tell_what_prices_are_asked_with() {
    let caller = caller();
    let params = [("ProductCode", "ecs"), ("SubscriptionType", "PayAsYouGo")];
    let answer = caller.priced("DescribePricingModule", &params).await.unwrap();
    let modules = answer["Data"]["ModuleList"]["Module"].as_array().unwrap();
    let attributes = answer["Data"]["AttributeList"]["Attribute"].as_array().unwrap();
    assert_eq!(modules.len(), 5);
    for module in modules {
        for code in module["ConfigList"]["ConfigList"].as_array().unwrap() {
            let attribute = attributes.iter().find(|attribute| attribute["Code"] == *code).unwrap();
            assert!(!attribute["Values"]["AttributeValue"].as_array().unwrap().is_empty(), "{attribute}");
        }
    }
    let none = caller.priced("DescribePricingModule", &[("ProductCode", "rds"), ("SubscriptionType", "PayAsYouGo")]).await.unwrap();
    assert_eq!((none["Success"].as_bool(), text(&none, "/Code").as_str()), (Some(false), "ProductNotFind"));
}
