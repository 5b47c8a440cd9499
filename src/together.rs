//! Questions to a database or a broker that many ask at the same time, put as one.
//!
//! Whoever asks while nobody else does is answered at once. Whoever asks while others are being answered waits until one
//! of them is, and then all who wait are asked about in one statement: the more come, the less each of them costs. Nobody
//! waits for others to come.
//!
//! Promises that what is answered was read after it was asked for, and that whoever gives up takes nobody along.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use tokio::sync::{Semaphore, oneshot};

use crate::error::{Error, Result};

/// Statements under way at one time. A second one, lest all wait for a connection that does not answer.
const WIDTH: usize = 2;

/// Keys that are put as one, unless a single question has more: a statement binds only so many values.
const MOST: usize = 256;

/// Answers by key. What has none is not there.
type Answers<K, V> = HashMap<K, V>;

/// An answer, or a failure, that several share.
pub type SharedAnswer<T> = Result<Arc<T>, Arc<Error>>;

/// One kind of question.
#[derive(Debug)]
pub struct Together<K, V> {
    waiting: Mutex<Vec<Question<K, V>>>,
    turns: Semaphore,
}

#[derive(Debug)]
struct Question<K, V> {
    keys: Vec<K>,
    answer: oneshot::Sender<Result<Answers<K, V>>>,
}

impl<K, V> Default for Together<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Semaphore::new(WIDTH) }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Together<K, V> {
    /// What `find` finds about `keys`, and about what others ask for at this moment; each gets their own.
    pub async fn ask<F, R>(&self, keys: Vec<K>, find: F) -> Result<Answers<K, V>>
    where
        F: Fn(Vec<K>) -> R,
        R: Future<Output = Result<Answers<K, V>>>,
    {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.waiting().push(Question { keys: keys.clone(), answer });
            let answer = loop {
                let turn = tokio::select! {
                    biased;
                    answer = &mut answered => break answer,
                    turn = self.turns.acquire() => turn,
                };
                if !self.put(&find).await {
                    // Somebody else has mine.
                    drop(turn);
                    break answered.await;
                }
            };
            // Whoever had it may have given up, which says nothing about me.
            if let Ok(answer) = answer {
                return answer;
            }
        }
    }

    /// Puts what is waiting, and answers it. Says whether there was anything.
    async fn put<F, R>(&self, find: &F) -> bool
    where
        F: Fn(Vec<K>) -> R,
        R: Future<Output = Result<Answers<K, V>>>,
    {
        let questions = self.take();
        if questions.is_empty() {
            return false;
        }
        let keys: HashSet<_> = questions.iter().flat_map(|question| &question.keys).cloned().collect();
        let found = find(keys.into_iter().collect()).await;
        for Question { keys, answer } in questions {
            let own = |all: &Answers<K, V>| {
                keys.iter().filter_map(|key| Some((key.clone(), all.get(key)?.clone()))).collect()
            };
            // Nobody to answer: given up.
            answer.send(found.as_ref().map(own).map_err(Error::again)).ok();
        }
        true
    }

    fn take(&self) -> Vec<Question<K, V>> {
        let mut waiting = self.waiting();
        waiting.retain(|question| !question.answer.is_closed());
        let mut keys = 0;
        let fits = |question: &&Question<K, V>| {
            keys += question.keys.len();
            keys <= MOST
        };
        let first = waiting.iter().take_while(fits).count().max(1).min(waiting.len());
        waiting.drain(..first).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Question<K, V>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, T> Together<K, SharedAnswer<T>> {
    /// Answers a question that can't be put as one with others: only those who ask the same share `read`'s answer, or its
    /// failure.
    pub async fn ask_one<F, R>(&self, key: K, read: F) -> Result<Arc<T>>
    where
        F: Fn(K) -> R,
        R: Future<Output = Result<T>>,
    {
        let read = &read;
        let each = |key: K| async move { (key.clone(), read(key).await.map(Arc::new).map_err(Arc::new)) };
        let all = |keys: Vec<K>| async move { Ok(join_all(keys.into_iter().map(each)).await.into_iter().collect()) };
        let found = self.ask(vec![key.clone()], all).await?.remove(&key);
        let found = found.ok_or_else(|| anyhow::anyhow!("a question was asked and not answered"))?;
        found.map_err(|error| error.again())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Notify;

    use super::*;
    use crate::error::ErrorCode;

    /// Squares of numbers below a hundred, found when told to.
    #[derive(Default)]
    struct Squares {
        together: Together<u32, u32>,
        go: Notify,
        statements: AtomicUsize,
    }

    impl Squares {
        async fn find(&self, keys: Vec<u32>) -> Result<HashMap<u32, u32>> {
            self.statements.fetch_add(1, Ordering::SeqCst);
            self.go.notified().await;
            if keys.contains(&13) {
                return Err(ErrorCode::Unavailable.into());
            }
            Ok(keys.into_iter().filter(|key| *key < 100).map(|key| (key, key * key)).collect())
        }

        async fn ask(&self, key: u32) -> Result<Option<u32>> {
            Ok(self.together.ask(vec![key], |keys| self.find(keys)).await?.remove(&key))
        }
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_asked_about_in_one_statement() {
        let squares = Squares::default();
        let all = join_all((95..105).map(|key| squares.ask(key)));
        let (answers, ()) = tokio::join!(all, async {
            for _ in 0..3 {
                squares.go.notify_one();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
        });
        for (key, answer) in (95..105).zip(answers) {
            assert_eq!(answer.unwrap(), Some(key * key).filter(|_| key < 100), "{key}");
        }
        assert_eq!(squares.statements.load(Ordering::SeqCst), WIDTH + 1, "the first two, and all others as one");
    }

    #[tokio::test]
    async fn whoever_gives_up_takes_nobody_along() {
        let squares = Squares::default();
        let mut leading: Vec<_> = (1..=2).map(|key| Box::pin(squares.ask(key))).collect();
        for first in &mut leading {
            assert!(first.as_mut().now_or_never().is_none());
        }
        let mut third = Box::pin(squares.ask(3));
        assert!(third.as_mut().now_or_never().is_none());
        // A fourth waits for the third, which leads once both of the first are gone.
        leading.clear();
        let mut fourth = Box::pin(squares.ask(4));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(third);
        squares.go.notify_waiters();
        squares.go.notify_one();
        assert_eq!(fourth.await.unwrap(), Some(16));
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_whom_it_concerns() {
        let squares = Squares::default();
        let all = join_all([1, 2, 13, 3].map(|key| squares.ask(key)));
        let (answers, ()) = tokio::join!(all, async {
            for _ in 0..3 {
                squares.go.notify_one();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
        });
        let codes: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.code())).collect();
        let failed = Err(ErrorCode::Unavailable);
        assert_eq!(codes, [Ok(Some(1)), Ok(Some(4)), failed, failed]);
    }

    #[tokio::test]
    async fn those_who_ask_the_same_share_one_answer_and_no_other_failure() {
        let (squares, shared) = (Squares::default(), Together::default());
        let one = |key| shared.ask_one(key, async |key| Ok(squares.find(vec![key]).await?[&key]));
        // The first two lead; of those who come meanwhile, four ask one thing and two another, and one fails.
        let all = join_all([1, 2, 3, 3, 13, 3, 3, 4, 4].map(one));
        let (answers, ()) = tokio::join!(all, async {
            for _ in 0..5 {
                squares.go.notify_one();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
        });
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.ok().map(|square| *square)).collect();
        assert_eq!(answers, [Some(1), Some(4), Some(9), Some(9), None, Some(9), Some(9), Some(16), Some(16)]);
        assert_eq!(squares.statements.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn one_statement_asks_about_so_many_and_about_more_only_for_one() {
        let together = Together::<u32, u32>::default();
        let sizes = std::sync::Mutex::new(Vec::new());
        let find = async |keys: Vec<u32>| {
            sizes.lock().unwrap().push(keys.len());
            tokio::task::yield_now().await;
            Ok(keys.into_iter().map(|key| (key, key)).collect())
        };
        let most = u32::try_from(MOST).unwrap();
        let asked = [0..1, 1..2, 2..most, most..most + 2, most + 2..3 * most];
        for answer in join_all(asked.map(|keys| together.ask(keys.collect(), find))).await {
            assert!(!answer.unwrap().is_empty());
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 1, MOST, 2 * MOST - 2]);
    }
}
