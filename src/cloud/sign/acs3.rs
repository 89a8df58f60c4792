//! ACS3-HMAC-SHA256 (version 3): every product but OSS takes it.
//!
//! Which headers are covered is said in the signature itself, so a server computes from that list and never from
//! a set of its own: the official SDKs differ in it.

use super::{Parts, Signer, encode, header_lines, hmac_sha256, sha256_hex};

/// The algorithm's name, the first word of the `Authorization` header.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// How the names of query parameters stand in the canonical request. The documentation encodes them, the Python
/// and Go SDKs do not; it makes a difference for `#` and other reserved characters only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryNames {
    /// Percent-encoded, as documented.
    Encoded,
    /// As they are.
    Raw,
}

/// The names of the headers that must be covered, sorted: `host`, `content-type` and all of `x-acs-`.
pub fn names_to_sign(headers: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<String> = headers.iter().map(|(name, _)| name).filter(|name| must_be_signed(name)).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a header of that lower-case name must be covered where it is present.
pub fn must_be_signed(name: &str) -> bool {
    name == "host" || name == "content-type" || name.starts_with("x-acs-")
}

/// What is hashed: the request in one agreed form. `signed` are the lower-case names of the covered headers,
/// `payload_hash` is the value of `x-acs-content-sha256`.
pub fn canonical_request(parts: &Parts<'_>, signed: &[String], payload_hash: &str, names: QueryNames) -> String {
    let mut sorted: Vec<&(String, String)> = parts.query.iter().collect();
    sorted.sort_unstable();
    let name = |key: &str| if names == QueryNames::Encoded { encode(key) } else { key.to_owned() };
    let query: Vec<String> = sorted.iter().map(|(key, value)| format!("{}={}", name(key), encode(value))).collect();
    let mut signed: Vec<&str> = signed.iter().map(String::as_str).collect();
    signed.sort_unstable();
    format!(
        "{}\n{}\n{}\n{}\n{}\n{payload_hash}",
        parts.method,
        if parts.path.is_empty() { "/" } else { parts.path },
        query.join("&"),
        header_lines(parts.headers, |name| signed.binary_search(&name).is_ok()),
        signed.join(";"),
    )
}

/// What is signed.
pub fn string_to_sign(canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// The signature in lower-case hex.
pub fn signature(access_key_secret: &str, string_to_sign: &str) -> String {
    hex::encode(hmac_sha256(access_key_secret.as_bytes(), string_to_sign.as_bytes()))
}

/// The `Authorization` header of a request whose other headers are complete.
pub fn authorization(signer: Signer<'_>, parts: &Parts<'_>, payload_hash: &str) -> String {
    let signed = names_to_sign(parts.headers);
    let to_sign = string_to_sign(&canonical_request(parts, &signed, payload_hash, QueryNames::Encoded));
    format!(
        "{ALGORITHM} Credential={},SignedHeaders={},Signature={}",
        signer.access_key_id,
        signed.join(";"),
        signature(signer.access_key_secret, &to_sign)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEST, pairs};
    use super::*;

    const NONCE: &str = "3156853299f313e23d1673dc12e1703d";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn headers(host: &str, action: &str, version: &str, hash: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = pairs(&[
            ("host", host),
            ("x-acs-version", version),
            ("x-acs-action", action),
            ("x-acs-date", "2026-01-02T03:04:05Z"),
            ("x-acs-signature-nonce", NONCE),
            ("x-acs-content-sha256", hash),
        ]);
        all.extend(pairs(more));
        all
    }

    /// Hash of the canonical request and signature of a request signed over the required set.
    fn sign(parts: &Parts<'_>, hash: &str) -> (String, String) {
        let to_sign = string_to_sign(&canonical_request(parts, &names_to_sign(parts.headers), hash, QueryNames::Encoded));
        let signature = signature(TEST.access_key_secret, &to_sign);
        assert!(authorization(TEST, parts, hash).ends_with(&format!(",Signature={signature}")));
        (to_sign.strip_prefix("ACS3-HMAC-SHA256\n").unwrap().to_owned(), signature)
    }

    #[test]
    fn the_published_example_is_reproduced() {
        let mut headers = headers("ecs.cn-shanghai.aliyuncs.com", "RunInstances", "2014-05-26", EMPTY, &[]);
        headers.iter_mut().find(|(name, _)| name == "x-acs-date").unwrap().1 = "2023-10-26T10:22:32Z".to_owned();
        let query = pairs(&[("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd")]);
        let parts = Parts { method: "POST", path: "/", query: &query, headers: &headers };
        let signer = Signer { access_key_id: "YourAccessKeyId", access_key_secret: "YourAccessKeySecret" };
        assert_eq!(
            authorization(signer, &parts, EMPTY),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;\
             x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    fn flattened() -> Vec<(String, String)> {
        pairs(&[
            ("RegionId", "cn-beijing"),
            ("Amount", "2"),
            ("DryRun", "False"),
            ("InstanceName", "web server~1*(a+b)/中文"),
            ("SecurityGroupIds.1", "sg-1"),
            ("SecurityGroupIds.2", "sg-2"),
            ("SystemDisk.Category", "cloud_essd"),
            ("SystemDisk.Size", "40"),
            ("Tag.1.Key", "owner"),
            ("Tag.1.Value", "a b"),
            ("Tag.2.Key", "empty"),
            ("Tag.2.Value", ""),
        ])
    }

    #[test]
    fn a_flattened_query_is_signed() {
        let query = flattened();
        let headers = headers("ecs.cn-beijing.aliyuncs.com", "RunInstances", "2014-05-26", EMPTY, &[("accept", "application/json")]);
        let parts = Parts { method: "POST", path: "/", query: &query, headers: &headers };
        assert_eq!(
            sign(&parts, EMPTY),
            (
                "6f6131eb8944046de919c73c9254d4cd3c1f4825f448f3fd279d93b92eedfdc2".to_owned(),
                "424511ac91a41a3094230dca739926a49dbdd3305e1d8e088de6343497e1c6c3".to_owned()
            )
        );
    }

    #[test]
    fn the_list_of_the_signer_decides_which_headers_count() {
        let query = flattened();
        let more = [("accept", "application/json"), ("user-agent", "golden/1.0")];
        let headers = headers("ecs.cn-beijing.aliyuncs.com", "RunInstances", "2014-05-26", EMPTY, &more);
        let parts = Parts { method: "POST", path: "/", query: &query, headers: &headers };
        let mut signed = names_to_sign(&headers);
        signed.extend(["user-agent".to_owned(), "accept".to_owned()]);
        let to_sign = string_to_sign(&canonical_request(&parts, &signed, EMPTY, QueryNames::Raw));
        assert_eq!(to_sign, "ACS3-HMAC-SHA256\n407b80e094e0b6f5b4562a6089c72a4a3f2c25c30106b1bc4656d25c4b75baea");
        assert_eq!(signature(TEST.access_key_secret, &to_sign), "925aac06ada348c4bba5e9df8a1133843885d8d5123b7b485536b2ad6c66b609");
    }

    #[test]
    fn a_json_body_is_signed() {
        let body = br#"{"DisplayName":"job 1","JobType":"PyTorchJob","WorkspaceId":"123","UserCommand":"python -c \"print(1)\""}"#;
        let hash = sha256_hex(body);
        assert_eq!(hash, "7d18667ba4f05db70bc0b51b38bdc113ca58fa35c8b6624809e6306f4aaa3be6");
        let more = [("content-type", "application/json; charset=utf-8")];
        let headers = headers("pai-dlc.cn-hangzhou.aliyuncs.com", "CreateJob", "2020-12-03", &hash, &more);
        let parts = Parts { method: "POST", path: "/api/v1/jobs", query: &[], headers: &headers };
        assert_eq!(
            sign(&parts, &hash),
            (
                "7e044d6c36e8c905543ce9b0c2ca0c889f9f6cf62b42b0adcb17447b8abb1cb3".to_owned(),
                "f30b2a9143b2645855e443c113ac00b0f8df8f6a128fd7f22fba7816fb8975b9".to_owned()
            )
        );
    }

    #[test]
    fn a_session_and_an_encoded_path_are_signed() {
        let more = [("x-acs-accesskey-id", "testAccessKeyId"), ("x-acs-security-token", "CAIS+token/with=chars==")];
        let headers = headers("fcv3.cn-hangzhou.aliyuncs.com", "GetAsyncTask", "2023-03-30", EMPTY, &more);
        let path = format!("/2023-03-30/functions/my-fn/async-tasks/{}", encode("task 1/ü"));
        let query = pairs(&[("qualifier", "LATEST")]);
        let parts = Parts { method: "GET", path: &path, query: &query, headers: &headers };
        assert_eq!(
            sign(&parts, EMPTY),
            (
                "dd4dba73f551fc1ff38fb501dcf4877ed1eb794be08be97c429a08e20d20efcd".to_owned(),
                "c563515086b8efddf587686f34a8a7aabebed941e009e213fdc6b56adb0416c7".to_owned()
            )
        );
    }

    #[test]
    fn a_form_body_is_signed() {
        let hash = sha256_hex(b"List.1=a+b&List.2=c%2Ad~e&Policy=%7B%22Version%22%3A%221%22%7D");
        assert_eq!(hash, "94811047fa5e79cec1368f8c3dd96b1b4efb7e4e2da01494680f0f7c977373e8");
        let headers =
            headers("sts.aliyuncs.com", "AssumeRole", "2015-04-01", &hash, &[("content-type", "application/x-www-form-urlencoded")]);
        let query = pairs(&[("RoleArn", "acs:ram::1:role/r")]);
        let parts = Parts { method: "POST", path: "/", query: &query, headers: &headers };
        assert_eq!(
            sign(&parts, &hash),
            (
                "dee9abadc187d0a899e2fa25aee0c1cac672ad713a18cc4db08779ebc5091250".to_owned(),
                "a512c2ae57460646770c3013fe0e63650fd3344fa82a1f5c5f209bd7a3ef8a44".to_owned()
            )
        );
    }

    #[test]
    fn documentation_and_sdks_part_at_reserved_characters_in_names() {
        let query = pairs(&[("Map.#3#key", "v")]);
        let parts = Parts { method: "GET", path: "/", query: &query, headers: &[] };
        assert!(canonical_request(&parts, &[], EMPTY, QueryNames::Encoded).contains("Map.%233%23key=v"));
        assert!(canonical_request(&parts, &[], EMPTY, QueryNames::Raw).contains("Map.#3#key=v"));
    }
}
