//! Logging in at a registry: Basic, and Bearer tokens (distribution "Token Authentication Specification").

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Uri;

use super::agent::{Client, is_loopback, same_origin};
use super::answer::{Refusal, later, transport};
use super::challenge::{Challenge, choose};
use crate::secret::Secret;
use crate::source::{FetchError, FetchKind};

const MAX_TOKEN_BYTES: u64 = 1 << 20;

/// A login as docker config and helpers give it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Credentials {
    /// User and password.
    #[serde(rename_all = "camelCase")]
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token that the token server takes.
    #[serde(rename_all = "camelCase")]
    Identity {
        /// The token.
        identity_token: Secret,
    },
    /// A token that the registry takes as it is.
    #[serde(rename_all = "camelCase")]
    Registry {
        /// The token.
        registry_token: Secret,
    },
}

/// The right to ask, as a header's value.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) header: Secret,
    generation: u64,
}

/// Holds the current grant and gets a new one when the registry wants it.
#[derive(Debug)]
pub(super) struct Authenticator {
    registry: Uri,
    default_scope: String,
    credentials: Option<Credentials>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    grant: Option<Grant>,
    challenge: Option<Challenge>,
    generation: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
}

impl Authenticator {
    pub(super) fn new(registry: &Uri, repository: &str, credentials: Option<Credentials>) -> Self {
        let mut state = State::default();
        if let Some(Credentials::Registry { registry_token }) = &credentials {
            state.grant = Some(Grant {
                header: bearer(registry_token),
                generation: 0,
            });
        }
        Self {
            registry: registry.clone(),
            default_scope: format!("repository:{repository}:pull"),
            credentials,
            state: Mutex::new(state),
        }
    }

    /// What to send with a request; nothing until the registry asked for it.
    pub(super) fn grant(&self) -> Option<Grant> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .grant
            .clone()
    }

    /// Gets a new grant after a request with `used` was refused. Requests that were refused together get one together.
    pub(super) fn refresh(
        &self,
        client: &Client,
        challenges: &[String],
        used: Option<&Grant>,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.grant.as_ref().map(|grant| grant.generation) != used.map(|grant| grant.generation)
        {
            return Ok(()); // somebody else was faster
        }
        if let Some(challenge) = choose(challenges) {
            state.challenge = Some(challenge);
        }
        let Some(challenge) = state.challenge.clone() else {
            return Ok(()); // a 403 without a challenge: asking again shows whether it stays
        };
        let header = match challenge {
            Challenge::Basic => self.basic().ok_or_else(|| self.no_login())?,
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => bearer(&self.fetch_token(client, &realm, service.as_deref(), scope.as_deref())?),
        };
        state.generation += 1;
        state.grant = Some(Grant {
            header,
            generation: state.generation,
        });
        Ok(())
    }

    fn basic(&self) -> Option<Secret> {
        let Some(Credentials::Password { username, password }) = &self.credentials else {
            return None;
        };
        let pair = format!("{username}:{}", password.expose());
        Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
    }

    fn fetch_token(
        &self,
        client: &Client,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Secret, Refusal> {
        let uri: Uri = realm.parse().map_err(|_| {
            Refusal::final_(FetchKind::Protocol, format!("no token address: {realm}"))
        })?;
        let private = uri.scheme_str() == Some("https")
            || is_loopback(&uri)
            || same_origin(&uri, &self.registry);
        if self.credentials.is_some() && !private {
            let message = format!(
                "the token address {realm} is neither https nor the registry: no login is sent there"
            );
            return Err(Refusal::final_(FetchKind::Denied, message));
        }
        let mut fields = vec![("scope", scope.unwrap_or(&self.default_scope))];
        fields.extend(service.map(|service| ("service", service)));
        let response = match &self.credentials {
            Some(Credentials::Identity { identity_token }) => {
                fields.push(("client_id", "clipyard"));
                fields.push(("grant_type", "refresh_token"));
                fields.push(("refresh_token", identity_token.expose()));
                let request = client.at(&uri).post(&uri);
                client.all_in_time(request).send_form(fields)
            }
            _ => {
                let mut request = client.at(&uri).get(&uri).query_pairs(fields);
                if let Some(basic) = self.basic() {
                    request = request.header("authorization", basic.expose());
                }
                client.all_in_time(request).call()
            }
        };
        let mut response = response.map_err(|error| transport(&error, &uri))?;
        let status = response.status().as_u16();
        let host = uri.host().unwrap_or_default();
        match status {
            200 => (),
            401 => return Err(self.no_login()),
            403 => {
                return Err(Refusal::final_(
                    FetchKind::Denied,
                    format!("{host} gives this login no token (403)"),
                ));
            }
            408 | 429 | 500.. => {
                let kind = match status {
                    429 => FetchKind::Throttled,
                    _ => FetchKind::Unavailable,
                };
                let error = FetchError::new(kind, format!("{host} gives no token now ({status})"));
                let Refusal { retry, .. } = later(kind, status, response.headers());
                return Err(Refusal { error, retry });
            }
            _ => {
                return Err(Refusal::final_(
                    FetchKind::Protocol,
                    format!("{host} gives no token ({status})"),
                ));
            }
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_TOKEN_BYTES)
            .read_to_vec();
        let body = body.map_err(|error| transport(&error, &uri))?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
        answer
            .and_then(|answer| answer.token.or(answer.access_token))
            .ok_or_else(|| {
                Refusal::now(
                    FetchKind::Protocol,
                    format!("{host} gave no token in its answer"),
                )
            })
    }

    fn no_login(&self) -> Refusal {
        let host = self.registry.host().unwrap_or_default();
        let why = if self.credentials.is_some() {
            "does not take the login"
        } else {
            "wants a login"
        };
        Refusal::final_(
            FetchKind::Unauthenticated,
            format!("{host} {why} for {}", self.default_scope),
        )
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}
