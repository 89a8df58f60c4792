//! Finds secrets that somebody wrote into the manifest, so that they are refused and never shown again. It judges by
//! the look of a value and by the name of its key; it must never let one through into a message.

use super::reader::Reader;
use super::source::{Span, Text};
use super::tree::{Content, Node};

/// Why a value is taken for a secret.
enum Why {
    AccessKey,
    PrivateKey,
    Token,
    UrlPassword,
    Name(String),
}

/// Has the text show stars where it holds secrets.
pub(super) fn hide(source: &Text<'_>, root: &Node) {
    let mut found = Vec::new();
    find(root, None, &mut found);
    source.hide(found.into_iter().map(|(span, _)| span).collect());
}

/// Complains about each of them.
pub(super) fn complain(reader: &Reader<'_>, root: &Node) {
    let mut found = Vec::new();
    find(root, None, &mut found);
    for (span, why) in found {
        let what = match &why {
            Why::AccessKey => "an access key is written in plain text".to_owned(),
            Why::PrivateKey => "a private key is written in plain text".to_owned(),
            Why::Token => "an access token is written in plain text".to_owned(),
            Why::UrlPassword => "a password is written into a URL".to_owned(),
            Why::Name(name) => format!("`{name}` is a secret by its name, and it is written in plain text"),
        };
        let hint = match &why {
            Why::Name(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                format!("write `{{ from: env:{} }}`, and set the variable where aliform runs", name.to_uppercase())
            }
            _ => "write `{ from: env:NAME }` as the value in `env`, and set the variable where aliform runs".to_owned(),
        };
        reader.complain("plain-secret", what, span, vec![hint, "a secret that was saved in a file should be replaced".to_owned()]);
    }
}

fn find(node: &Node, key: Option<&str>, found: &mut Vec<(Span, Why)>) {
    match &node.content {
        Content::Scalar { text, .. } => {
            let by_name = key.filter(|name| names_secret(name) && could_be_secret(text));
            if let Some(why) = by_look(text).or_else(|| by_name.map(|name| Why::Name(name.to_owned()))) {
                found.push((node.span, why));
            }
        }
        Content::List(items) => items.iter().for_each(|item| find(item, key, found)),
        Content::Map(entries) => {
            for entry in entries {
                if let Some(why) = by_look(&entry.key) {
                    found.push((entry.key_span, why));
                }
                find(&entry.value, Some(&entry.key), found);
            }
        }
    }
}

/// What a text is by its look.
fn by_look(text: &str) -> Option<Why> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some(Why::PrivateKey);
    }
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        let after = |prefix: &str| word.strip_prefix(prefix).map_or(0, |rest| if rest.bytes().all(alphanumeric) { rest.len() } else { 0 });
        // Alibaba Cloud's and Amazon's identifiers of access keys.
        if (12..=40).contains(&after("LTAI")) || after("AKIA") == 16 {
            return Some(Why::AccessKey);
        }
        let tokens = ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "sk-", "STS."];
        if tokens
            .iter()
            .any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 20 && rest.bytes().any(|byte| byte.is_ascii_digit())))
        {
            return Some(Why::Token);
        }
    }
    has_url_password(text).then_some(Why::UrlPassword)
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// `scheme://user:password@host`, with a password that is no placeholder.
fn has_url_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(|c: char| c == '/' || c.is_whitespace()).next().unwrap_or_default();
        let user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        user.is_some_and(|(_, password)| !password.is_empty() && !password.starts_with(['$', '<', '*', '{']))
    })
}

/// The words of a name: `API_KEY`, `api-key` and `apiKey` are the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = c.is_lowercase();
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_uppercase());
        }
    }
    words
}

/// Whether what stands under this name is a secret as a rule.
fn names_secret(name: &str) -> bool {
    const SECRET: [&str; 11] = [
        "SECRET",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "CREDENTIAL",
        "CREDENTIALS",
        "APIKEY",
        "ACCESSKEY",
        "SECRETKEY",
        "PRIVATEKEY",
    ];
    const ABOUT: [&str; 12] =
        ["URL", "FILE", "PATH", "NAME", "TTL", "ENDPOINT", "EXPIRES", "HOST", "TYPE", "LENGTH", "HEADER", "ALGORITHM"];
    const NO_SECRET: [&str; 7] = ["PRIMARY", "FOREIGN", "SORT", "PARTITION", "CACHE", "PUBLIC", "HOT"];
    if name.len() > 200 {
        return false;
    }
    let words = words(name);
    if words.last().is_some_and(|last| ABOUT.contains(&last.as_str())) {
        return false;
    }
    words.iter().enumerate().any(|(i, word)| {
        let key = word == "KEY" && !(i > 0 && NO_SECRET.contains(&words[i - 1].as_str()));
        key || SECRET.contains(&word.as_str()) || ["PASSWORD", "SECRET", "TOKEN"].iter().any(|end| word.ends_with(end))
    })
}

/// Whether a text can be a secret at all: no switch, small number, path, plain URL or reference is.
fn could_be_secret(text: &str) -> bool {
    let text = text.trim();
    let switch = ["", "~", "true", "false", "yes", "no", "on", "off", "none", "null"].contains(&text.to_lowercase().as_str());
    let small = text.len() < 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let path = ["/", "./", "../", "~/", "http://", "https://", "env:", "<"].iter().any(|start| text.starts_with(start));
    !(switch || small || path || text.contains("${"))
}

/// A line of a text that is not understood yet, without anything that may be a secret.
pub(super) fn conceal(line: &str) -> String {
    let stars = |text: &str| text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect::<String>();
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let named = line.match_indices([':', '=']).find(|(at, _)| {
        let before = line[..*at].trim_end_matches(|c: char| !word(c));
        names_secret(before.rsplit(|c: char| !word(c)).next().unwrap_or_default())
    });
    if let Some((at, sign)) = named {
        let (before, after) = line.split_at(at + sign.len());
        return format!("{before}{}", stars(after));
    }
    // The body of a PEM file.
    let encoded = |text: &str| text.len() >= 40 && text.bytes().all(|byte| alphanumeric(byte) || b"+/=".contains(&byte));
    match by_look(line).is_some() || encoded(line.trim()) {
        true => stars(line),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in ["API_KEY", "apiKey", "DB_PASSWORD", "DBPASSWORD", "access-key-id", "JWT_SECRET", "GITHUB_TOKEN", "KEY"] {
            assert!(names_secret(name), "{name}");
        }
        for name in
            ["GREETING", "KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "TOKEN_URL", "SORT_KEY", "PASSWORD_FILE", "web"]
        {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_look() {
        // Put together here so that no scanner takes this file for a leak.
        let access_key = format!("{}5tExampleExample12", "LTAI");
        for text in [access_key.as_str(), "-----BEGIN RSA PRIVATE KEY-----", "postgres://me:geheim@db/x"] {
            assert!(by_look(text).is_some(), "{text}");
        }
        for text in ["LTAI", "postgres://db/x", "postgres://me:${PASSWORD}@db/x", "git@github.com:a/b.git", "hello"] {
            assert!(by_look(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_hides_what_may_be_secret() {
        assert_eq!(conceal("  env: { API_KEY: geheim"), "  env: { API_KEY: ******");
        assert_eq!(conceal("\"password\" = x"), "\"password\" = *");
        assert_eq!(conceal("port: 80"), "port: 80");
        assert!(!conceal("url: http://me:geheim@host/").contains("geheim"));
    }
}
