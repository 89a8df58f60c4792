//! Finds the kind that belongs to an address.

use super::kind::{AnyKind, Erased};
use super::runs::AnyRun;
use super::{
    bucket, bundle, cluster, command, eip, function, instance, invocation, kubernetes_job, release, run, security_group, training_job, vpc,
    vswitch, workspace,
};
use crate::model::address::Kind;

/// The kind behind the word.
pub fn kind(kind: Kind) -> &'static dyn AnyKind {
    match kind {
        Kind::Vpc => &const { Erased::<vpc::VpcKind>::new() },
        Kind::VSwitch => &const { Erased::<vswitch::VSwitchKind>::new() },
        Kind::SecurityGroup => &const { Erased::<security_group::SecurityGroupKind>::new() },
        Kind::Instance => &const { Erased::<instance::InstanceKind>::new() },
        Kind::Cluster => &const { Erased::<cluster::ClusterKind>::new() },
        Kind::Eip => &const { Erased::<eip::EipKind>::new() },
        Kind::Bucket => &const { Erased::<bucket::BucketKind>::new() },
        Kind::Bundle => &const { Erased::<bundle::BundleKind>::new() },
        Kind::Workspace => &const { Erased::<workspace::WorkspaceKind>::new() },
        Kind::Command => &const { Erased::<command::CommandKind>::new() },
        Kind::Release => &const { Erased::<release::ReleaseKind>::new() },
        Kind::Run => &const { Erased::<run::RunKind>::new() },
        Kind::KubernetesJob => &const { Erased::<kubernetes_job::KubernetesJobKind>::new() },
        Kind::Function => &const { Erased::<function::FunctionKind>::new() },
        Kind::Invocation => &const { Erased::<invocation::InvocationKind>::new() },
        Kind::TrainingJob => &const { Erased::<training_job::TrainingJobKind>::new() },
    }
}

/// The same where it comes to its end by itself.
pub fn run(kind: Kind) -> Option<&'static dyn AnyRun> {
    Some(match kind {
        Kind::Run => &const { Erased::<run::RunKind>::new() },
        Kind::KubernetesJob => &const { Erased::<kubernetes_job::KubernetesJobKind>::new() },
        Kind::Invocation => &const { Erased::<invocation::InvocationKind>::new() },
        Kind::TrainingJob => &const { Erased::<training_job::TrainingJobKind>::new() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_finds_its_own_kind() {
        for word in Kind::ALL {
            assert_eq!(kind(word).kind(), word);
            assert_eq!(kind(word).ends(), run(word).is_some(), "{word}");
        }
    }
}
