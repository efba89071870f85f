//! What a question looks like on the wire.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::question::{Matter, Party, Question};
use super::*;
use crate::core::id::SessionId;
use crate::core::principal::{Kind, Principal};

fn spell(principal: Option<&Principal>, matter: &Matter<'_>) -> Value {
    let session = Some(SessionId::from_entropy([7; 32]));
    let party = Party { principal, address: Ipv4Addr::LOCALHOST.into(), session };
    let question = Question { id: "q-1".to_owned(), wall_us: 0, party: &party, matter };
    serde_json::from_str(&question.spell()).expect("JSON")
}

#[test]
fn a_question_says_who_wants_what() {
    let principal = Principal {
        kind: Kind::Token,
        subject: "me \"\u{1}".into(),
        roles: vec!["a".into()],
        claims: json!({"x": 1}).as_object().expect("an object").clone(),
        ..Principal::anonymous()
    };
    let question = spell(Some(&principal), &Matter::Publish { channel: "/a", data: "[1, 2]" });
    let client = question["client"].as_str().expect("a text").to_owned();
    assert_eq!(
        question,
        json!({
            "event": "publish",
            "id": "q-1",
            "time": "1970-01-01T00:00:00.000Z",
            "address": "127.0.0.1",
            "principal": {"kind": "token", "sub": "me \"\u{1}", "roles": ["a"], "claims": {"x": 1}},
            "client": client,
            "channel": "/a",
            "data": [1, 2],
        })
    );
    let id = SessionId::from_entropy([7; 32]);
    assert!(client.len() == 32 && !client.contains(id.as_str()));
    let patterns = vec!["/a", "/b/**"];
    let question = spell(None, &Matter::Subscribe { patterns, history: true });
    assert_eq!(question["channels"], json!(["/a", "/b/**"]));
    assert_eq!((&question["history"], &question["principal"]), (&json!(true), &Value::Null));
    let question = spell(None, &Matter::Handshake { token: Some("s\""), ext: Some(r#"{"y":2}"#) });
    assert_eq!((&question["token"], &question["ext"]), (&json!("s\""), &json!({"y": 2})));
    let question = spell(None, &Matter::Handshake { token: None, ext: None });
    assert_eq!((&question["token"], &question["ext"]), (&Value::Null, &Value::Null));
}

#[test]
fn services_are_all_none_or_some() {
    assert!(Services::All.have("/service/a") && !Services::None.have("/service/a"));
    let some = Services::Some(vec!["/service/a/**".to_owned(), "/service/b".to_owned()]);
    assert!(some.have("/service/a/x/y") && some.have("/service/b"));
    assert!(!some.have("/service/a") && !some.have("/service/c"));
}
