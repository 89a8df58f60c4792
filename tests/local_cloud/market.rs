//! What is sold and for how much.

use aliform::local_cloud::config::Config;
use serde_json::Value as Json;

use crate::caller::{Caller, IMAGE, TYPE, code, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

fn part(answer: &Json, name: &str) -> f64 {
    let rows = answer["PriceInfo"]["Price"]["DetailInfos"]["DetailInfo"].as_array().unwrap();
    rows.iter().find(|row| row["Resource"] == name).unwrap()["TradePrice"].as_f64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_price_is_the_sum_of_its_parts() {
    let caller = caller();
    let disk = [
        ("InstanceType", "ecs.e-c1m1.large"),
        ("SystemDisk.Category", "cloud_essd"),
        ("SystemDisk.PerformanceLevel", "PL1"),
        ("SystemDisk.Size", "40"),
    ];
    let price = async |more: &[(&str, &str)]| caller.ecs("DescribePrice", &[&disk, more].concat()).await.unwrap();
    let answer = price(&[]).await;
    assert_eq!((part(&answer, "instanceType"), part(&answer, "systemDisk")), (0.094, 0.084));
    assert_eq!(answer["PriceInfo"]["Price"]["TradePrice"], 0.178);
    assert_eq!(answer["PriceInfo"]["Price"]["Currency"], "CNY");
    let month = price(&[("PriceUnit", "Month")]).await;
    assert_eq!((part(&month, "instanceType"), part(&month, "systemDisk")), (68.62, 40.0));
    assert_eq!(price(&[("Amount", "3")]).await["PriceInfo"]["Price"]["TradePrice"], 0.534);
    let traffic = price(&[("InternetMaxBandwidthOut", "10"), ("InternetChargeType", "PayByTraffic")]).await;
    assert_eq!(part(&traffic, "bandwidth"), 0.0);
    let fixed = [("InternetMaxBandwidthOut", "10"), ("InternetChargeType", "PayByBandwidth")];
    assert_eq!(part(&price(&fixed).await, "bandwidth"), 1.5625);
    assert_eq!(part(&price(&[fixed.as_slice(), &[("PriceUnit", "Month")]].concat()).await, "bandwidth"), 525.0);
    let data = price(&[("DataDisk.1.Category", "cloud_essd"), ("DataDisk.1.Size", "100")]).await;
    assert_eq!(part(&data, "dataDisk"), 0.21);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_priced_is_an_error_and_never_nothing() {
    let caller = caller();
    let price = async |params: &[(&str, &str)]| code(caller.ecs("DescribePrice", params).await);
    assert_eq!(price(&[("InstanceType", "ecs.c1.large")]).await, "InvalidInstanceType.ValueNotSupported");
    assert_eq!(price(&[("InstanceType", TYPE), ("RegionId", "me-east-1")]).await, "InvalidInstanceType.ValueNotSupported");
    let ssd = [("InstanceType", TYPE), ("RegionId", "ap-southeast-1"), ("SystemDisk.Category", "cloud_ssd")];
    assert_eq!(price(&ssd).await, "InvalidSystemDiskCategory.ValueNotSupported");
    let fixed = [
        ("InstanceType", TYPE),
        ("RegionId", "ap-southeast-1"),
        ("InternetMaxBandwidthOut", "5"),
        ("InternetChargeType", "PayByBandwidth"),
    ];
    assert_eq!(price(&fixed).await, "PRICE.PRICING_PLAN_RESULT_NOT_FOUND");
    assert_eq!(price(&[]).await, "MissingInstanceType");
}

#[tokio::test(start_paused = true)]
async fn regions_zones_and_types_are_described() {
    let caller = caller();
    let regions = caller.ecs("DescribeRegions", &[]).await.unwrap();
    let ids: Vec<String> = regions["Regions"]["Region"].as_array().unwrap().iter().map(|row| text(row, "/RegionId")).collect();
    assert!(ids.contains(&"ap-southeast-1".to_owned()) && !ids.contains(&"ap-south-1".to_owned()), "{ids:?}");
    let zones = caller.ecs("DescribeZones", &[]).await.unwrap();
    let zone = zones["Zones"]["Zone"].as_array().unwrap().iter().find(|zone| zone["ZoneId"] == "cn-hangzhou-h").unwrap();
    assert!(zone["AvailableInstanceTypes"]["InstanceTypes"].as_array().unwrap().iter().any(|name| name == TYPE));
    let all = caller.ecs("DescribeInstanceTypes", &[]).await.unwrap();
    assert_eq!(all["InstanceTypes"]["InstanceType"].as_array().unwrap().len(), 681);
    let page = caller.ecs("DescribeInstanceTypes", &[("MaxResults", "100")]).await.unwrap();
    assert!(!text(&page, "/NextToken").is_empty());
    let params = [("MinimumCpuCoreCount", "8"), ("MaximumCpuCoreCount", "8"), ("GPUSpec", "NVIDIA T4")];
    let gpus = caller.ecs("DescribeInstanceTypes", &params).await.unwrap();
    let rows = gpus["InstanceTypes"]["InstanceType"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["CpuCoreCount"] == 8 && row["GPUAmount"].as_u64() >= Some(1)));
    let small = caller.ecs("DescribeInstanceTypes", &[("InstanceTypes.1", TYPE)]).await.unwrap();
    assert_eq!(small["InstanceTypes"]["InstanceType"][0]["MemorySize"], 4.0);
}

#[tokio::test(start_paused = true)]
async fn recommendations_are_in_stock_and_fit() {
    let caller = caller();
    let params = [("NetworkType", "vpc"), ("Cores", "2"), ("Memory", "4"), ("PriorityStrategy", "PriceFirst")];
    let answer = caller.ecs("DescribeRecommendInstanceType", &params).await.unwrap();
    let rows = answer["Data"]["RecommendInstanceType"].as_array().unwrap();
    assert!(rows.len() > 1);
    let mut last = 0.0;
    for (row, priority) in rows.iter().zip(1..) {
        assert_eq!(
            (&row["InstanceType"]["Cores"], &row["InstanceType"]["Memory"], &row["Priority"]),
            (&2.into(), &4.into(), &priority.into())
        );
        let name = text(row, "/InstanceType/InstanceType");
        let price = part(&caller.ecs("DescribePrice", &[("InstanceType", &name)]).await.unwrap(), "instanceType");
        assert!(price >= last, "{name} at {price} after {last}");
        last = price;
    }
    assert_eq!(code(caller.ecs("DescribeRecommendInstanceType", &[("NetworkType", "vpc")]).await), "MissingParameter");
}

#[tokio::test(start_paused = true)]
async fn disks_are_told_with_their_sizes() {
    let caller = caller();
    let params = [("DestinationResource", "SystemDisk"), ("InstanceType", "ecs.g7.large"), ("ZoneId", "cn-hangzhou-h")];
    let answer = caller.ecs("DescribeAvailableResource", &params).await.unwrap();
    let rows = answer
        .pointer("/AvailableZones/AvailableZone/0/AvailableResources/AvailableResource/0/SupportedResources/SupportedResource")
        .unwrap();
    let essd = rows.as_array().unwrap().iter().find(|row| row["Value"] == "cloud_essd").unwrap();
    assert_eq!((&essd["Min"], &essd["Max"], &essd["Unit"]), (&1.into(), &2048.into(), &"GiB".into()));
    // Only entry families take entry disks.
    assert!(!rows.as_array().unwrap().iter().any(|row| row["Value"] == "cloud_essd_entry"));
    let nameless = [("DestinationResource", "SystemDisk")];
    assert_eq!(code(caller.ecs("DescribeAvailableResource", &nameless).await), "MissingParameter.InstanceType");
}

#[tokio::test(start_paused = true)]
async fn images_are_found_by_family_and_for_a_type() {
    let caller = caller();
    let family = "acs:alibaba_cloud_linux_3_2104_lts_x64";
    let image = caller.ecs("DescribeImageFromFamily", &[("ImageFamily", family)]).await.unwrap();
    assert_eq!([text(&image, "/Image/ImageId"), text(&image, "/Image/OSName")], [IMAGE, "Alibaba Cloud Linux  3.2104 LTS 64 bit"]);
    let none = caller.ecs("DescribeImageFromFamily", &[("ImageFamily", "acs:none")]).await.unwrap_err();
    assert_eq!((none.status, none.code.as_str()), (403, "InvalidImageFamily.MissingAvailableImage"));
    let arm = caller.ecs("DescribeImages", &[("InstanceType", "ecs.c8y.large"), ("PageSize", "100")]).await.unwrap();
    let rows = arm["Images"]["Image"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["Architecture"] == "arm64"));
    let one = caller.ecs("DescribeImages", &[("ImageId", IMAGE)]).await.unwrap();
    assert_eq!(one["TotalCount"], 1);
    assert_eq!(text(&one, "/Images/Image/0/DiskDeviceMappings/DiskDeviceMapping/0/Size"), "20");
}

#[tokio::test(start_paused = true)]
async fn parts_are_priced_by_themselves_and_by_the_change() {
    let caller = caller();
    let total = async |params: &[(&str, &str)]| {
        caller.ecs("DescribePrice", params).await.map(|answer| answer["PriceInfo"]["Price"]["TradePrice"].as_f64().unwrap())
    };
    let disk = [("ResourceType", "disk"), ("DataDisk.1.Category", "cloud_essd"), ("DataDisk.1.Size", "100")];
    assert_eq!(total(&disk).await.unwrap(), 0.21);
    assert_eq!(code(caller.ecs("DescribePrice", &[disk.as_slice(), &[("PriceUnit", "Month")]].concat()).await), "InvalidParameter");
    let faster = [disk.as_slice(), &[("DataDisk.1.ProvisionedIops", "10")]].concat();
    assert_eq!(code(caller.ecs("DescribePrice", &faster).await), "PRICE.PRICING_PLAN_RESULT_NOT_FOUND");
    // By traffic a GB is priced, else the time.
    let line = ("ResourceType", "bandwidth");
    assert_eq!(total(&[line, ("InternetChargeType", "PayByTraffic")]).await.unwrap(), 0.8);
    let fixed = [line, ("InternetChargeType", "PayByBandwidth"), ("InternetMaxBandwidthOut", "10")];
    assert_eq!(total(&fixed).await.unwrap(), 1.5625);
    let year = [("InstanceType", "ecs.e-c1m1.large"), ("PriceUnit", "Year"), ("Period", "2")];
    let answer = caller.ecs("DescribePrice", &year).await.unwrap();
    assert!((part(&answer, "instanceType") - 0.094 * 8760.0 * 2.0).abs() < 1e-6);

    let network = caller.network().await;
    let id = caller.running(&network).await;
    let change = async |more: &[(&str, &str)]| {
        caller.ecs("DescribeInstanceModificationPrice", &[&[("InstanceId", id.as_str())], more].concat()).await
    };
    let bigger =
        change(&[("InstanceType", "ecs.u1-c1m2.xlarge"), ("InternetMaxBandwidthOut", "5"), ("InternetChargeType", "PayByBandwidth")])
            .await
            .unwrap();
    let alone = caller.ecs("DescribePrice", &[("InstanceType", "ecs.u1-c1m2.xlarge")]).await.unwrap();
    assert_eq!(part(&bigger, "instanceType"), part(&alone, "instanceType"));
    assert_eq!(part(&bigger, "bandwidth"), 0.3125);
    assert_eq!(part(&change(&[("DataDisk.1.Category", "cloud_essd"), ("DataDisk.1.Size", "100")]).await.unwrap(), "dataDisk"), 0.21);
    assert_eq!(code(change(&[]).await), "MissingParameter");
    let unknown = [("DataDisk.1.Category", "cloud_essd"), ("DataDisk.1.Size", "100"), ("DataDisk.1.DiskId", "d-none")];
    assert_eq!(code(change(&unknown).await), "InvalidDiskId.NotFound");
}

#[tokio::test(start_paused = true)]
async fn families_and_attributes_are_those_of_the_region() {
    let caller = caller();
    let families = async |more: &[(&str, &str)]| {
        let answer = caller.ecs("DescribeInstanceTypeFamilies", more).await.unwrap();
        answer["InstanceTypeFamilies"]["InstanceTypeFamily"].as_array().unwrap().clone()
    };
    let all = families(&[]).await;
    let fifth = families(&[("Generation", "ecs-5")]).await;
    assert!(fifth.iter().any(|row| row["InstanceTypeFamilyId"] == "ecs.g6") && fifth.len() < all.len());
    assert!(!all.iter().any(|row| row["InstanceTypeFamilyId"] == "ecs.c1"), "it is not sold there");

    let attribute = async |name: &str| {
        let answer = caller.ecs("DescribeAccountAttributes", &[("AttributeName.1", name)]).await.unwrap();
        answer["AccountAttributeItems"]["AccountAttributeItem"][0]["AttributeValues"]["ValueItem"].clone()
    };
    assert_eq!(attribute("max-security-groups").await[0]["Value"], "500");
    assert_eq!(attribute("used-postpaid-instance-vcpu-count").await[0]["Value"], "0");
    let network = caller.network().await;
    caller.running(&network).await;
    assert_eq!(attribute("used-postpaid-instance-vcpu-count").await[0]["Value"], "2");
    assert_eq!(attribute("max-postpaid-instance-vcpu-count").await, serde_json::json!([]));
    assert_eq!(code(caller.ecs("DescribeAccountAttributes", &[("AttributeName.1", "shoe-size")]).await), "InvalidParameter");
    // What an image is used for follows from the instances.
    let images = async |usage: &str| caller.ecs("DescribeImages", &[("Usage", usage)]).await.unwrap()["TotalCount"].clone();
    assert_eq!((images("instance").await, images("none").await), (1.into(), 239.into()));
}

#[tokio::test(start_paused = true)]
async fn what_the_catalogue_does_not_know_is_refused() {
    let caller = caller();
    for name in ["MinimumEniQuantity", "MaximumCpuTurboFrequency", "PhysicalProcessorModels.1", "LocalStorageCategory"] {
        assert_eq!(code(caller.ecs("DescribeInstanceTypes", &[(name, "3")]).await), "InvalidParameter", "{name}");
    }
    let both = [("CpuArchitectures.1", "ARM"), ("InstanceCategories.1", "General Purpose"), ("InstanceCategory", "Memory Optimized")];
    let answer = caller.ecs("DescribeInstanceTypes", &both).await.unwrap();
    let rows = answer["InstanceTypes"]["InstanceType"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["CpuArchitecture"] == "ARM" && row["InstanceCategory"] != "Compute Optimized"));
    let names = async |language: &str| {
        let answer = caller.ecs("DescribeRegions", &[("AcceptLanguage", language)]).await.unwrap();
        let rows = answer["Regions"]["Region"].as_array().unwrap();
        text(rows.iter().find(|row| row["RegionId"] == "cn-hangzhou").unwrap(), "/LocalName")
    };
    assert_eq!([names("").await, names("en-US").await], ["华东1（杭州）", "Hangzhou"]);
    let entry = [("DestinationResource", "InstanceType"), ("SystemDiskCategory", "cloud_essd_entry"), ("ZoneId", "cn-hangzhou-h")];
    let answer = caller.ecs("DescribeAvailableResource", &entry).await.unwrap();
    let rows = answer
        .pointer("/AvailableZones/AvailableZone/0/AvailableResources/AvailableResource/0/SupportedResources/SupportedResource")
        .unwrap();
    assert!(rows.as_array().unwrap().iter().all(|row| ["ecs.e-", "ecs.u1"].iter().any(|start| text(row, "/Value").starts_with(start))));
}
