//! The envelope, beside bare AES-256-GCM between buffers that are there.

use std::hint::black_box;
use std::time::Duration;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _};
use benches::{PARTITION, Population, is_full};
use cache_core::{Context, Protector as _};
use cache_crypto::{Envelope, Key};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn crypto(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crypto");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let envelope = Envelope::with_key(Key::generate().expect("the system's random numbers"));
    let context = Context::document("file", &PARTITION);
    let (cipher, nonce) = (Aes256Gcm::new(&[1; 32].into()), [2; 12].into());
    // One entry; the caches of one user, of 1,000 and of 100,000 tokens.
    let sizes: &[usize] = if is_full() { &[1, 10, 1_000, 100_000] } else { &[1, 10, 1_000] };
    for &tokens in sizes {
        let plaintext = Population::App.document(tokens);
        let length = plaintext.len();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("seal", length), |bencher| {
            bencher.iter_with_large_drop(|| envelope.protect(black_box(&plaintext), &context).expect("a key"));
        });
        let mut ciphertext = vec![0; length];
        group.bench_function(BenchmarkId::new("limit of seal: AES-256-GCM", length), |bencher| {
            bencher.iter(|| cipher.encrypt_inout_detached(&nonce, &[], buffers(&plaintext, &mut ciphertext)));
        });
        let sealed = envelope.protect(&plaintext, &context).expect("a key");
        group.bench_function(BenchmarkId::new("open", length), |bencher| {
            bencher.iter_with_large_drop(|| envelope.unprotect(black_box(&sealed), &context).expect("our own bytes"));
        });
        let sealing = cipher.encrypt_inout_detached(&nonce, &[], buffers(&plaintext, &mut ciphertext));
        let tag = sealing.expect("it is not too long");
        let mut opened = vec![0; length];
        let opening = cipher.decrypt_inout_detached(&nonce, &[], buffers(&ciphertext, &mut opened), &tag);
        assert!(opening.is_ok() && opened == plaintext, "the limit opens what it sealed");
        group.bench_function(BenchmarkId::new("limit of open: AES-256-GCM", length), |bencher| {
            bencher.iter(|| cipher.decrypt_inout_detached(&nonce, &[], buffers(&ciphertext, &mut opened), &tag));
        });
    }
    group.finish();
}

fn buffers<'a>(from: &'a [u8], to: &'a mut [u8]) -> InOutBuf<'a, 'a, u8> {
    InOutBuf::new(from, to).expect("both have one length")
}

criterion_group!(benches, crypto);
criterion_main!(benches);
