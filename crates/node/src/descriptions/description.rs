//! The session description in a message, as the JSON text that its sender wrote: finds its ICE credentials,
//! and adds a candidate.

use memchr::memmem;

use peerbroker_core::vocabulary::IceCredentials;
use peerbroker_json as json;

/// Longest username fragment and password (RFC 8839, section 5.4).
const MAX_CREDENTIAL: usize = 256;

/// Shortest username fragment and password.
const MIN_UFRAG: usize = 4;
const MIN_PWD: usize = 22;

/// A session description inside a JSON text.
#[derive(Debug)]
pub(super) struct Description<'a> {
    text: &'a str,
    /// The credentials of its sender.
    pub(super) credentials: IceCredentials<'a>,
    /// The place for a candidate: the end of the first media section that has the credentials.
    end_of_media: usize,
    line_end: &'a str,
    /// False if its last line has no end, as that of a page that trims it.
    is_ended: bool,
}

impl<'a> Description<'a> {
    /// The first session description in a JSON text: a string with the first line of every session
    /// description. `None` if there is none, or it is not one for ICE.
    pub(super) fn find(text: &'a str) -> Option<Self> {
        let start = memmem::find(text.as_bytes(), br#""v=0\"#)? + 1;
        let rest = text.get(start..)?;
        let sdp = rest.get(..json::end_of_string(rest.as_bytes())?)?;
        let (ufrag_at, ufrag) = attribute(sdp, r"\na=ice-ufrag:")?;
        let (_, pwd) = attribute(sdp, r"\na=ice-pwd:")?;
        let are_valid = is_credential(ufrag, MIN_UFRAG) && is_credential(pwd, MIN_PWD);
        // Credentials of the whole session stand in front of the first section.
        let media = memmem::find(sdp.as_bytes(), br"\nm=")?.max(ufrag_at);
        let after = sdp.get(media + 2..)?;
        let end = memmem::find(after.as_bytes(), br"\nm=").map_or(sdp.len(), |next| media + 2 + next + 2);
        let line_end = if sdp.contains(r"\r\n") { r"\r\n" } else { r"\n" };
        are_valid.then_some(Description {
            text,
            credentials: IceCredentials { ufrag, pwd },
            end_of_media: start + end,
            line_end,
            is_ended: sdp.get(..end)?.ends_with(r"\n"),
        })
    }

    /// The text with additional candidates, otherwise unchanged. A candidate is a line without its `a=` and
    /// its end.
    pub(super) fn with_candidates(&self, candidates: &[String]) -> String {
        let (before, after) = self.text.split_at_checked(self.end_of_media).unwrap_or((self.text, ""));
        let lines: String =
            candidates.iter().flat_map(|candidate| ["a=", candidate, self.line_end]).collect();
        [before, if self.is_ended { "" } else { self.line_end }, &lines, after].concat()
    }
}

/// The value of an attribute, and where its line begins.
fn attribute<'a>(sdp: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let at = memmem::find(sdp.as_bytes(), name.as_bytes())?;
    let value = sdp.get(at + name.len()..)?;
    Some((at, value.get(..value.find('\\').unwrap_or(value.len()))?))
}

fn is_credential(text: &str, shortest: usize) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (shortest..=MAX_CREDENTIAL).contains(&text.len()) && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const PWD: &str = "0123456789abcdefghijkl";

    impl Description<'_> {
        fn with_candidate(&self, candidate: &str) -> String {
            self.with_candidates(&[candidate.to_owned()])
        }
    }

    fn sdp(sections: &[&str]) -> String {
        let mut sdp = String::from("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        for media in sections {
            sdp.push_str(&format!(
                "m={media} 9 UDP/DTLS/SCTP x\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{media}\r\na=ice-pwd:{PWD}\r\na=mid:{media}\r\n"
            ));
        }
        sdp
    }

    fn payload(sdp: &str) -> String {
        json!({"type": "media", "metadata": {"name": "quote \" and v=0"}, "sdp": {"type": "offer", "sdp": sdp}})
            .to_string()
    }

    #[test]
    fn credentials_are_those_of_the_first_media_section_and_the_candidate_stands_at_its_end() {
        let text = payload(&sdp(&["audio", "video"]));
        let found = Description::find(&text).unwrap();
        assert_eq!(found.credentials, IceCredentials { ufrag: "audio", pwd: PWD });
        let changed: Value = serde_json::from_str(&found.with_candidate("candidate:1 …")).unwrap();
        let expected =
            sdp(&["audio", "video"]).replacen("a=mid:audio\r\n", "a=mid:audio\r\na=candidate:1 …\r\n", 1);
        assert_eq!(changed["sdp"]["sdp"], expected);
    }

    #[test]
    fn one_section_alone_and_credentials_of_the_whole_session_do_as_well() {
        let text = payload(&sdp(&["application"]));
        let changed = Description::find(&text).unwrap().with_candidate("candidate:1");
        assert_eq!(changed, payload(&(sdp(&["application"]) + "a=candidate:1\r\n")));

        let whole = format!(
            "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{PWD}\r\nm=audio 9 x\r\na=mid:0\r\nm=video 9 x\r\n"
        );
        let text = payload(&whole);
        let changed = Description::find(&text).unwrap().with_candidate("candidate:1");
        assert_eq!(changed, payload(&whole.replace("mid:0\r\n", "mid:0\r\na=candidate:1\r\n")));
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        for (end, whole) in [("\r\n", sdp(&["application"])), ("\n", sdp(&["audio"]).replace('\r', ""))] {
            let trimmed = payload(whole.trim_end());
            let changed = Description::find(&trimmed).unwrap().with_candidate("candidate:1");
            assert_eq!(changed, payload(&format!("{whole}a=candidate:1{end}")));
        }
        // Also that of the credentials.
        let bare = format!("v=0\r\nm=audio 9 x\r\na=ice-ufrag:abcd\r\na=ice-pwd:{PWD}");
        let changed = payload(&bare);
        let changed = Description::find(&changed).unwrap().with_candidate("candidate:1");
        assert_eq!(changed, payload(&format!("{bare}\r\na=candidate:1\r\n")));
        // Only the last section can lack one.
        let text = payload(sdp(&["audio", "video"]).trim_end());
        let changed = Description::find(&text).unwrap().with_candidate("candidate:1");
        assert_eq!(changed, text.replace(r"mid:audio\r\n", r"mid:audio\r\na=candidate:1\r\n"));
    }

    #[test]
    fn what_is_no_description_for_ice_is_left_alone() {
        let good = sdp(&["application"]);
        for bad in [
            good.replace("v=0", "v=1"),
            good.replace("ice-ufrag:application", "ice-ufrag:abc"),
            good.replace("ice-ufrag:application", "ice-ufrag:app\"lication"),
            good.replace("ice-pwd", "ice-password"),
            good.replace(PWD, "short"),
            good.replace("m=", "n="),
            String::new(),
        ] {
            assert!(Description::find(&payload(&bad)).is_none(), "{bad}");
        }
        assert!(Description::find(&payload(&good)[..200]).is_none());
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_search(text in r#"("|v=0|\\r\\n|\\n|a=ice-ufrag:|a=ice-pwd:|m=|abcd|0123456789abcdefghijkl|\\|é){0,40}"#) {
            if let Some(found) = Description::find(&text) {
                let changed = found.with_candidate("candidate:1");
                let added = if found.is_ended { "" } else { found.line_end };
                prop_assert_eq!(changed.replacen(&format!("{added}a=candidate:1{}", found.line_end), "", 1), text);
            }
        }
    }
}
