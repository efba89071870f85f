//! JWK Sets (RFC 7517): the keys in them that can verify what a source's tokens are signed with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Needs};
use super::json;
use super::key::{Key, Material};

/// The most keys of one set; what comes after them is not looked at.
const KEYS_MAX: usize = 64;
/// The longest kid.
const KID_BYTES: usize = 256;

/// The keys of a set that fit one of these algorithms. Others are left out: sets hold keys for
/// encryption, for other algorithms, and of kinds that are yet to be invented.
///
/// # Errors
/// When it is no JWK Set, or when none of its keys fits.
pub(super) fn keys(source: &str, set: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let set = json::object(set).ok_or("is no JSON object, or repeats a name")?;
    let list = set.get("keys").and_then(Value::as_array).ok_or("is no JWK Set: it has no keys")?;
    let mut found = Vec::new();
    let mut why = "it is empty".to_owned();
    for jwk in list.iter().take(KEYS_MAX) {
        match jwk
            .as_object()
            .ok_or_else(|| "is no object".to_owned())
            .and_then(|jwk| key(source, jwk, algorithms))
        {
            Ok(key) => found.push(key),
            Err(error) => why = format!("the last one {error}"),
        }
    }
    if found.is_empty() {
        return Err(format!("holds no key that fits the algorithms: {why}"));
    }
    Ok(found)
}

fn key(source: &str, jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Result<Key, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|usage| usage != "sig") {
        return Err("is not for signatures".to_owned());
    }
    let operations = jwk.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|list| !list.iter().any(|operation| operation == "verify")) {
        return Err("is not for verifying".to_owned());
    }
    let kid = text("kid");
    if kid.is_some_and(|kid| kid.len() > KID_BYTES || kid.chars().any(char::is_control)) {
        return Err("has a kid that is too long, or not text".to_owned());
    }
    let meant = text("alg").map(Algorithm::named);
    let fits = |algorithm: &Algorithm| {
        let kind = match algorithm.needs() {
            // Whoever can read a set of keys could make tokens with a secret in it.
            Needs::Secret(..) => return false,
            Needs::Rsa(_) => "RSA",
            Needs::Ec(_) => "EC",
            Needs::Ed(_) => "OKP",
        };
        text("kty") == Some(kind)
            && algorithm.curve() == text("crv").filter(|_| kind != "RSA")
            && meant.is_none_or(|meant| meant == Some(*algorithm))
    };
    let fitting: Vec<Algorithm> = algorithms.iter().copied().filter(fits).collect();
    if fitting.is_empty() {
        return Err("is for another algorithm".to_owned());
    }
    let part = |name: &str| {
        let bytes = text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.ok_or_else(|| format!("lacks {name}"))
    };
    let of = |material: &Material<'_>| Key::of(source, kid, material, &fitting);
    match text("kty") {
        Some("RSA") => {
            let (n, e) = (part("n")?, part("e")?);
            // The standard allows no zeros in front; some write one.
            let significant = |bytes: &[u8]| bytes.iter().position(|&b| b > 0).unwrap_or(0);
            of(&Material::Rsa { n: &n[significant(&n)..], e: &e[significant(&e)..] })
        }
        Some("EC") => {
            let (x, y) = (part("x")?, part("y")?);
            let point = [&[4][..], &x, &y].concat();
            if x.len() != y.len() {
                return Err("is no point".to_owned());
            }
            of(&Material::Point(&point))
        }
        _ => of(&Material::Point(&part("x")?)),
    }
}
