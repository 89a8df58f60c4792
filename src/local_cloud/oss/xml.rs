//! The XML documents that OSS answers and is sent.

use std::fmt::Write;

use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// How long a document may be that is sent, in bytes.
const LONGEST: usize = 8 * 1024 * 1024;

/// Reads a document whose root has that name.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], root: &str) -> Result<T, Refusal> {
    if body.len() > LONGEST {
        return Err(Refusal::malformed_xml("the document is too long."));
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed_xml("the document is not UTF-8."))?;
    if name_of_root(text).as_deref() != Some(root) {
        return Err(Refusal::malformed_xml(&format!("the root node is not named {root}.")).ec("0016-00000608"));
    }
    quick_xml::de::from_str(text).map_err(|error| Refusal::malformed_xml(&error.to_string()))
}

fn name_of_root(text: &str) -> Option<String> {
    let mut reader = quick_xml::Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            quick_xml::events::Event::Start(root) | quick_xml::events::Event::Empty(root) => {
                return Some(root.local_name().as_ref().to_owned());
            }
            quick_xml::events::Event::Eof => return None,
            _ => {}
        }
    }
}

/// The access list of a bucket or an object.
pub(super) fn access_list(account: &str, grant: &str) -> Writer {
    let mut body = Writer::document("AccessControlPolicy");
    body.owner(account).open("AccessControlList").leaf("Grant", grant);
    body
}

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

    /// A text in the element that was opened last.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.text.push_str(&quick_xml::escape::escape(value));
        self
    }

    /// Whose it is.
    pub(super) fn owner(&mut self, account: &str) -> &mut Self {
        self.open("Owner").leaf("ID", account).leaf("DisplayName", account).close()
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

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Delete {
        #[serde(rename = "Quiet", default)]
        quiet: bool,
        #[serde(rename = "Object", default)]
        objects: Vec<Named>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Named {
        #[serde(rename = "Key")]
        key: String,
    }

    #[test]
    fn documents_are_read_by_their_root_and_names() {
        let text = "<?xml version=\"1.0\"?>\n<Delete>\n <Object><Key> a&lt;&#x4e2d; </Key></Object><Other/>\n<Quiet>true</Quiet></Delete>";
        let read: Delete = read(text.as_bytes(), "Delete").unwrap();
        assert_eq!(read, Delete { quiet: true, objects: vec![Named { key: " a<中 ".to_owned() }] });
        for wrong in
            ["", "<Delete>", "<Remove></Remove>", "<Delete><Object></Object></Delete>", "x", "<Delete><Quiet>maybe</Quiet></Delete>"]
        {
            assert_eq!(super::read::<Delete>(wrong.as_bytes(), "Delete").unwrap_err().code, "MalformedXML", "{wrong}");
        }
    }
}
