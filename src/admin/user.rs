//! `rookery admin user`: the first admin, or one more when nobody can sign in.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use entities::role::Role;
use entities::user::Roles;
use entities::user::change::{self, Saved, Wish};

use super::{ACTOR, open};
use crate::config::Settings;
use crate::http::admin::passwords::Passwords;

/// Makes a user whose password is the first line of standard input.
///
/// # Errors
/// There is such a user, the password is too short, the database is away.
pub(super) async fn make(settings: &Settings, email: &str, name: &str, role: &str) -> anyhow::Result<ExitCode> {
    let Some(role) = Role::parse(role) else {
        anyhow::bail!("there is no role {role:?}: use admin, maintainer, observer, observer_plus or gitops")
    };
    if !email.contains('@') {
        anyhow::bail!("{email:?} is no email address")
    }
    if std::io::stdin().is_terminal() {
        eprintln!("Password for {email} (it is shown while you type):");
    }
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let hash = Passwords::default().hash(password, email).await.map_err(|error| anyhow::anyhow!(error.reason()))?;
    let (_, writer, now) = open(settings).await?;
    let wish = Wish {
        email: email.to_owned(),
        name: if name.is_empty() { email.to_owned() } else { name.to_owned() },
        roles: Roles { everywhere: Some(role), teams: Vec::new() },
        password_hash: Some(hash),
        api_only: false,
        sso_enabled: false,
        force_password_reset: false,
        disabled: false,
    };
    match change::save(&writer, None, wish, ACTOR.to_owned(), now).await {
        Ok(Saved::Done(user)) => println!("{} may sign in now: POST /api/v1/fleet/login", user.row.email),
        Ok(_) => anyhow::bail!("the user was not made"),
        Err(entities::StoreError::Conflict(_)) => anyhow::bail!("there is a user {email} already"),
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
