//! A Windows host's settings as its agent sees them: `mdm_bridge` takes a SyncML body, and gives what the host's own management would
//! answer to it.

use std::collections::BTreeMap;

use super::answers::Row;
use crate::windows::profile::verify::place_of_result;
use crate::windows::profile::{Profile, Verdict};
use crate::windows::xml::{self, Element, Writer};

/// The longest answer that is looked at, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// Settings that one query asks for.
const MAX_NODES: usize = 1_000;
/// The column with the answer.
const OUTPUT: &str = "raw_mdm_command_output";

/// A setting whose value is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The name of the profile that it belongs to.
    pub profile: &'a str,
    /// Its address, as the profile writes it.
    pub loc_uri: &'a str,
}

/// What a host says of one setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The code of its status; 0 where there is none.
    pub status: u16,
    /// Its value; `None` where there is none.
    pub data: Option<String>,
}

impl Node<'_> {
    /// The `CmdID` of the command that asks for it: the decimal FNV-1a hash of 32 bits of the profile's name and the address.
    pub fn command_id(&self) -> String {
        let bytes = self.profile.bytes().chain(self.loc_uri.bytes());
        bytes.fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)).to_string()
    }
}

/// The query for the values of these settings; `None` where there are none.
pub fn query(nodes: &[Node<'_>]) -> Option<String> {
    if nodes.is_empty() {
        return None;
    }
    let mut body = Writer::new();
    body.element("SyncBody", &[], |body| {
        for node in nodes.iter().take(MAX_NODES) {
            body.element("Get", &[], |get| {
                get.leaf("CmdID", &[], &node.command_id());
                get.element("Item", &[], |item| {
                    item.element("Target", &[], |target| target.leaf("LocURI", &[], &place_of_result(node.loc_uri)));
                });
            });
        }
    });
    let body = body.finish().replace('\'', "''");
    Some(format!("SELECT {OUTPUT} FROM mdm_bridge WHERE mdm_command_input = '{body}';"))
}

/// What a host says of its settings, by the `CmdID`s of the commands that asked. `None` when nothing follows from it.
pub fn values(rows: &[Row]) -> Option<BTreeMap<String, Value>> {
    let output = rows.first()?.get(OUTPUT)?.trim();
    let document = xml::parse(output.as_bytes(), MAX_BYTES).ok()?;
    let root = &document.root;
    let body = if root.name == "SyncBody" { root } else { child(root, "SyncBody")? };
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for said in &body.children {
        let Some(reference) = child(said, "CmdRef").map(|one| one.text.trim().to_owned()) else { continue };
        match said.name.as_str() {
            "Status" => {
                let code = child(said, "Data").and_then(|data| data.text.trim().parse().ok());
                values.entry(reference).or_default().status = code.unwrap_or_default();
            }
            "Results" => {
                let data = child(said, "Item").and_then(|item| child(item, "Data"));
                values.entry(reference).or_default().data = data.map(|data| document.value(data).to_owned());
            }
            _ => {}
        }
    }
    (!values.is_empty()).then_some(values)
}

/// The settings of a profile that can be asked for.
pub fn nodes<'a>(name: &'a str, profile: &'a Profile) -> Vec<Node<'a>> {
    profile.readable().into_iter().map(|edit| Node { profile: name, loc_uri: &edit.target }).collect()
}

/// Whether a host holds what a profile set; `None` when it says nothing of it. What it cannot tell of a single setting counts for the
/// profile, as it does where its management is asked.
pub fn verdict(name: &str, profile: &Profile, values: &BTreeMap<String, Value>) -> Option<Verdict> {
    let of = |loc_uri: &str| values.get(&Node { profile: name, loc_uri }.command_id());
    let readable = profile.readable();
    if !readable.is_empty() && readable.iter().all(|edit| of(&edit.target).is_none()) {
        return None;
    }
    let differs = |edit: &&crate::windows::profile::Edit| {
        let value = of(&edit.target).filter(|value| (200..300).contains(&value.status));
        value.and_then(|value| value.data.as_deref()).is_some_and(|data| !edit.is_held_by(data))
    };
    Some(Verdict::of(readable.into_iter().filter(differs)))
}

/// The first child with this name, in whatever namespace: the bridge writes them as it likes.
fn child<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    element.children.iter().find(|child| child.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: Node<'_> =
        Node { profile: "Camera's", loc_uri: "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera" };

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(Node { profile: "", loc_uri: "" }.command_id(), "2166136261");
        assert_eq!(Node { profile: "foo", loc_uri: "bar" }.command_id(), 0xBF9C_F968_u32.to_string());
    }

    #[test]
    fn a_policy_is_read_where_it_is_in_force() {
        let odd = Node { profile: "x", loc_uri: "./Vendor/MSFT/A/'&<" };
        let query = query(&[CAMERA, odd]).unwrap();
        assert!(query.contains("./Device/Vendor/MSFT/Policy/Result/Camera/AllowCamera"), "{query}");
        assert!(query.contains(&format!("<Get><CmdID>{}</CmdID>", CAMERA.command_id())), "{query}");
        assert!(query.contains("/A/''&amp;&lt;</LocURI>") || query.contains("/A/&apos;&amp;&lt;</LocURI>"), "{query}");
        assert_eq!(super::query(&[]), None);
    }

    #[test]
    fn a_profile_holds_what_its_host_says_it_holds() {
        let file =
            b"<Replace><Item><Target><LocURI>./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera</LocURI></Target>\
            <Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta><Data>0</Data></Item></Replace>";
        let profile = Profile::parse(file).unwrap();
        let nodes = nodes("Camera's", &profile);
        assert_eq!(nodes, [CAMERA]);
        let said = |status: u16, data: Option<&str>| {
            let value = Value { status, data: data.map(str::to_owned) };
            verdict("Camera's", &profile, &BTreeMap::from([(CAMERA.command_id(), value)]))
        };
        assert_eq!(said(200, Some("0")), Some(Verdict::Holds));
        assert!(matches!(said(200, Some("1")), Some(Verdict::Differs(why)) if why.contains("AllowCamera")));
        assert_eq!(said(404, None), Some(Verdict::Holds), "it cannot tell");
        assert_eq!(verdict("Camera's", &profile, &BTreeMap::new()), None, "it said nothing of it");
    }

    #[test]
    fn values_are_found_by_the_commands_that_asked() {
        let id = CAMERA.command_id();
        let output = format!(
            "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr/><SyncBody><Status><CmdID>1</CmdID><MsgRef>0</MsgRef>\
             <CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Data>200</Data></Status><Status><CmdID>2</CmdID><MsgRef>0</MsgRef>\
             <CmdRef>{id}</CmdRef><Cmd>Get</Cmd><Data>200</Data></Status><Results><CmdID>3</CmdID><CmdRef>{id}</CmdRef>\
             <Item><Source><LocURI>x</LocURI></Source><Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta>\
             <Data>0</Data></Item></Results><Status><CmdID>4</CmdID><CmdRef>7</CmdRef><Data>404</Data></Status>\
             </SyncBody></SyncML>"
        );
        let row = |output: &str| vec![Row::from([(OUTPUT.to_owned(), output.to_owned())])];
        let values = values(&row(&output)).unwrap();
        assert_eq!(values[&id], Value { status: 200, data: Some("0".into()) });
        assert_eq!(values["7"], Value { status: 404, data: None });
        assert_eq!(super::values(&row("")), None, "an empty answer says nothing");
        assert_eq!(super::values(&row("<!DOCTYPE a><a/>")), None);
        assert_eq!(super::values(&[]), None);
    }
}
