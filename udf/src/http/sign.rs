//! The signature by which a function knows that a request is ours, and new.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The value of `riverhook-signature` for a body that is sent so many seconds after 1970.
pub(super) fn signature(key: &[u8], seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key for HMAC may have any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={seconds},v1={:x}", mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_openssl_signs() {
        // printf '1700000000.[{"id":1}]' | openssl dgst -sha256 -hmac secret
        let expected = "t=1700000000,v1=c8fda07025d4d53990a5b4dea760bf287c368853edcc08dc53ac0b8d4c811f7a";
        assert_eq!(signature(b"secret", 1_700_000_000, br#"[{"id":1}]"#), expected);
    }
}
