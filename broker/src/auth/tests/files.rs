//! Keys in files, which change.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use tokio_util::sync::CancellationToken;
use weft_tests::wait::{PATIENCE, until};

use super::*;
use token::Algorithm as By;

fn refused(algorithms: &[Algorithm], place: KeyPlace) -> String {
    Access::from_options(asking(vec![source("x", algorithms, place)])).unwrap_err()
}

#[tokio::test]
async fn a_file_holds_what_its_algorithms_need() {
    let (rsa, ec) = (Maker::new(By::RS256), Maker::new(By::ES256));
    let (rsa, ec) = (KeptFile::new(rsa.pem()), KeptFile::new(ec.pem()));
    let pem = |file: &KeptFile| KeyPlace::Pem(file.0.clone());
    let all = [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps384];
    assert!(Access::from_options(asking(vec![source("x", &all, pem(&rsa))])).is_ok());
    for (algorithms, file) in [
        (&[Algorithm::Es256][..], &rsa),
        (&[Algorithm::EdDsa], &rsa),
        (&[Algorithm::Rs256], &ec),
        (&[Algorithm::Es384], &ec),
        (&[Algorithm::Es256, Algorithm::Es384], &ec),
        (&[Algorithm::EdDsa], &ec),
    ] {
        let error = refused(algorithms, pem(file));
        assert!(error.contains("is no key for"), "{error}");
    }
    let private = KeyPair::generate().unwrap().serialize_pem();
    for (text, expected) in [
        ("", "neither a PUBLIC KEY nor a CERTIFICATE"),
        ("nonsense", "neither"),
        (private.as_str(), "neither"),
        ("-----BEGIN PUBLIC KEY-----\nMAo=\n-----END PUBLIC KEY-----\n", "is no key for"),
        ("-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n", "cannot be read"),
    ] {
        let file = KeptFile::new(text);
        let error = refused(&[Algorithm::Es256], pem(&file));
        assert!(error.contains(expected) && error.contains("\"x\""), "{error}");
    }
    let large = KeptFile::new(vec![b' '; 300 << 10]);
    assert!(refused(&[Algorithm::Es256], pem(&large)).contains("larger than"));
}

#[tokio::test]
async fn a_certificate_is_a_public_key() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = CertificateParams::new(vec!["i.example".to_owned()]).unwrap();
    let pem = KeptFile::new(certificate.self_signed(&pair).unwrap().pem());
    let key = token::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let maker = Maker::with_key(By::ES384, key);
    let access = access(vec![source("c", &[Algorithm::Es384], KeyPlace::Pem(pem.0.clone()))]);
    assert_eq!(said(&access, &maker.sign(&good())).await, Ok("me".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_read_without_a_restart() {
    let file = KeptFile::new(format!("{SECRET}\n"));
    let place = KeyPlace::SecretFile(file.0.clone());
    let stats = AuthStats::unregistered().unwrap();
    let options = asking(vec![source("f", &[Algorithm::Hs256], place)]);
    let clock = Arc::new(At(AtomicI64::new(NOW)));
    let access = Access::new(options, stats.clone(), clock).unwrap();
    let stop = CancellationToken::new();
    let keeper = tokio::spawn(access.clone().keep(stop.clone()));
    let (old, new) = (Maker::secret(), Maker::with_secret(By::HS256, &[b'x'; 32]));
    let token = old.sign(&good());
    let me = identify(&access, &token).await.unwrap();

    let mut changed = access.changed();
    file.write("x".repeat(32));
    changed.changed().await.unwrap();
    assert!(!access.still_valid(&me));
    assert_eq!(identify(&access, &token).await, Err(Unidentified::BadSignature));
    assert!(identify(&access, &new.sign(&good())).await.is_ok());

    // What cannot be used is not taken, nor is a file that is gone, and what can be later is.
    file.write("short");
    until("a failure", PATIENCE, || (stats.file_failures.get() == 1).then_some(()));
    std::fs::remove_file(&file.0).unwrap();
    until("a failure", PATIENCE, || (stats.file_failures.get() == 2).then_some(()));
    assert!(!changed.has_changed().unwrap());
    assert!(identify(&access, &new.sign(&good())).await.is_ok());
    file.write(format!("{SECRET}\r\n"));
    changed.changed().await.unwrap();
    assert!(access.still_valid(&me), "the old secret is there again");
    stop.cancel();
    keeper.await.unwrap();
}
