//! The whole client against a small server that speaks just enough Bayeux.

use std::{collections::HashMap, convert::Infallible, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, time::timeout};

use super::*;
use crate::State;

/// Sessions with their queues. Everybody subscribed to anything gets everything.
#[derive(Default)]
struct Fake {
    /// The queue of each, and whether it has connected.
    sessions: Mutex<HashMap<String, (Vec<Value>, bool)>>,
    names: Mutex<Vec<String>>,
    count: Mutex<u32>,
    news: Notify,
}

impl Fake {
    async fn start() -> (Arc<Self>, String) {
        let fake = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/bayeux", listener.local_addr().unwrap());
        let served = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = Arc::clone(&served);
                let service = service_fn(move |request| Arc::clone(&fake).serve(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (fake, url)
    }

    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let requests: Vec<Value> = serde_json::from_slice(&body).unwrap();
        let mut replies = Vec::new();
        for request in &requests {
            replies.extend(self.reply(request).await);
        }
        Ok(Response::new(Full::from(json!(replies).to_string())))
    }

    async fn reply(&self, request: &Value) -> Vec<Value> {
        let channel = request["channel"].as_str().unwrap();
        let mut reply = json!({ "channel": channel, "id": request["id"], "successful": true });
        if channel == "/meta/handshake" {
            *self.count.lock() += 1;
            let client_id = format!("c{}", self.count.lock());
            reply["clientId"] = json!(client_id);
            self.sessions.lock().insert(client_id, (Vec::new(), false));
            return vec![reply];
        }
        let client_id = request["clientId"].as_str().unwrap();
        if !self.sessions.lock().contains_key(client_id) {
            reply["successful"] = json!(false);
            reply["error"] = json!("402::session_unknown");
            reply["advice"] = json!({ "reconnect": "handshake", "interval": 0 });
            return vec![reply];
        }
        match channel {
            "/meta/connect" => {
                let news = self.news.notified();
                let hold = {
                    let mut sessions = self.sessions.lock();
                    let (queue, connected) = sessions.get_mut(client_id).unwrap();
                    mem::replace(connected, true) && queue.is_empty()
                };
                if hold {
                    let _ = timeout(Duration::from_secs(30), news).await;
                }
                let mut sessions = self.sessions.lock();
                let queue = sessions.get_mut(client_id).map(|(queue, _)| mem::take(queue));
                let mut events = queue.unwrap_or_default();
                events.push(reply);
                return events;
            }
            "/meta/subscribe" => {
                self.names.lock().push(request["subscription"].as_str().unwrap().to_owned());
            }
            "/meta/disconnect" => {
                self.sessions.lock().remove(client_id);
                self.news.notify_waiters();
            }
            "/denied" => {
                reply["successful"] = json!(false);
                reply["error"] = json!("403::denied");
            }
            _ => {
                let event = json!({ "channel": channel, "data": request["data"] });
                self.sessions.lock().values_mut().for_each(|(queue, _)| queue.push(event.clone()));
                self.news.notify_waiters();
            }
        }
        vec![reply]
    }
}

/// The next message's data, within five seconds.
async fn next_data(client: &mut Client) -> String {
    let next = async {
        loop {
            match client.next_event().await {
                Some(Event::Message(message)) => return message.data.get().to_owned(),
                Some(_) => {}
                None => panic!("the client ended"),
            }
        }
    };
    timeout(Duration::from_secs(5), next).await.unwrap()
}

fn impatient() -> Options {
    Options { back_off: Duration::from_millis(20), ..Options::default() }
}

#[tokio::test]
async fn a_message_goes_round() {
    let (fake, url) = Fake::start().await;
    let mut client = Client::connect(&url).await.unwrap();
    client.subscribe("/a").await.unwrap();
    client.publish("/a", &json!({ "x": 1 })).await.unwrap();
    assert_eq!(next_data(&mut client).await, r#"{"x":1}"#);
    let denied = client.publish("/denied", "text").await;
    assert_eq!(denied, Err(ClientError::Refused("403::denied".to_owned())));
    client.disconnect().await;
    assert!(fake.sessions.lock().is_empty());
}

#[tokio::test]
async fn a_lost_session_is_replaced_and_its_subscriptions_with_it() {
    let (fake, url) = Fake::start().await;
    let mut client = Client::connect_with(&url, impatient()).await.unwrap();
    client.subscribe("/a").await.unwrap();
    fake.sessions.lock().clear();
    client.publish("/a", &1).await.unwrap();
    client.publish("/a", &2).await.unwrap();
    assert_eq!(
        (next_data(&mut client).await, next_data(&mut client).await),
        ("1".into(), "2".into())
    );
    assert_eq!(*fake.names.lock(), ["/a", "/a"]);
    assert_eq!(*fake.count.lock(), 2);
}

#[tokio::test]
async fn events_that_nobody_reads_do_not_block_what_is_sent() {
    let (_fake, url) = Fake::start().await;
    let options = Options { events: 2, ..impatient() };
    let mut client = Client::connect_with(&url, options).await.unwrap();
    client.subscribe("/a").await.unwrap();
    for number in 0..50 {
        client.publish("/a", &number).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(next_data(&mut client).await, number.to_string());
    }
}

#[tokio::test]
async fn the_two_halves_work_apart() {
    let (_fake, url) = Fake::start().await;
    let (handle, mut events) = Client::connect(&url).await.unwrap().split();
    handle.clone().publish("/a", &1).await.unwrap();
    handle.disconnect().await;
    assert_eq!(handle.publish("/a", &2).await, Err(ClientError::Closed));
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::State { state: State::Unconnected, .. })));
}

#[tokio::test]
async fn a_dropped_client_says_goodbye() {
    let (fake, url) = Fake::start().await;
    drop(Client::connect(&url).await.unwrap());
    let goodbye = async {
        while !fake.sessions.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), goodbye).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/bayeux", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(Client::connect(&url).await, Err(ClientError::Lost(_))));
    assert!(matches!(Client::connect("https://a/").await, Err(ClientError::Url(_))));
}

#[tokio::test]
async fn many_clients_live_in_one_task_each() {
    let (_fake, url) = Fake::start().await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(Client::connect(&url).await.unwrap());
    }
    clients[0].publish("/a", &7).await.unwrap();
    for client in &mut clients {
        assert_eq!(next_data(client).await, "7");
    }
}
