//! Cases that follow from tables: every sequence of reports, every thief with every message, every message with every
//! entry that is wrong, every command type on every kind of channel, every way to prove who one is.

use std::fmt::Write;

const STATUSES: [&str; 4] = ["Acknowledged", "Error", "CommandFormatError", "NotNow"];

/// Check-in messages and reports that a device channel can send.
const OF_DEVICES: [&str; 10] = [
    "TokenUpdate",
    "CheckOut",
    "SetBootstrapToken BootstrapToken:<stolen>",
    "GetBootstrapToken",
    "GetToken",
    "DeclarativeManagement",
    "DeclarativeManagement Endpoint:declaration-items",
    "ReturnToService",
    "Idle",
    "Acknowledged secret",
];

/// Those that a user channel can send.
const OF_USERS: [&str; 6] =
    ["TokenUpdate", "CheckOut", "UserAuthenticate", "DeclarativeManagement", "Idle", "Acknowledged secret"];

/// The whole script.
pub(super) fn script() -> String {
    let mut script = String::new();
    for part in [reports, sessions, thieves, kinds, wrong_entries, wrong_names, request_types, forms] {
        part(&mut script).expect("a text takes text");
    }
    script
}

/// V-21: whatever a device reports about one command, the first final word stays.
fn reports(script: &mut String) -> std::fmt::Result {
    for first in STATUSES {
        writeln!(script, "== reports that begin with {first}\nmac m\nm enroll")?;
        let mut late = 0;
        for (number, rest) in sequences().into_iter().enumerate() {
            let all: Vec<&str> = std::iter::once(first).chain(rest).collect();
            writeln!(script, "-- {}", all.join(", "))?;
            writeln!(script, "admin queue m ProfileList as c{number}\nm Idle = command c{number}")?;
            let mut end: Option<&str> = None;
            let mut against = std::collections::BTreeSet::new();
            for status in &all {
                writeln!(script, "m {status} c{number} = nothing")?;
                match end {
                    None if *status != "NotNow" => end = Some(status),
                    Some(end) if end != *status => drop(against.insert(status)),
                    _ => {}
                }
            }
            late += against.len();
            writeln!(script, "host status c{number} m = {}", end.unwrap_or("NotNow"))?;
            if end.is_none() {
                writeln!(script, "host not-now c{number} m = 1")?;
                writeln!(script, "m Idle = command c{number}\nm Acknowledged c{number} = nothing")?;
            }
            writeln!(script, "m Idle = nothing")?;
        }
        let filed = if late == 0 { "none".to_owned() } else { format!("{late} late") };
        writeln!(script, "-- contradictions are filed, repetitions are not\nhost orphans m = {filed}")?;
    }
    Ok(())
}

/// Nothing, one status, or two.
fn sequences() -> Vec<Vec<&'static str>> {
    let one = STATUSES.map(|status| vec![status]);
    let two = STATUSES.into_iter().flat_map(|first| STATUSES.map(|second| vec![first, second]));
    std::iter::once(vec![]).chain(one).chain(two).collect()
}

/// The same with a session between: what is not final is offered again, what is final is not.
fn sessions(script: &mut String) -> std::fmt::Result {
    writeln!(script, "== two reports in two sessions\nmac m\nm enroll")?;
    for (row, first) in STATUSES.into_iter().enumerate() {
        for (column, second) in STATUSES.into_iter().enumerate() {
            let c = format!("c{row}{column}");
            writeln!(script, "-- {first}, then {second}\nadmin queue m ProfileList as {c}\nm Idle = command {c}")?;
            writeln!(script, "m {first} {c} = nothing")?;
            let again = if first == "NotNow" { format!("command {c}") } else { "nothing".into() };
            writeln!(script, "m Idle = {again}\nm {second} {c} = nothing")?;
            let end = if first == "NotNow" { second } else { first };
            writeln!(script, "host status {c} m = {end}")?;
            if end == "NotNow" {
                writeln!(script, "host not-now {c} m = 2\nm Idle = command {c}\nm Error {c} = nothing")?;
            }
            writeln!(script, "m Idle = nothing")?;
        }
    }
    Ok(())
}

/// V-27, V-28: a certificate speaks for nobody but its own device.
fn thieves(script: &mut String) -> std::fmt::Result {
    let thieves = [
        ("another Mac", "mac t\nt enroll", "t"),
        ("a personal phone", "personal-phone t\nt enroll", "t"),
        ("a device that has left", "mac t\nt enroll\nt saves gone\nt leave", "gone"),
        ("a certificate that no device has used", "mac t\nt profile\nt identity", "t"),
        ("the device's own certificate of an earlier life", "v saves old\nv enroll", "old"),
        ("a certificate of somebody else", "", "stranger"),
        ("no certificate", "", "nothing"),
    ];
    for (who, prepare, wears) in thieves {
        writeln!(script, "== {who}\nmac v\nv enroll\n{prepare}\nv user ann")?;
        writeln!(script, "v SetBootstrapToken BootstrapToken:<kept> = nothing\nadmin queue v SecurityInfo as secret")?;
        writeln!(script, "admin queue v/ann ProfileList as hers\nv saves own\nv wears {wears}")?;
        for message in OF_DEVICES {
            writeln!(script, "-- as the device: {message}\nv {message} = 400")?;
        }
        for message in OF_USERS {
            writeln!(script, "-- as its user: {message}\nv/ann {message} = 400")?;
        }
        if wears != "t" || prepare.contains("enroll") {
            writeln!(script, "-- as the device: Authenticate\nv Authenticate = 400")?;
        }
        let generation = if wears == "old" { 2 } else { 1 };
        writeln!(script, "-- nothing was lost\nv wears own\nhost channel v generation = {generation}")?;
        writeln!(script, "host channel v enabled = true\nhost channel v/ann enabled = true")?;
        writeln!(script, "host channel v token_update_tally = 1\nv GetBootstrapToken = token kept")?;
        writeln!(script, "v drain secret\nv/ann drain hers\nhost orphans v = none")?;
    }
    Ok(())
}

/// A certificate speaks only as the kind of enrollment that it is, also under the very same name.
fn kinds(script: &mut String) -> std::fmt::Result {
    writeln!(script, "== a managed device under its own name as a personal one\nmac m\nm enroll\nm user ann")?;
    writeln!(script, "admin queue m SecurityInfo as secret")?;
    for message in OF_DEVICES.into_iter().chain(["Authenticate"]) {
        writeln!(script, "-- {message}\nm {message} -UDID EnrollmentID:@m = 400")?;
    }
    for message in OF_USERS {
        writeln!(script, "-- of its user: {message}\nm {message} -UDID EnrollmentID:@m EnrollmentUserID:ann = 400")?;
    }
    writeln!(script, "-- nothing was lost\nhost channel m type = Device\nm drain secret")?;
    writeln!(script, "== a personal device under its own name as a managed one\npersonal-mac p\np enroll\np user ann")?;
    writeln!(script, "admin queue p SecurityInfo as secret")?;
    for message in OF_DEVICES.into_iter().chain(["Authenticate"]) {
        writeln!(script, "-- {message}\np {message} -EnrollmentID UDID:@p = 400")?;
    }
    for message in OF_USERS {
        writeln!(script, "-- of its user: {message}\np {message} -EnrollmentID UDID:@p UserID:ann = 400")?;
    }
    writeln!(script, "-- nothing was lost\nhost channel p type = User Enrollment (Device)\np drain secret")
}

/// Entries that are missing or wrong: a clear 400, and nothing happens.
fn wrong_entries(script: &mut String) -> std::fmt::Result {
    const ENTRIES: &[(&str, &str, &[&str])] = &[
        ("Authenticate", "Topic", &["", "EMPTY", "LIST", "LONG", "BELL"]),
        ("Authenticate", "DeviceName", &["LIST", "NUMBER"]),
        ("Authenticate", "SerialNumber", &["LIST", "NUMBER", "LONG", "BELL"]),
        ("TokenUpdate", "Topic", &["", "EMPTY", "NUMBER", "LONG", "BELL"]),
        ("TokenUpdate", "Token", &["", "<>", "text", "LIST", "MUCH"]),
        ("TokenUpdate", "PushMagic", &["", "EMPTY", "NUMBER", "LONG", "BELL"]),
        ("TokenUpdate", "UnlockToken", &["text", "LIST"]),
        ("TokenUpdate", "AwaitingConfiguration", &["text", "NUMBER"]),
        ("CheckOut", "Topic", &["", "EMPTY", "LIST"]),
        ("SetBootstrapToken", "BootstrapToken", &["text", "LIST", "NUMBER"]),
        ("GetBootstrapToken", "AwaitingConfiguration", &["text"]),
        ("GetToken", "TokenServiceType", &["", "EMPTY", "NUMBER", "LONG", "com.example.unknown"]),
        ("DeclarativeManagement", "Endpoint", &["", "EMPTY", "NUMBER", "LONG", "sing", "declaration/song/x", "status"]),
        ("Idle", "Status", &["", "EMPTY", "NUMBER", "LONG"]),
        ("Acknowledged", "CommandUUID", &["", "EMPTY", "NUMBER", "LONG", "BELL"]),
        ("Acknowledged", "ErrorChain", &["text"]),
        ("Acknowledged", "NotOnConsole", &["text"]),
        ("UserAuthenticate", "DigestResponse", &["LIST"]),
    ];
    writeln!(script, "== entries that are wrong\nmac m\nm enroll\nm user ann\nadmin queue m ProfileList as c")?;
    for (message, key, values) in ENTRIES {
        for value in *values {
            let change = if value.is_empty() { format!("-{key}") } else { format!("{key}:{value}") };
            // A report needs a command to speak of; the argument is in its place already.
            let command = if *message == "Acknowledged" { " c" } else { "" };
            let who = if *message == "UserAuthenticate" { "m/ann" } else { "m" };
            let optional = value.is_empty() && ["UnlockToken", "DeviceName"].contains(key);
            assert!(!optional, "{key} may be absent");
            let change = if *key == "UnlockToken" || !change.starts_with('-') { change } else { format!("-{key}") };
            writeln!(script, "-- {message} {change}\n{who} {message}{command} {change} = 400")?;
        }
    }
    writeln!(script, "-- a message of an unknown type\nm Sing = 400")?;
    writeln!(script, "-- nothing happened\nhost channel m generation = 1\nhost channel m token_update_tally = 1")?;
    writeln!(script, "m drain c\nhost orphans m = none")
}

/// Names of senders that are none.
fn wrong_names(script: &mut String) -> std::fmt::Result {
    writeln!(script, "== names that are wrong\nmac m\nm enroll\nm user ann")?;
    for message in OF_DEVICES.into_iter().chain(["Authenticate"]) {
        for change in ["-UDID", "UDID:EMPTY", "UDID:LIST", "UDID:LONG", "UDID:BELL", "UDID:a:b"] {
            writeln!(script, "-- {message} {change}\nm {message} {change} = 400")?;
        }
    }
    for change in ["UserID:LIST", "UserID:LONG", "UserID:BELL", "UserShortName:LIST", "UserShortName:LONG"] {
        writeln!(script, "-- of a user: {change}\nm/ann Idle {change} = 400")?;
        writeln!(script, "-- of a user's token: {change}\nm/ann TokenUpdate {change} = 400")?;
    }
    writeln!(script, "-- a user does not enroll a device\nm/ann Authenticate = 400")
}

/// Apple's schema: which kinds of channels take a command.
fn request_types(script: &mut String) -> std::fmt::Result {
    /// Device, Mac user, Shared iPad user, personal device, personal user.
    const TAKEN: &[(&str, [bool; 5])] = &[
        ("EraseDevice", [true, false, false, false, false]),
        ("RestartDevice", [true, false, false, false, false]),
        ("ClearPasscode", [true, false, false, false, false]),
        ("DeviceLock", [true, false, false, true, false]),
        ("SecurityInfo", [true, true, false, true, true]),
        ("NSExtensionMappings", [false, true, false, false, false]),
        ("UserConfigured", [false, false, true, false, false]),
        ("ProfileList", [true; 5]),
        ("DeviceInformation", [true; 5]),
        ("DeclarativeManagement", [true; 5]),
        ("com.example.NotKnown", [true; 5]),
    ];
    writeln!(
        script,
        "== command types and kinds of channels\nmac m\nm enroll\nm user ann\nipad i\ni enroll\ni user ben"
    )?;
    writeln!(script, "personal-phone p\np enroll\npersonal-mac q\nq enroll\nq user cho")?;
    for (row, (request_type, taken)) in TAKEN.iter().enumerate() {
        for (column, (channel, taken)) in ["m", "m/ann", "i/ben", "p", "q/cho"].into_iter().zip(taken).enumerate() {
            let c = format!("c{row}x{column}");
            writeln!(script, "-- {request_type} for {channel}")?;
            match taken {
                true => writeln!(script, "admin queue {channel} {request_type} as {c}\n{channel} drain {c}")?,
                false => {
                    writeln!(script, "admin queue {channel} {request_type} as {c} = 500\n{channel} Idle = nothing")?;
                }
            }
        }
    }
    Ok(())
}

/// Every way to prove who one is, at every path that clients use, by both methods.
fn forms(script: &mut String) -> std::fmt::Result {
    writeln!(script, "== ways to prove who one is\nmac m\nm enroll")?;
    for path in ["/mdm/apple/mdm", "/mdm", "/mdm/connect", "/mdm/checkin", "/checkin"] {
        for form in ["detached", "bare", "attached", "tls", "both"] {
            for method in ["PUT", "POST untyped"] {
                writeln!(script, "-- {form} by {method} at {path}\nm path {path}\nm form {form} {method}")?;
                writeln!(script, "m Idle = nothing\nm GetBootstrapToken = nothing")?;
            }
        }
    }
    Ok(())
}
