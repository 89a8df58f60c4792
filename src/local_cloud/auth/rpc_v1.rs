//! The old RPC signature, HMAC-SHA1 over all parameters: credentials providers still use it for AssumeRole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

use super::acs3::Proof;
use super::{Caller, check_time, incomplete, known_key, mismatch};
use crate::local_cloud::config::Config;
use crate::local_cloud::wire::encoding::encode;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// Checks the signature among the parameters.
pub(crate) fn verify<'a>(method: &http::Method, params: &'a Params, config: &Config, now: Timestamp) -> Result<Proof<'a>, Fault> {
    let key = known_key(config, params.required("AccessKeyId")?)?;
    if params.required("SignatureMethod")? != "HMAC-SHA1" {
        return Err(incomplete("SignatureMethod is not HMAC-SHA1"));
    }
    check_time(params.required("Timestamp")?, now)?;
    let nonce = params.required("SignatureNonce")?;
    let signature = params.required("Signature")?;
    let text = string_to_sign(method, params);
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{}&", key.secret.reveal()).as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    if !STANDARD.decode(signature).is_ok_and(|bytes| mac.verify_slice(&bytes).is_ok()) {
        return Err(mismatch(&text));
    }
    Ok(Proof { caller: Caller::of(key), nonce })
}

fn string_to_sign(method: &http::Method, params: &Params) -> String {
    let pairs: Vec<String> =
        params.iter().filter(|(name, _)| *name != "Signature").map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    format!("{method}&%2F&{}", encode(&pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::config::AccessKey;
    use crate::local_cloud::wire::Request;
    use crate::model::secret::Secret;
    use bytes::Bytes;

    fn check(method: http::Method, key: (&str, &str), query: &str) -> Result<(), Fault> {
        let config = Config { keys: vec![AccessKey { id: key.0.to_owned(), secret: Secret::new(key.1), user: None }], ..Config::default() };
        let request = Request {
            method,
            host: String::new(),
            path: "/".to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            peer: None,
        };
        verify(&request.method, &Params::of(&request), &config, "2016-02-23T12:50:00Z".parse().unwrap()).map(drop)
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
