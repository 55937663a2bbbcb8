//! A wire that can be cut: TCP from the server to its database, through a place where a proof decides what passes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    /// Everything.
    All,
    /// Everything, but each piece of the way takes so long more.
    Late(Duration),
    /// Nothing, and nobody is told: bytes wait.
    Nothing,
    /// No connection lives.
    Cut,
}

/// A running proxy; it ends with this value.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    passes: watch::Sender<Passes>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target` (`host:port`) that lets everything pass.
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (passes, watched) = watch::channel(Passes::All);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, watched) = (target.clone(), watched.clone());
                tokio::spawn(async move {
                    if *watched.borrow() != Passes::Cut
                        && let Ok(far) = TcpStream::connect(&target).await
                    {
                        join(near, far, watched).await;
                    }
                });
            }
        });
        Self { address, passes, task }
    }

    /// Decides what passes from now on.
    pub(crate) fn set(&self, passes: Passes) {
        self.passes.send_replace(passes);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(near: TcpStream, far: TcpStream, mut watched: watch::Receiver<Passes>) {
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let (there, back) = (pump(from_near, to_far, watched.clone()), pump(from_far, to_near, watched.clone()));
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = watched.wait_for(|passes| *passes == Passes::Cut) => {}
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut watched: watch::Receiver<Passes>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = watched.wait_for(|passes| *passes != Passes::Nothing).await.map(|passes| *passes);
        if let Ok(Passes::Late(by)) = passes {
            tokio::time::sleep(by).await;
        }
        let open = passes.is_ok();
        if !open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
