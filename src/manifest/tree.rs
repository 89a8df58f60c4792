//! YAML events to a tree in which every node knows its span. Aliases and merge keys are resolved here, within bounds.
//! It must never know what a manifest means.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::source::{Span, Text};
use crate::model::diagnostic::Diagnostic;

/// Nodes that a tree may have once its aliases are resolved.
const MAX_NODES: usize = 100_000;

/// Levels that a tree may have once its aliases are resolved; a manifest needs nine.
const MAX_DEPTH: usize = 64;

/// Bytes that the lines of all values may have together. A place carries its line, so a text of one enormous line
/// with a great many values would otherwise grow with their product.
const MAX_LINE_BYTES: usize = 64 << 20;

/// A value in the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) content: Content,
    /// Nodes in it, itself included.
    size: usize,
    /// Levels in it, itself included.
    depth: usize,
    /// Bytes of the lines that its nodes begin on, counted for each.
    lines: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A text. A plain one, without quotes, may stand for a number, true, false or nothing.
    Scalar { text: String, plain: bool },
    /// Items in order.
    List(Vec<Node>),
    /// Entries in order.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
    /// Where the same key stands before, in the same map; such an entry means nothing.
    pub(super) repeats: Option<Span>,
}

/// Reads one document.
pub(super) fn build(source: &Text<'_>) -> Result<Node, Box<Diagnostic>> {
    let options = granit_parser::options! { emit_comments: false, flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut builder = Builder { source, open: Vec::new(), anchors: BTreeMap::new(), root: None, nodes: 0, lines: 0 };
    for next in Parser::new_from_str_with_options(source.text, options) {
        let (event, span) = next.map_err(|error| builder.syntax(&error))?;
        let place = |span: granit_parser::Span| Span { start: builder.offset(&span.start), end: builder.offset(&span.end) };
        let (tag, span) = (span.tag_span().map(place), place(span));
        builder.take(event, span, tag.unwrap_or(span))?;
    }
    builder.root.filter(|root| !root.is_nothing()).ok_or_else(|| {
        let hint = "write one with `aliform init`".to_owned();
        complaint(source, "empty", "the manifest is empty", Span { start: 0, end: 0 }, Some(hint))
    })
}

impl Node {
    /// A plain scalar that stands for no value.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

fn complaint(source: &Text<'_>, code: &'static str, message: impl Into<String>, span: Span, hint: Option<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic { code, message: message.into(), location: Some(source.location(span)), hints: hint.into_iter().collect() })
}

/// A list or map whose end has not come yet.
struct Open {
    start: Span,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Node>, key: Option<(Node, bool)> },
}

struct Builder<'a> {
    source: &'a Text<'a>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    lines: usize,
}

impl Builder<'_> {
    fn offset(&self, marker: &Marker) -> usize {
        // A text held in memory always has byte offsets.
        marker.byte_offset().unwrap_or(0).min(self.source.text.len())
    }

    /// Takes an event at a place; a tag has a place of its own.
    fn take(&mut self, event: Event<'_>, span: Span, tag_span: Span) -> Result<(), Box<Diagnostic>> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                let hint = "keep one manifest in a file; remove `---` and what follows it".to_owned();
                Err(self.refuse("multiple-documents", "a second YAML document starts here", span, hint))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.plain(style == ScalarStyle::Plain, tag.as_deref(), tag_span)?;
                let node = self.node(Content::Scalar { text: text.into_owned(), plain }, span, Weight::default())?;
                self.place(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", tag_span)?;
                self.open(Open { start: span, anchor, kind: Kind::List(Vec::new()) })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", tag_span)?;
                self.open(Open { start: span, anchor, kind: Kind::Map { entries: Vec::new(), merged: Vec::new(), key: None } })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    let hint = "an anchor can only be used after the value that it names".to_owned();
                    return Err(self.refuse("recursive-alias", "the alias stands inside the value that it names", span, hint));
                };
                let weight = Weight { size: node.size, depth: node.depth, lines: node.lines };
                self.count(weight, span)?;
                let node = self.anchors.get(&id).cloned().expect("it was there a moment ago");
                self.place(node, 0)
            }
            _ => Ok(()),
        }
    }

    /// Whether a scalar may stand for something else than text.
    fn plain(&self, plain: bool, tag: Option<&Tag>, span: Span) -> Result<bool, Box<Diagnostic>> {
        let Some(tag) = tag else { return Ok(plain) };
        match tag.core_suffix() {
            Some("str") => Ok(false),
            Some("int" | "float" | "bool" | "null") => Ok(true),
            _ if tag.handle().is_empty() && tag.suffix() == "!" => Ok(false),
            _ => Err(self.unknown_tag(tag, span)),
        }
    }

    fn collection_tag(&self, tag: Option<&Tag>, core: &str, span: Span) -> Result<(), Box<Diagnostic>> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(core) => Err(self.unknown_tag(tag, span)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, span: Span) -> Box<Diagnostic> {
        let hint = "remove it; a text that starts with `!` needs quotes".to_owned();
        self.refuse("unknown-tag", format!("the tag `{}` means nothing here", tag.original()), span, hint)
    }

    fn open(&mut self, open: Open) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(open.start));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = Span { start: open.start.start, end: end.end.max(open.start.end) };
        let node = match open.kind {
            Kind::List(items) => {
                let weight = Weight::of(items.iter());
                self.node(Content::List(items), span, weight)?
            }
            Kind::Map { mut entries, merged, .. } => {
                self.merge(&mut entries, merged)?;
                let weight = Weight::of(entries.iter().map(|entry| &entry.value));
                self.node(Content::Map(entries), span, weight)?
            }
        };
        self.place(node, open.anchor)
    }

    /// A new node of the text itself, around what weighs so much.
    fn node(&mut self, content: Content, span: Span, inner: Weight) -> Result<Node, Box<Diagnostic>> {
        let line = self.source.line_length(span.start);
        self.count(Weight { size: 1, depth: 0, lines: line }, span)?;
        Ok(Node { span, content, size: inner.size + 1, depth: inner.depth + 1, lines: inner.lines.saturating_add(line) })
    }

    /// Counts nodes that come into the tree at this place.
    fn count(&mut self, weight: Weight, span: Span) -> Result<(), Box<Diagnostic>> {
        self.nodes = self.nodes.saturating_add(weight.size);
        self.lines = self.lines.saturating_add(weight.lines);
        if self.open.len() + weight.depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        if self.nodes > MAX_NODES {
            let hint = "an alias counts as all that it stands for; use fewer, or split the stack".to_owned();
            return Err(self.refuse("too-many-values", format!("the manifest has more than {MAX_NODES} values"), span, hint));
        }
        if self.lines > MAX_LINE_BYTES {
            let hint = "write one value on a line".to_owned();
            return Err(self.refuse("too-many-values", "too many values stand on lines that are too long", span, hint));
        }
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Box<Diagnostic> {
        let hint = "look for a bracket or an indentation that is not closed".to_owned();
        self.refuse("too-deep", format!("values are nested more than {MAX_DEPTH} levels deep"), span, hint)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, merged, key } => match key.take() {
                None => match &node.content {
                    Content::Scalar { text, plain } => {
                        let merge = *plain && text == "<<";
                        *key = Some((node, merge));
                    }
                    _ => {
                        let hint = "if braces or brackets were meant as text, put quotes around them".to_owned();
                        return Err(self.refuse("wrong-type", "a key must be a text, not a list or a map", node.span, hint));
                    }
                },
                Some((_, true)) => merged.push(node),
                Some((Node { span, content: Content::Scalar { text, .. }, .. }, false)) => {
                    entries.push(Entry { key: text, key_span: span, value: node, repeats: None });
                }
                Some(_) => {}
            },
        }
        Ok(())
    }

    /// Marks repeated keys, then adds what `<<` brings: own keys win, then the maps in their order.
    fn merge(&mut self, entries: &mut Vec<Entry>, merged: Vec<Node>) -> Result<(), Box<Diagnostic>> {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for entry in entries.iter_mut() {
            match seen.get(&entry.key) {
                Some(first) => entry.repeats = Some(*first),
                None => {
                    seen.insert(entry.key.clone(), entry.key_span);
                }
            }
        }
        let mut maps = Vec::new();
        for node in merged {
            match node.content {
                Content::Map(_) => maps.push(node),
                Content::List(items) => maps.extend(items),
                Content::Scalar { .. } if node.is_nothing() => {}
                Content::Scalar { .. } => maps.push(node),
            }
        }
        for map in maps {
            let Content::Map(inherited) = map.content else {
                let hint = "write `<<: *name`, where `&name` stands before a map".to_owned();
                return Err(self.refuse("wrong-type", "`<<` merges maps, nothing else", map.span, hint));
            };
            for entry in inherited {
                if entry.repeats.is_none() && !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.key_span);
                    entries.push(entry);
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, code: &'static str, message: impl Into<String>, span: Span, hint: String) -> Box<Diagnostic> {
        complaint(self.source, code, message, span, Some(hint))
    }

    /// The complaint about a text that is not YAML.
    fn syntax(&self, error: &ScanError) -> Box<Diagnostic> {
        let text = self.source.text;
        let mark = self.offset(error.marker());
        // The end of the text is no place to look at: what is missing is missing after the last word.
        let mark = if text[mark..].trim().is_empty() { text.trim_end().len().saturating_sub(1) } else { mark };
        // Nor is what stands after a tab.
        let start = text.get(..mark).map_or(mark, |before| before.trim_end_matches('\t').len());
        let span = Span { start, end: start + 1 };
        // A tab shows itself in several errors.
        let at_tab = text.get(start..).is_some_and(|rest| rest.starts_with('\t'));
        let (code, message, hint) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.too_deep(span),
            kind if at_tab || tab(kind) => ("tab", "a tab can't be used to indent".to_owned(), Some("indent with spaces, two a level")),
            ErrorKind::UnknownAnchor => {
                ("unknown-alias", "the alias names no anchor".to_owned(), Some("a text that starts with `*` needs quotes"))
            }
            ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => (
                "yaml-syntax",
                "a quote that was opened before is not closed up to here".to_owned(),
                Some("close it, on the same line if you can"),
            ),
            ErrorKind::UnclosedQuotedScalar => {
                ("yaml-syntax", "the quote is never closed".to_owned(), Some("close it, on the same line if you can"))
            }
            ErrorKind::UnclosedFlowCollection { open } => {
                ("yaml-syntax", format!("`{open}` is never closed"), Some("close it, or write the entries on lines of their own"))
            }
            ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
                "yaml-syntax",
                "a `:` stands where no key can end".to_owned(),
                Some("put quotes around a text that holds `: `, and check the indentation"),
            ),
            ErrorKind::UnexpectedCharacter { character } => (
                "yaml-syntax",
                format!("`{}` can't stand here", character.escape_default()),
                Some("put quotes around a text that starts with a sign"),
            ),
            kind => {
                ("yaml-syntax", format!("this is not YAML: {kind}"), Some("check the indentation, quotes and brackets before this place"))
            }
        };
        complaint(self.source, code, message, span, hint.map(str::to_owned))
    }
}

fn tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}

/// What a node, or several, bring into the tree.
#[derive(Clone, Copy, Default)]
struct Weight {
    size: usize,
    depth: usize,
    lines: usize,
}

impl Weight {
    fn of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        nodes.fold(Weight::default(), |sum, node| Weight {
            size: sum.size + node.size,
            depth: sum.depth.max(node.depth),
            lines: sum.lines.saturating_add(node.lines),
        })
    }
}
