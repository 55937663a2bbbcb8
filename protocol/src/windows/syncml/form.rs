//! Our JSON form of a Windows command, for people and scripts that would rather not write SyncML.
//!
//! One operation is `{"verb": "Replace", "target": "./Device/…", "format": "int", "data": "1"}`; several are
//! `{"operations": […]}`, and an `Atomic` is `{"verb": "Atomic", "operations": […]}`. An MSI package is
//! `{"install_msi": {"product_code", "version", "url", "sha256", "command_line", "timeout_minutes", …}}`
//! (EnterpriseDesktopAppManagement CSP). `command_uuid` names the command.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::command::{Command, CommandError, Operation, Verb};
use super::message::Item;
use crate::ids::CommandUuid;
use crate::windows::xml::Writer;

/// One operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationForm {
    verb: String,
    #[serde(default)]
    target: String,
    format: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<Json>,
    #[serde(default)]
    operations: Vec<OperationForm>,
}

/// A package that the device downloads and installs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MsiForm {
    product_code: String,
    version: String,
    url: String,
    sha256: String,
    #[serde(default = "quietly")]
    command_line: String,
    #[serde(default = "ten")]
    timeout_minutes: u32,
    #[serde(default = "one")]
    retries: u32,
    #[serde(default = "five")]
    retry_minutes: u32,
}

impl Command {
    /// Whether an object is this form, rather than Apple's.
    pub fn is_form(form: &Map<String, Json>) -> bool {
        ["verb", "operations", "install_msi"].iter().any(|key| form.contains_key(*key))
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn from_json(mut form: Map<String, Json>, fallback: CommandUuid) -> Result<Self, CommandError> {
        let uuid = match form.remove("command_uuid") {
            Some(name) => name.as_str().and_then(CommandUuid::parse).ok_or(CommandError::Name)?,
            None => fallback,
        };
        if let Some(package) = form.remove("install_msi") {
            only(&form)?;
            return install_msi(uuid, read(package)?);
        }
        let operations = match form.remove("operations").filter(|_| !form.contains_key("verb")) {
            Some(several) => {
                only(&form)?;
                read::<Vec<OperationForm>>(several)?
            }
            None => vec![read(Json::Object(form))?],
        };
        Self::new(uuid, operations.into_iter().map(operation).collect::<Result<_, _>>()?)
    }
}

fn read<T: serde::de::DeserializeOwned>(json: Json) -> Result<T, CommandError> {
    serde_json::from_value(json).map_err(|error| CommandError::Form(error.to_string()))
}

fn only(rest: &Map<String, Json>) -> Result<(), CommandError> {
    match rest.keys().next() {
        None => Ok(()),
        Some(stray) => Err(CommandError::Form(format!("{stray} means nothing here"))),
    }
}

fn operation(form: OperationForm) -> Result<Operation, CommandError> {
    let unknown = || CommandError::NotAnOperation(form.verb.chars().take(32).collect());
    let verb = Verb::parse(&form.verb).ok_or_else(unknown)?;
    if verb == Verb::Atomic {
        let children = form.operations.into_iter().map(operation).collect::<Result<_, _>>()?;
        return Ok(Operation::atomic(children));
    }
    let data = match form.data {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text),
        Some(other @ (Json::Bool(_) | Json::Number(_))) => Some(other.to_string()),
        Some(_) => return Err(CommandError::Form("data must be a text, a number, true or false".into())),
    };
    let guessed = || data.is_some().then(|| "chr".to_owned());
    let format = form.format.or_else(guessed);
    let kind = form.kind.or_else(|| format.is_some().then(|| "text/plain".to_owned()));
    let item = Item { target: Some(form.target), format, kind, data, ..Item::default() };
    Ok(Operation::on(verb, vec![item]))
}

fn install_msi(uuid: CommandUuid, package: MsiForm) -> Result<Command, CommandError> {
    let code = package.product_code.trim_matches(['{', '}']).to_ascii_uppercase();
    if uuid::Uuid::try_parse(&code).is_err() {
        return Err(CommandError::Form("product_code must be the GUID of the package".into()));
    }
    if package.sha256.len() != 64 || !package.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(CommandError::Form("sha256 must be the 64 hexadecimal digits of the package's SHA-256".into()));
    }
    if !package.url.starts_with("https://") {
        return Err(CommandError::Form("url must begin with https://".into()));
    }
    let target = format!("./Device/Vendor/MSFT/EnterpriseDesktopAppManagement/MSI/%7B{code}%7D/DownloadInstall");
    let node = Item { target: Some(target.clone()), ..Item::default() };
    let job = Item::of(target, "xml", &msi_job(&code, &package));
    Command::new(uuid, vec![Operation::on(Verb::Add, vec![node]), Operation::on(Verb::Exec, vec![job])])
}

fn msi_job(code: &str, package: &MsiForm) -> String {
    let mut job = Writer::new();
    job.element("MsiInstallJob", &[("id", &format!("{{{code}}}"))], |job| {
        job.element("Product", &[("Version", &package.version)], |product| {
            product.element("Download", &[], |download| {
                download.element("ContentURLList", &[], |list| list.leaf("ContentURL", &[], &package.url));
            });
            product.element("Validation", &[], |validation| {
                validation.leaf("FileHash", &[], &package.sha256.to_ascii_uppercase());
            });
            product.element("Enforcement", &[], |enforcement| {
                enforcement.leaf("CommandLine", &[], &package.command_line);
                enforcement.leaf("TimeOut", &[], &package.timeout_minutes.to_string());
                enforcement.leaf("RetryCount", &[], &package.retries.to_string());
                enforcement.leaf("RetryInterval", &[], &package.retry_minutes.to_string());
            });
        });
    });
    job.finish()
}

fn quietly() -> String {
    "/quiet".into()
}

const fn ten() -> u32 {
    10
}

const fn one() -> u32 {
    1
}

const fn five() -> u32 {
    5
}
