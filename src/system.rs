//! The room of the differences between systems: files, ports and processes as Unix has them, and in their place on Windows.
//!
//! Both files have the same functions. No other layer asks which system it is built for, except where Linux alone has a thing.

// Some are for SQLite's files only.
#[cfg(unix)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
mod unix;
#[cfg(windows)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
