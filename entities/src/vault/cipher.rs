//! XAES-256-GCM (C2SP): AES-256-GCM whose key is derived anew for each message from a random nonce of 24 bytes, so one
//! key seals as many values as a database can hold without two of them ever sharing a nonce.

use openssl::cipher::Cipher as Algorithm;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use zeroize::Zeroizing;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes of an authentication tag.
pub(super) const TAG_BYTES: usize = 16;
/// The first half of the nonce chooses the message's key, the second half is AES-GCM's nonce.
const HALF: usize = NONCE_BYTES / 2;

/// One key, ready to seal and to open.
pub(super) struct Cipher {
    key: Zeroizing<[u8; KEY_BYTES]>,
    /// The subkey K1 of CMAC (NIST SP 800-38B), by which message keys are derived.
    subkey: Zeroizing<[u8; 16]>,
}

/// The value does not open: it was changed, or belongs to another place or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Cipher {
    pub(super) fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, ErrorStack> {
        let subkey = Zeroizing::new(double(&aes(&key, &[0; 16])?));
        Ok(Self { key, subkey })
    }

    /// Appends nonce, ciphertext and tag to `out`.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorStack> {
        let mut nonce = [0; NONCE_BYTES];
        rand_bytes(&mut nonce)?;
        self.seal_with(&nonce, context, plain, out)
    }

    fn seal_with(
        &self,
        nonce: &[u8; NONCE_BYTES],
        context: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorStack> {
        let key = self.message_key(&nonce[..HALF])?;
        let mut cipher = CipherCtx::new()?;
        cipher.encrypt_init(Some(Algorithm::aes_256_gcm()), Some(&*key), Some(&nonce[HALF..]))?;
        cipher.cipher_update(context, None)?;
        out.extend_from_slice(nonce);
        let begin = out.len();
        out.resize(begin + plain.len(), 0);
        cipher.cipher_update(plain, Some(&mut out[begin..]))?;
        cipher.cipher_final(&mut [])?;
        let mut tag = [0; TAG_BYTES];
        cipher.tag(&mut tag)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens what [`Cipher::seal`] appended.
    pub(super) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Damaged> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES).ok_or(Damaged)?;
        let length = rest.len().checked_sub(TAG_BYTES).ok_or(Damaged)?;
        let (text, tag) = rest.split_at(length);
        self.decrypt(nonce, context, text, tag).map_err(|_| Damaged)
    }

    fn decrypt(&self, nonce: &[u8], context: &[u8], text: &[u8], tag: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key = self.message_key(&nonce[..HALF])?;
        let mut cipher = CipherCtx::new()?;
        cipher.decrypt_init(Some(Algorithm::aes_256_gcm()), Some(&*key), Some(&nonce[HALF..]))?;
        cipher.set_tag(tag)?;
        cipher.cipher_update(context, None)?;
        let mut plain = vec![0; text.len()];
        cipher.cipher_update(text, Some(&mut plain))?;
        cipher.cipher_final(&mut [])?;
        Ok(plain)
    }

    /// The key of one message: two blocks of the key derivation in counter mode, with CMAC as its function.
    fn message_key(&self, choice: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, ErrorStack> {
        let mut blocks = Zeroizing::new([0; KEY_BYTES]);
        for (counter, block) in (1..).zip(blocks.chunks_exact_mut(16)) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(choice);
            block.iter_mut().zip(self.subkey.iter()).for_each(|(byte, mask)| *byte ^= mask);
        }
        aes(&self.key, &blocks).map(Zeroizing::new)
    }
}

/// AES-256 of whole blocks, each by itself.
fn aes<const N: usize>(key: &[u8; KEY_BYTES], blocks: &[u8; N]) -> Result<[u8; N], ErrorStack> {
    let mut cipher = CipherCtx::new()?;
    cipher.encrypt_init(Some(Algorithm::aes_256_ecb()), Some(key), None)?;
    cipher.set_padding(false);
    let mut out = Zeroizing::new(vec![0; N + 16]);
    cipher.cipher_update(blocks, Some(&mut out))?;
    let mut done = [0; N];
    done.copy_from_slice(&out[..N]);
    Ok(done)
}

/// Doubling in the field of CMAC.
fn double(block: &[u8; 16]) -> [u8; 16] {
    let doubled = u128::from_be_bytes(*block) << 1;
    let carry = if block[0] & 0x80 == 0 { 0 } else { 0x87 };
    (doubled ^ carry).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn it_gives_the_results_of_the_specification() {
        let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        // The specification's own two vectors; the second key's CMAC subkey takes the other branch of the doubling.
        let vectors = [
            (1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ];
        for (byte, context, expected) in vectors {
            let cipher = Cipher::new(Zeroizing::new([byte; KEY_BYTES])).unwrap();
            let mut sealed = Vec::new();
            cipher.seal_with(&nonce, context.as_bytes(), b"XAES-256-GCM", &mut sealed).unwrap();
            assert_eq!(hex(&sealed[NONCE_BYTES..]), expected);
            assert_eq!(cipher.open(context.as_bytes(), &sealed).unwrap(), b"XAES-256-GCM");
        }
    }
}
