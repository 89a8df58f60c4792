//! What a refused creation says about where else it could succeed: one table from error codes to scopes. A code that
//! is not in the table says nothing, and nobody may guess.
//!
//! Source: the error codes of RunInstances and its kin (help.aliyun.com, "RunInstances", "Common errors").

use super::error::ApiError;

/// How far a refusal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This type in this zone: another zone may have it, and the zone may have another type.
    Stock,
    /// The zone, for anything.
    Zone,
    /// The type, in the whole region.
    Type,
    /// The category of the disk, with this type in this zone.
    Disk,
    /// The whole region.
    Region,
    /// A quota of the account.
    Quota,
    /// The account's money.
    Balance,
    /// The account itself: not registered, not permitted.
    Account,
    /// Nobody knows.
    Unknown,
}

/// A code, or how codes begin if it ends with `*`; the first that fits counts.
const SCOPES: &[(&str, Scope)] = &[
    ("OperationDenied.NoStock", Scope::Stock),
    ("InvalidResourceType.NotSupported", Scope::Stock),
    ("InvalidInstanceType.ZoneNotSupported", Scope::Stock),
    ("Invalid.PrivatePoolOptions.NoStock", Scope::Stock),
    ("NodeControllerUnavailable", Scope::Stock),
    ("OperationDenied.PaygNotAvailable", Scope::Stock),
    ("Zone.NotOnSale", Scope::Zone),
    ("Zone.NotOpen", Scope::Zone),
    ("InvalidVSwitchId.IpNotEnough", Scope::Zone),
    ("InstanceType.Offline", Scope::Type),
    ("InvalidInstanceType.PhasedOut", Scope::Type),
    ("InvalidInstanceType.ValueNotSupported", Scope::Type),
    ("CategoryNotSupported", Scope::Disk),
    ("InvalidDiskCategory.NotSupported", Scope::Disk),
    ("InvalidOperation.PublicIpAddressNoStock", Scope::Region),
    ("RegionUnauthorized", Scope::Region),
    ("ResourceExhausted", Scope::Region),
    ("QuotaExceed*", Scope::Quota),
    ("SecurityGroupInstanceLimitExceed", Scope::Quota),
    ("InstanceDiskLimitExceeded", Scope::Quota),
    ("TooManyBuckets", Scope::Quota),
    ("LimitExceededError", Scope::Quota),
    ("InvalidAccountStatus.NotEnoughBalance", Scope::Balance),
    ("InsufficientBalance", Scope::Balance),
    ("Account.Arrearage", Scope::Balance),
    ("InvalidPayMethod", Scope::Balance),
    ("InvalidAccountStatus*", Scope::Account),
    ("RealNameAuthenticationError", Scope::Account),
    ("SecurityRisk.3DVerification", Scope::Account),
    ("Forbidden*", Scope::Account),
    ("NoPermission*", Scope::Account),
];

/// Quotas by the codes that name them: what to look for in the Quota Center.
const QUOTAS: &[(&str, &str)] = &[
    ("QuotaExceed.ElasticQuota", "the vCPU quota of pay-as-you-go instances for this type in this region"),
    ("QuotaExceed.PostPaidDisk", "the number of pay-as-you-go disks"),
    ("QuotaExceed.DiskCapacity", "the capacity of pay-as-you-go disks of this category"),
    ("QuotaExceeded.PrivateIpAddress", "the private addresses of the VPC"),
    ("QuotaExceeded.InternetBandwidth", "the public bandwidth of the region"),
    ("QuotaExceeded.Vpc", "the number of VPCs in the region"),
    ("QuotaExceeded.VSwitch", "the number of vSwitches in the VPC"),
    ("QuotaExceed.Tags", "the number of tags of a resource"),
    ("SecurityGroupInstanceLimitExceed", "the number of instances in a security group"),
    ("InstanceDiskLimitExceeded", "the number of disks of an instance"),
    ("TooManyBuckets", "the number of buckets of the account"),
    ("LimitExceededError", "the functions and their instances in the region"),
];

impl Scope {
    /// The scope of a refusal.
    pub fn of(error: &ApiError) -> Scope {
        error.code().map_or(Scope::Unknown, Scope::of_code)
    }

    /// The scope that a code stands for.
    pub fn of_code(code: &str) -> Scope {
        let fits = |known: &str| known.strip_suffix('*').map_or(known == code, |start| code.starts_with(start));
        SCOPES.iter().find(|(known, _)| fits(known)).map_or(Scope::Unknown, |(_, scope)| *scope)
    }

    /// Whether another zone or type may do, without anybody having to mend anything.
    pub fn is_elsewhere(self) -> bool {
        matches!(self, Scope::Stock | Scope::Zone | Scope::Type | Scope::Disk | Scope::Region)
    }
}

/// The quota that a code says is used up, in words.
pub fn quota(code: &str) -> Option<&'static str> {
    QUOTAS.iter().find(|(known, _)| *known == code).map(|(_, quota)| *quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_scope_and_what_is_not_listed_has_none() {
        for (code, scope) in [
            ("OperationDenied.NoStock", Scope::Stock),
            ("Zone.NotOnSale", Scope::Zone),
            ("InstanceType.Offline", Scope::Type),
            ("InvalidDiskCategory.NotSupported", Scope::Disk),
            ("QuotaExceed.ElasticQuota", Scope::Quota),
            ("QuotaExceeded.PrivateIpAddress", Scope::Quota),
            ("InvalidAccountStatus.NotEnoughBalance", Scope::Balance),
            ("InvalidAccountStatus", Scope::Account),
            ("Forbidden.RAM", Scope::Account),
            ("OperationDenied", Scope::Unknown),
            ("OperationDenied.NoStockAtAll", Scope::Unknown),
            ("InternalError", Scope::Unknown),
        ] {
            assert_eq!(Scope::of_code(code), scope, "{code}");
        }
    }

    #[test]
    fn only_what_lies_in_place_or_type_is_tried_elsewhere() {
        for scope in [Scope::Quota, Scope::Balance, Scope::Account, Scope::Unknown] {
            assert!(!scope.is_elsewhere(), "{scope:?}");
        }
        assert!(quota("QuotaExceed.ElasticQuota").is_some_and(|quota| quota.contains("vCPU")));
        assert!(QUOTAS.iter().all(|(code, _)| Scope::of_code(code) == Scope::Quota));
    }
}
