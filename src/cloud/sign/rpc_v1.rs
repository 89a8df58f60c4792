//! The RPC signature of version 1 (HMAC-SHA1 in the query): what credential providers send to the token service.

use super::{encode, encode_query, hmac_sha1_base64};

/// What is signed: every parameter of query and form but `Signature`, decoded, in any order.
pub fn string_to_sign(method: &str, parameters: &[(String, String)]) -> String {
    let mut covered: Vec<(String, String)> = parameters.iter().filter(|(name, _)| name != "Signature").cloned().collect();
    covered.sort_unstable();
    format!("{method}&%2F&{}", encode(&encode_query(&covered)))
}

/// The signature in Base64.
pub fn signature(access_key_secret: &str, string_to_sign: &str) -> String {
    hmac_sha1_base64(format!("{access_key_secret}&").as_bytes(), string_to_sign.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    fn parameters(access_key_id: &str, format: &str) -> Vec<(String, String)> {
        pairs(&[
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", format),
            ("AccessKeyId", access_key_id),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ])
    }

    #[test]
    fn the_documented_example_is_reproduced() {
        let mut parameters = parameters("testid", "XML");
        parameters.push(("Signature".to_owned(), "not covered by itself".to_owned()));
        let to_sign = string_to_sign("GET", &parameters);
        assert_eq!(
            to_sign,
            "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D\
             3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
        );
        assert_eq!(signature("testsecret", &to_sign), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }

    #[test]
    fn reserved_characters_are_encoded_twice() {
        let mut parameters = parameters("testAccessKeyId", "json");
        parameters.extend(pairs(&[("RegionId", "cn-beijing"), ("InstanceName", "a b*~/+中")]));
        assert_eq!(signature("testAccessKeySecret", &string_to_sign("POST", &parameters)), "rLx+obcQ9wPHe+POtRJtvdcti90=");
    }
}
