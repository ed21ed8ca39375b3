//! Enums that are tables: each variant stands with its label, its number or its row, so no list of them can
//! be incomplete.

/// An enum whose variants have labels: `Variant = "label"`. A build may leave out one whose label is followed
/// by `if feature = "name"`.
#[doc(hidden)]
#[macro_export]
macro_rules! labels {
    (
        $(#[$of_enum:meta])*
        $vis:vis enum $enum:ident {
            $($(#[$of_variant:meta])* $variant:ident = $label:literal $(if $built_in:meta)?,)*
        }
    ) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $enum {
            $($(#[$of_variant])* $(#[cfg($built_in)])? $variant,)*
        }

        impl $enum {
            /// All variants, in the order of their numbers.
            $vis const ALL: [$enum; [$($(#[cfg($built_in)])? $label),*].len()] =
                [$($(#[cfg($built_in)])? $enum::$variant),*];

            /// The names of all variants.
            $vis const LABELS: [&str; Self::ALL.len()] = [$($(#[cfg($built_in)])? $label),*];

            /// The name in metrics, flags and settings.
            $vis const fn label(self) -> &'static str {
                match self {
                    $($(#[cfg($built_in)])? $enum::$variant => $label,)*
                }
            }
        }

        impl ::std::fmt::Display for $enum {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}
pub use labels;

/// Gives an enum the numbers of its variants in packets. A number never changes, and is never reused: nodes
/// of several versions exchange packets.
#[doc(hidden)]
#[macro_export]
macro_rules! numbers {
    ($enum:ident: $($variant:ident = $number:literal),* $(,)?) => {
        impl $enum {
            /// The number of the variant in packets between nodes.
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
pub use numbers;

/// An enum whose variants are the rows of a table: `Variant: row`. `method` returns the row of a variant.
macro_rules! table {
    (
        $(#[$enum_doc:meta])* $enum:ident.$method:ident: $row:ident($($field:ident),*);
        $($(#[$doc:meta])* $name:ident $(($payload:ident))?: $($value:expr),*;)*
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum {
            $($(#[$doc])* $name $(($payload))?,)*
        }

        impl $enum {
            /// All variants, once each.
            pub const ALL: [$enum; [$(stringify!($name)),*].len()] = [$($enum::$name $(($payload::Empty))?),*];

            /// The row of the variant.
            pub const fn $method(self) -> $row {
                let ($($field,)*) = match self {
                    $($enum::$name { .. } => ($($value,)*),)*
                };
                $row { $($field),* }
            }
        }
    };
}
pub(super) use table;
