//! Descriptions of a peer without WebRTC, which native browsers could read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use rand::random;

use crate::seal::{Offered, Role};

/// The largest message of a channel, as in Chromium.
pub(crate) const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// A description with one section of data, and the line of a pipe (docs/PROTOCOL.md). An answer has the
/// section's name of the offer, and refuses the other sections.
pub(crate) fn write(own: &Offered, offer: Option<&str>) -> String {
    let (role, sections) = match offer {
        None => (Role::Offerer, vec![Section { media: "application", is_data: true, mid: Some("0") }]),
        Some(offer) => (Role::Answerer, sections(offer).collect()),
    };
    let setup = if role == Role::Offerer { "actpass" } else { "active" };
    let data: Vec<&str> = sections.iter().filter(|section| section.is_data).filter_map(|s| s.mid).collect();
    let mut lines = vec!["v=0".to_owned(), format!("o=- {} 2 IN IP4 127.0.0.1", random::<u32>())];
    lines.extend(["s=-", "t=0 0"].map(str::to_owned));
    if !data.is_empty() {
        lines.push(format!("a=group:BUNDLE {}", data.join(" ")));
    }
    lines.push(line(own));
    for Section { media, is_data, mid } in &sections {
        lines.push(match is_data {
            true => "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
            false => format!("m={media} 0 UDP/TLS/RTP/SAVPF 0"),
        });
        lines.push("c=IN IP4 0.0.0.0".to_owned());
        lines.extend(mid.map(|mid| format!("a=mid:{mid}")));
        if *is_data {
            // No other end checks these.
            let fingerprint = random::<[u8; 32]>().map(|byte| format!("{byte:02X}")).join(":");
            lines.push(format!("a=ice-ufrag:{}", text(&random::<[u8; 3]>())));
            lines.push(format!("a=ice-pwd:{}", text(&random::<[u8; 18]>())));
            lines.push(format!("a=fingerprint:sha-256 {fingerprint}"));
            lines.push(format!("a=setup:{setup}"));
            lines.push("a=sctp-port:5000".to_owned());
            lines.push(format!("a=max-message-size:{MAX_MESSAGE_BYTES}"));
        } else {
            lines.push("a=inactive".to_owned());
        }
    }
    lines.join("\r\n") + "\r\n"
}

struct Section<'a> {
    media: &'a str,
    is_data: bool,
    mid: Option<&'a str>,
}

fn sections(sdp: &str) -> impl Iterator<Item = Section<'_>> {
    sdp.split("\nm=").skip(1).map(|section| Section {
        media: section.split(' ').next().unwrap_or_default(),
        is_data: section.starts_with("application ") && section.contains("webrtc-datachannel"),
        mid: section.lines().find_map(|line| line.strip_prefix("a=mid:")),
    })
}

fn line(Offered { id, key }: &Offered) -> String {
    format!("a=pipe:1 {} {} only", text(id), text(key))
}

/// The end of a pipe that a description names. `None` if its page has no script of a broker.
pub(crate) fn read(sdp: &str) -> Option<Offered> {
    let session = sdp.split("\nm=").next()?;
    let mut words = session.lines().find_map(|line| line.strip_prefix("a=pipe:1 "))?.split_whitespace();
    Some(Offered { id: bytes(words.next()?)?, key: bytes(words.next()?)? })
}

/// Bytes as base64url.
pub(crate) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_the_data_of_a_browser_and_refuses_the_rest() {
        let offer = "v=0\r\na=pipe:1 AAECAwQFBgcICQoLDA0ODw eaYx7t4b-cmPEgMs3q3Q56B5OY_HhriMyEbsia-FpRo\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:b\r\n";
        let other = read(offer).unwrap();
        assert_eq!(other.id, std::array::from_fn(|at| at as u8));
        let answer = write(&other, Some(offer));
        assert_eq!(read(&answer), Some(other));
        assert!(answer.contains("a=group:BUNDLE b\r\n") && answer.contains("m=audio 0 "), "{answer}");
        assert!(answer.contains("a=setup:active"));
    }

    #[test]
    fn a_line_counts_only_in_the_session_and_whole() {
        let line = "a=pipe:1 AAECAwQFBgcICQoLDA0ODw eaYx7t4b-cmPEgMs3q3Q56B5OY_HhriMyEbsia-FpRo";
        assert!(read(&format!("v=0\r\n{line} only\r\n")).is_some());
        for sdp in
            ["", "v=0\r\n", "v=0\nm=audio\na=pipe:1", &format!("v=0\r\nm=a\r\n{line}\r\n"), "a=pipe:1 AA BB"]
        {
            assert_eq!(read(sdp), None, "{sdp}");
        }
    }
}
