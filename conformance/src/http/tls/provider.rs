//! The cryptography of the origin's TLS, on `ring`: a server of TLS 1.3 with one cipher suite.
//!
//! The feature `ring` of rustls would be simpler. But Cargo unifies features, so it would reach the backend under test: a
//! rustls with two providers panics wherever a client relies on the default one.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use ring::{aead, agreement, digest, hmac};
use tokio_rustls::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError,
    make_tls13_aad,
};
use tokio_rustls::rustls::crypto::hash::{self, HashAlgorithm};
use tokio_rustls::rustls::crypto::hmac as tls_hmac;
use tokio_rustls::rustls::crypto::tls13::HkdfUsingHmac;
use tokio_rustls::rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::{Signer, SigningKey};
use tokio_rustls::rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, NamedGroup, PeerMisbehaved, ProtocolVersion,
    SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite,
};

/// The provider of a server. It verifies no signatures, because the server asks for no certificate.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&AES_128_GCM)],
        kx_groups: vec![&X25519, &P256],
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

static AES_128_GCM: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &Ring,
        // RFC 8446, section 5.5: about 24 million records.
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &HkdfUsingHmac(&Ring),
    aead_alg: &Ring,
    quic: None,
};

/// The primitives of `ring` that the one cipher suite needs.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(buffer).map_err(|_| GetRandomFailed)
    }
}

impl hash::Hash for Ring {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Digest(digest::Context::new(&digest::SHA256)))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(digest::digest(&digest::SHA256, data).as_ref())
    }

    fn output_len(&self) -> usize {
        digest::SHA256_OUTPUT_LEN
    }

    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }
}

struct Digest(digest::Context);

impl hash::Context for Digest {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(self.0.clone().finish().as_ref())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(self.0.finish().as_ref())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl tls_hmac::Hmac for Ring {
    fn with_key(&self, key: &[u8]) -> Box<dyn tls_hmac::Key> {
        Box::new(HmacKey(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    fn hash_output_len(&self) -> usize {
        digest::SHA256_OUTPUT_LEN
    }
}

struct HmacKey(hmac::Key);

impl tls_hmac::Key for HmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> tls_hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(first);
        for part in middle {
            context.update(part);
        }
        context.update(last);
        tls_hmac::Tag::new(context.sign().as_ref())
    }

    fn tag_len(&self) -> usize {
        digest::SHA256_OUTPUT_LEN
    }
}

impl Tls13AeadAlgorithm for Ring {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        aead::AES_128_GCM.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

/// Seals or opens records (RFC 8446, section 5.2).
struct Records {
    key: aead::LessSafeKey,
    iv: Iv,
}

impl Records {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, key.as_ref()).expect("the key has the length of key_len");
        Self {
            key: aead::LessSafeKey::new(key),
            iv,
        }
    }

    fn nonce(&self, record: u64) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, record).0)
    }
}

impl MessageEncrypter for Records {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, record: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let aad = aead::Aad::from(make_tls13_aad(length));
        self.key
            .seal_in_place_append_tag(self.nonce(record), aad, &mut payload)
            .map_err(|_| Error::EncryptError)?;
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, payload: usize) -> usize {
        payload + 1 + self.key.algorithm().tag_len()
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        record: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let aad = aead::Aad::from(make_tls13_aad(message.payload.len()));
        let opened = self.key.open_in_place(self.nonce(record), aad, &mut message.payload);
        let length = opened.map_err(|_| Error::DecryptError)?.len();
        message.payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}

#[derive(Debug)]
struct Group {
    name: NamedGroup,
    algorithm: &'static agreement::Algorithm,
    /// The length of a share, and its first byte if that is fixed: points must be uncompressed (RFC 8446, section 4.2.8.2).
    share: (usize, Option<u8>),
}

static X25519: Group = Group {
    name: NamedGroup::X25519,
    algorithm: &agreement::X25519,
    share: (32, None),
};

static P256: Group = Group {
    name: NamedGroup::secp256r1,
    algorithm: &agreement::ECDH_P256,
    share: (65, Some(4)),
};

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let private = agreement::EphemeralPrivateKey::generate(self.algorithm, &SystemRandom::new());
        let private = private.map_err(|_| GetRandomFailed)?;
        let public = private.compute_public_key().map_err(|_| GetRandomFailed)?;
        Ok(Box::new(KeyExchange {
            name: self.name,
            algorithm: self.algorithm,
            share: self.share,
            private,
            public,
        }))
    }

    fn name(&self) -> NamedGroup {
        self.name
    }
}

struct KeyExchange {
    name: NamedGroup,
    algorithm: &'static agreement::Algorithm,
    share: (usize, Option<u8>),
    private: agreement::EphemeralPrivateKey,
    public: agreement::PublicKey,
}

impl ActiveKeyExchange for KeyExchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let (length, first) = self.share;
        if peer.len() != length || first.is_some_and(|first| peer.first() != Some(&first)) {
            return Err(invalid());
        }
        let peer = agreement::UnparsedPublicKey::new(self.algorithm, peer);
        agreement::agree_ephemeral(self.private, &peer, |secret| SharedSecret::from(secret)).map_err(|_| invalid())
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_ref()
    }

    fn group(&self) -> NamedGroup {
        self.name
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let PrivateKeyDer::Pkcs8(key) = key else {
            return Err(Error::General("the key is not PKCS #8".to_owned()));
        };
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            key.secret_pkcs8_der(),
            &SystemRandom::new(),
        );
        let key = key.map_err(|error| Error::General(format!("the key is not of P-256: {error}")))?;
        Ok(Arc::new(Key(Arc::new(key))))
    }
}

#[derive(Debug, Clone)]
struct Key(Arc<EcdsaKeyPair>);

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let fits = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        fits.then(|| Box::new(self.clone()) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| GetRandomFailed.into())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
