//! The credentials that a request's head brings: `Authorization: Bearer`, `X-API-Key`, or a cookie
//! (checklist K1).

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::guard::{Guard, Who};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who sent a request, as far as its head says. A cookie that is no good says nothing: browsers send
/// it whether it is meant or not. Nothing else may be taken for silence.
pub async fn shown(guard: &Guard, headers: &HeaderMap) -> Who {
    if !guard.wants_credentials() {
        return Who::Unsaid;
    }
    match named(headers) {
        Ok(Some(credentials)) => return guard.identify(credentials).await,
        Ok(None) => {}
        Err(why) => return Who::Refused(why),
    }
    let Some(name) = guard.cookie() else { return Who::Unsaid };
    let Some(credentials) = cookie(headers, name) else { return Who::Unsaid };
    match guard.identify(credentials).await {
        Who::Refused(_) => Who::Unsaid,
        who => who,
    }
}

/// Credentials that were shown on purpose. Two of them might be read as one by us and as the other by
/// a proxy.
///
/// # Errors
/// Why they are none: `token_ambiguous` or `token_invalid`.
pub fn named(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    const SEVERAL: &str = "token_ambiguous";
    let mut bearers = headers.get_all(AUTHORIZATION).iter().filter_map(bearer);
    let mut keys = headers.get_all(API_KEY).iter();
    let (bearer, key) = (bearers.next(), keys.next());
    if bearers.next().is_some() || keys.next().is_some() || (bearer.is_some() && key.is_some()) {
        return Err(SEVERAL);
    }
    let key =
        key.map(|key| key.to_str().map(str::trim).map_err(|_| "token_invalid")).transpose()?;
    Ok(bearer.or(key))
}

/// What stands behind `Bearer`; other schemes are others' business.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

fn cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(name, value)| {
        (name.trim() == wanted).then(|| value.trim().trim_matches('"')).filter(|v| !v.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut all = HeaderMap::new();
        for (name, value) in pairs.iter().map(header) {
            all.append(name, value);
        }
        all
    }

    #[test]
    fn k1_credentials_are_a_bearer_or_an_api_key() {
        let found = |pairs: &[(&'static str, &'static str)]| {
            named(&headers(pairs)).map(|found| found.map(str::to_owned))
        };
        assert_eq!(found(&[("authorization", "Bearer abc")]), Ok(Some("abc".to_owned())));
        assert_eq!(found(&[("authorization", "bearer  abc ")]), Ok(Some("abc".to_owned())));
        assert_eq!(found(&[("x-api-key", "abc")]), Ok(Some("abc".to_owned())));
        assert_eq!(found(&[("authorization", "Basic abc")]), Ok(None));
        assert_eq!(found(&[("authorization", "Bearer")]), Ok(None));
        assert_eq!(found(&[]), Ok(None));
    }

    #[test]
    fn several_credentials_are_none() {
        for pairs in [
            [("authorization", "Bearer a"), ("authorization", "Bearer b")],
            [("authorization", "Bearer a"), ("x-api-key", "b")],
            [("x-api-key", "a"), ("x-api-key", "b")],
        ] {
            assert_eq!(named(&headers(&pairs)), Err("token_ambiguous"));
        }
    }

    #[test]
    fn k1_a_cookie_may_hold_credentials() {
        let all = headers(&[("cookie", "a=b; token=abc"), ("cookie", "token=\"def\"")]);
        assert_eq!(cookie(&all, "token"), Some("abc"));
        assert_eq!(cookie(&headers(&[("cookie", "token=; token=\"def\"")]), "token"), Some("def"));
        assert_eq!(cookie(&all, "other"), None);
    }
}
