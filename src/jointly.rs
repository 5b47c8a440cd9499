//! Changes that many make at the same time, made as one.
//!
//! Whoever comes while nobody else does is served at once. Whoever comes while others are being served waits until one of
//! them is, and then all who wait are served together, in one transaction: the more come, the less each of them costs.
//! Nobody waits for others to come. What `together` does for questions, this does for changes.
//!
//! Promises that a change which has begun is made or fails as a whole, whether or not anybody still waits for it, and that
//! a mistake in one of them is nobody else's. Of changes with the same key, never two are made together.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};

/// Transactions under way at one time. A second one, lest all wait for a connection that does not answer.
const WIDTH: usize = 2;

/// Changes in one transaction. For each number of rows there is a statement of its own, and a connection keeps only so
/// many.
const MOST: usize = 32;

/// One kind of change.
#[derive(Debug)]
pub struct Jointly<K, C, A> {
    waiting: Mutex<VecDeque<Waiting<K, C, A>>>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting<K, C, A> {
    key: K,
    change: C,
    answer: oneshot::Sender<Result<A>>,
}

impl<K, C, A> Default for Jointly<K, C, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Arc::new(Semaphore::new(WIDTH)) }
    }
}

impl<K, C, A> Jointly<K, C, A>
where
    K: Clone + Eq + Hash + Send + 'static,
    C: Clone + Send + 'static,
    A: Send + 'static,
{
    /// Makes `change`, and those that others want at this moment. `make` answers each, in their order; it fails if none of
    /// them is made. It runs among `tasks`: nobody who gives up stops it.
    pub async fn make<F, R>(&self, tasks: &TaskTracker, key: K, change: C, make: F) -> Result<A>
    where
        F: Fn(Vec<C>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Vec<Result<A>>>> + Send,
    {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(Waiting { key, change, answer });
        let answer = loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => break answer,
                turn = Arc::clone(&self.turns).acquire_owned() => turn,
            };
            let taken = self.take();
            if taken.is_empty() {
                // Somebody else has mine.
                drop(turn);
                break answered.await;
            }
            let make = make.clone();
            tasks.spawn(async move {
                serve(taken, make).await;
                drop(turn);
            });
        };
        answer.context("a change was given up")?
    }

    /// Those that are to be made now, and that somebody still wants.
    fn take(&self) -> Vec<Waiting<K, C, A>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut keys, mut later) = (Vec::new(), HashSet::new(), Vec::new());
        while taken.len() < MOST
            && let Some(next) = waiting.pop_front()
        {
            if next.answer.is_closed() {
                continue;
            }
            if keys.insert(next.key.clone()) { taken.push(next) } else { later.push(next) }
        }
        later.into_iter().rev().for_each(|next| waiting.push_front(next));
        taken
    }
}

/// Makes all of them, or, if a mistake in one keeps all from being made, each by itself.
async fn serve<K, C, A, F, R>(taken: Vec<Waiting<K, C, A>>, make: F)
where
    C: Clone,
    F: Fn(Vec<C>) -> R,
    R: Future<Output = Result<Vec<Result<A>>>>,
{
    let (changes, answers): (Vec<_>, Vec<_>) = taken.into_iter().map(|one| (one.change, one.answer)).unzip();
    let made = match make(changes.clone()).await {
        Err(Error::Internal(error)) if changes.len() > 1 => {
            tracing::error!(error = format!("{error:#}"), "changes are made one by one");
            let mut made = Vec::new();
            for change in changes {
                made.push(make(vec![change]).await.and_then(|mut alone| alone.pop().context("not answered")?));
            }
            made
        }
        Ok(made) => made,
        Err(error) => answers.iter().map(|_| Err(error.again())).collect(),
    };
    for (answer, made) in answers.into_iter().zip(made) {
        // Nobody to answer: given up.
        answer.send(made).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Notify;

    use super::*;
    use crate::error::ErrorCode;

    /// Numbers that are written down when told to; 13 is a mistake, 14 is refused.
    #[derive(Clone, Default)]
    struct Book(Arc<Parts>);

    #[derive(Default)]
    struct Parts {
        jointly: Jointly<u32, u32, u32>,
        tasks: TaskTracker,
        go: Notify,
        written: Mutex<Vec<Vec<u32>>>,
    }

    impl Book {
        /// Numbers with the same last digit have the same key.
        async fn write(&self, number: u32) -> Result<u32, ErrorCode> {
            let book = self.clone();
            let make = move |numbers: Vec<u32>| {
                let book = book.clone();
                async move { book.make(numbers).await }
            };
            let made = self.0.jointly.make(&self.0.tasks, number % 10, number, make).await;
            made.map_err(|error| error.code())
        }

        async fn make(&self, numbers: Vec<u32>) -> Result<Vec<Result<u32>>> {
            self.0.go.notified().await;
            if numbers.contains(&13) {
                return Err(anyhow::anyhow!("a mistake").into());
            }
            let answer = |number: &u32| if *number == 14 { Err(ErrorCode::RoomFull.into()) } else { Ok(number * 2) };
            let answers = numbers.iter().map(answer).collect();
            self.0.written.lock().unwrap().push(numbers);
            Ok(answers)
        }

        /// Lets so many transactions happen.
        async fn let_go(&self, transactions: usize) {
            for _ in 0..transactions {
                self.0.go.notify_one();
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
        }

        fn written(&self) -> Vec<Vec<u32>> {
            self.0.written.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_served_together_and_each_key_once() {
        let book = Book::default();
        let all = join_all([1, 2, 3, 14, 5, 15].map(|number| book.write(number)));
        let (answers, ()) = tokio::join!(all, book.let_go(4));
        assert_eq!(answers, [Ok(2), Ok(4), Ok(6), Err(ErrorCode::RoomFull), Ok(10), Ok(30)]);
        assert_eq!(book.written(), [vec![1], vec![2], vec![3, 14, 5], vec![15]]);
    }

    #[tokio::test]
    async fn one_transaction_holds_only_so_many() {
        let jointly = Jointly::<usize, usize, ()>::default();
        let (tasks, sizes) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
        let make = {
            let sizes = Arc::clone(&sizes);
            move |all: Vec<usize>| {
                sizes.lock().unwrap().push(all.len());
                async move { Ok(all.into_iter().map(|_| Ok(())).collect()) }
            }
        };
        let all = (0..MOST + 4).map(|number| jointly.make(&tasks, number, number, make.clone()));
        for made in join_all(all).await {
            made.unwrap();
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 1, MOST, 2]);
    }

    #[tokio::test]
    async fn a_mistake_in_one_is_nobody_elses() {
        let book = Book::default();
        let all = join_all([1, 2, 13, 4].map(|number| book.write(number)));
        let (answers, ()) = tokio::join!(all, book.let_go(5));
        assert_eq!(answers, [Ok(2), Ok(4), Err(ErrorCode::Internal), Ok(8)]);
        assert_eq!(book.written(), [[1], [2], [4]]);
    }

    #[tokio::test]
    async fn what_has_begun_is_made_though_nobody_waits_and_what_has_not_is_not() {
        let book = Book::default();
        let mut all: Vec<_> = (1..=4).map(|number| Box::pin(book.write(number))).collect();
        for one in &mut all {
            assert!(one.as_mut().now_or_never().is_none());
        }
        // The first has begun, the third waits.
        drop(all.remove(2));
        drop(all.remove(0));
        let (answers, ()) = tokio::join!(join_all(all), book.let_go(3));
        assert_eq!(answers, [Ok(4), Ok(8)]);
        assert_eq!(book.written(), [[1], [2], [4]]);
    }
}
