//! The statements of a Python script: comments left out, texts told from code, lines joined where brackets are open.

/// One statement, or the head of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::project) struct Statement {
    /// Its line, from 1.
    pub(in crate::project) line: u32,
    /// How far it is indented.
    pub(in crate::project) indent: usize,
    /// Its code; each text in it is `""`.
    pub(in crate::project) code: String,
    /// The texts, in order.
    pub(in crate::project) strings: Vec<String>,
    /// The line it begins on, trimmed.
    pub(in crate::project) text: String,
}

impl Statement {
    /// Whether it is a text alone, as a docstring is.
    pub(in crate::project) fn is_text(&self) -> bool {
        self.code.trim_start_matches(|c: char| c.is_ascii_alphabetic()) == "\"\""
    }

    /// The names that are called, `model.fit`.
    pub(in crate::project) fn calls(&self) -> Vec<&str> {
        if ["def ", "async def ", "class "].iter().any(|head| self.code.starts_with(head)) {
            return Vec::new();
        }
        let is_name = |c: char| c == '_' || c == '.' || c.is_alphanumeric();
        let called = self.code.match_indices('(').filter_map(|(at, _)| {
            let before = self.code[..at].trim_end();
            let start =
                before.rfind(|c: char| !is_name(c)).map_or(0, |found| found + before[found..].chars().next().map_or(1, char::len_utf8));
            let name = before[start..].trim_start_matches('.');
            (!name.is_empty() && !KEYWORDS.contains(&name)).then_some(name)
        });
        called.collect()
    }
}

/// Words that may stand before a bracket without being called.
const KEYWORDS: &[&str] = &["if", "elif", "while", "for", "in", "and", "or", "not", "return", "with", "assert", "yield", "await", "lambda"];

/// The statements of a script.
pub(in crate::project) fn statements(text: &str) -> Vec<Statement> {
    let lines: Vec<&str> = text.lines().collect();
    let mut reader = Reader { chars: text.chars().collect(), at: 0, line: 1, lines: &lines, now: None, found: Vec::new() };
    reader.run();
    reader.found
}

struct Reader<'a> {
    chars: Vec<char>,
    at: usize,
    line: u32,
    lines: &'a [&'a str],
    now: Option<Statement>,
    found: Vec<Statement>,
}

impl Reader<'_> {
    fn run(&mut self) {
        let (mut depth, mut indent, mut fresh) = (0_usize, 0, true);
        while let Some(c) = self.next() {
            match c {
                ' ' | '\t' if fresh => indent += if c == '\t' { 8 } else { 1 },
                '\n' if depth == 0 => {
                    self.end();
                    (indent, fresh) = (0, true);
                }
                '#' => {
                    while self.chars.get(self.at).is_some_and(|c| *c != '\n') {
                        self.at += 1;
                    }
                }
                '\\' if self.chars.get(self.at) == Some(&'\n') => drop(self.next()),
                ';' if depth == 0 => self.end(),
                '\'' | '"' => {
                    let text = self.string(c);
                    let now = self.statement(indent);
                    now.code.push_str("\"\"");
                    now.strings.push(text);
                    fresh = false;
                }
                '\r' | '\n' => {}
                c if c.is_whitespace() => {
                    if let Some(now) = self.now.as_mut().filter(|now| !now.code.ends_with(' ')) {
                        now.code.push(' ');
                    }
                }
                c => {
                    match c {
                        '(' | '[' | '{' => depth += 1,
                        ')' | ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.statement(indent).code.push(c);
                    fresh = false;
                }
            }
        }
        self.end();
    }

    fn next(&mut self) -> Option<char> {
        let c = *self.chars.get(self.at)?;
        self.at += 1;
        self.line += u32::from(c == '\n');
        Some(c)
    }

    /// The statement that is being read.
    fn statement(&mut self, indent: usize) -> &mut Statement {
        let (line, lines) = (self.line, self.lines);
        self.now.get_or_insert_with(|| {
            let text = usize::try_from(line.saturating_sub(1)).ok().and_then(|index| lines.get(index)).map_or("", |text| text.trim());
            Statement { line, indent, text: text.to_owned(), ..Statement::default() }
        })
    }

    fn end(&mut self) {
        if let Some(mut now) = self.now.take() {
            now.code = now.code.trim().to_owned();
            self.found.push(now);
        }
    }

    /// Reads a text to its end; its first quote is read already.
    fn string(&mut self, quote: char) -> String {
        // The statement begins where the text does, not where it ends.
        let indent = self.now.as_ref().map_or_else(|| self.column(), |now| now.indent);
        self.statement(indent);
        let triple = self.chars.get(self.at) == Some(&quote) && self.chars.get(self.at + 1) == Some(&quote);
        if triple {
            self.at += 2;
        }
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '\\' => text.extend(self.next()),
                '\n' if !triple => return text,
                c if c == quote && !triple => return text,
                c if c == quote && self.chars.get(self.at) == Some(&quote) && self.chars.get(self.at + 1) == Some(&quote) => {
                    self.at += 2;
                    return text;
                }
                c => text.push(c),
            }
        }
        text
    }

    /// How far the line is indented that is being read.
    fn column(&self) -> usize {
        let line = usize::try_from(self.line.saturating_sub(1)).ok().and_then(|index| self.lines.get(index)).copied().unwrap_or_default();
        line.chars().take_while(|c| matches!(c, ' ' | '\t')).map(|c| if c == '\t' { 8 } else { 1 }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_joined_and_texts_are_told_from_code() {
        let found = statements("'''doc\nimport no'''\nx = f(a,\n      'b # c')  # d\nif x:\n    pass; y()\n");
        let seen: Vec<_> = found.iter().map(|it| (it.line, it.indent, it.code.as_str())).collect();
        assert_eq!(seen, [(1, 0, "\"\""), (3, 0, "x = f(a, \"\")"), (5, 0, "if x:"), (6, 4, "pass"), (6, 4, "y()")]);
        assert!(found[0].is_text());
        assert_eq!((found[1].strings[0].as_str(), found[1].calls()), ("b # c", vec!["f"]));
    }

    #[test]
    fn what_is_called_has_its_whole_name() {
        let calls = |text: &str| {
            statements(text).iter().flat_map(|it| it.calls().into_iter().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(calls("a.b(c(1)).d()"), ["a.b", "c", "d"]);
        assert!(calls("def train(x):\n  '''train()'''\n").is_empty());
    }
}
