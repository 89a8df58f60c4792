//! Which permission a call needs, so that a plan can list exactly those. Only names; it asks nobody.

use super::call::Product;

/// The RAM action that a principal must be granted for `action` of `product`, `ecs:RunInstances`.
///
/// Source: the RAM pages of each product. Billing's prefix is `bssapi`; OSS has operations that share an action.
pub fn ram_action(product: Product, action: &str) -> String {
    let (prefix, action) = match (product, action) {
        (Product::Oss, "HeadObject" | "GetObjectMeta") => ("oss", "GetObject"),
        (Product::Oss, "ListObjectsV2") => ("oss", "ListObjects"),
        (Product::Oss, "DeleteMultipleObjects") => ("oss", "DeleteObject"),
        (Product::Bss, action) => ("bssapi", action),
        (Product::Fc, "PutAsyncInvokeConfig") => ("fc", "PutFunctionAsyncInvokeConfig"),
        (Product::Fc, "DeleteAsyncInvokeConfig") => ("fc", "DeleteFunctionAsyncInvokeConfig"),
        (Product::Cs, "DescribeClustersV1") => ("cs", "DescribeClusters"),
        (Product::Dlc, action) => ("paidlc", action),
        (Product::AiWorkspace, "ListImages") => ("paiimage", "ListImages"),
        (Product::AiWorkspace, action) => ("paiworkspace", action),
        (product, action) => (product.code(), action),
    };
    format!("{prefix}:{action}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_carry_the_prefix_of_their_product() {
        assert_eq!(ram_action(Product::Ecs, "RunInstances"), "ecs:RunInstances");
        assert_eq!(ram_action(Product::Vpc, "AllocateEipAddress"), "vpc:AllocateEipAddress");
        assert_eq!(ram_action(Product::Bss, "QueryAccountBalance"), "bssapi:QueryAccountBalance");
    }

    #[test]
    fn actions_have_other_names_than_calls_here_and_there() {
        assert_eq!(ram_action(Product::Fc, "PutAsyncInvokeConfig"), "fc:PutFunctionAsyncInvokeConfig");
        assert_eq!(ram_action(Product::Dlc, "CreateJob"), "paidlc:CreateJob");
        assert_eq!(ram_action(Product::AiWorkspace, "ListImages"), "paiimage:ListImages");
        assert_eq!(ram_action(Product::AiWorkspace, "ListWorkspaces"), "paiworkspace:ListWorkspaces");
    }

    #[test]
    fn object_operations_share_actions() {
        assert_eq!(ram_action(Product::Oss, "HeadObject"), "oss:GetObject");
        assert_eq!(ram_action(Product::Oss, "ListObjectsV2"), "oss:ListObjects");
        assert_eq!(ram_action(Product::Oss, "PutObject"), "oss:PutObject");
    }
}
