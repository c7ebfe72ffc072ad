//! The three primitives of the envelope, each behind one function, so that published vectors run through the very
//! code that protects tokens.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use cache_core::{Error, ErrorKind, Result};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of master keys and content keys.
pub(crate) const KEY_LEN: usize = 32;
/// Length of AES-GCM nonces.
pub(crate) const NONCE_LEN: usize = 12;
/// Length of AES-GCM tags.
pub(crate) const TAG_LEN: usize = 16;

/// HKDF-Extract with SHA-256. An empty salt is the salt that RFC 5869 takes where none is given.
pub(crate) fn extract(salt: &[u8], input: &[u8]) -> Hkdf<Sha256> {
    Hkdf::new(Some(salt), input)
}

/// HKDF-Expand with SHA-256: `N` bytes for one label.
pub(crate) fn expand<const N: usize>(extracted: &Hkdf<Sha256>, label: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "RFC 5869 ends there") }
    let mut output = Zeroizing::new([0; N]);
    extracted.expand(label, &mut output[..]).expect("the length was checked when this was compiled");
    output
}

/// AES-256-GCM from `plaintext` into `ciphertext`, which has the same length; the plaintext is copied nowhere else.
pub(crate) fn encrypt(
    key: &[u8; KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    associated: &[u8],
    plaintext: &[u8],
    ciphertext: &mut [u8],
) -> Result<[u8; TAG_LEN]> {
    let buffer = InOutBuf::new(plaintext, ciphertext).map_err(|_| unequal())?;
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, buffer)
        .map_err(|_| Error::new(ErrorKind::TooLarge, "AES-GCM protects at most 64 GiB at once; split the cache"))?;
    Ok(tag.into())
}

/// AES-256-GCM from `ciphertext` into `plaintext`, which has the same length; false, and nothing written, if the tag
/// does not fit.
pub(crate) fn decrypt(
    key: &[u8; KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    associated: &[u8],
    ciphertext: &[u8],
    tag: &[u8; TAG_LEN],
    plaintext: &mut [u8],
) -> Result<bool> {
    let buffer = InOutBuf::new(ciphertext, plaintext).map_err(|_| unequal())?;
    Ok(Aes256Gcm::new(key.into()).decrypt_inout_detached(nonce.into(), associated, buffer, tag.into()).is_ok())
}

/// argon2id version 19. `secret` and the associated data of `params` are for the vectors of RFC 9106; keys have none.
///
/// The memory is taken here, not by the cipher crate, so that its shortage is an error and so that it is wiped.
pub(crate) fn argon2id(
    passphrase: &[u8],
    secret: &[u8],
    salt: &[u8],
    params: Params,
) -> Result<Zeroizing<[u8; KEY_LEN]>> {
    let refused = |error: argon2::Error| Error::new(ErrorKind::Internal, format!("argon2id: {error}"));
    let blocks = params.block_count();
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(blocks).map_err(|_| {
        let message = format!("deriving the key takes {blocks} KiB of memory, which this system does not give now");
        Error::new(ErrorKind::Unavailable, message)
    })?;
    memory.resize(blocks, Block::new());
    let mut key = Zeroizing::new([0; KEY_LEN]);
    Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params)
        .and_then(|argon2| argon2.hash_password_into_with_memory(passphrase, salt, &mut key[..], &mut memory[..]))
        .map_err(refused)?;
    Ok(key)
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the operating system gives no random bytes; try again").with_source(error)
    })
}

fn unequal() -> Error {
    Error::new(ErrorKind::Internal, "input and output of the cipher differ in length")
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};

    use super::*;
    use crate::hex::decode as hex;

    fn hkdf<const N: usize>(input: &str, salt: &str, info: &str, expected: &str) {
        let output = expand::<N>(&extract(&hex(salt), &hex(input)), &hex(info));
        assert_eq!(output[..], hex(expected)[..]);
    }

    #[test]
    fn hkdf_rfc_5869_case_1() {
        hkdf::<42>(
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        );
    }

    #[test]
    fn hkdf_rfc_5869_case_2() {
        hkdf::<82>(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\
             303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
            "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f\
             909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
            "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf\
             e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        );
    }

    #[test]
    fn hkdf_rfc_5869_case_3() {
        hkdf::<42>(
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        );
    }

    fn gcm(key: &str, nonce: &str, associated: &str, plaintext: &str, ciphertext: &str, tag: &str) {
        let key = hex(key).try_into().expect("32 bytes");
        let nonce = hex(nonce).try_into().expect("12 bytes");
        let (associated, plaintext) = (hex(associated), hex(plaintext));
        let mut sealed = vec![0; plaintext.len()];
        let got = encrypt(&key, &nonce, &associated, &plaintext, &mut sealed).expect("a short text");
        assert_eq!((sealed.clone(), got.to_vec()), (hex(ciphertext), hex(tag)));

        let mut opened = vec![0; sealed.len()];
        assert!(decrypt(&key, &nonce, &associated, &sealed, &got, &mut opened).expect("equal lengths"));
        assert_eq!(opened, plaintext);
        let mut wrong = got;
        wrong[15] ^= 1;
        opened.fill(0);
        assert!(!decrypt(&key, &nonce, &associated, &sealed, &wrong, &mut opened).expect("equal lengths"));
        assert!(opened.iter().all(|&byte| byte == 0), "plaintext was released before the tag was checked");
    }

    // McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, the AES-256 cases with 96-bit nonces.
    const GCM_KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const GCM_PLAINTEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                                 1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    const GCM_CIPHERTEXT: &str = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                                  8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";

    #[test]
    fn aes_256_gcm_case_13() {
        gcm(&"00".repeat(32), &"00".repeat(12), "", "", "", "530f8afbc74536b9a963b4f1c4cb738b");
    }

    #[test]
    fn aes_256_gcm_case_14() {
        gcm(
            &"00".repeat(32),
            &"00".repeat(12),
            "",
            &"00".repeat(16),
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        );
    }

    #[test]
    fn aes_256_gcm_case_15() {
        let nonce = "cafebabefacedbaddecaf888";
        gcm(GCM_KEY, nonce, "", GCM_PLAINTEXT, GCM_CIPHERTEXT, "b094dac5d93471bdec1a502270e3cc6c");
    }

    #[test]
    fn aes_256_gcm_case_16() {
        gcm(
            GCM_KEY,
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            &GCM_PLAINTEXT[..120],
            &GCM_CIPHERTEXT[..120],
            "76fc6ece0f4e1768cddf8853bb2d551b",
        );
    }

    #[test]
    fn argon2id_rfc_9106_section_5_3() {
        let mut params = ParamsBuilder::new();
        params.m_cost(32).t_cost(3).p_cost(4).output_len(32);
        params.data(AssociatedData::new(&[4; 12]).expect("12 bytes"));
        let key = argon2id(&[1; 32], &[3; 8], &[2; 16], params.build().expect("in range")).expect("32 KiB");
        assert_eq!(key[..], hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")[..]);
    }

    /// From the reference implementation's own tests (P-H-C/phc-winner-argon2, `src/test.c`).
    #[test]
    fn argon2id_without_secret_and_data() {
        let params = Params::new(64 * 1024, 2, 1, Some(32)).expect("in range");
        let key = argon2id(b"password", b"", b"somesalt", params).expect("64 MiB");
        assert_eq!(key[..], hex("09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7")[..]);
    }
}
