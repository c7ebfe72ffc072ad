//! A vector whose clones share what has not changed since, so that a change to a large cache costs no copy of it.

use std::sync::Arc;

/// Elements in chunks of `SIZE`, a power of two. Clones share chunks; one is copied when it is first changed.
#[derive(Clone)]
pub(super) struct Chunks<T, const SIZE: usize> {
    /// Each as long as `SIZE`; a lone one as long as it need be, since most caches are small.
    chunks: Vec<Arc<[T]>>,
    length: usize,
}

/// The elements of chunks that are new. To reach one asks nobody whether it is shared.
pub(super) struct Unshared<'c, T, const SIZE: usize>(Vec<&'c mut [T]>);

impl<T, const SIZE: usize> Unshared<'_, T, SIZE> {
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at / SIZE)?.get_mut(at % SIZE)
    }
}

impl<T, const SIZE: usize> Default for Chunks<T, SIZE> {
    fn default() -> Self {
        Self { chunks: Vec::new(), length: 0 }
    }
}

impl<T, const SIZE: usize> Chunks<T, SIZE> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / SIZE)?.get(at % SIZE)
    }

    /// The elements from this place to the end of its chunk; none behind the last place.
    #[inline]
    pub(super) fn rest_of_chunk(&self, at: usize) -> &[T] {
        self.chunks.get(at / SIZE).and_then(|chunk| chunk.get(at % SIZE..)).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).take(self.length)
    }
}

impl<T: Clone + Default, const SIZE: usize> Chunks<T, SIZE> {
    /// So many default elements, fewer than `SIZE` or a multiple of it, and changed by `fill` before anybody shares them.
    pub(super) fn filled(length: usize, fill: impl FnOnce(&mut Unshared<'_, T, SIZE>)) -> Self {
        let chunk = |length: usize| (0..length).map(|_| T::default()).collect();
        let mut chunks: Vec<Arc<[T]>> = (0..length.div_ceil(SIZE)).map(|_| chunk(length.min(SIZE))).collect();
        fill(&mut Unshared(chunks.iter_mut().map(Arc::make_mut).collect()));
        Self { chunks, length }
    }

    /// The element at this place, to be changed.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(at / SIZE)?).get_mut(at % SIZE)
    }

    /// Adds an element at the end, and answers its place.
    pub(super) fn push(&mut self, element: T) -> usize {
        let at = self.length;
        if self.get(at).is_none() {
            self.grow();
        }
        if let Some(place) = self.get_mut(at) {
            *place = element;
            self.length += 1;
        }
        at
    }

    /// Makes room for one more at least.
    fn grow(&mut self) {
        let lone = match &mut self.chunks[..] {
            [lone] if lone.len() < SIZE => Arc::make_mut(lone),
            [] => &mut [],
            _ => {
                self.chunks.push((0..SIZE).map(|_| T::default()).collect());
                return;
            }
        };
        let more = lone.len().max(4).min(SIZE - lone.len());
        let filler = (0..more).map(|_| T::default());
        let longer: Vec<T> = lone.iter_mut().map(std::mem::take).chain(filler).collect();
        self.chunks = vec![longer.into()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Chunks<u32, 8>;

    #[test]
    fn what_is_pushed_is_there() {
        let mut chunks = Small::default();
        for n in 0..100 {
            assert_eq!(chunks.push(n), n as usize);
            assert!(chunks.iter().copied().eq(0..=n), "{n}");
            assert_eq!((chunks.len(), chunks.get(n as usize)), (n as usize + 1, Some(&n)));
        }
        assert!(chunks.chunks.iter().all(|chunk| chunk.len() == 8));
        assert_eq!((chunks.rest_of_chunk(13), chunks.rest_of_chunk(1000)), (&[13, 14, 15][..], &[][..]));
        assert_eq!(Small::default().get(0), None);
    }

    #[test]
    fn a_clone_changes_nothing_in_the_other_and_copies_one_chunk() {
        let mut chunks = Small::filled(32, |new| *new.get_mut(31).expect("is there") = 1);
        assert_eq!((chunks.get(30), chunks.get(31), chunks.get(32)), (Some(&0), Some(&1), None));
        let before = chunks.clone();
        *chunks.get_mut(9).expect("is there") = 7;
        assert_eq!((chunks.get(9), before.get(9)), (Some(&7), Some(&0)));
        let shared = chunks.chunks.iter().zip(&before.chunks).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 3);
        assert_eq!(chunks.push(8), 32);
        assert_eq!((chunks.len(), before.len(), before.get(32)), (33, 32, None));

        // Also where a lone chunk is made longer.
        let mut lone = Small::default();
        lone.push(1);
        let before = lone.clone();
        for n in 2..8 {
            lone.push(n);
        }
        assert!(before.iter().copied().eq([1]) && lone.iter().copied().eq(1..8));
    }
}
