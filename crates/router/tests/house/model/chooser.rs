//! Choices of the broker between possible orders.

/// Iterates over all combinations of choices, one per round.
#[derive(Default)]
pub struct Chooser {
    /// Each choice, and the number of options.
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

    /// Starts the next round; false if no combination is left.
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
