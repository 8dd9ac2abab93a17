//! Signatures of one length, for simulated worlds.
//!
//! DER leaves out leading zeros: a signature by ECDSA over what the system drew is 70 to 72 bytes long, a packet
//! with it takes so much longer on a line with a capacity, and no run is like the other from there on.
//! So it is signed again until the length is the commonest.

use alloc::boxed::Box;

use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey,
};
use dimpl::{CryptoError, CryptoOperation};
use p256::ecdsa::signature::hazmat::RandomizedPrehashSigner as _;
use p256::ecdsa::{self, DerSignature};
use p256::pkcs8::DecodePrivateKey as _;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

/// Every second one has it.
const LENGTH: usize = 71;

/// One in 2^64 is not had.
const TRIES: usize = 64;

/// The same cryptography, but for that.
pub(super) fn provider(all: CryptoProvider) -> CryptoProvider {
    CryptoProvider {
        key_provider: &Keys,
        ..all
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let key = ecdsa::SigningKey::from_pkcs8_der(key)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        Ok(Box::new(Key(key)))
    }
}

struct Key(ecdsa::SigningKey);

impl core::fmt::Debug for Key {
    /// It is never printed.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl SigningKey for Key {
    fn sign(&mut self, data: &[u8], _: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        let digest = Sha256::digest(data);
        let mut rng = ChaCha12Rng::from_seed(digest.into());
        let signature = (0..TRIES)
            .filter_map(|_| self.0.sign_prehash_with_rng(&mut rng, &digest).ok())
            .find(|signature: &DerSignature| signature.as_bytes().len() == LENGTH)
            .ok_or(CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_bytes());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;

    use super::*;

    #[test]
    fn every_signature_has_the_one_length_and_is_good() {
        let signing = ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let mut key = Key(signing.clone());
        for nth in 0..50_u8 {
            let mut out = Buf::new();
            key.sign(&[nth], HashAlgorithm::SHA256, &mut out).unwrap();
            assert_eq!(out.len(), LENGTH);
            let signature = DerSignature::try_from(&out[..]).unwrap();
            let digest = Sha256::digest([nth]);
            signing
                .verifying_key()
                .verify_prehash(&digest, &signature)
                .unwrap();
        }
    }
}
