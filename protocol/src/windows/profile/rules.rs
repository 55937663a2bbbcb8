//! What an administrator's profile must keep besides being well written: nodes that are the server's own, SCEP, ADMX files before
//! their policies.

use std::collections::HashSet;

use super::error::{ProfileError, Rule};
use super::read::shown;
use super::{CERTIFICATE_ID, Edit, Profile};
use crate::windows::loc_uri::{canonical, is_within, scoped};
use crate::windows::syncml::Verb;

/// Trees that no profile may touch, in canonical form, and what they are.
const RESERVED: [(&str, &str); 7] = [
    ("vendor/msft/bitlocker", "BitLocker (disk encryption is a setting of its own)"),
    ("vendor/msft/policy/config/update", "Windows Update (OS updates are a setting of their own)"),
    ("vendor/msft/remotewipe", "RemoteWipe"),
    ("vendor/msft/dmclient/unenroll", "the management of the device"),
    ("syncml/dmacc", "the account by which the device is managed"),
    ("vendor/msft/certificatestore/my/wstep", "the certificate by which the device is managed"),
    (SERVER, "the management of the device"),
];
/// The node of this server in DMClient, in canonical form.
const SERVER: &str = "vendor/msft/dmclient/provider/rookery";
const SCEP: &str = "vendor/msft/clientcertificateinstall/scep";
const ADMX: &str = "vendor/msft/policy/configoperations/admxinstall";
const POLICIES: &str = "vendor/msft/policy/config";
/// What a SCEP enrollment needs below the node of its certificate, with the words in which it is missed.
const NEEDED: [(&str, &str); 9] = [
    ("", "node …/SCEP/$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID"),
    ("install/cathumbprint", "Install/CAThumbprint"),
    ("install/challenge", "Install/Challenge"),
    ("install/ekumapping", "Install/EKUMapping"),
    ("install/hashalgorithm", "Install/HashAlgorithm"),
    ("install/keylength", "Install/KeyLength"),
    ("install/keyusage", "Install/KeyUsage"),
    ("install/serverurl", "Install/ServerURL"),
    ("install/subjectname", "Install/SubjectName"),
];

/// Whether a profile of an administrator may be kept.
pub(super) fn check(profile: &Profile) -> Result<(), ProfileError> {
    let is_scep = profile.is_scep();
    for edit in &profile.edits {
        let wrong = |rule| wrong(edit, rule);
        check_variables(&edit.target).map_err(wrong)?;
        check_reserved(&edit.target).map_err(wrong)?;
        if edit.verb == Verb::Exec && !in_scep(&edit.target) {
            return Err(wrong(Rule::Exec));
        }
        if is_scep && !in_scep(&edit.target) {
            return Err(wrong(Rule::ScepAlone));
        }
        if is_scep && scep_part(&edit.target).is_none_or(|(name, _)| !is_certificate_id(name)) {
            return Err(wrong(Rule::ScepName));
        }
    }
    if is_scep {
        check_scep(profile)?;
    }
    if profile.is_atomic {
        check_twice(profile)?;
    }
    check_admx(profile)
}

fn wrong(edit: &Edit, rule: Rule) -> ProfileError {
    let (verb, target) = (edit.verb.as_str().to_owned(), shown(&edit.target));
    ProfileError::Command { number: edit.number, verb, target, rule }
}

/// An address says for everybody what it is about: what it holds is compared with what other profiles set, shown and logged.
fn check_variables(target: &str) -> Result<(), Rule> {
    let variables = target.split('/').filter(|name| name.contains("FLEET_") || name.contains("ROOKERY_"));
    let marked = variables.filter(|name| name.contains('$'));
    let known = |name: &str| is_certificate_id(name) && in_scep(target);
    if marked.into_iter().all(known) { Ok(()) } else { Err(Rule::Variable) }
}

/// A reserved node, what stands below it, and what it stands in: a `Delete` of that would take it away, too.
fn check_reserved(target: &str) -> Result<(), Rule> {
    let node = canonical(target);
    let touches = |tree: &str| is_within(&node, tree) || is_within(tree, &node);
    RESERVED.iter().find(|(tree, _)| touches(tree)).map_or(Ok(()), |(_, what)| Err(Rule::Reserved(what)))
}

/// Whether a node is one of SCEP's.
pub(super) fn in_scep(target: &str) -> bool {
    is_within(&canonical(target), SCEP)
}

/// The name of the certificate as it is written, and the node below it in canonical form.
fn scep_part(target: &str) -> Option<(&str, String)> {
    let mut names = target.split('/').skip_while(|name| !name.eq_ignore_ascii_case("SCEP")).skip(1);
    let name = names.next()?;
    Some((name, names.collect::<Vec<_>>().join("/").to_ascii_lowercase()))
}

/// Puts the name of a certificate into an address, in the place of its variable.
pub(super) fn name_certificate(target: &mut String, certificate: &str) {
    if target.contains('$') {
        let name = |name| if is_certificate_id(name) { certificate } else { name };
        *target = target.split('/').map(name).collect::<Vec<_>>().join("/");
    }
}

/// Whether it is the variable of SCEP, in one of the ways in which variables are written.
fn is_certificate_id(name: &str) -> bool {
    let Some(name) = name.strip_prefix('$') else { return false };
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let name = name.strip_prefix("FLEET_VAR_").or_else(|| name.strip_prefix("ROOKERY_VAR_"));
    name == Some(CERTIFICATE_ID)
}

fn check_scep(profile: &Profile) -> Result<(), ProfileError> {
    let scopes: HashSet<_> = profile.edits.iter().map(Edit::scope).collect();
    if scopes.len() > 1 {
        return Err(ProfileError::Whole(Rule::ScepScopes));
    }
    let parts = |edit: &Edit| scep_part(&edit.target).map(|(_, part)| part);
    let set: HashSet<String> = profile.edits.iter().filter(|edit| edit.sets()).filter_map(parts).collect();
    if let Some((_, what)) = NEEDED.iter().find(|(node, _)| !set.contains(*node)) {
        return Err(ProfileError::Whole(Rule::ScepMissing(what)));
    }
    let mut others = profile.edits.iter().filter(|edit| !edit.sets());
    match (others.next(), others.next()) {
        (Some(exec), None) if exec.verb == Verb::Exec && parts(exec).as_deref() == Some("install/enroll") => Ok(()),
        _ => Err(ProfileError::Whole(Rule::ScepExec)),
    }
}

fn check_twice(profile: &Profile) -> Result<(), ProfileError> {
    let mut seen = HashSet::new();
    let twice = profile.edits.iter().find(|edit| edit.sets() && !seen.insert(scoped(&edit.target)));
    twice.map_or(Ok(()), |edit| Err(wrong(edit, Rule::Twice)))
}

/// Where a profile installs an ADMX file, it does so before it sets the policies of that file.
fn check_admx(profile: &Profile) -> Result<(), ProfileError> {
    let mut later: HashSet<String> = profile.edits.iter().filter_map(admx_app).collect();
    for edit in &profile.edits {
        if let Some(app) = admx_app(edit) {
            later.remove(&app);
        }
        if let Some(app) = policy_app(&edit.target).filter(|app| edit.sets() && later.contains(app)) {
            return Err(wrong(edit, Rule::AdmxLater(shown(&app))));
        }
    }
    Ok(())
}

/// The app whose ADMX file is installed.
fn admx_app(edit: &Edit) -> Option<String> {
    let node = canonical(&edit.target);
    let app = node.strip_prefix(ADMX)?.strip_prefix('/')?.split('/').next()?;
    edit.sets().then(|| app.to_owned())
}

/// The app of whose ADMX file a policy is.
pub(super) fn policy_app(target: &str) -> Option<String> {
    let node = canonical(target);
    let area = node.strip_prefix(POLICIES)?.strip_prefix('/')?.split('/').next()?;
    Some(area.split_once('~')?.0.to_owned())
}

/// Whether it is an ADMX file itself.
pub(super) fn in_admx(target: &str) -> bool {
    is_within(&canonical(target), ADMX)
}
