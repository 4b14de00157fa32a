//! A list as it goes out: the stored bytes of its items, put together piece by piece as the client takes them, so that a large
//! list is never in memory twice.

use crate::control::store::Entry;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes of a piece: large enough for few system calls, small enough for the processor's cache.
const PIECE: usize = 64 << 10;
const TAIL: &[u8] = b"]}";

/// The body of a list.
pub struct Pieces {
    head: Bytes,
    entries: std::vec::IntoIter<Arc<Entry>>,
    is_first: bool,
    /// Bytes that are still to come.
    left: usize,
}

impl Pieces {
    /// A list of `entries`; `head` is everything before the first one.
    pub fn new(head: String, entries: Vec<Arc<Entry>>) -> Self {
        let items: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
        let left = head.len() + items + entries.len().saturating_sub(1) + TAIL.len();
        Self { head: head.into(), entries: entries.into_iter(), is_first: true, left }
    }

    fn next(&mut self) -> Bytes {
        let mut piece = BytesMut::with_capacity(self.left.min(PIECE + (PIECE >> 3)));
        piece.extend_from_slice(&std::mem::take(&mut self.head));
        while piece.len() < PIECE {
            let Some(entry) = self.entries.next() else {
                piece.extend_from_slice(TAIL);
                break;
            };
            if !std::mem::replace(&mut self.is_first, false) {
                piece.extend_from_slice(b",");
            }
            piece.extend_from_slice(&entry.bytes);
        }
        self.left -= piece.len();
        piece.freeze()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((self.left > 0).then(|| Ok(Frame::data(self.next()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::store::{Key, Selection};
    use http_body_util::BodyExt;

    fn entry(text: String) -> Arc<Entry> {
        let key = Key { resource: "maps".into(), namespace: "one".into(), name: "a".into() };
        Arc::new(Entry { key, revision: 1, bytes: text.into(), selection: Selection::default() })
    }

    #[tokio::test]
    async fn pieces_make_the_whole_list_of_the_length_that_was_announced() {
        for count in [0, 1, 2, 500] {
            let text = format!("\"{}\"", "x".repeat(1000));
            let pieces = Pieces::new("{\"items\":[".into(), vec![entry(text.clone()); count]);
            let announced = pieces.size_hint().exact().unwrap();
            let whole = pieces.collect().await.unwrap().to_bytes();
            assert_eq!(whole, format!("{{\"items\":[{}]}}", vec![text; count].join(",")));
            assert_eq!(announced, whole.len() as u64);
        }
    }
}
