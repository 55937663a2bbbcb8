//! What the demo prints: a first screen that tells a newcomer what to try, progress, and the end.

use std::io::{IsTerminal, Write};

use super::Options;
use super::admin::Admin;
use super::audit::Summary;
use super::fleets::PerPlatform;
use super::stage::Stage;
use crate::sim::report::Progress;

/// The first screen.
pub(super) fn begin(options: &Options, stage: &Stage) {
    if options.json {
        return;
    }
    let addresses = &stage.running.addresses;
    let ca = addresses.ca_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    println!("Rookery demo: {} simulated devices of Apple and Windows enroll now.\n", options.hosts);
    println!("  devices    {}", addresses.device_url);
    println!("  admins     {}   API token {}", addresses.admin_url, stage.token);
    println!("  operators  {}   /tree /metrics /readyz", addresses.ops_url);
    println!("  data       {}\n", stage.data_dir.display());
    println!("Try in another terminal:\n");
    println!(
        "  curl --cacert {ca} -H 'Authorization: Bearer {}' {}/api/v1/fleet/hosts",
        stage.token, addresses.admin_url
    );
    println!("  curl {}/tree", addresses.ops_url);
    println!("  curl --cacert {ca} '{}'   # an enrollment profile\n", stage.enroll_url());
}

/// Devices enroll.
pub(super) fn enrolling(options: &Options, progress: &PerPlatform<Progress>) {
    line(options, &format!("enrolled {} of {}", progress.enrolled(), options.hosts));
}

/// All devices are enrolled.
pub(super) fn enrolled(options: &Options, stage: &Stage, admin: &Admin) {
    if options.json {
        return;
    }
    let addresses = &stage.running.addresses;
    let ca = addresses.ca_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    println!("\nCommands flow. Send one yourself:\n");
    let command = openssl::base64::encode_block(
        b"<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>SecurityInfo</string></dict></dict></plist>",
    );
    println!(
        "  curl --cacert {ca} -H 'Authorization: Bearer {}' {}/api/v1/fleet/commands/run \\\n    -d '{{\"host_uuids\":[\"{}\"],\"command\":\"{command}\"}}'",
        stage.token,
        addresses.admin_url,
        admin.example().unwrap_or_default()
    );
    println!(
        "  curl --cacert {ca} -H 'Authorization: Bearer {}' '{}/api/v1/fleet/commands/results?command_uuid=…'\n",
        stage.token, addresses.admin_url
    );
    match options.time {
        Some(time) => println!("It runs for {time} and then checks that nothing was lost.\n"),
        None => println!("Ctrl-C ends it and checks that nothing was lost.\n"),
    }
}

/// Commands flow.
pub(super) fn going(options: &Options, progress: &PerPlatform<Progress>) {
    let (apple, windows) = (&progress.apple, &progress.windows);
    let text = format!(
        "acknowledged {}, errors {}, NotNow {}, pushes {}, sessions of PCs {}, lost replies {}, report p50 {:.1} ms p99 {:.1} ms",
        apple.acknowledged + windows.acknowledged,
        apple.errors + windows.errors,
        apple.not_now,
        apple.pushes,
        windows.polls,
        apple.lost_replies + windows.lost_replies,
        apple.report.p50_ms,
        apple.report.p99_ms
    );
    line(options, &text);
}

/// No more commands are queued.
pub(super) fn draining(options: &Options) {
    if !options.json {
        println!("\nNo more commands; those under way end now.");
    }
}

/// The end.
pub(super) fn end(options: &Options, summary: &Summary) {
    if options.json {
        println!("{}", serde_json::to_string_pretty(summary).unwrap_or_default());
        return;
    }
    let commands = &summary.commands;
    println!("\n{} of {} devices enrolled in {:.0} s.", summary.enrolled, summary.hosts, summary.seconds);
    println!(
        "{} commands: {} acknowledged, {} errors, {} expired, {} unfinished. {} NotNow, {} pushes.",
        commands.queued,
        commands.acknowledged,
        commands.error,
        commands.expired,
        commands.unfinished,
        summary.not_now_answers,
        summary.pushes
    );
    println!(
        "{} replies lost or reports repeated on purpose; {} commands lost, {} done twice.",
        summary.mischief, summary.lost, summary.executed_twice
    );
    let profiles = &summary.profiles;
    println!(
        "Profiles: {} hosts verified, {} verifying, {} failed, {} pending.",
        profiles.verified, profiles.verifying, profiles.failed, profiles.pending
    );
    let bought = &summary.bought;
    println!(
        "Bought devices: {} expected, {} enrolled by themselves, {} configured, {} released.",
        bought.expected, bought.enrolled, bought.configured, bought.released
    );
    for finding in &summary.findings {
        println!("a device found: {finding}");
    }
    println!("{}", if summary.is_sound() { "Every promise was kept." } else { "A promise was broken." });
}

/// One line that stands in place of the one before it, on a terminal; elsewhere nothing.
fn line(options: &Options, text: &str) {
    let mut out = std::io::stdout();
    if !options.json && out.is_terminal() {
        let _ = write!(out, "\r\x1b[2K{text}");
        let _ = out.flush();
    }
}
