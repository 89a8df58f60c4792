//! The old RPC signature, HMAC-SHA1 over all parameters: credentials providers still use it for AssumeRole.

use jiff::Timestamp;

use super::{Lookup, Proof, Refused, check_method, check_time, fits_sha1, mismatch};
use crate::local_cloud::wire::encoding::encode;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// Checks the signature among the parameters.
pub(crate) fn verify<'a>(method: &http::Method, params: &'a Params, lookup: &Lookup, now: Timestamp) -> Result<Proof<'a>, Fault> {
    let key = lookup(params.required("AccessKeyId")?, params.text("SecurityToken")).map_err(Refused::fault)?;
    check_method(params.required("SignatureMethod")?)?;
    check_time(params.required("Timestamp")?, now)?;
    let nonce = params.required("SignatureNonce")?;
    let signature = params.required("Signature")?;
    let text = string_to_sign(method, params);
    if !fits_sha1(&format!("{}&", key.secret.reveal()), &text, signature) {
        return Err(mismatch(&text));
    }
    Ok(Proof { caller: key.caller, nonce })
}

fn string_to_sign(method: &http::Method, params: &Params) -> String {
    let pairs: Vec<String> =
        params.iter().filter(|(name, _)| *name != "Signature").map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    format!("{method}&%2F&{}", encode(&pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::auth::{Caller, Credential};
    use crate::local_cloud::wire::Request;
    use crate::model::secret::Secret;
    use bytes::Bytes;

    fn check(method: http::Method, key: (&str, &str), query: &str) -> Result<(), Fault> {
        let lookup = |id: &str, _: Option<&str>| {
            assert_eq!(id, key.0);
            Ok(Credential { secret: Secret::new(key.1), caller: Caller::default() })
        };
        let request = Request {
            method,
            host: String::new(),
            path: "/".to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            peer: None,
        };
        verify(&request.method, &Params::of(&request), &lookup, "2016-02-23T12:50:00Z".parse().unwrap()).map(drop)
    }

    #[test]
    fn golden_vectors_fit_and_changed_ones_do_not() {
        let classic = "AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-SHA1\
                       &SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0&Timestamp=2016-02-23T12%3A46%3A24Z\
                       &Version=2014-05-26&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D";
        check(http::Method::GET, ("testid", "testsecret"), classic).unwrap();
        let post = "AccessKeyId=testAccessKeyId&Action=DescribeRegions&Format=json&InstanceName=a%20b%2A~%2F%2B%E4%B8%AD\
                    &RegionId=cn-beijing&SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf\
                    &SignatureVersion=1.0&Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26&Signature=rLx%2BobcQ9wPHe%2BPOtRJtvdcti90%3D";
        check(http::Method::POST, ("testAccessKeyId", "testAccessKeySecret"), post).unwrap();
        assert_eq!(check(http::Method::POST, ("testid", "testsecret"), classic).unwrap_err().code, "SignatureDoesNotMatch");
        assert_eq!(check(http::Method::GET, ("testid", "other"), classic).unwrap_err().code, "SignatureDoesNotMatch");
        assert_eq!(check(http::Method::GET, ("testid", "testsecret"), "Action=A").unwrap_err().code, "MissingAccessKeyId");
    }
}
