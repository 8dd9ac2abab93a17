//! A queue of what waits to be sent on one connection, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smol::channel::{Receiver, Sender, TrySendError};

/// The driver's end of the queue.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    items: Sender<T>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
}

/// The connection's end of an [`Outbox`].
#[derive(Debug)]
pub(crate) struct Outgoing<T> {
    items: Receiver<T>,
    bytes: Arc<AtomicUsize>,
}

/// The other side does not take what is sent to it.
#[derive(Debug)]
pub(crate) struct Full;

/// A queue for at most `items` and `bytes`.
pub(crate) fn outbox<T: AsRef<[u8]>>(items: usize, bytes: usize) -> (Outbox<T>, Outgoing<T>) {
    let (sender, receiver) = smol::channel::bounded(items);
    let waiting = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        items: sender,
        bytes: Arc::clone(&waiting),
        limit: bytes,
    };
    let outgoing = Outgoing {
        items: receiver,
        bytes: waiting,
    };
    (outbox, outgoing)
}

impl<T: AsRef<[u8]>> Outbox<T> {
    /// Queues a whole item, or nothing of it.
    pub(crate) fn send(&self, item: T) -> Result<(), Full> {
        let length = item.as_ref().len();
        // Only we add: what is taken out meanwhile makes more room.
        if self.bytes.load(Ordering::Relaxed).saturating_add(length) > self.limit {
            return Err(Full);
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        match self.items.try_send(item) {
            // A connection that is closing takes nothing any more, and says so itself.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.bytes.fetch_sub(length, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Lets the connection close after what is queued.
    pub(crate) fn close(&self) {
        self.items.close();
    }
}

impl<T: AsRef<[u8]>> Outgoing<T> {
    /// The next item to send; `None` when the connection is to be closed.
    pub(crate) async fn next(&self) -> Option<T> {
        let item = self.items.recv().await.ok()?;
        Some(self.taken(item))
    }

    /// The next item if it is there already.
    pub(crate) fn try_next(&self) -> Option<T> {
        let item = self.items.try_recv().ok()?;
        Some(self.taken(item))
    }

    fn taken(&self, item: T) -> T {
        self.bytes.fetch_sub(item.as_ref().len(), Ordering::Relaxed);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_bytes_and_items() {
        let (few, outgoing) = outbox(512, 1024);
        for _ in 0..512 {
            few.send("x".to_owned()).unwrap();
        }
        assert!(few.send("x".to_owned()).is_err());
        assert_eq!(outgoing.try_next().as_deref(), Some("x"));
        few.send("y".to_owned()).unwrap();

        let (short, outgoing) = outbox(512, 1024);
        let long = "x".repeat(512);
        short.send(long.clone()).unwrap();
        short.send(long.clone()).unwrap();
        // What is refused takes no room.
        for _ in 0..3 {
            assert!(short.send("y".to_owned()).is_err());
        }
        short.close();
        smol::block_on(async {
            assert_eq!(outgoing.next().await, Some(long.clone()));
            assert_eq!(outgoing.next().await, Some(long));
            assert_eq!(outgoing.next().await, None);
        });
    }
}
