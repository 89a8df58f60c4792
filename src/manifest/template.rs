//! Texts with references, `http://${apps.web.public_ip}/`. `$${` stands for `${` itself. It must never know what a
//! reference points at.

use super::{Part, Template};

/// Reads a text; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            rest = after;
            continue;
        }
        plain.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err("`${` is never closed by `}`; write `$${` for the characters themselves".to_owned());
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Reference { path: path(inside)? });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template { parts })
}

fn path(inside: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = inside.split('.').map(|name| name.trim().to_owned()).collect();
    let fits = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match names.len() > 1 && names.iter().all(fits) {
        true => Ok(names),
        false => Err(format!("`${{{inside}}}` is not a reference such as `${{apps.web.url}}` or `${{outputs.name}}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn reference(path: &[&str]) -> Part {
        Part::Reference { path: path.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn text_and_references_are_told_apart() {
        assert_eq!(parse("").unwrap().parts, [text("")]);
        assert_eq!(parse("plain $HOME {x}").unwrap().parts, [text("plain $HOME {x}")]);
        assert_eq!(parse("${apps.web.url}").unwrap().parts, [reference(&["apps", "web", "url"])]);
        let parts = parse("http://${ apps.web.public_ip }:${apps.web.port}/").unwrap().parts;
        let expected =
            [text("http://"), reference(&["apps", "web", "public_ip"]), text(":"), reference(&["apps", "web", "port"]), text("/")];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_doubled_dollar_is_the_character() {
        assert_eq!(parse("a $${b} ${outputs.c}").unwrap().parts, [text("a ${b} "), reference(&["outputs", "c"])]);
    }

    #[test]
    fn broken_references_are_refused() {
        for broken in ["${", "${}", "${apps}", "${apps..url}", "${apps.web.url", "x ${a b.c}", "${.a}", "${a.}"] {
            assert!(parse(broken).is_err(), "{broken} was taken");
        }
    }
}
