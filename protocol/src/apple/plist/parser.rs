//! The pass over the XML: events in, one value out. The open containers stand on a stack of its own.

use std::borrow::Cow;

use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Dictionary, Fault, MAX_ATTRIBUTES, MAX_DEPTH, MAX_NODES, PlistError, Value, doctype, scalar};

/// An array or dictionary whose end has not been read yet.
enum Open {
    Array(Vec<Value>),
    Dictionary { entries: Dictionary, key: Option<String> },
}

/// A property list that is being read.
pub(super) struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    /// Where the event that is being handled starts.
    position: u64,
    open: Vec<Open>,
    nodes: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { reader: Reader::from_str(text), position: 0, open: Vec::new(), nodes: 0 }
    }

    fn fail<T>(&self, fault: Fault) -> Result<T, PlistError> {
        Err(PlistError { position: self.position, fault })
    }

    fn next(&mut self) -> Result<Event<'a>, PlistError> {
        self.position = self.reader.buffer_position();
        self.reader
            .read_event()
            .map_err(|_| PlistError { position: self.reader.error_position().max(self.position), fault: Fault::Syntax })
    }

    /// Reads up to and including the start of the `plist` element.
    pub(super) fn prologue(&mut self) -> Result<(), PlistError> {
        let mut doctype_seen = false;
        loop {
            match self.next()? {
                Event::Decl(declaration) if self.position == 0 => self.declaration(&declaration)?,
                Event::DocType(doctype) if !doctype_seen => {
                    doctype_seen = true;
                    if !doctype::is_apple(&doctype.into_inner()) {
                        return self.fail(Fault::DocType);
                    }
                }
                Event::Start(tag) if tag.name().as_ref() == "plist" => return self.attributes(&tag),
                Event::Empty(tag) if tag.name().as_ref() == "plist" => return self.fail(Fault::NotOneValue),
                Event::Start(_) | Event::Empty(_) => return self.fail(Fault::Element),
                other => self.insignificant(&other, Fault::StrayText)?,
            }
        }
    }

    /// Reads the one value of the `plist` element and that element's end.
    pub(super) fn content(&mut self) -> Result<Value, PlistError> {
        let mut root = None;
        loop {
            let value = match self.next()? {
                Event::Start(tag) => self.element(&tag, false)?,
                Event::Empty(tag) => self.element(&tag, true)?,
                Event::End(_) => match self.open.pop() {
                    Some(container) => Some(self.close(container)?),
                    None => return root.map_or_else(|| self.fail(Fault::NotOneValue), Ok),
                },
                other => {
                    self.insignificant(&other, Fault::StrayText)?;
                    None
                }
            };
            let Some(value) = value else { continue };
            match self.open.last_mut() {
                Some(Open::Array(items)) => items.push(value),
                Some(Open::Dictionary { entries, key }) => match key.take() {
                    Some(key) => {
                        if entries.insert(key, value).is_some() {
                            return self.fail(Fault::DuplicateKey);
                        }
                    }
                    None => return self.fail(Fault::ValueWithoutKey),
                },
                None if root.is_none() => root = Some(value),
                None => return self.fail(Fault::NotOneValue),
            }
        }
    }

    /// Reads what follows the `plist` element.
    pub(super) fn epilogue(&mut self) -> Result<(), PlistError> {
        loop {
            match self.next()? {
                Event::Eof => return Ok(()),
                other => self.insignificant(&other, Fault::Trailing)?,
            }
        }
    }

    /// Begins a container, or reads a whole scalar; yields a value when one is complete.
    fn element(&mut self, tag: &BytesStart<'a>, empty: bool) -> Result<Option<Value>, PlistError> {
        self.attributes(tag)?;
        let name = tag.name();
        if name.as_ref() == "key" {
            return self.key(empty).map(|()| None);
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(Fault::TooManyNodes);
        }
        let container = match name.as_ref() {
            "array" => Open::Array(Vec::new()),
            "dict" => Open::Dictionary { entries: Dictionary::new(), key: None },
            scalar => return self.scalar(scalar, empty).map(Some),
        };
        if self.open.len() == MAX_DEPTH {
            return self.fail(Fault::TooDeep);
        }
        if empty {
            return self.close(container).map(Some);
        }
        self.open.push(container);
        Ok(None)
    }

    fn close(&self, container: Open) -> Result<Value, PlistError> {
        match container {
            Open::Array(items) => Ok(Value::Array(items)),
            Open::Dictionary { entries, key: None } => Ok(Value::Dictionary(entries)),
            Open::Dictionary { key: Some(_), .. } => self.fail(Fault::KeyWithoutValue),
        }
    }

    fn key(&mut self, empty: bool) -> Result<(), PlistError> {
        let at = self.position;
        let name = self.text(empty)?.into_owned();
        match self.open.last_mut() {
            Some(Open::Dictionary { key: Some(_), .. }) => {
                Err(PlistError { position: at, fault: Fault::KeyWithoutValue })
            }
            Some(Open::Dictionary { key, .. }) => {
                *key = Some(name);
                Ok(())
            }
            _ => Err(PlistError { position: at, fault: Fault::Element }),
        }
    }

    fn scalar(&mut self, name: &str, empty: bool) -> Result<Value, PlistError> {
        let at = self.position;
        let Some(scalar) = scalar::by_name(name) else { return self.fail(Fault::Element) };
        let text = self.text(empty)?;
        (scalar.read)(text).ok_or(PlistError { position: at, fault: Fault::Scalar(scalar.name) })
    }

    /// Reads the text of an element and its end.
    fn text(&mut self, empty: bool) -> Result<Cow<'a, str>, PlistError> {
        let mut text = Cow::Borrowed("");
        if empty {
            return Ok(text);
        }
        loop {
            let piece = match self.next()? {
                Event::End(_) => return Ok(text),
                Event::Text(piece) => piece.into_inner(),
                Event::CData(piece) => piece.into_inner(),
                Event::GeneralRef(reference) => {
                    text.to_mut().push(self.reference(&reference)?);
                    continue;
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => return self.fail(Fault::Incomplete),
                _ => return self.fail(Fault::Element),
            };
            if text.is_empty() {
                text = piece;
            } else {
                text.to_mut().push_str(&piece);
            }
        }
    }

    fn reference(&self, reference: &BytesRef<'a>) -> Result<char, PlistError> {
        let known = crate::reference::character(reference).filter(|character| *character != '\0');
        known.map_or_else(|| self.fail(Fault::Entity), Ok)
    }

    /// Passes over comments, processing instructions and white space, and refuses everything else.
    fn insignificant(&self, event: &Event<'a>, fault: Fault) -> Result<(), PlistError> {
        match event {
            Event::Comment(_) | Event::PI(_) => Ok(()),
            Event::Text(text) if text.as_bytes().iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) => {
                Ok(())
            }
            Event::Eof => self.fail(Fault::Incomplete),
            Event::Decl(_) => self.fail(Fault::Syntax),
            Event::DocType(_) => self.fail(Fault::DocType),
            _ => self.fail(fault),
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'a>) -> Result<(), PlistError> {
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if name.eq_ignore_ascii_case("UTF-8") || name.eq_ignore_ascii_case("UTF8") => Ok(()),
            Some(_) => self.fail(Fault::Encoding),
        }
    }

    fn attributes(&self, tag: &BytesStart<'a>) -> Result<(), PlistError> {
        let equals = tag.attributes_raw().bytes().filter(|byte| *byte == b'=').count();
        if equals > MAX_ATTRIBUTES { self.fail(Fault::TooManyAttributes) } else { Ok(()) }
    }
}
