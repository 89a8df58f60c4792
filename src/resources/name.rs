//! Names that resources carry in the cloud's own console, and keys of a bucket that more than one kind knows.

use crate::model::address::Address;

/// `aliform-<stack>-<name>`, cut to 64 characters: the shortest limit of the kinds that use it.
pub fn of(stack: &str, address: &Address) -> String {
    let mut name = format!("aliform-{stack}-{}", address.name);
    name.truncate(64);
    // A host name must not end with one.
    name.truncate(name.trim_end_matches('-').len());
    name
}

/// Below which keys of a bucket the invocations of a job write.
pub fn runs(job: &str) -> String {
    format!("runs/{job}/")
}
