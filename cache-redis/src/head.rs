//! What a store is named by: a random key, which all who share the store find at one place in Redis.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_core::{Error, ErrorKind, Protection, Result, blocking_work};
use cache_crypto::rows::{IndexKey, IndexKeyBytes, open_index_key, seal_index_key};
use redis::{Cmd, Value};

use crate::NAME;
use crate::error::{of_redis, unexpected};
use crate::keys::Prefix;
use crate::link::{Link, Within};
use crate::script::RESEAL;

/// The names of a store, and how Redis keeps their key.
pub(crate) struct Head {
    pub(crate) index: IndexKey,
    /// A format byte, a byte that says whether the rest is sealed, and the key.
    kept: Vec<u8>,
}

const FORMAT: u8 = 1;

/// The head that this process goes by.
#[derive(Default)]
pub(crate) struct Heads {
    known: Mutex<Option<Known>>,
}

struct Known {
    head: Arc<Head>,
    compared: Instant,
}

/// So long a miss is believed without a look at the head: another node may have made one for a server that was emptied.
pub(crate) const RELIED_UPON: Duration = Duration::from_secs(1);

/// So long the head is believed to be the one that Redis has: a server may evict it and keep partitions.
const BELIEVED: Duration = Duration::from_secs(2);

/// What Redis has in the place of a head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    Other,
}

/// What heads are read and made with.
pub(crate) struct Finding<'a> {
    pub(crate) heads: &'a Heads,
    pub(crate) link: &'a Link,
    pub(crate) prefix: &'a Prefix,
    pub(crate) protection: &'a Protection,
    /// The deadline of what waits for this.
    pub(crate) within: Within,
}

impl Finding<'_> {
    /// The head; `None`: there is none, and so nothing is stored.
    pub(crate) async fn find(&self) -> Result<Option<Arc<Head>>> {
        match self.believed() {
            Some(head) => Ok(Some(head)),
            None => Box::pin(self.look_for()).await,
        }
    }

    async fn look_for(&self) -> Result<Option<Arc<Head>>> {
        if let Some(known) = self.current().await? {
            return Ok(Some(known));
        }
        match self.kept().await? {
            Some(kept) => self.take_up(kept).await.map(Some),
            None => Ok(None),
        }
    }

    /// The head, which is made if there is none.
    pub(crate) async fn find_or_make(&self) -> Result<Arc<Head>> {
        if let Some(known) = self.current().await? {
            return Ok(known);
        }
        if let Some(kept) = self.kept().await? {
            return self.take_up(kept).await;
        }
        let key = IndexKey::generate()?;
        let sealed = {
            let (protection, key) = (self.protection.clone(), key.clone());
            blocking_work::run(move || seal_index_key(NAME, &key, &protection)).await?
        };
        let kept = self.set_if_none(&keep(&sealed, self.protection)).await?;
        self.take_up(kept).await
    }

    /// Whether `head` is still the one that Redis has, which gets it back if it has none any more. Asked around what others
    /// look for by the head that they find.
    pub(crate) async fn put_back(&self, head: &Arc<Head>) -> Result<Presence> {
        let kept = self.set_if_none(&head.kept).await?;
        Ok(if self.compare(head, Some(&kept)) { Presence::There } else { Presence::Other })
    }

    /// Seals the head anew, with the present key of the protector; answers it.
    pub(crate) async fn reseal(&self, head: &Arc<Head>) -> Result<Arc<Head>> {
        let (protection, kept) = (self.protection.clone(), head.kept.clone());
        let kept = blocking_work::run(move || {
            let key = key_of(&kept, &protection)?;
            Ok::<_, Error>(keep(&seal_index_key(NAME, &key, &protection)?, &protection))
        });
        let kept = kept.await?;
        let arguments = [Vec::new(), head.kept.clone(), kept.clone()];
        match RESEAL.run(self.link, &[self.prefix.head()], &arguments).await? {
            Value::Int(1) => self.take_up(kept).await,
            // Another does the same.
            _ => self.find_or_make().await,
        }
    }

    /// The head that this process goes by, if it was compared with the one that Redis has not long ago.
    fn believed(&self) -> Option<Arc<Head>> {
        let known = self.lock();
        known.as_ref().filter(|known| known.compared.elapsed() < BELIEVED).map(|known| Arc::clone(&known.head))
    }

    /// The head that this process goes by, if it is the one that Redis has, as far as is known.
    async fn current(&self) -> Result<Option<Arc<Head>>> {
        if let Some(head) = self.believed() {
            return Ok(Some(head));
        }
        let Some(head) = self.lock().as_ref().map(|known| Arc::clone(&known.head)) else { return Ok(None) };
        let is_current = match self.kept().await? {
            Some(kept) => self.compare(&head, Some(&kept)),
            None => self.put_back(&head).await? == Presence::There,
        };
        Ok(is_current.then_some(head))
    }

    /// Whether a partition that was not found by the names of `head` is to be looked for again, by those of another head.
    pub(crate) async fn is_superseded(&self, head: &Arc<Head>, relied_upon: Duration) -> Result<bool> {
        let is_recent = match &*self.lock() {
            Some(known) => Arc::ptr_eq(&known.head, head) && known.compared.elapsed() < relied_upon,
            None => false,
        };
        if is_recent {
            return Ok(false);
        }
        let kept = self.kept().await?;
        Ok(!self.compare(head, kept.as_deref()))
    }

    /// Whether `kept` is this head, or nothing; goes by it no more if not.
    fn compare(&self, head: &Arc<Head>, kept: Option<&[u8]>) -> bool {
        let is_same = kept.is_none_or(|kept| kept == head.kept);
        let mut known = self.lock();
        if let Some(known) = known.as_mut().filter(|known| is_same && Arc::ptr_eq(&known.head, head)) {
            known.compared = Instant::now();
        } else if known.as_ref().is_some_and(|known| Arc::ptr_eq(&known.head, head)) {
            *known = None;
        }
        is_same
    }

    async fn kept(&self) -> Result<Option<Vec<u8>>> {
        let mut get = Cmd::new();
        get.arg("GET").arg(self.prefix.head());
        kept(self.link.try_ask(self.within, &get).await?.map_err(of_redis)?)
    }

    /// Sets the head if there is none; answers the one that is there then.
    async fn set_if_none(&self, kept: &[u8]) -> Result<Vec<u8>> {
        let mut set = Cmd::new();
        set.arg("SET").arg(self.prefix.head()).arg(kept).arg("NX");
        match self.link.try_ask(self.within, &set).await?.map_err(of_redis)? {
            Value::Nil => {}
            _ => return Ok(kept.to_owned()),
        }
        self.kept().await?.ok_or_else(emptied)
    }

    async fn take_up(&self, kept: Vec<u8>) -> Result<Arc<Head>> {
        let protection = self.protection.clone();
        let head = blocking_work::run(move || open(kept, &protection)).await.map(Arc::new)?;
        *self.lock() = Some(Known { head: Arc::clone(&head), compared: Instant::now() });
        Ok(head)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.heads.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head as Redis keeps it.
fn kept(answer: Value) -> Result<Option<Vec<u8>>> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(kept) => Ok(Some(kept)),
        _ => Err(unexpected()),
    }
}

/// Whoever empties a server again and again is not waited for.
pub(crate) fn emptied() -> Error {
    let message = "the server is emptied again and again; look for the program that does it";
    Error::new(ErrorKind::Unavailable, message)
}

fn open(kept: Vec<u8>, protection: &Protection) -> Result<Head> {
    Ok(Head { index: IndexKey::new(&key_of(&kept, protection)?), kept })
}

fn keep(sealed: &[u8], protection: &Protection) -> Vec<u8> {
    [&[FORMAT, u8::from(protection.is_protected())], sealed].concat()
}

fn key_of(kept: &[u8], protection: &Protection) -> Result<IndexKeyBytes> {
    match *kept {
        [FORMAT, is_protected @ (0 | 1), ref key @ ..] => open_index_key(NAME, key, is_protected == 1, protection),
        [newer, ..] if newer > FORMAT => {
            let message = format!("the store has format {newer}, this program knows {FORMAT}; update the program");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        _ => Err(Error::new(ErrorKind::Corrupt, "the head of the store is damaged, or is another program's")),
    }
}
