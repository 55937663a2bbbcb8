//! DER writing: small functions that wrap bytes, innermost first.
//!
//! It writes what this crate makes itself; it never copies a structure by parsing and re-encoding it, because names
//! and certificates must leave exactly as they came. Start with [`tlv`].

use der::asn1::ObjectIdentifier;

use super::walk::tag;

/// One element of type `tag` whose contents are `parts`, one after the other.
pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let significant = &octets[length.leading_zeros() as usize / 8..];
            // A usize has at most eight octets.
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A SEQUENCE of `parts`.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, parts)
}

/// A SET with the single member `member`.
pub(super) fn set_of_one(member: &[u8]) -> Vec<u8> {
    tlv(tag::SET, &[member])
}

/// A SET OF `members` in the order that DER asks for (X.690 section 11.6).
pub(super) fn set_of(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    tlv(tag::SET, &members.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An INTEGER from 0 to 127.
pub(super) fn small_integer(value: u8) -> Vec<u8> {
    tlv(tag::INTEGER, &[&[value & 0x7f]])
}

/// An OBJECT IDENTIFIER.
pub(super) fn oid(id: &ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OID, &[id.as_bytes()])
}

/// An OCTET STRING.
pub(super) fn octet_string(body: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, &[body])
}

/// A BIT STRING of whole octets.
pub(super) fn bit_string(body: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, &[&[0], body])
}

/// An AlgorithmIdentifier with NULL parameters.
pub(super) fn algorithm(id: &ObjectIdentifier) -> Vec<u8> {
    sequence(&[&oid(id), &[tag::NULL, 0]])
}

/// An AlgorithmIdentifier without parameters.
pub(super) fn bare_algorithm(id: &ObjectIdentifier) -> Vec<u8> {
    sequence(&[&oid(id)])
}

/// A CMS ContentInfo (RFC 5652 section 3).
pub(super) fn content_info(content_type: &ObjectIdentifier, content: &[u8]) -> Vec<u8> {
    sequence(&[&oid(content_type), &tlv(tag::CONTEXT_0, &[content])])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::walk::Reader;
    use super::*;

    #[test]
    fn a_set_is_written_in_order() {
        assert_eq!(set_of(vec![vec![2, 1, 9], vec![2, 1, 3]]), [0x31, 6, 2, 1, 3, 2, 1, 9]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(body in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let written = octet_string(&body);
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.take(tag::OCTET_STRING).map(|element| element.body), Some(&body[..]));
            prop_assert!(reader.end().is_some());
        }
    }
}
