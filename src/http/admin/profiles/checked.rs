//! From the bytes of a file to what is stored of it: the one place where the edge looks into profiles.

use std::collections::BTreeSet;

use entities::profile::change::Draft;
use entities::profile::{
    ACTIVATION, ASSET, CONFIGURATION, DECLARATION, MANAGEMENT, MOBILECONFIG, SYSTEM, USER, WINDOWS,
};
use entities::profile_label::Named;
use protocol::apple::check_in::DeclarationKind;
use protocol::apple::profile::Scope;
use protocol::apple::uploaded_declaration::UploadedDeclaration;
use protocol::apple::uploaded_profile::UploadedProfile;
use protocol::profile_name::check_name;
use protocol::upload::UploadKind;
use protocol::variables::{self, Variable};
use protocol::windows;
use uuid::Uuid;

/// How a profile is brought to hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) team_id: i64,
    pub(super) labels: Vec<Named>,
    pub(super) rollout_percent: i16,
    pub(super) rollout_max_failures: Option<i64>,
}

/// What a file is read into, whatever it is.
struct Read {
    kind: i16,
    name: String,
    identifier: String,
    scope: i16,
    part: i16,
    variables: BTreeSet<Variable>,
}

/// Reads a file. `name`: what it is called where the file itself does not say; a profile's own name has to be the same.
///
/// # Errors
/// What is wrong, in a sentence that names the part and the key.
pub(super) fn draft(body: &[u8], kind: UploadKind, name: Option<&str>, way: Way) -> Result<Draft, String> {
    let read = match kind {
        UploadKind::AppleProfile => mobileconfig(body)?,
        UploadKind::AppleDeclaration => declaration(body, name)?,
        UploadKind::WindowsProfile => syncml(body, name)?,
    };
    if let Some(name) = name.filter(|name| kind == UploadKind::AppleProfile && *name != read.name) {
        return Err(format!(
            "it is called {name:?}, and its PayloadDisplayName is {:?}: they have to be the same",
            read.name
        ));
    }
    check_name(&read.name).map_err(|error| error.to_string())?;
    let Way { team_id, labels, rollout_percent, rollout_max_failures } = way;
    let letter = match kind {
        UploadKind::AppleProfile => 'a',
        UploadKind::AppleDeclaration => 'd',
        UploadKind::WindowsProfile => 'w',
    };
    Ok(Draft {
        uuid: format!("{letter}{}", Uuid::new_v4()),
        team_id,
        kind: read.kind,
        name: read.name,
        identifier: read.identifier,
        scope: read.scope,
        part: read.part,
        body: body.to_vec(),
        variables: read.variables.iter().map(ToString::to_string).collect(),
        labels,
        managed: false,
        rollout_percent,
        rollout_max_failures,
    })
}

fn mobileconfig(body: &[u8]) -> Result<Read, String> {
    let profile = UploadedProfile::parse(body).map_err(|error| error.to_string())?;
    Ok(Read {
        kind: MOBILECONFIG,
        name: profile.name,
        identifier: profile.identifier,
        scope: if profile.scope == Scope::User { USER } else { SYSTEM },
        part: CONFIGURATION,
        variables: profile.variables,
    })
}

fn declaration(body: &[u8], name: Option<&str>) -> Result<Read, String> {
    let declaration = UploadedDeclaration::parse(body).map_err(|error| error.to_string())?;
    let part = match declaration.kind {
        DeclarationKind::Configuration => CONFIGURATION,
        DeclarationKind::Asset => ASSET,
        DeclarationKind::Activation => ACTIVATION,
        DeclarationKind::Management => MANAGEMENT,
    };
    Ok(Read {
        kind: DECLARATION,
        name: name.unwrap_or(&declaration.identifier).to_owned(),
        identifier: declaration.identifier,
        scope: SYSTEM,
        part,
        variables: declaration.variables,
    })
}

fn syncml(body: &[u8], name: Option<&str>) -> Result<Read, String> {
    windows::profile::Profile::parse(body).map_err(|error| error.to_string())?;
    let text = str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let found = variables::find(text).map_err(|error| error.to_string())?;
    let variables: BTreeSet<Variable> = found.into_iter().map(|found| found.variable).collect();
    let is_foreign = |variable: &&Variable| matches!(variable, Variable::Host(host) if !host.is_for_windows());
    if let Some(foreign) = variables.iter().find(is_foreign) {
        return Err(format!("${foreign} is for Apple's devices"));
    }
    let name = name.ok_or_else(|| "it has no name".to_owned())?.to_owned();
    // Windows has one channel for all of a host, whomever a node belongs to.
    Ok(Read { kind: WINDOWS, name, identifier: String::new(), scope: SYSTEM, part: CONFIGURATION, variables })
}
