//! Metadata (SAML 2.0 Metadata): what a provider says of itself, and what we say of us. A provider's comes from whoever keeps the
//! settings, over a way that they trust; its signature is not looked at.

use openssl::pkey::{PKey, Public};

use super::request::escaped;
use super::tree::{Element, parse};
use super::{METADATA, POST, PROTOCOL, REDIRECT, Read, SIGNATURE, SamlFault, base64, demand};
use crate::pki::Certificate;

/// Keys of one provider at most.
const MAX_KEYS: usize = 16;

/// An identity provider, as its metadata describes it.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its entity id.
    pub entity_id: String,
    /// Its address for requests.
    pub sign_on_url: String,
    /// The keys that it signs with.
    pub keys: Vec<PKey<Public>>,
}

impl Provider {
    /// Reads the metadata of one provider.
    ///
    /// # Errors
    /// See [`SamlFault`].
    pub fn parse(text: &str) -> Read<Self> {
        let root = parse(text.trim_start_matches('\u{feff}').trim())?;
        let mut described = Vec::new();
        root.walk(&mut |element| {
            if element.is(METADATA, "EntityDescriptor") && of_provider(element).is_some() {
                described.push(element);
            }
        });
        let [entity] = described.as_slice() else {
            return Err(SamlFault("the metadata does not describe exactly one identity provider"));
        };
        let provider = of_provider(entity).ok_or(SamlFault("the metadata describes no identity provider"))?;
        let entity_id = entity.attribute("entityID").filter(|id| !id.is_empty());
        let entity_id = entity_id.ok_or(SamlFault("the metadata has no entity id"))?.to_owned();
        let mut services = provider.children(METADATA, "SingleSignOnService");
        let redirect = services.find(|service| service.attribute("Binding") == Some(REDIRECT));
        let sign_on_url = redirect.and_then(|service| service.attribute("Location"));
        let sign_on_url = sign_on_url.ok_or(SamlFault("the metadata has no HTTP-Redirect address"))?.to_owned();
        let keys = keys(provider)?;
        demand(!keys.is_empty(), "the metadata has no certificate for signatures")?;
        Ok(Self { entity_id, sign_on_url, keys })
    }
}

fn of_provider(entity: &Element) -> Option<&Element> {
    entity.children(METADATA, "IDPSSODescriptor").next()
}

/// Keys for signatures; those that say nothing are for everything.
fn keys(provider: &Element) -> Read<Vec<PKey<Public>>> {
    let mut keys = Vec::new();
    for described in provider.children(METADATA, "KeyDescriptor") {
        if described.attribute("use").is_some_and(|purpose| purpose != "signing") {
            continue;
        }
        let mut certificates = Vec::new();
        described.walk(&mut |element| {
            if element.is(SIGNATURE, "X509Certificate") {
                certificates.push(element.text().and_then(base64));
            }
        });
        for der in certificates {
            let key = der.and_then(|der| Certificate::parse(&der).ok()?.public_key().ok());
            let key = key.ok_or(SamlFault("a certificate in the metadata cannot be read"))?;
            let strong = key.check_strength().and_then(|()| key.to_pkey());
            keys.push(strong.map_err(|_| SamlFault("a key in the metadata is too weak"))?);
            demand(keys.len() <= MAX_KEYS, "the metadata has too many keys")?;
        }
    }
    Ok(keys)
}

/// What we say of us: our entity id, and where responses are brought to.
pub fn describe(entity_id: &str, consumer_url: &str) -> String {
    let (entity_id, consumer_url) = (escaped(entity_id), escaped(consumer_url));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{entity_id}\">\
         <md:SPSSODescriptor AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\" \
         protocolSupportEnumeration=\"{PROTOCOL}\"><md:AssertionConsumerService Binding=\"{POST}\" \
         Location=\"{consumer_url}\" index=\"0\" isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>"
    )
}
