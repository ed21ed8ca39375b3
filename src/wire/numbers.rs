//! Numbers of enums in packets between nodes.

/// Gives an enum the numbers of its variants in packets. A number never changes, and is never given again: nodes of several
/// versions talk to each other.
macro_rules! numbers {
    ($enum:ident: $($variant:ident = $number:literal),* $(,)?) => {
        impl $enum {
            /// Its number in packets between nodes.
            pub const fn number(self) -> u8 {
                match self {
                    $($enum::$variant => $number,)*
                }
            }

            /// The variant of a number. `None` if only a newer version knows it.
            pub const fn of_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some($enum::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use numbers;
