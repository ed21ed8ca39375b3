//! Placeholders in an example for random values of the server: a room code, an id.

/// Each placeholder, and its value if it is known.
pub(super) struct Words(Vec<(String, Option<String>)>);

impl Words {
    pub(super) fn new(words: &[String]) -> Self {
        Words(words.iter().map(|word| (word.clone(), None)).collect())
    }

    /// A text of the example with the known values of its placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        let known = self.0.iter().filter_map(|(word, heard)| Some((word, heard.as_ref()?)));
        known.fold(text.to_owned(), |text, (word, heard)| text.replace(word, heard))
    }

    /// The same for a text of the server. Unknown values of placeholders are taken from the text that the
    /// server `said`.
    pub(super) fn hear(&mut self, wanted: &str, said: &str) -> String {
        let mut filled = self.fill(wanted);
        for (word, heard) in self.0.iter_mut().filter(|(_, heard)| heard.is_none()) {
            let Some((before, behind)) = filled.split_once(word.as_str()) else { continue };
            let rest = said.get(before.len()..).unwrap_or_default();
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let found = rest.get(..if is_number(word) { digits } else { word.len() }).unwrap_or_default();
            // A value of another form is not taken, and the comparison fails.
            if is_alike(word, found) {
                filled = format!("{before}{found}{}", behind.replace(word.as_str(), found));
                *heard = Some(found.to_owned());
            }
        }
        filled
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|c| c.is_ascii_digit())
}

/// A number, or the same length, capitals for capitals, and no characters that need escapes.
fn is_alike(word: &str, found: &str) -> bool {
    let only_capitals = word.bytes().all(|c| c.is_ascii_uppercase());
    let fits = |c: u8| {
        if only_capitals { c.is_ascii_uppercase() } else { c.is_ascii_alphanumeric() || b"-_".contains(&c) }
    };
    (is_number(word) || word.len() == found.len()) && !found.is_empty() && found.bytes().all(fits)
}
