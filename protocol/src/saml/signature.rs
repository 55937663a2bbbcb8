//! The signature of one element (XML Signature), as identity providers make it: enveloped, over its own parent, which it names by its
//! `ID`, with exclusive canonicalization. Every algorithm is compared with a list before anything is computed; whatever else a
//! signature could hold (other transforms, XPath, XSLT, objects, a second reference) is refused. Keys come from the settings, never
//! from the signature.

use openssl::hash::{MessageDigest, hash};
use openssl::memcmp;
use openssl::pkey::{Id, PKey, Public};
use openssl::sign::Verifier;

use super::canonical::canonical;
use super::tree::Element;
use super::{EXCLUSIVE, Read, SIGNATURE, SamlFault, base64, demand};

/// The transform that leaves the signature itself out.
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// Prefixes that one list of inclusive ones may name.
const MAX_PREFIXES: usize = 16;

/// Verifies the one signature that the element has which `path` leads to; returns the canonical bytes that were signed. `None`: it
/// has no signature.
pub(super) fn verify(root: &Element, path: &[usize], keys: &[PKey<Public>]) -> Read<Option<String>> {
    let mut element = root;
    for step in path {
        element = element.elements().nth(*step).ok_or(SamlFault("there is no such element"))?;
    }
    let mut own = element.elements().enumerate().filter(|(_, child)| child.is(SIGNATURE, "Signature"));
    let Some((number, signature)) = own.next() else { return Ok(None) };
    demand(own.next().is_none(), "an element has two signatures")?;
    let [info, value] = parts(signature)?;
    let (reference, method) = signed_info(info)?;
    let id = element.attribute("ID").filter(|id| !id.is_empty()).ok_or(SamlFault("what is signed has no ID"))?;
    let names_parent = reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) == Some(id);
    demand(names_parent, "a signature is about another element than the one that it stands in")?;

    let inclusive = transforms(reference)?;
    let signed = canonical(root, path, Some(number), &inclusive);
    let digest = digest_of(reference, signed.as_bytes())?;
    let said = only_text(reference, "DigestValue")?;
    demand(digest.len() == said.len() && memcmp::eq(&digest, &said), "what was signed was changed")?;

    let to_info: Vec<usize> = path.iter().copied().chain([number, 0]).collect();
    let listed = info.only(SIGNATURE, "CanonicalizationMethod", "a signature names no canonicalization")?;
    let info = canonical(root, &to_info, None, &prefixes(listed)?);
    let value = value.text().and_then(base64).ok_or(SamlFault("the value of a signature is none"))?;
    let holds = keys.iter().any(|key| holds(key, &method, info.as_bytes(), &value));
    demand(holds, "a signature is not the identity provider's")?;
    Ok(Some(signed))
}

/// What a signature is made of: what is signed, and the value; nothing else but the key's name, which is not looked at.
fn parts(signature: &Element) -> Read<[&Element; 2]> {
    let children: Vec<&Element> = signature.elements().collect();
    let named = |element: &Element, name| element.is(SIGNATURE, name);
    match children.as_slice() {
        [info, value] if named(info, "SignedInfo") && named(value, "SignatureValue") => Ok([info, value]),
        [info, value, key] if named(info, "SignedInfo") && named(value, "SignatureValue") && named(key, "KeyInfo") => {
            Ok([info, value])
        }
        _ => Err(SamlFault("a signature has other parts than it needs")),
    }
}

/// How something is signed.
struct Method {
    digest: MessageDigest,
    key: Id,
}

/// The one reference, and the algorithm.
fn signed_info(info: &Element) -> Read<(&Element, Method)> {
    let children: Vec<&Element> = info.elements().collect();
    let [canonicalization, method, reference] = children.as_slice() else {
        return Err(SamlFault("a signature has not exactly one reference"));
    };
    let in_order = canonicalization.is(SIGNATURE, "CanonicalizationMethod")
        && method.is(SIGNATURE, "SignatureMethod")
        && reference.is(SIGNATURE, "Reference");
    demand(in_order, "a signature has not exactly one reference")?;
    demand(algorithm(canonicalization) == EXCLUSIVE, "a signature has a canonicalization that is not accepted")?;
    demand(method.elements().next().is_none(), "a signature has an algorithm with parameters")?;
    let method = match algorithm(method) {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Method { digest: MessageDigest::sha256(), key: Id::RSA },
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Method { digest: MessageDigest::sha384(), key: Id::RSA },
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Method { digest: MessageDigest::sha512(), key: Id::RSA },
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => {
            Method { digest: MessageDigest::sha256(), key: Id::EC }
        }
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => {
            Method { digest: MessageDigest::sha384(), key: Id::EC }
        }
        _ => return Err(SamlFault("a signature has an algorithm that is not accepted")),
    };
    Ok((reference, method))
}

/// The prefixes of the canonicalization, where the transforms are the usual two.
fn transforms(reference: &Element) -> Read<Vec<String>> {
    let names: Vec<&str> = reference.elements().map(|child| child.name.as_str()).collect();
    let own = reference.elements().all(|child| child.namespace == SIGNATURE);
    demand(own && names == ["Transforms", "DigestMethod", "DigestValue"], "a reference has other parts than it needs")?;
    let listed = reference.only(SIGNATURE, "Transforms", "a reference has no transforms")?;
    let listed: Vec<&Element> = listed.elements().collect();
    let [enveloped, exclusive] = listed.as_slice() else {
        return Err(SamlFault("a reference has other transforms than are accepted"));
    };
    let known = [enveloped, exclusive].iter().all(|transform| transform.is(SIGNATURE, "Transform"))
        && algorithm(enveloped) == ENVELOPED
        && enveloped.elements().next().is_none()
        && algorithm(exclusive) == EXCLUSIVE;
    demand(known, "a reference has other transforms than are accepted")?;
    prefixes(exclusive)
}

/// The prefixes that a canonicalization treats inclusively.
fn prefixes(canonicalization: &Element) -> Read<Vec<String>> {
    let parameters: Vec<&Element> = canonicalization.elements().collect();
    let list = match parameters.as_slice() {
        [] => "",
        [one] if one.is(EXCLUSIVE, "InclusiveNamespaces") && one.nodes.is_empty() => {
            one.attribute("PrefixList").unwrap_or_default()
        }
        _ => return Err(SamlFault("a canonicalization has parameters that are not accepted")),
    };
    let named = |prefix: &str| if prefix == "#default" { String::new() } else { prefix.to_owned() };
    let prefixes: Vec<String> = list.split_ascii_whitespace().map(named).collect();
    demand(prefixes.len() <= MAX_PREFIXES, "a canonicalization has too many prefixes")?;
    Ok(prefixes)
}

fn digest_of(reference: &Element, bytes: &[u8]) -> Read<Vec<u8>> {
    let method = reference.only(SIGNATURE, "DigestMethod", "a reference has no digest")?;
    let kind = match algorithm(method) {
        _ if method.elements().next().is_some() => None,
        "http://www.w3.org/2001/04/xmlenc#sha256" => Some(MessageDigest::sha256()),
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Some(MessageDigest::sha384()),
        "http://www.w3.org/2001/04/xmlenc#sha512" => Some(MessageDigest::sha512()),
        _ => None,
    };
    let kind = kind.ok_or(SamlFault("a reference has a digest that is not accepted"))?;
    hash(kind, bytes).map(|digest| digest.to_vec()).map_err(|_| SamlFault("a digest cannot be computed"))
}

fn only_text(element: &Element, name: &str) -> Read<Vec<u8>> {
    let child = element.only(SIGNATURE, name, "a reference has no digest")?;
    child.text().and_then(base64).ok_or(SamlFault("the value of a digest is none"))
}

fn algorithm(element: &Element) -> &str {
    element.attribute("Algorithm").unwrap_or_default()
}

fn holds(key: &PKey<Public>, method: &Method, message: &[u8], value: &[u8]) -> bool {
    if key.id() != method.key {
        return false;
    }
    let verified = |value: &[u8]| {
        let mut verifier = Verifier::new(method.digest, key).ok()?;
        verifier.verify_oneshot(value, message).ok()
    };
    match method.key {
        // XML Signature writes the two numbers one behind the other; OpenSSL reads them as DER.
        Id::EC => raw_ecdsa(value).and_then(|der| verified(&der)).unwrap_or_default(),
        _ => verified(value).unwrap_or_default(),
    }
}

fn raw_ecdsa(value: &[u8]) -> Option<Vec<u8>> {
    use openssl::bn::BigNum;
    use openssl::ecdsa::EcdsaSig;
    if value.is_empty() || !value.len().is_multiple_of(2) || value.len() > 132 {
        return None;
    }
    let (r, s) = value.split_at(value.len() / 2);
    let signature = EcdsaSig::from_private_components(BigNum::from_slice(r).ok()?, BigNum::from_slice(s).ok()?);
    signature.ok()?.to_der().ok()
}
