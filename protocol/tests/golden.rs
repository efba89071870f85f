//! Wire text in, and what it was taken for and answered with, compared whole.
//!
//! In `tests/golden/*.txt` a line that starts with `> ` is a request, and the lines below it are
//! what came of it. `WEFT_BLESS=1` writes them anew; `#` starts a remark.

#[path = "../fuzz/checks.rs"]
#[allow(dead_code, reason = "only the plain reply is used")]
mod checks;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use weft_protocol::{
    Array, Body, BodyError, CallbackName, ChannelLimits, ChannelName, DecodeLimits, Message,
    Request, callback_query, event, publisher_ext, wrap,
};

#[test]
fn every_request_is_taken_and_answered_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let saved = fs::read_to_string(&path).unwrap();
        let fresh = replay(&saved);
        if std::env::var_os("WEFT_BLESS").is_some() {
            fs::write(&path, &fresh).unwrap();
        } else {
            let difference = saved.lines().zip(fresh.lines()).find(|(saved, fresh)| saved != fresh);
            assert!(saved == fresh, "{}: {difference:#?}", path.display());
        }
        files += 1;
    }
    assert!(files >= 7, "golden files are missing");
}

/// The file with every answer made anew.
fn replay(saved: &str) -> String {
    let mut out = String::new();
    for line in saved.lines() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(out, "{line}");
        } else if let Some(request) = line.strip_prefix("> ") {
            let _ = writeln!(out, "{line}\n{}", answer(request));
        }
    }
    out
}

fn answer(request: &str) -> String {
    let answer = match request.strip_prefix('?') {
        Some(query) => script(query),
        None => Body::post(request.as_bytes()).and_then(|body| messages(&body)),
    };
    answer.unwrap_or_else(|error| format!("HTTP {}: {error}", error.status()))
}

fn script(query: &str) -> Result<String, BodyError> {
    let query = callback_query(query)?;
    let name =
        query.callbacks.first().map_or(Ok(CallbackName::DEFAULT), |name| CallbackName::parse(name));
    let body = Body::values(query.messages)?;
    let messages = body.messages(&DecodeLimits::default())?;
    Ok(match name {
        Ok(name) => wrap(name, &reply(&messages)),
        Err(error) => format!("HTTP 400: {error}"),
    })
}

fn messages(body: &Body<'_>) -> Result<String, BodyError> {
    let messages = body.messages(&DecodeLimits::default())?;
    let mut out = String::new();
    for message in &messages {
        let _ = writeln!(out, "{}", taken_for(message));
    }
    Ok(out + &reply(&messages))
}

fn taken_for(message: &Message<'_>) -> String {
    let client = message.client_id.as_deref().map_or_else(String::new, |id| format!(" of {id}"));
    let taken = match &message.request {
        Ok(request) => format!("{request:?}"),
        Err(error) => format!("{error:?}"),
    };
    format!("  {taken}{client}")
}

/// Every event, then every reply, in the order of a response.
fn reply(messages: &[Message<'_>]) -> String {
    let mut array = Array::default();
    for message in messages {
        if let Ok(Request::Publish { channel, data }) = &message.request {
            let name =
                ChannelName::parse(channel, &ChannelLimits::default()).expect("names are checked");
            let ext = message.ext.and_then(|ext| publisher_ext(ext, Some("token")));
            array.push_text(&event(name, data, ext.as_deref()));
        }
    }
    messages.iter().for_each(|message| array.push(&checks::reply(message)));
    array.finish()
}
