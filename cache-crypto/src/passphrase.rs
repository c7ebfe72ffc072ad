//! Passphrases: words that argon2id turns into master keys.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_core::{Error, ErrorKind, Result, Secret};

use crate::argon2_params::Argon2Params;
use crate::header::{SALT_LEN, Source};
use crate::key::Key;
use crate::primitives::{KEY_LEN, argon2id, random};
use crate::secret_file::secret_from_file;

/// Keys kept for salts that were met. Each takes some hundred bytes; a folder of files from many program runs can hold
/// as many salts as files.
const KEPT_KEYS: usize = 1024;

/// Words that a person remembers, from which keys are derived with argon2id.
///
/// Each salt and set of [parameters](Argon2Params) gives one key; it is derived once and kept. Deriving takes a tenth
/// of a second and more by design, and happens in [`Protector::prepare`](cache_core::Protector::prepare). Where that
/// was not called, protecting and opening derive themselves: late, but right.
///
/// Taken as its UTF-8 bytes, without normalization. Programs should use a [`Key`]: it is stronger and costs nothing.
pub struct Passphrase {
    words: Secret,
    params: Argon2Params,
    /// The salt of new envelopes, once it is chosen or adopted.
    salt: Mutex<Option<[u8; SALT_LEN]>>,
    derived: Mutex<Vec<Derived>>,
    /// Held while a key is derived, so that two threads never derive the same one, nor need twice the memory.
    deriving: Mutex<()>,
}

struct Derived {
    params: Argon2Params,
    salt: [u8; SALT_LEN],
    key: Key,
}

impl Passphrase {
    /// The passphrase with these words and the default [parameters](Argon2Params). Empty: `InvalidInput`.
    pub fn new(words: impl Into<Secret>) -> Result<Self> {
        let words = words.into();
        if words.is_empty() {
            let message = "the passphrase is empty; give one, or use a key file";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self {
            words,
            params: Argon2Params::default(),
            salt: Mutex::default(),
            derived: Mutex::default(),
            deriving: Mutex::default(),
        })
    }

    /// The passphrase in a file, without one line end after it. The file is read as [`Key::from_file`] reads one, with
    /// the same errors. Not UTF-8, or empty: `InvalidInput`.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let words = secret_from_file(path, "passphrase file")?;
        Self::new(words).map_err(|error| Error::new(error.kind(), format!("{}: {}", path.display(), error.message())))
    }

    /// The same words with other parameters for new envelopes. Those with other ones are still opened.
    #[must_use]
    pub fn with_params(self, params: Argon2Params) -> Self {
        Self { params, ..self }
    }

    /// The parameters of new envelopes.
    pub fn params(&self) -> Argon2Params {
        self.params
    }

    /// The key for these parameters and this salt.
    pub(crate) fn key(&self, params: &Argon2Params, salt: &[u8; SALT_LEN]) -> Result<Key> {
        if let Some(key) = self.derived(params, salt) {
            return Ok(key);
        }
        let _deriving = lock(&self.deriving);
        if let Some(key) = self.derived(params, salt) {
            return Ok(key);
        }
        let work = argon2::Params::new(params.memory_kib(), params.passes(), params.lanes(), Some(KEY_LEN))
            .map_err(|error| Error::new(ErrorKind::Internal, format!("argon2id parameters: {error}")))?;
        let key = Key::from_bytes(&*argon2id(self.words.expose().as_bytes(), b"", salt, work)?);
        let mut derived = lock(&self.derived);
        if derived.len() == KEPT_KEYS {
            derived.remove(0);
        }
        derived.push(Derived { params: *params, salt: *salt, key: key.clone() });
        Ok(key)
    }

    /// Whether the key for these parameters and this salt has been derived already.
    pub(crate) fn has_derived(&self, params: &Argon2Params, salt: &[u8; SALT_LEN]) -> bool {
        self.derived(params, salt).is_some()
    }

    /// The key of this id, if it has been derived already.
    pub(crate) fn known(&self, id: crate::KeyId) -> Option<Key> {
        lock(&self.derived).iter().find(|derived| derived.key.id() == id).map(|derived| derived.key.clone())
    }

    /// Uses this salt for new envelopes, if it was made with the parameters that new envelopes get. Processes that
    /// share a file so come to share a salt, and each derives once.
    ///
    /// Call it only for a source whose key has proven right: who can write the file could else choose weak parameters.
    pub(crate) fn adopt(&self, source: &Source) {
        if let Source::Argon2id { params, salt } = source
            && *params == self.params
        {
            *lock(&self.salt) = Some(*salt);
        }
    }

    /// The key for new envelopes and where it comes from.
    pub(crate) fn current(&self) -> Result<(Key, Source)> {
        let salt = self.salt()?;
        Ok((self.key(&self.params, &salt)?, Source::Argon2id { params: self.params, salt }))
    }

    /// How many keys have been derived.
    #[cfg(test)]
    pub(crate) fn derivations(&self) -> usize {
        lock(&self.derived).len()
    }

    fn salt(&self) -> Result<[u8; SALT_LEN]> {
        let mut chosen = lock(&self.salt);
        if let Some(salt) = *chosen {
            return Ok(salt);
        }
        let mut salt = [0; SALT_LEN];
        random(&mut salt)?;
        *chosen = Some(salt);
        Ok(salt)
    }

    fn derived(&self, params: &Argon2Params, salt: &[u8; SALT_LEN]) -> Option<Key> {
        let derived = lock(&self.derived);
        derived.iter().find(|derived| derived.params == *params && derived.salt == *salt).map(|found| found.key.clone())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passphrase({})", self.params)
    }
}

/// A panic elsewhere leaves these locks' content whole: each is written in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn passphrase(words: &str) -> Passphrase {
        let params = Argon2Params::new(64, 1, 1).expect("in bounds");
        Passphrase::new(words).expect("words").with_params(params)
    }

    #[test]
    fn a_key_is_derived_once() {
        // Enough work that threads which start together also derive together, unless they wait for each other.
        let params = Argon2Params::new(4096, 1, 1).expect("in bounds");
        let passphrase = Passphrase::new("words").expect("words").with_params(params);
        let start = Barrier::new(8);
        let ids: Vec<_> = thread::scope(|scope| {
            let key = || {
                start.wait();
                passphrase.key(&params, &[7; SALT_LEN]).expect("derived").id()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(key)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(passphrase.derivations(), 1, "each derivation adds one");
    }

    #[test]
    fn words_salt_and_each_parameter_make_the_key() {
        let [one, two] = ["words", "Words"].map(passphrase);
        let key = |passphrase: &Passphrase, (memory, passes, lanes), salt| {
            let params = Argon2Params::new(memory, passes, lanes).expect("in bounds");
            passphrase.key(&params, &[salt; SALT_LEN]).expect("derived").id()
        };
        let mut ids = HashSet::from([key(&one, (64, 1, 1), 7), key(&two, (64, 1, 1), 7), key(&one, (64, 1, 1), 8)]);
        ids.extend([(72, 1, 1), (64, 2, 1), (64, 1, 2)].map(|work| key(&one, work, 7)));
        assert_eq!(ids.len(), 6);
        assert_eq!(key(&passphrase("words"), (64, 1, 1), 7), key(&one, (64, 1, 1), 7));
    }

    #[test]
    fn a_salt_is_chosen_once_and_adopted_with_equal_parameters_only() {
        let passphrase = passphrase("words");
        let (first, source) = passphrase.current().expect("derived");
        assert_eq!(passphrase.current().expect("kept").0.id(), first.id());

        let weaker = Argon2Params::new(8, 1, 1).expect("in bounds");
        passphrase.adopt(&Source::Argon2id { params: weaker, salt: [7; SALT_LEN] });
        passphrase.adopt(&Source::Key);
        assert!(passphrase.current().expect("kept").1 == source);

        let shared = Source::Argon2id { params: passphrase.params, salt: [7; SALT_LEN] };
        passphrase.adopt(&shared);
        assert!(passphrase.current().expect("derived").1 == shared);
    }

    #[test]
    fn kept_keys_are_bounded() {
        let passphrase = passphrase("words");
        let params = Argon2Params::new(8, 1, 1).expect("in bounds");
        for n in 0..=KEPT_KEYS {
            let salt = std::array::from_fn(|at| (n >> (8 * (at % 8))) as u8);
            passphrase.key(&params, &salt).expect("derived");
        }
        assert_eq!(passphrase.derivations(), KEPT_KEYS);
    }

    /// The default work, against the reference implementation (argon2-cffi 25.1.0).
    #[test]
    fn the_default_is_argon2id_with_64_mib_3_passes_1_lane() {
        let passphrase = Passphrase::new("correct horse battery staple").expect("words");
        let key = passphrase.key(&passphrase.params(), b"0123456789abcdef").expect("64 MiB");
        assert_eq!(
            key.expose(),
            crate::hex::decode("94c86f541abdb3d9aabfea59aa03963549483e9c0b1a79336e76b54cee6c917e")
        );
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        assert_eq!(Passphrase::new("").expect_err("empty").kind(), ErrorKind::InvalidInput);
    }
}
