//! `rookery gitops`: a set of YAML files, in Fleet's shape, becomes one request; the server does all of it or nothing, and says
//! what it changed, or would change. A client: it knows the server's API, and neither its database nor its actors.
//!
//! Start with [`run`]; [`files`] reads the files.

mod environment;
mod file_keys;
mod files;
mod plan;
mod profile_files;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use files::Collected;

/// How long the request may take: many profiles are checked and stored at once.
const DEADLINE: Duration = Duration::from_secs(120);
/// What is asked.
const ROUTE: &str = "/api/v1/fleet/spec/gitops";

/// What the command is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// A file of a team, or default.yml; name as many as there are.
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only says what would change.
    #[arg(long)]
    dry_run: bool,
    /// Deletes the teams that no file names.
    #[arg(long)]
    delete_other_teams: bool,
    /// Goes on where files ask for what Rookery does not do, for example policies.
    #[arg(long)]
    ignore_unsupported: bool,
    /// Prints what changed as JSON.
    #[arg(long)]
    json: bool,
    /// The address of the admin API.
    #[arg(long, env = "ROOKERY_GITOPS_URL", default_value = "https://127.0.0.1:8444")]
    url: String,
    /// The certificate (PEM) that signed the server's, where no public authority did.
    #[arg(long, env = "ROOKERY_GITOPS_CA_FILE", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with the API token.
    #[arg(long, env = "ROOKERY_GITOPS_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,
}

/// Reads the files, and lets the server do what they say.
///
/// # Errors
/// A file cannot be read or understood, or the server does not answer, or refuses.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let collected = files::collect(&options.files, &|name| std::env::var(name).ok())?;
    for (place, what) in &collected.unsupported {
        eprintln!("{place}: Rookery does not do this yet: {what}");
    }
    if !collected.unsupported.is_empty() && !options.ignore_unsupported {
        bail!("nothing was changed; take these keys out, or use --ignore-unsupported to do the rest");
    }
    let Collected { mut request, .. } = collected;
    request["dry_run"] = json!(options.dry_run);
    request["delete_other_teams"] = json!(options.delete_other_teams);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let applied = runtime.block_on(ask(options, &request))?;
    match options.json {
        true => println!("{applied:#}"),
        false => print!("{}", plan::text(&applied)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(options: &Options, request: &Value) -> anyhow::Result<Value> {
    let read = |file: &PathBuf| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let token = String::from_utf8(read(&options.token_file)?).context("the token's file is no text")?;
    let mut client = Client::builder().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none());
    if let Some(ca) = &options.ca {
        let certificate = Certificate::from_pem(&read(ca)?);
        client = client.tls_certs_merge([certificate.with_context(|| format!("{} is no certificate", ca.display()))?]);
    }
    let url = format!("{}{ROUTE}", options.url.trim_end_matches('/'));
    let sending = client.build()?.post(&url).bearer_auth(token.trim()).body(request.to_string()).send();
    let answer = sending.await.with_context(|| {
        format!("{url} does not answer; --url names the server, and --ca its certificate where no public authority signed it")
    })?;
    let status = answer.status();
    let text = answer.text().await?;
    let said: Option<Value> = serde_json::from_str(&text).ok();
    ensure!(status.is_success(), "nothing was changed: {}", refusal(status, said.as_ref()));
    said.with_context(|| format!("{url} answers what is no JSON: is it the address of the admin API?"))
}

/// What the server said against it, a line for each reason.
fn refusal(status: reqwest::StatusCode, said: Option<&Value>) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let reasons = said.and_then(|said| said["errors"].as_array()).into_iter().flatten();
    let lines = reasons.map(|reason| match text(reason, "name").as_str() {
        "" | "base" => text(reason, "reason"),
        name => format!("{name}: {}", text(reason, "reason")),
    });
    let lines: Vec<String> = lines.collect();
    match lines.is_empty() {
        true => format!("the server answers {status}"),
        false => lines.join("\n"),
    }
}
