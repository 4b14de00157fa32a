//! Connections that become something else, such as WebSockets: bytes both ways until one side ends or both are silent.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

/// Bytes that are on their way in one direction.
const BUFFER: usize = 16 * 1024;

/// Joins a client and a pod once both have changed the protocol. What is `held` is held until the end.
pub async fn join(client: OnUpgrade, pod: OnUpgrade, patience: Duration, held: impl Send) {
    let Ok((client, pod)) = tokio::try_join!(client, pod) else { return };
    // Either side may break off at any time; there is nobody to tell.
    relay(TokioIo::new(client), TokioIo::new(pod), patience).await.ok();
    drop(held);
}

/// Copies both ways; ends when both directions have, or nothing moved for too long.
pub async fn relay<A, B>(one: A, other: B, patience: Duration) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (start, moved) = (Instant::now(), AtomicU64::new(0));
    let (one_read, one_write) = tokio::io::split(one);
    let (other_read, other_write) = tokio::io::split(other);
    let touch = || moved.store(start.elapsed().as_millis() as u64, Ordering::Relaxed);
    let copies =
        async { tokio::try_join!(copy(one_read, other_write, &touch), copy(other_read, one_write, &touch)).map(drop) };
    let silence = async {
        loop {
            let end = start + Duration::from_millis(moved.load(Ordering::Relaxed)) + patience;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    };
    tokio::select! {
        ended = copies => ended,
        () = silence => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, touch: &impl Fn()) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        touch();
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_until_both_are_silent() {
        let (mut client, near) = tokio::io::duplex(64);
        let (far, mut pod) = tokio::io::duplex(64);
        let relayed = tokio::spawn(relay(near, far, Duration::from_secs(60)));
        client.write_all(b"ping").await.unwrap();
        let mut buffer = [0; 4];
        pod.read_exact(&mut buffer).await.unwrap();
        pod.write_all(b"pong").await.unwrap();
        client.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"pong");
        let ended = relayed.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
