//! `weft key NAME`: makes an API key.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Bytes from the system's entropy: 192 bits, which nobody guesses.
const BYTES: usize = 24;

/// A new key, shown once, and the lines for the configuration, which hold its SHA-256.
///
/// # Errors
/// A text for the operator.
pub fn make(name: &str, roles: &[String]) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(format!(
            "{name:?} is no name: one takes 1 to 64 letters, digits, '.', '_' and '-'"
        ));
    }
    if let Some(role) =
        roles.iter().find(|role| role.contains(['"', '\\']) || role.contains(char::is_control))
    {
        return Err(format!("{role:?} is no role"));
    }
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("entropy: {error}"))?;
    let key = format!("weft_{}", hex(&bytes));
    let roles: Vec<String> = roles.iter().map(|role| format!("{role:?}")).collect();
    let mut text = String::new();
    let hash = hex(&Sha256::digest(&key));
    writeln!(
        text,
        "# The key. It is shown this once, and kept nowhere:\n{key}\n\n# For the configuration:\n\
         [[auth.keys]]\nname = {name:?}\nsha256 = \"{hash}\"\nroles = [{}]",
        roles.join(", ")
    )
    .map_err(|error| error.to_string())?;
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
