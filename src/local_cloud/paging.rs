//! Pages: by number and size as the older calls have them, by token as the newer ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use super::wire::fault::Fault;
use super::wire::params::Params;

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The page of a number, counted from 1.
    Number { number: usize, size: usize },
    /// What comes after a key.
    Token { after: String, size: usize },
}

/// A page of rows and what is told about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cut<T> {
    pub(crate) rows: Vec<T>,
    /// Empty on the last page.
    pub(crate) next_token: String,
    pub(crate) total: usize,
    pub(crate) number: usize,
    pub(crate) size: usize,
}

impl Page {
    /// `PageNumber` and `PageSize`; 10 rows unless told otherwise.
    pub(crate) fn numbered(params: &Params, most: usize) -> Result<Page, Fault> {
        let number = params.number("PageNumber")?.unwrap_or(1);
        let size = params.number("PageSize")?.unwrap_or(10);
        if number < 1 {
            return Err(Fault::invalid("PageNumber"));
        }
        if !(1..=most).contains(&size) {
            return Err(Fault::invalid("PageSize"));
        }
        Ok(Page::Number { number, size })
    }

    /// `MaxResults` and `NextToken`, between `least` and `most` rows.
    pub(crate) fn by_token(params: &Params, usual: usize, least: usize, most: usize) -> Result<Page, Fault> {
        let size: usize = params.number("MaxResults")?.unwrap_or(usual);
        if size > most {
            return Err(Fault::invalid("MaxResults"));
        }
        let after = match params.text("NextToken") {
            None => String::new(),
            Some(token) => {
                let bytes = URL_SAFE_NO_PAD.decode(token).ok();
                bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| Fault::invalid("NextToken"))?
            }
        };
        Ok(Page::Token { after, size: size.max(least) })
    }

    /// By token unless the call names a page number or size.
    pub(crate) fn either(params: &Params, usual: usize, least: usize, most: usize, most_numbered: usize) -> Result<Page, Fault> {
        let numbered = params.text("PageNumber").is_some() || params.text("PageSize").is_some();
        let token = params.text("NextToken").is_some() || params.text("MaxResults").is_some();
        if numbered && !token { Page::numbered(params, most_numbered) } else { Page::by_token(params, usual, least, most) }
    }

    /// Cuts the page out of rows that come in the order of their keys.
    pub(crate) fn cut<'a, T>(&self, rows: impl Iterator<Item = (&'a str, T)>) -> Cut<T> {
        match self {
            Page::Number { number, size } => {
                let skip = (number - 1).saturating_mul(*size);
                let (mut page, mut total) = (Vec::new(), 0);
                for (_, row) in rows {
                    if total >= skip && page.len() < *size {
                        page.push(row);
                    }
                    total += 1;
                }
                Cut { rows: page, next_token: String::new(), total, number: *number, size: *size }
            }
            Page::Token { after, size } => {
                let (mut page, mut total, mut last, mut more) = (Vec::new(), 0, "", false);
                for (key, row) in rows {
                    total += 1;
                    if !after.is_empty() && key <= after.as_str() {
                        continue;
                    }
                    if page.len() == *size {
                        more = true;
                    } else {
                        page.push(row);
                        last = key;
                    }
                }
                let next_token = if more { URL_SAFE_NO_PAD.encode(last) } else { String::new() };
                Cut { rows: page, next_token, total, number: 1, size: *size }
            }
        }
    }
}

impl<T> Cut<T> {
    /// Adds `TotalCount`, `PageNumber` and `PageSize` to an answer.
    pub(crate) fn describe(&self, answer: &mut Json) {
        answer["TotalCount"] = self.total.into();
        answer["PageNumber"] = self.number.into();
        answer["PageSize"] = self.size.into();
    }

    /// Adds the same and `NextToken`.
    pub(crate) fn describe_with_token(&self, answer: &mut Json) {
        self.describe(answer);
        answer["NextToken"] = self.next_token.clone().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

    fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
        KEYS.into_iter().map(|key| (key, key))
    }

    #[test]
    fn numbered_pages_cover_all_rows_once() {
        let page = |number| Page::Number { number, size: 3 }.cut(rows());
        assert_eq!([page(1).rows, page(2).rows, page(3).rows].concat(), KEYS);
        assert!(page(4).rows.is_empty());
        assert_eq!(page(4).total, 7);
    }

    #[test]
    fn tokens_cover_all_rows_once_and_end_empty() {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let cut = Page::Token { after, size: 3 }.cut(rows());
            seen.extend(cut.rows);
            if cut.next_token.is_empty() {
                break;
            }
            after = String::from_utf8(URL_SAFE_NO_PAD.decode(cut.next_token).unwrap()).unwrap();
        }
        assert_eq!(seen, KEYS);
    }
}
