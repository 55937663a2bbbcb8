//! XML as signatures need it: elements with their prefixes, declarations and text, as they stand. Refused: document types,
//! processing instructions, comments (they split a text, and readers differ in what is left of it), and whatever is too large.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Read, SamlFault, demand};
use crate::reference;

/// The largest document, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// Elements at most.
const MAX_NODES: usize = 5_000;
/// Attributes and declarations of one element at most.
const MAX_ATTRIBUTES: usize = 32;
/// What the prefix `xml` stands for, without a declaration.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Prefixes, and what they stand for; the inner ones stand behind the outer ones.
pub(super) type Scope = Vec<(String, String)>;

/// An element.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    pub(super) prefix: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) attributes: Vec<Attribute>,
    /// What it declares: prefixes (empty for the default) and namespaces.
    pub(super) declared: Scope,
    pub(super) nodes: Vec<Node>,
}

/// An attribute that is no declaration.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) prefix: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) value: String,
}

/// What stands in an element.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Element(Element),
    Text(String),
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Read<Element> {
    demand(text.len() <= MAX_BYTES, "the document is too long")?;
    let mut parser = Parser { reader: Reader::from_str(text), open: Vec::new(), scope: Vec::new(), nodes: 0 };
    let mut root = None;
    loop {
        let at = parser.reader.buffer_position();
        let event = parser.reader.read_event().map_err(|_| SamlFault("the document is not well-formed"))?;
        match event {
            Event::Start(tag) if root.is_none() => parser.begin(&tag)?,
            Event::Empty(tag) if root.is_none() => {
                parser.begin(&tag)?;
                root = parser.end()?;
            }
            Event::End(_) => root = parser.end()?,
            Event::Text(piece) => parser.text(&piece.into_inner())?,
            Event::CData(piece) => parser.text(&piece.into_inner())?,
            Event::GeneralRef(entity) => {
                let letter = reference::character(&entity).ok_or(SamlFault("the document names an entity"))?;
                parser.push(letter.encode_utf8(&mut [0; 4]))?;
            }
            Event::Decl(_) if at == 0 => {}
            Event::Eof => return root.ok_or(SamlFault("the document ends too early")),
            Event::Comment(_) => return Err(SamlFault("the document has a comment")),
            Event::DocType(_) => return Err(SamlFault("the document has a document type")),
            Event::Decl(_) | Event::PI(_) => return Err(SamlFault("the document has a processing instruction")),
            Event::Start(_) | Event::Empty(_) => return Err(SamlFault("the document is not one element")),
        }
    }
}

impl Element {
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Its children with this name.
    pub(super) fn children<'e>(&'e self, namespace: &'e str, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.elements().filter(move |child| child.is(namespace, name))
    }

    /// The one child with this name; a fault where there is none, or another one.
    pub(super) fn only(&self, namespace: &str, name: &str, fault: &'static str) -> Read<&Element> {
        let mut found = self.elements().filter(|child| child.is(namespace, name));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(SamlFault(fault)),
        }
    }

    /// An attribute without a namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let named = |attribute: &&Attribute| attribute.namespace.is_empty() && attribute.name == name;
        self.attributes.iter().find(named).map(|attribute| attribute.value.as_str())
    }

    /// Its text, without the white space around it; nothing where elements stand in it.
    pub(super) fn text(&self) -> Option<&str> {
        match self.nodes.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text.trim()),
            _ => None,
        }
    }

    /// It and everything in it.
    pub(super) fn walk<'e>(&'e self, visit: &mut impl FnMut(&'e Element)) {
        visit(self);
        self.elements().for_each(|child| child.walk(visit));
    }
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    open: Vec<(Element, usize)>,
    scope: Scope,
    nodes: usize,
}

impl Parser<'_> {
    fn begin(&mut self, tag: &BytesStart<'_>) -> Read<()> {
        self.nodes += 1;
        demand(self.nodes <= MAX_NODES, "the document has too many elements")?;
        demand(self.open.len() < MAX_DEPTH, "the document is nested too deep")?;
        let before = self.scope.len();
        let (mut element, mut named) = (Element::default(), Vec::new());
        for attribute in tag.attributes() {
            let malformed = SamlFault("an attribute is malformed");
            let attribute = attribute.map_err(|_| malformed)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| malformed)?.into_owned();
            demand(named.len() + element.declared.len() < MAX_ATTRIBUTES, "an element has too many attributes")?;
            match attribute.key.as_ref() {
                "xmlns" => element.declared.push((String::new(), value)),
                name => match name.strip_prefix("xmlns:") {
                    Some(prefix) => {
                        demand(!value.is_empty() && !["xml", "xmlns"].contains(&prefix), "a declaration is none")?;
                        element.declared.push((prefix.to_owned(), value));
                    }
                    None => named.push((name.to_owned(), value)),
                },
            }
        }
        self.scope.extend(element.declared.iter().cloned());
        (element.prefix, element.name) = split(tag.name().as_ref())?;
        element.namespace = self.meaning(&element.prefix)?;
        for (name, value) in named {
            let (prefix, name) = split(&name)?;
            let namespace = if prefix.is_empty() { String::new() } else { self.meaning(&prefix)? };
            let same = |known: &Attribute| known.namespace == namespace && known.name == name;
            demand(!element.attributes.iter().any(same), "an element has an attribute twice")?;
            element.attributes.push(Attribute { prefix, name, namespace, value });
        }
        self.open.push((element, before));
        Ok(())
    }

    /// What a prefix stands for here.
    fn meaning(&self, prefix: &str) -> Read<String> {
        let known = self.scope.iter().rev().find(|(known, _)| known == prefix).map(|(_, namespace)| namespace.clone());
        match known {
            Some(namespace) => Ok(namespace),
            None if prefix.is_empty() => Ok(String::new()),
            None if prefix == "xml" => Ok(XML.to_owned()),
            None => Err(SamlFault("a prefix is not declared")),
        }
    }

    /// Closes the innermost element; the root when it was that.
    fn end(&mut self) -> Read<Option<Element>> {
        let (element, before) = self.open.pop().ok_or(SamlFault("the document is not well-formed"))?;
        self.scope.truncate(before);
        match self.open.last_mut() {
            None => Ok(Some(element)),
            Some((parent, _)) => {
                parent.nodes.push(Node::Element(element));
                Ok(None)
            }
        }
    }

    /// Text as it is written: line ends are one character (XML 1.0, 2.11).
    fn text(&mut self, piece: &str) -> Read<()> {
        self.push(&piece.replace("\r\n", "\n").replace('\r', "\n"))
    }

    fn push(&mut self, text: &str) -> Read<()> {
        let allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        demand(text.chars().all(allowed), "the document has a character that XML does not have")?;
        let Some((element, _)) = self.open.last_mut() else {
            return demand(text.trim().is_empty(), "text stands beside the element");
        };
        match element.nodes.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => element.nodes.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }
}

/// A name in its two parts.
fn split(name: &str) -> Read<(String, String)> {
    let (prefix, name) = name.split_once(':').unwrap_or(("", name));
    demand(!name.is_empty() && !name.contains(':'), "a name is none")?;
    Ok((prefix.to_owned(), name.to_owned()))
}
