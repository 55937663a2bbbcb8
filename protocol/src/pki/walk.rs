//! Strict DER reading without allocation: slices of the input, or nothing.
//!
//! Definite minimal lengths, one-byte tags, no trailing bytes: what it accepts has one reading only. It never
//! recurses, so depth costs nothing, and it never verifies anything. Start with [`Reader`].
//!
//! Why not `x509-cert` and `cms` here: they build owned trees (5 µs where this takes 0.1), re-encode instead of
//! returning the bytes that were sent, and sort every SET in quadratic time: a hostile name of 52 KB took 0.9 s.

/// One element: identifier octet, contents, and the whole encoding as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    pub(super) raw: &'a [u8],
}

/// The elements still to be read of one constructed value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The parts of a certificate (RFC 5280 section 4.1) that this crate uses, as sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct CertificateFields<'a> {
    pub(super) serial: Element<'a>,
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Element<'a>,
    pub(super) not_after: Element<'a>,
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    extensions: Option<&'a [u8]>,
}

/// Identifier octets of the types that occur in certificates and CMS.
pub(super) mod tag {
    pub(in crate::pki) const BOOLEAN: u8 = 0x01;
    pub(in crate::pki) const INTEGER: u8 = 0x02;
    pub(in crate::pki) const BIT_STRING: u8 = 0x03;
    pub(in crate::pki) const OCTET_STRING: u8 = 0x04;
    pub(in crate::pki) const NULL: u8 = 0x05;
    pub(in crate::pki) const OID: u8 = 0x06;
    pub(in crate::pki) const UTF8_STRING: u8 = 0x0c;
    pub(in crate::pki) const PRINTABLE_STRING: u8 = 0x13;
    pub(in crate::pki) const TELETEX_STRING: u8 = 0x14;
    pub(in crate::pki) const IA5_STRING: u8 = 0x16;
    pub(in crate::pki) const UTC_TIME: u8 = 0x17;
    pub(in crate::pki) const GENERALIZED_TIME: u8 = 0x18;
    pub(in crate::pki) const BMP_STRING: u8 = 0x1e;
    pub(in crate::pki) const SEQUENCE: u8 = 0x30;
    pub(in crate::pki) const SET: u8 = 0x31;
    /// `[0]` with a primitive value, for example an implicitly tagged OCTET STRING.
    pub(in crate::pki) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
    pub(in crate::pki) const CONTEXT_1_PRIMITIVE: u8 = 0x81;
    pub(in crate::pki) const CONTEXT_2_PRIMITIVE: u8 = 0x82;
    pub(in crate::pki) const CONTEXT_0: u8 = 0xa0;
    pub(in crate::pki) const CONTEXT_1: u8 = 0xa1;
    pub(in crate::pki) const CONTEXT_3: u8 = 0xa3;
}

const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

impl<'a> Reader<'a> {
    /// Reads the elements inside `body`.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// Reads the elements of the single value `der` of type `tag`; none when anything follows it.
    pub(super) fn only(der: &'a [u8], tag: u8) -> Option<Self> {
        let mut outer = Self(der);
        let inner = outer.enter(tag)?;
        outer.end()?;
        Some(inner)
    }

    /// The next element, whatever its type.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.0.split_first()?;
        let (&first, after_first) = after_tag.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x84 => {
                let size = usize::from(first & 0x7f);
                let octets = after_first.get(..size)?;
                let length = octets.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
                let minimal = length >= 0x80 && octets[0] != 0;
                (minimal.then_some(length)?, 2 + size)
            }
            _ => return None,
        };
        let end = header.checked_add(length)?;
        let raw = self.0.get(..end)?;
        self.0 = &self.0[end..];
        Some(Element { tag, body: &raw[header..], raw })
    }

    /// The next element, which must be of type `tag`.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next element when it is of type `tag`; otherwise nothing is read.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        let before = *self;
        self.take(tag).or_else(|| {
            *self = before;
            None
        })
    }

    /// The elements inside the next one, which must be of type `tag`.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(|element| Self(element.body))
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something only when everything was read.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

impl Element<'_> {
    /// The text of a directory string; none for other types, invalid encodings and control characters (a NUL in a
    /// name is an old way to make two readers see two names).
    pub(super) fn text(&self) -> Option<String> {
        let text = match self.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => String::from_utf8(self.body.to_vec()).ok()?,
            tag::TELETEX_STRING => self.body.iter().map(|octet| char::from(*octet)).collect(),
            tag::BMP_STRING => {
                let (units, odd) = self.body.as_chunks::<2>();
                let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
                odd.is_empty().then(|| String::from_utf16(&units).ok())??
            }
            _ => return None,
        };
        (!text.contains(char::is_control)).then_some(text)
    }
}

impl<'a> CertificateFields<'a> {
    /// Reads one certificate; none when it is not strict DER or anything follows it.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader::only(der, tag::SEQUENCE)?;
        let mut tbs = certificate.enter(tag::SEQUENCE)?;
        certificate.take(tag::SEQUENCE)?;
        certificate.take(tag::BIT_STRING)?;
        certificate.end()?;

        tbs.optional(tag::CONTEXT_0);
        let serial = tbs.take(tag::INTEGER).filter(|serial| !serial.body.is_empty())?;
        tbs.take(tag::SEQUENCE)?;
        let issuer = tbs.take(tag::SEQUENCE)?.raw;
        let mut validity = tbs.enter(tag::SEQUENCE)?;
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        validity.end()?;
        let subject = tbs.take(tag::SEQUENCE)?.raw;
        let spki = tbs.take(tag::SEQUENCE)?.raw;
        tbs.optional(tag::CONTEXT_1_PRIMITIVE);
        tbs.optional(tag::CONTEXT_2_PRIMITIVE);
        let extensions = match tbs.optional(tag::CONTEXT_3) {
            Some(explicit) => Some(Reader::only(explicit.body, tag::SEQUENCE)?.0),
            None => None,
        };
        tbs.end()?;
        Some(Self { serial, issuer, not_before, not_after, subject, spki, extensions })
    }

    /// The key identifier that the certificate states for its own key (RFC 5280 section 4.2.1.2).
    pub(super) fn subject_key_id(&self) -> Option<&'a [u8]> {
        let mut value = Reader::new(self.extension(SUBJECT_KEY_IDENTIFIER)?);
        value.take(tag::OCTET_STRING).map(|id| id.body)
    }

    /// Whether the certificate says that it may issue others (RFC 5280 section 4.2.1.9).
    pub(super) fn is_authority(&self) -> bool {
        let constraints = self.extension(BASIC_CONSTRAINTS).and_then(|value| Reader::only(value, tag::SEQUENCE));
        constraints.and_then(|mut value| value.take(tag::BOOLEAN)).is_some_and(|ca| ca.body == [0xff])
    }

    /// The value of the first extension `oid`.
    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        let mut extensions = Reader::new(self.extensions?);
        while !extensions.is_empty() {
            let mut extension = extensions.enter(tag::SEQUENCE)?;
            let id = extension.take(tag::OID)?;
            extension.optional(tag::BOOLEAN);
            let value = extension.take(tag::OCTET_STRING)?;
            if id.body == oid {
                return Some(value.body);
            }
        }
        None
    }
}

/// The value of the attribute `oid` in a distinguished name; none when it occurs twice or the name is malformed.
pub(super) fn name_attribute<'a>(name: &'a [u8], oid: &[u8]) -> Option<Element<'a>> {
    let mut found = None;
    let mut sets = Reader::only(name, tag::SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.enter(tag::SET)?;
        while !set.is_empty() {
            let mut pair = set.enter(tag::SEQUENCE)?;
            let id = pair.take(tag::OID)?;
            let value = pair.next()?;
            pair.end()?;
            if id.body == oid && found.replace(value).is_some() {
                return None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_definite_and_minimal() {
        assert!(Reader::new(&[0x04, 0x80, 0x00, 0x00]).next().is_none(), "indefinite");
        assert!(Reader::new(&[0x04, 0x81, 0x01, 0xff]).next().is_none(), "long form of a short length");
        assert!(Reader::new(&[0x04, 0x82, 0x00, 0x80]).next().is_none(), "leading zero");
        assert!(Reader::new(&[0x04, 0x85, 1, 1, 1, 1, 1]).next().is_none(), "five octets");
        assert!(Reader::new(&[0x1f, 0x01, 0x00]).next().is_none(), "long tag");
        assert!(Reader::new(&[0x04, 0x02, 0x00]).next().is_none(), "cut short");
        let mut long = vec![0x04, 0x81, 0x80];
        long.extend([7; 128]);
        assert_eq!(Reader::new(&long).next().map(|element| element.body.len()), Some(128));
    }

    #[test]
    fn nothing_may_follow_the_only_value() {
        assert!(Reader::only(&[0x30, 0x00], tag::SEQUENCE).is_some());
        assert!(Reader::only(&[0x30, 0x00, 0x00], tag::SEQUENCE).is_none());
        assert!(Reader::only(&[0x31, 0x00], tag::SEQUENCE).is_none());
    }

    #[test]
    fn an_optional_element_of_another_type_is_left_unread() {
        let mut reader = Reader::new(&[0x02, 0x01, 0x05]);
        assert!(reader.optional(tag::CONTEXT_0).is_none());
        assert!(reader.take(tag::INTEGER).is_some_and(|element| element.body == [5]));
        assert!(reader.end().is_some());
    }

    #[test]
    fn text_with_a_hidden_end_is_no_text() {
        let text = |tag, body| Element { tag, body, raw: body }.text();
        assert_eq!(text(tag::UTF8_STRING, "höst".as_bytes()).as_deref(), Some("höst"));
        assert_eq!(text(tag::TELETEX_STRING, b"h\xf6st").as_deref(), Some("höst"));
        assert_eq!(text(tag::BMP_STRING, b"\0h\0i").as_deref(), Some("hi"));
        assert_eq!(text(tag::BMP_STRING, b"\0h\0"), None);
        assert_eq!(text(tag::PRINTABLE_STRING, b"admin\0.example"), None);
        assert_eq!(text(tag::UTF8_STRING, b"\xff"), None);
        assert_eq!(text(tag::OCTET_STRING, b"host"), None);
    }

    #[test]
    fn an_attribute_named_twice_is_not_found() {
        let cn = [0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'a'];
        let once = [&[0x30, 0x0c], &cn[..]].concat();
        let twice = [&[0x30, 0x18], &cn[..], &cn[..]].concat();
        assert!(name_attribute(&once, &[0x55, 0x04, 0x03]).is_some_and(|value| value.body == b"a"));
        assert!(name_attribute(&twice, &[0x55, 0x04, 0x03]).is_none());
        assert!(name_attribute(&once, &[0x55, 0x04, 0x0a]).is_none());
    }

    proptest! {
        #[test]
        fn an_element_is_exactly_the_bytes_it_came_from(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::new(&bytes);
            let mut read = 0;
            while let Some(element) = reader.next() {
                prop_assert_eq!(element.raw, &bytes[read..read + element.raw.len()]);
                prop_assert!(element.raw.ends_with(element.body));
                read += element.raw.len();
            }
            let _ = CertificateFields::read(&bytes);
        }
    }
}
