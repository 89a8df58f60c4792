//! Finds the kind that belongs to an address.

use super::kind::{AnyKind, Erased};
use super::{bucket, bundle, command, eip, function, instance, invocation, release, run, security_group, vpc, vswitch};
use crate::model::address::Kind;

/// The kind behind the word.
pub fn kind(kind: Kind) -> &'static dyn AnyKind {
    match kind {
        Kind::Vpc => &const { Erased::<vpc::VpcKind>::new() },
        Kind::VSwitch => &const { Erased::<vswitch::VSwitchKind>::new() },
        Kind::SecurityGroup => &const { Erased::<security_group::SecurityGroupKind>::new() },
        Kind::Instance => &const { Erased::<instance::InstanceKind>::new() },
        Kind::Eip => &const { Erased::<eip::EipKind>::new() },
        Kind::Bucket => &const { Erased::<bucket::BucketKind>::new() },
        Kind::Bundle => &const { Erased::<bundle::BundleKind>::new() },
        Kind::Command => &const { Erased::<command::CommandKind>::new() },
        Kind::Release => &const { Erased::<release::ReleaseKind>::new() },
        Kind::Run => &const { Erased::<run::RunKind>::new() },
        Kind::Function => &const { Erased::<function::FunctionKind>::new() },
        Kind::Invocation => &const { Erased::<invocation::InvocationKind>::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_finds_its_own_kind() {
        for word in Kind::ALL {
            assert_eq!(kind(word).kind(), word);
        }
    }
}
