//! What is hidden of Windows commands and results from those who may not read secrets: the data of nodes that hold passwords,
//! keys, tokens and challenges. A document that cannot be read is hidden whole.

use super::loc_uri::canonical;
use super::xml::{self, Element, Writer};
use crate::redacted::{HIDDEN, Redacted};

/// What the address of a secret node holds, in lower case.
const SECRET: [&str; 13] = [
    "aauthsecret",
    "authsecret",
    "certpassword",
    "challenge",
    "password",
    "passphrase",
    "pfxcert",
    "presharedkey",
    "privatekey",
    "psk",
    "recovery",
    "secret",
    "token",
];
/// Beginnings of nodes whose data holds whole profiles, with keys in them.
const PROFILES: [&str; 4] =
    ["vendor/msft/wifi/", "vendor/msft/vpnv2/", "vendor/msft/email2/", "vendor/msft/declaredconfiguration/"];

/// Hides the secrets in a command or a result of at most `max_bytes` bytes.
pub fn redact(document: &[u8], max_bytes: usize) -> Redacted {
    let mut wrapped = b"<x xmlns=\"SYNCML:SYNCML1.2\">".to_vec();
    wrapped.extend_from_slice(document);
    wrapped.extend_from_slice(b"</x>");
    let Ok(read) = xml::parse(&wrapped, max_bytes) else { return Redacted::Other(HIDDEN.into()) };
    if !has_secret(&read.root) {
        return Redacted::Same;
    }
    let mut writer = Writer::new();
    read.root.children.iter().for_each(|child| write(&mut writer, child, false));
    Redacted::Other(writer.finish().into_bytes())
}

fn has_secret(element: &Element) -> bool {
    (element.name == "Item" && is_secret(element)) || element.children.iter().any(has_secret)
}

/// Whether an item is about a node that holds a secret.
fn is_secret(item: &Element) -> bool {
    let places = item.children.iter().filter(|child| matches!(child.name.as_str(), "Target" | "Source"));
    let mut addresses = places.flat_map(|place| &place.children).map(|uri| canonical(&uri.text));
    let has_data = item.children.iter().any(|child| child.name == "Data");
    has_data && addresses.any(|address| is_secret_node(&address))
}

/// Whether a node, in canonical form, may hold a secret.
pub(super) fn is_secret_node(node: &str) -> bool {
    SECRET.iter().any(|word| node.contains(word)) || PROFILES.iter().any(|tree| node.starts_with(tree))
}

/// Writes an element again; in a secret item its data is hidden.
fn write(writer: &mut Writer, element: &Element, secret: bool) {
    if secret && element.name == "Data" {
        return writer.leaf("Data", &[], HIDDEN);
    }
    let secret = element.name == "Item" && is_secret(element);
    let of_meta = matches!(element.name.as_str(), "Format" | "Type" | "Size");
    let mut attributes: Vec<(&str, &str)> = Vec::new();
    if of_meta {
        attributes.push(("xmlns", super::syncml::METINF));
    } else if element.name == "SyncBody" {
        attributes.push(("xmlns", super::syncml::NAMESPACE));
    }
    if let Some(error) = element.attribute("originalerror") {
        attributes.push(("xmlns:msft", "http://schemas.microsoft.com/MobileDevice/MDM"));
        attributes.push(("msft:originalerror", error));
    }
    writer.element(&element.name, &attributes, |writer| {
        if element.children.is_empty() {
            writer.text(&element.text);
        }
        element.children.iter().for_each(|child| write(writer, child, secret));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(target: &str, data: &str) -> String {
        format!(
            "<Item><Target><LocURI>{target}</LocURI></Target><Meta><Format xmlns=\"syncml:metinf\">chr</Format></Meta><Data>{data}</Data></Item>"
        )
    }

    fn shown(document: &str) -> String {
        match redact(document.as_bytes(), 1 << 20) {
            Redacted::Same => document.to_owned(),
            Redacted::Other(shown) => String::from_utf8(shown).unwrap(),
        }
    }

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let secret = format!(
            "<Replace><CmdID>a</CmdID>{}{}</Replace>",
            item("./SyncML/DMAcc/x/AppAuth/CLCRED/AAuthSecret", "geheim"),
            item("./Device/A", "1")
        );
        let shown_secret = shown(&secret);
        assert!(!shown_secret.contains("geheim") && shown_secret.contains("<Data>1</Data>"), "{shown_secret}");
        assert!(shown_secret.contains("<Format xmlns=\"syncml:metinf\">chr</Format>"));
        for target in [
            "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/x/Install/Challenge",
            "./Vendor/MSFT/WiFi/Profile/home/WlanXml",
            "./Vendor/MSFT/%41ccounts/Users/a/P%61ssword",
        ] {
            let command = format!("<Add><CmdID>a</CmdID>{}</Add>", item(target, "geheim"));
            assert!(!shown(&command).contains("geheim"), "{target}");
        }
        let plain = format!("<Get><CmdID>a</CmdID>{}</Get>", item("./DevDetail/SwV", "10.0"));
        assert_eq!(redact(plain.as_bytes(), 1 << 20), Redacted::Same);
        assert_eq!(shown("<Get"), HIDDEN);
    }

    #[test]
    fn of_a_result_the_codes_are_left() {
        let result = "<SyncBody xmlns=\"SYNCML:SYNCML1.2\"><Status><CmdRef>a</CmdRef><Cmd>Get</Cmd><Data \
                      xmlns:msft=\"http://schemas.microsoft.com/MobileDevice/MDM\" msft:originalerror=\"0x8\">500</Data></Status><Results>\
                      <CmdRef>a</CmdRef><Item><Source><LocURI>./A/Token</LocURI></Source><Data>geheim</Data></Item></Results></SyncBody>";
        let shown = shown(result);
        assert!(!shown.contains("geheim") && shown.contains("msft:originalerror=\"0x8\""), "{shown}");
        assert!(super::super::syncml::result_json(shown.as_bytes()).is_ok());
    }
}
