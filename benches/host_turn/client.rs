//! A client that costs little: prepared requests over one plain connection.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Exchange {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Exchange {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: vec![0; 64 * 1024] }
    }

    /// Sends a prepared request; returns the body of its answer, which must be a 200.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).await.expect("the request goes out");
        let mut read = 0;
        loop {
            read += match self.stream.read(&mut self.buffer[read..]).await.expect("an answer") {
                0 => panic_with(&self.buffer[..read]),
                more => more,
            };
            if let Some((head, body)) = split(&self.buffer[..read]) {
                assert!(head.starts_with("HTTP/1.1 200"), "{head} {}", String::from_utf8_lossy(body));
                return body.to_vec();
            }
            if read == self.buffer.len() {
                self.buffer.resize(read * 2, 0);
            }
        }
    }

    /// Waits until the operators' listener says that the server is ready.
    pub(crate) fn wait_until_ready(ops: SocketAddr) {
        for _ in 0..600 {
            let ready = std::net::TcpStream::connect(ops).is_ok_and(|mut stream| {
                let mut answer = [0; 12];
                let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"200")
            });
            if ready {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic_with(b"the server did not become ready");
    }
}

/// The head and the body of an answer that is complete.
fn split(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let body = &bytes[end..];
    (body.len() == length.unwrap_or(0)).then_some((head, body))
}

#[expect(clippy::panic, reason = "a bench that cannot go on says why")]
fn panic_with(what: &[u8]) -> ! {
    panic!("{}", String::from_utf8_lossy(what))
}
