//! The node's certificate: P-256, self-signed, made from the seed.
//!
//! One per node, as RFC 8827 section 6.5 allows: it only has to match the fingerprint that is
//! signalled. ECDSA signs deterministically here (RFC 6979), so that a seed gives one certificate.

use alloc::vec::Vec;
use core::str::FromStr as _;

use dimpl::DtlsCertificate;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePrivateKey as _;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder, Result};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::Encode as _;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use crate::rng::Rng;

/// Makes the certificate. `None` if one of the encoders refuses, which no seed is known to cause.
pub(super) fn make(rng: &mut Rng) -> Option<DtlsCertificate> {
    let key = signing_key(rng)?;
    Some(DtlsCertificate {
        certificate: self_signed(&key, rng.bytes())?,
        private_key: p256::SecretKey::from(key)
            .to_pkcs8_der()
            .ok()?
            .as_bytes()
            .to_vec(),
    })
}

/// Draws until the bytes are below the order of the curve: one in 2^32 draws is not.
fn signing_key(rng: &mut Rng) -> Option<SigningKey> {
    (0..8).find_map(|_| SigningKey::from_slice(&rng.bytes::<32>()).ok())
}

fn self_signed(key: &SigningKey, mut serial: [u8; 16]) -> Option<Vec<u8>> {
    // Positive, and of the same length whatever is drawn.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    // Nobody looks at the dates: what counts is the fingerprint. Fixed ones need no clock.
    let validity = Validity::new(Time::from_str("2024-01-01T00:00:00Z").ok()?, Time::INFINITY);
    CertificateBuilder::new(
        Anonymous(Name::from_str("CN=WebRTC").ok()?),
        SerialNumber::new(&serial).ok()?,
        validity,
        SubjectPublicKeyInfo::from_key(key.verifying_key()).ok()?,
    )
    .ok()?
    .build::<_, DerSignature>(key)
    .ok()?
    .to_der()
    .ok()
}

/// Says nothing about who we are, like the certificates that browsers make.
struct Anonymous(Name);

impl BuilderProfile for Anonymous {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        // One extension makes it a version 3 certificate, which is what others send and expect.
        let leaf = BasicConstraints {
            ca: false,
            path_len_constraint: None,
        };
        Ok(alloc::vec![leaf.to_extension(tbs.subject(), &[])?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_certificate() {
        let make = |seed| make(&mut Rng::new([seed; 32])).unwrap();
        let (one, again, other) = (make(1), make(1), make(2));
        assert_eq!(one.certificate, again.certificate);
        assert_eq!(one.private_key, again.private_key);
        assert_ne!(one.certificate, other.certificate);
    }

    #[test]
    fn the_key_is_in_the_certificate() {
        use p256::pkcs8::DecodePrivateKey as _;
        use x509_cert::der::Decode as _;
        for seed in 0..20 {
            let made = make(&mut Rng::new([seed; 32])).unwrap();
            let certificate = x509_cert::Certificate::from_der(&made.certificate).unwrap();
            let key = p256::SecretKey::from_pkcs8_der(&made.private_key).unwrap();
            let public = SubjectPublicKeyInfo::from_key(&key.public_key()).unwrap();
            assert_eq!(
                *certificate.tbs_certificate().subject_public_key_info(),
                public
            );
        }
    }
}
