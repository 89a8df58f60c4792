//! Answers to outcomes: which are refusals, and what they say. Products differ in form; the words come out the
//! same. Nothing is guessed: codes and messages are the service's own.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::call::{Answer, Product};
use super::super::error::ApiError;

/// What a refusal says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Envelope {
    code: String,
    message: String,
    request_id: String,
}

/// The outcome of an exchange that brought an answer.
pub(super) fn outcome(product: Product, action: &'static str, answer: Answer) -> Result<Answer, ApiError> {
    let refused = !(200..300).contains(&answer.status) && answer.status != 304;
    let envelope = if refused {
        envelope(&answer)
    } else if product == Product::Bss {
        // Billing refuses with HTTP 200.
        match refused_with_success(&answer.body) {
            Some(envelope) => envelope,
            None => return Ok(answer),
        }
    } else {
        return Ok(answer);
    };
    let request_id =
        [answer.header("x-acs-request-id"), answer.header("x-oss-request-id")].into_iter().flatten().next().unwrap_or_default();
    Err(ApiError::Refused {
        action,
        status: answer.status,
        // What stands between us and the service may answer without a code.
        code: if envelope.code.is_empty() { format!("Http{}", answer.status) } else { envelope.code },
        message: envelope.message,
        request_id: if envelope.request_id.is_empty() { request_id.to_owned() } else { envelope.request_id },
        retry_after: retry_after(&answer),
    })
}

fn envelope(answer: &Answer) -> Envelope {
    // A HEAD has no body: OSS packs the document into a header.
    let packed = answer.header("x-oss-err").and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let body = packed.map_or_else(|| answer.body.clone(), Bytes::from);
    if let Ok(json) = serde_json::from_slice::<Json>(&body) {
        return from_json(&json);
    }
    let text = String::from_utf8_lossy(&body);
    match quick_xml::de::from_str::<Envelope>(&text) {
        Ok(envelope) if !envelope.code.is_empty() => envelope,
        _ => Envelope { message: text.trim().chars().take(300).collect(), ..Envelope::default() },
    }
}

fn from_json(json: &Json) -> Envelope {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| json.get(name)).unwrap_or(&Json::Null);
        match found {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => String::new(),
        }
    };
    Envelope {
        code: first(&["Code", "code", "errorCode", "ErrorCode"]),
        message: first(&["Message", "message", "errorMessage", "ErrorMessage"]),
        request_id: first(&["RequestId", "requestId", "requestid", "request_id"]),
    }
}

fn refused_with_success(body: &[u8]) -> Option<Envelope> {
    let json = serde_json::from_slice::<Json>(body).ok()?;
    let failed = match json.get("Success")? {
        Json::Bool(success) => !success,
        Json::String(success) => success.eq_ignore_ascii_case("false"),
        _ => false,
    };
    failed.then(|| from_json(&json))
}

/// How long the service asks to wait: `x-acs-retry-after` in milliseconds, else the larger `TimeLeft` of the two
/// rate headers in milliseconds, else the standard header in seconds.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let whole = |name| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok()).filter(|wait| *wait > 0);
    let time_left = |name| {
        let pairs = answer.header(name)?.split(',').filter_map(|pair| pair.split_once(':'));
        pairs.filter(|(key, _)| key.trim() == "TimeLeft").filter_map(|(_, value)| value.trim().parse::<u64>().ok()).max()
    };
    let milliseconds = whole("x-acs-retry-after").or_else(|| time_left("x-ratelimit-user-api").max(time_left("x-ratelimit-user")));
    milliseconds.map(Duration::from_millis).or_else(|| whole("retry-after").map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: Bytes::from(body.to_owned()) }
    }

    /// Code, message, request id of a refusal.
    fn refusal(product: Product, answer: Answer) -> (String, String, String) {
        match outcome(product, "Test", answer) {
            Err(ApiError::Refused { code, message, request_id, .. }) => (code, message, request_id),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn is(refusal: &(String, String, String), code: &str, message: &str, request_id: &str) {
        assert_eq!((refusal.0.as_str(), refusal.1.as_str(), refusal.2.as_str()), (code, message, request_id));
    }

    #[test]
    fn json_envelopes_are_read_in_all_spellings() {
        let body = r#"{"RequestId":"R-1","HostId":"h","Code":"InvalidVpcId.NotFound","Message":"no such VPC"}"#;
        is(&refusal(Product::Vpc, answer(404, &[], body)), "InvalidVpcId.NotFound", "no such VPC", "R-1");
        let body = r#"{"requestId":"R-2","code":"Forbidden","message":"no"}"#;
        is(&refusal(Product::Ecs, answer(403, &[], body)), "Forbidden", "no", "R-2");
    }

    #[test]
    fn xml_envelopes_are_read() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message>\
                    <RequestId>R-3</RequestId><HostId>h</HostId><Key>k</Key></Error>";
        is(&refusal(Product::Oss, answer(404, &[], body)), "NoSuchKey", "a & b", "R-3");
    }

    #[test]
    fn a_head_carries_its_error_in_a_header() {
        let xml = "<Error><Code>NoSuchBucket</Code><Message>gone</Message></Error>";
        let packed = base64::engine::general_purpose::STANDARD.encode(xml);
        let headers = [("x-oss-err", packed.as_str()), ("x-oss-request-id", "R-4")];
        is(&refusal(Product::Oss, answer(404, &headers, "")), "NoSuchBucket", "gone", "R-4");
    }

    #[test]
    fn an_answer_without_envelope_shows_what_came() {
        let headers = [("x-acs-request-id", "R-5")];
        is(&refusal(Product::Ecs, answer(502, &headers, "<html>bad gateway</html>")), "Http502", "<html>bad gateway</html>", "R-5");
        is(&refusal(Product::Oss, answer(404, &[], "")), "Http404", "", "");
    }

    #[test]
    fn billing_refuses_with_success() {
        let body = r#"{"Code":"NotApplicable","Message":"other site","RequestId":"R-6","Success":false}"#;
        is(&refusal(Product::Bss, answer(200, &[], body)), "NotApplicable", "other site", "R-6");
        let fine = answer(200, &[], r#"{"Code":"Success","Success":true,"Data":{}}"#);
        assert_eq!(outcome(Product::Bss, "Test", fine.clone()), Ok(fine));
    }

    #[test]
    fn redirects_are_refusals() {
        assert_eq!(refusal(Product::Oss, answer(301, &[], "")).0, "Http301");
    }

    #[test]
    fn the_wait_is_read_from_any_of_its_headers() {
        let wait = |headers: &[(&str, &str)]| retry_after(&answer(429, headers, "")).map(|wait| wait.as_millis());
        assert_eq!(wait(&[("x-acs-retry-after", "1500"), ("retry-after", "9")]), Some(1500));
        assert_eq!(wait(&[("x-ratelimit-user-api", "Limit:100,Remain:0,TimeLeft:800"), ("x-ratelimit-user", "TimeLeft:2000")]), Some(2000));
        assert_eq!(wait(&[("retry-after", "3")]), Some(3000));
        assert_eq!(wait(&[("x-acs-retry-after", "soon")]), None);
    }
}
