//! Writes the few XML documents that OSS answers.

use std::fmt::Write;

/// A document being written.
pub(super) struct Writer {
    text: String,
    open: Vec<&'static str>,
}

impl Writer {
    /// A document with that root.
    pub(super) fn document(root: &'static str) -> Self {
        let mut writer = Writer { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() };
        writer.open(root);
        writer
    }

    /// Opens an element.
    pub(super) fn open(&mut self, name: &'static str) -> &mut Self {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        self.open.push(name);
        self
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// An element that holds a text.
    pub(super) fn leaf(&mut self, name: &str, value: &str) -> &mut Self {
        let value = quick_xml::escape::escape(value);
        write!(self.text, "<{name}>{value}</{name}>").expect("a text takes everything");
        self
    }

    /// The document, everything closed.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_elements_closed() {
        let mut writer = Writer::document("A");
        writer.open("B").leaf("C", "x<&>").close().open("D");
        assert_eq!(writer.finish().lines().last().unwrap(), "<A><B><C>x&lt;&amp;&gt;</C></B><D></D></A>");
    }
}
