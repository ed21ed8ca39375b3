//! The orders that the broker may choose between.

/// Goes through all ways to choose, one way per round.
#[derive(Default)]
pub struct Chooser {
    /// What was chosen, and of how many.
    choices: Vec<(usize, usize)>,
    at: usize,
}

impl Chooser {
    pub fn one_of(&mut self, options: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, options));
        }
        self.at += 1;
        self.choices[self.at - 1].0
    }

    /// Begins the next round; false if there is no other way left.
    pub fn next_round(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, options)) = self.choices.last_mut() {
            *chosen += 1;
            if chosen < options {
                return true;
            }
            self.choices.pop();
        }
        false
    }
}
