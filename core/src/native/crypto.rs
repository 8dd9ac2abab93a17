//! What str0m needs of cryptography, in pure Rust: dimpl's DTLS and RustCrypto's hashes.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::Cell;
use core::time::Duration;
use std::sync::OnceLock;
#[expect(
    clippy::disallowed_types,
    reason = "in the signatures of str0m's traits"
)]
use std::time::Instant;

use dimpl::{Dtls, DtlsCertificate, Error, Output, ProtocolVersion};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use str0m::config::DtlsVersion;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider,
    Sha1HmacProvider, Sha1Provider, Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// The first retransmission of a DTLS flight. RFC 9147 section 5.8.2 says 1 s, and less where ICE has
/// measured the path; it doubles each time, so that starting high is what makes a lossy join slow.
const FLIGHT_RTO: Duration = Duration::from_millis(150);

/// Doubling from [`FLIGHT_RTO`] this is minutes: deadlines are the network's, never DTLS's own.
const FLIGHT_RETRIES: usize = 12;

/// The provider for every link.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            srtp_provider: &NoSrtp,
            sha1_hmac_provider: &Hashes,
            sha1_provider: &Hashes,
            sha256_provider: &Hashes,
            dtls_provider: &Dimpl,
        })
    }))
}

std::thread_local! {
    static RECORDS: Cell<u64> = const { Cell::new(0) };
}

/// How many application records this thread has decrypted so far, in all links.
///
/// str0m does not say whether a datagram was authentic unless it completed a message. A link reads
/// this before and after handing one over: the difference is its own, as both happen in one call.
pub(super) fn authentic_records() -> u64 {
    RECORDS.get()
}

#[derive(Debug)]
struct Dimpl;

#[expect(clippy::disallowed_types, reason = "str0m's trait")]
impl DtlsProvider for Dimpl {
    /// Never asked for: each node brings its own.
    fn generate_certificate(&self) -> Option<DtlsCertificate> {
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCertificate,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let mut config = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            // ICE has proved the address already, and a cookie costs a round trip.
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(Duration::from_secs(120));
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = Arc::new(config.build()?);
        let certificate = certificate.clone();
        let make = match version {
            DtlsVersion::Dtls12 => Dtls::new_12,
            DtlsVersion::Dtls13 => Dtls::new_13,
            _ => Dtls::new_auto,
        };
        Ok(Box::new(Instance {
            dtls: make(config, certificate, now),
        }))
    }
}

#[derive(Debug)]
struct Instance {
    dtls: Dtls,
}

#[expect(clippy::disallowed_types, reason = "str0m's trait")]
impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> Output<'a> {
        let output = self.dtls.poll_output(buf);
        if matches!(output, Output::ApplicationData(_)) {
            RECORDS.set(RECORDS.get().wrapping_add(1));
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, Error> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.dtls.close()
    }
}

#[derive(Debug)]
struct Hashes;

impl Sha1HmacProvider for Hashes {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
        for payload in payloads {
            mac.update(payload);
        }
        mac.finalize().into_bytes().into()
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        Sha1::digest(data).into()
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }
}

/// Media is refused: DTLS agrees on an SRTP profile (some peers insist), but no key is derived and
/// every packet is an error.
#[derive(Debug)]
struct NoSrtp;

fn refused() -> CryptoError {
    CryptoError::Other("media is not supported".into())
}

impl SrtpProvider for NoSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Self
    }
    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }
    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }
    fn srtp_aes_128_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {}
    fn srtp_aes_256_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {}
}

impl SupportedAes128CmSha1_80 for NoSrtp {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes128Gcm for NoSrtp {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes256Gcm for NoSrtp {
    fn create_cipher(&self, _: [u8; 32], _: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Self)
    }
}

impl Aes128CmSha1_80Cipher for NoSrtp {
    fn encrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(refused())
    }
    fn decrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(refused())
    }
}

impl AeadAes128GcmCipher for NoSrtp {
    fn encrypt(
        &mut self,
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<(), CryptoError> {
        Err(refused())
    }
    fn decrypt(
        &mut self,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(refused())
    }
}

impl AeadAes256GcmCipher for NoSrtp {
    fn encrypt(
        &mut self,
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<(), CryptoError> {
        Err(refused())
    }
    fn decrypt(
        &mut self,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_rfc_2202s() {
        let mac = Hashes.sha1_hmac(&[0x0b; 20], &[b"Hi ", b"There"]);
        let wanted = [
            0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b, 0xc0, 0xb6, 0xfb, 0x37,
            0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00,
        ];
        assert_eq!(mac, wanted);
    }
}
