//! The browser's identity: a random id and a MAC over it (decisions 3.11). No table: whoever brings
//! a value that this broker's key signed is that browser, and any other value is replaced, so that
//! nobody can choose another's cookie in advance.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

use crate::core::id::BrowserId;

const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;
const MAC_BYTES: usize = 16;
const KEY_FILE: &str = "browser.key";

/// How the cookie is set.
#[derive(Debug, Clone)]
pub struct CookieOptions {
    /// Its name.
    pub name: String,
    /// `Lax`, `Strict` or `None`.
    pub same_site: &'static str,
    /// Whether browsers send it over TLS only.
    pub secure: Secure,
    /// Whether scripts cannot read it.
    pub http_only: bool,
    /// Whether each embedding site has one of its own.
    pub partitioned: bool,
}

/// Whether a cookie is only sent over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// Where it was asked for so, or browsers would drop it otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl CookieOptions {
    /// What stands behind the value. Browsers drop what is marked for other sites, for one embedding
    /// site or by its name, and is not `Secure`; they take that from this machine without TLS, too.
    fn attributes(&self, over_tls: bool) -> String {
        let named = self.name.to_ascii_lowercase();
        let must = self.same_site == "None"
            || self.partitioned
            || named.starts_with("__host-")
            || named.starts_with("__secure-");
        let secure = match self.secure {
            Secure::Auto => must || over_tls,
            Secure::Always => true,
            Secure::Never => false,
        };
        let when = |set: bool, text: &'static str| if set { text } else { "" };
        format!(
            "; Path=/{}; SameSite={}{}{}",
            when(self.http_only, "; HttpOnly"),
            self.same_site,
            when(secure, "; Secure"),
            when(self.partitioned, "; Partitioned"),
        )
    }
}

/// Makes and checks browser cookies.
pub struct Cookies {
    options: CookieOptions,
    mac: Hmac<Sha256>,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Cookies {
    /// Signs with the key kept in `data`; makes the key if there is none.
    ///
    /// # Errors
    /// When the key can be neither read nor made.
    pub fn open(options: CookieOptions, data: &Path) -> io::Result<Self> {
        Self::with_key(options, &load_key(data)?)
    }

    fn with_key(options: CookieOptions, key: &[u8]) -> io::Result<Self> {
        let mac = Hmac::new_from_slice(key).map_err(io::Error::other)?;
        Ok(Self { options, mac })
    }

    /// The browser that a request comes from, if it brings a cookie of ours. Of several cookies of
    /// that name the first that is ours counts.
    #[must_use]
    pub fn browser(&self, headers: &HeaderMap) -> Option<BrowserId> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|p| p.split_once('='));
        pairs.find_map(|(name, value)| {
            (name.trim() == self.options.name)
                .then(|| self.verify(value.trim().trim_matches('"')))?
        })
    }

    fn verify(&self, value: &str) -> Option<BrowserId> {
        let (id, mac) = value.split_at_checked(2 * ID_BYTES)?;
        let (id, mac): ([u8; ID_BYTES], [u8; MAC_BYTES]) = (from_hex(id)?, from_hex(mac)?);
        let right = self.mac.clone().chain_update(id).verify_truncated_left(&mac);
        right.is_ok().then_some(BrowserId(id))
    }

    /// A `Set-Cookie` value for a new browser, which asked over TLS or not; `None` if the system has
    /// no entropy to give.
    #[must_use]
    pub fn issue(&self, over_tls: bool) -> Option<HeaderValue> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).ok()?;
        let mac = self.mac.clone().chain_update(id).finalize().into_bytes();
        let value = to_hex(id.iter().chain(mac.iter().take(MAC_BYTES)));
        let CookieOptions { name, .. } = &self.options;
        let line = format!("{name}={value}{}", self.options.attributes(over_tls));
        HeaderValue::from_str(&line).ok()
    }
}

fn load_key(data: &Path) -> io::Result<Vec<u8>> {
    let path = data.join(KEY_FILE);
    match std::fs::File::open(&path) {
        Ok(file) => {
            let mut key = Vec::new();
            file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
            if key.len() == KEY_BYTES {
                return Ok(key);
            }
            let text = format!("{} does not hold a key of {KEY_BYTES} bytes", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(data, &path),
        Err(error) => Err(error),
    }
}

/// Written aside and renamed, so that a crash leaves no half a key.
fn make_key(data: &Path, path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = vec![0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let aside = data.join(format!("{KEY_FILE}.new"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    Ok(key)
}

fn to_hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// So many bytes, and no more.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(digit(2 * at)? * 16 + digit(2 * at + 1)?).ok()?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CookieOptions {
        CookieOptions {
            name: "BAYEUX_BROWSER".to_owned(),
            same_site: "Lax",
            secure: Secure::Auto,
            http_only: true,
            partitioned: false,
        }
    }

    fn cookies(key: u8) -> Cookies {
        Cookies::with_key(options(), &[key; KEY_BYTES]).expect("a key")
    }

    fn headers(line: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(line).expect("a header"))])
    }

    fn pair(set_cookie: &HeaderValue) -> String {
        set_cookie.to_str().expect("text").split(';').next().expect("a pair").to_owned()
    }

    #[test]
    fn h1_a_cookie_of_ours_is_known_again_and_no_other() {
        let ours = cookies(1);
        let line = pair(&ours.issue(false).expect("entropy"));
        let id = ours.browser(&headers(&line));
        assert!(id.is_some());
        assert_eq!(cookies(2).browser(&headers(&line)), None, "another key");
        assert_eq!(ours.browser(&headers(&format!("{line}0"))), None);
        assert_eq!(ours.browser(&headers("BAYEUX_BROWSER=attackerchosen")), None);
        assert_eq!(ours.browser(&headers(&line[..line.len() - 2])), None, "a shortened MAC");
        assert_eq!(ours.browser(&headers(&line.replace('=', "=\"").replace(';', "\";"))), id);
    }

    #[test]
    fn of_several_cookies_the_first_that_is_ours_counts() {
        let ours = cookies(1);
        let line = pair(&ours.issue(false).expect("entropy"));
        let id = ours.browser(&headers(&line));
        let many = format!("a=b; BAYEUX_BROWSER=zzz; {line}; BAYEUX_BROWSER=yyy");
        assert_eq!(ours.browser(&headers(&many)), id);
    }

    #[test]
    fn h1_the_cookie_is_http_only_and_same_site() {
        let line = cookies(1).issue(false).expect("entropy");
        let line = line.to_str().expect("text");
        assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
    }

    #[test]
    fn it_is_secure_over_tls_and_where_browsers_would_drop_it_otherwise() {
        let secure = |options: &CookieOptions, over_tls| {
            options.attributes(over_tls).split("; ").any(|attribute| attribute == "Secure")
        };
        assert!(!secure(&options(), false) && secure(&options(), true));
        for options in [
            CookieOptions { same_site: "None", ..options() },
            CookieOptions { partitioned: true, ..options() },
            CookieOptions { name: "__Host-weft".to_owned(), ..options() },
            CookieOptions { name: "__SECURE-weft".to_owned(), ..options() },
            CookieOptions { secure: Secure::Always, ..options() },
        ] {
            assert!(secure(&options, false), "{options:?}");
        }
        let never = CookieOptions { secure: Secure::Never, ..options() };
        assert!(!secure(&never, true));
    }

    #[test]
    fn each_attribute_stands_once_or_not_at_all() {
        let all = CookieOptions { same_site: "None", partitioned: true, ..options() };
        let line = "; Path=/; HttpOnly; SameSite=None; Secure; Partitioned";
        assert_eq!(all.attributes(false), line);
        let open = CookieOptions { http_only: false, same_site: "Strict", ..options() };
        assert_eq!(open.attributes(false), "; Path=/; SameSite=Strict");
    }
}
