//! Bytes on their way out, to a worker or to the output. Short ones are copied together, so that one write
//! takes many; large payloads are shared with whoever has them, so that no megabyte is copied on its way.

use std::collections::VecDeque;

use bytes::Bytes;

/// Something to append text and payloads to.
pub trait Put {
    /// Where text is appended.
    fn text(&mut self) -> &mut Vec<u8>;

    /// Appends a payload, which may be shared.
    fn payload(&mut self, payload: &Bytes);
}

impl Put for Vec<u8> {
    fn text(&mut self) -> &mut Vec<u8> {
        self
    }

    fn payload(&mut self, payload: &Bytes) {
        self.extend_from_slice(payload);
    }
}

#[derive(Debug, Default)]
pub struct Gather {
    /// The bytes that stand before those of `text`.
    pieces: VecDeque<Bytes>,
    text: Vec<u8>,
    /// How many bytes of the first piece, or of `text` where there is no piece, have gone out.
    sent: usize,
}

/// A payload from this size on is shared. It fills a pipe of the default capacity alone, so that a write of its own
/// costs nothing more.
const SHARED: usize = 64 * 1024;
/// A text buffer that has grown beyond this is given back once it is empty, so that one burst does not keep its memory
/// for ever.
const KEPT: usize = 1 << 20;

impl Gather {
    pub fn is_empty(&self) -> bool {
        self.first().is_empty()
    }

    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.text.len() - self.sent
    }

    /// The bytes that are to go out next. They need not be all there are, but if they are none, there are none.
    pub fn first(&self) -> &[u8] {
        &self.pieces.front().map_or(&self.text[..], |piece| &piece[..])[self.sent..]
    }

    /// So many bytes of `first` have gone out, and are forgotten.
    pub fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if !self.first().is_empty() {
            return;
        }
        self.sent = 0;
        if self.pieces.pop_front().is_none() {
            self.text.clear();
            if self.text.capacity() > KEPT {
                self.text = Vec::new();
            }
        }
    }
}

impl Put for Gather {
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn payload(&mut self, payload: &Bytes) {
        if payload.len() < SHARED {
            self.text.extend_from_slice(payload);
            return;
        }
        if !self.text.is_empty() {
            self.pieces.push_back(Bytes::from(std::mem::take(&mut self.text)));
        }
        self.pieces.push_back(payload.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::testing::random())]

        #[test]
        fn bytes_go_out_as_they_came_whatever_their_sizes(
            sizes in prop::collection::vec(prop::sample::select(vec![1, 100, SHARED - 1, SHARED, 3 * SHARED]), 0..12),
            step in 1..SHARED * 2,
            early in any::<bool>(),
        ) {
            let (mut gather, mut plain, mut out) = (Gather::default(), Vec::new(), Vec::new());
            let mut send = |gather: &mut Gather, all: bool| {
                while !gather.is_empty() {
                    let bytes = gather.first().len().min(step);
                    out.extend_from_slice(&gather.first()[..bytes]);
                    gather.advance(bytes);
                    if !all {
                        break;
                    }
                }
            };
            for (index, &size) in sizes.iter().enumerate() {
                let payload = Bytes::from(vec![index as u8; size]);
                for put in [&mut gather as &mut dyn Put, &mut plain] {
                    put.text().push(b'<');
                    put.payload(&payload);
                    put.text().push(b'>');
                }
                if early {
                    send(&mut gather, false);
                }
            }
            let left = gather.len();
            send(&mut gather, true);
            prop_assert_eq!(gather.len(), 0);
            prop_assert!(left <= plain.len() && (early || left == plain.len()));
            prop_assert!(out == plain);
        }

        #[test]
        fn a_large_payload_is_not_copied(size in SHARED..4 * SHARED) {
            let payload = Bytes::from(vec![7; size]);
            let mut gather = Gather::default();
            gather.payload(&payload);
            prop_assert_eq!(gather.first().as_ptr(), payload.as_ptr());
        }
    }
}
