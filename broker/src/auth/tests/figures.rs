//! How long it takes to know somebody; run by hand, with `--release`.

use std::hint::black_box;

use sha2::{Digest, Sha256};

use super::*;
use crate::auth::options::KeyOptions;
use token::Algorithm as By;
use token::key_set;

/// Microseconds for each of many.
async fn micros(access: &Access, tokens: &[String]) -> f64 {
    let start = tokio::time::Instant::now();
    for token in tokens {
        assert!(black_box(access.identify(token).await).is_ok());
    }
    start.elapsed().as_secs_f64() * 1e6 / tokens.len() as f64
}

#[tokio::test]
#[ignore = "figures"]
async fn microseconds_for_each_algorithm_the_first_time_and_later() {
    const COUNT: usize = 2_000;
    println!("algorithm  first time  later (µs)");
    for (by, algorithm) in [
        (By::HS256, Algorithm::Hs256),
        (By::RS256, Algorithm::Rs256),
        (By::PS256, Algorithm::Ps256),
        (By::ES256, Algorithm::Es256),
        (By::ES384, Algorithm::Es384),
        (By::EdDSA, Algorithm::EdDsa),
    ] {
        let (maker, place, _file);
        if by == By::HS256 {
            (maker, place) = (Maker::secret(), KeyPlace::Secret(SECRET.as_bytes().to_vec()));
        } else {
            maker = Maker::new(by).named("k");
            let file = KeptFile::new(key_set(&[&maker]));
            place = KeyPlace::SetFile(file.0.clone());
            _file = file;
        }
        let access = access(vec![source("x", &[algorithm], place)]);
        let claims = |n: usize| with(&json!({"n": n, "roles": ["reader", "writer"]}));
        let tokens: Vec<String> = (0..COUNT).map(|n| maker.sign(&claims(n))).collect();
        let (first, later) = (micros(&access, &tokens).await, micros(&access, &tokens).await);
        println!("{:9}  {first:10.1}  {later:5.1}", algorithm.name());
    }
    let key = |n: u32| KeyOptions {
        name: format!("k{n}"),
        sha256: Sha256::digest(n.to_string()).into(),
        roles: Vec::new(),
        expires: None,
    };
    let options = AuthOptions { keys: (0..100).map(key).collect(), ..asking(Vec::new()) };
    let (access, _) = access_at(options);
    let keys: Vec<String> = (0..COUNT).map(|n| (n % 100).to_string()).collect();
    println!("API key, of 100 keys  {:.1}", micros(&access, &keys).await);
}
