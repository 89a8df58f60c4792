//! Names in certificates, read and put in. It reads only certificates that this cloud's authority signed.

use yasna::ASN1Result;
use yasna::models::ObjectIdentifier;

use crate::local_cloud::wire::Peer;

const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// How many parts the signed body of a certificate has: version, serial number, algorithm, issuer, validity, subject,
/// key and extensions.
const PARTS: usize = 8;
/// Which of them is the subject.
const SUBJECT: usize = 5;

/// A certificate taken apart.
pub(crate) struct Parts {
    body: Vec<Vec<u8>>,
    algorithm: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(certificate: &[u8]) -> Option<Parts> {
        let read = yasna::parse_der(certificate, |reader| {
            reader.read_sequence(|certificate| {
                let body = certificate.next().read_sequence(|body| (0..PARTS).map(|_| body.next().read_der()).collect())?;
                let algorithm = certificate.next().read_der()?;
                certificate.next().read_der()?;
                Ok(Parts { body, algorithm })
            })
        });
        read.ok()
    }

    /// Whose certificate it is.
    pub(crate) fn peer(&self) -> Option<Peer> {
        let mut peer = Peer::default();
        yasna::parse_der(self.body.get(SUBJECT)?, |reader| {
            reader.read_sequence_of(|set| set.read_set_of(|pair| pair.read_sequence(|pair| add(&mut peer, pair))))
        })
        .ok()?;
        Some(peer)
    }

    /// The body with another subject.
    pub(crate) fn with_name(&self, name: &[u8]) -> Vec<u8> {
        sequence(self.body.iter().enumerate().map(|(at, part)| if at == SUBJECT { name } else { part.as_slice() }))
    }

    /// A certificate of `body` and its signature.
    pub(crate) fn signed(&self, body: &[u8], signature: &[u8]) -> Vec<u8> {
        let signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(signature, signature.len() * 8));
        sequence([body, &self.algorithm, &signature].into_iter())
    }
}

fn add(peer: &mut Peer, pair: &mut yasna::BERReaderSeq<'_, '_>) -> ASN1Result<()> {
    let kind = pair.next().read_oid()?;
    let value = String::from_utf8_lossy(pair.next().read_tagged_der()?.value()).into_owned();
    if kind.components() == &COMMON_NAME {
        peer.common_name = value;
    } else if kind.components() == &ORGANIZATION {
        peer.organizations.push(value);
    }
    Ok(())
}

/// A subject.
pub(crate) fn name(common_name: &str, organizations: &[String]) -> Vec<u8> {
    let organizations = organizations.iter().map(|organization| (ORGANIZATION, organization.as_str()));
    let all: Vec<_> = organizations.chain([(COMMON_NAME, common_name)]).collect();
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (kind, value) in all {
                writer.next().write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(&kind));
                        writer.next().write_utf8_string(value);
                    });
                });
            }
        });
    })
}

fn sequence<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_sequence(|writer| parts.for_each(|part| writer.next().write_der(part))))
}
