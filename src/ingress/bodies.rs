//! Bodies on their way through: nothing is kept, sizes are counted, and who stands still for too long is given up.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What fails a body.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;
/// A body of any kind.
pub type Body = UnsyncBoxBody<Bytes, Failed>;

/// A body that is there already.
pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// How far a request's body has come; seen by who waits for the answer.
pub struct Progress {
    start: Instant,
    /// Milliseconds after the start at which something moved last.
    moved: AtomicU64,
    is_over: AtomicBool,
    /// More was sent than is allowed.
    is_too_big: AtomicBool,
    /// The client is waited for, not the pod.
    is_waiting: AtomicBool,
}

impl Progress {
    /// Nothing has moved yet; without a body it is over.
    pub fn new(is_over: bool) -> Arc<Self> {
        let flag = AtomicBool::new;
        Arc::new(Self {
            start: Instant::now(),
            moved: AtomicU64::new(0),
            is_over: flag(is_over),
            is_too_big: flag(false),
            is_waiting: flag(false),
        })
    }

    /// When something moved last.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub fn is_too_big(&self) -> bool {
        self.is_too_big.load(Ordering::Relaxed)
    }

    pub fn is_waiting_for_client(&self) -> bool {
        !self.is_over() && self.is_waiting.load(Ordering::Relaxed)
    }

    /// Something moved just now.
    pub fn touch(&self) {
        self.moved.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

/// A request's body, counted.
pub struct Counted {
    inner: Incoming,
    left: Option<u64>,
    progress: Arc<Progress>,
}

impl Counted {
    /// At most `limit` bytes of it; nothing for any number.
    pub fn new(inner: Incoming, limit: Option<u64>, progress: Arc<Progress>) -> Self {
        Self { inner, left: limit, progress }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        self.progress.is_waiting.store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(frame) = polled else { return Poll::Pending };
        self.progress.touch();
        let Some(frame) = frame else {
            self.progress.is_over.store(true, Ordering::Relaxed);
            return Poll::Ready(None);
        };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(length) else {
                self.progress.is_too_big.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the body is too big".into())));
            };
            *left = rest;
        }
        if self.inner.is_end_stream() {
            self.progress.is_over.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body: given up if the pod says nothing for too long. Holds what is to be held until it has gone out.
pub struct Timed<G> {
    inner: Incoming,
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    _held: G,
}

impl<G> Timed<G> {
    pub fn new(inner: Incoming, patience: Duration, held: G) -> Self {
        Self { inner, patience, sleep: Box::pin(tokio::time::sleep(patience)), _held: held }
    }
}

impl<G: Unpin> http_body::Body for Timed<G> {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let end = Instant::now() + self.patience;
            self.sleep.as_mut().reset(end);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        std::task::ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(Some(Err("the pod stopped in the middle of its answer".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
