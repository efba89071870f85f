//! The cookies of one client, which speaks to one server: all that it sets go back to it.

use std::{collections::BTreeMap, fmt::Write as _};

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};

/// At most so many, so that a server cannot make us hold more.
const MAX: usize = 50;

/// Names and values. Scheme, domain and path are not looked at: there is one server and one path.
#[derive(Debug, Default)]
pub(crate) struct Jar(BTreeMap<String, String>);

impl Jar {
    /// Takes what a response sets and drops what it expires.
    pub(crate) fn store(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let expired = parts.any(|attribute| {
                attribute.split_once('=').is_some_and(|(key, age)| {
                    key.eq_ignore_ascii_case("max-age")
                        && age.parse::<i64>().is_ok_and(|seconds| seconds <= 0)
                })
            });
            if expired {
                self.0.remove(name);
            } else if self.0.len() < MAX || self.0.contains_key(name) {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The `Cookie` header of the next request, if there is anything to send.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{name}={value}");
        }
        HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(lines: &[&'static str]) -> Jar {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        let mut jar = Jar::default();
        jar.store(&headers);
        jar
    }

    #[test]
    fn cookies_go_back_without_their_attributes() {
        assert_eq!(jar(&[]).header(), None);
        let jar = jar(&["B=1=2; Path=/; HttpOnly", "A=x; Max-Age=60", "nonsense"]);
        assert_eq!(jar.header().unwrap(), "A=x; B=1=2");
    }

    #[test]
    fn a_later_cookie_replaces_and_an_expired_one_removes() {
        assert_eq!(jar(&["A=1", "A=2"]).header().unwrap(), "A=2");
        assert_eq!(jar(&["A=1", "A=; max-age=0"]).header(), None);
    }

    #[test]
    fn a_server_cannot_fill_the_jar() {
        let mut jar = jar(&[]);
        for number in 0..1_000 {
            let mut headers = HeaderMap::new();
            headers.insert(SET_COOKIE, HeaderValue::try_from(format!("c{number}=1")).unwrap());
            jar.store(&headers);
        }
        assert_eq!(jar.0.len(), MAX);
    }
}
