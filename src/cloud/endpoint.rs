//! Where a product is reached in a region. A pure table with rules; it resolves no names and asks nobody.
//!
//! Source: the official SDKs' endpoint rules and their tables of exceptions.

use std::collections::BTreeMap;

use super::call::Product;

/// How products are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// The public hosts of the region.
    #[default]
    Public,
    /// The hosts inside the region's network.
    Internal,
    /// One address for all products, `http://127.0.0.1:8090`; buckets stand in the path.
    Fixed(String),
    /// One product at an address of its own, the others at their public hosts.
    Single {
        /// Whose address it is.
        product: Product,
        /// The address, `https://ecs.example.aliyuncs.com`.
        base: String,
    },
}

/// Where one call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Scheme and authority, `https://ecs-cn-hangzhou.aliyuncs.com`.
    pub base: String,
    /// Whether the bucket is the first segment of the path instead of a part of the host.
    pub bucket_in_path: bool,
}

impl Endpoint {
    /// What the environment asks for: `ALIBABA_CLOUD_ENDPOINT` and `ALIBABA_CLOUD_ENDPOINT_TYPE`, as the official CLI
    /// reads them. The CLI calls one product at a time; here a host of `aliyuncs.com` serves only the product that
    /// its name begins with, any other host serves all.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Self {
        let value = |name| variables.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        if let Some(text) = value("ALIBABA_CLOUD_ENDPOINT") {
            let text = text.trim_end_matches('/');
            let base = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
            let host = base.split_once("://").map_or("", |(_, host)| host);
            let owner = Product::ALL.into_iter().find(|product| {
                let name = match product {
                    Product::Bss => "business",
                    Product::Fc => "fcv3",
                    other => other.code(),
                };
                host.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '-']))
            });
            return match owner {
                Some(product) if host.ends_with(".aliyuncs.com") => Endpoint::Single { product, base },
                _ => Endpoint::Fixed(base),
            };
        }
        match value("ALIBABA_CLOUD_ENDPOINT_TYPE") {
            Some("vpc") => Endpoint::Internal,
            _ => Endpoint::Public,
        }
    }

    /// Where calls of `product` in `region` go; with `bucket`, the host is the bucket's own.
    pub fn locate(&self, product: Product, region: &str, bucket: Option<&str>) -> Location {
        let named = |host: String| Location {
            base: match bucket {
                Some(bucket) => format!("https://{bucket}.{host}"),
                None => format!("https://{host}"),
            },
            bucket_in_path: false,
        };
        match self {
            Endpoint::Fixed(base) => Location { base: base.trim_end_matches('/').to_owned(), bucket_in_path: true },
            Endpoint::Single { product: owner, base } if *owner == product => match (bucket, base.split_once("://")) {
                (Some(bucket), Some((scheme, host))) => Location { base: format!("{scheme}://{bucket}.{host}"), bucket_in_path: false },
                _ => Location { base: base.clone(), bucket_in_path: false },
            },
            Endpoint::Public | Endpoint::Single { .. } => named(public_host(product, region)),
            Endpoint::Internal => named(internal_host(product, region)),
        }
    }

    /// Whether calls leave for an address that was given instead of Alibaba Cloud's own.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Endpoint::Fixed(_))
    }
}

/// The public host of a product in a region.
pub fn public_host(product: Product, region: &str) -> String {
    match (product, region) {
        (Product::Ecs, "cn-hangzhou" | "cn-shanghai-finance-1" | "cn-shenzhen-finance-1") => "ecs-cn-hangzhou.aliyuncs.com".to_owned(),
        (Product::Ecs, "cn-north-2-gov-1" | "cn-hangzhou-finance") => "ecs.aliyuncs.com".to_owned(),
        (Product::Vpc, "cn-hangzhou" | "cn-shanghai-finance-1" | "cn-shenzhen-finance-1" | "cn-north-2-gov-1") => {
            "vpc.aliyuncs.com".to_owned()
        }
        (Product::Sts, "ap-south-1" | "ap-southeast-2" | "") => "sts.aliyuncs.com".to_owned(),
        (Product::Bss, region) => billing_host(is_mainland_site(region)).to_owned(),
        (Product::Oss, region) => format!("oss-{region}.aliyuncs.com"),
        (Product::Fc, "me-central-1" | "cn-shanghai-finance-1" | "cn-heyuan-acdr-1" | "cn-hangzhou-finance") => {
            format!("{region}.fc.aliyuncs.com")
        }
        (Product::Fc, region) => format!("fcv3.{region}.aliyuncs.com"),
        (product, region) => format!("{}.{region}.aliyuncs.com", product.code()),
    }
}

/// The host of a product inside the region's network. Billing has none that every region reaches.
pub fn internal_host(product: Product, region: &str) -> String {
    match product {
        Product::Bss => public_host(product, region),
        Product::Fc => format!("fc-vpc.{region}.aliyuncs.com"),
        Product::Oss => format!("oss-{region}-internal.aliyuncs.com"),
        Product::Cs => format!("cs-anony-vpc.{region}.aliyuncs.com"),
        product => format!("{}-vpc.{region}.aliyuncs.com", product.code()),
    }
}

/// Billing follows the account's site. The region is only a guess at it: an account of the other site is
/// answered `NotApplicable`.
pub fn is_mainland_site(region: &str) -> bool {
    region.is_empty() || region.starts_with("cn-")
}

/// Billing's host for accounts of the mainland site, or of the international one.
pub fn billing_host(mainland: bool) -> &'static str {
    if mainland { "business.aliyuncs.com" } else { "business.ap-southeast-1.aliyuncs.com" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn hosts_follow_the_rule_and_its_exceptions() {
        for (product, region, public, internal) in [
            (Product::Ecs, "cn-beijing", "ecs.cn-beijing.aliyuncs.com", "ecs-vpc.cn-beijing.aliyuncs.com"),
            (Product::Ecs, "cn-hangzhou", "ecs-cn-hangzhou.aliyuncs.com", "ecs-vpc.cn-hangzhou.aliyuncs.com"),
            (Product::Vpc, "ap-southeast-1", "vpc.ap-southeast-1.aliyuncs.com", "vpc-vpc.ap-southeast-1.aliyuncs.com"),
            (Product::Vpc, "cn-hangzhou", "vpc.aliyuncs.com", "vpc-vpc.cn-hangzhou.aliyuncs.com"),
            (Product::Sts, "ap-southeast-2", "sts.aliyuncs.com", "sts-vpc.ap-southeast-2.aliyuncs.com"),
            (Product::Sts, "cn-shanghai", "sts.cn-shanghai.aliyuncs.com", "sts-vpc.cn-shanghai.aliyuncs.com"),
            (Product::Bss, "cn-hongkong", "business.aliyuncs.com", "business.aliyuncs.com"),
            (Product::Bss, "eu-central-1", "business.ap-southeast-1.aliyuncs.com", "business.ap-southeast-1.aliyuncs.com"),
            (Product::Fc, "cn-beijing", "fcv3.cn-beijing.aliyuncs.com", "fc-vpc.cn-beijing.aliyuncs.com"),
            (Product::Cs, "cn-beijing", "cs.cn-beijing.aliyuncs.com", "cs-anony-vpc.cn-beijing.aliyuncs.com"),
            (Product::Dlc, "cn-beijing", "pai-dlc.cn-beijing.aliyuncs.com", "pai-dlc-vpc.cn-beijing.aliyuncs.com"),
            (Product::Oss, "cn-hangzhou", "oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com"),
        ] {
            assert_eq!(Endpoint::Public.locate(product, region, None).base, format!("https://{public}"));
            assert_eq!(Endpoint::Internal.locate(product, region, None).base, format!("https://{internal}"));
        }
    }

    #[test]
    fn a_bucket_is_a_sub_domain_except_at_a_fixed_address() {
        let public = Endpoint::Public.locate(Product::Oss, "cn-beijing", Some("files"));
        assert_eq!(public, Location { base: "https://files.oss-cn-beijing.aliyuncs.com".to_owned(), bucket_in_path: false });
        let fixed = Endpoint::Fixed("http://127.0.0.1:8090/".to_owned()).locate(Product::Oss, "cn-beijing", Some("files"));
        assert_eq!(fixed, Location { base: "http://127.0.0.1:8090".to_owned(), bucket_in_path: true });
    }

    #[test]
    fn the_environment_can_point_elsewhere() {
        let read = |pairs: &[(&str, &str)]| Endpoint::from_variables(&variables(pairs));
        assert_eq!(read(&[]), Endpoint::Public);
        assert_eq!(read(&[("ALIBABA_CLOUD_ENDPOINT_TYPE", "vpc")]), Endpoint::Internal);
        assert_eq!(read(&[("ALIBABA_CLOUD_ENDPOINT", "http://127.0.0.1:1/")]), Endpoint::Fixed("http://127.0.0.1:1".to_owned()));
        assert_eq!(read(&[("ALIBABA_CLOUD_ENDPOINT", "gateway.example.com")]), Endpoint::Fixed("https://gateway.example.com".to_owned()));
    }

    #[test]
    fn the_host_of_one_product_is_not_used_for_another() {
        let endpoint = Endpoint::from_variables(&variables(&[("ALIBABA_CLOUD_ENDPOINT", "ecs-vpc.cn-beijing.aliyuncs.com")]));
        assert_eq!(endpoint.locate(Product::Ecs, "cn-beijing", None).base, "https://ecs-vpc.cn-beijing.aliyuncs.com");
        assert_eq!(endpoint.locate(Product::Vpc, "cn-beijing", None).base, "https://vpc.cn-beijing.aliyuncs.com");
    }
}
