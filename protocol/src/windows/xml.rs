//! XML as Windows writes it: an element tree of bounded size, with resolved namespaces; and a writer that always writes
//! balanced elements and escapes what it is given.
//!
//! Refused: document types (and so every entity but the five of XML), processing instructions after the start, other
//! encodings than UTF-8, undeclared prefixes, more than one root.

use std::ops::Range;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::reference;

/// The deepest nesting.
pub const MAX_DEPTH: usize = 64;
/// Elements in one document.
pub const MAX_NODES: usize = 50_000;
/// Attributes of one element.
const MAX_ATTRIBUTES: usize = 32;

/// A document.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    text: &'a str,
    /// The one element that everything is in.
    pub root: Element,
}

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The namespace that its name belongs to; empty for none.
    pub namespace: Arc<str>,
    /// Its name without a prefix.
    pub name: String,
    /// Its attributes without the declarations of namespaces, in the order in which they stand.
    pub attributes: Vec<(String, String)>,
    /// The elements in it, in the order in which they stand.
    pub children: Vec<Element>,
    /// The text that stands in it directly, untrimmed.
    pub text: String,
    /// Where its content stands in the document.
    content: Range<usize>,
}

/// Why a document was refused. The text shows none of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (near byte {position})")]
pub struct XmlError {
    /// Where.
    pub position: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than the caller allows.
    #[error("the document is too long")]
    TooLong,
    /// Not UTF-8, or says that it is something else.
    #[error("the document is not UTF-8")]
    Encoding,
    /// Not well-formed.
    #[error("the document is not well-formed XML")]
    Syntax,
    /// It ends before its root does.
    #[error("the document ends too early")]
    Incomplete,
    /// A document type: these can define entities that expand without end.
    #[error("a document type is not allowed")]
    DocType,
    /// A processing instruction.
    #[error("a processing instruction is not allowed")]
    Instruction,
    /// An entity that XML itself does not define.
    #[error("an unknown entity")]
    Entity,
    /// A prefix without a declaration.
    #[error("a prefix is not declared")]
    Prefix,
    /// Deeper than [`MAX_DEPTH`].
    #[error("the elements are nested too deep")]
    TooDeep,
    /// More than [`MAX_NODES`] elements, or too many attributes of one.
    #[error("the document has too many elements or attributes")]
    TooMany,
    /// Text, or a second element, beside the root.
    #[error("the document is not one element")]
    NotOneElement,
}

/// Reads a document of at most `max_bytes` bytes.
///
/// # Errors
/// See [`Fault`].
pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Document<'_>, XmlError> {
    let wrong = |fault| XmlError { position: 0, fault };
    if bytes.len() > max_bytes {
        return Err(wrong(Fault::TooLong));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(Fault::Encoding))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parser =
        Parser { reader: NsReader::from_str(text), open: Vec::new(), nodes: 0, position: 0, names: Vec::new() };
    Ok(Document { text, root: parser.read()? })
}

impl Document<'_> {
    /// What stands in an element of this document, as it was written, without the white space around it.
    pub fn inner(&self, element: &Element) -> &str {
        self.text.get(element.content.clone()).unwrap_or_default().trim()
    }

    /// The value of an element: its text, or, where elements stand in it, these as they were written.
    pub fn value<'d>(&'d self, element: &'d Element) -> &'d str {
        if element.children.is_empty() { element.text.trim() } else { self.inner(element) }
    }
}

impl Element {
    /// Whether this is the element with this name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && same_namespace(&self.namespace, namespace)
    }

    /// The first child with this name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// The children with this name.
    pub fn children<'e>(&'e self, namespace: &'e str, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.is(namespace, name))
    }

    /// The trimmed text of the first child with this name; `None` where there is no such child, or it is empty.
    pub fn child_text(&self, namespace: &str, name: &str) -> Option<&str> {
        self.child(namespace, name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }

    /// The value of an attribute, whatever its prefix.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Microsoft writes some of its namespaces with and without a slash at the end.
fn same_namespace(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

struct Parser<'a> {
    reader: NsReader<&'a [u8]>,
    open: Vec<Element>,
    nodes: usize,
    position: u64,
    /// Namespaces seen so far, so that a thousand elements of one share its name.
    names: Vec<Arc<str>>,
}

impl Parser<'_> {
    fn fail<T>(&self, fault: Fault) -> Result<T, XmlError> {
        Err(XmlError { position: self.position, fault })
    }

    fn read(mut self) -> Result<Element, XmlError> {
        let mut root = None;
        loop {
            self.position = self.reader.buffer_position();
            let position = self.position;
            let Ok((resolved, event)) = self.reader.read_resolved_event() else {
                return Err(XmlError { position, fault: Fault::Syntax });
            };
            let namespace = match resolved {
                ResolveResult::Bound(Namespace(name)) => Ok(name.to_owned()),
                ResolveResult::Unbound => Ok(String::new()),
                ResolveResult::Unknown(_) => Err(XmlError { position, fault: Fault::Prefix }),
            };
            match event {
                Event::Start(tag) if root.is_none() => self.begin(namespace?, &tag)?,
                Event::Empty(tag) if root.is_none() => {
                    self.begin(namespace?, &tag)?;
                    root = self.end()?;
                }
                Event::Start(_) | Event::Empty(_) => return self.fail(Fault::NotOneElement),
                Event::End(_) => root = self.end()?,
                Event::Text(piece) => self.text(&piece.into_inner(), root.is_some())?,
                Event::CData(piece) => self.text(&piece.into_inner(), root.is_some())?,
                Event::GeneralRef(reference) => {
                    let character = self.reference(&reference)?;
                    self.text(character.encode_utf8(&mut [0; 4]), root.is_some())?;
                }
                Event::Comment(_) => {}
                Event::Decl(declaration) if position == 0 => match declaration.encoding() {
                    None => {}
                    Some(Ok(name)) if name.eq_ignore_ascii_case("UTF-8") || name.eq_ignore_ascii_case("UTF8") => {}
                    Some(_) => return self.fail(Fault::Encoding),
                },
                Event::Decl(_) | Event::PI(_) => return self.fail(Fault::Instruction),
                Event::DocType(_) => return self.fail(Fault::DocType),
                Event::Eof => return root.map_or_else(|| self.fail(Fault::Incomplete), Ok),
            }
        }
    }

    fn begin(&mut self, namespace: String, tag: &BytesStart<'_>) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(Fault::TooMany);
        }
        if self.open.len() == MAX_DEPTH {
            return self.fail(Fault::TooDeep);
        }
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let Ok(attribute) = attribute else { return self.fail(Fault::Syntax) };
            let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) else {
                return self.fail(Fault::Entity);
            };
            let name = attribute.key.as_ref();
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            if attributes.len() == MAX_ATTRIBUTES {
                return self.fail(Fault::TooMany);
            }
            attributes.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
        }
        let start = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        let (namespace, name) = (self.shared(namespace), tag.local_name().as_ref().to_owned());
        self.open.push(Element { namespace, name, attributes, content: start..start, ..Element::default() });
        Ok(())
    }

    fn shared(&mut self, namespace: String) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| ***known == *namespace) {
            return known.clone();
        }
        let new: Arc<str> = namespace.into();
        if self.names.len() < MAX_ATTRIBUTES {
            self.names.push(new.clone());
        }
        new
    }

    /// Closes the innermost element; the root when it was that.
    fn end(&mut self) -> Result<Option<Element>, XmlError> {
        let Some(mut element) = self.open.pop() else { return self.fail(Fault::Syntax) };
        element.content.end = usize::try_from(self.position).unwrap_or(usize::MAX).max(element.content.start);
        match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(element);
                Ok(None)
            }
            None => Ok(Some(element)),
        }
    }

    fn text(&mut self, piece: &str, after_root: bool) -> Result<(), XmlError> {
        if piece.contains(|character| !is_xml_character(character)) {
            return self.fail(Fault::Syntax);
        }
        match self.open.last_mut() {
            Some(element) => element.text.push_str(piece),
            None if piece.trim().is_empty() => {}
            None if after_root => return self.fail(Fault::NotOneElement),
            None => return self.fail(Fault::Syntax),
        }
        Ok(())
    }

    fn reference(&self, reference: &BytesRef<'_>) -> Result<char, XmlError> {
        let known = reference::character(reference).filter(|character| is_xml_character(*character));
        known.map_or_else(|| self.fail(Fault::Entity), Ok)
    }
}

/// Whether a character may stand in an XML 1.0 document (its section 2.2).
pub const fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Writes elements. What is given as text or value is escaped; what no XML document may hold is left out.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: String,
}

/// Attributes to write, with their prefixes.
pub type Attributes<'a> = &'a [(&'a str, &'a str)];

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// The document.
    pub fn finish(self) -> String {
        self.out
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Writes an element; its content is what `content` writes.
    pub fn element(&mut self, name: &str, attributes: Attributes<'_>, content: impl FnOnce(&mut Self)) {
        self.start(name, attributes);
        let before = self.out.len();
        self.out.push('>');
        content(self);
        if self.out.len() == before + 1 {
            self.out.truncate(before);
            self.out.push_str("/>");
            return;
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes an element with a text in it.
    pub fn leaf(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |writer| writer.text(text));
    }

    /// Writes an empty element.
    pub fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.element(name, attributes, |_| {});
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) {
        escape(&mut self.out, text);
    }

    /// Writes what is XML already: something that [`Writer`] wrote, or that [`parse`] read as well-formed.
    pub fn raw(&mut self, xml: &str) {
        self.out.push_str(xml);
    }

    fn start(&mut self, name: &str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(&mut self.out, value);
            self.out.push('"');
        }
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            _ if is_xml_character(character) => out.push(character),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
