//! What was changed, or would be, for people.

use std::fmt::Write;

use serde_json::Value;

/// The server's answer as text.
pub(super) fn text(applied: &Value) -> String {
    let mut text = String::new();
    part(&mut text, "Secrets", &applied["custom_variables"], "");
    part(&mut text, "Labels", &applied["labels"], "");
    for team in applied["teams"].as_array().into_iter().flatten() {
        let name = team["name"].as_str().map_or_else(|| "No team".to_owned(), |name| format!("Team {name}"));
        let said = |key: &str, said: &'static str| (team[key] == true).then_some(said);
        let marks = [said("added", "new"), said("edited", "renamed"), said("secrets", "other enroll secrets")];
        let settings = names(&team["settings"]);
        let marks = marks.into_iter().flatten().chain(settings).collect::<Vec<_>>().join(", ");
        part(&mut text, &name, &team["profiles"], &marks);
    }
    for gone in names(&applied["removed_teams"]) {
        let _ = writeln!(text, "Team {gone}: deleted");
    }
    text.push_str(match applied["dry_run"] == true {
        true => "This was a dry run: nothing was changed.\n",
        false => "Done.\n",
    });
    text
}

fn part(text: &mut String, name: &str, plan: &Value, marks: &str) {
    let changes = [("+", "added"), ("~", "changed"), ("-", "removed")];
    let is_changed = changes.iter().any(|(_, key)| !names(&plan[*key]).is_empty());
    let unchanged = names(&plan["unchanged"]).len();
    if !is_changed && marks.is_empty() && unchanged == 0 {
        return;
    }
    let marks = if marks.is_empty() { String::new() } else { format!(" ({marks})") };
    let _ = writeln!(text, "{name}{marks}: {unchanged} unchanged");
    for (mark, key) in changes {
        for changed in names(&plan[key]) {
            let _ = writeln!(text, "  {mark} {changed}");
        }
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_by_name() {
        let nothing = json!({ "added": [], "changed": [], "removed": [], "unchanged": [] });
        let applied = json!({
            "dry_run": true,
            "custom_variables": { "added": ["WIFI"], "changed": [], "removed": [], "unchanged": [] },
            "labels": nothing,
            "teams": [
                {
                    "name": "Laptops", "added": true, "edited": false, "secrets": true, "settings": ["macos_updates"],
                    "profiles": { "added": ["Wi-Fi"], "changed": ["VPN"], "removed": ["Old"], "unchanged": ["a", "b"] },
                },
                { "name": null, "added": false, "edited": false, "secrets": false, "settings": [], "profiles": nothing },
            ],
            "removed_teams": ["Kiosks"],
        });
        let told = "Secrets: 0 unchanged\n  + WIFI\nTeam Laptops (new, other enroll secrets, macos_updates): 2 unchanged\n  + Wi-Fi\n  ~ VPN\n  - Old\nTeam Kiosks: deleted\nThis was a dry run: nothing was changed.\n";
        assert_eq!(text(&applied), told);
    }
}
