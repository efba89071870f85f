//! From the configuration to what is asked.

use super::algorithm::Algorithm;
use super::options::{AuthOptions, KeyOptions, KeyPlace, SourceOptions};
use crate::config::{self, Auth, AuthMode, HumanDuration, Secret, TokenSource};

impl From<&Auth> for AuthOptions {
    /// What the configuration says, which was found sound.
    fn from(auth: &Auth) -> Self {
        let key = |key: &config::ApiKey| {
            Some(KeyOptions {
                name: key.name.clone(),
                sha256: key.sha256?.0,
                roles: key.roles.clone(),
                expires: key.expires.map(|moment| moment.0),
            })
        };
        Self {
            open: auth.mode != AuthMode::Token,
            token_field: auth.token_field.clone(),
            cookie: Some(auth.cookie.clone()).filter(|name| !name.is_empty()),
            subject_claim: auth.subject_claim.clone(),
            roles_claim: auth.roles_claim.clone(),
            anonymous: auth.anonymous,
            denied: auth.denied.clone(),
            leeway: seconds(auth.leeway),
            sources: auth.tokens.iter().filter_map(source).collect(),
            keys: auth.keys.iter().filter_map(key).collect(),
        }
    }
}

fn seconds(duration: HumanDuration) -> i64 {
    i64::try_from(duration.get().as_secs()).unwrap_or(i64::MAX)
}

fn source(source: &TokenSource) -> Option<SourceOptions> {
    Some(SourceOptions {
        name: source.name.clone(),
        algorithms: source.algorithms.iter().copied().map(algorithm).collect(),
        place: place(source)?,
        issuer: source.issuer.clone(),
        audience: source.audience.clone(),
        require_exp: source.require_exp,
        max_age: Some(seconds(source.max_age)).filter(|age| *age > 0),
    })
}

fn place(source: &TokenSource) -> Option<KeyPlace> {
    let secret = source.secret.as_ref().map(Secret::expose);
    let secret = secret.map(|secret| KeyPlace::Secret(secret.as_bytes().to_vec()));
    let place = secret.or_else(|| source.secret_file.clone().map(KeyPlace::SecretFile));
    let place = place.or_else(|| source.pem.clone().map(KeyPlace::Pem));
    place.or_else(|| {
        let jwks = source.jwks.as_ref()?;
        Some(if jwks.starts_with("http://") || jwks.starts_with("https://") {
            KeyPlace::SetUrl(jwks.clone(), source.refresh.get())
        } else {
            KeyPlace::SetFile(jwks.into())
        })
    })
}

fn algorithm(algorithm: config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::Hs256 => Algorithm::Hs256,
        config::Algorithm::Hs384 => Algorithm::Hs384,
        config::Algorithm::Hs512 => Algorithm::Hs512,
        config::Algorithm::Rs256 => Algorithm::Rs256,
        config::Algorithm::Rs384 => Algorithm::Rs384,
        config::Algorithm::Rs512 => Algorithm::Rs512,
        config::Algorithm::Ps256 => Algorithm::Ps256,
        config::Algorithm::Ps384 => Algorithm::Ps384,
        config::Algorithm::Ps512 => Algorithm::Ps512,
        config::Algorithm::Es256 => Algorithm::Es256,
        config::Algorithm::Es384 => Algorithm::Es384,
        config::Algorithm::Es512 => Algorithm::Es512,
        config::Algorithm::EdDsa => Algorithm::EdDsa,
    }
}
