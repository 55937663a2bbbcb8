//! Declarative management: status reports, and the declarations that admins write.

use std::collections::BTreeSet;

use protocol::apple::check_in::DeclarationKind;
use protocol::apple::declarative::DeclarationItem;
use protocol::apple::declarative::host_set::{Assigned, HostSet};
use protocol::apple::declarative::judge::{MAX_DETAIL_CHARS, Verdict, judge};
use protocol::apple::declarative::states::DeclarationStates;
use protocol::apple::declarative::status::{Status, StatusReport};
use protocol::apple::declarative::text::document;
use protocol::apple::declarative::vitals::{Capabilities, SoftwareUpdate, Vitals};

/// What every parser gets as its limit.
const MAX: usize = 1 << 20;

const REPORT: &str = r#"{"StatusItems":{"device":{"model":{"family":"Mac"}},"mdm":{"app":[{"identifier":"a","state":"queued"},
    {"identifier":"b","_removed":true}]},"management":{"declarations":{"activations":[{"identifier":"c.activation",
    "server-token":"1","active":true,"valid":"valid"}],"assets":[],"configurations":[{"identifier":"c","server-token":"1",
    "active":false,"valid":"invalid","reasons":[{"code":"Error.Unknown","details":{"a":1}}]}],"management":[]}}},
    "Errors":[{"StatusItem":"x","Reasons":[{"Code":"E"}]}]}"#;

/// Status reports.
pub(crate) fn reports() -> Vec<Vec<u8>> {
    let update = r#"{"StatusItems":{"softwareupdate":{"install-state":"failed","failure-reason":{"count":1},
        "install-reason":{"reason":["declaration"]}},"management":{"client-capabilities":{"supported-versions":["1.0.0"]}}},
        "FullReport":true}"#;
    [REPORT, update].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Declarations.
pub(crate) fn texts() -> Vec<Vec<u8>> {
    [
        r#"{"Type":"com.apple.configuration.passcode.settings","Identifier":"c","Payload":{"MinimumLength":6}}"#,
        r#"{"Type":"com.apple.activation.simple","Identifier":"act","ServerToken":"x",
            "Payload":{"StandardConfigurations":["c","d"],"Predicate":"(@status(device.model.family) == 'Mac')"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A report that comes once more changes nothing, what is kept is read again, and what it says is bounded.
pub(crate) fn status(input: &[u8]) {
    let Ok(report) = StatusReport::parse(input, MAX) else { return };
    let before = StatusReport::parse(REPORT.as_bytes(), MAX).expect("it is a report");
    let known = Status::default().merge(before, MAX).merge(report.clone(), MAX);
    assert!(known.clone().merge(report, MAX) == known, "the second time changes nothing");
    Status::parse(&known.to_json(), usize::MAX).expect("what we write we read");
    let _ = (Vitals::of(&known), SoftwareUpdate::of(&known), Capabilities::of(&known));
    let Some(states) = DeclarationStates::of(&known) else { return };
    let item = DeclarationItem { identifier: "c".into(), server_token: "1".into() };
    let kind = DeclarationKind::Configuration;
    let assigned = Assigned { kind, item: item.clone(), activates: BTreeSet::new() };
    let set = HostSet::of(&[assigned], "darwin").expect("it is a set");
    let (Verdict::Verified(detail) | Verdict::Failed(detail) | Verdict::Verifying(detail)) =
        judge(&states, &set, kind, &item);
    assert!(detail.chars().count() <= MAX_DETAIL_CHARS);
}

/// A declaration's document is a declaration again, and it stands in the set of its host.
pub(crate) fn declaration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(written) = document(text, "token") else { return };
    let written = String::from_utf8(written).expect("a document is text");
    let again = document(&written, "token").expect("what we write we read");
    assert!(again == written.as_bytes(), "the second time changes nothing");
    for kind in DeclarationKind::ALL {
        let name: String = text.chars().take(20).collect();
        let item = DeclarationItem { identifier: name, server_token: "token".into() };
        let activates = BTreeSet::from([item.identifier.clone(), written.clone()]);
        let assigned = Assigned { kind, item: item.clone(), activates };
        if let Ok(set) = HostSet::of(&[assigned], text) {
            assert_eq!(set.item(kind, &item.identifier), Some(&item));
            assert_eq!(set.generated(kind, &item.identifier), None);
        }
    }
}
