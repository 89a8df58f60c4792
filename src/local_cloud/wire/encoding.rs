//! Percent-encoding as the signatures demand it (RFC 3986) and as queries and forms carry it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Encodes everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Encodes everything but unreserved characters and slashes.
pub(crate) fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, RESERVED_IN_PATH).to_string()
}

/// Decodes percent signs; a plus stays a plus.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The pairs of a query or form, in their order; a plus is a space.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let plain = |part: &str| decode(&part.replace('+', " "));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(key), plain(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_that_of_rfc_3986() {
        assert_eq!(encode("web server~1*(a+b)/中文"), "web%20server~1%2A%28a%2Bb%29%2F%E4%B8%AD%E6%96%87");
        assert_eq!(encode_path("/dir a/obj+1.txt"), "/dir%20a/obj%2B1.txt");
    }

    #[test]
    fn a_plus_in_a_query_is_a_space_and_in_a_path_is_itself() {
        assert_eq!(pairs("a=x+y&b=%2B&c"), [("a", "x y"), ("b", "+"), ("c", "")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(decode("x+y%20z"), "x+y z");
    }
}
