//! Who may do what: the owner everything, anybody else what access lists make public. And where a bucket is to be
//! asked for.

use super::Ask;
use super::refusal::Refusal;
use super::route::Operation;
use super::rows::row_key;

/// The access lists that a bucket may have.
const OF_BUCKETS: [&str; 3] = ["private", "public-read", "public-read-write"];
/// What an object has that follows its bucket.
pub(super) const DEFAULT: &str = "default";

/// What an operation does to an object, as far as access lists know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
    /// Nobody but the owner may do it.
    Own,
}

/// Checks that the bucket is there, asked for in its own region, and open to who asks.
pub(super) fn check(ask: &Ask, operation: Operation, signed: bool, host_region: Option<&str>) -> Result<(), Refusal> {
    if let (Some(asked), Some(host)) = (&ask.region, host_region)
        && asked != host
    {
        let message = "Invalid signing region in Authorization header.";
        return Err(Refusal::bad("InvalidArgument", message).ec("0002-00000226"));
    }
    if ask.bucket.is_empty() || operation == Operation::PutBucket {
        let refusal = Refusal::forbidden("AccessDenied", "Anonymous access is forbidden for this operation.");
        return if signed { Ok(()) } else { Err(refusal.ec("0003-00000001")) };
    }
    let world = ask.shared.world();
    let bucket = world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    if ask.region.as_ref().is_some_and(|region| *region != bucket.region) {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
        let refusal = Refusal::forbidden("AccessDenied", message).ec("0003-00001403");
        return Err(refusal.with("Bucket", ask.bucket).with("Endpoint", format!("oss-{}.aliyuncs.com", bucket.region)));
    }
    if signed {
        return Ok(());
    }
    let own = world.objects.get(&row_key(ask.bucket, ask.key)).and_then(|object| object.description.acl.as_deref());
    let acl = own.unwrap_or(&bucket.acl);
    let open = match operation.need() {
        Need::Read => acl.starts_with("public-read"),
        Need::Write => acl == "public-read-write",
        Need::Own => false,
    };
    if open {
        return Ok(());
    }
    let whose = if own.is_some() { "object" } else { "bucket" };
    let message = format!("You have no right to access this object because of {whose} acl.");
    Err(Refusal::forbidden("AccessDenied", message).ec("0003-00000001"))
}

/// The access list that a header gives a bucket.
pub(super) fn of_bucket<'a>(ask: &'a Ask) -> Result<Option<&'a str>, Refusal> {
    of_header(ask, "x-oss-acl", &OF_BUCKETS)
}

/// The access list that a header gives an object; that of its bucket is none of its own.
pub(super) fn of_object<'a>(ask: &'a Ask) -> Result<Option<&'a str>, Refusal> {
    of_header(ask, "x-oss-object-acl", &[DEFAULT, OF_BUCKETS[0], OF_BUCKETS[1], OF_BUCKETS[2]])
}

fn of_header<'a>(ask: &'a Ask, name: &'static str, allowed: &[&str]) -> Result<Option<&'a str>, Refusal> {
    let Some(acl) = ask.header(name) else { return Ok(None) };
    if allowed.contains(&acl) { Ok(Some(acl)) } else { Err(Refusal::argument(name, acl, format!("no such {name}"))) }
}
