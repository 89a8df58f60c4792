//! A typed view of the tree that follows the table of the language and collects complaints instead of stopping. It
//! knows keys, types, ranges and words; what they mean together is for the files that read each part.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::Located;
use super::files::Base;
use super::formats::Format;
use super::language::{self, Shape, Table};
use super::source::{self, Span, Text};
use super::tree::{Content, Entry, Node};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::region;

/// Where complaints go, and what they are about.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Text<'a>,
    pub(super) base: Base,
    complaints: RefCell<Vec<Diagnostic>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Text<'a>, base: Base) -> Self {
        Reader { source, base, complaints: RefCell::new(Vec::new()) }
    }

    /// Takes down a complaint.
    pub(super) fn complain(&self, code: &'static str, message: String, span: Span, hints: Vec<String>) {
        let location = Some(self.source.location(span));
        self.complaints.borrow_mut().push(Diagnostic { code, message, location, hints });
    }

    /// Takes down a complaint about a value that was read.
    pub(super) fn complain_at(&self, code: &'static str, message: String, location: &Location, hint: impl Into<String>) {
        let (location, hints) = (Some(location.clone()), vec![hint.into()]);
        self.complaints.borrow_mut().push(Diagnostic { code, message, location, hints });
    }

    /// Everything complained about, in the order of the text; a value that is used by an alias is blamed once.
    pub(super) fn into_complaints(self) -> Vec<Diagnostic> {
        let mut complaints = self.complaints.into_inner();
        complaints.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
        complaints.dedup();
        complaints.into_iter().map(source::tidy).collect()
    }

    /// The document itself, if it is a map.
    pub(super) fn root(&'a self, root: &'a Node) -> Option<Fields<'a>> {
        let owner = Span { start: root.span.start, end: root.span.start + 1 };
        Value { reader: self, node: root, owner, path: String::new(), shape: &language::DOCUMENT, about: "" }.table()
    }
}

/// A value, and what the language says of it.
pub(super) struct Value<'a> {
    pub(super) reader: &'a Reader<'a>,
    node: &'a Node,
    /// The key it stands under, or itself in a list.
    pub(super) owner: Span,
    /// Its name from the top, `apps.web.port`.
    pub(super) path: String,
    shape: &'static Shape,
    /// What it is for.
    about: &'static str,
}

impl<'a> Value<'a> {
    /// With its place.
    pub(super) fn located<T>(&self, value: T) -> Located<T> {
        Located { value, location: self.location() }
    }

    /// Its place.
    pub(super) fn location(&self) -> Location {
        self.reader.source.location(self.node.span)
    }

    /// Takes down a complaint about it.
    pub(super) fn complain(&self, code: &'static str, message: impl Into<String>, hint: Option<String>) {
        self.reader.complain(code, message.into(), self.node.span, hint.into_iter().collect());
    }

    /// What it is for, as a hint.
    fn about(&self) -> String {
        fragment(self.about)
    }

    fn wrong_type(&self) {
        let found = match &self.node.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Scalar { text, plain } => match (plain, kind(text)) {
                (true, Kind::Text) | (false, _) if text.len() > 40 || text.contains('\n') => "a text".to_owned(),
                (true, Kind::Text) => format!("the text `{text}`"),
                (false, _) => format!("the text `\"{text}\"`"),
                _ => format!("`{text}`"),
            },
        };
        let quoted_number = matches!(&self.node.content, Content::Scalar { text, plain: false } if kind(text) != Kind::Text);
        let hint = match self.shape {
            Shape::Integer { .. } | Shape::Flag if quoted_number => Some("remove the quotes".to_owned()),
            Shape::Flag => Some("write `true` or `false`".to_owned()),
            Shape::Text(_) if matches!(self.node.content, Content::Scalar { .. }) => Some("put quotes around it".to_owned()),
            Shape::Text(format) if format.example.starts_with("${") => Some(format!("write it in quotes, `\"{}\"`", format.example)),
            Shape::Integer { .. } => Some(self.about()),
            shape => Some(format!("write it as `{}`", example(shape))),
        };
        let path = if self.path.is_empty() { "the manifest".to_owned() } else { format!("`{}`", self.path) };
        self.complain("wrong-type", format!("{path} must be {}, not {found}", expected(self.shape)), hint);
    }

    fn no_value(&self) {
        let hint = match self.shape {
            Shape::Table(table) if table.fields.iter().all(|field| !field.required) && !table.needs_group => {
                "write `{}` for what is usual, or remove the key".to_owned()
            }
            Shape::Either(..) => "write `\"\"` for an empty text, or remove the key".to_owned(),
            _ => "give it one, or remove the key".to_owned(),
        };
        self.reader.complain("no-value", format!("`{}` has no value", self.path), self.owner, vec![hint]);
    }

    /// The text of a scalar and whether it stands without quotes. A secret is not handed out: it was complained about.
    fn scalar(&self) -> Option<(&'a str, bool)> {
        if self.node.is_nothing() {
            self.no_value();
            return None;
        }
        match &self.node.content {
            Content::Scalar { .. } if self.reader.source.hides(self.node.span) => None,
            Content::Scalar { text, plain } => Some((text, *plain)),
            _ => {
                self.wrong_type();
                None
            }
        }
    }

    /// A text that passes the check of its format, and the format.
    fn checked(&self) -> Option<(&'a str, &'static Format)> {
        let Shape::Text(format) = self.shape else { return None };
        let (text, plain) = self.scalar()?;
        match (format.check)(text) {
            // `true` would be a fine name, but in YAML it is none.
            Ok(()) if plain && kind(text) != Kind::Text => self.wrong_type(),
            Ok(()) => return Some((text, format)),
            Err(wrong) => self.complain(format.code, wrong.message.as_str(), Some(format.hint(&wrong))),
        }
        None
    }

    /// A text.
    pub(super) fn text(&self) -> Option<Located<String>> {
        self.checked().map(|(text, _)| self.located(text.to_owned()))
    }

    /// A text that is read further.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self) -> Option<Located<T>> {
        let (text, format) = self.checked()?;
        match text.parse() {
            Ok(value) => Some(self.located(value)),
            Err(error) => {
                self.complain(format.code, error.to_string(), Some(format!("write {}", expected(self.shape))));
                None
            }
        }
    }

    /// A whole number within its bounds.
    pub(super) fn integer(&self) -> Option<Located<u32>> {
        self.integer_or("out-of-range", "")
    }

    /// A whole number within its bounds; one outside gets this code and hint.
    pub(super) fn integer_or(&self, code: &'static str, hint: &str) -> Option<Located<u32>> {
        let Shape::Integer { least, most } = *self.shape else { return None };
        let (text, plain) = self.scalar()?;
        if !plain || kind(text) != Kind::Number || !text.bytes().enumerate().all(|(i, b)| b.is_ascii_digit() || (i == 0 && b == b'-')) {
            self.wrong_type();
            return None;
        }
        let canonical = text == "0" || !text.trim_start_matches('-').starts_with('0');
        match text.parse::<u32>() {
            Ok(number) if canonical && (least..=most).contains(&number) => Some(self.located(number)),
            Ok(number) if !canonical => {
                self.complain(code, format!("`{text}` starts with a zero"), Some(format!("write `{number}`")));
                None
            }
            _ => {
                let hint = Some(if hint.is_empty() { self.about() } else { hint.to_owned() });
                self.complain(code, format!("`{}` must be {}, not `{text}`", self.path, expected(self.shape)), hint);
                None
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.scalar()? {
            ("true" | "True" | "TRUE", true) => Some(true),
            ("false" | "False" | "FALSE", true) => Some(false),
            _ => {
                self.wrong_type();
                None
            }
        }
    }

    /// One of the words of its shape.
    pub(super) fn word(&self) -> Option<Located<&'static str>> {
        let Shape::Word { what, code, words } = self.shape else { return None };
        let (text, plain) = self.scalar()?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(self.located(word));
        }
        if plain && kind(text) != Kind::Text {
            self.wrong_type();
            return None;
        }
        let near = match *code {
            "unknown-region" => region::nearest(text).map(|region| region.id),
            _ => nearest(text, words.iter().copied()),
        };
        let hint = match near {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("use one of {}", listed(words.iter().copied())),
        };
        self.complain(code, format!("`{text}` is not {what} that aliform knows"), Some(hint));
        None
    }

    /// Either form: the text of a scalar as it is written, or the fields.
    pub(super) fn either(&self) -> Option<Either<'a>> {
        let Shape::Either(_, table) = self.shape else { return None };
        match self.node.content {
            Content::Map(_) => self.fields(table).map(Either::Table),
            _ => self.scalar().map(|(text, _)| Either::Plain(self.located(text.to_owned()))),
        }
    }

    /// A scalar as it is written.
    pub(super) fn plain(&self) -> Option<Located<String>> {
        self.scalar().map(|(text, _)| self.located(text.to_owned()))
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Vec<Value<'a>> {
        let Shape::List { items: shape, least } = self.shape else { return Vec::new() };
        if self.node.is_nothing() {
            self.no_value();
            return Vec::new();
        }
        let Content::List(items) = &self.node.content else {
            self.wrong_type();
            return Vec::new();
        };
        if items.len() < *least {
            self.complain(
                "no-value",
                format!("`{}` is an empty list", self.path),
                Some("remove the key to leave it to aliform".to_owned()),
            );
        }
        let value = |(i, node): (usize, &'a Node)| {
            let path = format!("{}[{i}]", self.path);
            Value { reader: self.reader, node, owner: node.span, path, shape, about: self.about }
        };
        items.iter().enumerate().map(value).collect()
    }

    /// The entries of a map with names of the user's choice.
    pub(super) fn map(&self) -> Vec<(Located<String>, Value<'a>)> {
        let Shape::Map { names, values } = self.shape else { return Vec::new() };
        let mut found = Vec::new();
        for entry in self.entries().unwrap_or_default() {
            let name = Located { value: entry.key.clone(), location: self.reader.source.location(entry.key_span) };
            if let Err(wrong) = (names.check)(&entry.key)
                && !self.reader.source.hides(entry.key_span)
            {
                let hint = names.hint(&wrong);
                self.reader.complain(names.code, wrong.message, entry.key_span, vec![hint]);
            }
            found.push((name, self.under(entry, values, self.about)));
        }
        found
    }

    /// Whether it is a map without entries.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.node.content, Content::Map(entries) if entries.is_empty())
    }

    /// The fields of a table.
    pub(super) fn table(&self) -> Option<Fields<'a>> {
        let Shape::Table(table) = self.shape else { return None };
        self.fields(table)
    }

    /// The entries of a map, none of them twice.
    fn entries(&self) -> Option<Vec<&'a Entry>> {
        if self.node.is_nothing() {
            self.no_value();
            return None;
        }
        let Content::Map(entries) = &self.node.content else {
            self.wrong_type();
            return None;
        };
        for entry in entries {
            if let Some(first) = entry.repeats {
                let hint = format!("it stands on line {} already; keep one of them", self.reader.source.line(first.start));
                self.reader.complain("duplicate-key", format!("`{}` is given twice", self.named(entry)), entry.key_span, vec![hint]);
            }
        }
        Some(entries.iter().filter(|entry| entry.repeats.is_none()).collect())
    }

    /// The name of an entry from the top; a key that is a secret is not repeated.
    fn named(&self, entry: &Entry) -> String {
        let key = if self.reader.source.hides(entry.key_span) { "***" } else { &entry.key };
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn under(&self, entry: &'a Entry, shape: &'static Shape, about: &'static str) -> Value<'a> {
        Value { reader: self.reader, node: &entry.value, owner: entry.key_span, path: self.named(entry), shape, about }
    }

    fn fields(&self, table: &'static Table) -> Option<Fields<'a>> {
        let mut values = BTreeMap::new();
        for entry in self.entries()? {
            match table.field(&entry.key) {
                Some(field) => {
                    values.insert(field.key, self.under(entry, &field.shape, field.about));
                }
                None => self.unknown_key(table, entry),
            }
        }
        let fields = Fields { values, table, owner: self.owner, read: RefCell::default() };
        self.check_presence(&fields);
        Some(fields)
    }

    fn unknown_key(&self, table: &'static Table, entry: &Entry) {
        let whole = if self.path.is_empty() { "the manifest".to_owned() } else { format!("`{}`", self.path) };
        let hint = match table.meant(&entry.key) {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("its keys are {}", listed(table.fields.iter().map(|field| field.key))),
        };
        let key = if self.reader.source.hides(entry.key_span) { "***" } else { &entry.key };
        self.reader.complain("unknown-key", format!("{whole} has no key `{key}`"), entry.key_span, vec![hint]);
    }

    /// Complains about keys that are missing, and about keys that exclude each other.
    fn check_presence(&self, fields: &Fields<'a>) {
        let table = fields.table;
        let whole = if self.path.is_empty() { "the manifest".to_owned() } else { format!("`{}`", self.path) };
        for field in table.fields.iter().filter(|field| field.required && !fields.values.contains_key(field.key)) {
            let hint = format!("add `{}: {}`: {}", field.key, example(&field.shape), fragment(field.about));
            self.reader.complain("missing-key", format!("{whole} needs the key `{}`", field.key), self.owner, vec![hint]);
        }
        let used: Vec<&str> =
            table.groups.iter().filter_map(|group| group.iter().copied().find(|key| fields.values.contains_key(key))).collect();
        if used.is_empty() && table.needs_group {
            let names: Vec<String> = table.groups.iter().flat_map(|group| group.iter()).map(|key| format!("`{key}`")).collect();
            let hint = format!("write it as `{}`", table.example);
            self.reader.complain("missing-key", format!("{whole} needs one of the keys {}", names.join(" or ")), self.owner, vec![hint]);
        }
        if let [first, others @ ..] = used.as_slice() {
            for other in others {
                let span = fields.values[other].owner;
                let hint = table.field(other).and_then(|field| field.instead).unwrap_or("keep one of the two").to_owned();
                self.reader.complain("conflict", format!("`{other}` can't be used together with `{first}` in {whole}"), span, vec![hint]);
            }
        }
    }
}

/// A scalar or a table.
pub(super) enum Either<'a> {
    Plain(Located<String>),
    Table(Fields<'a>),
}

/// The fields of a table that are there.
pub(super) struct Fields<'a> {
    values: BTreeMap<&'static str, Value<'a>>,
    table: &'static Table,
    /// The key that the table stands under.
    pub(super) owner: Span,
    /// The keys that were asked for.
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Fields<'a> {
    /// The value under a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<&Value<'a>> {
        debug_assert!(self.table.field(key).is_some(), "`{}` has no key `{key}` in the language", self.table.name);
        self.read.borrow_mut().insert(key);
        self.values.get(key)
    }
}

impl Drop for Fields<'_> {
    /// Holds the reader to the table: a key that the language lists and nobody reads would be taken and ignored.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for field in self.table.fields {
                debug_assert!(self.read.borrow().contains(field.key), "nobody read `{}` of `{}`", field.key, self.table.name);
            }
        }
    }
}

/// What a plain scalar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
}

/// By the core schema of YAML 1.2, a little wider: what YAML 1.1 takes for a truth value or any parser for a number
/// would mean one thing here and another in an editor, so it is no text without quotes.
fn kind(text: &str) -> Kind {
    if text.len() <= 5 && ["true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str()) {
        return Kind::Truth;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let special = matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = unsigned.replace('_', "").parse::<f64>().is_ok() || ["0x", "0o", "0b"].iter().any(|radix| unsigned.starts_with(radix));
    if special || (begins && number) { Kind::Number } else { Kind::Text }
}

/// What a shape wants, with an article.
fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Integer { least, most } if least == most => format!("`{least}`"),
        Shape::Integer { least, most } => format!("a whole number from {least} to {most}"),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Word { what, .. } => (*what).to_owned(),
        Shape::Text(format) => format!("{} such as `{}`", format.what, format.example),
        Shape::Plain => "a text".to_owned(),
        Shape::Table(_) => "a map".to_owned(),
        Shape::Map { .. } => "a map of names".to_owned(),
        Shape::List { .. } => "a list".to_owned(),
        Shape::Either(scalar, table) => format!("{} or `{}`", expected(scalar), table.example),
    }
}

/// A value of a shape, as YAML.
fn example(shape: &Shape) -> String {
    match shape {
        Shape::Integer { least, .. } => least.to_string(),
        Shape::Flag => "true".to_owned(),
        Shape::Word { words, .. } => words.first().copied().unwrap_or_default().to_owned(),
        Shape::Text(format) => format.example.to_owned(),
        Shape::Plain => "text".to_owned(),
        Shape::Table(table) | Shape::Either(_, table) => table.example.to_owned(),
        Shape::Map { names, values } => format!("{{ {}: {} }}", names.example, example(values)),
        Shape::List { items, .. } => format!("[{}]", example(items)),
    }
}

/// A sentence as a hint says it: lower case at the start, no full stop.
fn fragment(sentence: &str) -> String {
    let mut characters = sentence.trim_end_matches('.').chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Words in a row, each in backticks.
pub(super) fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The word that a misspelt one most likely meant.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if text.is_empty() || text.len() > 60 {
        return None;
    }
    let text = text.to_lowercase();
    let likeness = |word: &str| (strsim::normalized_damerau_levenshtein(&text, &word.to_lowercase()) * 1000.0) as u32;
    let (best, word) = words.map(|word| (likeness(word), word)).max_by_key(|(likeness, _)| *likeness)?;
    (best >= 600).then_some(word)
}
