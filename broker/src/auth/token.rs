//! A token's three parts (RFC 7515, compact form), read and not believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::{Unidentified, json};

/// The longest credential that is looked at: what fits a header next to everything else.
pub const CREDENTIAL_BYTES: usize = 8 * 1_024;

/// What a token says. Nothing of it is known to be true.
#[derive(Debug)]
pub struct Token<'t> {
    /// How it says it is signed; `None` for ways that nobody should use, `none` above all.
    pub algorithm: Option<Algorithm>,
    /// Which key it says it is signed with. It is compared, and used for nothing else.
    pub kid: Option<String>,
    /// What is signed.
    pub message: &'t [u8],
    /// The claims.
    pub claims: Map<String, Value>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Takes a token apart. Its spelling must be the one that RFC 7515 gives: base64 without padding,
/// blanks or stray bits, so that no two texts are one token.
///
/// # Errors
/// `Malformed`, whatever is wrong with it.
pub fn peek(text: &str) -> Result<Token<'_>, Unidentified> {
    parts(text).ok_or(Unidentified::Malformed)
}

fn parts(text: &str) -> Option<Token<'_>> {
    if text.len() > CREDENTIAL_BYTES {
        return None;
    }
    let (message, signature) = text.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    if payload.contains('.') {
        return None;
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header = json::object(&decode(header)?)?;
    // What must be understood is not: RFC 7515, 4.1.11. This includes `b64` (RFC 7797).
    if header.contains_key("crit") {
        return None;
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return None,
    };
    Some(Token {
        algorithm: Algorithm::named(header.get("alg")?.as_str()?),
        kid,
        message: message.as_bytes(),
        claims: json::object(&decode(payload)?)?,
        signature: decode(signature)?,
    })
}
