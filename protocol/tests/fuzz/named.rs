//! The classic ways to bring a parser down, by name (V-40 to V-45). Each runs on a stack of 512 KiB: an overflow would end the
//! whole process, and no test could report it.

use protocol::apple::command::Command;
use protocol::apple::declarative::status::{StatusError, StatusReport};
use protocol::apple::message::Message;
use protocol::apple::plist::{Dictionary, Fault, MAX_DEPTH, Value, parse, to_xml};
use protocol::apple::profile::Profile;
use protocol::ids::CommandUuid;
use protocol::pki::Certificate;
use protocol::pki::scep::client::read_ca_certificates;
use protocol::pki::scep::{Policy, Request};
use protocol::pki::signature::{SignedMessage, verify};

use super::parsers::seeds::{BODY, KEYS, signatures};

const MAX: usize = 64 << 20;

/// Runs on a stack as small as the smallest of a server's threads.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 * 1024).spawn(test).unwrap().join().unwrap();
}

fn fault(body: &[u8]) -> Option<Fault> {
    parse(body, MAX).err().map(|error| error.fault)
}

fn nested(open: &str, close: &str, levels: usize) -> Vec<u8> {
    format!("<plist version=\"1.0\">{}{}</plist>", open.repeat(levels), close.repeat(levels)).into_bytes()
}

#[test]
fn v40_property_lists_of_any_depth_are_refused_and_nothing_overflows() {
    on_a_small_stack(|| {
        let forms = [("<array>", "</array>"), ("<dict><key>k</key>", "</dict>")];
        for (open, close) in forms {
            for levels in [MAX_DEPTH + 1, 1000, 35_000, 1_000_000] {
                let body = nested(open, close, levels);
                assert_eq!(fault(&body), Some(Fault::TooDeep), "{open} {levels}");
                assert!(Message::parse(&body, MAX).is_err() && Profile::parse(&body, MAX).is_err());
                let open_ended = open.repeat(levels);
                let unfinished = format!("<plist version=\"1.0\">{open_ended}");
                assert_eq!(fault(unfinished.as_bytes()), Some(Fault::TooDeep), "{open} {levels}, never closed");
            }
        }
        assert_eq!(fault(&nested("<array>", "</array>", MAX_DEPTH)), None, "the limit itself is allowed");
        // Under a key that nobody asks for: what a typed reader skips by recursion.
        let levels = 20_000;
        let unknown = format!("<key>Unknown</key>{}{}", "<array>".repeat(levels), "</array>".repeat(levels));
        let message = format!("<plist><dict><key>Status</key><string>Idle</string>{unknown}</dict></plist>");
        assert!(Message::parse(message.as_bytes(), MAX).is_err());
    });
}

#[test]
fn v40_json_of_any_depth_is_refused_and_nothing_overflows() {
    on_a_small_stack(|| {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for levels in [200, 10_000, 1_000_000] {
                let body = format!("{{\"StatusItems\":{{\"a\":{}1{}}}}}", open.repeat(levels), close.repeat(levels));
                let refused = StatusReport::parse(body.as_bytes(), MAX).unwrap_err();
                assert_eq!(refused, StatusError::TooDeep, "{open} {levels}");
            }
        }
    });
}

#[test]
fn v40_der_of_any_depth_is_refused_and_nothing_overflows() {
    on_a_small_stack(|| {
        for tag in [0x30, 0x31, 0xA0, 0x24] {
            for levels in [50, 1000, 15_000] {
                let indefinite = [[tag, 0x80].repeat(levels), [0, 0].repeat(levels)].concat();
                let definite = (0..levels).fold(Vec::new(), |body: Vec<u8>, _| {
                    // Lengths of three bytes: short, and right up to 64 KiB.
                    let length = body.len();
                    [vec![tag, 0x82, (length >> 8) as u8, length as u8], body].concat()
                });
                for der in [indefinite, definite] {
                    assert!(Certificate::parse(&der).is_err() && SignedMessage::walk(&der).is_none());
                    assert!(verify(&der, None).is_err() && read_ca_certificates(&der).is_none());
                    let policy = Policy { allow_legacy: true };
                    assert!(Request::open(&der, KEYS.authority.signer(), &policy).is_err());
                }
            }
        }
    });
}

#[test]
fn v41_binary_property_lists_are_refused_before_they_grow() {
    on_a_small_stack(|| {
        // Nine arrays, each ten times the next one: 153 bytes that mean 1.2 gigabytes.
        let mut bomb = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..9_u8 {
            offsets.push(bomb.len() as u8);
            bomb.push(0xAA);
            bomb.extend([level + 1; 10]);
        }
        offsets.push(bomb.len() as u8);
        bomb.extend([0x51, b'x']);
        let table = bomb.len() as u8;
        bomb.extend(&offsets);
        bomb.extend([
            0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, table,
        ]);
        assert_eq!(fault(&bomb), Some(Fault::Binary));
        assert!(Message::parse(&bomb, MAX).is_err() && Profile::parse(&bomb, MAX).is_err());
        let fallback = CommandUuid::parse("x").unwrap();
        assert!(Command::parse(&bomb, MAX, fallback).is_err());
    });
}

#[test]
fn v42_no_document_type_but_apples_and_no_entity_of_its_own() {
    let plist = |doctype: &str, text: &str| format!("{doctype}<plist version=\"1.0\"><string>{text}</string></plist>");
    let apple =
        "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";
    assert_eq!(fault(plist(apple, "x").as_bytes()), None);
    let refused = [
        "<!DOCTYPE plist [<!ENTITY a \"aaaa\">]>",
        "<!DOCTYPE plist [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE plist [<!ENTITY % a SYSTEM \"http://127.0.0.1/\"> %a;]>",
        "<!DOCTYPE plist SYSTEM \"http://127.0.0.1/evil.dtd\">",
        "<!DOCTYPE html>",
    ];
    for doctype in refused {
        assert_eq!(fault(plist(doctype, "&a;").as_bytes()), Some(Fault::DocType), "{doctype}");
    }
    assert_eq!(fault(plist(&apple.repeat(2), "x").as_bytes()), Some(Fault::DocType));
    for entity in ["&a;", "&lol9;", "&#0;", "&#xD800;", "&#x110000;", "&#99999999999;"] {
        assert_eq!(fault(plist("", entity).as_bytes()), Some(Fault::Entity), "{entity} is refused, not left out");
    }
}

#[test]
fn v43_a_key_stands_once() {
    let twice = "<plist><dict><key>UDID</key><string>A</string><key>UDID</key><string>B</string></dict></plist>";
    assert_eq!(fault(twice.as_bytes()), Some(Fault::DuplicateKey));
    let escaped = twice.replacen("UDID", "&#85;DID", 1);
    assert_eq!(fault(escaped.as_bytes()), Some(Fault::DuplicateKey), "however it is written");
    let cdata = twice.replacen("UDID", "<![CDATA[UDID]]>", 1);
    assert_eq!(fault(cdata.as_bytes()), Some(Fault::DuplicateKey));
}

#[test]
fn v44_odd_text_is_refused_and_much_text_is_bounded() {
    on_a_small_stack(|| {
        let plist = |text: &[u8]| [b"<plist><string>", text, b"</string></plist>"].concat();
        assert_eq!(fault(&plist(b"a\0b")), Some(Fault::Nul));
        assert_eq!(fault(&plist(b"\xED\xA0\x80")), Some(Fault::Encoding), "half a surrogate pair");
        for name in ["UTF-16", "UTF-32", "EBCDIC-CP-US", "ISO-8859-1"] {
            let declared = format!("<?xml version=\"1.0\" encoding=\"{name}\"?><plist><true/></plist>");
            assert_eq!(fault(declared.as_bytes()), Some(Fault::Encoding), "{name}");
        }
        let wide: Vec<u8> = "<plist><true/></plist>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(fault(&wide).is_some());
        assert_eq!(fault(&[b"\xFF\xFE".to_vec(), wide].concat()), Some(Fault::Encoding));
        assert_eq!(fault(&plist(&vec![b'a'; 10 << 20])), None, "ten megabytes of text are text");
        let attributes = format!("<plist><string {}/></plist>", "a='b' ".repeat(1_000_000));
        assert_eq!(fault(attributes.as_bytes()), Some(Fault::TooManyAttributes));
        let namespaces: String = (0..300).map(|number| format!("xmlns:n{number}='u' ")).collect();
        assert_eq!(fault(format!("<plist {namespaces}><true/></plist>").as_bytes()), Some(Fault::TooManyAttributes));
        let many = format!("<plist><array>{}</array></plist>", "<true/>".repeat(200_000));
        assert_eq!(fault(many.as_bytes()), Some(Fault::TooManyNodes));
    });
}

/// Found by a campaign: the quick check of a known signer took versions that OpenSSL cannot read.
#[test]
fn a_signed_message_with_a_long_version_is_refused() {
    let mut message = signatures().remove(0);
    assert!(SignedMessage::walk(&message).is_some());
    assert_eq!(message[23..26], [2, 1, 1], "the version stands after three heads of four bytes and an identifier");
    message.splice(23..26, [2, 2, 1, 1]);
    for low_byte_of_length in [3, 18, 22] {
        message[low_byte_of_length] = message[low_byte_of_length].checked_add(1).unwrap();
    }
    assert!(SignedMessage::walk(&message).is_none() && verify(&message, Some(BODY)).is_err());
}

#[test]
fn v45_what_is_data_stays_data_when_it_is_written() {
    let texts =
        ["]]></string><key>Evil</key><true/>", "<![CDATA[x]]>", "&lt;&amp;", "a\"b'c>d<e", "\u{FFFD}\u{1F426}", "-->"];
    for text in texts {
        let entries = Dictionary::from_iter([
            ("RequestType".to_owned(), Value::from("Settings")),
            (text.to_owned(), text.into()),
        ]);
        let value = Value::Dictionary(entries);
        assert_eq!(parse(&to_xml(&value), MAX).as_ref(), Ok(&value), "{text}");
        let uuid = CommandUuid::parse(text).unwrap();
        let command =
            Command::new(uuid.clone(), "Settings", Dictionary::from_iter([("Item".to_owned(), Value::from(text))]))
                .unwrap();
        let again = Command::parse(&command.to_xml(), MAX, CommandUuid::parse("other").unwrap()).unwrap();
        assert_eq!((again.uuid(), &again), (&uuid, &command), "{text}");
    }
}
