//! Every way that is known to reach an inner address from a URL, and a name that changes its mind (V-36).

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::Mutex;

use super::*;

/// URLs that must be refused as they stand, before anything is asked.
const REFUSED: &[&str] = &[
    // Loopback, in every way of writing it.
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/x?y",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0x0.0.01/",
    "https://127.0.0.1./",
    "https://127.255.255.254/",
    "https://%31%32%37.0.0.1/",
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::0001]:443/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001:0:7f00:1::]/",
    // This network, and nobody.
    "https://0.0.0.0/",
    "https://0/",
    "https://0.1.2.3/",
    "https://[::]/",
    // Link-local, with the metadata services of the large clouds.
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://169.254.0.1/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fe80::1]/",
    "https://[febf::1]/",
    "https://[fd00:ec2::254]/",
    // Private and shared networks.
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://3232235777/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://192.0.0.8/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://[fc00::1]/",
    "https://[fdff::1]/",
    "https://[fec0::1]/",
    // Documentation, multicast, broadcast, reserved.
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://239.255.255.255/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[4000::1]/",
    // Other schemes, user info, and what is no URL at all.
    "http://93.184.216.34/",
    "ftp://93.184.216.34/",
    "file:///etc/passwd",
    "gopher://93.184.216.34/",
    "unix:/run/socket",
    "https://user@93.184.216.34/",
    "https://user:password@93.184.216.34/",
    "https://93.184.216.34@127.0.0.1/",
    "https://93.184.216.34\\@127.0.0.1/ x",
    "https:///",
    "https://",
    "//93.184.216.34/",
    "93.184.216.34",
    "",
    "https://93.184.216.34/ ",
    "https://93.184.216.34/\n",
    "https://256.1.1.1/",
    "https://[::1",
];

/// URLs that pass as they stand.
const PASSES: &[&str] = &[
    "https://93.184.216.34/",
    "https://8.8.8.8:8443/x?token=y",
    "https://1572395042/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://172.15.255.255/",
    "https://172.32.0.1/",
    "https://100.63.255.255/",
    "https://100.128.0.1/",
    "https://198.20.0.1/",
    "https://223.255.255.255/",
    "https://receiver.example.com/x",
];

/// A resolver that says one thing after the other.
struct Fickle(Mutex<VecDeque<Vec<IpAddr>>>);

impl Lookup for Fickle {
    fn lookup(&self, _: String) -> Looking {
        let next = self.0.lock().unwrap().pop_front().ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(next))
    }
}

fn egress(allow: &[&str], answers: &[&[&str]]) -> Egress {
    let config =
        EgressConfig { allow: allow.iter().map(|text| text.parse().unwrap()).collect(), root_certificate: None };
    let answers = answers.iter().map(|some| some.iter().map(|address| address.parse().unwrap()).collect()).collect();
    Egress::new(&config, Arc::new(Fickle(Mutex::new(answers)))).unwrap()
}

async fn post(egress: &Egress, url: &str) -> Result<Reply, EgressError> {
    egress.post(url, HeaderMap::new(), Bytes::from_static(b"{}"), Timestamp::default()).await
}

#[test]
fn inner_addresses_are_refused_however_they_are_written() {
    let egress = egress(&[], &[]);
    assert!(REFUSED.len() >= 60);
    for url in REFUSED {
        let refused = egress.check(url);
        assert!(matches!(refused, Err(EgressError::Refused(_))), "{url}: {refused:?}");
    }
    for url in PASSES {
        assert!(egress.check(url).is_ok(), "{url}: {:?}", egress.check(url));
    }
    assert!(egress.check(&format!("https://93.184.216.34/{}", "x".repeat(MAX_URL_BYTES))).is_err());
}

#[test]
fn what_the_settings_allow_passes_and_nothing_beside_it() {
    let egress = egress(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"], &[]);
    for url in
        ["https://127.0.0.1/", "http://127.1/", "http://10.9.8.7/", "https://[fd12::1]/", "https://[::ffff:a00:1]/"]
    {
        assert!(egress.check(url).is_ok(), "{url}: {:?}", egress.check(url));
    }
    for url in ["https://127.0.0.2/", "http://11.0.0.1/", "https://[fc00::1]/", "http://8.8.8.8/", "https://[::a00:1]/"]
    {
        assert!(egress.check(url).is_err(), "{url}");
    }
    for wrong in ["10.0.0.0/33", "10.0.0/8", "localhost", "::/129", "10.0.0.0/-1", ""] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.holds("255.255.255.255".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
    assert_eq!(all.to_string(), "0.0.0.0/0");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gets_nowhere() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let url = format!("https://fickle.example:{}/", inside.local_addr().unwrap().port());
    let egress =
        egress(&[], &[&["93.184.216.34"], &["127.0.0.1"], &["93.184.216.34", "127.0.0.1"], &["::ffff:127.0.0.1"]]);
    assert!(egress.check_name(&url).await.is_ok(), "it looks public when it is entered");
    for _ in 0..3 {
        let refused = post(&egress, &url).await;
        assert!(matches!(&refused, Err(EgressError::Refused(why)) if why.contains("egress.allow")), "{refused:?}");
    }
    assert_eq!(post(&egress, &url).await, Err(EgressError::Unreachable), "a name that nobody knows");
    assert_eq!(inside.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody connected");
}

#[tokio::test]
async fn a_name_for_an_inner_address_is_refused_when_it_is_entered() {
    let egress = egress(&["10.0.0.0/8"], &[&["192.168.1.1"], &["93.184.216.34"], &["10.0.0.1"], &[]]);
    assert!(egress.check_name("https://inside.example/").await.is_err());
    assert!(egress.check_name("http://outside.example/").await.is_err(), "without TLS only where it is allowed");
    assert!(egress.check_name("http://allowed.example/").await.is_ok());
    assert!(egress.check_name("https://nobody.example/").await.is_err(), "no address at all");
    assert!(egress.check_name("https://unknown.example/").await.is_ok(), "perhaps it is known later");
}
