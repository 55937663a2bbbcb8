use super::*;
use crate::windows::fixtures::{DISCOVER, GET_POLICIES, GET_POLICIES_RESPONSE, meaning};

#[test]
fn the_policy_is_as_reviewed() {
    let header = Header {
        action: RESPONSE,
        relates_to: "urn:uuid:11111111-0000-4000-8000-000000000002",
        activity: "22222222-0000-4000-8000-000000000002",
        lasts: None,
    };
    assert_eq!(meaning(&response(&header, 31_536_000)), meaning(GET_POLICIES_RESPONSE));
    let short = response(&header, 86_400);
    assert!(short.contains("<renewalPeriodSeconds>43200<"), "it is not renewed before it begins: {short}");
}

#[test]
fn another_message_is_none_that_asks_for_it() {
    assert_eq!(read(&Request::read(GET_POLICIES.as_bytes()).unwrap()), Ok(()));
    assert!(read(&Request::read(DISCOVER.as_bytes()).unwrap()).is_err());
}
