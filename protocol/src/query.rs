//! `application/x-www-form-urlencoded` parameters, read strictly (checklist I4, J1, J2).

use percent_encoding::percent_decode;

use crate::BodyError;

/// What a callback-polling GET carries (Bayeux 1.0 §6.2; checklist J1, J2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackQuery {
    /// Every `jsonp` parameter: none means the default name, two are for the caller to refuse.
    pub callbacks: Vec<String>,
    /// Every `message` parameter, for [`Body::values`](crate::Body::values).
    pub messages: Vec<String>,
}

/// Reads the `jsonp` and `message` parameters of a raw query; all others are skipped unread.
pub fn callback_query(raw_query: &str) -> Result<CallbackQuery, BodyError> {
    let mut query = CallbackQuery::default();
    for pair in pairs(raw_query.as_bytes()) {
        if pair.is("jsonp") {
            query.callbacks.push(pair.value()?);
        } else if pair.is("message") {
            query.messages.push(pair.value()?);
        }
    }
    Ok(query)
}

/// All `message` values of a form body.
pub(crate) fn form_messages(form: &[u8]) -> Result<Vec<String>, BodyError> {
    pairs(form).filter(|pair| pair.is("message")).map(|pair| pair.value()).collect()
}

struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Pair<'_> {
    fn is(&self, name: &str) -> bool {
        // Undecoded first: nobody spells a name with escapes, and long values stand in `value`.
        self.name == name.as_bytes()
            || self.name.contains(&b'%') && percent_decode(self.name).eq(name.bytes())
    }

    /// `+` is a space; what is no escape stays as it is; bytes that are no UTF-8 are refused
    /// rather than replaced, since `data` is promised to arrive unchanged (checklist L16).
    fn value(&self) -> Result<String, BodyError> {
        let spaced: Vec<u8> =
            self.value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded = percent_decode(&spaced).collect();
        String::from_utf8(decoded).map_err(|_| BodyError::NotUtf8)
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    text.split(|byte| *byte == b'&').map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        Pair { name: &pair[..end], value: pair.get(end + 1..).unwrap_or_default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, callbacks: &[&str], messages: &[&str]) {
        let found = callback_query(query).unwrap();
        assert_eq!(found.callbacks, callbacks, "{query}");
        assert_eq!(found.messages, messages, "{query}");
    }

    #[test]
    fn j1_parameters_are_percent_decoded() {
        check("jsonp=cb&message=%5B1%2C+2%5D", &["cb"], &["[1, 2]"]);
        check("message=a%20b+c%2Bd", &[], &["a b c+d"]);
        check("message=%C3%BC", &[], &["ü"]);
        check("message=100%", &[], &["100%"]);
        check("message=%zz%4", &[], &["%zz%4"]);
        check("message=a=b", &[], &["a=b"]);
        check("%6Dessage=x", &[], &["x"]);
    }

    #[test]
    fn j2_every_parameter_of_the_name_is_kept() {
        check("message=1&jsonp=a&_=99&message=2&jsonp=b", &["a", "b"], &["1", "2"]);
        check("jsonp", &[""], &[]);
        check("message=&message", &[], &["", ""]);
        check("", &[], &[]);
        check("&&=&Message=x&jsonpx=y", &[], &[]);
    }

    #[test]
    fn l10_parameters_that_are_no_utf8_are_refused() {
        assert_eq!(callback_query("message=%FF"), Err(BodyError::NotUtf8));
        assert_eq!(callback_query("jsonp=%C3"), Err(BodyError::NotUtf8));
        assert!(callback_query("other=%FF").is_ok());
        assert_eq!(form_messages(b"message=\xff"), Err(BodyError::NotUtf8));
    }
}
