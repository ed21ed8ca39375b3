//! The grammar of values (RFC 8259) as a table, without the content of strings and the stack of brackets:
//! each byte is one step from a state to the next. So all text costs about the same, whatever a client sends.

/// The container around a state: the one around the whole value, or a list or an object in it.
pub(super) const LIST: u8 = 1;
pub(super) const OBJECT: u8 = 2;
const CONTAINERS: u8 = 3;

// The numbers of the states, for each container. A container itself is the state behind a value in it.
const END: u8 = 0;
const VALUE: u8 = 1;
/// Behind an opening bracket.
const FIRST: u8 = 2;
/// In front of the name of a member.
const MEMBER: u8 = 3;
const COLON: u8 = 4;
const MINUS: u8 = 5;
const ZERO: u8 = 6;
const INTEGER: u8 = 7;
const POINT: u8 = 8;
const FRACTION: u8 = 9;
const E: u8 = 10;
const SIGN: u8 = 11;
const EXPONENT: u8 = 12;
// The rest of `true`, `false` and `null`.
const RUE: u8 = 13;
const UE: u8 = 14;
const E_OF_WORD: u8 = 15;
const ALSE: u8 = 16;
const LSE: u8 = 17;
const SE: u8 = 18;
const ULL: u8 = 19;
const LL: u8 = 20;
const L: u8 = 21;
const COUNT: u8 = 22;

pub(super) const BEGIN: u8 = VALUE * CONTAINERS;
pub(super) const IN_LIST: u8 = FIRST * CONTAINERS + LIST;
pub(super) const IN_OBJECT: u8 = FIRST * CONTAINERS + OBJECT;
pub(super) const BEHIND_COMMA_OF_LIST: u8 = VALUE * CONTAINERS + LIST;
pub(super) const BEHIND_NAME: u8 = COLON * CONTAINERS + OBJECT;
pub(super) const BEHIND_COLON: u8 = VALUE * CONTAINERS + OBJECT;

// In the place of a state: something else is to do.
pub(super) const OPEN_LIST: u8 = ROWS as u8;
pub(super) const OPEN_OBJECT: u8 = OPEN_LIST + 1;
pub(super) const CLOSE: u8 = OPEN_LIST + 2;
/// A string begins. The state behind it is the container, which is added here.
pub(super) const TEXT: u8 = OPEN_LIST + 3;
/// The name of a member begins.
pub(super) const NAME: u8 = TEXT + CONTAINERS;
/// The value is read.
pub(super) const STOP: u8 = NAME + 1;
const WRONG: u8 = NAME + 2;

/// A power of two, so that an index of a row needs no check.
const ROWS: usize = 128;

static TABLE: [[u8; 256]; ROWS] = table();

pub(super) const fn container(state: u8) -> u8 {
    state % CONTAINERS
}

#[inline]
pub(super) fn after(state: u8, byte: u8) -> u8 {
    let row = TABLE.get(usize::from(state) % ROWS);
    row.and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(WRONG)
}

#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
const fn table() -> [[u8; 256]; ROWS] {
    let mut table = [[WRONG; 256]; ROWS];
    let mut state = 0;
    while state < COUNT * CONTAINERS {
        let mut byte = 0;
        while byte < 256 {
            table[state as usize][byte] = step(state / CONTAINERS, state % CONTAINERS, byte as u8);
            byte += 1;
        }
        state += 1;
    }
    table
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// The next state, or what is to do.
const fn step(number: u8, container: u8, byte: u8) -> u8 {
    let next = match (number, byte) {
        (END | VALUE | FIRST | MEMBER | COLON, _) if is_space(byte) => number,
        (FIRST, b']') if container == LIST => return CLOSE,
        (FIRST, b'}') if container == OBJECT => return CLOSE,
        (FIRST | MEMBER, b'"') if container == OBJECT => return NAME,
        (FIRST, _) if container == OBJECT => return WRONG,
        (COLON, b':') => VALUE,
        (VALUE | FIRST, b'"') => return TEXT + container,
        (VALUE | FIRST, b'[') => return OPEN_LIST,
        (VALUE | FIRST, b'{') => return OPEN_OBJECT,
        (VALUE | FIRST, b'-') => MINUS,
        (VALUE | FIRST | MINUS, b'0') => ZERO,
        (VALUE | FIRST | MINUS, b'1'..=b'9') => INTEGER,
        (VALUE | FIRST, b't') => RUE,
        (VALUE | FIRST, b'f') => ALSE,
        (VALUE | FIRST, b'n') => ULL,
        (RUE, b'r') => UE,
        (ALSE, b'a') => LSE,
        (LSE, b'l') => SE,
        (UE, b'u') | (SE, b's') => E_OF_WORD,
        (ULL, b'u') => LL,
        (LL, b'l') => L,
        (E_OF_WORD, b'e') | (L, b'l') => END,
        (INTEGER, b'0'..=b'9') => INTEGER,
        (ZERO | INTEGER, b'.') => POINT,
        (POINT | FRACTION, b'0'..=b'9') => FRACTION,
        (ZERO | INTEGER | FRACTION, b'e' | b'E') => E,
        (E, b'+' | b'-') => SIGN,
        (E | SIGN | EXPONENT, b'0'..=b'9') => EXPONENT,
        (END | ZERO | INTEGER | FRACTION | EXPONENT, _) => return behind_value(container, byte),
        _ => return WRONG,
    };
    next * CONTAINERS + container
}

const fn behind_value(container: u8, byte: u8) -> u8 {
    match (container, byte) {
        _ if is_space(byte) => END * CONTAINERS + container,
        (LIST, b',') => VALUE * CONTAINERS + LIST,
        (OBJECT, b',') => MEMBER * CONTAINERS + OBJECT,
        (LIST, b']') | (OBJECT, b'}') => CLOSE,
        (LIST | OBJECT, _) => WRONG,
        (_, b',' | b']' | b'}') => STOP,
        _ => WRONG,
    }
}
