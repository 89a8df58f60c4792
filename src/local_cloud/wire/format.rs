//! The form of an RPC answer, JSON or XML, as the caller asks for it. Products answer JSON; what they mean is not known
//! here.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value as Json;

use super::fault::Fault;
use super::params::Params;
use super::{Request, Response};

/// A form of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

impl Format {
    /// What is asked for: by the parameter, else by the header. Who asks for nothing gets XML, errors included.
    pub(crate) fn of(request: &Request, params: &Params) -> Result<Format, Fault> {
        match params.text("Format") {
            Some(name) if name.eq_ignore_ascii_case("json") => Ok(Format::Json),
            Some(name) if name.eq_ignore_ascii_case("xml") => Ok(Format::Xml),
            Some(_) => Err(Fault::bad("InvalidParameter.Format", "The specified parameter Format is not valid.")),
            None if request.header("accept").is_some_and(|accept| accept.contains("json")) => Ok(Format::Json),
            None => Ok(Format::Xml),
        }
    }

    /// An answer; an XML document has `root` around it.
    pub(crate) fn answer(self, status: u16, request_id: &str, root: &str, body: &Json) -> Response {
        let mut response = Response::json(status, request_id, body);
        if self == Format::Xml {
            let mut text = "<?xml version='1.0' encoding='UTF-8'?>".to_owned();
            element(&mut text, root, body);
            response.body = Bytes::from(text);
            response.headers.retain(|(name, _)| name != "content-type");
            response.headers.push(("content-type".to_owned(), "text/xml;charset=utf-8".to_owned()));
        }
        response
    }
}

/// Writes a value as an element; a list is its elements one after another, and what is not there is not written.
fn element(text: &mut String, name: &str, value: &Json) {
    match value {
        Json::Null => {}
        Json::Array(values) => values.iter().for_each(|value| element(text, name, value)),
        Json::Object(fields) => {
            write!(text, "<{name}>").expect("a text takes everything");
            for (name, value) in fields.iter().filter(|(name, _)| is_name(name)) {
                element(text, name, value);
            }
            write!(text, "</{name}>").expect("a text takes everything");
        }
        Json::String(value) => leaf(text, name, value),
        Json::Bool(_) | Json::Number(_) => leaf(text, name, &value.to_string()),
    }
}

fn leaf(text: &mut String, name: &str, value: &str) {
    // XML has no way to write these.
    let value: String =
        value.chars().filter(|c| matches!(c, '\t' | '\n' | '\r') || (*c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'))).collect();
    write!(text, "<{name}>{}</{name}>", quick_xml::escape::escape(value.as_str())).expect("a text takes everything");
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(query: &str, accept: &str) -> Result<Format, Fault> {
        let mut request = Request {
            method: http::Method::GET,
            host: String::new(),
            path: "/".to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            peer: None,
        };
        request.headers.push(("accept".to_owned(), accept.to_owned()));
        Format::of(&request, &Params::of(&request))
    }

    #[test]
    fn the_parameter_counts_before_the_header_and_xml_is_for_who_asks_for_nothing() {
        assert_eq!(asked("", "application/json"), Ok(Format::Json));
        assert_eq!(asked("", "*/*"), Ok(Format::Xml));
        assert_eq!(asked("Format=xml", "application/json"), Ok(Format::Xml));
        assert_eq!(asked("Format=Json", "*/*"), Ok(Format::Json));
        assert_eq!(asked("Format=YAML", "").unwrap_err().code, "InvalidParameter.Format");
    }

    #[test]
    fn xml_repeats_the_elements_of_lists() {
        let body = json!({
            "RequestId": "1",
            "Regions": { "Region": [{ "RegionId": "a<b", "Open": true }, { "RegionId": "c\u{0}d", "Count": 2 }] },
            "Ids": { "Id": [] },
            "Nothing": null,
        });
        let answer = Format::Xml.answer(200, "1", "DescribeRegionsResponse", &body);
        let text = "<?xml version='1.0' encoding='UTF-8'?><DescribeRegionsResponse><Ids></Ids>\
            <Regions><Region><Open>true</Open><RegionId>a&lt;b</RegionId></Region><Region><Count>2</Count><RegionId>cd</RegionId></Region>\
            </Regions><RequestId>1</RequestId></DescribeRegionsResponse>";
        assert_eq!(answer.body, text);
        assert_eq!(answer.header("content-type"), Some("text/xml;charset=utf-8"));
        assert_eq!(answer.header("x-acs-request-id"), Some("1"));
    }
}
