use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> Fault {
    parse(text.as_bytes(), 1 << 20).unwrap_err().fault
}

#[test]
fn prefixes_do_not_matter_and_namespaces_do() {
    let text = "<s:a xmlns:s='urn:one/' xmlns='urn:two'><b x='1 &amp; 2'> t<![CDATA[<x>]]>&#65;&lt; </b><s:b/></s:a>";
    let document = parse(text.as_bytes(), 1000).unwrap();
    assert!(document.root.is("urn:one", "a"), "a slash at the end makes no difference");
    let child = document.root.child("urn:two", "b").unwrap();
    assert_eq!(child.attribute("x"), Some("1 & 2"));
    assert_eq!(child.text, " t<x>A< ");
    assert_eq!(document.root.child_text("urn:two", "b"), Some("t<x>A<"));
    assert_eq!(document.root.children("urn:one", "b").count(), 1);
    assert_eq!(document.root.child("urn:three", "b"), None);
}

#[test]
fn what_stands_in_an_element_is_at_hand_as_it_was_written() {
    let text = "<a>\n <Data> <Job id=\"{1}\"><X>1 &amp; 2</X></Job> </Data><Data>plain &amp; simple </Data></a>";
    let document = parse(text.as_bytes(), 1000).unwrap();
    let values: Vec<&str> = document.root.children.iter().map(|data| document.value(data)).collect();
    assert_eq!(values, ["<Job id=\"{1}\"><X>1 &amp; 2</X></Job>", "plain & simple"]);
}

#[test]
fn what_could_do_harm_is_refused() {
    assert_eq!(fault("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Fault::DocType);
    assert_eq!(fault("<a>&b;</a>"), Fault::Entity);
    assert_eq!(fault("<a b='&c;'/>"), Fault::Entity);
    assert_eq!(fault("<a>&#0;</a>"), Fault::Entity);
    assert_eq!(fault("<a><?php x?></a>"), Fault::Instruction);
    assert_eq!(fault("<a/><b/>"), Fault::NotOneElement);
    assert_eq!(fault("<a/>text"), Fault::NotOneElement);
    assert_eq!(fault("text<a/>"), Fault::Syntax);
    assert_eq!(fault("<a>\u{1}</a>"), Fault::Syntax);
    assert_eq!(fault("<s:a/>"), Fault::Prefix);
    assert_eq!(fault("<a><b></a>"), Fault::Syntax);
    assert_eq!(fault("<a><b>"), Fault::Incomplete);
    assert_eq!(fault(""), Fault::Incomplete);
    assert_eq!(fault("<?xml version='1.0' encoding='utf-16'?><a/>"), Fault::Encoding);
    assert_eq!(parse(b"<a>\xff</a>", 100).unwrap_err().fault, Fault::Encoding);
    assert_eq!(parse(b"<a>123</a>", 5).unwrap_err().fault, Fault::TooLong);
    assert_eq!(fault(&format!("{}{}", "<a>".repeat(MAX_DEPTH + 1), "</a>".repeat(MAX_DEPTH + 1))), Fault::TooDeep);
    assert_eq!(fault(&format!("<a>{}</a>", "<b/>".repeat(MAX_NODES))), Fault::TooMany);
    let attributes: String = (0..=MAX_ATTRIBUTES).map(|number| format!(" a{number}='1'")).collect();
    assert_eq!(fault(&format!("<a{attributes}/>")), Fault::TooMany);
}

#[test]
fn a_byte_order_mark_a_declaration_and_comments_are_read_over() {
    let text = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a --><a><!-- b -->1</a>\n<!-- c -->";
    assert_eq!(parse(text.as_bytes(), 1000).unwrap().root.text, "1");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(text in "\\PC{0,40}", value in "\\PC{0,40}", inner in "[ -~\\r\\n\\t]{0,40}") {
        let mut writer = Writer::new();
        writer.element("a", &[("x", &value)], |writer| {
            writer.leaf("b", &[], &text);
            writer.leaf("c", &[], &inner);
        });
        let written = writer.finish();
        let read = parse(written.as_bytes(), 1 << 20).unwrap().root;
        let kept: String = text.chars().filter(|character| is_xml_character(*character)).collect();
        prop_assert_eq!(&read.children[0].text, &kept);
        prop_assert_eq!(&read.children[1].text, &inner);
        let kept: String = value.chars().filter(|character| is_xml_character(*character)).collect();
        prop_assert_eq!(read.attribute("x"), Some(kept.as_str()));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, 1000);
    }
}
