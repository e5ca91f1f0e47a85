// SPDX-License-Identifier: GPL-2.0

//! The cluster's own certificate authority, and TLS 1.3 between its nodes.
//!
//! A node proves who it is with a certificate for the name `node-ID`, signed by an authority that
//! signs nothing else. There is no other way in, and both sides ask for it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use super::row::NodeId;

/// What both sides have to say that they speak.
const ALPN: &[u8] = b"tcp-splice-cluster";

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{}: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file has something else in it.
    #[error("{}: {what}", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS does not take them.
    #[error("{}: {error}; make the keys of a cluster with spliced --make-keys", folder.display())]
    Tls {
        /// Where they are.
        folder: PathBuf,
        /// What is wrong.
        error: String,
    },
}

/// The name in the certificate of a node.
pub fn name_of(node: NodeId) -> String {
    format!("node-{node}")
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "tcp_splice cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn write(file: &Path, text: &str, mode: u32) -> Result<(), KeysError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut out| {
            out.write_all(text.as_bytes())?;
            out.sync_all()
        })
        .map_err(|error| KeysError::File {
            file: file.to_owned(),
            error,
        })
}

fn read(file: &Path) -> Result<String, KeysError> {
    fs::read_to_string(file).map_err(|error| KeysError::File {
        file: file.to_owned(),
        error,
    })
}

/// Makes keys and certificates of these nodes in a folder, and the authority if it is not there yet.
/// Nothing that is there is overwritten. Returns the files that were made.
///
/// # Errors
///
/// When a file cannot be written, or is there already.
pub fn make(folder: &Path, nodes: &[NodeId]) -> Result<Vec<PathBuf>, KeysError> {
    fs::create_dir_all(folder).map_err(|error| KeysError::File {
        file: folder.to_owned(),
        error,
    })?;
    let mut made = Vec::new();
    let (ca_key, ca_crt) = (folder.join("ca.key"), folder.join("ca.crt"));
    let key = if ca_key.exists() {
        KeyPair::from_pem(&read(&ca_key)?)?
    } else {
        let key = KeyPair::generate()?;
        let certificate = authority_params().self_signed(&key)?;
        write(&ca_key, &key.serialize_pem(), 0o600)?;
        write(&ca_crt, &certificate.pem(), 0o644)?;
        made.extend([ca_key, ca_crt]);
        key
    };
    let issuer = Issuer::new(authority_params(), key);
    for node in nodes {
        let name = name_of(*node);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, name.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &issuer)?;
        let (key_file, crt_file) = (
            folder.join(format!("{name}.key")),
            folder.join(format!("{name}.crt")),
        );
        write(&key_file, &key.serialize_pem(), 0o600)?;
        write(&crt_file, &certificate.pem(), 0o644)?;
        made.extend([key_file, crt_file]);
    }
    Ok(made)
}

/// What a node needs to speak to others.
#[derive(Debug, Clone)]
pub struct Tls {
    /// For connections that it makes.
    pub client: Arc<ClientConfig>,
    /// For connections that others make.
    pub server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads `ca.crt`, `node-ID.crt` and `node-ID.key`, and looks whether they belong together.
    ///
    /// # Errors
    ///
    /// Which file is missing, or does not fit.
    pub fn load(folder: &Path, me: NodeId) -> Result<Tls, KeysError> {
        let name = name_of(me);
        let crt_file = folder.join(format!("{name}.crt"));
        let authority = certificate(&folder.join("ca.crt"))?;
        let own = certificate(&crt_file)?;
        let key_file = folder.join(format!("{name}.key"));
        let key = PrivateKeyDer::from_pem_slice(read(&key_file)?.as_bytes()).map_err(|e| {
            KeysError::Content {
                file: key_file,
                what: format!("no private key: {e:?}"),
            }
        })?;
        if !is_of(&own, me) {
            return Err(KeysError::Content {
                file: crt_file,
                what: format!("the certificate is not for the name {name}"),
            });
        }
        let error = |error: &dyn std::fmt::Display| KeysError::Tls {
            folder: folder.to_owned(),
            error: error.to_string(),
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|e| error(&e))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|e| error(&e))?;
        let versions = &[&rustls::version::TLS13];
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| error(&e))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own.clone()], key.clone_key())
            .map_err(|e| error(&e))?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        // Every connection proves itself anew.
        client.resumption = rustls::client::Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|e| error(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![own], key)
            .map_err(|e| error(&e))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        Ok(Tls {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

fn certificate(file: &Path) -> Result<CertificateDer<'static>, KeysError> {
    CertificateDer::from_pem_slice(read(file)?.as_bytes()).map_err(|e| KeysError::Content {
        file: file.to_owned(),
        what: format!("no certificate: {e:?}"),
    })
}

/// The name by which a node is asked for.
pub fn server_name(node: NodeId) -> Option<ServerName<'static>> {
    ServerName::try_from(name_of(node)).ok()
}

/// Whether a certificate, which has been verified, is of this node.
pub fn is_of(certificate: &CertificateDer<'_>, node: NodeId) -> bool {
    let (Ok(parsed), Some(name)) = (ParsedCertificate::try_from(certificate), server_name(node))
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path(), &[NodeId(1), NodeId(2)]).unwrap();
        assert_eq!(made.len(), 6);
        for file in &made {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            let is_key = file.extension().unwrap() == "key";
            assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{file:?}");
        }
        // A third node later, by the same authority.
        let before = fs::read(folder.path().join("ca.crt")).unwrap();
        assert_eq!(make(folder.path(), &[NodeId(3)]).unwrap().len(), 2);
        assert_eq!(fs::read(folder.path().join("ca.crt")).unwrap(), before);
        assert!(matches!(
            make(folder.path(), &[NodeId(1)]),
            Err(KeysError::File { .. })
        ));
        for node in [1, 2, 3] {
            Tls::load(folder.path(), NodeId(node)).unwrap();
        }
    }

    #[test]
    fn certificates_are_of_one_node() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &[NodeId(1), NodeId(12)]).unwrap();
        let twelve = certificate(&folder.path().join("node-12.crt")).unwrap();
        assert!(is_of(&twelve, NodeId(12)));
        assert!(!is_of(&twelve, NodeId(1)));
        fs::copy(
            folder.path().join("node-12.crt"),
            folder.path().join("node-2.crt"),
        )
        .unwrap();
        fs::copy(
            folder.path().join("node-12.key"),
            folder.path().join("node-2.key"),
        )
        .unwrap();
        let error = Tls::load(folder.path(), NodeId(2)).unwrap_err();
        assert!(error.to_string().ends_with("is not for the name node-2"));
        fs::copy(
            folder.path().join("node-1.key"),
            folder.path().join("node-12.key"),
        )
        .unwrap();
        assert!(matches!(
            Tls::load(folder.path(), NodeId(12)),
            Err(KeysError::Tls { .. })
        ));
        let error = Tls::load(folder.path(), NodeId(9)).unwrap_err();
        assert!(error.to_string().contains("node-9.crt"), "{error}");
    }
}
