//! The state file's thread: receives calls, answers them one after another. `app` spawns it; the file's `fsync`
//! waits here, and not on the thread that samples.

use tokio::sync::{mpsc, oneshot};

use super::{Appended, DestinationStats, Order, Store, TakeLimits, Usage, ValueKey, ValueKind};
use crate::model::spool::{Destination, Entry, Frame};

/// Calls that may wait. Each caller waits for its answer, so it is the number of callers, with room to spare.
const WAITING: usize = 16;

type Call = Box<dyn FnOnce(&mut Store) + Send>;

/// The calls that [`serve`] answers.
#[derive(Debug)]
pub struct Calls(mpsc::Receiver<Call>);

/// The state file's thread has ended.
#[derive(Debug, thiserror::Error)]
#[error("the state file's thread has ended; its message above says why")]
pub struct StoreGone;

/// Calls the store on its thread. A call that was made is carried out, also if its caller no longer waits.
#[derive(Debug, Clone)]
pub struct StoreHandle(mpsc::Sender<Call>);

/// Both ends.
pub fn channel() -> (StoreHandle, Calls) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (StoreHandle(sender), Calls(receiver))
}

/// Answers calls until every handle is gone. Blocks.
pub fn serve(mut store: Store, mut calls: Calls) {
    while let Some(call) = calls.0.blocking_recv() {
        store.look();
        call(&mut store);
    }
}

/// The same without a thread of its own, for a state that is in memory alone.
pub async fn serve_from_memory(mut store: Store, mut calls: Calls) {
    while let Some(call) = calls.0.recv().await {
        call(&mut store);
    }
}

impl StoreHandle {
    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, StoreGone> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |store| drop(answer.send(call(store))));
        self.0.send(call).await.map_err(|_| StoreGone)?;
        answered.await.map_err(|_| StoreGone)
    }

    /// [`Store::append`].
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        values: Vec<(ValueKey, Option<Vec<u8>>)>,
    ) -> Result<Appended, StoreGone> {
        self.ask(|store| store.append(entries, values)).await
    }

    /// [`Store::take`].
    pub async fn take(
        &self,
        destination: Destination,
        order: Order,
        limits: TakeLimits,
    ) -> Result<Vec<Frame>, StoreGone> {
        self.ask(move |store| store.take(&destination, order, limits)).await
    }

    /// [`Store::sending`].
    pub async fn sending(&self, ids: Vec<u64>) -> Result<(), StoreGone> {
        self.ask(move |store| store.sending(&ids)).await
    }

    /// [`Store::unsent`].
    pub async fn unsent(&self, ids: Vec<u64>) -> Result<(), StoreGone> {
        self.ask(move |store| store.unsent(&ids)).await
    }

    /// [`Store::settle`].
    pub async fn settle(&self, ids: Vec<u64>, leftover: Vec<Entry>) -> Result<(), StoreGone> {
        self.ask(move |store| store.settle(&ids, leftover)).await
    }

    /// [`Store::value`].
    pub async fn value(&self, key: ValueKey) -> Result<Option<Vec<u8>>, StoreGone> {
        self.ask(move |store| store.value(&key)).await
    }

    /// [`Store::values`].
    pub async fn values(&self, kind: ValueKind) -> Result<Vec<(ValueKey, Vec<u8>)>, StoreGone> {
        self.ask(move |store| store.values(kind)).await
    }

    /// [`Store::destinations`].
    pub async fn destinations(&self) -> Result<Vec<DestinationStats>, StoreGone> {
        self.ask(Store::destinations).await
    }

    /// [`Store::usage`].
    pub async fn usage(&self) -> Result<Usage, StoreGone> {
        self.ask(|store| store.usage()).await
    }

    /// [`Store::trouble`].
    pub async fn trouble(&self) -> Result<Option<String>, StoreGone> {
        self.ask(|store| store.trouble().map(str::to_owned)).await
    }

    /// [`Store::compact`].
    pub async fn compact(&self) -> Result<(), StoreGone> {
        self.ask(Store::compact).await
    }
}
