use serde_json::json;

use super::*;
use crate::apple::declarative::status::StatusReport;

fn status(items: Value) -> Status {
    let report = json!({ "StatusItems": items }).to_string();
    Status::default().merge(StatusReport::parse(report.as_bytes(), 1 << 20).unwrap(), 1 << 20)
}

#[test]
fn what_is_known_is_read_with_its_type() {
    let status = status(json!({
        "device": {
            "identifier": {"serial-number": "C02", "udid": 7},
            "model": {"family": "Mac", "marketing-name": "x".repeat(256)},
            "operating-system": {"version": "15.1", "supplemental": {"extra-version": "(a)"}},
        },
        "diskmanagement": {"filevault": {"enabled": true}},
        "passcode": {"is-present": "yes"},
    }));
    let expected = Vitals {
        serial_number: Some("C02".into()),
        model_family: Some("Mac".into()),
        os_version: Some("15.1".into()),
        supplemental_extra_version: Some("(a)".into()),
        filevault_enabled: Some(true),
        ..Vitals::default()
    };
    assert_eq!(Vitals::of(&status), expected);
    assert_eq!((SoftwareUpdate::of(&status), Capabilities::of(&status)), (None, None));
}

#[test]
fn an_update_under_way_is_told_in_full() {
    let status = status(json!({"softwareupdate": {
        "install-state": "downloading",
        "install-reason": {"reason": ["declaration", 3], "declaration-id": "os"},
        "pending-version": {"os-version": "15.2", "build-version": "24C101"},
        "failure-reason": {"count": 1, "reason": "battery", "timestamp": "2026-11-21T09:30:00Z"},
        "beta-enrollment": "", "device-id": "J514cAP",
    }}));
    let update = SoftwareUpdate::of(&status).unwrap();
    assert_eq!(update.install_state.as_deref(), Some("downloading"));
    assert_eq!(
        (update.install_reasons, update.declaration_identifier.as_deref()),
        (vec!["declaration".into()], Some("os"))
    );
    assert_eq!(
        (update.pending_os_version.as_deref(), update.pending_build_version.as_deref()),
        (Some("15.2"), Some("24C101"))
    );
    assert_eq!((update.failure_count, update.failure_reason.as_deref()), (Some(1), Some("battery")));
    assert_eq!(update.failed_at.as_deref(), Some("2026-11-21T09:30:00Z"));
    assert_eq!((update.beta_enrollment.as_deref(), update.device_id.as_deref()), (Some(""), Some("J514cAP")));
}

#[test]
fn capabilities_are_lists_of_names() {
    let status = status(json!({"management": {"client-capabilities": {
        "supported-versions": ["1.0.0"],
        "supported-features": {"f": {}},
        "supported-payloads": {
            "declarations": {"activations": ["a"], "assets": ["b", 1], "configurations": "none"},
            "status-items": ["s"],
        },
    }}}));
    let expected = Capabilities {
        versions: vec!["1.0.0".into()],
        features: vec!["f".into()],
        declarations: vec!["a".into(), "b".into()],
        status_items: vec!["s".into()],
    };
    assert_eq!(Capabilities::of(&status), Some(expected));
}
