//! Which profiles a Mac has, as its agent sees it: rows of `macos_profiles` and `macos_user_profiles`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answers::{Answers, column};
use super::details::{MAC_PROFILES, MAC_USER_PROFILES};
use crate::profiles::GRACE_SECONDS;
use crate::time::Timestamp;

/// How far the clocks of a host and of this server may be apart.
const SKEW: Duration = Duration::from_secs(300);

/// A profile that a Mac said it has installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Its identifier.
    pub identifier: &'a str,
    /// When this version of it was made: an older installation is one of another version.
    pub made_at: Timestamp,
    /// When the Mac last said that it has it.
    pub acknowledged_at: Option<Timestamp>,
    /// Whether that was about this version, and is all that is known.
    pub is_believed: bool,
}

/// What a list of profiles says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is there.
    There,
    /// It is not there.
    Missing,
    /// Another version of it is there.
    Older,
}

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

impl Expected<'_> {
    /// What a list says of it; `None` when nothing follows yet: agents ask their hosts rarely, so that what is not there soon after its
    /// delivery may come.
    pub fn judge(&self, installed: &BTreeMap<String, Option<Timestamp>>, now: Timestamp) -> Option<Judgement> {
        let earliest = match self.acknowledged_at.filter(|_| self.is_believed) {
            Some(at) => at.min(self.made_at),
            None => self.made_at,
        };
        let judgement = match installed.get(self.identifier) {
            Some(None) => return None,
            Some(Some(at)) if *at >= earliest.minus(SKEW) => return Some(Judgement::There),
            Some(Some(_)) => Judgement::Older,
            None => Judgement::Missing,
        };
        let delivered = self.acknowledged_at.filter(|_| self.is_believed)?;
        (now.since(delivered) >= Duration::from_secs(GRACE_SECONDS)).then_some(judgement)
    }
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
    fn what_is_missing_counts_an_hour_after_its_delivery() {
        let at = Timestamp::from_seconds;
        let (made_at, delivered) = (at(100_000), at(101_000));
        let expected = Expected { identifier: "a", made_at, acknowledged_at: Some(delivered), is_believed: true };
        let list =
            |installed: Option<i64>| BTreeMap::from([("a".to_owned(), installed.map(at)), ("b".to_owned(), None)]);
        let judge = |expected: Expected<'_>, installed, now| expected.judge(&list(Some(installed)), at(now));
        assert_eq!(judge(expected, 100_500, 101_001), Some(Judgement::There));
        assert_eq!(judge(expected, 99_800, 101_001), Some(Judgement::There), "clocks differ");
        assert_eq!(judge(expected, 90_000, 104_599), None, "the hour is not over");
        assert_eq!(judge(expected, 90_000, 104_600), Some(Judgement::Older));
        let other = Expected { identifier: "c", ..expected };
        assert_eq!((judge(other, 100_500, 104_599), judge(other, 100_500, 104_600)), (None, Some(Judgement::Missing)));
        assert_eq!(expected.judge(&list(None), at(200_000)), None, "a date that cannot be read");
        let moved = Expected { acknowledged_at: Some(at(50_000)), ..expected };
        assert_eq!(judge(moved, 50_001, 200_000), Some(Judgement::There), "another team has the same profile");
        let failed = Expected { is_believed: false, ..expected };
        assert_eq!(judge(failed, 90_000, 200_000), None);
        assert_eq!(judge(failed, 100_500, 200_000), Some(Judgement::There), "it came after all");
    }

    #[test]
    fn no_rows_say_nothing() {
        assert_eq!(of(r#"{"fleet_detail_query_mdm_config_profiles_darwin":""}"#), None);
        assert_eq!(of("{}"), None);
    }
}
