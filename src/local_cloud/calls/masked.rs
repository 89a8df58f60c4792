//! Parameters as they may be shown: whatever may be a secret by its name is masked, whatever is long is cut.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::wire::Request;
use super::super::wire::params::Params;

/// Parts of names whose values nobody gets to see, in lower case.
const SECRET: [&str; 12] = [
    "password",
    "passwd",
    "secret",
    "token",
    "userdata",
    "content",
    "signature",
    "credential",
    "privatekey",
    "env",
    "usercommand",
    "parameters",
];
/// What is shown instead.
const MASK: &str = "***";
/// The longest value that is shown whole, in characters.
const LONGEST: usize = 256;
/// The longest body that is looked into.
const LARGEST: usize = 64 * 1024;

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST { text.to_owned() } else { text.chars().take(LONGEST).chain("…".chars()).collect() }
}

/// The parameters of a request, those of a JSON body among them.
pub(super) fn parameters(request: &Request, params: &Params) -> BTreeMap<String, String> {
    let shown = |name: &str, value: &str| if is_secret(name) { MASK.to_owned() } else { cut(value) };
    let mut all: BTreeMap<String, String> = params.iter().map(|(name, value)| (name.to_owned(), shown(name, value))).collect();
    let json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if json
        && request.body.len() <= LARGEST
        && let Ok(Json::Object(fields)) = serde_json::from_slice(&request.body)
    {
        for (name, mut value) in fields {
            mask(&name, &mut value);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            all.insert(name, cut(&text));
        }
    }
    all
}

/// Masks a value by its name, and all that it holds by theirs.
fn mask(name: &str, value: &mut Json) {
    if is_secret(name) {
        *value = MASK.into();
        return;
    }
    match value {
        Json::Object(fields) => fields.iter_mut().for_each(|(name, value)| mask(name, value)),
        Json::Array(items) => items.iter_mut().for_each(|item| mask("", item)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn no_secret_is_shown_wherever_it_stands() {
        let query = "Action=RunCommand&Password=hidden&CommandContent=hidden&UserData=hidden&SecurityToken=hidden&Name=shown";
        let body = br#"{"name":"shown","environmentVariables":{"A":"hidden"},"logins":[{"login_password":"hidden","user":"shown"}]}"#;
        let request = Request {
            method: http::Method::POST,
            host: String::new(),
            path: "/".to_owned(),
            query: query.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
            body: Bytes::from_static(body),
            peer: None,
        };
        let shown = parameters(&request, &Params::of(&request));
        let text = format!("{shown:?}");
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!((shown["Name"].as_str(), shown["name"].as_str(), shown["Action"].as_str()), ("shown", "shown", "RunCommand"));
        assert_eq!(shown["logins"], r#"[{"login_password":"***","user":"shown"}]"#);
        assert_eq!(cut(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
