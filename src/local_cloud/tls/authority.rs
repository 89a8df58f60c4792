//! The certificate authority of one local cloud: made once, kept in the cloud's directory, trusted by nobody but those
//! who are given its certificate. Its key never leaves this file.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SigningKey, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::{TlsError, subject};
use crate::local_cloud::auth::sha256_hex;
use crate::local_cloud::time::after;

/// How long an authority is valid.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The year from which a certificate is valid: the cloud's clock may have been set far ahead of those of its clients.
const VALID_FROM: i32 = 2020;
/// The last second that a certificate can name: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

/// The authority.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority that is kept in `dir`, made if there is none; without a directory a new one.
    pub(crate) fn open(dir: Option<&Path>, now: Timestamp) -> Result<Authority, TlsError> {
        let Some(dir) = dir else { return Authority::make(now) };
        let (pem_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Io { path, source }
        };
        match std::fs::read_to_string(&pem_path) {
            Ok(pem) => {
                let key = KeyPair::from_pem(&std::fs::read_to_string(&key_path).map_err(at(&key_path))?)?;
                Ok(Authority { pem, issuer: Issuer::new(parameters_of(&key), key) })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Authority::make(now)?;
                // The certificate comes last: once it is there, both are.
                write_private(&key_path, made.issuer.key().serialize_pem().as_bytes()).map_err(at(&key_path))?;
                let beside = dir.join("ca.pem.new");
                std::fs::write(&beside, &made.pem).and_then(|()| std::fs::rename(&beside, &pem_path)).map_err(at(&pem_path))?;
                Ok(made)
            }
            Err(error) => Err(at(&pem_path)(error)),
        }
    }

    fn make(now: Timestamp) -> Result<Authority, TlsError> {
        let key = KeyPair::generate()?;
        let parameters = valid(parameters_of(&key), now, after(now, LIFETIME));
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Authority { pem, issuer: Issuer::new(parameters, key) })
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The same as bytes.
    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, TlsError> {
        use rustls::pki_types::pem::PemObject;
        CertificateDer::from_pem_slice(self.pem.as_bytes()).map_err(|error| TlsError::Setup(format!("ca.pem: {error}")))
    }

    /// A certificate for a server of those names and addresses.
    pub(crate) fn issue_server(&self, names: &[String], now: Timestamp, until: Timestamp) -> Result<Issued, TlsError> {
        let mut parameters = CertificateParams::new(names)?;
        let common_name = names.first().map_or("", String::as_str);
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(parameters, None, now, until)
    }

    /// A certificate for a client, with its key, both in PEM. To the server it is a [`super::super::wire::Peer`].
    pub(crate) fn issue_client(
        &self,
        common_name: &str,
        organizations: &[String],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(String, String), TlsError> {
        let mut parameters = CertificateParams::default();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = subject::name(common_name, organizations);
        let issued = self.issue(parameters, Some(&name), now, until)?;
        Ok((pem_of(&issued.certificate), issued.key.serialize_pem()))
    }

    fn issue(&self, mut parameters: CertificateParams, name: Option<&[u8]>, now: Timestamp, until: Timestamp) -> Result<Issued, TlsError> {
        let key = KeyPair::generate()?;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = valid(parameters, now, until).signed_by(&key, &self.issuer)?;
        let Some(name) = name else { return Ok(Issued { certificate: certificate.der().clone(), key }) };
        // A name may hold several organizations, which the parameters can't say: it is put in, and signed again.
        let parts = subject::Parts::of(certificate.der()).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let body = parts.with_name(name);
        let signature = self.issuer.key().sign(&body)?;
        Ok(Issued { certificate: parts.signed(&body, &signature).into(), key })
    }
}

/// What is said of an authority with that key. The name follows from the key, so that two authorities differ in it.
fn parameters_of(key: &KeyPair) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "aliform");
    parameters.distinguished_name.push(DnType::CommonName, format!("local cloud {}", &sha256_hex(key.der_bytes())[..12]));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn valid(mut parameters: CertificateParams, now: Timestamp, until: Timestamp) -> CertificateParams {
    let moment = |at: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(at.clamp(0, LAST_SECOND).unsigned_abs());
    parameters.not_before = moment(now.as_second()).min(date_time_ymd(VALID_FROM, 1, 1));
    parameters.not_after = moment(until.as_second());
    parameters
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::wire::Peer;
    use std::os::unix::fs::PermissionsExt;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(Some(dir.path()), at("2026-01-02T03:04:05Z")).unwrap();
        let second = Authority::open(Some(dir.path()), at("2027-01-02T03:04:05Z")).unwrap();
        assert_eq!(first.pem(), second.pem());
        assert_eq!(first.issuer.key().serialize_pem(), second.issuer.key().serialize_pem());
        let mode = std::fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!first.pem().contains("PRIVATE"));
        let other = Authority::open(None, at("2026-01-02T03:04:05Z")).unwrap();
        assert_ne!(first.pem(), other.pem());
    }

    #[test]
    fn a_clients_certificate_says_who_it_is() {
        let authority = Authority::open(None, at("2026-01-02T03:04:05Z")).unwrap();
        let groups = ["system:masters", "ünïcode", "third"].map(str::to_owned);
        let (certificate, key) = authority.issue_client("ann", &groups, at("2026-01-02T03:04:05Z"), at("2029-01-01T00:00:00Z")).unwrap();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
        use rustls::pki_types::pem::PemObject;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let peer = subject::Parts::of(&certificate).unwrap().peer().unwrap();
        assert_eq!(peer, Peer { common_name: "ann".to_owned(), organizations: groups.to_vec() });
    }
}
