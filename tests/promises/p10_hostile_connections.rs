//! P-10: slow and hostile clients cannot starve devices.
//!
//! Strangers hold connections on which they say nothing, half a TLS greeting, a request's head byte by byte or a body that does
//! not come; they send bodies without end, compressed bombs, and requests of admins with wrong tokens, as fast as they can.
//! Meanwhile devices work and clients queue commands: none of their requests is refused and every command is done. The server ends
//! each of these connections by itself, and afterwards holds no more files than before.
//!
//! Start with [`Attack`]: everything that is done to the server.
//!
//! Seen to fail without `unread_bodies` (src/http/guard.rs): "the server did not end connections by itself: [EndlessBody, …]".

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::Persona;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_openssl::SslStream;

use crate::harness::admin::{Admin, Trouble};
use crate::harness::office::Office;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove};

/// API clients.
const CLERKS: u64 = 4;
/// About how often each of them queues something.
const PACE: Duration = Duration::from_millis(250);
/// Clients that try tokens.
const GUESSERS: u64 = 4;
/// Files that a server may have opened meanwhile for reasons of its own.
const SLACK: u64 = 20;
/// The pause between two bytes of somebody slow.
const SLOWLY: Duration = Duration::from_millis(500);

/// What strangers do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Nothing at all.
    Silence,
    /// They begin a TLS handshake and do not go on.
    HalfGreeting,
    /// They say nothing after the handshake.
    SilenceInside,
    /// A head that comes byte by byte.
    SlowHead,
    /// A head that promises a body, and then nothing.
    NoBody,
    /// A body that comes byte by byte.
    SlowBody,
    /// A body that is larger than any that is read.
    LargeBody,
    /// A body without a length and without an end.
    EndlessBody,
    /// A small body that would be a large one if somebody unpacked it.
    Bomb,
}

#[test]
fn p10_hostile_connections_starve_nobody() {
    prove("P-10", "slow and hostile clients cannot starve devices", async |proof| {
        let mut site = Site::open(proof, &[]).await;
        let hosts = proof.size.pick(20, 200);
        let fleet = site.fleet(proof, hosts, &[Persona::Mac, Persona::IPhone], Behaviour::calm()).await;
        let before = site.server.usage();
        let office = Office::open(&site, fleet.members(), CLERKS, PACE, proof);
        let device: SocketAddr = site.server.url("device").parse().unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut guessing = JoinSet::new();
        for _ in 0..GUESSERS {
            guessing.spawn(guess(Admin::new(&site.server, "a wrong token".to_owned()), stopped.clone()));
        }
        let began = Instant::now();
        let held = attack(device, proof).await;
        proof.demand(held.is_empty(), format!("the server did not end connections by itself: {held:?}"));
        proof.figure("attacked for", format!("{:.0} s", began.elapsed().as_secs_f64()));
        site.server.look();
        office.have_accepted(office.accepted() + CLERKS).await;
        stop.send_replace(true);
        let guesses: u64 = guessing.join_all().await.into_iter().sum();
        proof.figure("wrong tokens", guesses);
        proof.demand(guesses > 0, "nobody tried a token");
        let asked = office.close().await;
        proof.demand(site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
        let after = eventually("files are closed again", PATIENCE, async || {
            Some(site.server.usage()).filter(|now| now.files <= before.files + SLACK)
        })
        .await;
        proof.figure("files before and after", format!("{} {}", before.files, after.files));
        let progress = fleet.progress();
        proof.demand(progress.refused == 0, format!("devices were refused {} times", progress.refused));
        proof.figure("hosts", hosts);
        proof.figure("reports", format!("{:.0} ms (p99)", progress.report.p99_ms));
        proof.figure("messages sent again", progress.retries);
        proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
    });
}

/// Everything at once; returns what the server let go on until patience ended.
async fn attack(device: SocketAddr, proof: &mut Proof) -> Vec<Attack> {
    use Attack::{Bomb, EndlessBody, HalfGreeting, LargeBody, NoBody, Silence, SilenceInside, SlowBody, SlowHead};
    let many = |short: usize, full: usize| proof.size.pick(short, full);
    let attacks = [
        (Silence, many(60, 400)),
        (HalfGreeting, many(60, 400)),
        (SilenceInside, many(30, 300)),
        (SlowHead, many(30, 300)),
        (NoBody, many(30, 300)),
        // A body may take half a minute.
        (SlowBody, many(0, 200)),
        (LargeBody, many(8, 50)),
        (EndlessBody, many(8, 50)),
        (Bomb, many(16, 100)),
    ];
    let mut strangers = JoinSet::new();
    for (attack, count) in attacks {
        for _ in 0..count {
            strangers.spawn(async move { timeout(PATIENCE, attack.run(device)).await.is_err().then_some(attack) });
        }
    }
    proof.figure("hostile connections", strangers.len());
    strangers.join_all().await.into_iter().flatten().collect()
}

/// Tries tokens until it is told to stop; returns how often. Every one must be refused as such.
async fn guess(admin: Admin, stop: watch::Receiver<bool>) -> u64 {
    let mut guesses = 0;
    while !*stop.borrow() {
        match admin.get("/api/v1/fleet/commands").await {
            Err(Trouble::Refused(status, _)) if matches!(status.as_u16(), 401 | 429) => guesses += 1,
            // On a machine that is busy, a handshake may take longer than it may.
            Err(Trouble::Unanswered(_)) => {}
            other => unreachable!("a wrong token was answered {other:?}"),
        }
    }
    guesses
}

impl Attack {
    /// Does it until the server ends the connection.
    async fn run(self, device: SocketAddr) {
        // Somebody for whom there is no connection has not harmed anybody.
        let Ok(mut plain) = TcpStream::connect(device).await else { return };
        match self {
            Self::Silence => return until_ended(plain, b"").await,
            Self::HalfGreeting => {
                let _ = plain.write_all(&[22, 3, 1, 2, 0, 1, 0]).await;
                return until_ended(plain, b"").await;
            }
            _ => {}
        }
        let Some(mut stream) = greet(plain).await else { return };
        let head = |rest: &str| format!("PUT /mdm HTTP/1.1\r\nHost: localhost\r\n{rest}\r\n\r\n");
        let (first, more): (String, &[u8]) = match self {
            Self::Silence | Self::HalfGreeting | Self::SilenceInside => (String::new(), b""),
            Self::SlowHead => ("PUT /mdm HTTP/1.1\r\nX-Slow: ".to_owned(), b"x"),
            Self::NoBody => (head("Content-Length: 5000"), b""),
            Self::SlowBody => (head("Content-Length: 5000"), b"x"),
            Self::LargeBody => return flood(stream, head("Content-Length: 100000000"), &[b'x'; 64 * 1024]).await,
            Self::EndlessBody => {
                let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                return flood(stream, head("Transfer-Encoding: chunked"), piece.as_bytes()).await;
            }
            Self::Bomb => {
                // A gzip header and nothing that unpacks it: whoever tries is told by what follows.
                let packed = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3];
                let length = packed.len();
                let mut request =
                    head(&format!("Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: {length}"))
                        .into_bytes();
                request.extend(packed);
                let _ = stream.write_all(&request).await;
                return until_ended(stream, b"").await;
            }
        };
        if stream.write_all(first.as_bytes()).await.is_ok() {
            until_ended(stream, more).await;
        }
    }
}

async fn greet(plain: TcpStream) -> Option<SslStream<TcpStream>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let ssl = connector.build().configure().unwrap().into_ssl("localhost").unwrap();
    let mut stream = SslStream::new(ssl, plain).unwrap();
    Pin::new(&mut stream).connect().await.ok()?;
    Some(stream)
}

/// Reads until the server has ended the connection, and says something now and then.
async fn until_ended(mut stream: impl AsyncRead + AsyncWrite + Unpin, word: &[u8]) {
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
            () = sleep(SLOWLY) => if !word.is_empty() && stream.write_all(word).await.is_err() { return },
        }
    }
}

/// Sends the same again and again, as fast as it is taken, until the server has ended the connection.
async fn flood(stream: SslStream<TcpStream>, head: String, piece: &[u8]) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let answered = async {
        let mut answer = [0; 1024];
        while matches!(reading.read(&mut answer).await, Ok(1..)) {}
    };
    let sending = async {
        let mut sent = writing.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            sent = writing.write_all(piece).await;
        }
    };
    tokio::select! {
        () = answered => {}
        () = sending => {}
    }
}
