//! Pages of a list, as Fleet's API names them: `page` from 0, `per_page`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// Rows of one page at most.
const MOST: u64 = 10_000;

/// Which page of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub struct Paging {
    #[serde(default, deserialize_with = "number")]
    page: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    per_page: Option<u64>,
}

/// Whether there are pages before and after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Meta {
    has_previous_results: bool,
    has_next_results: bool,
}

impl Paging {
    /// Rows to skip and rows to return.
    ///
    /// # Errors
    /// A page of none or of too many rows.
    pub fn window(self, usual: u64) -> Result<(u64, u64), ApiError> {
        let limit = self.per_page.unwrap_or(usual);
        if limit == 0 || limit > MOST {
            return Err(ApiError::invalid("per_page", format!("must be from 1 to {MOST}")));
        }
        let offset = self.page.unwrap_or(0).checked_mul(limit).filter(|offset| i64::try_from(*offset).is_ok());
        Ok((offset.ok_or_else(|| ApiError::invalid("page", "is too large"))?, limit))
    }

    /// What Fleet tells beside a page.
    pub fn meta(self, offset: u64, limit: u64, rows: usize, count: i64) -> Meta {
        let shown = offset.saturating_add(rows as u64);
        Meta {
            has_previous_results: offset > 0,
            has_next_results: rows as u64 == limit && i64::try_from(shown).is_ok_and(|shown| shown < count),
        }
    }
}

/// Reads a number that arrives as text: query parameters of a flattened struct do.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_windows() {
        let page = |page, per_page| Paging { page, per_page }.window(100);
        assert_eq!(page(None, None), Ok((0, 100)));
        assert_eq!(page(Some(3), Some(20)), Ok((60, 20)));
        assert!(page(Some(u64::MAX), Some(20)).is_err());
        assert!(page(None, Some(0)).is_err());
        assert!(page(None, Some(10_001)).is_err());
    }

    #[test]
    fn a_full_page_with_more_behind_it_has_a_next_one() {
        let meta = Paging::default().meta(20, 10, 10, 31);
        assert_eq!(meta, Meta { has_previous_results: true, has_next_results: true });
        assert!(!Paging::default().meta(20, 10, 10, 30).has_next_results);
    }
}
