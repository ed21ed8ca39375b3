//! Keys that people register through the form.

use std::net::IpAddr;

use super::{Admin, AdminError, lock};
use crate::events::Actor;
use crate::keys::{Key, MAX_NAME_CHARS, MAX_ORIGIN_BYTES, Origin, Settings, SignupCount, check_name};
use crate::limits::{LimitExceeded, address_text};
use crate::wire::Limit;

/// The form: the name of an app, and the origin of its pages.
pub(crate) struct SignupRequest {
    name: String,
    origin: Origin,
}

/// Why fields of the form are not valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InvalidSignup {
    pub(crate) name: Option<String>,
    pub(crate) origin: Option<&'static str>,
}

/// Why no key was registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignupError {
    /// The address has reached its limit.
    #[error("too many from this address")]
    TooMany(LimitExceeded),
    /// As many keys are registered as may be.
    #[error("all places are taken")]
    Full,
    /// The key could not be added.
    #[error(transparent)]
    AdminError(#[from] AdminError),
}

impl SignupRequest {
    /// Checks the fields. The origin may be the URL of any page of the app.
    pub(crate) fn check(name: &str, origin: &str) -> Result<Self, InvalidSignup> {
        let (name, address) = (name.trim(), origin.trim());
        let wrong_name = match check_name(name) {
            Ok(()) if !name.is_empty() => None,
            _ => Some(format!("A name has 1 to {MAX_NAME_CHARS} characters and no control characters.")),
        };
        match Origin::of_page(address).ok().filter(|origin| origin.as_str().len() <= MAX_ORIGIN_BYTES) {
            Some(origin) if wrong_name.is_none() => Ok(SignupRequest { name: name.to_owned(), origin }),
            Some(_) => Err(InvalidSignup { name: wrong_name, origin: None }),
            None => Err(InvalidSignup { name: wrong_name, origin: Some(why_no_origin(address)) }),
        }
    }
}

fn why_no_origin(address: &str) -> &'static str {
    match address {
        address if address.contains('*') => "A key from here is for one origin: write it without a *.",
        address if !address.is_ascii() => {
            "Write the host as browsers send it: one with other letters than a to z begins with xn--."
        }
        _ => "Write where your pages come from, with https:// or http://, as in https://example.org.",
    }
}

impl Admin {
    /// Makes a key for an app and puts it in force. Uses the disk, so do not call it on a worker's thread.
    pub(crate) fn register(
        &self,
        address: Option<IpAddr>,
        request: SignupRequest,
    ) -> Result<Key, SignupError> {
        let now = self.node.clock().now();
        let config = self.node.config().load_full();
        let bounds = &config.registration;
        let _signing_up = lock(&self.signing_up);
        let counted = self.count_signup(address, bounds.per_day, now)?;
        // Strangers set nothing else.
        let settings = Settings {
            origins: vec![request.origin],
            concurrent_limit: config.limits.concurrent_limit,
            ..Settings::default()
        };
        let key = Key { registered: true, ..Key::new(None, &request.name, settings) };
        let _writing = lock(&self.writing);
        let registered = self.store.register(key.clone(), bounds.limit).map_err(AdminError::from);
        if !matches!(registered, Ok(true)) && counted == SignupCount::Counted {
            // If this fails, the address may register one key less today.
            let _ = self.store.discount_signup(&address_text(address));
        }
        if !registered? {
            self.signup_refused(Limit::SignupLimit, address);
            return Err(SignupError::Full);
        }
        if counted == SignupCount::Elsewhere {
            self.signups.count(address, now);
        }
        self.note_added(Actor::Signup(address), &key);
        Ok(key)
    }

    /// Counts the registration in the store if nodes share it. Otherwise only checks whether it may be counted here.
    fn count_signup(
        &self,
        address: Option<IpAddr>,
        per_day: u32,
        now: u64,
    ) -> Result<SignupCount, SignupError> {
        let counted = match per_day {
            0 => SignupCount::Elsewhere,
            most => self.store.count_signup(&address_text(address), most).map_err(AdminError::from)?,
        };
        let exceeded = match counted {
            SignupCount::Counted => None,
            SignupCount::Wait(retry_after) => {
                Some(LimitExceeded { limit: Limit::SignupsPerDay, retry_after })
            }
            SignupCount::Elsewhere => self.signups.check(address, now).err(),
        };
        match exceeded {
            None => Ok(counted),
            Some(too_many) => {
                self.signup_refused(too_many.limit, address);
                Err(SignupError::TooMany(too_many))
            }
        }
    }

    fn signup_refused(&self, limit: Limit, address: Option<IpAddr>) {
        self.node.events().limit_hit(limit, || None, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_a_name_and_an_origin() {
        let app = SignupRequest::check("  My game ", " https://example.org/app/ ").map_err(drop).unwrap();
        assert_eq!((app.name.as_str(), app.origin.as_str()), ("My game", "https://example.org"));
        let long = "ü".repeat(MAX_NAME_CHARS);
        assert!(SignupRequest::check(&long, "http://localhost:3000").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_of_each() {
        let wrong = |name: &str, origin: &str| SignupRequest::check(name, origin).map(drop).unwrap_err();
        let long = "n".repeat(MAX_NAME_CHARS + 1);
        for name in ["", "  ", "a\nb", "\0", long.as_str()] {
            let (one, both) = (wrong(name, "https://a.test"), wrong(name, "a.test"));
            assert!(one.name.is_some() && one.origin.is_none(), "{name:?}: {one:?}");
            assert!(both.name.is_some() && both.origin.is_some(), "{name:?}: {both:?}");
        }
        let long = format!("https://{}", "a".repeat(MAX_ORIGIN_BYTES));
        for (origin, why) in [
            ("", "https://example.org"),
            ("example.org", "with https://"),
            ("null", "with https://"),
            ("https://*.example.org", "without a *"),
            ("https://b\u{fc}cher.example", "xn--"),
            (&long, "https://example.org"),
        ] {
            let wrong = wrong("My game", origin);
            assert!(wrong.name.is_none() && wrong.origin.unwrap().contains(why), "{origin}: {wrong:?}");
        }
    }
}
