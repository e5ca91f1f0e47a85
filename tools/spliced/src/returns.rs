// SPDX-License-Identifier: GPL-2.0

//! Hears from the kernel which splices have ended, and tells the connections that wait for their
//! sockets.
//!
//! There is one subscription for the process, whatever the number of event loops: the kernel would
//! write each event once for every socket that listens. A thread reads it; a connection that waits
//! is woken in its own loop.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::splice::{Ended, Ends, Refusal, Told};

/// Ends that were heard of before anybody waited for them: a splice can end before the thread that
/// made it has read its id.
const EARLY: usize = 1024;
/// How often the thread looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, oneshot::Sender<Option<Ended>>>,
    early: VecDeque<Ended>,
    /// Which subscription is read, if one is.
    generation: Option<u64>,
}

/// Who waits for which splice.
#[derive(Debug, Clone, Default)]
pub struct Returns(Arc<Mutex<State>>);

/// One connection that waits.
#[derive(Debug)]
pub struct Watch {
    /// For this splice.
    pub id: u64,
    returns: Returns,
    end: oneshot::Receiver<Option<Ended>>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Returns {
    /// Makes sure that ends are heard of from now on; `subscribe` is asked for a subscription if
    /// there is none, or one of another generation.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    pub fn listen(
        &self,
        generation: u64,
        subscribe: impl FnOnce() -> Result<Box<dyn Ends>, Refusal>,
    ) -> Result<(), Refusal> {
        // Held meanwhile: nobody may arm before there is a subscription.
        let mut state = locked(&self.0);
        if state.generation == Some(generation) {
            return Ok(());
        }
        let ends = subscribe()?;
        let weak = Arc::downgrade(&self.0);
        thread::Builder::new()
            .name("ends".into())
            .spawn(move || read(ends, &weak, generation))
            .map_err(|error| Refusal {
                reason: format!("cannot start a thread: {error}"),
            })?;
        state.generation = Some(generation);
        Ok(())
    }

    /// Waits for the end of this splice, which may have been already.
    pub fn watch(&self, id: u64) -> Watch {
        let (sender, end) = oneshot::channel();
        let mut state = locked(&self.0);
        match state.early.iter().position(|ended| ended.id == id) {
            Some(at) => {
                let _ = sender.send(state.early.remove(at));
            }
            None => {
                state.waiting.insert(id, sender);
            }
        }
        Watch {
            id,
            returns: self.clone(),
            end,
        }
    }
}

impl Watch {
    /// How it ended; `None` when that was not heard within `patience`, or may have been missed.
    pub async fn told(&mut self, patience: Duration) -> Option<Ended> {
        let told = timeout(patience, &mut self.end).await;
        if let Ok(Ok(Some(ended))) = told {
            return Some(ended);
        }
        if told.is_ok() {
            // Something was missed; wait anew, and have the kernel asked at once.
            *self = self.returns.watch(self.id);
        }
        None
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.close();
        let mut state = locked(&self.returns.0);
        // A later one for the same id is not this one's to forget.
        if state
            .waiting
            .get(&self.id)
            .is_some_and(oneshot::Sender::is_closed)
        {
            state.waiting.remove(&self.id);
        }
    }
}

/// Reads a subscription until it fails, is replaced, or nobody is left to tell.
fn read(mut ends: Box<dyn Ends>, state: &Weak<Mutex<State>>, generation: u64) {
    loop {
        let told = ends.next(LOOK);
        let Some(state) = state.upgrade() else { return };
        let mut state = locked(&state);
        if state.generation != Some(generation) {
            return;
        }
        match told {
            Ok(None) => {}
            Ok(Some(Told::Ended(ended))) => match state.waiting.remove(&ended.id) {
                Some(waiting) => {
                    let _ = waiting.send(Some(ended));
                }
                None => {
                    // Of this process and not waited for yet, or of somebody else.
                    if state.early.len() == EARLY {
                        state.early.pop_front();
                    }
                    state.early.push_back(ended);
                }
            },
            Ok(Some(Told::Lost)) => {
                tracing::warn!("the kernel told of more ends than could be heard; asking for each");
                wake(&mut state);
            }
            Err(error) => {
                tracing::warn!(%error, "nothing more is heard of splices that end; subscribing anew");
                state.generation = None;
                wake(&mut state);
                return;
            }
        }
    }
}

/// Has everybody who waits ask the kernel.
fn wake(state: &mut State) {
    for (_, waiting) in state.waiting.drain() {
        let _ = waiting.send(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    struct Script(Receiver<Result<Told, Refusal>>);

    impl Ends for Script {
        fn next(&mut self, within: Duration) -> Result<Option<Told>, Refusal> {
            match self.0.recv_timeout(within) {
                Ok(told) => told.map(Some),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(Refusal {
                    reason: "gone".into(),
                }),
            }
        }
    }

    fn end(id: u64) -> Ended {
        Ended {
            id,
            returned: true,
            reason: "returned".into(),
            to_server: 0,
            to_client: id * 10,
        }
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn each_hears_of_its_own_however_early() {
        let returns = Returns::default();
        let (kernel, script) = channel();
        returns.listen(7, || Ok(Box::new(Script(script)))).unwrap();
        // A second thread that arms needs no second subscription.
        returns.listen(7, || panic!("there is one")).unwrap();
        let mut one = returns.watch(1);
        assert_eq!(one.told(SHORT).await, None);
        for id in [9, 2, 1] {
            kernel.send(Ok(Told::Ended(end(id)))).unwrap();
        }
        assert_eq!(one.told(LONG).await, Some(end(1)));
        // It was told before anybody asked.
        assert_eq!(returns.watch(2).told(LONG).await, Some(end(2)));
        // What nobody asks for does not grow without end.
        for id in 0..3 * EARLY as u64 {
            kernel.send(Ok(Told::Ended(end(id + 100)))).unwrap();
        }
        kernel.send(Ok(Told::Ended(end(3)))).unwrap();
        assert_eq!(returns.watch(3).told(LONG).await, Some(end(3)));
        assert!(locked(&returns.0).early.len() <= EARLY);
        drop(returns.watch(4));
        assert!(locked(&returns.0).waiting.is_empty());
    }

    #[tokio::test]
    async fn what_was_missed_is_asked_for() {
        let returns = Returns::default();
        let (kernel, script) = channel();
        returns.listen(1, || Ok(Box::new(Script(script)))).unwrap();
        let (mut one, mut two) = (returns.watch(1), returns.watch(2));
        kernel.send(Ok(Told::Lost)).unwrap();
        // At once, not after the time is over.
        assert_eq!(one.told(LONG).await, None);
        assert_eq!(two.told(LONG).await, None);
        kernel.send(Ok(Told::Ended(end(1)))).unwrap();
        assert_eq!(one.told(LONG).await, Some(end(1)));
        // The module went, and came back.
        drop(kernel);
        assert_eq!(two.told(LONG).await, None);
        let (kernel, script) = channel();
        returns.listen(1, || Ok(Box::new(Script(script)))).unwrap();
        kernel.send(Ok(Told::Ended(end(2)))).unwrap();
        assert_eq!(two.told(LONG).await, Some(end(2)));
        // Another generation takes the place of one that has fallen silent.
        let (kernel, script) = channel();
        returns.listen(2, || Ok(Box::new(Script(script)))).unwrap();
        let mut three = returns.watch(3);
        kernel.send(Ok(Told::Ended(end(3)))).unwrap();
        assert_eq!(three.told(LONG).await, Some(end(3)));
    }
}
