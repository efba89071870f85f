//! `[browsers]`: several sessions (tabs) in one browser, and the cookie that tells browsers apart.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::HumanDuration;

/// `[browsers]`: several sessions (tabs) in one browser, told by a cookie.
///
/// The cookie has no `Domain`, `Path` or `Max-Age` of its own: it is for this host alone, for every
/// mount, and for as long as the browser runs; a new one costs nobody anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Browsers {
    /// The cookie's name. Default `BAYEUX_BROWSER`, which CometD uses. Two brokers on one host name
    /// need two names, since cookies ignore ports.
    pub cookie: String,
    /// How many connects of one browser are held over HTTP/1.1; the others are asked to poll. -1 is
    /// no rule, for proxies that speak HTTP/2 to browsers. Default 1: a browser opens six
    /// connections to a host, and held ones starve the page.
    pub held_per_browser: i32,
    /// How often the others are asked to poll, 100ms to 1h. Default 2s.
    pub interval: HumanDuration,
    /// The cookie's `SameSite` attribute. Default `Lax`; pages of foreign `origins` need `None`.
    pub same_site: SameSite,
    /// Whether the cookie is only sent over HTTPS. Default `auto`: where it was asked for over TLS,
    /// and wherever browsers would not take it otherwise.
    pub secure: CookieSecure,
    /// Whether scripts of pages are kept from the cookie. Default true: none has any use for it.
    pub http_only: bool,
    /// Whether browsers keep one cookie for each site that embeds a page of ours. Default false;
    /// frames of foreign sites need it where third parties' cookies are blocked.
    pub partitioned: bool,
}

impl Default for Browsers {
    fn default() -> Self {
        Self {
            cookie: "BAYEUX_BROWSER".to_owned(),
            held_per_browser: 1,
            interval: HumanDuration::secs(2),
            same_site: SameSite::Lax,
            secure: CookieSecure::Auto,
            http_only: true,
            partitioned: false,
        }
    }
}

/// A cookie's `SameSite` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SameSite {
    /// Sent by pages of the same site, and when a link leads here.
    Lax,
    /// Sent by pages of the same site.
    Strict,
    /// Sent by every page; browsers then require `Secure`.
    None,
}

/// Whether a cookie is only sent over HTTPS: `"auto"`, `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSecure {
    /// Where it was asked for over TLS, or another attribute requires it.
    Auto,
    /// `true`.
    Always,
    /// `false`.
    Never,
}

impl Serialize for CookieSecure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for CookieSecure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = CookieSecure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", true or false")
            }

            fn visit_bool<E: Error>(self, secure: bool) -> Result<CookieSecure, E> {
                Ok(if secure { CookieSecure::Always } else { CookieSecure::Never })
            }

            // Variables are text.
            fn visit_str<E: Error>(self, text: &str) -> Result<CookieSecure, E> {
                match text {
                    "auto" => Ok(CookieSecure::Auto),
                    "true" => Ok(CookieSecure::Always),
                    "false" => Ok(CookieSecure::Never),
                    other => Err(E::unknown_variant(other, &["auto", "true", "false"])),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}
