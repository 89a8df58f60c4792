//! `ACS3-HMAC-SHA256`, the signature of RPC and ROA calls. The signed headers are those that the caller names: SDKs
//! differ in what they sign.

use jiff::Timestamp;

use super::{Lookup, Proof, Refused, check_time, fits_hex, hmac_sha256, incomplete, mismatch, sha256_hex};
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::{encode, pairs};
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Checks the signature in the `Authorization` header.
pub(crate) fn verify<'a>(request: &'a Request, params: &Params, lookup: &Lookup, now: Timestamp) -> Result<Proof<'a>, Fault> {
    let authorization = request.header("authorization").unwrap_or_default();
    let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| incomplete("the algorithm is not ACS3-HMAC-SHA256"))?;
    let field = |name: &str| {
        fields
            .split(',')
            .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| incomplete(&format!("Authorization has no {name}")))
    };
    let (id, signature) = (field("Credential")?, field("Signature")?);
    let names: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    for (name, _) in &request.headers {
        if name.starts_with("x-acs-") && !names.contains(&name.as_str()) {
            return Err(incomplete(&format!("{name} is not signed")));
        }
    }
    if !names.contains(&"host") {
        return Err(incomplete("host is not signed"));
    }
    let token = request.header("x-acs-security-token").or_else(|| params.text("SecurityToken"));
    let key = lookup(id, token).map_err(Refused::fault)?;
    let date = request.header("x-acs-date").ok_or_else(|| Fault::mandatory("x-acs-date"))?;
    check_time(date, now)?;
    let nonce = request.header("x-acs-signature-nonce").ok_or_else(|| Fault::mandatory("x-acs-signature-nonce"))?;
    // What arrived is hashed, so that a body that was changed on its way does not fit.
    let hash = sha256_hex(&request.body);
    if request.header("x-acs-content-sha256").is_some_and(|told| told != hash) {
        return Err(mismatch(&string_to_sign(&canonical(request, &names, &hash, false))));
    }
    let tried = |encode_keys| string_to_sign(&canonical(request, &names, &hash, encode_keys));
    let fits = |text: &str| fits_hex(hmac_sha256(key.secret.reveal().as_bytes(), text.as_bytes()), signature);
    let usual = tried(false);
    if !fits(&usual) && !fits(&tried(true)) {
        return Err(mismatch(&usual));
    }
    Ok(Proof { caller: key.caller, nonce })
}

fn string_to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", sha256_hex(canonical.as_bytes()))
}

/// The canonical request. The documentation encodes the keys of the query, the SDKs do not: both are accepted.
fn canonical(request: &Request, names: &[&str], hash: &str, encode_keys: bool) -> String {
    let mut query = pairs(&request.query);
    query.sort();
    let key = |key: &str| if encode_keys { encode(key) } else { key.to_owned() };
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", key(name), encode(value))).collect();
    let mut text = format!("{}\n{}\n{}\n", request.method, if request.path.is_empty() { "/" } else { &request.path }, query.join("&"));
    for name in names {
        let mut values: Vec<&str> = request.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.trim()).collect();
        if *name == "host" && values.is_empty() {
            values.push(&request.host);
        }
        values.sort_unstable();
        text.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    format!("{text}\n{}\n{hash}", names.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::auth::{Caller, Credential};
    use crate::model::secret::Secret;
    use bytes::Bytes;

    const NONCE: &str = "3156853299f313e23d1673dc12e1703d";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn known(id: &'static str, secret: &'static str) -> impl Fn(&str, Option<&str>) -> Result<Credential, Refused> {
        move |asked, _| {
            let credential = Credential { secret: Secret::new(secret), caller: Caller::default() };
            (asked == id).then_some(credential).ok_or(Refused::UnknownKey)
        }
    }

    fn verify_as(request: &Request, id: &'static str, secret: &'static str, now: &str) -> Result<(), Fault> {
        verify(request, &Params::of(request), &known(id, secret), at(now)).map(drop)
    }

    fn request(method: &str, host: &str, path: &str, query: &str, action: &str, version: &str, date: &str) -> Request {
        let headers = [
            ("host", host),
            ("x-acs-action", action),
            ("x-acs-version", version),
            ("x-acs-date", date),
            ("x-acs-signature-nonce", NONCE),
            ("x-acs-content-sha256", EMPTY),
        ];
        Request {
            method: method.parse().unwrap(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Bytes::new(),
            peer: None,
        }
    }

    fn signed(mut request: Request, key: &str, names: &str, signature: &str) -> Request {
        let value = format!("{ALGORITHM} Credential={key},SignedHeaders={names},Signature={signature}");
        request.headers.push(("authorization".to_owned(), value));
        request
    }

    const NAMES: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

    /// Golden vector 1, its query as an SDK sends it: spaces as plus signs.
    fn vector() -> Request {
        let query = "RegionId=cn-beijing&Amount=2&DryRun=False&InstanceName=web+server~1%2A%28a%2Bb%29%2F%E4%B8%AD%E6%96%87\
                     &SecurityGroupIds.1=sg-1&SecurityGroupIds.2=sg-2&SystemDisk.Category=cloud_essd&SystemDisk.Size=40\
                     &Tag.1.Key=owner&Tag.1.Value=a+b&Tag.2.Key=empty&Tag.2.Value=";
        request("POST", "ecs.cn-beijing.aliyuncs.com", "/", query, "RunInstances", "2014-05-26", "2026-01-02T03:04:05Z")
    }

    const SIGNATURE: &str = "424511ac91a41a3094230dca739926a49dbdd3305e1d8e088de6343497e1c6c3";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(request: &Request) -> Result<(), Fault> {
        verify_as(request, "testAccessKeyId", "testAccessKeySecret", "2026-01-02T03:10:00Z")
    }

    #[test]
    fn the_published_example_fits() {
        let query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai";
        let date = "2023-10-26T10:22:32Z";
        let request = request("POST", "ecs.cn-shanghai.aliyuncs.com", "/", query, "RunInstances", "2014-05-26", date);
        let signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
        let request = signed(request, "YourAccessKeyId", NAMES, signature);
        verify_as(&request, "YourAccessKeyId", "YourAccessKeySecret", date).unwrap();
    }

    #[test]
    fn golden_vectors_fit() {
        check(&signed(vector(), "testAccessKeyId", NAMES, SIGNATURE)).unwrap();
        // All headers signed, as the Python SDK does.
        let mut more = vector();
        more.headers.push(("accept".to_owned(), "application/json".to_owned()));
        more.headers.push(("user-agent".to_owned(), "golden/1.0".to_owned()));
        let names = "accept;host;user-agent;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        check(&signed(more, "testAccessKeyId", names, "925aac06ada348c4bba5e9df8a1133843885d8d5123b7b485536b2ad6c66b609")).unwrap();
        // ROA with an encoded path and a token.
        let path = "/2023-03-30/functions/my-fn/async-tasks/task%201%2F%C3%BC";
        let host = "fcv3.cn-hangzhou.aliyuncs.com";
        let mut roa = request("GET", host, path, "qualifier=LATEST", "GetAsyncTask", "2023-03-30", "2026-01-02T03:04:05Z");
        roa.headers.push(("x-acs-accesskey-id".to_owned(), "testAccessKeyId".to_owned()));
        roa.headers.push(("x-acs-security-token".to_owned(), "CAIS+token/with=chars==".to_owned()));
        let names =
            "host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version";
        check(&signed(roa, "testAccessKeyId", names, "c563515086b8efddf587686f34a8a7aabebed941e009e213fdc6b56adb0416c7")).unwrap();
        // A form in the body.
        let query = "RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr";
        let mut form = request("POST", "sts.aliyuncs.com", "/", query, "AssumeRole", "2015-04-01", "2026-01-02T03:04:05Z");
        form.body = Bytes::from_static(b"List.1=a+b&List.2=c%2Ad~e&Policy=%7B%22Version%22%3A%221%22%7D");
        form.headers.retain(|(name, _)| name != "x-acs-content-sha256");
        let sha = "94811047fa5e79cec1368f8c3dd96b1b4efb7e4e2da01494680f0f7c977373e8";
        form.headers.push(("x-acs-content-sha256".to_owned(), sha.to_owned()));
        form.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        let form = signed(
            form,
            "testAccessKeyId",
            &format!("content-type;{NAMES}"),
            "a512c2ae57460646770c3013fe0e63650fd3344fa82a1f5c5f209bd7a3ef8a44",
        );
        check(&form).unwrap();
    }

    #[test]
    fn whatever_does_not_fit_is_refused_with_its_code() {
        let good = || signed(vector(), "testAccessKeyId", NAMES, SIGNATURE);
        let refused = |request: Request| check(&request).unwrap_err();

        let fault = refused(signed(vector(), "somebody", NAMES, SIGNATURE));
        assert_eq!((fault.status, fault.code.as_str()), (404, "InvalidAccessKeyId.NotFound"));

        let mut changed = good();
        changed.query = changed.query.replace("Amount=2", "Amount=3");
        let fault = refused(changed);
        assert_eq!((fault.status, fault.code.as_str()), (400, "SignatureDoesNotMatch"));
        assert!(fault.message.contains("server string to sign is:ACS3-HMAC-SHA256\n"), "{}", fault.message);

        let mut body = good();
        body.body = Bytes::from_static(b"Amount=3");
        assert_eq!(refused(body).code, "SignatureDoesNotMatch");

        let unsigned = signed(vector(), "testAccessKeyId", &NAMES.replace("x-acs-action;", ""), SIGNATURE);
        assert_eq!(refused(unsigned).code, "IncompleteSignature");
        assert_eq!(refused(vector()).code, "IncompleteSignature");

        let late = verify_as(&good(), "testAccessKeyId", "testAccessKeySecret", "2026-01-02T03:19:06Z").unwrap_err();
        assert_eq!(late.code, "InvalidTimeStamp.Expired");
        let mut odd = good();
        odd.headers.iter_mut().filter(|(name, _)| name == "x-acs-date").for_each(|(_, value)| *value = "yesterday".to_owned());
        assert_eq!(refused(odd).code, "InvalidTimeStamp.Format");
    }
}
