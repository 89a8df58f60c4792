//! Results as one JSON document.

use serde::Serialize;

/// `value` for a program that also a person may read: indented, with a line end.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_its_line() {
        assert_eq!(pretty(&serde_json::json!({ "id": "vpc-1" })).unwrap(), "{\n  \"id\": \"vpc-1\"\n}\n");
    }
}
