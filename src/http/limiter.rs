//! How often somebody may try something that can be guessed: sign in, ask for mail. Counted by who asks and by whom it is
//! about, in memory of bounded size.
//!
//! Who asks is the peer of the connection; only a proxy that the settings name may say otherwise, and then its right-most
//! `X-Forwarded-For` entry counts that is no such proxy itself. Whatever else a header says changes nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;

/// Tries are counted for so long.
const WINDOW: Duration = Duration::from_secs(300);
/// Tries of one address about one person in a window.
const OF_BOTH: u32 = 10;
/// Tries of one address in a window.
const OF_ADDRESS: u32 = 100;
/// Tries about one person in a window, from wherever.
const ABOUT_PERSON: u32 = 100;
/// Counters at most; when there are more, the oldest windows are forgotten.
const MOST: usize = 20_000;

/// Counts tries.
#[derive(Debug, Default)]
pub struct Limiter {
    trusted: Vec<IpAddr>,
    counters: Mutex<HashMap<Key, (u32, Instant)>>,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Both(IpAddr, String),
    Address(IpAddr),
    Person(String),
}

impl Limiter {
    /// Counts for a listener behind these proxies.
    pub fn new(trusted: Vec<IpAddr>) -> Self {
        Self { trusted, counters: Mutex::default() }
    }

    /// Counts a try, of whoever sends this request, about this person; `None` where it is about nobody in particular, so that one
    /// who tries too often locks out nobody else.
    ///
    /// # Errors
    /// It is one too many: how long to wait.
    pub fn count(&self, request: &HttpRequest, person: Option<&str>, now: Instant) -> Result<(), Duration> {
        let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
        self.try_once(client(peer, forwarded, &self.trusted), person, now)
    }

    fn try_once(&self, address: IpAddr, person: Option<&str>, now: Instant) -> Result<(), Duration> {
        let address = network(address);
        let mut keys = vec![(Key::Address(address), OF_ADDRESS)];
        if let Some(person) = person.map(|person| person.chars().take(256).collect::<String>()) {
            keys.push((Key::Both(address, person.clone()), OF_BOTH));
            keys.push((Key::Person(person), ABOUT_PERSON));
        }
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() + keys.len() > MOST {
            make_room(&mut counters, now);
        }
        let mut longest = None;
        for (key, most) in keys {
            let (tries, since) = counters.entry(key).or_insert((0, now));
            if now.duration_since(*since) >= WINDOW {
                (*tries, *since) = (0, now);
            }
            *tries = tries.saturating_add(1);
            if *tries > most {
                longest = longest.max(Some(WINDOW.saturating_sub(now.duration_since(*since))));
            }
        }
        longest.map_or(Ok(()), Err)
    }
}

/// Forgets windows that are over; if that is not enough, the older half.
fn make_room(counters: &mut HashMap<Key, (u32, Instant)>, now: Instant) {
    counters.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
    if counters.len() > MOST / 2 {
        let mut ages: Vec<Instant> = counters.values().map(|(_, since)| *since).collect();
        ages.sort_unstable();
        let middle = ages[ages.len() / 2];
        counters.retain(|_, (_, since)| *since > middle);
    }
}

/// Who asks.
fn client<'h>(peer: IpAddr, forwarded: impl Iterator<Item = &'h str>, trusted: &[IpAddr]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.contains(&address.to_canonical());
    if !is_trusted(&peer) {
        return peer;
    }
    let hops: Vec<&str> = forwarded.flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        // What is no address was not written by a proxy of ours: nothing left of it can be believed.
        let Ok(hop) = hop.parse::<IpAddr>() else { return peer };
        if !is_trusted(&hop) {
            return hop;
        }
    }
    peer
}

/// The network that one customer has: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn headers_change_nothing_unless_a_trusted_proxy_sends_them() {
        let trusted = [ip("10.0.0.1"), ip("10.0.0.2")];
        let of = |peer, lines: &[&str]| client(ip(peer), lines.iter().copied(), &trusted);
        assert_eq!(of("203.0.113.9", &["198.51.100.1"]), ip("203.0.113.9"), "rotating it gains nothing");
        assert_eq!(of("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), ip("198.51.100.1"), "the client made up the first");
        assert_eq!(of("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.2"]), ip("198.51.100.1"));
        assert_eq!(of("10.0.0.1", &[]), ip("10.0.0.1"));
        assert_eq!(of("10.0.0.1", &["198.51.100.1, nonsense"]), ip("10.0.0.1"));
        assert_eq!(of("::ffff:10.0.0.1", &["198.51.100.1"]), ip("198.51.100.1"));
    }

    #[test]
    fn the_eleventh_try_waits_and_others_do_not() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        for _ in 0..OF_BOTH {
            assert_eq!(limiter.try_once(ip("192.0.2.1"), Some("ada"), now), Ok(()));
        }
        assert_eq!(limiter.try_once(ip("192.0.2.1"), Some("ada"), now), Err(WINDOW));
        assert_eq!(limiter.try_once(ip("192.0.2.2"), Some("ada"), now), Ok(()));
        assert_eq!(limiter.try_once(ip("192.0.2.1"), Some("grace"), now), Ok(()));
        assert_eq!(limiter.try_once(ip("192.0.2.1"), Some("ada"), now + WINDOW), Ok(()));
    }

    #[test]
    fn one_address_cannot_go_through_all_people_and_many_cannot_go_at_one() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        let refused =
            (0..2 * OF_ADDRESS).filter(|n| limiter.try_once(ip("2001:db8::1"), Some(&n.to_string()), now).is_err());
        assert_eq!(refused.count(), OF_ADDRESS as usize);
        assert!(limiter.try_once(ip("2001:db8::2"), Some("other"), now).is_err(), "the same network");
        let from = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let refused = (0..2 * ABOUT_PERSON).filter(|n| limiter.try_once(from(*n), Some("ada"), now).is_err());
        assert_eq!(refused.count(), ABOUT_PERSON as usize);
    }

    #[test]
    fn what_is_about_nobody_locks_out_nobody_else() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        let refused = (0..2 * OF_ADDRESS).filter(|_| limiter.try_once(ip("192.0.2.1"), None, now).is_err());
        assert_eq!(refused.count(), OF_ADDRESS as usize);
        assert_eq!(limiter.try_once(ip("192.0.2.2"), None, now), Ok(()));
    }

    #[test]
    fn memory_has_an_end() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        for n in 0..MOST as u32 {
            let _ = limiter.try_once(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), Some(&n.to_string()), now);
        }
        assert!(limiter.counters.lock().unwrap().len() <= MOST);
    }
}
