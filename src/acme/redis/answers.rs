//! Answers to HTTP-01 that every node of a cluster can give: a load balancer sends the validator to any of them.

use std::time::Duration;

use redis::Value;
use tokio::sync::Semaphore;

use super::super::store::StoreError;
use super::{PUT, ask};
use crate::redis_link::{BadRedis, Call, Line, PREFIX, RedisAddress, TIMEOUT};

/// An answer is needed for as long as an order may take.
const LIFE: Duration = Duration::from_secs(600);
/// Most questions to Redis at a time, so that a flood of the HTTP port does not become one of Redis.
const MAX_QUESTIONS: usize = 4;
/// Most bytes of a token. Let's Encrypt's have 43.
const MAX_TOKEN: usize = 128;

/// The answers to challenges of all nodes.
pub(in crate::acme) struct SharedAnswers {
    line: Line,
    free: Semaphore,
}

impl SharedAnswers {
    /// Checks the address, and does not connect yet.
    pub(in crate::acme) fn open(address: &RedisAddress) -> Result<Self, BadRedis> {
        Ok(SharedAnswers { line: Line::new(address, TIMEOUT)?, free: Semaphore::new(MAX_QUESTIONS) })
    }

    /// Lets all nodes answer with this key authorization, for some minutes.
    pub(in crate::acme) async fn give(&self, token: &str, authorization: &str) -> Result<(), StoreError> {
        let millis = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
        let call = Call::script(&PUT, key(token)).arg(millis).arg(0).arg("authorization").arg(authorization);
        let given = ask::<Value>(&self.line, call).await.map(drop);
        given.map_err(|why| StoreError::Redis { what: "keep the answer to a challenge", why })
    }

    /// The key authorization of a token. A client of the HTTP port chose the token.
    pub(in crate::acme) async fn file(&self, token: &str) -> Option<String> {
        if !is_token(token) {
            return None;
        }
        let _permit = self.free.acquire().await.ok()?;
        let call = Call::command("HGET", key(token)).arg("authorization");
        let answer = ask(&self.line, call).await;
        answer.inspect_err(|why| log::debug!("cannot read the answer to a challenge in Redis: {why}")).ok()?
    }
}

fn key(token: &str) -> String {
    format!("{PREFIX}:acme:answer:{token}")
}

/// Tokens are base64url (RFC 8555, section 8.3).
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_asked_for_tokens_only() {
        for (text, is) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-_", true),
            ("", false),
            ("a/b", false),
            ("a%00", false),
            ("a b", false),
        ] {
            assert_eq!(is_token(text), is, "{text}");
        }
        assert!(is_token(&"x".repeat(MAX_TOKEN)) && !is_token(&"x".repeat(MAX_TOKEN + 1)));
    }
}
