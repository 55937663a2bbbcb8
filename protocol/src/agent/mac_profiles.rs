//! Which profiles a Mac has, as its agent sees it: rows of `macos_profiles` and `macos_user_profiles`.

use std::collections::BTreeMap;

use super::answers::{Answers, column};
use super::details::{MAC_PROFILES, MAC_USER_PROFILES};
use crate::time::Timestamp;

/// The profiles that a Mac has: when each was installed, by its identifier. `None` when nothing follows: a Mac that is managed has one
/// profile at least, so that no row at all says that the agent cannot see any.
pub fn installed(answers: &Answers) -> Option<BTreeMap<String, Option<Timestamp>>> {
    let mut installed = BTreeMap::new();
    for name in [MAC_PROFILES, MAC_USER_PROFILES] {
        for row in answers.of(name).unwrap_or_default() {
            let identifier = column(row, "identifier");
            let at = date(&column(row, "install_date"));
            if !identifier.is_empty() {
                let latest = installed.entry(identifier).or_insert(at);
                *latest = at.max(*latest);
            }
        }
    }
    answers.of(MAC_PROFILES).filter(|rows| !rows.is_empty()).map(|_| installed)
}

/// `2024-11-25 10:15:00 +0100`, which RFC 3339 writes as `2024-11-25T10:15:00+01:00`.
fn date(text: &str) -> Option<Timestamp> {
    let mut parts = text.split_whitespace();
    let (day, moment, zone) = (parts.next()?, parts.next()?, parts.next()?);
    let (hours, minutes) = zone.split_at_checked(3)?;
    Timestamp::parse_rfc3339(&format!("{day}T{moment}{hours}:{minutes}"))
}

#[cfg(test)]
mod tests {
    use super::super::answers::answers;
    use super::super::details::PREFIX;
    use super::*;

    fn of(queries: &str) -> Option<BTreeMap<String, Option<Timestamp>>> {
        installed(&answers(format!(r#"{{"node_key":"k","queries":{queries}}}"#).as_bytes(), PREFIX).unwrap())
    }

    #[test]
    fn profiles_have_identifiers_and_dates() {
        let found = of(r#"{"fleet_detail_query_mdm_config_profiles_darwin":[
            {"display_name":"A","identifier":"a","install_date":"2024-11-25 10:15:00 +0100"},
            {"display_name":"B","identifier":"b","install_date":"yesterday"},{"display_name":"nobody"}],
            "fleet_detail_query_mdm_config_profiles_darwin_with_user":[
            {"username":"ana","identifier":"a","install_date":"2024-11-25 10:15:01 +0100"}]}"#);
        let a = Timestamp::parse_rfc3339("2024-11-25T09:15:01Z");
        assert_eq!(found.unwrap().into_iter().collect::<Vec<_>>(), [("a".to_owned(), a), ("b".to_owned(), None)]);
    }

    #[test]
    fn no_rows_say_nothing() {
        assert_eq!(of(r#"{"fleet_detail_query_mdm_config_profiles_darwin":""}"#), None);
        assert_eq!(of("{}"), None);
    }
}
