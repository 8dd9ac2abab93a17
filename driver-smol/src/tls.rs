//! TLS for the ways to the signaling server and to TURN servers: always verified, ring as the provider.

use std::io;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use futures_rustls::pki_types::CertificateDer;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::{self, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use wattle_core::signaling::SignalingFailure;

/// Makes TLS connections that trust the system's authorities and `extra`.
///
/// On Linux the system's are those of `SSL_CERT_FILE` and `SSL_CERT_DIR` if these are set. A
/// machine that has none at all gets Mozilla's, so that a bare container works.
pub(crate) fn connector(extra: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match platform_verifier(extra, provider) {
        Ok(verifier) => builder
            .dangerous() // rustls calls every verifier of one's own so; this one is the system's.
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
        Err(error) => {
            tracing::debug!(%error, "no certificates in the system, using Mozilla's");
            let mut roots = RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            };
            for certificate in extra {
                roots.add(certificate.clone())?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn platform_verifier(
    extra: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    if extra.is_empty() {
        Verifier::new(provider)
    } else {
        Verifier::new_with_extra_roots(extra.iter().cloned(), provider)
    }
}

/// What an error of a TLS connection means.
pub(crate) fn failure(error: &io::Error) -> SignalingFailure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            SignalingFailure::Certificate
        }
        Some(_) => SignalingFailure::Tls,
        // The other side hung up in the middle of the handshake.
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => SignalingFailure::Tls,
            _ => crate::websocket::io_failure(error),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use futures_rustls::TlsAcceptor;
    use futures_rustls::pki_types::PrivateKeyDer;
    use futures_rustls::rustls::ServerConfig;

    /// A TLS server with a certificate for `name`, signed by itself.
    pub(crate) fn server(name: &str) -> (TlsAcceptor, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        (TlsAcceptor::from(Arc::new(config)), certificate)
    }
}
